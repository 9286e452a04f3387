//! Certificates, proxies, connections, compression.
//!
//! Compiled under `#[cfg(test)]` only.

use std::io::Write;
use std::net::SocketAddr;

use serde_json::json;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use url::Url;

use super::proxy::LoggingProxy;
use super::server::{FakeServer, Reply};
use super::tls::{ServerIdentity, TlsFront};
use super::{options, session};
use crate::api::{
    ApiError, CertificateCheck, ProxySettings, Session, SessionOptions, TaskId, TlsFault, Trust,
};

fn task() -> TaskId {
    TaskId::new("ad54fcc1c0a0449d9a2bc64324997a13").unwrap()
}

fn https(address: SocketAddr) -> Url {
    format!("https://127.0.0.1:{}", address.port())
        .parse()
        .unwrap()
}

fn file_with(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

async fn ping(options: SessionOptions) -> Result<(), ApiError> {
    Session::new(options).unwrap().tasks().ping(&task()).await
}

fn trusting(url: Url, check: CertificateCheck) -> SessionOptions {
    SessionOptions {
        trust: Trust {
            check,
            extra_roots: Vec::new(),
        },
        ..options(url)
    }
}

///
#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_when_named() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    let identity = ServerIdentity::by_authority(&["127.0.0.1"]);
    let front = TlsFront::start(server.address, &identity).await;
    let url = https(front.address());

    let error = ping(trusting(url.clone(), CertificateCheck::System))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("TLS handshake failed"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("api.verify_certificate"));
    assert!(
        server.requests().is_empty(),
        "nothing is sent to a stranger"
    );

    let file = file_with(identity.trusted());
    let path = file.path().to_owned();
    ping(trusting(url.clone(), CertificateCheck::File(path.clone())))
        .await
        .unwrap();
    ping(trusting(url.clone(), CertificateCheck::Off))
        .await
        .unwrap();
    let mut extra = trusting(url.clone(), CertificateCheck::System);
    extra.trust.extra_roots.push(path.clone());
    ping(extra).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let check = CertificateCheck::File(folder.path().to_owned());
    let error = ping(trusting(url.clone(), check.clone()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ApiError::Configuration(_)),
        "empty folder: {error}"
    );
    std::fs::copy(&path, folder.path().join("ca.pem")).unwrap();
    ping(trusting(url, check)).await.unwrap();
}

/// the certificates that `openssl req -x509` makes.
#[tokio::test]
async fn a_self_signed_server_certificate_is_trusted_when_named_and_only_for_its_names() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    for (names, expected) in [(["127.0.0.1"], true), (["other.example.com"], false)] {
        let identity = ServerIdentity::self_signed(&names);
        let front = TlsFront::start(server.address, &identity).await;
        let file = file_with(identity.trusted());
        let check = CertificateCheck::File(file.path().to_owned());
        let result = ping(trusting(https(front.address()), check)).await;
        assert_eq!(result.is_ok(), expected, "{names:?}: {result:?}");
        // Another server's certificate does not become trusted by it.
        let stranger = ServerIdentity::self_signed(&["127.0.0.1"]);
        let front = TlsFront::start(server.address, &stranger).await;
        let check = CertificateCheck::File(file.path().to_owned());
        let error = ping(trusting(https(front.address()), check))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("TLS"), "{error}");
    }
}

fn through(url: Url, variables: &[(&str, String)]) -> SessionOptions {
    let proxies = ProxySettings::from_variables(|name| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.clone())
    });
    SessionOptions {
        proxies,
        ..options(url)
    }
}

///
#[tokio::test]
async fn https_goes_through_a_tunnel_of_the_proxy() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    let identity = ServerIdentity::by_authority(&["127.0.0.1"]);
    let front = TlsFront::start(server.address, &identity).await;
    let proxy = LoggingProxy::start().await;
    let mut options = through(https(front.address()), &[("HTTPS_PROXY", proxy.url())]);
    let file = file_with(identity.trusted());
    options.trust.check = CertificateCheck::File(file.path().to_owned());
    ping(options).await.unwrap();
    let expected = format!("CONNECT {}", front.address());
    let requests = proxy.requests();
    assert!(
        !requests.is_empty() && requests.iter().all(|r| *r == expected),
        "{requests:?}"
    );
}

