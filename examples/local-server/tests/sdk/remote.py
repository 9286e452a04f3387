"""A program that an agent runs: it finds its task in the environment and its parameters at the server."""

from clearml import Task

task = Task.init(project_name="ignored", task_name="ignored", auto_connect_frameworks=False)
parameters = task.connect({"lr": 0.1})
print("learning rate", parameters["lr"])
for iteration in range(3):
    task.get_logger().report_scalar("loss", "train", 0.5**iteration, iteration)
task.get_logger().report_text("explicit text")
task.close()
