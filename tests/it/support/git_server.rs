//! A git server by HTTP with passwords: git's own `http-backend` behind basic authentication.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A running server.
#[derive(Debug)]
pub(crate) struct GitServer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

/// What the server knows.
#[derive(Clone, Debug)]
struct Served {
    root: PathBuf,
    /// `Basic …`; whoever sends something else is asked for a password.
    authorization: String,
    seen: Arc<Mutex<Vec<String>>>,
}

#[derive(Debug, Default)]
struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl GitServer {
    /// Serves the repositories below `root` to this user alone.
    pub(crate) fn start(root: &Path, user: &str, password: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let served = Served {
            root: root.to_owned(),
            authorization: format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
            seen: seen.clone(),
        };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let served = served.clone();
                thread::spawn(move || served.answer(&client));
            }
        });
        Self { address, seen }
    }

    /// The address of a repository, by this name of this machine.
    pub(crate) fn url(&self, host: &str, repository: &str) -> String {
        format!("http://{host}:{}/{repository}", self.address.port())
    }

    /// Every `Authorization` header that has come, decoded: `user:password`.
    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Served {
    fn answer(&self, mut client: &TcpStream) -> Option<()> {
        let request = Request::read(client)?;
        let given = request.header("authorization").unwrap_or_default();
        if !given.is_empty() {
            let encoded = given.strip_prefix("Basic ").unwrap_or(given);
            let plain = STANDARD.decode(encoded).unwrap_or_default();
            let plain = String::from_utf8_lossy(&plain).into_owned();
            self.seen.lock().unwrap().push(plain);
        }
        let answer = if given == self.authorization {
            self.backend(&request)?
        } else {
            b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\n\
              Content-Length: 0\r\nConnection: close\r\n\r\n"
                .to_vec()
        };
        client.write_all(&answer).ok()?;
        client.shutdown(Shutdown::Both).ok()
    }

    /// The answer of `git http-backend`, which speaks CGI.
    fn backend(&self, request: &Request) -> Option<Vec<u8>> {
        let mut command = Command::new("git");
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            // The test's repositories belong to whoever runs the tests.
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .env("REQUEST_METHOD", &request.method)
            .env("PATH_INFO", &request.path)
            .env("QUERY_STRING", &request.query)
            .env("CONTENT_LENGTH", request.body.len().to_string());
        for (header, variable) in [
            ("content-type", "CONTENT_TYPE"),
            ("content-encoding", "HTTP_CONTENT_ENCODING"),
            ("git-protocol", "GIT_PROTOCOL"),
        ] {
            if let Some(value) = request.header(header) {
                command.env(variable, value);
            }
        }
        let mut backend = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("git has http-backend");
        let mut input = backend.stdin.take().expect("it has one");
        let body = request.body.clone();
        let writer = thread::spawn(move || input.write_all(&body));
        let output = backend.wait_with_output().ok()?.stdout;
        // A backend that needs no more input has answered already.
        let _ = writer.join();
        let split = output.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&output[..split]).into_owned();
        let status = head
            .lines()
            .find_map(|line| line.strip_prefix("Status: "))
            .unwrap_or("200 OK");
        let length = output.len() - split - 4;
        let mut answer = format!(
            "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
        .into_bytes();
        answer.extend_from_slice(&output[split + 4..]);
        Some(answer)
    }
}

impl Request {
    fn read(client: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(client);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut request = Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            ..Self::default()
        };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            request
                .headers
                .push((name.to_lowercase(), value.to_owned()));
        }
        if request.header("transfer-encoding") == Some("chunked") {
            request.read_chunks(&mut reader)?;
        } else if let Some(length) = request.header("content-length") {
            request.body = vec![0; length.parse().ok()?];
            reader.read_exact(&mut request.body).ok()?;
        }
        Some(request)
    }

    fn read_chunks(&mut self, reader: &mut impl BufRead) -> Option<()> {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; length + 2];
            reader.read_exact(&mut chunk).ok()?;
            if length == 0 {
                return Some(());
            }
            self.body.extend_from_slice(&chunk[..length]);
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(known, _)| known == name)?;
        Some(value)
    }
}
