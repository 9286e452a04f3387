"""What a user's program does with the `clearml` package against the server of clearml.conf. Prints one JSON object."""

import json
import sys

from clearml import InputModel, Logger, Model, OutputModel, Task
from clearml.backend_api.session.client import APIClient


def main():
    found = {}

    # A task of the program itself: parameters, configuration, reports, artifacts.
    task = Task.init(
        project_name="team/sdk ä",
        task_name="first + second",
        tags=["one", "two words"],
        auto_connect_frameworks=False,
        auto_resource_monitoring=False,
        output_uri=True,
    )
    parameters = task.connect({"lr": 0.1, "name": "größe", "nested": {"depth": 2}})
    configuration = task.connect_configuration({"layers": [1, 2]}, name="net")
    task.connect_configuration({"layers": [1, 2]})
    task.set_user_properties(owner="me")
    logger = task.get_logger()
    for iteration in range(5):
        logger.report_scalar("loss", "train", 1.0 / (iteration + 1), iteration)
        print("iteration", iteration)
    logger.report_single_value("accuracy", 0.75)
    logger.report_text("explicit text")
    logger.report_histogram("hist", "v", [1, 2, 3], iteration=0)
    task.upload_artifact("numbers", {"a": 1}, wait_on_upload=True)
    model = OutputModel(task=task, name="model", framework="custom")
    weights = "weights.bin"
    with open(weights, "wb") as file:
        file.write(b"weights")
    model.update_weights(weights, auto_delete_file=False)
    task.set_progress(50)
    task.add_tags(["three"])
    task.set_comment("a comment")
    task.flush(wait_for_uploads=True)
    task.close()
    found["id"] = task.id
    found["parameters"] = dict(parameters)
    found["configuration"] = dict(configuration)

    # What another program reads of it.
    again = Task.get_task(project_name="team/sdk ä", task_name="first + second")
    found["same"] = again.id == task.id
    found["status"] = again.get_status()
    found["tags"] = sorted(again.get_tags())
    found["comment"] = again.comment
    found["read_parameters"] = again.get_parameters()
    found["read_configuration"] = again.get_configuration_object_as_dict("net")
    found["scalars"] = again.get_reported_scalars()
    found["last_scalars"] = again.get_last_scalar_metrics()
    found["single_values"] = again.get_reported_single_values()
    found["console"] = "".join(again.get_reported_console_output(number_of_reports=10))
    found["artifact"] = again.artifacts["numbers"].get()
    found["plots"] = len(again.get_reported_plots())
    found["models"] = [entry.name for entry in again.models["output"]]
    with open(again.models["output"][0].get_local_copy(), "rb") as file:
        found["weights"] = file.read().decode()
    found["found_by_tags"] = [t.id for t in Task.get_tasks(tags=["__$all", "one", "three"])]
    found["found_by_name"] = Task.query_tasks(project_name="team/sdk ä", task_filter={"status": ["completed"]})
    found["user_properties"] = again.get_user_properties()["owner"]["value"]

    # A draft for an agent.
    draft = Task.create(
        project_name="team/sdk ä",
        task_name="draft",
        script=__file__,
        packages=["six"],
        argparse_args=[("rate", "0.5")],
        docker="python:3.11",
        add_task_init_call=False,
    )
    draft.set_parameter("General/rate", 0.5)
    found["draft"] = draft.id
    Task.enqueue(draft, queue_name="default")
    found["draft_status"] = draft.get_status()
    copy = Task.clone(source_task=draft, name="copy of it", parent=draft.id)
    found["copy"] = copy.id
    found["copy_parameters"] = copy.get_parameters()
    Task.dequeue(draft)
    draft.reload()
    found["dequeued_status"] = draft.get_status()
    copy.mark_started(force=True)
    copy.mark_failed(force=True, status_reason="because")
    copy.reset(force=True)
    found["copy_status"] = copy.get_status()

    # The API itself.
    client = APIClient()
    found["queues"] = [queue.name for queue in client.queues.get_all()]
    created = client.queues.create(name="second queue", tags=["t"])
    found["queue_tags"] = client.queues.get_by_id(queue=created.id).tags
    client.tasks.enqueue(task=copy.id, queue=created.id)
    found["next_task"] = client.queues.get_next_task(queue=created.id).entry.task
    client.queues.delete(queue=created.id)
    found["projects"] = sorted(project.name for project in client.projects.get_all(name="sdk"))
    client.workers.register(worker="w:0", queues=[])
    found["workers"] = [worker.id for worker in client.workers.get_all(last_seen=0)]
    client.workers.unregister(worker="w:0")
    log = client.events.get_task_log(task=task.id, navigate_earlier=False, batch_size=1000)
    found["log"] = "".join(event["msg"] for event in log.events)
    try:
        client.tasks.get_by_id(task="0" * 32)
    except Exception as error:
        found["error"] = [error.code, error.subcode]
    copy.delete()
    found["left"] = [found.id for found in client.tasks.get_all(id=[copy.id], only_fields=["id"])]
    print("RESULT " + json.dumps(found, default=str))


if __name__ == "__main__":
    sys.exit(main())
