//! Every cause against a server, or a lack of one, that has it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::UNIX_EPOCH;

use local_server::{LocalServer, Options};

use super::*;
use crate::api::tests::tls::{ServerIdentity, TlsFront};

fn local_server(options: Options) -> LocalServer {
    // It has a runtime of its own, which must not begin inside of another one.
    std::thread::spawn(|| LocalServer::start_blocking(options).unwrap())
        .join()
        .unwrap()
}

fn keys(server: &LocalServer) -> Keys {
    Keys {
        access_key: server.credentials().access_key.clone(),
        secret_key: SecretString::new(server.credentials().secret_key.clone()),
    }
}

fn some_keys() -> Keys {
    Keys {
        access_key: "ACCESS".to_owned(),
        secret_key: SecretString::new("SECRETKEY"),
    }
}

/// Without waits between the tries.
fn settings(variables: &[(&str, &str)]) -> Settings {
    let text = "api.http.retries.backoff_factor: 0";
    Settings::from_text(text, &variables.iter().copied().collect()).unwrap()
}

async fn cause(api_host: &str, keys: &Keys) -> Cause {
    verify(&settings(&[]), api_host, keys).await.unwrap_err()
}

#[track_caller]
fn assert_says(cause: &Cause, text: &str, hint: &str) {
    assert!(cause.text.contains(text), "{cause:?}");
    assert!(cause.hint.contains(hint), "{cause:?}");
}

/// F-141: the keys that were given count, not those of the environment or of an older file.
#[tokio::test]
async fn the_keys_that_were_typed_are_verified() {
    let server = local_server(Options::default());
    let settings = settings(&[
        ("CLEARML_API_ACCESS_KEY", "other"),
        ("CLEARML_API_SECRET_KEY", "other"),
        ("CLEARML_API_HOST", "http://127.0.0.1:1"),
        ("CLEARML_AUTH_TOKEN", "a.b.c"),
    ]);
    let verified = verify(&settings, &server.url(), &keys(&server)).await;
    assert_eq!(verified, Ok(Verified::default()));
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].endpoint, "auth.login");
}

/// F-141: 401
#[tokio::test]
async fn keys_that_the_server_does_not_know_are_named_as_the_cause() {
    let server = local_server(Options::default());
    let found = cause(&server.url(), &some_keys()).await;
    assert_says(
        &found,
        "does not accept these keys",
        "create new credentials",
    );
    let empty = Keys {
        secret_key: SecretString::new(" "),
        ..some_keys()
    };
    assert_says(
        &cause(&server.url(), &empty).await,
        "the secret is empty",
        "credentials",
    );
}

/// F-141: DNS
#[tokio::test]
async fn a_name_that_nobody_knows_is_named_as_the_cause() {
    let found = cause("http://no-such-host.invalid:8008", &some_keys()).await;
    assert_says(
        &found,
        "no-such-host.invalid:8008 is not known (DNS)",
        "spelling",
    );
}

/// F-141: refused
#[tokio::test]
async fn a_closed_port_is_named_as_the_cause() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let found = cause(&format!("http://{closed}"), &some_keys()).await;
    assert_says(&found, "connection refused", "8008");
}

/// F-141: a wrong port, and the right one. Addresses of the loopback network are this process's own by its id.
#[tokio::test]
async fn the_right_port_is_found_from_a_wrong_one() {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, 80, high, low);
    let server = local_server(Options {
        listen: SocketAddr::from((host, 8008)),
        web_listen: Some(SocketAddr::from((host, 8080))),
        ..Options::default()
    });
    let right = format!("http://{host}:8008");
    for wrong in [
        server.web_url(),
        format!("http://{host}:9"),
        server.files_url(),
        format!("https://{host}:8008"),
    ] {
        let found = cause(&wrong, &keys(&server)).await;
        assert!(
            found
                .hint
                .starts_with(&format!("{right} answers as a ClearML API server")),
            "{wrong}: {found:?}"
        );
    }
    for request in server.requests() {
        let shown = format!("{:?}", request.headers);
        assert!(!shown.contains(&server.credentials().access_key), "{shown}");
    }
    let alone = local_server(Options::default());
    let found = cause(&alone.web_url(), &some_keys()).await;
    assert_says(&found, "is not a ClearML API server", "8008");
}

/// F-141: TLS and clock
#[tokio::test]
async fn what_is_wrong_with_tls_is_named_as_the_cause() {
    let server = local_server(Options::default());
    let upstream = server.url().trim_start_matches("http://").parse().unwrap();
    let unknown = TlsFront::start(upstream, &ServerIdentity::by_authority(&["127.0.0.1"])).await;
    let found = cause(&format!("https://{}", unknown.address()), &keys(&server)).await;
    assert_says(
        &found,
        "nobody whom this machine trusts",
        "REQUESTS_CA_BUNDLE",
    );

    let identity = ServerIdentity::expired(&["127.0.0.1"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), identity.trusted()).unwrap();
    let trusting = settings(&[("REQUESTS_CA_BUNDLE", file.path().to_str().unwrap())]);
    let expired = TlsFront::start(upstream, &identity).await;
    let address = format!("https://{}", expired.address());
    let found = verify(&trusting, &address, &keys(&server))
        .await
        .unwrap_err();
    assert_says(&found, "this machine's clock says", "set the clock");

    let plain = format!("https://{upstream}");
    let found = cause(&plain, &keys(&server)).await;
    assert_says(&found, "does not speak TLS", "http://");
}

/// F-141: the clock, by the date of the token
#[tokio::test]
async fn a_clock_that_is_far_off_is_warned_about() {
    let server = local_server(Options::default());
    let options =
        options(&settings(&[]), &server.url(), &keys(&server)).unwrap_or_else(|_| panic!("good"));
    let claims = Session::new(options).unwrap().claims().await.unwrap();
    let issued = claims.issued.unwrap();
    assert!(issued > UNIX_EPOCH);
    assert_eq!(
        clock_warning(&claims, issued + Duration::from_mins(4)),
        None
    );
    let ahead = clock_warning(&claims, issued + Duration::from_hours(2)).unwrap();
    assert!(ahead.contains("120 minutes ahead of"), "{ahead}");
    let behind = clock_warning(&claims, issued - Duration::from_hours(1)).unwrap();
    assert!(behind.contains("60 minutes behind"), "{behind}");
}
