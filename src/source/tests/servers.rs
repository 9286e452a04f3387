//! Repositories on real servers, by HTTP and ssh; with the git program, and without one.
//!
//! Compiled under `#[cfg(test)]` only.

use std::path::Path;
use std::time::Duration;

use super::git_server::{Fault, Served};
use super::ssh_server::SshServer;
use super::world::{Remote, World, git};
use crate::source::{Code, CodeRequest, FetchFailure, RevisionKind, SourceError};

/// Both ways to a server.
pub(super) fn ways() -> [World; 2] {
    [World::new(), World::without_git()]
}

impl World {
    pub(super) fn has_git(&self) -> bool {
        self.options.environment["PATH"] != "/nowhere"
    }

    /// Puts `folder` before all others on the PATH.
    pub(super) fn add_programs(&mut self, folder: &Path) {
        let path = format!("{}:{}", folder.display(), self.options.environment["PATH"]);
        self.options.environment.insert("PATH".to_owned(), path);
    }

    /// What lies in the mirror is asked with git, which is always there for the test itself.
    fn mirror_has(&self, commit: &str) -> bool {
        git2::Repository::open_bare(self.mirror())
            .expect("a mirror")
            .find_object(git2::Oid::from_str(commit).expect("an id"), None)
            .is_ok()
    }
}

pub(super) fn request(url: String) -> CodeRequest {
    CodeRequest {
        repository: url,
        working_dir: ".".to_owned(),
        entry_point: "train.py".to_owned(),
        ..CodeRequest::default()
    }
}

fn commit_of(code: Code) -> String {
    code.repository.expect("a repository").commit
}

pub(super) fn cause(error: &SourceError) -> FetchFailure {
    match error {
        SourceError::Unreachable { cause, .. } => *cause,
        other => panic!("{other:?}"),
    }
}

/// A history with two branches and a tag on the older commit of `main`.
pub(super) struct History {
    pub(super) remote: Remote,
    first: String,
    pub(super) second: String,
    beside: String,
}

pub(super) fn history(world: &World) -> History {
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let first = remote.head();
    git(
        &remote.path,
        &["tag", "-a", "v1.0", "-m", "release", &first],
    );
    let second = remote.commit("two", &[("train.py", "2\n")]).to_string();
    remote.branch("feature/x");
    let beside = remote.commit("three", &[("train.py", "3\n")]).to_string();
    let switched = remote.repository.set_head("refs/heads/main");
    switched.expect("switched");
    History {
        remote,
        first,
        second,
        beside,
    }
}

/// Every kind of revision, each from a cold cache and then from what is there.
async fn every_revision(world: &mut World, history: &History, url: &str) {
    let with = |version: &str, tag: &str, branch: &str| CodeRequest {
        version_num: version.to_owned(),
        tag: tag.to_owned(),
        branch: branch.to_owned(),
        ..request(url.to_owned())
    };
    let cases = [
        (with(&history.first, "", ""), &history.first),
        (with(&history.second, "", "feature/x"), &history.second),
        (with(&history.beside, "", "main"), &history.beside),
        (with(&history.second[..9], "", ""), &history.second),
        (with("v1.0", "", ""), &history.first),
        (with("origin/feature/x~1", "", ""), &history.second),
        (with("", "v1.0", "main"), &history.first),
        (with("", "", "feature/x"), &history.beside),
        (with("", "", ""), &history.second),
    ];
    for is_cold in [true, false] {
        for (index, (request, expected)) in cases.iter().enumerate() {
            if is_cold {
                world.options.cache_folder = world.path(&format!("cache-{index}"));
            }
            let code = world.fetch(request).await;
            let code =
                code.unwrap_or_else(|error| panic!("{request:?}: {error}\n{}", world.console()));
            assert_eq!(git(&code.root, &["status", "--porcelain"]), "");
            assert_eq!(&&commit_of(code), expected, "{request:?}");
        }
    }
}

/// E-033, E-035, E-065: all revisions by HTTP, whether or not the server gives single commits.
#[tokio::test]
async fn every_revision_comes_by_http() {
    for mut world in ways() {
        let history = history(&world);
        let served = Served::new(world.folder.path());
        for served in [served.clone(), served.without_single_commits()] {
            let server = served.start();
            every_revision(&mut world, &history, &server.url("127.0.0.1", "demo/.git")).await;
        }
    }
}

