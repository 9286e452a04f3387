//! Processes end, are killed and come again: their GPUs are had by one of them at any time.

use std::fs;

use nix::sys::signal::{Signal, kill};

use super::Machine;
use crate::support::wait_until;

/// D-275: its GPUs come back, and so do those of its programs.
#[test]
fn a_supervisor_that_is_killed_gives_its_gpus_back() {
    let machine = Machine::new();
    let context = &machine.context;
    let queue = context.queue();
    let (first, _gate) = machine.held(&queue, "first");
    let mut daemon = machine.start("0", &["default=1"]);
    machine.wait_for_place(&first);
    let second = machine.task(&queue, "");
    kill(machine.supervisor(&first), Signal::SIGKILL).unwrap();
    context.wait_for_status(&first, "failed");
    context.wait_for_status(&second, "completed");
    assert_eq!(machine.place_of(&second).unwrap().1, "0");
    machine.assert_no_gpu_was_used_twice();
    machine.wait_for_files(&["host:dgpu0"]);
    assert_eq!(daemon.terminate(), 254);
}

/// D-275: a task outlives its worker, keeps its GPUs from everybody, and has the next worker.
#[test]
fn a_worker_that_is_started_again_finds_its_tasks() {
    let machine = Machine::new();
    let context = &machine.context;
    let (queue, other_queue) = (context.queue(), machine.queue("other"));
    let (first, gate) = machine.held(&queue, "first");
    let (long, long_gate) = machine.held(&queue, "long");
    let mut daemon = machine.start("0-2", &["default=1"]);
    for task in [&first, &long] {
        machine.wait_for_place(task);
    }
    machine.wait_for_files(&[
        "host:dgpu0-2",
        "host:gpu0",
        "host:gpu1",
        "host:lease:gpu0",
        "host:lease:gpu1",
    ]);
    daemon.kill();
    let name = [("CLEARML_WORKER_NAME", "other")];
    let mut other = machine.start_with("0-2", &["other=-3"], &name);
    let beside = machine.task(&other_queue, "");
    context.wait_for_status(&beside, "completed");
    let place = machine.place_of(&beside).unwrap();
    assert_eq!(place, ("other:gpu2".to_owned(), "2".to_owned()));
    let mut daemon = machine.start("0-2", &["default=1"]);
    for task in [&first, &long] {
        daemon.wait_for_output(&format!("Adopted running task '{task}'"));
    }
    machine.wait_for_files(&[
        "host:dgpu0-2",
        "host:gpu0",
        "host:gpu1",
        "host:lease:gpu0",
        "host:lease:gpu1",
        "other:dgpu0-2",
    ]);
    gate.open();
    context.wait_for_status(&first, "completed");
    let third = machine.task(&queue, "");
    context.wait_for_status(&third, "completed");
    let (_, gpus) = machine.place_of(&third).unwrap();
    assert_ne!(gpus, machine.place_of(&long).unwrap().1);
    long_gate.open();
    context.wait_for_status(&long, "completed");
    machine.assert_no_gpu_was_used_twice();
    assert_eq!((daemon.terminate(), other.terminate()), (254, 254));
}

/// D-261, D-273, D-290: its tasks end with it, each supervisor is told, and everybody takes leave.
#[test]
fn a_worker_that_is_stopped_ends_its_tasks() {
    let machine = Machine::new();
    let context = &machine.context;
    let queue = context.queue();
    let (first, _gate) = machine.held(&queue, "first");
    let (second, _other_gate) = machine.held(&queue, "second");
    let mut daemon = machine.start("0-1", &["default=1"]);
    for task in [&first, &second] {
        machine.wait_for_place(task);
    }
    let supervisors = [&first, &second].map(|task| machine.supervisor(task));
    let words = ["daemon", "--dynamic-gpus", "--gpus", "0-1", "--stop"];
    let stopped = context.run(&words);
    assert_eq!(stopped.code, 0, "{}", stopped.stdout);
    let line = format!(
        "Terminating clearml-agent worker_id=host:dgpu0-1 pid={}\n",
        daemon.pid()
    );
    assert!(stopped.stdout.contains(&line), "{}", stopped.stdout);
    assert!(!stopped.stdout.contains("lease"), "{}", stopped.stdout);
    assert_eq!(daemon.wait(), 254);
    for supervisor in supervisors {
        daemon.wait_for_output(&format!("Terminating child process {supervisor}"));
    }
    for task in [&first, &second] {
        context.wait_for_status(task, "stopped");
    }
    assert_eq!(context.workers(), [] as [&str; 0]);
    machine.wait_for_files(&[]);
    context.wait_for_no_processes();
}

/// D-275: between the choice and the supervisor's own file the worker may be killed, and somebody else take the GPUs.
#[test]
fn a_supervisor_waits_for_gpus_that_somebody_has_taken() {
    let machine = Machine::new();
    let context = &machine.context;
    let mut daemon = machine.start("0", &["default=1"]);
    daemon.wait_for_output("No tasks in Queues");
    let taken = format!(".clearmlagent_{}_somebody.tmp", daemon.pid());
    let taken = context.temporary().join(taken);
    let has_waited = (0..20).any(|_| {
        let task = machine.task(&context.queue(), "");
        while !machine.files().contains(&"host:lease:gpu0".to_owned()) {
            std::hint::spin_loop();
        }
        fs::write(&taken, "somebody:gpu0\n7").unwrap();
        let text = "Another worker has the GPUs of this task, waiting for them\n";
        let waits = || context.console(&task).contains(text);
        assert!(wait_until(|| waits() || machine.place_of(&task).is_some()));
        // Else this test was too late, and tries again.
        let has_waited = machine.place_of(&task).is_none();
        assert!(!has_waited || !machine.files().contains(&"host:gpu0".to_owned()));
        fs::remove_file(&taken).unwrap();
        context.wait_for_status(&task, "completed");
        machine.wait_for_files(&["host:dgpu0"]);
        has_waited
    });
    assert!(has_waited);
    assert_eq!(daemon.terminate(), 254);
}

/// D-261, D-273: a supervisor that does not end is killed after 20 seconds, and its program with it.
#[test]
fn a_supervisor_that_does_not_end_is_killed() {
    let machine = Machine::new();
    let (task, _gate) = machine.held(&machine.context.queue(), "gate");
    let mut daemon = machine.start("0", &["default=1"]);
    machine.wait_for_place(&task);
    let supervisor = machine.supervisor(&task);
    kill(supervisor, Signal::SIGSTOP).unwrap();
    assert_eq!(daemon.terminate(), 254);
    let warning = format!("child process {supervisor} does not end, killing it\n");
    assert!(daemon.output().contains(&warning), "{}", daemon.output());
    machine.context.wait_for_no_processes();
    let mut next = machine.start("0", &["default=1"]);
    machine.context.wait_for_status(&task, "failed");
    machine.wait_for_files(&["host:dgpu0"]);
    assert_eq!(next.terminate(), 254);
}
