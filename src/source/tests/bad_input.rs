//! What a task, a repository or a machine may do wrong, and what looks odd and is right.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;
use std::os::unix::fs::symlink;

use super::network::with_git;
use super::world::{World, git, read};
use crate::source::{CodeRequest, FetchFailure, SourceError};

/// E-060: links stay links, wherever they lead; names that differ by case are two files.
#[tokio::test]
async fn links_and_names_that_differ_by_case_come_as_they_are() {
    for world in [World::new(), World::without_git()] {
        let remote = world.remote("demo", &[("train.py", "1\n"), ("README", "upper\n")]);
        fs::write(remote.path.join("readme"), "lower\n").expect("written");
        for (target, name) in [
            ("train.py", "link.py"),
            ("nowhere", "dangling"),
            ("/etc/hostname", "absolute"),
            ("../..", "above"),
        ] {
            symlink(target, remote.path.join(name)).expect("linked");
        }
        git(&remote.path, &["add", "--all"]);
        git(&remote.path, &["commit", "--quiet", "-m", "links"]);
        let code = world.fetch(&remote.request()).await.expect("fetched");
        assert_eq!(read(&code.root.join("README")), "upper\n");
        assert_eq!(read(&code.root.join("readme")), "lower\n");
        let target = |name: &str| fs::read_link(code.root.join(name)).expect("a link");
        assert_eq!(target("link.py").to_string_lossy(), "train.py");
        assert_eq!(target("dangling").to_string_lossy(), "nowhere");
        assert_eq!(target("absolute").to_string_lossy(), "/etc/hostname");
        assert_eq!(git(&code.root, &["status", "--porcelain"]), "");
    }
}

/// E-086, E-094: a link in the repository leads no script of a task out of the checkout.
#[tokio::test]
async fn no_link_leads_a_script_out_of_the_checkout() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let outside = world.path("outside");
    fs::create_dir_all(&outside).expect("made");
    symlink(&outside, remote.path.join("link")).expect("linked");
    remote.commit("link", &[]);
    for (working_dir, entry_point) in [("link", "main.py"), (".", "link/main.py"), (".", "link")] {
        let request = CodeRequest {
            working_dir: working_dir.to_owned(),
            entry_point: entry_point.to_owned(),
            diff: "print('task')".to_owned(),
            ..remote.request()
        };
        let fetched = world.fetch(&request).await;
        assert_eq!(fs::read_dir(&outside).expect("listed").count(), 0);
        if entry_point != "link" {
            assert!(
                matches!(fetched, Err(SourceError::OutsideFolder { .. })),
                "{fetched:?}"
            );
        }
    }
}

/// E-075: a diff of 5 MB is applied, by either way.
#[tokio::test]
async fn a_large_diff_is_applied() {
    let text: String = (0..100_000).fold(String::new(), |text, line| {
        text + &format!("{line:06} a line of a file that somebody forgot to commit\n")
    });
    for world in [World::new(), World::without_git()] {
        let remote = world.remote("demo", &[("train.py", "1\n")]);
        let commit = remote.head();
        fs::write(remote.path.join("train.py"), "changed\n").expect("written");
        fs::write(remote.path.join("large.txt"), &text).expect("written");
        git(&remote.path, &["add", "--all"]);
        let request = CodeRequest {
            version_num: commit,
            diff: super::world::git_text(&remote.path, &["diff", "--cached"]),
            ..remote.request()
        };
        assert!(request.diff.len() > 5_000_000);
        let code = world.fetch(&request).await.expect("applied");
        assert_eq!(read(&code.root.join("train.py")), "changed\n");
        assert!(read(&code.root.join("large.txt")) == text);
    }
}

/// E-076: what git says of a diff that it applies is shown as it is.
#[tokio::test]
async fn remarks_of_git_on_a_diff_are_shown() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let diff = "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-1\n+2   \n";
    let request = CodeRequest {
        diff: diff.to_owned(),
        ..remote.request()
    };
    let code = world.fetch(&request).await.expect("applied");
    assert_eq!(read(&code.root.join("train.py")), "2   \n");
    let console = world.console();
    assert!(console.contains(": trailing whitespace.\n"), "{console}");
    assert!(
        console.contains("\nwarning: 1 line adds whitespace errors.\n"),
        "{console}"
    );
    world.clear_console();
    let request = CodeRequest {
        diff: diff.replace("2   ", "2"),
        ..request
    };
    world.fetch(&request).await.expect("applied");
    assert!(!world.console().contains("warning"), "success is silent");
}

/// E-075: what a killed agent leaves of a task's changes goes with the code.
#[tokio::test]
async fn the_text_of_changes_lies_in_the_task_s_folder() {
    let world = with_git(
        "if [ \"$1\" = apply ]; then for last; do :; done; echo \"$last\" > \"${0%/*}/given\"; fi",
    );
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let request = CodeRequest {
        diff: "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-1\n+2\n"
            .to_owned(),
        ..remote.request()
    };
    let code = world.fetch(&request).await.expect("applied");
    assert_eq!(read(&code.root.join("train.py")), "2\n");
    let given = read(&world.path("bin/given"));
    let given = std::path::Path::new(given.trim());
    let folder = world.environment().join("task_repository");
    assert_eq!(given.parent(), fs::canonicalize(folder).ok().as_deref());
    assert!(!given.exists());
}