///
#[tokio::test]
async fn http_goes_through_the_proxy_of_its_kind() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    let proxy = LoggingProxy::start().await;
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let before = proxy.requests().len();
        ping(through(server.url(), &[(variable, proxy.url())]))
            .await
            .unwrap();
        let requests = proxy.requests()[before..].to_vec();
        let expected = ["auth.login", "v2.5/tasks.ping"];
        let expected = expected.map(|path| format!("GET http://{}/{path}", server.address));
        assert_eq!(requests, expected, "{variable}");
    }
    let before = proxy.requests().len();
    ping(through(server.url(), &[("HTTPS_PROXY", proxy.url())]))
        .await
        .unwrap();
    assert_eq!(proxy.requests().len(), before);
}

///
#[tokio::test]
async fn no_proxy_names_what_is_reached_directly() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    let proxy = LoggingProxy::start().await;
    for (except, direct) in [
        ("127.0.0.1", true),
        ("example.com, 127.0.0.0/8", true),
        ("*", true),
        ("example.com", false),
        ("", false),
    ] {
        let before = proxy.requests().len();
        let variables = [("HTTP_PROXY", proxy.url()), ("NO_PROXY", except.to_owned())];
        ping(through(server.url(), &variables)).await.unwrap();
        assert_eq!(proxy.requests().len() == before, direct, "{except:?}");
    }
}

///
#[tokio::test]
async fn calls_after_the_login_share_a_connection() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    let session = session(server.url());
    for _ in 0..5 {
        session.tasks().ping(&task()).await.unwrap();
    }
    let connections: Vec<usize> = server.requests()[1..]
        .iter()
        .map(|r| r.connection)
        .collect();
    assert!(
        connections.iter().all(|c| *c == connections[0]),
        "{connections:?}"
    );
}

///
#[tokio::test]
async fn compressed_answers_are_read() {
    // `{"meta":{"result_code":200},"data":{"version":"2.3.0"}}`, by gzip.
    const ANSWER: &[u8] = include_bytes!("../../../tests/data/api/server-info.json.gz");
    let server =
        FakeServer::start(|_, _| Reply::raw(200, ANSWER).header("Content-Encoding", "gzip")).await;
    let info = session(server.url()).server_calls().info().await.unwrap();
    assert_eq!(info.version.as_deref(), Some("2.3.0"));
}

///
#[tokio::test]
async fn redirects_that_keep_the_request_are_followed() {
    let server = FakeServer::start(|seen, _| {
        if seen.path.starts_with("/v2.5/") {
            Reply::raw(308, "").header("Location", "/moved/tasks.ping")
        } else {
            Reply::ok(&json!({}))
        }
    })
    .await;
    session(server.url()).tasks().ping(&task()).await.unwrap();
    let last = server.requests().pop().unwrap();
    assert_eq!(last.path, "/moved/tasks.ping");
    assert_eq!(last.json(), json!({"task": task()}));
    assert!(last.header("authorization").is_some());
}

/// F-141: what a person has to mend is told apart.
#[tokio::test]
async fn a_failed_handshake_says_why() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    let fault = async |identity: &ServerIdentity, trusted: bool| {
        let front = TlsFront::start(server.address, identity).await;
        let file = file_with(identity.trusted());
        let check = if trusted {
            CertificateCheck::File(file.path().to_owned())
        } else {
            CertificateCheck::System
        };
        let failed = ping(trusting(https(front.address()), check)).await;
        failed.unwrap_err().tls_fault()
    };
    let here = ["127.0.0.1"];
    let expired = ServerIdentity::expired(&here);
    assert_eq!(fault(&expired, true).await, Some(TlsFault::Clock));
    let unknown = ServerIdentity::by_authority(&here);
    assert_eq!(fault(&unknown, false).await, Some(TlsFault::UnknownIssuer));
    let other = ServerIdentity::by_authority(&["other.example"]);
    assert_eq!(fault(&other, true).await, Some(TlsFault::OtherName));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            // The client may have gone.
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let plain = ping(trusting(https(address), CertificateCheck::System)).await;
    assert_eq!(plain.unwrap_err().tls_fault(), Some(TlsFault::PlainText));
    let closed = "http://127.0.0.1:1".parse().unwrap();
    let refused = ping(options(closed)).await;
    assert_eq!(refused.unwrap_err().tls_fault(), None);
}
