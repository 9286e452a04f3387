//! Revisions, mirrors and checkouts.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::world::{World, git, read};
use crate::process::Output;
use crate::source::{CheckedOut, CodeRequest, RevisionKind, SourceError, fetch_code};
use crate::storage::{FileLock, LockKind};

/// E-033, E-035, E-069, E-071
#[tokio::test]
async fn a_commit_is_checked_out() {
    for world in [World::new(), World::without_git()] {
        let remote = world.remote("demo", &[("train.py", "1\n"), ("pkg/a.py", "a\n")]);
        let first = remote.head();
        remote.commit("two", &[("train.py", "2\n")]);
        let request = CodeRequest {
            version_num: format!(" {first}\n"),
            ..remote.request()
        };
        let code = world.fetch(&request).await.expect("fetched");
        assert_eq!(read(&code.script_folder.join("train.py")), "1\n");
        assert_eq!(
            code.root,
            fs::canonicalize(world.environment().join("task_repository/demo")).expect("there")
        );
        let url = remote.path.to_string_lossy().into_owned();
        let expected = CheckedOut {
            url: url.clone(),
            branch: "HEAD".to_owned(),
            commit: first.clone(),
        };
        assert_eq!(code.repository, Some(expected));
        assert_eq!(git(&code.root, &["rev-parse", "HEAD"]), first);
        assert_eq!(
            git(&code.root, &["rev-parse", "--abbrev-ref", "HEAD"]),
            "HEAD"
        );
        assert_eq!(git(&code.root, &["status", "--porcelain"]), "");
        assert_eq!(git(&code.root, &["ls-remote", "--get-url", "origin"]), url);
        assert_eq!(
            git(&code.root, &["branch", "-r"]),
            "  origin/HEAD -> origin/main\n  origin/main"
        );
        git(&code.root, &["fsck", "--strict"]);
        let root = code.root.display();
        let short = &first[..7];
        assert_eq!(
            world.console(),
            format!(
                "INFO: acquiring [timeout=300s] lock for repo cache folder\ncloning: {url}\n\npulling git\n\
                 pulling git completed\nHEAD is now at {short} one\ntype: git\nurl: {url}\nbranch: HEAD\n\
                 commit: {first}\nroot: {root}\n\n\n"
            )
        );
    }
}

/// E-033: branch, tag, abbreviated id, any other revision, and no revision at all.
#[tokio::test]
async fn every_kind_of_revision_is_found() {
    for world in [World::new(), World::without_git()] {
        let remote = world.remote("demo", &[("train.py", "1\n")]);
        let first = remote.head();
        let commit = remote
            .repository
            .head()
            .expect("head")
            .peel(git2::ObjectType::Commit)
            .expect("commit");
        let signature = git2::Signature::now("t", "t@example.com").expect("signature");
        remote
            .repository
            .tag("v1", &commit, &signature, "annotated", false)
            .expect("tagged");
        remote.branch("feature/x");
        let second = remote.commit("two", &[("train.py", "2\n")]).to_string();
        remote
            .repository
            .set_head("refs/heads/main")
            .expect("switched");
        let base = remote.request();
        let with = |version: &str, tag: &str, branch: &str| CodeRequest {
            version_num: version.to_owned(),
            tag: tag.to_owned(),
            branch: branch.to_owned(),
            ..base.clone()
        };
        for (request, expected) in [
            (with("", "", ""), &first),
            (with("", "", "feature/x"), &second),
            (with("", "v1", "feature/x"), &first),
            (with("v1", "", "feature/x"), &first),
            (with(&second[..9], "v1", "main"), &second),
            (with("origin/feature/x", "", ""), &second),
            (with("feature/x", "", ""), &second),
            (with("origin/feature/x~1", "", ""), &first),
        ] {
            let code = world
                .fetch(&request)
                .await
                .unwrap_or_else(|error| panic!("{request:?}: {error}"));
            assert_eq!(
                &code.repository.expect("a repository").commit,
                expected,
                "{request:?}"
            );
        }
    }
}

/// E-033: `master` comes before `main`, and any other default branch after both.
#[tokio::test]
async fn without_a_revision_master_comes_first() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    remote.branch("master");
    let master = remote.commit("master", &[]).to_string();
    remote
        .repository
        .set_head("refs/heads/main")
        .expect("switched");
    let commit = world
        .fetch(&remote.request())
        .await
        .expect("fetched")
        .repository
        .expect("there")
        .commit;
    assert_eq!(commit, master);
    remote.branch("trunk");
    for name in ["master", "main"] {
        let mut branch = remote
            .repository
            .find_branch(name, git2::BranchType::Local)
            .expect("there");
        branch.delete().expect("deleted");
    }
    let trunk = remote.commit("trunk", &[]).to_string();
    let commit = world
        .fetch(&remote.request())
        .await
        .expect("fetched")
        .repository
        .expect("there")
        .commit;
    assert_eq!(commit, trunk);
}

