//! `--use-owner-token`: tasks act on the server as their owners.

use serde_json::{Value, json};

use super::support::{Agent, Fault, FaultProxy, Script, TestContext, wait_until};

/// Prints who the program is on the server, and what else it could be.
const WHO: &str = r#"
claims=$(cut -d. -f2 <<< "$CLEARML_AUTH_TOKEN")
while [ $(( ${#claims} % 4 )) -ne 0 ]; do claims="$claims="; done
echo "claims $(base64 -d <<< "$(tr '_-' '/+' <<< "$claims")")"
echo "keys ${CLEARML_API_ACCESS_KEY:-none} ${CLEARML_API_SECRET_KEY:-none}"
grep -c secret_key "$CLEARML_CONFIG_FILE" || true
echo over
"#;

pub(super) fn daemon(context: &TestContext, words: &[&str]) -> Agent {
    let mut all = vec![
        "daemon",
        "--queue",
        "default",
        "--foreground",
        "--use-owner-token",
    ];
    all.extend(words);
    context.start(&all)
}

/// A person beside the administrator whose keys the agent has.
pub(super) fn create_user(context: &TestContext) -> String {
    let user = context.call(
        "auth.create_user",
        json!({ "name": "Jane", "role": "user" }),
    );
    user["id"].as_str().expect("an id").to_owned()
}

/// A task of this user in the queue.
fn enqueue_by(context: &TestContext, user: &str, text: &str) -> String {
    let task = context.create(Script::shell(text));
    let script = context.field(&task, "script");
    let wanted = json!({ "name": "hers", "type": "training", "script": script });
    let call = |endpoint: &str, body: Value| {
        let answer = context.server.call_as(user, endpoint, body);
        answer.unwrap_or_else(|error| panic!("{endpoint}: {error:?}"))
    };
    let task = call("tasks.create", wanted)["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    call(
        "tasks.enqueue",
        json!({ "task": task, "queue": context.queue() }),
    );
    task
}

/// D-151, D-276, D-277, D-278, A-065, A-066, F-116: the program has a token of the task's owner, and no keys; what is said about the
/// task is said as the owner.
#[test]
fn a_task_acts_as_its_owner() {
    let context = TestContext::enterprise();
    let user = create_user(&context);
    let task = enqueue_by(&context, &user, WHO);
    let mut agent = daemon(&context, &[]);
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    let own = format!("\"user\":\"{user}\"");
    assert!(console.contains(&own), "{console}");
    assert!(console.contains("\nkeys none none\n0\nover\n"), "{console}");
    let asked = context.requests("queues.get_next_task");
    assert!(
        asked
            .iter()
            .all(|request| request.body["get_task_info"] == true)
    );
    let logins = context.requests("auth.login");
    let login = logins
        .iter()
        .find(|login| login.headers.get("x-clearml-impersonate-as") == Some(&user))
        .expect("a login as the owner");
    assert_eq!(login.path, "/v2.5/auth.login");
    assert!(login.headers["authorization"].starts_with("Bearer"));
    assert_eq!(login.body, json!({}));
    assert_eq!(agent.terminate(), 254);
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// D-278: a supervisor that dies is replaced by one that acts as the owner as well.
#[test]
fn the_next_supervisor_acts_as_the_owner_too() {
    let context = TestContext::enterprise();
    let user = create_user(&context);
    let gate = context.gate("gate");
    let task = enqueue_by(&context, &user, &format!("echo up; {}", gate.wait()));
    let mut agent = daemon(&context, &[]);
    context.wait_for_console(&task, "up\n");
    let journal = context.journal();
    assert_eq!(journal["owner"]["user"], user);
    let pid = journal["supervisor"]["pid"].as_i64().expect("a process");
    let pid = nix::unistd::Pid::from_raw(pid.try_into().expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("killed");
    context.wait_for_status(&task, "failed");
    let as_owner = |request: &local_server::RecordedRequest| {
        request.headers.get("x-clearml-impersonate-as") == Some(&user)
    };
    let logins = context.requests("auth.login");
    assert_eq!(logins.iter().filter(|login| as_owner(login)).count(), 2);
    assert_eq!(agent.terminate(), 254);
}

/// D-277: a task whose owner nobody can be is not left as if it ran.
#[test]
fn a_task_whose_owner_nobody_can_be_fails() {
    let context = TestContext::enterprise();
    let nobody = create_user(&context);
    let task = enqueue_by(&context, &nobody, "echo never");
    context.server.remove_user(&nobody).expect("removed");
    let mut agent = daemon(&context, &[]);
    assert!(
        wait_until(|| context.status(&task) == "failed"),
        "{}",
        agent.output()
    );
    let expected =
        format!("Error: Could not login as the user '{nobody}' for the task '{task}', skipping");
    agent.wait_for_output(&expected);
    assert!(wait_until(|| context.runs().is_empty()));
    assert!(context.reason(&task).starts_with(&expected));
    let next = context.enqueue(Script::shell("echo next"));
    context.wait_for_status(&next, "completed");
    assert_eq!(agent.terminate(), 254);
}

/// D-277: neither is one that a worker has begun which is gone, and whose place nobody takes.
#[test]
fn a_run_that_nobody_can_settle_fails() {
    let context = TestContext::enterprise();
    let user = create_user(&context);
    let task = enqueue_by(&context, &user, "echo up; sleep 600");
    let mut agent = daemon(&context, &[]);
    context.wait_for_console(&task, "up\n");
    let pid = context.journal()["supervisor"]["pid"].as_i64();
    let pid = nix::unistd::Pid::from_raw(pid.expect("a process").try_into().expect("a pid"));
    agent.kill();
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("killed");
    context.server.remove_user(&user).expect("removed");
    assert_eq!(context.runs().len(), 1);

    let mut other = context.command(&["daemon", "--queue", "default", "--foreground"]);
    other
        .arg("--use-owner-token")
        .env("CLEARML_WORKER_NAME", "other");
    let mut other = context.start_command(other);
    context.wait_for_status(&task, "failed");
    let expected =
        format!("Error: Could not login as the user '{user}' for the task '{task}', skipping");
    assert!(context.reason(&task).starts_with(&expected));
    context.wait_for_no_runs();
    other.wait_for_output(&expected);
    assert_eq!(other.terminate(), 254);
}

/// D-278: a worker that leaves while it waits for the owner's login puts the task back.
#[test]
fn a_task_that_waits_for_its_owners_login_goes_back_to_its_queue() {
    let context = TestContext::enterprise();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    let mut agent = daemon(&context, &[]);
    agent.wait_for_output("No tasks in Queues");
    proxy.set(|call| (call == "auth.login").then_some(Fault::BadGateway));
    let user = create_user(&context);
    let task = enqueue_by(&context, &user, "echo here");
    assert!(wait_until(|| !context.runs().is_empty()));
    assert_eq!(agent.terminate(), 254);
    let queue = context.call("queues.get_by_id", json!({ "queue": context.queue() }));
    assert_eq!(queue["queue"]["entries"][0]["task"], task);
    assert_eq!(context.runs(), Vec::<std::path::PathBuf>::new());
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// A-066, D-276: what the server or the user does not allow is said at the start.
#[test]
fn it_is_refused_where_it_cannot_work() {
    let context = TestContext::new();
    let words = ["daemon", "--queue", "default", "--use-owner-token"];
    let finished = context.run(&words);
    assert_eq!(finished.code, 1);
    let error = "clearml_agent: ERROR: Server does not support --use-owner-token option\nhint: ";
    assert!(finished.stdout.contains(error), "{}", finished.stdout);

    let old = [("CLEARML_AGENT_FORCE_MAX_API_VERSION", "2.13")];
    let context = TestContext::enterprise();
    let finished = context.run_with(&words, &old);
    assert_eq!(finished.code, 1);
    let error = "Server does not support --use-owner-token option (incompatible API version)";
    assert!(finished.stdout.contains(error), "{}", finished.stdout);

    let user = create_user(&context);
    let keys = context
        .server
        .call_as(&user, "auth.create_credentials", json!({}))
        .expect("keys");
    let keys = &keys["credentials"];
    let text = |name: &str| keys[name].as_str().expect("a key").to_owned();
    let finished = context.run_with(
        &words,
        &[
            ("CLEARML_API_ACCESS_KEY", &text("access_key")),
            ("CLEARML_API_SECRET_KEY", &text("secret_key")),
        ],
    );
    assert_eq!(finished.code, 1);
    let error = "User role not suitable for --use-owner-token option (requires at least admin or service account, found user)";
    assert!(finished.stdout.contains(error), "{}", finished.stdout);
}
