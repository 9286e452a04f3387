//! A small HTTP server whose answers a test decides request by request, also none at all.
//!
//! Compiled under `#[cfg(test)]` only.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) connection: usize,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Seen {
    /// The header of this lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Closes the connection without a word.
    Close,
    /// Never answers.
    Hang,
}

impl Reply {
    /// An answer of any kind.
    pub(super) fn raw(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// A success of the API.
    pub(super) fn ok(data: &Value) -> Self {
        let meta = json!({"id": "1", "trx": "1", "result_code": 200, "result_subcode": 0, "result_msg": "OK", "error_stack": null, "error_data": {}});
        Self::raw(200, json!({"meta": meta, "data": data}).to_string())
    }

    /// A refusal by the API.
    pub(super) fn refused(code: u16, subcode: u32, message: &str) -> Self {
        let meta = json!({"id": "1", "trx": "1", "result_code": code, "result_subcode": subcode, "result_msg": message, "error_stack": null, "error_data": {}});
        Self::raw(code, json!({"meta": meta, "data": {}}).to_string())
    }

    /// A success of `auth.login` whose token lives so many seconds.
    pub(super) fn login(number: usize, lifetime: u64) -> Self {
        Self::ok(&json!({"token": token(number, lifetime)}))
    }

    /// With one more header.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

/// The `number`-th token, which lives so many seconds.
pub(super) fn token(number: usize, lifetime: u64) -> String {
    let encode = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let issued = 1_795_224_000_u64;
    let claims = json!({"number": number, "iat": issued, "exp": issued + lifetime,
        "identity": {"user": "u1", "company": "c1", "role": "user"}, "env": "<unknown>",
        "api_version": "2.34", "server_version": "2.3.0", "feature_set": "basic"});
    format!("{}.{}.sig", encode(json!({})), encode(claims))
}

/// Thirty days, as the real server gives.
pub(super) const MONTH: u64 = 30 * 86_400;

type Decide = Arc<dyn Fn(&Seen, usize) -> Reply + Send + Sync>;

/// A running server; it ends when dropped.
pub(super) struct FakeServer {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<Seen>>>,
    decide: Decide,
    running: watch::Sender<bool>,
    accepting: Mutex<Option<JoinHandle<()>>>,
    holder: Mutex<Option<TcpSocket>>,
}

impl FakeServer {
    /// Answers logins with tokens of a month, and everything else as `decide` says: it gets the request
    /// and how many of the same path came before.
    pub(super) async fn start(
        decide: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_with_login(move |seen, before| {
            if seen.path.contains("auth.login") {
                Reply::login(before, MONTH)
            } else {
                decide(seen, before)
            }
        })
        .await
    }

    /// Answers logins too as `decide` says.
    pub(super) async fn start_with_login(
        decide: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            decide: Arc::new(decide),
            running: watch::Sender::new(true),
            accepting: Mutex::default(),
            holder: Mutex::default(),
        };
        server.listen(listener);
        server
    }

    /// Closes all connections and refuses new ones; the port stays ours.
    pub(super) async fn go_away(&self) {
        self.running.send_replace(false);
        let accepting = self.accepting.lock().unwrap().take().unwrap();
        accepting.await.unwrap();
        let holder = TcpSocket::new_v4().unwrap();
        holder.set_reuseaddr(true).unwrap();
        holder.bind(self.address).unwrap();
        *self.holder.lock().unwrap() = Some(holder);
    }

    /// Listens again, on the same port.
    pub(super) fn come_back(&self) {
        let holder = self.holder.lock().unwrap().take().unwrap();
        self.running.send_replace(true);
        self.listen(holder.listen(64).unwrap());
    }

    pub(super) fn url(&self) -> url::Url {
        format!("http://{}", self.address).parse().unwrap()
    }

    /// All requests so far.
    pub(super) fn requests(&self) -> Vec<Seen> {
        self.requests.lock().unwrap().clone()
    }

    /// How many requests had this in their path.
    pub(super) fn count(&self, part: &str) -> usize {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|r| r.path.contains(part)).count()
    }

    fn listen(&self, listener: TcpListener) {
        let (requests, decide) = (self.requests.clone(), self.decide.clone());
        let mut running = self.running.subscribe();
        let accepting = tokio::spawn(async move {
            let mut connection = 0;
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = running.wait_for(|running| !running) => return,
                };
                let Ok((stream, _)) = accepted else { return };
                connection += 1;
                let (requests, decide) = (requests.clone(), decide.clone());
                let mut running = running.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = serve(stream, connection, requests, decide) => {}
                        _ = running.wait_for(|running| !running) => {}
                    }
                });
            }
        });
        *self.accepting.lock().unwrap() = Some(accepting);
    }
}

async fn serve(
    stream: TcpStream,
    connection: usize,
    requests: Arc<Mutex<Vec<Seen>>>,
    decide: Decide,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let seen = read(&mut stream, connection).await?;
        let reply = {
            let mut requests = requests.lock().unwrap();
            let before = requests.iter().filter(|r| r.path == seen.path).count();
            requests.push(seen.clone());
            drop(requests);
            decide(&seen, before)
        };
        let (status, headers, body) = match reply {
            Reply::Answer {
                status,
                headers,
                body,
            } => (status, headers, body),
            Reply::Close => return None,
            Reply::Hang => std::future::pending().await,
        };
        let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head.extend([name, ": ", &value, "\r\n"]);
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(&body).await.ok()?;
    }
}

async fn read(stream: &mut BufReader<TcpStream>, connection: usize) -> Option<Seen> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen {
        connection,
        method,
        path,
        headers,
        body: String::from_utf8(body).ok()?,
    })
}
