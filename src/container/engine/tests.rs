//! What can be tried without an engine.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;
use std::path::Path;

use super::console::Frames;
use super::credentials::login;
use super::reference::Reference;
use super::{Endpoint, EndpointSource, Engine, EngineError};

fn source(folder: &Path) -> EndpointSource {
    EndpointSource {
        folder: folder.to_owned(),
        ..EndpointSource::default()
    }
}

#[test]
fn the_engine_is_where_variables_and_contexts_say() {
    let folder = tempfile::tempdir().unwrap();
    let plain = source(folder.path());
    let usual = Endpoint::Unix("/var/run/docker.sock".into());
    assert_eq!(plain.endpoint(), Ok(usual.clone()));
    let named = EndpointSource {
        host: Some("tcp://engine:2375/".to_owned()),
        ..plain.clone()
    };
    assert_eq!(
        named.endpoint(),
        Ok(Endpoint::Tcp("engine:2375".to_owned()))
    );
    assert!(named.endpoint().unwrap().is_remote());
    let encrypted = EndpointSource {
        is_tls: true,
        ..named.clone()
    };
    let tls = Endpoint::Tls {
        host: "engine:2375".to_owned(),
        certificates: folder.path().to_owned(),
    };
    assert_eq!(encrypted.endpoint(), Ok(tls));
    // The name of the folder is the SHA-256 of `far`.
    let meta = folder
        .path()
        .join("contexts/meta/512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868");
    fs::create_dir_all(&meta).unwrap();
    fs::write(
        meta.join("meta.json"),
        r#"{"Name":"far","Endpoints":{"docker":{"Host":"unix:///run/far.sock"}}}"#,
    )
    .unwrap();
    fs::write(
        folder.path().join("config.json"),
        r#"{"currentContext":"far"}"#,
    )
    .unwrap();
    assert_eq!(plain.endpoint(), Ok(Endpoint::Unix("/run/far.sock".into())));
    let default = EndpointSource {
        context: Some("default".to_owned()),
        ..plain.clone()
    };
    assert_eq!(default.endpoint(), Ok(usual));
    let podman = EndpointSource {
        is_podman: true,
        ..plain
    };
    assert_eq!(
        podman.endpoint(),
        Ok(Endpoint::Unix("/run/podman/podman.sock".into()))
    );
}

#[test]
fn an_address_that_cannot_be_used_is_named_with_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    for address in [
        "ssh://user@host",
        "host:2375",
        "unix://docker.sock",
        "tcp://",
    ] {
        let source = EndpointSource {
            host: Some(address.to_owned()),
            ..source(folder.path())
        };
        let error = source.endpoint().unwrap_err();
        assert!(error.to_string().contains(address), "{error}");
        assert!(error.to_string().contains("DOCKER_HOST"), "{error}");
        assert!(error.hint().is_some());
    }
    let missing = EndpointSource {
        context: Some("nowhere".to_owned()),
        ..source(folder.path())
    };
    let error = missing.endpoint().unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
}

#[test]
fn names_of_images_are_taken_apart() {
    let hub = "https://index.docker.io/v1/";
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let with_digest = format!("ghcr.io/o/n@{digest}");
    for (image, name, tag, registry) in [
        ("python", "python", "latest", hub),
        ("nvidia/cuda:12.6", "nvidia/cuda", "12.6", hub),
        ("docker.io/library/a:b", "docker.io/library/a", "b", hub),
        (
            "localhost:5000/a",
            "localhost:5000/a",
            "latest",
            "localhost:5000",
        ),
        ("r.example/a/b:c", "r.example/a/b", "c", "r.example"),
        (&with_digest, "ghcr.io/o/n", digest, "ghcr.io"),
    ] {
        let parsed = Reference::parse(image).unwrap();
        assert_eq!(
            (&*parsed.name, &*parsed.tag, &*parsed.registry),
            (name, tag, registry),
            "{image}"
        );
    }
    for image in [
        "",
        "a b",
        "a:b c",
        "Upper",
        "a//b",
        "a:-b",
        "a@b",
        "r.example/",
        "a:",
    ] {
        let error = Reference::parse(image);
        assert!(
            matches!(error, Err(EngineError::Reference { .. })),
            "{image}: {error:?}"
        );
    }
}

