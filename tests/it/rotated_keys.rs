//! The agent's keys are replaced, and the old ones revoked, while it works: neither task nor worker is lost, and it is said.

use serde_json::json;

use super::kubernetes::Site;
use super::support::{Agent, Counter, TestContext, wait_until};

const REFUSED: &str = "Warning: the server refuses the agent's keys: ";
const ACCEPTED: &str = "The server accepts the agent's keys again after ";

/// A counting task under a daemon.
fn running() -> (TestContext, Agent, Counter, String) {
    let context = TestContext::new();
    let (counter, script) = Counter::new(&context, "");
    let task = context.enqueue(script);
    let daemon = context.daemon();
    context.wait_for_console(&task, "line 5\n");
    (context, daemon, counter, task)
}

/// The line of a configuration with other keys of the same user.
fn other_keys(context: &TestContext) -> (String, [String; 2]) {
    let made = context.call("auth.create_credentials", json!({}));
    let key = |name: &str| made["credentials"][name].as_str().unwrap().to_owned();
    let keys = [key("access_key"), key("secret_key")];
    let [access, secret] = &keys;
    let line = format!("api.credentials {{ access_key: \"{access}\", secret_key: \"{secret}\" }}");
    (line, keys)
}

/// Tokens that were given for them are good for a while.
fn revoke_keys(context: &TestContext) {
    let old = &context.server.credentials().access_key;
    context.call("auth.revoke_credentials", json!({ "access_key": old }));
}

fn revoke(context: &TestContext) {
    revoke_keys(context);
    context.server.block_tokens().unwrap();
}

#[track_caller]
fn complete(context: &TestContext, counter: &Counter, task: &str) {
    counter.wait_for(5);
    let printed = format!("line {}\n", counter.count());
    context.wait_for_console(task, &printed);
    counter.stop();
    context.wait_for_status(task, "completed");
    counter.assert_complete(&context.console(task), "Process completed successfully");
    context.wait_for_no_runs();
}

#[test]
fn keys_are_replaced_while_a_task_runs() {
    let (context, mut daemon, counter, task) = running();
    let (line, _) = other_keys(&context);
    context.configure(&line);
    revoke(&context);
    complete(&context, &counter, &task);
    let output = daemon.output();
    assert!(!output.contains(REFUSED), "{output}");
    assert_eq!(daemon.terminate(), 254);
}

/// The keys were revoked by mistake, or before the new ones were there.
#[test]
fn a_task_waits_for_keys_that_the_server_accepts() {
    let (context, mut daemon, counter, task) = running();
    let (line, _) = other_keys(&context);
    revoke(&context);
    daemon.wait_for_output(REFUSED);
    counter.wait_for(20);
    assert_eq!(context.status(&task), "in_progress");
    context.configure(&line);
    daemon.wait_for_output(ACCEPTED);
    complete(&context, &counter, &task);
    let count = |text: &str| daemon.output().matches(text).count();
    // The worker and the supervisor of its task have a way to the server each, and ask at times of their own.
    let is_over = wait_until(|| count(REFUSED) == count(ACCEPTED));
    assert!(is_over && count(REFUSED) <= 2, "{}", daemon.output());
    assert_eq!(daemon.terminate(), 254);
}

/// The new ones are in the variables of the service.
#[test]
fn the_next_worker_brings_its_keys_to_the_task_that_it_adopts() {
    let (context, mut daemon, counter, task) = running();
    let (_, [access, secret]) = other_keys(&context);
    daemon.kill();
    revoke(&context);
    let mut daemon = context.daemon_with(&[
        ("CLEARML_API_ACCESS_KEY", &access),
        ("CLEARML_API_SECRET_KEY", &secret),
    ]);
    daemon.wait_for_output(&format!("Adopted running task '{task}'"));
    complete(&context, &counter, &task);
    assert!(!daemon.output().contains(&secret));
    assert_eq!(daemon.terminate(), 254);
}

#[test]
fn an_idle_worker_says_that_its_keys_are_refused() {
    let context = TestContext::new();
    let mut daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    let (line, _) = other_keys(&context);
    revoke(&context);
    daemon.wait_for_output(REFUSED);
    let looks = || context.requests("auth.login").len();
    let before = looks();
    assert!(wait_until(|| looks() > before + 3));
    context.configure(&line);
    daemon.wait_for_output(ACCEPTED);
    let (counter, script) = Counter::new(&context, "");
    counter.stop();
    let task = context.enqueue(script);
    context.wait_for_status(&task, "completed");
    let output = daemon.output();
    assert_eq!(output.matches(REFUSED).count(), 1, "{output}");
    assert_eq!(output.matches(ACCEPTED).count(), 1, "{output}");
    assert_eq!(daemon.terminate(), 254);
}

/// A worker has its token for a while, so it may still take a task; the task neither fails nor gets lost for that.
#[test]
fn a_task_that_was_taken_just_then_waits_for_keys() {
    let context = TestContext::new();
    let mut daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    let (line, _) = other_keys(&context);
    revoke_keys(&context);
    let (counter, script) = Counter::new(&context, "");
    let task = context.enqueue(script);
    daemon.wait_for_output(REFUSED);
    context.configure(&line);
    daemon.wait_for_output(ACCEPTED);
    complete(&context, &counter, &task);
    assert_eq!(daemon.terminate(), 254);
}

#[test]
fn the_end_of_a_program_waits_for_keys() {
    let (context, mut daemon, counter, task) = running();
    let (line, _) = other_keys(&context);
    revoke(&context);
    daemon.wait_for_output(REFUSED);
    counter.stop();
    daemon.wait_for_output("Leaving process id");
    context.configure(&line);
    context.wait_for_status(&task, "completed");
    counter.assert_complete(&context.console(&task), "Process completed successfully");
    context.wait_for_no_runs();
    assert_eq!(daemon.terminate(), 254);
}

/// C-624: a pod gets the keys that count when it is made.
#[test]
fn pods_get_the_keys_of_today() {
    let site = Site::still();
    let glue = site.glue(&[]);
    let keys_of = |task: &str| {
        site.cluster.wait_for_pod(task);
        let of_task = |name: &String| name.starts_with(&format!("clearml-id-{task}"));
        let secret = || site.cluster.names("secrets").into_iter().find(of_task);
        assert!(wait_until(|| secret().is_some()), "{}", glue.output());
        let secret = site.cluster.object("secrets", &secret().unwrap());
        let text = secret.unwrap()["stringData"]["clearml.conf"].clone();
        text.as_str().expect("a configuration").to_owned()
    };
    let (line, [access, secret]) = other_keys(&site.context);
    let before = keys_of(&site.enqueue("echo never"));
    let first = &site.context.server.credentials().access_key;
    assert!(before.contains(first) && !before.contains(&access));
    site.context.configure(&line);
    let after = keys_of(&site.enqueue("echo never"));
    assert!(after.contains(&access) && after.contains(&secret) && !after.contains(first));
}
