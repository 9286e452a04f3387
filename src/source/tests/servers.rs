//! Repositories on real servers, by HTTP and ssh; with the git program, and without one.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::git_server::{Fault, GitServer, Served};
use super::ssh_server::SshServer;
use super::world::{Remote, World, git, read};
use crate::secrets::SecretString;
use crate::source::{Code, CodeRequest, FetchFailure, HostCredentials, RevisionKind, SourceError};

const PASSWORD: &str = "p@ss/of git";

/// Both ways to a server.
fn ways() -> [World; 2] {
    [World::new(), World::without_git()]
}

impl World {
    fn has_git(&self) -> bool {
        self.options.environment["PATH"] != "/nowhere"
    }

    /// Puts `folder` before all others on the PATH.
    fn add_programs(&mut self, folder: &Path) {
        let path = format!("{}:{}", folder.display(), self.options.environment["PATH"]);
        self.options.environment.insert("PATH".to_owned(), path);
    }

    fn set_credentials(&mut self, host: Option<&str>, user: &str, password: &str) {
        self.options.rules.credentials.global = HostCredentials {
            user: user.to_owned(),
            password: Some(SecretString::new(password)),
            host: host.map(str::to_owned),
            label: None,
        };
    }

    /// What lies in the mirror is asked with git, which is always there for the test itself.
    fn mirror_has(&self, commit: &str) -> bool {
        git2::Repository::open_bare(self.mirror())
            .expect("a mirror")
            .find_object(git2::Oid::from_str(commit).expect("an id"), None)
            .is_ok()
    }
}

