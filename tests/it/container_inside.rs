//! Agents that are in a container themselves, beside the containers of their tasks: the engine's socket is mounted.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::containers::{containers, docker};
use super::support::{Counter, Script, TestContext, images, wait_until};

/// A daemon in a container, with the machine's engine. It sees the home of the test as `/etc/agent`, and nothing else of
/// the machine but what `words` mount.
pub(super) struct Inside<'a> {
    context: &'a TestContext,
    container: String,
}

impl<'a> Inside<'a> {
    pub(super) fn start(context: &'a TestContext, words: &[&str]) -> Self {
        let folder = context.folder().display();
        let image = images::python();
        let program = env!("CARGO_BIN_EXE_clearml-agent");
        let mounts = [
            "/var/run/docker.sock:/var/run/docker.sock".to_owned(),
            // It must be there, and is not called.
            "/usr/bin/docker:/usr/bin/docker:ro".to_owned(),
            format!("{program}:/usr/local/bin/clearml-agent:ro"),
            format!("{}:/etc/agent:ro", context.home().display()),
        ];
        let mut all = vec!["run", "--detach", "--network", "host", "--env"];
        all.extend(["CLEARML_CONFIG_FILE=/etc/agent/clearml.conf", "--env"]);
        all.extend(["CLEARML_WORKER_NAME=host", "--env"]);
        all.push("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC=0.2");
        for mount in &mounts {
            all.extend(["--volume", mount]);
        }
        all.extend(words);
        let line = format!("{image} --network host -v {folder}:{folder}");
        all.extend([&*image, "clearml-agent", "daemon", "--foreground"]);
        all.extend(["--queue", "default", "--cpu-only", "--docker", &line]);
        let container = docker(&all).trim().to_owned();
        Self { context, container }
    }

    /// The mounts of a task's container: where the engine has them, and where they are.
    fn mounts_of(task: &str) -> Vec<(String, String)> {
        let found = containers(task);
        let text = docker(&["inspect", "--format", "{{json .HostConfig}}", &found[0]]);
        let host: Value = serde_json::from_str(&text).unwrap();
        let list = |kind: &str| host[kind].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let binds = list("Binds").map(|bind| {
            let bind = text(bind);
            let mut parts = bind.split(':').map(str::to_owned);
            (parts.next().unwrap(), parts.next().unwrap())
        });
        let mounts = list("Mounts").map(|mount| (text(&mount["Source"]), text(&mount["Target"])));
        binds.chain(mounts).collect()
    }

