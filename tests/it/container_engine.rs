//! An engine that is wrong or ailing: away, restarted, full, not for this user. It is one of the test's own.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::containers::daemon;
use super::support::{Agent, Counter, OwnEngine, Script, TestContext, static_runner, wait_until};

const AWAY: &str = "clearml_agent: Warning: no container engine answers at `unix://";
const BACK: &str = "The container engine answers again: tasks are taken\n";

/// A test's world whose containers have busybox for everything.
struct World {
    context: TestContext,
    engine: OwnEngine,
}

impl World {
    fn new(engine: OwnEngine) -> Self {
        let context = TestContext::new();
        let runner = static_runner();
        context.configure(&format!("agent.docker_runner: \"{}\"", runner.display()));
        Self { context, engine }
    }

    fn daemon(&self) -> Agent {
        let host = self.engine.host();
        daemon(&self.context, OwnEngine::IMAGE, &[("DOCKER_HOST", &host)])
    }

    fn enqueue(&self, script: Script) -> String {
        self.context.enqueue(script.with("binary", "/bin/sh"))
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        self.context.wait_for_no_runs();
        assert_eq!(self.engine.containers(), Vec::<String>::new());
    }
}

/// The task's lines of this kind.
fn lines(console: &str, start: &str) -> Vec<String> {
    let lines = console.lines().filter(|line| line.starts_with(start));
    lines.map(str::to_owned).collect()
}

/// C-330
#[test]
fn a_container_that_finds_no_room_on_the_disk_is_not_made() {
    let world = World::new(OwnEngine::start(&[]));
    world.engine.bring_image();
    world.engine.fill();
    let task = world.enqueue(Script::shell("echo never"));
    let mut daemon = world.daemon();
    world.context.wait_for_status(&task, "failed");
    let console = world.context.console(&task);
    let errors = lines(&console, "clearml_agent: ERROR: ");
    assert_eq!(errors.len(), 1, "{console}");
    assert!(errors[0].contains("no space left on device"), "{console}");
    let hint = "hint: free space where the engine keeps its containers";
    assert_eq!(lines(&console, hint).len(), 1, "{console}");
    let reason = world.context.reason(&task);
    assert!(
        reason.starts_with("worker execution exit code 125: "),
        "{reason}"
    );
    // With room again, the next one runs.
    world.engine.make_room();
    let next = world.enqueue(Script::shell("echo next"));
    world.context.wait_for_status(&next, "completed");
    assert_eq!(daemon.terminate(), 254);
    world.assert_nothing_left();
}

/// A program that fills the disk fails by what it gets to know; its console says whose disk it was.
#[test]
fn a_task_that_fills_the_disk_of_its_engine_is_told_so() {
    let world = World::new(OwnEngine::start(&[]));
    world.engine.bring_image();
    let task = world.enqueue(Script::shell(
        "echo before; cat /dev/zero > /filler || exit 3",
    ));
    let mut daemon = world.daemon();
    world.context.wait_for_status(&task, "failed");
    let console = world.context.console(&task);
    assert!(console.contains("\nbefore\n"), "{console}");
    let told = "clearml_agent: WARNING: the disk of the container engine is full (`";
    assert_eq!(lines(&console, told).len(), 1, "{console}");
    let hint = "hint: free space there: `docker system df`";
    assert_eq!(lines(&console, hint).len(), 1, "{console}");
    let reason = world.context.reason(&task);
    let why = "worker execution exit code 3: disk full: no room in `";
    assert!(reason.starts_with(why), "{reason}");
    let next = world.enqueue(Script::shell("echo next"));
    world.context.wait_for_status(&next, "completed");
    let console = world.context.console(&next);
    assert_eq!(lines(&console, told).len(), 0, "{console}");
    assert_eq!(daemon.terminate(), 254);
    world.assert_nothing_left();
}