/// E-033, E-055: all revisions by ssh, from a real server.
#[tokio::test]
async fn every_revision_comes_by_ssh() {
    for mut world in ways() {
        let history = history(&world);
        let server = SshServer::start(&world.path("ssh"), None);
        world.add_programs(&server.client());
        every_revision(&mut world, &history, &server.url(&history.remote.path)).await;
        assert!(
            server.log().contains("Accepted publickey"),
            "{}",
            server.log()
        );
    }
}

/// E-034: only the wanted commit is fetched, with its history and the tags in it; what is there is not asked for again.
#[tokio::test]
async fn a_commit_comes_alone() {
    for world in ways() {
        let history = history(&world);
        let server = Served::new(world.folder.path()).start();
        let request = CodeRequest {
            version_num: history.second.clone(),
            ..request(server.url("127.0.0.1", "demo/.git"))
        };
        let code = world.fetch(&request).await.expect("fetched");
        assert_eq!(
            git(&code.root, &["describe", "HEAD"]),
            format!("v1.0-1-g{}", &history.second[..7])
        );
        assert_eq!(git(&code.root, &["log", "--format=%s"]), "two\none");
        assert!(!world.mirror_has(&history.beside), "it is not wanted");
        let names = git(&code.root, &["for-each-ref", "--format=%(refname)"]);
        assert_eq!(names, "refs/tags/v1.0");
        let asked = server.requests().len();
        world.fetch(&request).await.expect("fetched again");
        assert_eq!(server.requests().len(), asked, "a warm mirror asks nobody");
        let branch = CodeRequest {
            version_num: String::new(),
            branch: "feature/x".to_owned(),
            ..request
        };
        let code = world.fetch(&branch).await.expect("fetched");
        assert_eq!(commit_of(code), history.beside);
    }
}

/// E-064: who says what to fetch gets that, single commit or not.
#[tokio::test]
async fn own_fetch_arguments_come_first() {
    for mut world in ways() {
        world.options.fetch_arguments = Some(vec!["--depth=1".to_owned(), "origin".to_owned()]);
        let history = history(&world);
        let server = Served::new(world.folder.path()).start();
        let request = CodeRequest {
            branch: "main".to_owned(),
            ..request(server.url("127.0.0.1", "demo/.git"))
        };
        let code = world.fetch(&request).await.expect("fetched");
        assert_eq!(git(&code.root, &["log", "--format=%s"]), "two");
        assert_eq!(commit_of(code), history.second);
    }
}

/// E-055: a key that the server does not know is a failure that names user and host, and nobody is asked for a password.
#[tokio::test]
async fn a_key_that_the_server_does_not_know() {
    for mut world in ways() {
        let history = history(&world);
        let server = SshServer::start(&world.path("ssh"), None);
        world.add_programs(&server.strange_client());
        let url = server.url(&history.remote.path);
        let error = world.fetch(&request(url)).await.expect_err("refused");
        assert_eq!(cause(&error), FetchFailure::AccessDenied, "{error:?}");
        assert!(error.to_string().contains("Permission denied"), "{error}");
        let hint = error.hint().expect("a hint");
        assert!(
            hint.starts_with("host `127.0.0.1`: tried the ssh keys of this machine (user `"),
            "{hint}"
        );
        assert!(
            world.console().contains("Permission denied"),
            "{}",
            world.console()
        );
    }
}

/// E-080: what is not on a server is named in one way, however it is reached.
#[tokio::test]
async fn what_a_server_does_not_have_is_named() {
    for mut world in ways() {
        let history = history(&world);
        let ssh = SshServer::start(&world.path("ssh"), None);
        world.add_programs(&ssh.client());
        let http = Served::new(world.folder.path()).start();
        let nowhere = world.path("nosuch");
        for url in [http.url("127.0.0.1", "nosuch/.git"), ssh.url(&nowhere)] {
            let error = world.fetch(&request(url)).await.expect_err("not there");
            assert_eq!(cause(&error), FetchFailure::DoesNotExist, "{error:?}");
        }
        for url in [
            http.url("127.0.0.1", "demo/.git"),
            ssh.url(&history.remote.path),
        ] {
            let request = CodeRequest {
                version_num: "1".repeat(40),
                ..request(url)
            };
            let error = world.fetch(&request).await.expect_err("not there");
            let kind = RevisionKind::Commit;
            assert!(
                matches!(&error, SourceError::RevisionMissing { kind: missing, .. } if *missing == kind),
                "{error:?}\n{}",
                world.console()
            );
        }
    }
}

