//! An HTTP proxy before the server that loses answers or answers itself, as broken networks and gateways do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::wait_until;

/// Between two bytes of an answer that drips.
const DRIP: Duration = Duration::from_micros(200);

/// Bytes of an answer that is too long.
const LONG: usize = 65 << 20;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// The server gets it, and the connection breaks before the answer.
    AnswerLost,
    /// The server gets it, and half of its answer comes back.
    AnswerCut,
    /// The server gets it, and its answer comes byte by byte.
    AnswerDrips,
    /// The server does not get it; the answer is the API's own error 400.
    BadRequest,
    /// The server does not get it; the answer is HTTP 502.
    BadGateway,
    /// The server does not get it; the answer is the page of somebody else.
    Garbage,
    /// The server does not get it, and nothing is said until others have asked for something.
    Hang,
    /// The server does not get it; nobody listens.
    Refused,
    /// The server does not get it; the token is refused, as an old one is.
    Unauthorized,
    /// The server does not get it; the answer is the API's own error 500.
    ServerError,
    /// The server does not get it; the answer is longer than an agent reads.
    TooLong,
    /// The server does not get it; the answer is HTTP 429.
    TooMany,
    /// The server gets it two times; its second answer comes back.
    Twice,
}

type Rule = Box<dyn FnMut(&str) -> Option<Fault> + Send>;
type Taker = Box<dyn FnMut(&[u8]) -> Value + Send>;

/// A running proxy; it takes no more connections when dropped.
pub(crate) struct FaultProxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    rule: Rule,
    takers: Vec<(&'static str, Taker)>,
    faults: Vec<String>,
    requests: usize,
    open: bool,
}

impl FaultProxy {
    /// Passes everything on to the server at `upstream` (`http://host:port`).
    pub(crate) fn start(upstream: &str) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            rule: Box::new(|_| None),
            takers: Vec::new(),
            faults: Vec::new(),
            requests: 0,
            open: true,
        }));
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !lock(&shared).open {
                    return;
                }
                let (upstream, state) = (upstream.clone(), shared.clone());
                thread::spawn(move || serve(client, &upstream, &state));
            }
        });
        Self { address, state }
    }

    /// Where clients connect to.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on `rule` decides by the call's name, for instance `events.add_batch`.
    pub(crate) fn set(&self, rule: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        lock(&self.state).rule = Box::new(rule);
    }

    /// Calls of this name do not reach the server any more, where no fault meets them: `taker` gets the body, and what it says
    /// is the answer.
    pub(crate) fn take(
        &self,
        call: &'static str,
        taker: impl FnMut(&[u8]) -> Value + Send + 'static,
    ) {
        lock(&self.state).takers.push((call, Box::new(taker)));
    }

    /// The names of the calls that went wrong, oldest first.
    pub(crate) fn faults(&self) -> Vec<String> {
        lock(&self.state).faults.clone()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        lock(&self.state).open = false;
        // Wakes the listening thread; a proxy that cannot be reached has ended already.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection with one request.
fn serve(mut client: TcpStream, upstream: &str, state: &Mutex<State>) -> Option<()> {
    let (call, request, head) = read_request(&client)?;
    let (fault, taken) = {
        let mut state = lock(state);
        state.requests += 1;
        let fault = (state.rule)(&call);
        let taker = state.takers.iter_mut().find(|(name, _)| *name == call);
        let taken = taker
            .filter(|_| fault.is_none())
            .map(|(_, taker)| taker(&request[head..]));
        if fault.is_some() {
            state.faults.push(call);
        }
        (fault, taken)
    };
    if let Some(data) = taken {
        let meta = json!({ "result_code": 200, "result_subcode": 0, "result_msg": "OK" });
        let body = json!({ "meta": meta, "data": data }).to_string();
        let answer = http("200 OK", "application/json", &body);
        return client.write_all(answer.as_bytes()).ok();
    }
    if fault == Some(Fault::Refused) {
        return client.shutdown(Shutdown::Both).ok();
    }
    if fault == Some(Fault::Hang) {
        hang(&client, state);
        return client.shutdown(Shutdown::Both).ok();
    }
    if let Some(answer) = fault.and_then(own_answer) {
        return client.write_all(answer.as_bytes()).ok();
    }
    let mut answer = exchange(upstream, &request)?;
    match fault {
        None => client.write_all(&answer).ok()?,
        Some(Fault::AnswerCut) => client.write_all(&answer[..answer.len() / 2]).ok()?,
        Some(Fault::AnswerDrips) => {
            for byte in answer.chunks(1) {
                client.write_all(byte).ok()?;
                thread::sleep(DRIP);
            }
        }
        Some(Fault::Twice) => {
            answer = exchange(upstream, &request)?;
            client.write_all(&answer).ok()?;
        }
        Some(_) => {}
    }
    client.shutdown(Shutdown::Both).ok()
}

/// What the proxy answers in place of the server.
fn own_answer(fault: Fault) -> Option<String> {
    let api = |code: u16, subcode: u16, message: &str| {
        format!(
            r#"{{"meta": {{"result_code": {code}, "result_subcode": {subcode}, "result_msg": "{message}", "error_stack": "Traceback of the server"}}, "data": {{}}}}"#
        )
    };
    let page = "<html><body>Sign in to the network</body></html>".to_owned();
    let (status, kind, body) = match fault {
        Fault::BadGateway => ("502 Bad Gateway", "text/html", String::new()),
        Fault::BadRequest => (
            "400 Bad Request",
            "application/json",
            api(400, 12, "Validation error"),
        ),
        Fault::Garbage => ("200 OK", "text/html", page),
        Fault::TooLong => ("200 OK", "application/json", " ".repeat(LONG)),
        Fault::ServerError => (
            "500 Internal Server Error",
            "application/json",
            api(500, 100, "General data error"),
        ),
        Fault::TooMany => (
            "429 Too Many Requests",
            "text/plain",
            "slow down".to_owned(),
        ),
        Fault::Unauthorized => (
            "401 Unauthorized",
            "application/json",
            api(401, 30, "Unauthorized (token expired)"),
        ),
        _ => return None,
    };
    Some(http(status, kind, &body))
}

fn http(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Until some more requests have come, or the client has gone.
fn hang(client: &TcpStream, state: &Mutex<State>) {
    let begun = lock(state).requests;
    let is_gone = || {
        let mut byte = [0];
        client.set_nonblocking(true).is_err() || matches!(client.peek(&mut byte), Ok(0))
    };
    wait_until(|| lock(state).requests >= begun + 4 || is_gone());
}

/// The call's name, the whole request, which asks for the connection to be closed after it, and where its body begins.
fn read_request(client: &TcpStream) -> Option<(String, Vec<u8>, usize)> {
    let mut reader = BufReader::new(client);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?;
    let call = path.split('?').next()?.rsplit('/').next()?.to_owned();
    let mut request = format!("{first}Connection: close\r\n");
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let name = line.split(':').next().unwrap_or_default().to_lowercase();
        if name == "content-length" {
            length = line.split(':').nth(1)?.trim().parse().ok()?;
        }
        if name != "connection" {
            request.push_str(&line);
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut request = request.into_bytes();
    let head = request.len();
    request.resize(head + length, 0);
    reader.read_exact(&mut request[head..]).ok()?;
    Some((call, request, head))
}

fn exchange(upstream: &str, request: &[u8]) -> Option<Vec<u8>> {
    let mut server = TcpStream::connect(upstream).ok()?;
    server.write_all(request).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    Some(answer)
}