/// E-058: a warm mirror needs no remote at all.
#[tokio::test]
async fn a_warm_mirror_asks_nobody() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let request = CodeRequest {
        version_num: remote.head(),
        ..remote.request()
    };
    world.fetch(&request).await.expect("fetched");
    world.clear_console();
    fs::rename(&remote.path, world.path("moved")).expect("moved");
    let code = world.fetch(&request).await.expect("fetched again");
    assert_eq!(read(&code.root.join("train.py")), "1\n");
    assert!(world.console().contains("Using cached repository in \""));
    assert!(!world.console().contains("pulling git"));
    let branch = CodeRequest {
        branch: "main".to_owned(),
        version_num: String::new(),
        ..request
    };
    assert!(matches!(
        world.fetch(&branch).await,
        Err(SourceError::Unreachable { .. })
    ));
    assert!(world.console().contains("git pull failed: "));
}

/// E-059, E-060: what is new comes, history is not copied, and a branch that has gone is no obstacle.
#[tokio::test]
async fn a_mirror_follows_its_remote() {
    for world in [World::new(), World::without_git()] {
        let remote = world.remote("demo", &[("train.py", "1\n")]);
        remote.branch("a");
        let request = CodeRequest {
            branch: "main".to_owned(),
            ..remote.request()
        };
        world.fetch(&request).await.expect("fetched");
        remote
            .repository
            .set_head("refs/heads/main")
            .expect("switched");
        let mut gone = remote
            .repository
            .find_branch("a", git2::BranchType::Local)
            .expect("there");
        gone.delete().expect("deleted");
        remote.branch("a/b");
        let second = remote.commit("two", &[("train.py", "2\n")]).to_string();
        let request = CodeRequest {
            branch: "a/b".to_owned(),
            ..request
        };
        let code = world.fetch(&request).await.expect("fetched again");
        assert_eq!(code.repository.expect("there").commit, second);
        let objects = git(&code.root, &["count-objects", "-v"]);
        assert!(
            objects.contains("count: 0\n") && objects.contains("in-pack: 0\n"),
            "{objects}"
        );
        git(
            &code.root,
            &["commit", "--allow-empty", "-m", "a task may commit"],
        );
    }
}

/// E-058: with the cache off nothing is kept.
#[tokio::test]
async fn without_cache_the_checkout_stands_alone() {
    let mut world = World::new();
    world.options.cache_enabled = false;
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let code = world.fetch(&remote.request()).await.expect("fetched");
    assert!(!world.options.cache_folder.exists());
    assert_eq!(git(&code.root, &["log", "--format=%s"]), "one");
    assert!(!world.console().contains("acquiring"));
}

/// E-057
#[tokio::test(start_paused = true)]
async fn a_lock_that_is_never_freed_does_not_stop_a_task() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let branch = CodeRequest {
        branch: "main".to_owned(),
        ..remote.request()
    };
    world.fetch(&branch).await.expect("fetched");
    let lock = world.mirror().with_extension("lock");
    // A child that another test starts has all descriptors for a moment, and with them the lock.
    let held = loop {
        let held = FileLock::acquire(&lock, LockKind::Exclusive, Duration::ZERO).await;
        match held.expect("tried") {
            Some(held) => break held,
            None => std::thread::yield_now(),
        }
    };
    let code = world.fetch(&branch).await.expect("fetched again");
    assert!(
        world
            .console()
            .contains("(timeout 300 sec), using temp vcs cache.")
    );
    assert_eq!(read(&code.root.join("train.py")), "1\n");
    // A commit that is there already is not waited for.
    world.clear_console();
    let commit = CodeRequest {
        version_num: remote.head(),
        ..remote.request()
    };
    world.fetch(&commit).await.expect("fetched");
    assert!(world.console().contains("Using cached repository in"));
    drop(held);
}

/// A cache that cannot be written is no reason to fail.
#[tokio::test]
async fn an_unusable_cache_is_done_without() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    fs::write(&world.options.cache_folder, "a file in its place").expect("written");
    world.fetch(&remote.request()).await.expect("fetched");
    assert!(
        world.console().contains("using temp vcs cache."),
        "{}",
        world.console()
    );
}