    fn output(&self) -> String {
        let mut command = images::docker(&["logs", &self.container]);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// A task that counts: its console has each number once, it is completed, and its container goes.
    #[track_caller]
    fn runs_a_task(&self, look: impl FnOnce(&str)) -> String {
        let context = self.context;
        let (counter, script) = Counter::new(context, "");
        let task = context.enqueue(script);
        let begun = wait_until(|| context.console(&task).contains("line 5\n"));
        assert!(begun, "{}\n{}", self.output(), context.console(&task));
        look(&task);
        counter.stop();
        context.wait_for_status(&task, "completed");
        let console = context.console(&task);
        counter.assert_complete(&console, "Process completed successfully");
        assert!(wait_until(|| containers(&task).is_empty()));
        console
    }

    /// SIGTERM, as `docker stop` sends it.
    #[track_caller]
    pub(super) fn stop(&self) {
        docker(&["stop", "--time", "20", &self.container]);
        let code = docker(&[
            "inspect",
            "--format",
            "{{.State.ExitCode}}",
            &self.container,
        ]);
        assert_eq!(code.trim(), "254", "{}", self.output());
        assert_eq!(self.context.workers(), [] as [&str; 0]);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        docker(&["rm", "--force", "--volumes", &self.container]);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// C-236: nothing of the agent's own can be mounted, so it is put into the container.
#[test]
fn an_agent_in_a_container_runs_tasks_beside_itself() {
    let context = TestContext::new();
    let agent = Inside::start(&context, &[]);
    let console = agent.runs_a_task(|task| {
        let folder = context.folder().display().to_string();
        assert_eq!(Inside::mounts_of(task), [(folder.clone(), folder)]);
    });
    let notice = "NOTICE: the agent is in a container, and its engine does not see /root/.clearml/";
    assert_eq!(console.matches(notice).count(), 1, "{console}");
    agent.stop();
}

/// C-236: what is below a mount of the agent's own container is mounted from where the engine has it.
#[test]
fn an_agent_in_a_container_maps_its_own_mounts() {
    let context = TestContext::new();
    let outside = context.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    let mount = format!("{}:/root/.clearml", outside.display());
    let agent = Inside::start(&context, &["--volume", &mount]);
    let console = agent.runs_a_task(|task| {
        let mounts = Inside::mounts_of(task);
        let at = |place: &str| -> String {
            let found = mounts.iter().find(|(_, inside)| inside == place);
            found
                .map(|(outside, _)| outside.clone())
                .unwrap_or_default()
        };
        let outside = outside.display();
        assert_eq!(at("/root/.cache/pip"), format!("{outside}/pip-cache"));
        let runner = at("/.clearml-agent");
        assert!(
            runner.starts_with(&format!("{outside}/agent-runner/")),
            "{mounts:?}"
        );
        // Of a run, which is below no mount.
        assert_eq!(at("/tmp/clearml.conf"), "");
    });
    assert!(
        !console.contains("NOTICE: the agent is in a container"),
        "{console}"
    );
    agent.stop();
}

/// C-070, C-071, C-072, C-073, C-074, C-074a
#[test]
fn an_agent_in_a_container_shares_files_below_its_host_mount() {
    let context = TestContext::new();
    let outside = context.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    let pair = format!("{}:/root/.clearml", outside.display());
    let variable = format!("CLEARML_AGENT_DOCKER_HOST_MOUNT={pair}");
    let elsewhere = "CLEARML_AGENT__agent__docker_apt_cache=/var/apt-cache";
    let words = ["--volume", &pair, "--env", &variable, "--env", elsewhere];
    let agent = Inside::start(&context, &words);
    let warning = "Warning: K8S mount missing, ignoring cached folder /var/apt-cache";
    let is_warned = wait_until(|| agent.output().contains(warning));
    assert!(is_warned, "{}", agent.output());
    let console = agent.runs_a_task(|task| {
        let mounts = Inside::mounts_of(task);
        let outside = outside.display();
        let configuration = format!("{outside}/.clearml_agent.host%3Acpu%3A0.cfg");
        let expected = (configuration, "/tmp/clearml.conf".to_owned());
        assert!(mounts.contains(&expected), "{mounts:?}");
        let is_outside =
            |(from, to): &(String, String)| from == to || from.starts_with(&outside.to_string());
        assert!(mounts.iter().all(is_outside), "{mounts:?}");
        let text = docker(&["inspect", &containers(task)[0]]);
        let container: Value = serde_json::from_str(&text).unwrap();
        let variables = container[0]["Config"]["Env"].to_string();
        assert!(
            variables.contains("\"NVIDIA_VISIBLE_DEVICES=none\""),
            "{variables}"
        );
    });
    assert_eq!(agent.output().matches(warning).count(), 1);
    assert!(console.contains("Process completed successfully"));
    let left = names(&outside);
    let secret = left.iter().find(|name| name.starts_with(".clearml_agent."));
    assert_eq!(secret, None, "{left:?}");
    agent.stop();
}

/// C-070, C-071: the container of a task is in the network of the agent's.
#[test]
fn the_network_of_the_agents_container_is_found() {
    let context = TestContext::new();
    let outside = context.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    let pair = format!("{}:/root/.clearml", outside.display());
    let variable = format!("CLEARML_AGENT_K8S_HOST_MOUNT={pair}");
    let agent = Inside::start(&context, &["--volume", &pair, "--env", &variable]);
    let task = context.create(Script::shell("echo in the same network"));
    // Arguments of its own: those of the agent, with their network, do not count (C-015).
    let container = serde_json::json!({"image": images::python(), "arguments": "-e A=1"});
    context.call(
        "tasks.edit",
        serde_json::json!({"task": task, "container": container}),
    );
    let queue = context.queue();
    context.call(
        "tasks.enqueue",
        serde_json::json!({"task": task, "queue": queue}),
    );
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    assert!(console.contains("'--network', 'host'"), "{console}");
    assert!(console.contains("\nin the same network\n"), "{console}");
    agent.stop();
}
