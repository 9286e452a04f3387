//! What tasks become on Kubernetes: manifests, secrets, the example.

use std::fs;

use nix::sys::signal::Signal;
use nix::unistd::gethostname;
use serde_json::{Value, json};

use super::kubernetes::{OWNER, Site, TEMPLATE};
use super::metrics::Watched;
use super::support::kubernetes::{KubernetesStandIn, NAMESPACE, OTHER, documents, rights};
use super::support::{Script, ServerIdentity, TestContext, TlsFront, wait_until};

/// C-621, C-643: tasks become jobs.
#[test]
fn tasks_become_jobs_where_that_is_wanted() {
    let site = Site::still();
    let template = "spec: {template: {spec: {containers: [{}]}}}";
    let glue = site.started(template, &[], &[("CLEARML_K8S_GLUE_KIND", "job")]);
    glue.wait_for_output("listening to queues: default");
    let task = site.enqueue("echo never");
    let name = format!("clearml-id-{task}");
    let job = || site.cluster.object("jobs", &name);
    assert!(wait_until(|| job().is_some()));
    let job = job().unwrap();
    let pod = &job["spec"]["template"];
    assert_eq!(job["spec"]["backoffLimit"], 0);
    assert_eq!(pod["metadata"]["labels"]["CLEARML"], OWNER);
    assert_eq!(pod["spec"]["restartPolicy"], "Never");
    site.context
        .wait_for_console(&task, "Kubernetes Pod status: the job has no pod yet\n");
    let secrets = site.cluster.names("secrets");
    let secret = site.cluster.object("secrets", &secrets[0]).unwrap();
    assert_eq!(secret["metadata"]["ownerReferences"][0]["kind"], "Job");
    site.context.call("tasks.stop", json!({ "task": task }));
    site.wait_for_no("jobs");
}

/// C-616, C-619
#[test]
fn pods_have_numbers_in_ports_mode() {
    let site = Site::still();
    let words = [
        "--ports-mode",
        "--num-of-services",
        "2",
        "--base-port",
        "30000",
    ];
    let glue = site.glue(&words);
    let tasks: Vec<String> = (0..3).map(|_| site.enqueue("echo")).collect();
    for (number, task) in (1..=2).zip(&tasks) {
        let pod = site.cluster.wait_for_pod(task);
        let label = &pod["metadata"]["labels"]["ai.allegro.agent.serial"];
        assert_eq!(*label, format!("pod-{number}"));
        let is_told = || site.property(task, "k8s-pod-port") == format!("{}", 30000 + number);
        assert!(wait_until(is_told));
        assert_eq!(site.property(task, "k8s-pod-number"), number.to_string());
    }
    glue.wait_for_output("Maximum pod limit reached 2/2");
    assert_eq!(site.queued("default"), 1);
}

