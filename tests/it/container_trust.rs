//! Certificates and proxies as a container sees them, by which the agent in it reaches the server (C-237).

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::support::containers::daemon;
use super::support::{FaultProxy, Script, ServerIdentity, TestContext, TlsFront, images};

/// Puts a task into the queue whose container has these arguments.
fn enqueue(context: &TestContext, arguments: &str) -> String {
    let task = context.create(Script::shell("echo inside"));
    let folder = context.folder().display();
    let container = json!({
        "image": images::python(),
        "arguments": format!("--network host -v {folder}:{folder} {arguments}"),
    });
    context.call("tasks.edit", json!({"task": task, "container": container}));
    let queue = context.queue();
    context.call("tasks.enqueue", json!({"task": task, "queue": queue}));
    task
}

/// C-237: those of the image, and those that variables of the container name; not those of the agent outside.
#[test]
fn certificates_are_those_of_the_container() {
    let context = TestContext::new();
    let identity = ServerIdentity::by_authority(&["127.0.0.1"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = context.server.url();
    let address = address.trim_start_matches("http://").parse().unwrap();
    let front = runtime.block_on(TlsFront::start(address, &identity));
    context.configure(&format!("api.api_server: \"https://{}\"", front.address()));
    let bundle = context.folder().join("authority.pem");
    fs::write(&bundle, identity.trusted()).unwrap();
    let bundle = bundle.display().to_string();
    let known = [
        format!("-v {bundle}:{}:ro", images::CERTIFICATES),
        format!("-e REQUESTS_CA_BUNDLE={bundle}"),
        format!("-e CURL_CA_BUNDLE={bundle}"),
        format!("-e SSL_CERT_FILE={bundle}"),
    ];
    let tasks = known
        .each_ref()
        .map(|arguments| enqueue(&context, arguments));
    let unknown = enqueue(&context, "");
    let outside = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
    let outside = outside.map(|name| (name, &*bundle));
    let mut daemon = daemon(&context, "unused:1", &outside);
    for (task, arguments) in tasks.iter().zip(&known) {
        context.wait_for_status(task, "completed");
        let console = context.console(task);
        assert!(console.contains("\ninside\n"), "{arguments}: {console}");
    }
    context.wait_for_status(&unknown, "failed");
    let console = context.console(&unknown);
    assert!(console.contains("certificate"), "{console}");
    assert!(!console.contains("\ninside\n"), "{console}");
    assert_eq!(daemon.terminate(), 254);
}

/// C-237, C-090: the proxy of the container is used inside, and no proxy of the agent gets there by itself.
#[test]
fn proxies_are_those_of_the_container() {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = calls.clone();
    proxy.set(move |call| {
        seen.lock().unwrap().push(call.to_owned());
        None
    });
    let url = proxy.url();
    let through = enqueue(
        &context,
        &format!("-e HTTP_PROXY={url} -e http_proxy={url}"),
    );
    let mut agent = daemon(&context, "unused:1", &[]);
    context.wait_for_status(&through, "completed");
    let taken = std::mem::take(&mut *calls.lock().unwrap());
    assert!(taken.contains(&"tasks.get_by_id".to_owned()), "{taken:?}");
    assert!(
        !taken.contains(&"workers.status_report".to_owned()),
        "{taken:?}"
    );
    let beside = format!("-e HTTP_PROXY={url} -e http_proxy={url} -e NO_PROXY=127.0.0.1");
    let beside = enqueue(&context, &beside);
    let without = enqueue(&context, "");
    for task in [&beside, &without] {
        context.wait_for_status(task, "completed");
    }
    assert_eq!(*calls.lock().unwrap(), [] as [&str; 0]);
    assert_eq!(agent.terminate(), 254);
}
