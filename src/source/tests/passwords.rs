//! Which password reaches which server, with the git program and without one, and what is said where it is refused.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::git_server::{Fault, GitServer, Served};
use super::servers::{cause, history, request, ways};
use super::ssh_server::SshServer;
use super::world::{World, read};
use crate::secrets::SecretString;
use crate::source::{CodeRequest, FetchFailure, HostCredentials};

const PASSWORD: &str = "p@ss/of git";

impl World {
    fn set_credentials(&mut self, host: Option<&str>, user: &str, password: &str) {
        self.options.rules.credentials.global = HostCredentials {
            user: user.to_owned(),
            password: Some(SecretString::new(password)),
            host: host.map(str::to_owned),
            label: None,
        };
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
