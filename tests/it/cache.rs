//! `cache`: what is kept, why a task finds it or not, what goes.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::code::offline_packages;
use super::support::{Script, TestContext};

const PASSWORD: &str = "passwd-of-index-77";

fn all_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files.extend(all_files(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files
}

/// E-239, E-240, E-242, E-245: a task is explained by what is kept; what goes is gone; no password is in any of it.
#[test]
fn what_is_kept_is_listed_explained_and_removed() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let variables = packages.variables();
    context.configure(&format!(
        "agent.package_manager.extra_index_url: [\"http://bob:{PASSWORD}@127.0.0.1:9/simple\"]"
    ));
    let run = |words: &[&str]| {
        let finished = context.run_with(words, &variables);
        assert_eq!(finished.code, 0, "{words:?}: {}", finished.stderr);
        assert!(!finished.stdout.contains(PASSWORD));
        finished.stdout
    };
    let store = context.home().join(".clearml/store");
    assert_eq!(
        run(&["cache", "list"]),
        format!("{}: 0 environments, 0.0 MiB\n", store.display())
    );
    let task = context.enqueue(Script::python("print(1)", "tinydep==1.0"));
    let explained = run(&["cache", "explain", &task]);
    assert!(
        explained.starts_with(&format!("task {task}: miss\nkey: ")),
        "{explained}"
    );
    assert!(
        explained.contains("\n  package: tinydep==1.0\n"),
        "{explained}"
    );
    assert!(
        explained.ends_with("\nbase environment: miss\n"),
        "{explained}"
    );
    context.run_one_task(&variables);
    context.wait_for_status(&task, "completed");

    let listed: Value = serde_json::from_str(&run(&["cache", "list", "--json"])).unwrap();
    let entries = listed["entries"].as_array().expect("a list");
    let mut kinds: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry["kind"].as_str())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["base", "environment"]);
    let environment = entries.iter().find(|entry| entry["kind"] == "environment");
    let environment = environment.expect("an environment");
    let installed = environment["packages"].as_array().expect("a list");
    assert!(installed.contains(&json!("tinydep==1.0")), "{installed:?}");

    // The finished task has the frozen list by now, a new one what was asked for: both find the entry.
    let same = context.create(Script::python("print(1)", "tinydep==1.0"));
    for task in [&task, &same] {
        let explained: Value =
            serde_json::from_str(&run(&["cache", "explain", task, "--json"])).unwrap();
        let found = &explained["looked_up"]["environment"];
        assert_eq!(found["entry"], environment["path"], "{explained}");
        let keys = environment["keys"].as_array().expect("keys");
        assert!(keys.contains(&found["key"]), "{explained}");
    }
    let other = context.create(Script::python("print(1)", "tinydep==2.0"));
    let explained = run(&["cache", "explain", &other]);
    assert!(explained.contains(": miss\n"), "{explained}");
    let differences: Vec<&str> = explained
        .lines()
        .filter(|line| line.starts_with(['-', '+']))
        .collect();
    assert_eq!(
        differences,
        ["- package: tinydep==1.0", "+ package: tinydep==2.0"]
    );
    assert!(
        explained.contains("\nbase environment: hit: "),
        "{explained}"
    );
    let shell = context.create(Script::shell("true"));
    assert!(run(&["cache", "explain", &shell]).contains("no environment is made for it"));

    for file in all_files(&store) {
        let bytes = fs::read(&file).unwrap();
        let has_password = bytes
            .windows(PASSWORD.len())
            .any(|part| part == PASSWORD.as_bytes());
        assert!(!has_password, "{}", file.display());
    }
    let printed = run(&["cache", "prune", "--all", "--dry-run"]);
    assert!(
        printed.ends_with('\n') && printed.contains("would remove 2 environments"),
        "{printed}"
    );
    assert!(run(&["cache", "prune", "--older-than", "1"]).contains("removed 0 environments"));
    assert!(run(&["cache", "prune", "--max-size", "0"]).contains("removed 2 environments"));
    assert!(run(&["cache", "list"]).contains(": 0 environments"));
}

/// E-125, E-239: who has switched the cache off has no store either.
#[test]
fn without_a_cache_there_is_no_store() {
    let context = TestContext::new();
    context.configure("agent.venvs_cache.path: \"\"");
    let finished = context.run(&["cache", "list"]);
    assert_eq!(finished.code, 1);
    let said = finished.stdout + &finished.stderr;
    assert!(
        said.contains("no environments are kept") && said.contains("hint: "),
        "{said}"
    );
}

/// E-243: folders of a kept environment have the modes that they were kept with, whatever the umask of the next task is.
#[test]
fn no_umask_changes_a_kept_environment() {
    const MODES: &str = "import os, sys\nfor folder in ('lib', 'bin', 'include'):\n    \
        print('mode', folder, oct(os.stat(os.path.join(sys.prefix, folder)).st_mode))\n\
        import tinydep\nplace = os.path.dirname(tinydep.__file__)\nprint('mode packages', oct(os.stat(place).st_mode))\n";
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let run = |umask: &str, folder: &str| {
        context.configure(&format!("agent.venvs_dir: \"{folder}\""));
        let task = context.create(Script::python(MODES, "tinydep==1.0"));
        let mut command = context.beside_agent("sh");
        command
            .args(["-c", "umask $0; exec \"$@\"", umask])
            .args([
                env!("CARGO_BIN_EXE_clearml-agent"),
                "execute",
                "--id",
                &task,
            ])
            .envs(packages.variables());
        let finished = context.finish(command);
        assert_eq!(finished.code, 0, "{}", finished.stdout);
        let modes = finished
            .stdout
            .lines()
            .filter(|line| line.starts_with("mode "));
        (
            modes.map(str::to_owned).collect::<Vec<_>>(),
            finished.stdout.clone(),
        )
    };
    let place = context.folder().join("venvs");
    let other = context.folder().join("other");
    let (kept, _) = run("0022", place.to_str().expect("a path"));
    assert_eq!(kept.len(), 4, "{kept:?}");
    assert!(
        kept.iter().all(|line| line.ends_with("0o40755")),
        "{kept:?}"
    );
    for folder in [other, place] {
        let (taken, console) = run("0077", folder.to_str().expect("a path"));
        assert!(
            console.contains("::: Using Cached environment "),
            "{console}"
        );
        assert_eq!(taken, kept);
    }
}