/// Kills the engine in the middle of a counting task and starts it again.
fn restarted(words: &[&'static str]) -> (World, Counter, String, Agent) {
    let mut world = World::new(OwnEngine::start(words));
    world.engine.bring_image();
    let (counter, script) = Counter::new(&world.context, "");
    let task = world.enqueue(script);
    let daemon = world.daemon();
    world.context.wait_for_console(&task, "line 5\n");
    world.engine.kill();
    counter.wait_for(20);
    world.engine.begin();
    (world, counter, task, daemon)
}

/// C-314
#[test]
fn a_container_that_outlives_its_engine_goes_on() {
    let (world, counter, task, mut daemon) = restarted(&["--live-restore"]);
    counter.wait_for(20);
    let printed = format!("line {}\n", counter.count());
    world.context.wait_for_console(&task, &printed);
    assert_eq!(world.context.status(&task), "in_progress");
    counter.stop();
    world.context.wait_for_status(&task, "completed");
    let console = world.context.console(&task);
    counter.assert_complete(&console, "Process completed successfully");
    assert_eq!(daemon.terminate(), 254);
    world.assert_nothing_left();
}

/// C-314: what is said meanwhile has no place in the file that holds the container's output.
#[test]
fn a_supervisor_that_finds_the_engine_away_loses_no_line() {
    const TRYING: &str = "trying for 30 seconds";
    let mut world = World::new(OwnEngine::start(&["--live-restore"]));
    world.engine.bring_image();
    let (counter, script) = Counter::new(&world.context, "");
    let task = world.enqueue(script);
    let mut daemon = world.daemon();
    world.context.wait_for_console(&task, "line 5\n");
    world.engine.kill();
    let supervisor = world.context.journal()["supervisor"]["pid"].as_i64();
    let supervisor = supervisor.and_then(|pid| i32::try_from(pid).ok());
    let supervisor = Pid::from_raw(supervisor.expect("a supervisor"));
    kill(supervisor, Signal::SIGKILL).unwrap();
    world.context.wait_for_console(&task, TRYING);
    world.engine.begin();
    counter.wait_for(20);
    counter.stop();
    world.context.wait_for_status(&task, "completed");
    let console = world.context.console(&task);
    let (said, printed): (Vec<&str>, Vec<&str>) = console
        .split_inclusive('\n')
        .partition(|line| line.contains(TRYING));
    assert_eq!(said.len(), 1, "{console}");
    counter.assert_complete(&printed.concat(), "Process completed successfully");
    assert_eq!(daemon.terminate(), 254);
    world.assert_nothing_left();
}

/// C-314
#[test]
fn a_container_that_ends_with_its_engine_has_failed() {
    let (world, counter, task, mut daemon) = restarted(&[]);
    world.context.wait_for_status(&task, "failed");
    let why = "the container engine was restarted, and the container ended with it";
    let reason = world.context.reason(&task);
    assert_eq!(reason, format!("worker execution exit code 143: {why}"));
    let console = world.context.console(&task);
    let end = format!(
        "\nclearml_agent: ERROR: {why}\nhint: with `\"live-restore\": true` in the engine's `daemon.json` containers outlive \
         their engine\nProcess failed, exit code 143: {why}"
    );
    counter.assert_complete(&console, &end);
    let next = world.enqueue(Script::shell("echo next"));
    world.context.wait_for_status(&next, "completed");
    assert_eq!(daemon.terminate(), 254);
    world.assert_nothing_left();
}

/// D-050: Docker need not run when the agent starts; as long as it does not, tasks stay where others can take them.
#[test]
fn no_task_leaves_its_queue_while_the_engine_is_away() {
    let mut world = World::new(OwnEngine::start(&[]));
    world.engine.bring_image();
    world.engine.stop();
    let context = &world.context;
    let said = |daemon: &Agent| [AWAY, BACK].map(|text| daemon.output().matches(text).count());
    // Whoever asks a queue for a task has taken it.
    let asked = || context.requests("queues.get_next_task").len();
    let looked = || context.requests("queues.get_all").len();
    let mut tasks = vec![world.enqueue(Script::shell("echo first"))];
    let mut daemon = world.daemon();
    daemon.wait_for_output(AWAY);
    for times in 1..=2 {
        let (before, looks) = (asked(), looked());
        assert!(wait_until(|| looked() >= looks + 5));
        assert_eq!(asked(), before);
        let task = tasks.pop().expect("a task");
        assert_eq!(context.status(&task), "queued");
        assert_eq!(said(&daemon), [times, times - 1], "{}", daemon.output());
        world.engine.begin();
        context.wait_for_status(&task, "completed");
        context.wait_for_no_runs();
        assert_eq!(said(&daemon), [times, times], "{}", daemon.output());
        world.engine.stop();
        daemon_noticed(&daemon, times + 1);
        tasks.push(world.enqueue(Script::shell("echo next")));
    }
    let output = daemon.output();
    let hint = "no task is taken until this is mended\nhint: start it (`systemctl start docker`)";
    assert!(output.contains(hint), "{output}");
    assert_eq!(daemon.terminate(), 254);
}

#[track_caller]
fn daemon_noticed(daemon: &Agent, times: usize) {
    let noticed = wait_until(|| daemon.output().matches(AWAY).count() == times);
    assert!(noticed, "{}", daemon.output());
}
