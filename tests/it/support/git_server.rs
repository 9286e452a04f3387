//! A git server by HTTP: git's own `http-backend`, behind authentication or with a fault where a test wants it.

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
    requests: Arc<Mutex<Vec<String>>>,
}

/// What the server knows.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    root: PathBuf,
    /// `Basic …`; whoever sends something else is asked for a password.
    authorization: Option<String>,
    fault: Fault,
    gives_single_commits: bool,
    seen: Arc<Mutex<Vec<String>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// What is wrong with a server.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It takes connections and never answers.
    Silent,
    /// It ends the connection in the middle of a pack.
    CutsPacks,
    /// It has moved to this address (scheme, host and port).
    MovedTo(String),
    /// It answers this, whatever is asked.
    Answers(&'static str),
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
        Served::new(root).for_user(user, password).start()
    }

    fn serve(served: Served) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (seen, requests) = (served.seen.clone(), served.requests.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let served = served.clone();
                thread::spawn(move || served.answer(&client));
            }
        });
        Self {
            address,
            seen,
            requests,
        }
    }

    /// The address of a repository, by this name of this machine.
    pub(crate) fn url(&self, host: &str, repository: &str) -> String {
        format!("http://{host}:{}/{repository}", self.address.port())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every `Authorization` header that has come, decoded: `user:password`.
    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.seen.lock().expect("nobody panics with it").clone()
    }

    /// Every request that has come: method, path and query.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("nobody panics with it").clone()
    }
}

impl Served {
    /// The repositories below `root`, for everybody.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            authorization: None,
            fault: Fault::None,
            gives_single_commits: true,
            seen: Arc::default(),
            requests: Arc::default(),
        }
    }

    /// For this user alone.
    pub(crate) fn for_user(self, user: &str, password: &str) -> Self {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        self.for_bearer_of(&format!("Basic {pair}"))
    }

    /// For who sends this `Authorization` alone.
    pub(crate) fn for_bearer_of(mut self, authorization: &str) -> Self {
        self.authorization = Some(authorization.to_owned());
        self
    }

    pub(crate) fn with(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    /// Only what branches and tags point to can be asked for, in the older protocol.
    pub(crate) fn without_single_commits(mut self) -> Self {
        self.gives_single_commits = false;
        self
    }

    pub(crate) fn start(self) -> GitServer {
        GitServer::serve(self)
    }

    fn answer(&self, mut client: &TcpStream) -> Option<()> {
        let request = Request::read(client)?;
        let target = format!("{} {}?{}", request.method, request.path, request.query);
        self.requests.lock().ok()?.push(target);
        let given = request.header("authorization").unwrap_or_default();
        if !given.is_empty() {
            let encoded = given.strip_prefix("Basic ").unwrap_or(given);
            let plain = STANDARD.decode(encoded).unwrap_or_default();
            let plain = String::from_utf8_lossy(&plain).into_owned();
            self.seen.lock().ok()?.push(if plain.is_empty() {
                given.to_owned()
            } else {
                plain
            });
        }
        let is_welcome = self.authorization.as_deref().is_none_or(|own| own == given);
        let answer = if let Fault::Silent = self.fault {
            // Until the client has had enough.
            let _ = client.read(&mut [0]);
            return None;
        } else if let Fault::Answers(status) = self.fault {
            format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .into_bytes()
        } else if let Fault::MovedTo(place) = &self.fault {
            format!(
                "HTTP/1.1 302 Found\r\nLocation: {place}{}?{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                request.path, request.query
            )
            .into_bytes()
        } else if is_welcome {
            let mut answer = self.backend(&request)?;
            if matches!(self.fault, Fault::CutsPacks) && request.method == "POST" {
                answer.truncate(answer.len() / 2);
            }
            answer
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
            .env("GIT_CONFIG_COUNT", "2")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .env("GIT_CONFIG_KEY_1", "uploadpack.allowAnySHA1InWant")
            .env("GIT_CONFIG_VALUE_1", self.gives_single_commits.to_string())
            .env("REQUEST_METHOD", &request.method)
            .env("PATH_INFO", &request.path)
            .env("QUERY_STRING", &request.query)
            .env("CONTENT_LENGTH", request.body.len().to_string());
        for (header, variable) in [
            ("content-type", "CONTENT_TYPE"),
            ("content-encoding", "HTTP_CONTENT_ENCODING"),
            ("git-protocol", "GIT_PROTOCOL"),
        ] {
            if variable == "GIT_PROTOCOL" && !self.gives_single_commits {
                continue;
            }
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
