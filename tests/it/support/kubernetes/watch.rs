//! What the stand-in says to those who watch.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Asked, State, lock, refused, status};

/// Says what changes, until the time is over, or the API goes away.
pub(super) fn watch(stream: &mut TcpStream, asked: &Asked, state: &Mutex<State>) {
    let refused = refused(&mut lock(state), asked);
    let cuts = lock(state).cuts;
    if let Some((code, reason, message)) = refused {
        let text = status(code, reason, &message).to_string();
        let head = format!("HTTP/1.1 {code} X\r\ncontent-type: application/json");
        let length = text.len();
        let _ = write!(
            stream,
            "{head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
        );
        return;
    }
    let number = |name: &str| asked.parameter(name)?.parse::<usize>().ok();
    let mut version = number("resourceVersion").expect("a version");
    let seconds = number("timeoutSeconds").expect("seconds");
    let end = Instant::now() + Duration::from_secs(u64::try_from(seconds).unwrap());
    let head = "HTTP/1.1 200 X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked";
    if write!(stream, "{head}\r\nconnection: close\r\n\r\n").is_err() {
        return;
    }
    let mut say = |text: &str| write!(stream, "{:x}\r\n{text}\r\n", text.len());
    while Instant::now() < end {
        let said = {
            let state = lock(state);
            if state.cuts > cuts {
                return;
            }
            let objects = &state.objects;
            let said = objects.since(version, |key, object| asked.means(key, object));
            version = objects.version();
            said
        };
        let Some(said) = said else {
            let object = status(410, "Expired", "too old resource version");
            let _ = say(&format!("{}\n", json!({"type": "ERROR", "object": object})));
            break;
        };
        for line in said {
            if say(&line).is_err() {
                return;
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    let _ = say("");
}