#[test]
fn frames_lose_their_headers_wherever_they_are_cut() {
    let mut bytes = Vec::new();
    for (stream, text) in [
        (1, "one\n"),
        (2, ""),
        (1, "a longer line\r"),
        (2, "\u{1}end"),
    ] {
        bytes.extend([stream, 0, 0, 0]);
        bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    for size in 1..bytes.len() {
        let mut frames = Frames::default();
        let out: Vec<u8> = bytes
            .chunks(size)
            .flat_map(|piece| frames.unpack(piece))
            .collect();
        assert_eq!(out, b"one\na longer line\r\x01end", "pieces of {size}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn logins_come_from_the_file_or_from_the_program_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let path = folder.path().to_str().unwrap();
    let mut said = Vec::new();
    // More than a pipe holds: a program that does not read it leaves a broken pipe.
    let unread = "u".repeat(200_000);
    let text = serde_json::json!({
        "auths": {"https://r.example/v1/": {"auth": "dXNlcjpwYXNz" /* user:pass */}},
        "credHelpers": {
            "h.example": "told", "n.example": "nowhere", "empty.example": "none", &unread: "none",
        },
    });
    fs::write(&file, text.to_string()).unwrap();
    // Written by another process: a program that this one holds open for writing cannot be started by its other threads.
    let script = |name: &str, text: &str| {
        let path = folder.path().join(name);
        let written = std::process::Command::new("sh")
            .args([
                "-c",
                "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"",
            ])
            .args([path.as_os_str(), text.as_ref()])
            .status();
        assert!(written.unwrap().success());
    };
    script(
        "docker-credential-told",
        r#"read host; [ "$1" = get ] && printf '{"ServerURL":"%s","Username":"<token>","Secret":"t0ken"}' "$host""#,
    );
    script(
        "docker-credential-none",
        "echo credentials not found in native keychain; exit 1",
    );
    let mut say = |line: String| said.push(line);
    let found = login(folder.path(), "r.example", path, &mut say)
        .await
        .unwrap();
    assert_eq!(found.username.as_deref(), Some("user"));
    assert_eq!(found.password.as_deref(), Some("pass"));
    let found = login(folder.path(), "h.example", path, &mut say)
        .await
        .unwrap();
    assert_eq!(found.identitytoken.as_deref(), Some("t0ken"));
    assert_eq!(found.serveraddress.as_deref(), Some("h.example"));
    for registry in ["other.example", "empty.example", "n.example", &unread] {
        assert!(
            login(folder.path(), registry, path, &mut say)
                .await
                .is_none()
        );
    }
    fs::write(&file, "{").unwrap();
    assert!(
        login(folder.path(), "r.example", path, &mut say)
            .await
            .is_none()
    );
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("docker-credential-nowhere"), "{said:?}");
    assert!(said[1].contains("config.json"), "{said:?}");
}

/// Who reads it knows the engine, and none of the libraries on the way there.
#[tokio::test]
async fn an_engine_that_does_not_answer_is_told_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let socket = |name: &str| folder.path().join(name);
    // Nobody listens there any more.
    drop(std::os::unix::net::UnixListener::bind(socket("docker.sock")).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let refused = "Connection refused (os error 111)";
    for (endpoint, reason, hint) in [
        (
            Endpoint::Unix(socket("podman.sock")),
            "there is no such socket",
            "systemctl enable --now podman.socket",
        ),
        (
            Endpoint::Unix(socket("docker.sock")),
            refused,
            "systemctl start docker",
        ),
        (Endpoint::Tcp(host), refused, "systemctl start docker"),
    ] {
        let error = Engine::connect(&endpoint).await.unwrap_err();
        let expected = format!("no container engine answers at `{endpoint}`: {reason}");
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().is_some_and(|it| it.contains(hint)), "{error}");
    }
}