/// E-055: a server that never answers is given up after a while, and one that goes away in the middle at once; the next
/// try starts anew.
#[tokio::test]
async fn a_server_that_hangs_or_drops_does_not_keep_the_task() {
    for mut world in ways() {
        let history = history(&world);
        for fault in [Fault::Silent, Fault::CutsPacks] {
            world.options.stall_limit = match fault {
                Fault::Silent => Duration::from_secs(1),
                _ => Duration::from_mins(1),
            };
            let bad = Served::new(world.folder.path()).with(fault.clone()).start();
            let request = CodeRequest {
                version_num: history.second.clone(),
                ..request(bad.url("127.0.0.1", "demo/.git"))
            };
            let error = world.fetch(&request).await.expect_err("no answer");
            assert_eq!(
                cause(&error),
                FetchFailure::NoConnection,
                "{fault:?} {error:?}"
            );
            assert!(error.hint().is_some());
        }
        world.options.stall_limit = Duration::from_mins(1);
        let good = Served::new(world.folder.path()).start();
        let request = CodeRequest {
            version_num: history.second,
            ..request(good.url("127.0.0.1", "demo/.git"))
        };
        world.fetch(&request).await.expect("fetched");
    }
}

/// Without the git program the same goes for ssh, wherever the server hangs.
#[tokio::test]
async fn a_silent_server_behind_ssh_is_given_up() {
    let mut world = World::without_git();
    world.options.stall_limit = Duration::from_secs(1);
    let history = history(&world);
    let server = SshServer::start(&world.path("ssh"), Some("sleep 600"));
    world.add_programs(&server.client());
    let url = server.url(&history.remote.path);
    let error = world.fetch(&request(url)).await.expect_err("no answer");
    assert_eq!(cause(&error), FetchFailure::NoConnection, "{error:?}");
    assert!(
        error.to_string().contains("silent for 1 seconds"),
        "{error}"
    );
}

/// What else a server may answer is a failure with its reason, never a wait or a panic.
#[tokio::test]
async fn odd_answers_are_failures() {
    for world in ways() {
        for (status, expected) in [
            ("403 Forbidden", FetchFailure::AccessDenied),
            ("404 Not Found", FetchFailure::DoesNotExist),
            ("500 Internal Server Error", FetchFailure::NoConnection),
        ] {
            let served = Served::new(world.folder.path()).with(Fault::Answers(status));
            let server = served.start();
            let url = server.url("127.0.0.1", "demo/.git");
            let error = world.fetch(&request(url)).await.expect_err("no repository");
            assert_eq!(cause(&error), expected, "{status}: {error:?}");
        }
    }
}

/// E-072: where neither git nor ssh is installed, one line says so; what libgit2 cannot do is said, too.
#[tokio::test]
async fn missing_programs_are_named() {
    let world = World::without_git();
    for (url, program) in [
        ("git@host.invalid:a.git", "ssh"),
        ("ssh://host.invalid/a.git", "ssh"),
        ("host.invalid:/a.git", "ssh"),
        ("git://host.invalid/a.git", "git"),
    ] {
        let request = request(url.to_owned());
        let error = world.fetch(&request).await.expect_err("nothing is there");
        let text = error.console_text(&request, "");
        let start = format!(
            "Cannot find \"{program}\" executable. You can install it by running: sudo apt-get install git"
        );
        assert!(text.starts_with(&start), "{text}");
    }
}

/// E-036: no part of an ssh address becomes an option of the program.
#[tokio::test]
async fn no_address_becomes_an_option_of_ssh() {
    for mut world in ways() {
        let has_git = world.has_git();
        let server = SshServer::start(&world.path("ssh"), None);
        world.add_programs(&server.client());
        for url in ["ssh://-oProxyCommand=touch%20x/a", "h:-x/a", "-x@h:a/b"] {
            let error = world.fetch(&request(url.to_owned())).await;
            let error = error.expect_err("refused");
            let is_said = matches!(error, SourceError::OptionLike { .. });
            // The git program has an eye on it, too, and words of its own.
            assert!(
                is_said || (has_git && error.to_string().contains("blocked")),
                "{url}: {error}"
            );
            assert_eq!(server.log(), "");
        }
    }
}