/// E-059, E-080: a disk that is full is named as such, and leaves nothing that would count as a clone.
///
/// A limit on the size of files stands in for the disk.
#[tokio::test]
async fn a_full_disk_is_named() {
    let mut world = with_git("ulimit -f 16; trap '' XFSZ");
    let noise: String = (0..40_000_u32).fold(String::new(), |text, number| {
        text + &format!("{:x} ", number.wrapping_mul(2_654_435_761))
    });
    let remote = world.remote("demo", &[("train.py", &noise)]);
    let server = super::git_server::Served::new(world.folder.path()).start();
    let request = CodeRequest {
        repository: server.url("127.0.0.1", "demo/.git"),
        version_num: remote.head(),
        ..CodeRequest::default()
    };
    let error = world.fetch(&request).await.expect_err("no room");
    let full = FetchFailure::DiskFull;
    assert!(
        matches!(&error, SourceError::Unreachable { cause, .. } if *cause == full),
        "{error:?}"
    );
    assert!(
        error
            .hint()
            .expect("a hint")
            .contains("agent.vcs_cache.path")
    );
    let path = std::env::var("PATH").expect("PATH is set");
    world.options.environment.insert("PATH".to_owned(), path);
    world.fetch(&request).await.expect("there is room again");
    assert_eq!(world.console().matches("cloning: ").count(), 2);
}

/// E-009: white space around the fields that name a revision is nobody's intention.
#[tokio::test]
async fn white_space_around_fields_is_ignored() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let base = remote.request();
    let repository = format!(" {}\n", base.repository);
    let blank = " \t\n".to_owned();
    for (version_num, tag, branch) in [
        (
            format!("\t{} ", remote.head()),
            String::new(),
            String::new(),
        ),
        (blank.clone(), blank.clone(), " main\r\n".to_owned()),
        (blank.clone(), blank.clone(), blank.clone()),
    ] {
        let request = CodeRequest {
            repository: repository.clone(),
            version_num,
            tag,
            branch,
            ..base.clone()
        };
        let code = world.fetch(&request).await;
        let code = code.unwrap_or_else(|error| panic!("{request:?}: {error}"));
        assert_eq!(code.repository.expect("there").commit, remote.head());
    }
    let nothing = CodeRequest {
        repository: blank,
        ..CodeRequest::default()
    };
    let code = world.fetch(&nothing).await.expect("an empty folder");
    assert_eq!(code.repository, None);
}

/// E-013
#[tokio::test]
async fn odd_fields_are_mentioned() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n"), ("pkg\\sub/a.py", "1\n")]);
    let request = CodeRequest {
        entry_point: String::new(),
        working_dir: "pkg\\sub".to_owned(),
        ..remote.request()
    };
    world.fetch(&request).await.expect("the run goes on");
    assert!(
        world.console().starts_with(
            "clearml_agent: Warning: Working dir \"pkg\\sub\" contains backslashes. All path separators must be forward \
             slashes.\nnotice: `script.entry_point` is empty\n"
        ),
        "{}",
        world.console()
    );
}

/// E-101: the script that is started gets the two lines, wherever it comes from; a module does not.
#[tokio::test]
async fn a_script_is_made_a_task() {
    let mut world = World::new();
    world.options.force_task_init = true;
    let added = "from clearml import Task\n(__name__ != \"__main__\") or Task.init()\n";
    let remote = world.remote("demo", &[("pkg/train.py", "1\n"), ("main.sh", "echo\n")]);
    let with = |working_dir: &str, entry_point: &str, diff: &str| CodeRequest {
        working_dir: working_dir.to_owned(),
        entry_point: entry_point.to_owned(),
        diff: diff.to_owned(),
        ..remote.request()
    };
    for (request, file, text) in [
        (
            with("pkg", "train.py", ""),
            "pkg/train.py",
            format!("{added}1\n"),
        ),
        (
            with(".", "pkg/train.py --x 'a b'", ""),
            "pkg/train.py",
            format!("{added}1\n"),
        ),
        (
            with("pkg", "own.py", "print(2)"),
            "pkg/own.py",
            format!("{added}print(2)"),
        ),
    ] {
        let code = world.fetch(&request).await.expect("fetched");
        let path = code.root.join(file);
        assert_eq!(read(&path), text);
        let line = format!(
            "\nForce clearml Task.init patch adding to entry point script: {}\n",
            code.root.join(file).display()
        );
        assert!(world.console().contains(&line), "{}", world.console());
        world.clear_console();
    }
    let request = with("pkg", "own.py", &format!("{added}print(2)"));
    let code = world.fetch(&request).await.expect("fetched");
    assert_eq!(
        read(&code.root.join("pkg/own.py")),
        format!("{added}print(2)")
    );
    assert!(
        world
            .console()
            .contains("/pkg/own.py already patched with Task.init()\n")
    );
    let request = with("pkg", "own.py", "print(2)");
    let bytes = [0xff, 0xfe, b'\n'];
    fs::write(remote.path.join("pkg/odd.py"), bytes).expect("written");
    remote.commit("odd", &[]);
    let code = world
        .fetch(&CodeRequest {
            diff: String::new(),
            entry_point: "odd.py".to_owned(),
            ..request
        })
        .await
        .expect("fetched");
    assert_eq!(fs::read(code.root.join("pkg/odd.py")).expect("read"), bytes);
    assert!(
        world
            .console()
            .contains("\nFailed patching entry point file "),
        "{}",
        world.console()
    );
    world.clear_console();
    for entry_point in ["-m pkg.train", "main.sh", "nosuch.py"] {
        let code = world
            .fetch(&with(".", entry_point, ""))
            .await
            .expect("fetched");
        assert_eq!(
            git(&code.root, &["status", "--porcelain"]),
            "",
            "{entry_point}"
        );
        assert!(!world.console().contains("Task.init"), "{entry_point}");
    }
}
