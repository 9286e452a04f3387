//! As much of HTTP/1.1 as it takes to hand out a few short pages: GET, one question a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;

use super::pages::page;
use super::state::State;

/// How long one visitor may take, from the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest question in bytes, with all its headers.
const LONGEST_QUESTION: usize = 8192;
/// What is read behind it, so that the answer arrives before the connection is reset.
const LONGEST_REST: u64 = 1 << 16;
/// How many are answered at once; others wait.
const MOST_VISITORS: usize = 16;
/// Before the next try where the system gives no connection.
const PAUSE: Duration = Duration::from_secs(1);

/// A page with its status.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Page {
    pub(super) status: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Page {
    /// A line for people.
    pub(super) fn line(status: &'static str, line: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{line}\n"),
        }
    }
}

/// Answers until it is dropped. Must run on a `LocalSet`.
pub(super) async fn serve(listener: TcpListener, state: State) {
    let places = Arc::new(Semaphore::new(MOST_VISITORS));
    // It is never closed.
    while let Ok(place) = places.clone().acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "nobody can read the metrics");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let state = state.clone();
        spawn_local(async move {
            // A visitor that is slow or gone is no business of the worker.
            let _ = tokio::time::timeout(PATIENCE, converse(stream, &state)).await;
            drop(place);
        });
    }
}

async fn converse(mut stream: TcpStream, state: &State) -> io::Result<()> {
    let question = read(&mut stream).await?;
    let page = match path(&question) {
        Ok(path) => page(path, state).await,
        Err(page) => page,
    };
    let allow = if page.status.starts_with("405") {
        "Allow: GET\r\n"
    } else {
        ""
    };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        page.status,
        page.content_type,
        page.body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.body.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(LONGEST_REST);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

/// What came until the empty line, the end, or the limit.
async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut question = Vec::new();
    let mut piece = [0; 1024];
    while !is_whole(&question) && question.len() < LONGEST_QUESTION {
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            break;
        }
        question.extend_from_slice(&piece[..length]);
    }
    Ok(question)
}

fn is_whole(question: &[u8]) -> bool {
    question.windows(4).any(|window| window == b"\r\n\r\n")
        || question.windows(2).any(|window| window == b"\n\n")
}

/// What is asked for, without what stands behind `?`.
fn path(question: &[u8]) -> Result<&str, Page> {
    if !is_whole(question) {
        return Err(if question.len() < LONGEST_QUESTION {
            Page::line("400 Bad Request", "half a question")
        } else {
            let status = "431 Request Header Fields Too Large";
            Page::line(status, "the question is too long")
        });
    }
    let line = question.split(|byte| *byte == b'\n').next();
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
    match words.as_slice() {
        ["GET", path, version] if version.starts_with("HTTP/1.") => {
            Ok(path.split('?').next().unwrap_or_default())
        }
        [_, _, version] if version.starts_with("HTTP/") => {
            Err(Page::line("405 Method Not Allowed", "only GET"))
        }
        _ => Err(Page::line("400 Bad Request", "this is not HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_get_is_understood() {
        let path = |text: &str| {
            path(text.as_bytes())
                .map_err(|page| page.status)
                .map(str::to_owned)
        };
        assert_eq!(
            path("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
            Ok("/metrics".to_owned())
        );
        assert_eq!(
            path("GET /healthz?a=b HTTP/1.0\n\n"),
            Ok("/healthz".to_owned())
        );
        for (text, status) in [
            ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n", "400 Bad Request"),
            ("GET /metrics\r\n\r\n", "400 Bad Request"),
            ("\u{16}\u{3}\u{1}\r\n\r\n", "400 Bad Request"),
            ("\r\n\r\n", "400 Bad Request"),
            ("", "400 Bad Request"),
        ] {
            assert_eq!(path(text), Err(status), "{text:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(LONGEST_QUESTION));
        assert_eq!(path(&long), Err("431 Request Header Fields Too Large"));
    }
}
