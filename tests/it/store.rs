//! The store under load: many supervisors at once on one store and one mirror, some of them killed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::code::offline_packages;
use super::support::{Agent, Repository, Script, TestContext, number, wait_until};

const SUPERVISORS: usize = 8;
/// Of the lines that an agent prints at most so many go by before it is killed.
const LATEST_KILL: usize = 420;
const PROGRAM: &str = "import load_one, sys\nprint('answer', load_one.VALUE)\n";

/// Wheels `load_one`, `load_two`, `load_three` with the hashes that make their files shared.
pub(super) const WHEELS: &str = r#"
import base64, hashlib, sys, zipfile
for name in ("load_one", "load_two", "load_three"):
    info = name + "-1.0.dist-info/"
    files = {name + ".py": "VALUE = 42\n", info + "METADATA": "Metadata-Version: 2.1\nName: %s\nVersion: 1.0\n" % name,
             info + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    with zipfile.ZipFile("%s/%s-1.0-py3-none-any.whl" % (sys.argv[1], name), "w") as wheel:
        record = ""
        for path, text in files.items():
            wheel.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += "%s,sha256=%s,%d\n" % (path, digest, len(text))
        wheel.writestr(info + "RECORD", record + info + "RECORD,,\n")
"#;

/// A configuration of its own for each supervisor: only store and mirrors are common.
fn configuration(context: &TestContext, number: usize) -> PathBuf {
    let path = context.folder().join(format!("agent-{number}.conf"));
    let common = fs::read_to_string(context.home().join("clearml.conf")).unwrap();
    let own = format!(
        "{common}\nagent.venvs_dir: \"{}/venvs-{number}\"\n",
        context.folder().display()
    );
    fs::write(&path, own).unwrap();
    path
}

/// Every file of every entry is there with its size, time and, where it is shared, its inode.
fn check_entries(store: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(store.join("entries")).unwrap().flatten() {
        let entry = entry.path();
        let files: Value =
            serde_json::from_slice(&fs::read(entry.join("files.json")).unwrap()).unwrap();
        let files = files["files"].as_array().expect("a list").clone();
        assert!(files.len() > 100, "{} files", files.len());
        for file in files {
            let path = entry
                .join("tree")
                .join(file["path"].as_str().expect("a path"));
            let there = fs::metadata(&path).unwrap_or_else(|_| panic!("{}", path.display()));
            let mtime = there.mtime() * 1_000_000_000 + there.mtime_nsec();
            assert_eq!(file["size"], there.len(), "{}", path.display());
            assert_eq!(file["mtime"], mtime, "{}", path.display());
            if file["sha256"].is_string() {
                assert_eq!(file["inode"], there.ino(), "{}", path.display());
            }
            if path.file_name().is_some_and(|name| name == "load_one.py") {
                assert_eq!(fs::read_to_string(&path).unwrap(), "VALUE = 42\n");
            }
        }
        count += 1;
    }
    count
}

/// Waits until the agent has printed so many lines, and kills it; false where it has ended before.
fn kill_after(agent: &mut Agent, lines: usize) -> bool {
    let mut has_ended = false;
    wait_until(|| {
        has_ended = agent.has_ended();
        has_ended || agent.output().lines().count() >= lines
    });
    if !has_ended {
        agent.signal(Signal::SIGKILL);
    }
    agent.wait();
    !has_ended
}

/// E-243, E-245, E-247, E-249, E-250: eight supervisors at once, some killed at any moment: no entry is harmed, nobody
/// waits for ever, nothing is left over.
///
/// `STORE_ROUNDS` and `STORE_SEED` make it longer and other.
#[test]
fn many_supervisors_share_one_store_and_one_mirror() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let wheels = context.folder().join("wheels");
    let mut make = Command::new("python3");
    make.args(["-c", WHEELS]).arg(&wheels);
    assert!(make.status().unwrap().success());
    // Fewer than there are environments: entries come and go all the time.
    context.configure("agent.store.max_entries: 2\nagent.store.free_space_threshold_gb: 0");
    let repository = Repository::create(&context.folder().join("code"), &[("main.py", PROGRAM)]);
    let (rounds, seed) = (number("STORE_ROUNDS", 3), number("STORE_SEED", 1));
    let mut random = fastrand::Rng::with_seed(seed);
    let lists = [
        "load_one==1.0",
        "load_one==1.0\nload_two==1.0",
        "load_one==1.0\nload_three==1.0",
    ];
    let configurations: Vec<PathBuf> = (0..SUPERVISORS)
        .map(|number| configuration(&context, number))
        .collect();
    let start = |number: usize, list: &str| {
        let script = Script::python("", list)
            .with("repository", repository.url())
            .with("version_num", repository.commit());
        let task = context.create(script);
        let file = configurations[number].to_str().expect("a path");
        let mut command = context.command(&["--config-file", file, "execute", "--id", &task]);
        command.envs(packages.variables());
        command.env("PIP_NO_COMPILE", "1");
        context.start_command(command)
    };
    let succeeds = |agent: &mut Agent| {
        let code = agent.wait();
        let printed = agent.output();
        assert!(
            code == 0 && printed.contains("\nanswer 42\n"),
            "{code}:\n{printed}"
        );
        printed
    };
    let mut killed = 0;
    for _ in 0..rounds {
        let mut agents: Vec<(Agent, Option<usize>)> = (0..SUPERVISORS)
            .map(|number| {
                let list = lists[random.usize(..lists.len())];
                let lines = random.bool().then(|| random.usize(1..LATEST_KILL));
                (start(number, list), lines)
            })
            .collect();
        // The earliest first, so that none is waited for that is to be killed.
        agents.sort_by_key(|(_, lines)| lines.unwrap_or(usize::MAX));
        for (agent, lines) in &mut agents {
            if let Some(lines) = lines {
                killed += usize::from(kill_after(agent, *lines));
                continue;
            }
            let printed = succeeds(agent);
            for trouble in ["is not used any more", "Failed accessing venvs cache"] {
                assert!(!printed.contains(trouble), "{printed}");
            }
        }
    }
    assert!(killed > 0, "nothing was killed with seed {seed}");
    // The next agent tells the server how the killed ones ended, and removes what they have left.
    succeeds(&mut start(0, lists[0]));
    // Nobody takes entries away any more.
    let printed = succeeds(&mut start(0, lists[0]));
    assert!(
        printed.contains("::: Using Cached environment "),
        "{printed}"
    );
    let mut daemon = context.daemon();
    context.wait_for_no_runs();
    daemon.terminate();
    assert_eq!(context.leftovers(), Vec::<String>::new());
    let finished = context.run(&["cache", "prune"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let store = context.home().join(".clearml/store");
    let entries = check_entries(&store);
    assert!((1..=4).contains(&entries), "{entries} entries");
    let temporary = fs::read_dir(store.join("temporary")).unwrap();
    assert_eq!(temporary.count(), 0, "left over");
}
