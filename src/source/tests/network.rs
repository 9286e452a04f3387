//! Repositories that only the git program reaches: by a stand-in for ssh, which runs the server's part right here.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::world::{Remote, World, read};
use crate::process::Output;
use crate::source::{CodeRequest, FetchFailure, SourceError, fetch_code};

fn executable(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("allowed");
}

/// A world whose git program gets `settings` (shell lines) before it runs.
pub(super) fn with_git(settings: &str) -> World {
    let mut world = World::new();
    let real = std::process::Command::new("sh")
        .args(["-c", "command -v git"])
        .output()
        .expect("ran");
    let real = String::from_utf8_lossy(&real.stdout).trim().to_owned();
    let folder = world.path("bin");
    fs::create_dir_all(&folder).expect("made");
    executable(
        &folder.join("git"),
        &format!("#!/bin/sh\n{settings}\nexec {real} \"$@\"\n"),
    );
    let path = format!("{}:{}", folder.display(), world.options.environment["PATH"]);
    world.options.environment.insert("PATH".to_owned(), path);
    world
}

/// A world in which `ssh://host.invalid/<path>` is a folder of this machine, as long as `server` says so.
fn with_ssh(server: &str) -> World {
    let world = with_git("GIT_SSH_COMMAND=\"$(dirname \"$0\")/ssh\"; export GIT_SSH_COMMAND");
    // The last argument is the server's command.
    executable(
        &world.path("bin/ssh"),
        &format!("#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\n{server}\n"),
    );
    world
}

const SERVE: &str = "exec sh -c \"$1\"";

fn request(remote: &Remote) -> CodeRequest {
    CodeRequest {
        repository: format!("ssh://git@host.invalid{}", remote.path.display()),
        working_dir: ".".to_owned(),
        entry_point: "train.py".to_owned(),
        ..CodeRequest::default()
    }
}

/// E-033, E-063, E-064, E-292: the same revisions as by libgit2; the installed program, with its own idea of ssh, gets them.
#[tokio::test]
async fn the_git_program_fetches_from_the_network() {
    let world = with_ssh(SERVE);
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let first = remote.head();
    remote.branch("trunk");
    let second = remote.commit("two", &[("train.py", "2\n")]).to_string();
    let base = request(&remote);
    for (request, commit) in [
        (
            CodeRequest {
                version_num: first.clone(),
                ..base.clone()
            },
            &first,
        ),
        (
            CodeRequest {
                branch: "trunk".to_owned(),
                ..base.clone()
            },
            &second,
        ),
        (base.clone(), &first),
    ] {
        let code = world
            .fetch(&request)
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", world.console()));
        assert_eq!(
            &code.repository.expect("a repository").commit,
            commit,
            "{request:?}"
        );
    }
    let mut main = remote
        .repository
        .find_branch("main", git2::BranchType::Local)
        .expect("there");
    main.delete().expect("deleted");
    let code = world
        .fetch(&base)
        .await
        .expect("the default branch is found");
    assert_eq!(code.repository.expect("a repository").commit, second);
}

/// E-034: a commit that no branch leads to any more is asked for by its id.
#[tokio::test]
async fn a_commit_beside_all_branches_is_asked_for() {
    let world = with_ssh(SERVE);
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    remote.branch("gone");
    let lost = remote.commit("two", &[("train.py", "2\n")]).to_string();
    remote
        .repository
        .set_head("refs/heads/main")
        .expect("switched");
    let mut gone = remote
        .repository
        .find_branch("gone", git2::BranchType::Local)
        .expect("there");
    gone.delete().expect("deleted");
    let request = CodeRequest {
        version_num: lost,
        ..request(&remote)
    };
    let code = world.fetch(&request).await.expect("fetched");
    assert_eq!(read(&code.root.join("train.py")), "2\n");
}

/// E-064: the settings' own arguments.
#[tokio::test]
async fn fetch_arguments_are_passed_on() {
    let mut world = with_ssh(SERVE);
    let arguments = ["--depth=1", "--no-tags", "--recurse-submodules"];
    world.options.fetch_arguments = Some(arguments.map(str::to_owned).to_vec());
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    remote.commit("two", &[("train.py", "2\n")]);
    let request = CodeRequest {
        branch: "main".to_owned(),
        ..request(&remote)
    };
    let code = world.fetch(&request).await.expect("fetched");
    assert_eq!(
        super::world::git(&code.root, &["log", "--format=%s"]),
        "two"
    );
}