/// C-600, C-624 to C-626: what is in the secret, and who runs the task.
#[test]
fn an_administrator_may_do_all_in_the_pod() {
    let site = Site::still();
    let place = |name: &str, text: &str| {
        let file = site.context.folder().join(name);
        fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let script = place(
        "script",
        "pip install clearml-agent{agent_install_args}\necho ${{HOME}}\nrun {default_execution_agent_args} --id {task_id}\n",
    );
    let configuration = place(
        "pod.conf",
        "agent.package_manager.system_site_packages: false\na: ü\n",
    );
    let words = [
        "--container-bash-script",
        &script,
        "--pod-clearml-conf",
        &configuration,
    ];
    let variables = [
        ("K8S_GLUE_POD_AGENT_INSTALL_ARGS", "==3.0.0"),
        ("K8S_GLUE_DEF_EXEC_AGENT_ARGS", "--require-queue"),
        ("K8S_GLUE_POD_USE_IMAGE_ENTRYPOINT", "1"),
    ];
    let glue = site.started(TEMPLATE, &words, &variables);
    glue.wait_for_output("listening to queues: default");
    let task = site.enqueue("echo never");
    let pod = site.cluster.wait_for_pod(&task);
    let main = &pod["spec"]["containers"][0];
    assert_eq!(main["command"], Value::Null);
    let variables = main["env"].as_array().unwrap();
    assert!(variables.contains(&json!({"name": "CLEARML_TASK_ID", "value": task})));
    assert!(wait_until(|| !site.cluster.names("secrets").is_empty()));
    let secrets = site.cluster.names("secrets");
    let secret = site.cluster.object("secrets", &secrets[0]).unwrap();
    let data = &secret["stringData"];
    let expected = format!(
        "pip install clearml-agent==3.0.0\necho ${{HOME}}\nrun --require-queue --id {task}"
    );
    assert_eq!(data["bash"], expected);
    let text = data["clearml.conf"].as_str().unwrap();
    assert!(text.contains("\"system_site_packages\": true"), "{text}");
    assert!(text.contains('ü'), "{text}");
    assert!(!pod.to_string().contains("clearml-agent==3.0.0"));
}

/// C-600, C-624: the token is in the secret, and the keys of the glue are not.
#[test]
fn a_task_acts_as_its_owner() {
    let context = TestContext::enterprise();
    let cluster = KubernetesStandIn::still(&context);
    let site = Site { cluster, context };
    let _glue = site.glue(&["--use-owner-token"]);
    let task = site.enqueue("echo never");
    let pod = site.cluster.wait_for_pod(&task);
    let variables = pod["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap()
        .iter();
    let mut tokens = variables.filter(|one| one["name"] == "CLEARML_AUTH_TOKEN");
    let source = &tokens.next().unwrap()["valueFrom"]["secretKeyRef"];
    let name = source["name"].as_str().unwrap();
    assert!(wait_until(|| site
        .cluster
        .object("secrets", name)
        .is_some()));
    let secret = site.cluster.object("secrets", name).unwrap();
    let token = secret["stringData"][source["key"].as_str().unwrap()]
        .as_str()
        .unwrap();
    assert!(token.len() > 20, "{token}");
    let text = secret["stringData"]["clearml.conf"].as_str().unwrap();
    assert!(!text.contains("secret_key"), "{text}");
}

/// C-615: a rule that fits, else the default image, and `CLEARML_DOCKER_IMAGE` before it; the task is told of each.
#[test]
fn a_task_without_an_image_gets_one() {
    let context = TestContext::enterprise();
    let cluster = KubernetesStandIn::still(&context);
    context.configure(
        r#"agent.default_docker {
            image: "default:1", arguments: ["-e", "WHOSE=default"]
            match_rules: [{image: "rule:1", arguments: "-e WHOSE=rule", match: {script: {binary: "special$"}}}]
        }"#,
    );
    let site = Site { cluster, context };
    let got = |script: Script, container: Value| {
        let task = site.context.create(script);
        let edit = json!({ "task": task, "container": container });
        site.context.call("tasks.edit", edit);
        let enqueue = json!({ "task": task, "queue": site.context.queue() });
        site.context.call("tasks.enqueue", enqueue);
        let pod = site.cluster.wait_for_pod(&task);
        let main = pod["spec"]["containers"][0].clone();
        let told = || site.context.field(&task, "container")["image"].clone();
        assert!(wait_until(|| told() == main["image"]), "{}", told());
        let variables = main["env"].as_array().unwrap().iter();
        let mut whose = variables.filter(|one| one["name"] == "WHOSE");
        let whose = whose.next().map(|one| one["value"].clone());
        (main["image"].clone(), whose.unwrap_or_default())
    };
    let shell = || Script::shell("echo never");
    let special = shell().with("binary", "special");
    let own = json!({ "image": "own:1", "arguments": "-e WHOSE=own" });
    let mut glue = site.glue(&[]);
    assert_eq!(
        got(shell(), json!({})),
        (json!("default:1"), json!("default"))
    );
    assert_eq!(
        got(special.clone(), json!({})),
        (json!("rule:1"), json!("rule"))
    );
    // No rule that is not forced changes what a task asks for.
    assert_eq!(got(special, own), (json!("own:1"), json!("own")));
    glue.signal(Signal::SIGTERM);
    glue.wait();
    let variables = [("CLEARML_DOCKER_IMAGE", "variable:1")];
    let glue = site.started(TEMPLATE, &[], &variables);
    glue.wait_for_output("listening to queues: default");
    let (image, _) = got(shell(), json!({}));
    assert_eq!(image, "variable:1");
}

/// C-600: what a task would become, without a cluster.
#[test]
fn a_manifest_is_shown() {
    let site = Site::still();
    let task = site.context.create(Script::shell("echo"));
    let overrides = site.context.folder().join("overrides.yaml");
    fs::write(&overrides, "spec: {priorityClassName: low}\n").unwrap();
    let overrides = overrides.display().to_string();
    let words = [
        "--render",
        &task,
        "--overrides-yaml",
        &overrides,
        "--namespace",
        "other",
    ];
    let mut glue = site.started(TEMPLATE, &words, &[("KUBECONFIG", "/nowhere")]);
    assert_eq!(glue.wait(), 0, "{}", glue.output());
    let output = glue.output();
    for line in [
        "kind: Pod\n",
        "  priorityClassName: low\n",
        "  namespace: other\n",
        "  - /.clearml-agent/clearml-agent\n",
        "image: agent:1\n",
    ] {
        assert!(output.contains(line), "{line}: {output}");
    }
    assert_eq!(site.cluster.requests(), Vec::<String>::new());
}

/// C-617, C-646: pods are where the template says, and what is left in the other namespace is seen to.
#[test]
fn a_template_may_name_another_namespace() {
    let site = Site::still();
    let old = json!({
        "metadata": {"name": "clearml-id-0a", "namespace": NAMESPACE, "uid": "old", "labels": {
            "CLEARML": OWNER, "clearml-task-id": "0a", "clearml-agent-queue": "0b",
        }},
        "status": {"phase": "Succeeded"},
    });
    site.cluster.put("pods", old);
    let template = TEMPLATE.replace("metadata:", "metadata:\n  namespace: team");
    let glue = site.started(&template, &[], &[]);
    glue.wait_for_output("listening to queues: default");
    let task = site.enqueue("echo never");
    let name = format!("clearml-id-{task}");
    let pod = || site.cluster.pod_in(OTHER, &name);
    assert!(wait_until(|| pod().is_some()));
    let is_left = || site.cluster.pod_in(NAMESPACE, "clearml-id-0a").is_some();
    assert!(wait_until(|| !is_left()));
    site.context.call("tasks.stop", json!({ "task": task }));
    assert!(wait_until(|| pod().is_none()));
}

/// C-647: all manifests of the example are what Kubernetes knows, and its rights are few. That they suffice is seen in all
/// tests: the stand-in goes by them.
#[test]
fn the_example_is_what_the_glue_needs() {
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
    use k8s_openapi::api::rbac::v1::RoleBinding;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubernetes");
    let read = |name: &str| fs::read_to_string(format!("{folder}/{name}")).unwrap();
    let objects = documents(&read("rights.yaml"));
    let account: ServiceAccount = serde_json::from_value(objects[0].clone()).unwrap();
    let binding: RoleBinding = serde_json::from_value(objects[2].clone()).unwrap();
    assert_eq!(
        Some(&binding.subjects.unwrap()[0].name),
        account.metadata.name.as_ref()
    );
    let expected = [
        ("pods", "get list watch create delete"),
        ("pods/log", "get"),
        ("secrets", "create"),
        ("jobs", "get list watch create delete"),
    ];
    let expected = expected.iter().flat_map(|(resource, verbs)| {
        let verbs = verbs.split(' ');
        verbs.map(|verb| ((*resource).to_owned(), verb.to_owned()))
    });
    assert_eq!(rights(), expected.collect::<Vec<_>>());
    let glue: Deployment =
        serde_json::from_value(documents(&read("glue.yaml"))[0].clone()).unwrap();
    let spec = glue.spec.unwrap().template.spec.unwrap();
    assert_eq!(spec.service_account_name, account.metadata.name);
    let _: Pod = serde_json::from_value(documents(&read("template.yaml"))[0].clone()).unwrap();
    // Its words are ours, and its template becomes a pod.
    let site = Site::still();
    let template = format!("{folder}/template.yaml");
    let words = spec.containers[0].args.as_ref().unwrap().iter();
    let words: Vec<String> = words
        .map(|word| word.replace("/etc/clearml/template.yaml", &template))
        .map(|word| word.replace("0.0.0.0:9090", "127.0.0.1:0"))
        .collect();
    // The image is that of the pod in which the glue runs.
    let host = gethostname().unwrap();
    let host = host.to_str().unwrap();
    let own = json!({
        "metadata": {"name": host, "namespace": NAMESPACE, "uid": "own"},
        "spec": {"containers": [{"name": "glue", "image": "our/agent:2"}]},
    });
    site.cluster.put("pods", own);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = site.context.command(&words);
    let (name, value) = site.cluster.variable();
    command.env(name, value);
    let glue = Watched::of(site.context.start_command(command));
    let task = site.enqueue("echo never");
    let pod = site.cluster.wait_for_pod(&task);
    // What its probe asks for is answered.
    let probe = spec.containers[0].readiness_probe.clone().unwrap();
    let path = probe.http_get.unwrap().path.unwrap();
    assert!(wait_until(|| glue.is_ok(&path)), "{:?}", glue.get(&path));
    assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
    assert_eq!(pod["spec"]["initContainers"][0]["image"], "our/agent:2");
    let kustomization = &documents(&read("kustomization.yaml"))[0];
    for name in kustomization["resources"].as_array().unwrap() {
        assert!(!read(name.as_str().unwrap()).is_empty());
    }
}

/// What the first container of a pod does: the runner is in the folder, for any user.
#[test]
fn the_agent_is_copied_into_a_volume() {
    use std::os::unix::fs::PermissionsExt;
    let context = TestContext::new();
    let folder = context.folder().join("volume");
    fs::create_dir(&folder).unwrap();
    let place = folder.display().to_string();
    for _ in 0..2 {
        let mut agent = context.start(&["boot", "deliver", &place]);
        assert_eq!(agent.wait(), 0, "{}", agent.output());
    }
    let copy = fs::metadata(folder.join("clearml-agent")).unwrap();
    assert_eq!(copy.permissions().mode() & 0o777, 0o755);
    let own = fs::metadata(env!("CARGO_BIN_EXE_clearml-agent")).unwrap();
    assert_eq!(copy.len(), own.len());
}

/// The API is trusted by the authority that the kubeconfig has, and by no other.
#[test]
fn the_api_is_trusted_by_the_authority_of_the_kubeconfig() {
    let site = Site::still();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let identity = ServerIdentity::by_authority(&["127.0.0.1"]);
    let front = runtime.block_on(TlsFront::start(site.cluster.address(), &identity));
    let other = ServerIdentity::by_authority(&["127.0.0.1"]);
    site.cluster.behind(front.address(), other.trusted());
    let mut glue = site.started(TEMPLATE, &[], &[]);
    assert_ne!(glue.wait(), 0);
    let output = glue.output();
    assert!(
        output.contains("the Kubernetes API does not answer: ") && output.contains("certificate"),
        "{output}"
    );
    assert_eq!(site.cluster.requests(), Vec::<String>::new());
    site.cluster.behind(front.address(), identity.trusted());
    let _glue = site.glue(&[]);
    let task = site.enqueue("echo never");
    site.cluster.wait_for_pod(&task);
}
