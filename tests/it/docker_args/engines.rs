//! The engine of this machine, and a stand-in for a newer one, each with what the lines name.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse;
use clearml_agent::container::args::{ApiVersion, HostContext};
use serde_json::{Value, json};

/// A machine with an engine, an image, and what the lines name.
pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    pub(super) name: String,
    pub(super) host: HostContext,
    /// The first three numbers of the network's addresses.
    subnet: String,
}

impl Bench {
    pub(super) fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("profile.json", "{ \"defaultAction\": \"SCMP_ACT_ALLOW\" }");
        write(
            "vars",
            "\u{feff}# a comment\n\nFROM_FILE=one\nDOCKER_ARGS_SET\nDOCKER_ARGS_UNSET\n  BLANKS= two \n",
        );
        write("bad-vars", "A B=1\n");
        write("labels", "from.file=one\nalone\n# no\nfrom.file=two\n");
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        std::fs::create_dir(folder.path().join("docker")).unwrap();
        let proxies =
            json!({"proxies": {"default": {"httpProxy": "http://proxy:1", "noProxy": "a,b"}}});
        write("docker/config.json", &proxies.to_string());
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let host = HostContext {
            variables: [set("DOCKER_ARGS_SET", "from the host")].into(),
            folder: folder.path().to_owned(),
            proxies: [
                set("HTTP_PROXY", "http://proxy:1"),
                set("http_proxy", "http://proxy:1"),
                set("NO_PROXY", "a,b"),
                set("no_proxy", "a,b"),
            ]
            .into(),
            is_podman: false,
        };
        Self {
            folder,
            name: format!("clearml-args-{name}-{}", std::process::id()),
            host,
            subnet: "10.213.77".to_owned(),
        }
    }

    /// The words of a line, with the names of this bench.
    pub(super) fn words(&self, line: &str) -> Vec<String> {
        let words = shlex::split(line).unwrap();
        let folder = self.folder.path().display().to_string();
        let word = |word: &String| {
            word.replace("IMAGE", &self.name)
                .replace("DIR", &folder)
                .replace("SUBNET", &self.subnet)
                .replace("PEER", &format!("{}-peer", self.name))
                .replace("NETWORK", &format!("{}-net", self.name))
        };
        words.iter().map(word).collect()
    }

    /// The real client.
    pub(super) fn client(&self, words: &[String]) -> Command {
        let mut command = Command::new("docker");
        command.args(words).current_dir(self.folder.path());
        command.env("DOCKER_CONFIG", self.folder.path().join("docker"));
        command.env("DOCKER_ARGS_SET", "from the host");
        command.env_remove("DOCKER_ARGS_UNSET");
        command
    }

    pub(super) fn docker(&self, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let output = self.client(&words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(super) fn create(&self, engine: Option<&str>, line: &str) -> Output {
        let mut words: Vec<String> = Vec::new();
        if let Some(engine) = engine {
            words.extend(["-H".to_owned(), engine.to_owned()]);
        }
        words.push("create".to_owned());
        words.extend(self.words(line));
        self.client(&words).output().unwrap()
    }
}

/// The image, the network and the container that the lines name, on the real engine. They go with it.
pub(super) struct RealEngine {
    pub(super) bench: Bench,
}

impl RealEngine {
    pub(super) fn new() -> Self {
        let mut bench = Bench::new("real");
        let mut import = Command::new("docker")
            .args([
                "import",
                "-c",
                "CMD [\"/bin/sh\"]",
                "-c",
                "ENV PATH=/bin OF_IMAGE=1",
                "-",
                &bench.name,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Two blocks of zeros: an archive without files.
        import.stdin.take().unwrap().write_all(&[0; 1024]).unwrap();
        assert!(import.wait().unwrap().success());
        let peer = format!("{}-peer", bench.name);
        let network = format!("{}-net", bench.name);
        // Addresses that nothing on this machine has, such as a test that was killed.
        let mut refusals = Vec::new();
        let subnet = (77..107).map(|number| format!("10.213.{number}"));
        let free = subnet.into_iter().find(|subnet| {
            let addresses = format!("{subnet}.0/24");
            let words = ["network", "create", "--subnet", &addresses, &network];
            let created = bench.client(&words.map(str::to_owned)).output().unwrap();
            refusals.push(String::from_utf8_lossy(&created.stderr).into_owned());
            created.status.success()
        });
        bench.subnet = free.unwrap_or_else(|| panic!("no network: {refusals:?}"));
        bench.docker(&["create", "--name", &peer, "-v", "/of-peer", &bench.name]);
        Self { bench }
    }

    pub(super) fn inspect(&self, id: &str) -> Value {
        let text = self.bench.docker(&["inspect", id]);
        serde_json::from_str::<Value>(&text).unwrap()[0].take()
    }
}

impl Drop for RealEngine {
    fn drop(&mut self) {
        let name = &self.bench.name;
        for words in [
            ["rm", "-fv", &format!("{name}-peer")],
            ["network", "rm", &format!("{name}-net")],
            ["image", "rm", name],
        ] {
            let _ = Command::new("docker").args(words).output();
        }
    }
}

/// A stand-in for a newer engine, which takes down what it is asked to create.
pub(super) struct NewerEngine {
    pub(super) address: String,
    pub(super) asked: Arc<Mutex<Option<(Uri, Value)>>>,
}

impl NewerEngine {
    pub(super) async fn start(api: ApiVersion) -> Self {
        let asked = Arc::new(Mutex::new(None));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(Self::answer)
            .with_state((api, Arc::clone(&asked)));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, asked }
    }

    #[expect(clippy::unused_async, reason = "axum's handlers are")]
    async fn answer(
        State((api, asked)): State<(ApiVersion, Arc<Mutex<Option<(Uri, Value)>>>)>,
        uri: Uri,
        body: Bytes,
    ) -> impl IntoResponse {
        let headers = [
            ("API-Version", api.to_string()),
            ("OSType", "linux".to_owned()),
            ("Content-Type", "application/json".to_owned()),
        ];
        if uri.path().ends_with("/containers/create") {
            let body = serde_json::from_slice(&body).unwrap();
            *asked.lock().unwrap() = Some((uri, body));
            return (
                axum::http::StatusCode::CREATED,
                headers,
                json!({"Id": "1", "Warnings": []}).to_string(),
            );
        }
        (axum::http::StatusCode::OK, headers, "OK".to_owned())
    }
}