/// E-080: what the server says is on the console.
#[tokio::test]
async fn the_server_s_words_reach_the_console() {
    for (server, words, expected) in [
        (
            SERVE,
            "does not appear to be a git repository",
            FetchFailure::DoesNotExist,
        ),
        (
            "echo 'git@host.invalid: Permission denied (publickey).' >&2; exit 255",
            "Permission denied",
            FetchFailure::AccessDenied,
        ),
        (
            "echo 'ssh: Could not resolve hostname host.invalid: Name or service not known' >&2; exit 255",
            "Could not resolve",
            FetchFailure::NoConnection,
        ),
    ] {
        let world = with_ssh(server);
        let request = CodeRequest {
            repository: "ssh://git@host.invalid/no/such/demo".to_owned(),
            ..CodeRequest::default()
        };
        let error = world.fetch(&request).await.expect_err("not there");
        assert!(
            matches!(&error, SourceError::Unreachable { cause, .. } if *cause == expected),
            "{error:?}"
        );
        assert!(world.console().contains(words), "{}", world.console());
        assert!(error.hint().is_some());
        let mirrors = fs::read_dir(world.options.cache_folder.join("mirrors")).expect("listed");
        let folders = mirrors.filter(|entry| entry.as_ref().expect("an entry").path().is_dir());
        assert_eq!(
            folders.count(),
            0,
            "nothing that would count as a clone is left"
        );
    }
}

/// A server that never answers does not keep a stopped task.
#[tokio::test]
async fn a_stopped_task_ends_its_fetch() {
    let world = with_ssh("echo $$ > \"$(dirname \"$0\")/started\"; exec sleep 600");
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let output = Output::append(&world.path("console")).expect("opened");
    let cancel = CancellationToken::new();
    let started = world.path("bin/started");
    let watch = async {
        while !fs::read_to_string(&started).is_ok_and(|text| text.ends_with('\n')) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        cancel.cancel();
    };
    let folder = world.environment();
    fs::create_dir_all(&folder).expect("made");
    let request = request(&remote);
    let (fetched, ()) = tokio::join!(
        fetch_code(&request, &world.options, &folder, &output, &cancel),
        watch
    );
    assert!(
        matches!(fetched, Err(SourceError::Cancelled)),
        "{fetched:?}"
    );
    assert!(!world.console().contains("Repository cloning failed"));
    let pid = read(&started).trim().parse().expect("a number");
    while crate::process::ProcessIdentity::of(pid).is_some() {
        tokio::task::yield_now().await;
    }
}

/// E-070: filters that the user has set up run, as they do for git itself.
#[tokio::test]
async fn filters_are_run_by_the_git_program() {
    let mut world = with_git(
        "set -- -c filter.upper.smudge='tr a-z A-Z' -c filter.upper.clean='tr A-Z a-z' \"$@\"",
    );
    let remote = world.remote(
        "demo",
        &[
            (".gitattributes", "*.txt filter=upper\n"),
            ("a.txt", "abc\n"),
        ],
    );
    let code = world.fetch(&remote.request()).await.expect("fetched");
    assert_eq!(read(&code.root.join("a.txt")), "ABC\n");
    world
        .options
        .environment
        .insert("PATH".to_owned(), "/nowhere".to_owned());
    let code = world.fetch(&remote.request()).await.expect("fetched");
    assert_eq!(read(&code.root.join("a.txt")), "abc\n");
    assert!(
        world
            .console()
            .contains("WARNING: .gitattributes names filters")
    );
}

/// E-062: the git program is made to trust a repository for one call, and the user's own settings stay in force.
#[tokio::test]
async fn a_local_repository_may_be_fetched_by_the_program() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let rules = crate::source::UrlRules::default();
    let url = rules.resolve(&crate::source::GitUrl::parse(
        &remote.path.to_string_lossy(),
    ));
    let output = Output::append(&world.path("console")).expect("opened");
    let cancel = CancellationToken::new();
    let fetcher = super::super::fetch::Fetcher::new(&url, &world.options, &output, &cancel)
        .expect("git is there");
    let mirror = world.path("mirror");
    super::super::mirror::initialise(&mirror, &url.url.to_string()).expect("made");
    fetcher.fetch_by_program(&mirror).await.expect("fetched");
    let mirror = git2::Repository::open_bare(&mirror).expect("opened");
    let main = mirror.find_reference("refs/heads/main").expect("there");
    assert_eq!(main.target().expect("a commit").to_string(), remote.head());
    let file = fetcher.trusting_configuration().expect("written");
    let text = read(file.path());
    assert!(
        text.contains("/.gitconfig\"\n") && text.ends_with("[safe]\n\tdirectory = *\n"),
        "{text}"
    );
}
