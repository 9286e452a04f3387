//! The server is away, or its answers get lost: no line of a task is lost, none comes twice.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Agent, Counter, Fault, FaultProxy, TestContext, wait_until};

const DOWN: &str = "Warning: the server does not answer";
const UP: &str = "The server answers again after";
const COMPLETED: &str = "Process completed successfully";

/// How long the server stays away.
const OUTAGES: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(1)];

/// D-166, D-167, D-168, D-354
#[test]
fn a_task_prints_on_while_the_server_is_away() {
    let context = TestContext::new();
    let (counter, script) = Counter::new(&context, "");
    let task = context.enqueue(script);
    // The worker notices as well.
    let daemon = context.daemon_with(&[("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2")]);
    for outage in OUTAGES {
        let before = daemon.output().matches(DOWN).count();
        let printed = format!("line {}\n", counter.count() + 10);
        context.wait_for_console(&task, &printed);
        context.server.stop_listening().unwrap();
        let away = Instant::now();
        assert!(wait_until(|| daemon.output().matches(DOWN).count() > before));
        assert!(wait_until(|| away.elapsed() >= outage));
        counter.wait_for(100);
        context.server.resume().unwrap();
    }
    let printed = format!("line {}\n", counter.count());
    context.wait_for_console(&task, &printed);
    assert_eq!(context.status(&task), "in_progress");
    counter.stop();
    context.wait_for_status(&task, "completed");
    counter.assert_complete(&context.console(&task), COMPLETED);
    assert_eq!(context.reason(&task), "worker execution done");
    let said = [DOWN, UP].map(|text| daemon.output().matches(text).count());
    assert_eq!(said, [OUTAGES.len(); 2], "{}", daemon.output());
}

/// D-168: the end of a task that nobody could be told of is told later.
#[test]
fn a_task_ends_while_the_server_is_away() {
    let context = TestContext::new();
    let (counter, script) = Counter::new(&context, "printf 'the end'; exit 3");
    let task = context.enqueue(script);
    let daemon = context.daemon();
    context.wait_for_console(&task, "line 10\n");
    context.server.stop_listening().unwrap();
    counter.wait_for(20);
    counter.stop();
    daemon.wait_for_output("Leaving process id");
    daemon.wait_for_output(DOWN);
    assert_eq!(context.status(&task), "in_progress");
    context.server.resume().unwrap();
    context.wait_for_status(&task, "failed");
    assert_eq!(context.reason(&task), "worker execution exit code 3");
    let end = "the endProcess failed, exit code 3";
    counter.assert_complete(&context.console(&task), end);
    context.wait_for_no_runs();
}

/// A context whose agent speaks to the server through a proxy that loses answers.
fn behind_proxy() -> (TestContext, FaultProxy) {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    (context, proxy)
}

/// D-222, D-166: the server has taken the lines and the agent does not know; sent again, they would be there twice.
#[test]
fn a_lost_answer_does_not_double_lines() {
    let (context, proxy) = behind_proxy();
    let mut batches = 0;
    proxy.set(move |call| {
        batches += usize::from(call == "events.add_batch");
        let lost = call == "events.add_batch" && batches % 2 == 0;
        lost.then_some(Fault::AnswerLost)
    });
    let (counter, script) = Counter::new(&context, "");
    let task = context.enqueue(script);
    let _daemon = context.daemon();
    assert!(wait_until(|| proxy.faults().len() >= 3));
    counter.wait_for(10);
    counter.stop();
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    counter.assert_complete(&console, COMPLETED);
    assert!(proxy.faults().iter().all(|call| call == "events.add_batch"));

    // The server does not recognise a repetition: what the test proves is not the server's merit.
    let requests = context.requests("events.add_batch");
    let again = requests.last().unwrap().body["__json_lines__"].clone();
    context.call("events.add_batch", again);
    assert_eq!(context.console(&task).matches(COMPLETED).count(), 2);
}

/// D-222: where an answer with the newest lines would be too long, fewer are asked for at once; none is missed or doubled for it.
#[test]
fn a_console_that_is_too_long_is_read_back_in_smaller_pages() {
    let (context, proxy) = behind_proxy();
    let (counter, script) = Counter::new(&context, "");
    let task = context.enqueue(script);
    let _daemon = context.daemon();
    context.wait_for_console(&task, "line 5\n");
    // The program has sent others by itself, which are newer than all that the agent sends.
    let newest = context.log(&task).last().unwrap()["timestamp"]
        .as_u64()
        .unwrap();
    let own = (1..=200).map(|number| {
        let timestamp = newest + 3_600_000 + number;
        json!({ "type": "log", "task": task, "level": "INFO", "msg": "", "timestamp": timestamp })
    });
    context.call("events.add_batch", own.collect());
    let (mut is_lost, mut long) = (false, 0);
    proxy.set(move |call| match call {
        "events.add_batch" if !is_lost => {
            is_lost = true;
            Some(Fault::AnswerLost)
        }
        "events.get_task_log" if long < 3 => {
            long += 1;
            Some(Fault::TooLong)
        }
        _ => None,
    });
    let read_back = || context.requests("events.get_task_log");
    assert!(wait_until(|| read_back().len() >= 4));
    counter.wait_for(10);
    counter.stop();
    context.wait_for_status(&task, "completed");
    counter.assert_complete(&context.console(&task), COMPLETED);
    assert_eq!(proxy.faults().len(), 4, "{:?}", proxy.faults());
    // 500, 250 and 125 were too many.
    for request in read_back() {
        assert_eq!(request.body["batch_size"], 62);
    }
}

