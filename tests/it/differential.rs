//! This agent against recordings of the official one: what it sends and prints in the same scenario.
//!
//! Every difference that is meant is in a list here, with its reason; any other fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::support::{
    Recording, Repository, Script, Stream, TestContext, download_cache, package_folder, path_with,
    wait_until,
};

/// A difference that is meant: in this stream, these recorded lines are those of ours.
struct Deviation {
    stream: Stream,
    recorded: &'static [&'static str],
    ours: &'static [&'static str],
    #[expect(dead_code, reason = "for the reader")]
    reason: &'static str,
}

/// Differences of every run.
const EVERYWHERE: &[Deviation] = &[
    Deviation {
        stream: Stream::Polling,
        recorded: &[
            r#"GET /workers.unregister {"worker":"<worker>","queues":[]} 200"#,
            r#"GET /workers.unregister {"worker":"<worker>","queues":["<queue>"]} 200"#,
        ],
        ours: &[r#"GET /workers.unregister {"worker":"<worker>","queues":["<queue>"]} 200"#],
        reason: "once is enough (D-302)",
    },
    Deviation {
        stream: Stream::Console,
        recorded: &[
            "INFO: clearml-agent-bootstrap was not detected.",
            "      We recommend installing it to significantly reduce agent job start-up time.",
            "      To install, run: clearml-agent install-bootstrap",
            "      See: https://github.com/clearml/clearml-agent-bootstrap",
        ],
        ours: &[],
        reason: "the package makes the official agent start faster; it has nothing to offer to this one (D-339)",
    },
];

/// Differences of the task from a repository.
const REPOSITORY: &[Deviation] = &[
    Deviation {
        stream: Stream::Login,
        recorded: &["GET /auth.login null 200"; 3],
        ours: &["GET /auth.login null 200"; 2],
        reason: "one for each process: worker and supervisor; the log needs none of its own (D-227)",
    },
    Deviation {
        stream: Stream::Task,
        recorded: &[
            r#"GET /v2.5/tasks.set_requirements {"task":"<task 1>","requirements":{"org_pip":"six\n","pip":["Cython==<version>","six==<version>"]}} 200"#,
        ],
        ours: &[
            r#"GET /v2.5/tasks.set_requirements {"task":"<task 1>","requirements":{"org_pip":"six\n","pip":["six==<version>"]}} 200"#,
        ],
        reason: "Cython is for old interpreters; which one it is, is known (E-138)",
    },
    Deviation {
        stream: Stream::Log,
        recorded: &["- Cython==<version>"],
        ours: &[],
        reason: "as above (E-138)",
    },
    Deviation {
        stream: Stream::Console,
        recorded: &["- Cython==<version>"],
        ours: &[],
        reason: "as above (E-138)",
    },
    Deviation {
        stream: Stream::Log,
        recorded: &[
            "INFO: acquiring lock [timeout=30.0s] for cache folder: $HOME/.clearml/venvs-cache",
        ],
        ours: &["INFO: acquiring lock [timeout=30.0s] for cache folder: $HOME/.clearml/store"],
        reason: "environments are kept in a store of our own (E-239)",
    },
    Deviation {
        stream: Stream::Console,
        recorded: &[
            "INFO: acquiring lock [timeout=30.0s] for cache folder: $HOME/.clearml/venvs-cache",
        ],
        ours: &["INFO: acquiring lock [timeout=30.0s] for cache folder: $HOME/.clearml/store"],
        reason: "as above (E-239)",
    },
    Deviation {
        stream: Stream::Log,
        recorded: &["<git>", ""],
        ours: &[],
        reason: "no git program checks out, so none gives advice about its commands",
    },
    Deviation {
        stream: Stream::Console,
        recorded: &["<git>", ""],
        ours: &[],
        reason: "as above",
    },
    Deviation {
        stream: Stream::Console,
        recorded: &[
            "Process completed successfullyNo tasks in queue <queue>",
            "No tasks in Queues, sleeping for <n> seconds",
            "No tasks in queue <queue>",
            "No tasks in Queues, sleeping for <n> seconds",
        ],
        ours: &[
            "Process completed successfully",
            "No tasks in queue <queue>",
            "No tasks in Queues, sleeping for <n> seconds",
        ],
        reason: "a line of its own (D-248)",
    },
    Deviation {
        stream: Stream::Log,
        recorded: &["", "Environment setup completed successfully"],
        ours: &[
            "",
            "Prepared in <time>",
            "Environment setup completed successfully",
        ],
        reason: TIMES,
    },
    Deviation {
        stream: Stream::Console,
        recorded: &["", "Environment setup completed successfully"],
        ours: &[
            "",
            "Prepared in <time>",
            "Environment setup completed successfully",
        ],
        reason: TIMES,
    },
];

/// Differences of that task where Python is not one for which pip 22 is taken, as it was in the recording.
const ANOTHER_PIP: &[Deviation] = &[
    Deviation {
        stream: Stream::Log,
        recorded: &["<pip>", LEGACY_RESOLVER, "<pip>"],
        ours: &["<pip>"],
        reason: "the flag is for pip 20.3 to 24.2 (E-140)",
    },
    Deviation {
        stream: Stream::Console,
        recorded: &["<pip>", LEGACY_RESOLVER, "<pip>"],
        ours: &["<pip>"],
        reason: "as above",
    },
];

const TIMES: &str = "what the time before the program was spent on";

const LEGACY_RESOLVER: &str =
    "INFO: Using legacy resolver for PIP to avoid inconsistency with package versions!";

/// Differences of the tasks that fail.
const FAILURES: &[Deviation] = &[
    Deviation {
        stream: Stream::Login,
        recorded: &["GET /auth.login null 200"; 4],
        ours: &["GET /auth.login null 200"; 3],
        reason: "one for each process: worker and two supervisors (D-227)",
    },
    Deviation {
        stream: Stream::Console,
        recorded: &[
            "Process failed, exit code 1task <task 2> pulled from <queue> by worker <worker>",
        ],
        ours: &[
            "Process failed, exit code 1",
            "task <task 2> pulled from <queue> by worker <worker>",
        ],
        reason: "a line of its own (D-248)",
    },
    Deviation {
        stream: Stream::Console,
        recorded: &[
            "Process failed, exit code 1No tasks in queue <queue>",
            "No tasks in Queues, sleeping for <n> seconds",
            "No tasks in queue <queue>",
            "No tasks in Queues, sleeping for <n> seconds",
        ],
        ours: &[
            "Process failed, exit code 1",
            "No tasks in queue <queue>",
            "No tasks in Queues, sleeping for <n> seconds",
        ],
        reason: "a line of its own (D-248)",
    },
    Deviation {
        stream: Stream::Log,
        recorded: &[
            "No freeze information available",
            "Environment setup completed successfully",
        ],
        ours: &[
            "No freeze information available",
            "Prepared in <time>",
            "Environment setup completed successfully",
        ],
        reason: TIMES,
    },
    Deviation {
        stream: Stream::Log,
        recorded: &[
            "No freeze information available",
            "Environment setup completed successfully",
        ],
        ours: &[
            "No freeze information available",
            "Prepared in <time>",
            "Environment setup completed successfully",
        ],
        reason: TIMES,
    },
    Deviation {
        stream: Stream::Console,
        recorded: &[
            "No freeze information available",
            "Environment setup completed successfully",
        ],
        ours: &[
            "No freeze information available",
            "Prepared in <time>",
            "Environment setup completed successfully",
        ],
        reason: TIMES,
    },
    Deviation {
        stream: Stream::Console,
        recorded: &[
            "No freeze information available",
            "Environment setup completed successfully",
        ],
        ours: &[
            "No freeze information available",
            "Prepared in <time>",
            "Environment setup completed successfully",
        ],
        reason: TIMES,
    },
];

/// Differences of the task that is aborted.
const ABORT: &[Deviation] = &[
    Deviation {
        stream: Stream::Login,
        recorded: &["GET /auth.login null 200"; 3],
        ours: &["GET /auth.login null 200"; 2],
        reason: "one for each process: worker and supervisor (D-227)",
    },
    Deviation {
        stream: Stream::Console,
        recorded: &[
            "",
            "Leaving process id <pid>",
            "",
            "Leaving process id <pid>",
            "DONE: Running task '<task 1>' (user aborted)",
        ],
        ours: &[
            "",
            "Leaving process id <pid>",
            "DONE: Running task '<task 1>' (user aborted)",
        ],
        reason: "the program is left once (D-140)",
    },
    Deviation {
        stream: Stream::Console,
        recorded: &[
            "Process aborted by userNo tasks in queue <queue>",
            "No tasks in Queues, sleeping for <n> seconds",
            "No tasks in queue <queue>",
            "No tasks in Queues, sleeping for <n> seconds",
        ],
        ours: &[
            "Process aborted by user",
            "No tasks in queue <queue>",
            "No tasks in Queues, sleeping for <n> seconds",
        ],
        reason: "a line of its own (D-248)",
    },
    Deviation {
        stream: Stream::Log,
        recorded: &[
            "No freeze information available",
            "Environment setup completed successfully",
        ],
        ours: &[
            "No freeze information available",
            "Prepared in <time>",
            "Environment setup completed successfully",
        ],
        reason: TIMES,
    },
    Deviation {
        stream: Stream::Console,
        recorded: &[
            "No freeze information available",
            "Environment setup completed successfully",
        ],
        ours: &[
            "No freeze information available",
            "Prepared in <time>",
            "Environment setup completed successfully",
        ],
        reason: TIMES,
    },
];

/// D-093, D-099, D-139, D-147, D-158, D-182, D-201, D-205, D-206, D-207, D-212, D-218, D-219, D-349, D-294, E-007, E-018, E-197:
/// idle, a task from a repository with a change and a requirement, SIGTERM.
#[test]
fn a_task_from_a_repository_is_run_as_the_official_agent_does() {
    let context = wizard_context();
    let repository = Repository::create(
        &context.folder().join("repos/demo"),
        &[
            ("pkg/__init__.py", ""),
            (
                "pkg/util.py",
                "def greet(name):\n    return f\"hello {name}\"\n",
            ),
            (
                "train.py",
                "import os, sys\nfrom pkg.util import greet\n\
                 print(\"cwd:\", os.path.basename(os.getcwd()))\nprint(greet(\"committed\"))\n",
            ),
        ],
    );
    let change =
        "import six\nprint(\"six\", six.__version__)\nfor i in range(3):\n    print(\"line\", i)\n";
    let script = Script::python(&repository.append("train.py", change), "six\n")
        .with("entry_point", "train.py")
        .with("repository", repository.url())
        .with("branch", "main")
        .with("version_num", repository.commit());
    let mut command = context.command(&["daemon", "--queue", "default", "--foreground"]);
    let virtualenv = package_folder("virtualenv==20.39.1");
    command
        .env("PATH", path_with(&virtualenv))
        .env("PIP_CACHE_DIR", download_cache());
    let mut daemon = context.start_command(command);
    assert!(wait_until(|| has_sent(&context, "workers.status_report")));
    let task = context.enqueue(script);
    context.wait_for_console(&task, "Environment setup completed successfully");
    context.wait_for_status(&task, "completed");
    daemon.wait_for_output("Process completed successfully\nNo tasks in queue");
    assert_eq!(daemon.terminate(), 254);

    let ours = run_of(&context, &daemon.output());
    let recorded = Recording::read("02-daemon-task-git");
    let of_pip = match minor_version(&virtualenv.join("python")).as_str() {
        "10" | "11" => &[],
        _ => ANOTHER_PIP,
    };
    compare(
        &recorded,
        &ours,
        &[EVERYWHERE, REPOSITORY, of_pip],
        |_, lines| lines,
    );
}

/// D-241: exit code 1, then an exception.
#[test]
fn tasks_that_fail_are_settled_as_the_official_agent_does() {
    let context = wizard_context();
    let mut daemon = context.start_command(without_environment(&context));
    daemon.wait_for_output("No tasks in Queues");
    let exits =
        "import sys\nprint('about to fail')\nprint('to stderr', file=sys.stderr)\nsys.exit(1)\n";
    let tasks = [exits, "print('before')\nraise ValueError('boom')\n"]
        .map(|text| context.create(Script::python(text, "")));
    let requests = tasks
        .iter()
        .map(|task| json!({ "task": task, "queue": context.queue() }));
    requests.for_each(|request| drop(context.call("tasks.enqueue", request)));
    context.wait_for_status(&tasks[0], "failed");
    context.wait_for_status(&tasks[1], "failed");
    daemon.wait_for_output("exit code 1\nNo tasks in queue");
    assert_eq!(daemon.terminate(), 254);

    let ours = run_of(&context, &daemon.output());
    let recorded = Recording::read("04-task-fails");
    compare(
        &recorded,
        &ours,
        &[EVERYWHERE, FAILURES],
        without_preparation,
    );
}

/// D-228, D-235, D-242: abort on the web page.
#[test]
fn an_abort_is_answered_as_the_official_agent_does() {
    let context = wizard_context();
    let mut daemon = context.start_command(without_environment(&context));
    daemon.wait_for_output("No tasks in Queues");
    let text = "import time\nprint('loop start')\nfor i in range(9):\n    print('tick', i)\ntime.sleep(600)\n";
    let task = context.enqueue(Script::python(text, ""));
    context.wait_for_console(&task, "tick 8\n");
    context.call("tasks.stop", json!({ "task": task }));
    context.wait_for_status(&task, "stopped");
    daemon.wait_for_output("Process aborted by user\nNo tasks in queue");
    assert_eq!(daemon.terminate(), 254);

    let ours = run_of(&context, &daemon.output());
    let recorded = Recording::read("05-abort-tasks-stop");
    compare(&recorded, &ours, &[EVERYWHERE, ABORT], without_preparation);
}

/// The second number of an interpreter's version.
pub(crate) fn minor_version(python: &Path) -> String {
    let mut ask = Command::new(python);
    let answer = ask
        .args(["-c", "import sys; print(sys.version_info.minor)"])
        .output()
        .unwrap();
    String::from_utf8(answer.stdout).unwrap().trim().to_owned()
}

/// A home with the file that the official wizard has written for the recordings.
fn wizard_context() -> TestContext {
    let context = TestContext::new();
    let server = &context.server;
    let keys = server.credentials();
    let text = format!(
        "api {{\n    api_server: {}\n    web_server: {}\n    files_server: {}\n    credentials {{\n        \
         \"access_key\" = \"{}\"\n        \"secret_key\" = \"{}\"\n    }}\n}}\n",
        server.url(),
        server.web_url(),
        server.files_url(),
        keys.access_key,
        keys.secret_key,
    );
    fs::write(context.home().join("clearml.conf"), text).unwrap();
    context
}

/// A daemon that runs Python scripts with the interpreter at hand: the recorded ones need no package.
fn without_environment(context: &TestContext) -> Command {
    let mut command = context.command(&["daemon", "--queue", "default", "--foreground"]);
    command
        .env("CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", "1")
        // What is asked about the task that waits depends on the clock.
        .env("CLEARML_AGENT__AGENT__PREFETCH__ENABLED", "false");
    command
}

fn has_sent(context: &TestContext, endpoint: &str) -> bool {
    context
        .server
        .requests()
        .iter()
        .any(|request| request.endpoint == endpoint)
}

fn run_of(context: &TestContext, console: &str) -> Recording {
    let server = &context.server;
    let folders = [
        context.home(),
        context.temporary(),
        context.folder().join("repos"),
    ];
    let [home, temporary, repositories] = folders.map(|folder| folder.display().to_string());
    Recording::new_run(
        &server.requests(),
        console,
        &[
            (&home, "$HOME"),
            (&temporary, "$TMP"),
            (&repositories, "$REPOS"),
            (&server.url(), "<api server>"),
            (&server.web_url(), "<web server>"),
            (&server.files_url(), "<files server>"),
            (&server.credentials().access_key, "<access key>"),
            ("agent.worker_name = host", "agent.worker_name = <name>"),
        ],
    )
}

/// Compares all streams that both have; `simplify` takes out what the scenario leaves open.
fn compare(
    recorded: &Recording,
    ours: &Recording,
    deviations: &[&[Deviation]],
    simplify: fn(Stream, Vec<String>) -> Vec<String>,
) {
    let expected = recorded.streams();
    let actual = ours.streams();
    let mut differences = Vec::new();
    let streams: BTreeSet<Stream> = expected.keys().chain(actual.keys()).copied().collect();
    for stream in streams {
        let lines = |streams: &BTreeMap<Stream, Vec<String>>| {
            simplify(stream, streams.get(&stream).cloned().unwrap_or_default())
        };
        let of_stream = deviations.iter().copied().flatten();
        let of_stream = of_stream.filter(|deviation| deviation.stream == stream);
        let expected = of_stream.fold(lines(&expected), deviate);
        differences.extend(difference(stream, &expected, &lines(&actual)));
    }
    let official = recorded.headers();
    for (endpoint, headers) in ours.headers() {
        let official = official.get(&endpoint);
        if official.is_some_and(|official| *official != headers) {
            differences.push(format!(
                "headers of {endpoint}: {headers:?} instead of {official:?}"
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let times = ours.log_times();
    assert!(
        times.is_sorted_by(|before, after| before < after),
        "{times:?}"
    );
}

/// Preparation and configuration are compared where they are recorded in full, and figures where the agent idles.
fn without_preparation(stream: Stream, lines: Vec<String>) -> Vec<String> {
    if stream == Stream::Figures {
        return Vec::new();
    }
    // Without an environment of its own the script is one folder higher.
    let lines = lines.into_iter();
    let lines = lines.map(|line| line.replace("/<python>/code/", "/code/"));
    let lines = fold(
        lines.collect(),
        "agent.worker_id =",
        "sdk.development.worker.report_global_mem_used =",
    );
    fold(lines, "working_dir =", "[.]$ ")
}

/// Leaves nothing of the lines between two that begin like this, these included.
fn fold(lines: Vec<String>, first: &str, last: &str) -> Vec<String> {
    let mut is_inside = false;
    let mut folded = Vec::new();
    for line in lines {
        is_inside |= line.starts_with(first);
        if !is_inside {
            folded.push(line);
        } else if line.starts_with(last) {
            is_inside = false;
            folded.push(format!("<{first} .. {last}>"));
        }
    }
    folded
}

/// The recorded lines as ours are meant to be. A deviation that is not there any more is a mistake in the list.
fn deviate(lines: Vec<String>, deviation: &Deviation) -> Vec<String> {
    let length = deviation.recorded.len();
    let at = lines
        .windows(length)
        .position(|window| window == deviation.recorded);
    let at = at.unwrap_or_else(|| {
        let (stream, recorded) = (deviation.stream, deviation.recorded);
        panic!(
            "{stream:?}: {recorded:#?} is not recorded, but\n{}",
            lines.join("\n")
        )
    });
    let ours = deviation.ours.iter().map(|line| (*line).to_owned());
    let mut lines = lines;
    lines.splice(at..at + length, ours);
    lines
}

/// The first place where two texts part, with what is around it.
fn difference(stream: Stream, expected: &[String], actual: &[String]) -> Option<String> {
    const CONTEXT: usize = 4;
    if expected == actual {
        return None;
    }
    let pairs = expected.iter().zip(actual);
    let at = pairs
        .take_while(|(expected, actual)| expected == actual)
        .count();
    let excerpt = |lines: &[String]| {
        let from = at.saturating_sub(CONTEXT);
        let shown = lines.iter().enumerate().skip(from).take(3 * CONTEXT);
        shown
            .map(|(number, line)| {
                let mark = if number == at { '>' } else { ' ' };
                format!("  {mark} {line}\n")
            })
            .collect::<Vec<_>>()
            .concat()
    };
    Some(format!(
        "{stream:?}, line {}:\n  recorded, with the deviations\n{}  ours\n{}",
        at + 1,
        excerpt(expected),
        excerpt(actual)
    ))
}
