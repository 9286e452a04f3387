//! A stub of an image registry: one small image behind a login, whose layer can be held back.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The login that it wants.
pub(crate) const LOGIN: (&str, &str) = ("someone", "registry-password-1");

/// A running registry.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    address: SocketAddr,
    manifest: Arc<Vec<u8>>,
    blobs: Arc<Vec<Vec<u8>>>,
    asked: Arc<Mutex<Vec<String>>>,
    is_held: Arc<(Mutex<bool>, Condvar)>,
}

impl Registry {
    /// Starts one; its image has a single file and no shell.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        // Of each registry another one, so that no engine knows it already.
        let content = address.to_string();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, "hello", content.as_bytes())
            .unwrap();
        let layer = archive.into_inner().unwrap();
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        });
        let config = config.to_string().into_bytes();
        let described = |kind: &str, blob: &[u8]| json!({"mediaType": kind, "size": blob.len(), "digest": digest(blob)});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described("application/vnd.docker.container.image.v1+json", &config),
            "layers": [described("application/vnd.docker.image.rootfs.diff.tar", &layer)],
        });
        let registry = Self {
            address,
            manifest: Arc::new(manifest.to_string().into_bytes()),
            blobs: Arc::new(vec![config, layer]),
            asked: Arc::default(),
            is_held: Arc::default(),
        };
        let served = registry.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let served = served.clone();
                thread::spawn(move || served.answer(&client));
            }
        });
        registry
    }

    /// The name of its image.
    pub(crate) fn image(&self) -> String {
        format!("{}/stub/image:1", self.address)
    }

    /// The file with logins of docker, with the right one.
    pub(crate) fn logins(&self) -> String {
        let auth = STANDARD.encode(format!("{}:{}", LOGIN.0, LOGIN.1));
        json!({"auths": {self.address.to_string(): {"auth": auth}}}).to_string()
    }

    /// From now on nobody gets a layer.
    pub(crate) fn hold(&self) {
        *self.is_held.0.lock().unwrap() = true;
    }

    /// True once somebody has asked for the layer.
    pub(crate) fn is_asked_for_layer(&self) -> bool {
        let layer = digest(&self.blobs[1]);
        self.asked
            .lock()
            .unwrap()
            .iter()
            .any(|path| path.ends_with(&layer))
    }

    fn answer(&self, mut client: &TcpStream) -> Option<()> {
        let mut lines = BufReader::new(client).lines();
        let first = lines.next()?.ok()?;
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut login = None;
        loop {
            let line = lines.next()?.ok()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("authorization")
            {
                login = Some(value.trim_start_matches("Basic ").to_owned());
            }
        }
        self.asked.lock().unwrap().push(path.clone());
        let wanted = STANDARD.encode(format!("{}:{}", LOGIN.0, LOGIN.1));
        let blob = self.blobs.iter().find(|blob| path.ends_with(&digest(blob)));
        let (status, kind, body) = if login != Some(wanted) {
            let body =
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            ("401 Unauthorized", "application/json", body.as_bytes())
        } else if path.contains("/manifests/") {
            ("200 OK", MANIFEST, self.manifest.as_slice())
        } else if let Some(blob) = blob {
            if *blob == self.blobs[1] {
                let (held, changed) = &*self.is_held;
                let _open = changed.wait_while(held.lock().unwrap(), |held| *held);
            }
            ("200 OK", "application/octet-stream", blob.as_slice())
        } else {
            ("200 OK", "application/json", b"{}".as_slice())
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Content-Digest: {}\r\n\
             Docker-Distribution-Api-Version: registry/2.0\r\nWWW-Authenticate: Basic realm=\"stub\"\r\nConnection: close\r\n\r\n",
            body.len(),
            digest(body)
        );
        client.write_all(head.as_bytes()).ok()?;
        if method != "HEAD" {
            client.write_all(body).ok()?;
        }
        Some(())
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}