/// D-166, D-222, D-234: a gateway's error does not tell whether the server behind it has acted.
#[test]
fn a_gateway_whose_server_is_away_costs_no_line() {
    let (context, proxy) = behind_proxy();
    let (counter, script) = Counter::new(&context, "");
    let task = context.enqueue(script);
    let _daemon = context.daemon();
    context.wait_for_console(&task, "line 10\n");
    proxy.set(|_| Some(Fault::BadGateway));
    let failed = |call: &str| proxy.faults().iter().any(|fault| fault == call);
    assert!(wait_until(
        || failed("events.add_batch") && failed("tasks.get_all")
    ));
    counter.wait_for(50);
    proxy.set(|_| None);
    let printed = format!("line {}\n", counter.count());
    context.wait_for_console(&task, &printed);
    counter.stop();
    context.wait_for_status(&task, "completed");
    counter.assert_complete(&context.console(&task), COMPLETED);
}

/// D-166, D-222: a server that says it has failed has refused neither the lines nor the status.
#[test]
fn an_error_of_the_server_itself_costs_neither_lines_nor_status() {
    let (context, proxy) = behind_proxy();
    let mut seen = std::collections::BTreeMap::new();
    proxy.set(move |call| {
        let number = seen.entry(call.to_owned()).or_insert(0);
        *number += 1;
        let fails = match call {
            "events.add_batch" => *number % 3 == 0,
            "tasks.completed" => *number == 1,
            _ => false,
        };
        fails.then_some(Fault::ServerError)
    });
    let (counter, script) = Counter::new(&context, "");
    let task = context.enqueue(script);
    let _daemon = context.daemon();
    assert!(wait_until(|| proxy.faults().len() >= 2));
    counter.stop();
    context.wait_for_status(&task, "completed");
    counter.assert_complete(&context.console(&task), COMPLETED);
    assert!(proxy.faults().iter().any(|call| call == "tasks.completed"));
    context.wait_for_no_runs();
}

/// D-056
#[test]
fn a_server_that_is_down_at_the_start_is_an_error() {
    let context = TestContext::new();
    context.configure("api.http.retries.connect: 1");
    context.server.stop_listening().unwrap();
    let mut daemon = context.daemon();
    assert_eq!(daemon.wait(), 1);
    let expected = format!(
        "\nclearml_agent: ERROR: Connection Error: it seems *api_server* is misconfigured. \
         Is this the ClearML API server {} ?\n",
        context.server.url()
    );
    assert!(daemon.output().contains(&expected), "{}", daemon.output());
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// D-166, D-167
#[test]
fn an_idle_daemon_says_once_that_the_server_is_away_and_once_that_it_is_back() {
    let context = TestContext::new();
    let daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    context.server.stop_listening().unwrap();
    daemon.wait_for_output(DOWN);
    context.server.resume().unwrap();
    daemon.wait_for_output(UP);
    assert_says_each_once(&daemon);
    assert_works(&context);
    assert_says_each_once(&daemon);
}

/// D-166, D-167: however many tries there are.
#[test]
fn an_idle_daemon_does_not_count_the_errors_of_a_gateway() {
    let (context, proxy) = behind_proxy();
    let daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    proxy.set(|_| Some(Fault::BadGateway));
    assert!(wait_until(|| proxy.faults().len() >= 4));
    proxy.set(|_| None);
    daemon.wait_for_output(UP);
    assert_says_each_once(&daemon);
    assert_works(&context);
}

#[track_caller]
fn assert_says_each_once(daemon: &Agent) {
    let output = daemon.output();
    let times = [DOWN, UP].map(|text| output.matches(text).count());
    assert_eq!(times, [1, 1], "{output}");
}

#[track_caller]
fn assert_works(context: &TestContext) {
    let task = context.enqueue(super::support::Script::shell("echo on"));
    context.wait_for_status(&task, "completed");
    let registered = context.requests("workers.register");
    let workers: Vec<&Value> = registered
        .iter()
        .map(|request| &request.body["worker"])
        .collect();
    assert_eq!(workers, ["host:0"]);
}