/// E-061: one mirror, many at once.
#[tokio::test]
async fn tasks_share_a_mirror_at_the_same_time() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let first = CodeRequest {
        version_num: remote.head(),
        ..remote.request()
    };
    remote.commit("two", &[("train.py", "2\n")]);
    let second = CodeRequest {
        branch: "main".to_owned(),
        ..remote.request()
    };
    let (a, b, c) = tokio::join!(
        world.fetch_into("a", &first),
        world.fetch_into("b", &second),
        world.fetch_into("c", &first)
    );
    for (code, text) in [(a, "1\n"), (b, "2\n"), (c, "1\n")] {
        assert_eq!(read(&code.expect("fetched").root.join("train.py")), text);
    }
    assert_eq!(world.console().matches("cloning: ").count(), 1);
}

/// What a kill in the middle leaves is no obstacle.
#[tokio::test]
async fn a_half_made_mirror_is_made_again() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let request = remote.request();
    world.fetch(&request).await.expect("fetched");
    let mirror = world.mirror();
    fs::remove_file(mirror.join("HEAD")).expect("removed");
    world.fetch(&request).await.expect("fetched again");
    assert_eq!(world.console().matches("cloning: ").count(), 2);
}

/// E-059
#[tokio::test]
async fn a_broken_mirror_is_cloned_again_where_the_settings_say_so() {
    let mut world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let request = CodeRequest {
        branch: "main".to_owned(),
        ..remote.request()
    };
    world.fetch(&request).await.expect("fetched");
    let second = remote.commit("two", &[("train.py", "2\n")]).to_string();
    let mirror = world.mirror();
    // A file in the place of the folder of packs: nothing can be fetched into this mirror.
    let packs = mirror.join("objects/pack");
    fs::remove_dir_all(&packs).expect("removed");
    fs::write(&packs, "").expect("written");
    let error = world.fetch(&request).await.expect_err("cannot be updated");
    assert!(
        matches!(error, SourceError::Unreachable { .. }),
        "{error:?}"
    );
    world.options.clone_on_pull_fail = true;
    let code = world.fetch(&request).await.expect("cloned again");
    assert_eq!(code.repository.expect("there").commit, second);
    assert!(world.console().contains("pulling git failed, re-cloning: "));
}

#[tokio::test]
async fn a_stopped_task_ends_its_checkout() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let output = Output::append(&world.path("console")).expect("opened");
    let cancel = CancellationToken::new();
    cancel.cancel();
    fs::create_dir_all(world.environment()).expect("made");
    let fetched = fetch_code(
        &remote.request(),
        &world.options,
        &world.environment(),
        &output,
        &cancel,
    )
    .await;
    assert!(
        matches!(fetched, Err(SourceError::Cancelled)),
        "{fetched:?}"
    );
}

/// E-080
#[tokio::test]
async fn a_missing_commit_is_named() {
    for world in [World::new(), World::without_git()] {
        let remote = world.remote("demo", &[("train.py", "1\n")]);
        let missing = "0".repeat(39) + "1";
        for (request, kind) in [
            (
                CodeRequest {
                    version_num: missing.clone(),
                    ..remote.request()
                },
                RevisionKind::Commit,
            ),
            (
                CodeRequest {
                    tag: "v9".to_owned(),
                    ..remote.request()
                },
                RevisionKind::Tag,
            ),
            (
                CodeRequest {
                    branch: "nosuch".to_owned(),
                    ..remote.request()
                },
                RevisionKind::Branch,
            ),
        ] {
            let error = world.fetch(&request).await.expect_err("not there");
            assert!(
                matches!(&error, SourceError::RevisionMissing { kind: k, .. } if *k == kind),
                "{error:?}"
            );
            assert!(error.is_repository_failure() && error.hint().is_some());
            let line = format!("Repository cloning failed: {error}\n");
            assert!(world.console().ends_with(&line), "{}", world.console());
        }
    }
}

/// E-065: as many files as the git program is asked to write where there is one.
#[tokio::test]
async fn many_files_are_checked_out() {
    for world in [World::new(), World::without_git()] {
        let names: Vec<String> = (0..1_100)
            .map(|number| format!("folder-{}/{number}.py", number % 10))
            .collect();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "1\n")).collect();
        let remote = world.remote("demo", &files);
        let code = world.fetch(&remote.request()).await.expect("fetched");
        assert_eq!(git(&code.root, &["status", "--porcelain"]), "");
        assert_eq!(git(&code.root, &["ls-files"]).lines().count(), 1_100);
        assert_eq!(read(&code.root.join("folder-9/1099.py")), "1\n");
        assert_eq!(git(&code.root, &["rev-parse", "HEAD"]), remote.head());
    }
}