fn request(url: String) -> CodeRequest {
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

fn cause(error: &SourceError) -> FetchFailure {
    match error {
        SourceError::Unreachable { cause, .. } => *cause,
        other => panic!("{other:?}"),
    }
}

/// A history with two branches and a tag on the older commit of `main`.
struct History {
    remote: Remote,
    first: String,
    second: String,
    beside: String,
}

fn history(world: &World) -> History {
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

/// E-045, E-050: the server is asked without a password first, and the password is in no URL, file or line.
#[tokio::test]
async fn a_password_is_sent_when_the_server_asks_for_it() {
    for mut world in ways() {
        let history = history(&world);
        world.set_credentials(None, "me", PASSWORD);
        // The agent's own binary answers git; its name is not known here.
        let has_git = world.has_git();
        world.options.askpass_program = answering_program(&world, PASSWORD);
        let server = GitServer::start(world.folder.path(), "me", PASSWORD);
        let request = CodeRequest {
            version_num: history.second,
            ..request(server.url("127.0.0.1", "demo/.git"))
        };
        let fetched = world.fetch(&request).await;
        fetched.unwrap_or_else(|error| panic!("{error}: {}", world.console()));
        let seen = server.authorizations();
        assert!(seen.iter().all(|pair| *pair == format!("me:{PASSWORD}")));
        assert!(
            server.requests().len() > seen.len(),
            "the first request goes without"
        );
        if !has_git {
            let cache = &world.options.cache_folder;
            let encoded = STANDARD.encode(format!("me:{PASSWORD}"));
            for secret in [PASSWORD, "p%40ss%2Fof%20git", &encoded] {
                let found = std::process::Command::new("grep")
                    .args(["-rlF", secret])
                    .arg(cache)
                    .output();
                assert_eq!(found.expect("grep runs").stdout, b"");
                assert!(!world.console().contains(secret));
            }
        }
    }
}

/// A stand-in for the agent's binary as git's askpass program; tests/it/private_git.rs has the real one.
fn answering_program(world: &World, password: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let program = world.path("askpass");
    let text =
        format!("#!/bin/sh\ncase \"$1\" in U*) echo me;; *) printf '%s\\n' '{password}';; esac\n");
    fs::write(&program, text).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("allowed");
    program
}

/// E-081: a refused password is tried once without the git program; host, user and its source are named.
#[tokio::test]
async fn a_refused_password_is_named_and_not_tried_again() {
    for mut world in ways() {
        let history = history(&world);
        world.set_credentials(None, "bob", "wrong-password");
        world.options.askpass_program = answering_program(&world, "wrong-password");
        let server = GitServer::start(world.folder.path(), "me", PASSWORD);
        let request = CodeRequest {
            version_num: history.second,
            ..request(server.url("127.0.0.1", "demo/.git"))
        };
        let error = world.fetch(&request).await.expect_err("refused");
        assert_eq!(cause(&error), FetchFailure::AccessDenied, "{error:?}");
        let hint = error.hint().expect("a hint");
        assert!(
            hint.starts_with(
                "host `127.0.0.1`: tried `agent.git_user` and `agent.git_pass` (user `bob`)"
            ),
            "{hint}"
        );
        assert!(
            error.to_string().contains("Authentication failed"),
            "{error}"
        );
        if !world.has_git() {
            assert_eq!(server.authorizations(), ["bob:wrong-password"]);
        }
        assert!(!world.console().contains("wrong-password"));
    }
}

/// E-047, E-081: each entry of the extra credentials is named by its place, and a host without any by its name.
#[tokio::test]
async fn the_source_of_the_credentials_is_named() {
    let mut world = World::without_git();
    let history = history(&world);
    let server = GitServer::start(world.folder.path(), "me", PASSWORD);
    let request = CodeRequest {
        version_num: history.second,
        ..request(server.url("127.0.0.1", "demo/.git"))
    };
    let error = world.fetch(&request).await.expect_err("refused");
    let hint = error.hint().expect("a hint");
    let expected = "no credentials are configured for host `127.0.0.1`; ";
    assert!(hint.starts_with(expected), "{hint}");
    assert_eq!(server.authorizations(), Vec::<String>::new());
    let extra = |host: &str, user: &str| HostCredentials {
        user: user.to_owned(),
        password: Some(SecretString::new("wrong-password")),
        host: Some(host.to_owned()),
        label: None,
    };
    let incomplete = HostCredentials {
        password: None,
        ..extra("127.0.0.1", "nobody")
    };
    world.options.rules.credentials.extra = vec![extra("git.example", "eve"), incomplete];
    let hint = world.fetch(&request).await.expect_err("refused").hint();
    let expected = "no credentials are configured for host `127.0.0.1`, only for `git.example`; ";
    assert!(hint.expect("a hint").starts_with(expected));
    world.set_credentials(None, "me", PASSWORD);
    world
        .options
        .rules
        .credentials
        .extra
        .push(extra("127.0.0.1", "bob"));
    let hint = world.fetch(&request).await.expect_err("refused").hint();
    let expected = "host `127.0.0.1`: tried `agent.git.extra_credentials[2]` (user `bob`); ";
    assert!(hint.expect("a hint").starts_with(expected));
    assert_eq!(server.authorizations(), ["bob:wrong-password"]);
}

/// E-053, E-054: both tokens of Azure go as headers, to this server alone, and the task's uncommitted changes are applied.
#[tokio::test]
async fn tokens_of_azure_are_headers() {
    let diff = "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-2\n+changed\n";
    let pat = format!("Basic {}", STANDARD.encode(format!(":{PASSWORD}")));
    let bearer = format!("Bearer {PASSWORD}");
    for is_entra in [false, true] {
        for mut world in ways() {
            let history = history(&world);
            world.set_credentials(None, "me", PASSWORD);
            world.options.rules.credentials.azure_pat = !is_entra;
            world.options.rules.credentials.entra_token = is_entra;
            let wanted = if is_entra { &bearer } else { &pat };
            let server = Served::new(world.folder.path())
                .for_bearer_of(wanted)
                .start();
            let request = CodeRequest {
                version_num: history.second.clone(),
                diff: diff.to_owned(),
                ..request(server.url("127.0.0.1", "demo/.git"))
            };
            let code = world.fetch(&request).await;
            let code = code.unwrap_or_else(|error| panic!("{error}: {}", world.console()));
            assert_eq!(read(&code.root.join("train.py")), "changed\n");
            assert_eq!(server.authorizations().len(), server.requests().len());
            assert!(!world.console().contains(PASSWORD));
            let settings =
                read(&world.mirror().join("config")) + &read(&code.root.join(".git/config"));
            assert!(!settings.to_lowercase().contains("header"), "{settings}");
        }
    }
}

/// E-049: ssh never gets a password, not even in its environment.
#[tokio::test]
async fn ssh_gets_no_password() {
    for mut world in ways() {
        let history = history(&world);
        let server = SshServer::start(&world.path("ssh"), None);
        let noted = world.path("environment-of-ssh");
        let wrapper = world.path("wrapper");
        fs::create_dir_all(&wrapper).expect("made");
        let text = format!(
            "#!/bin/sh\n/usr/bin/env > '{}'\nexec '{}' \"$@\"\n",
            noted.display(),
            server.client().join("ssh").display()
        );
        fs::write(wrapper.join("ssh"), text).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(wrapper.join("ssh"), mode).expect("allowed");
        world.add_programs(&wrapper);
        world.set_credentials(None, "me", PASSWORD);
        world.options.rules.translate_ssh = false;
        let request = CodeRequest {
            version_num: history.second.clone(),
            ..request(server.url(&history.remote.path))
        };
        world.fetch(&request).await.expect("fetched");
        let variables = read(&noted);
        assert!(variables.contains("PATH="), "{variables}");
        assert!(!variables.contains("p@ss"), "{variables}");
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

/// E-052: a password does not follow a redirect to another server; the repository does.
#[tokio::test]
async fn a_password_does_not_follow_a_redirect() {
    for mut world in ways() {
        let history = history(&world);
        world.set_credentials(Some("localhost"), "me", PASSWORD);
        world.options.askpass_program = "/bin/false".into();
        let closed = GitServer::start(world.folder.path(), "me", PASSWORD);
        let open = Served::new(world.folder.path()).start();
        for (target, is_open) in [(&open, true), (&closed, false)] {
            let place = target.url("127.0.0.1", "");
            let fault = Fault::MovedTo(place.trim_end_matches('/').to_owned());
            let moved = Served::new(world.folder.path()).with(fault).start();
            let request = CodeRequest {
                version_num: history.second.clone(),
                ..request(moved.url("localhost", "demo/.git"))
            };
            let fetched = world.fetch(&request).await;
            assert_eq!(fetched.is_ok(), is_open, "{fetched:?} {}", world.console());
            assert_eq!(target.authorizations(), Vec::<String>::new());
        }
    }
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
        let server = SshServer::start(&world.path("ssh"), None);
        world.add_programs(&server.client());
        for url in [
            "ssh://-oProxyCommand=touch%20x/a",
            "ssh://h/%2dx",
            "-x@h:a/b",
        ] {
            world
                .fetch(&request(url.to_owned()))
                .await
                .expect_err("refused");
            assert_eq!(server.log(), "");
        }
    }
}
