//! Repositories that cannot be had, and what is said of them.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;

use super::world::World;
use crate::secrets::SecretString;
use crate::source::{CodeRequest, FetchFailure, HostCredentials, SourceError};

fn cause(error: &SourceError) -> Option<FetchFailure> {
    match error {
        SourceError::Unreachable { cause, .. } => Some(*cause),
        _ => None,
    }
}

/// E-080: and nothing that would count as a clone is left.
#[tokio::test]
async fn a_repository_that_does_not_exist() {
    for world in [World::new(), World::without_git()] {
        let request = CodeRequest {
            repository: format!("file://{}", world.path("nosuch").display()),
            branch: "main".to_owned(),
            ..CodeRequest::default()
        };
        for _ in 0..2 {
            let error = world.fetch(&request).await.expect_err("not there");
            assert_eq!(cause(&error), Some(FetchFailure::DoesNotExist), "{error:?}");
            assert!(
                world
                    .console()
                    .contains("Repository cloning failed: could not fetch `file://")
            );
            let text = error.console_text(&request, "");
            assert!(text.starts_with("Failed cloning repository. \n1) Make sure you pushed the requested commit:\n(repository='file://"));
            assert!(text.contains("docker_cmd=None"));
        }
        assert_eq!(world.console().matches("cloning: ").count(), 2);
        fs::create_dir_all(world.path("nosuch")).expect("made");
        let error = world
            .fetch(&request)
            .await
            .expect_err("a folder is no repository");
        assert_eq!(cause(&error), Some(FetchFailure::DoesNotExist), "{error:?}");
    }
}

/// E-036
#[tokio::test]
async fn nothing_of_a_task_becomes_an_option() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let good = remote.request();
    let bad = || "--upload-pack=touch x".to_owned();
    for request in [
        CodeRequest {
            repository: bad(),
            ..good.clone()
        },
        CodeRequest {
            version_num: bad(),
            ..good.clone()
        },
        CodeRequest {
            tag: bad(),
            ..good.clone()
        },
        CodeRequest {
            branch: bad(),
            ..good.clone()
        },
    ] {
        let error = world.fetch(&request).await.expect_err("refused");
        assert!(matches!(error, SourceError::OptionLike { .. }), "{error:?}");
    }
}

/// E-050, E-055: a server that nobody reaches; the password is in no line, no file and no error.
#[tokio::test]
async fn no_password_is_shown_or_kept() {
    let mut world = World::new();
    let password = "hunter2-$`\\\"very-secret";
    world.options.rules.credentials.global = HostCredentials {
        user: "bob".to_owned(),
        password: Some(SecretString::new(password)),
        host: None,
        label: None,
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("address").port();
    drop(listener);
    for url in [
        format!("http://127.0.0.1:{port}/demo.git"),
        format!("http://eve:embedded-secret-9@127.0.0.1:{port}/demo.git"),
    ] {
        let request = CodeRequest {
            repository: url,
            ..CodeRequest::default()
        };
        let error = world.fetch(&request).await.expect_err("nobody listens");
        assert_eq!(cause(&error), Some(FetchFailure::NoConnection), "{error:?}");
        let shown = format!(
            "{error} {error:?} {:?} {} {request:?} {:?} {}",
            error.hint(),
            error.console_text(&request, ""),
            world.options,
            world.console()
        );
        for secret in ["hunter2", "embedded-secret"] {
            assert!(!shown.contains(secret), "{shown}");
            let found = std::process::Command::new("grep")
                .args(["-rl", secret])
                .arg(world.folder.path())
                .output()
                .expect("grep runs");
            assert_eq!(String::from_utf8_lossy(&found.stdout), "");
        }
    }
}

/// E-050, E-051: git itself asks the askpass program, and with the answers of this run alone.
#[tokio::test]
async fn git_asks_by_askpass() {
    use std::os::unix::fs::PermissionsExt;

    let world = World::new();
    let script = world.path("askpass");
    // Prints what reaches it: the mode, and the prompt.
    fs::write(
        &script,
        "#!/bin/sh\necho \"$CLEARML_AGENT_ASKPASS_MODE-$1\"\n",
    )
    .expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("allowed");
    let mut rules = crate::source::UrlRules::default();
    rules.credentials.global = HostCredentials {
        user: "bob".to_owned(),
        password: Some(SecretString::new("tok-123456")),
        host: None,
        label: None,
    };
    let remote = rules.resolve(&crate::source::GitUrl::parse("https://host.invalid/a.git"));
    let access = super::super::git::Access::to_remote(&remote);
    let git = super::super::git::Git::find(&world.options.environment).expect("git");
    let command = git.network(
        &world.options.environment,
        &access,
        &script,
        &[],
        std::time::Duration::from_mins(1),
    );
    let input = world.path("input");
    fs::write(&input, "protocol=https\nhost=host.invalid\n\n").expect("written");
    let mut command = command.args(["credential", "fill"]).to_std();
    let output = command
        .stdin(fs::File::open(input).expect("opened"))
        .output()
        .expect("ran");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("username=1-Username for 'https://host.invalid'"),
        "{text}"
    );
    assert!(
        text.contains("password=1-Password for 'https://1-Username"),
        "{text}"
    );
}

/// E-019, E-081
#[test]
fn the_failure_text_masks_the_repository() {
    let request = CodeRequest {
        repository: "https://bob:hunter2@host.example/a.git".to_owned(),
        ..CodeRequest::default()
    };
    let error = SourceError::RevisionMissing {
        kind: crate::source::RevisionKind::Tag,
        revision: "v1".to_owned(),
        url: "https://host.example/a.git".to_owned(),
    };
    let text = error.console_text(&request, "image -e X=1");
    assert!(
        text.contains("(repository='https://bob@host.example/a.git', branch=''"),
        "{text}"
    );
    assert!(text.contains("docker_cmd='image -e X=1'"), "{text}");
}

/// E-062: a repository of another user is fetched by the git program, which can be told to trust it.
#[tokio::test]
async fn a_repository_of_another_user() {
    let mut world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    for path in [remote.path.clone(), remote.path.join(".git")] {
        if std::os::unix::fs::chown(&path, Some(12345), Some(12345)).is_err() {
            // Only root can give a folder away; for anybody else what libgit2 says of one must do.
            let said = format!(
                "repository path '{}' is not owned by current user",
                path.display()
            );
            assert_eq!(FetchFailure::of_message(&said), FetchFailure::ForeignOwner);
            return;
        }
    }
    let code = world
        .fetch(&remote.request())
        .await
        .expect("the git program fetches it");
    assert_eq!(super::world::read(&code.root.join("train.py")), "1\n");
    world
        .options
        .environment
        .insert("PATH".to_owned(), "/nowhere".to_owned());
    let error = world
        .fetch(&remote.request())
        .await
        .expect_err("libgit2 refuses");
    assert_eq!(cause(&error), Some(FetchFailure::ForeignOwner), "{error:?}");
    assert!(error.hint().is_some());
}
