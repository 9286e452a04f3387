//! As much of HTTP/1.1 as it takes to hand out a few short pages: GET, one question a connection.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::visitors::{places, receive};
use super::watched::Watched;
use crate::monitor::Exposition;

/// Longest question in bytes, with all its headers.
const LONGEST_QUESTION: usize = 8192;
/// What is read behind it, so that the answer arrives before the connection is reset.
const LONGEST_REST: u64 = 1 << 16;

/// A page with its status.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Page {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

impl Page {
    /// A line for people.
    fn line(status: &'static str, line: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{line}\n"),
        }
    }
}

/// Answers until it is dropped. Must run on a `LocalSet`.
pub(super) async fn serve(listener: TcpListener, watched: impl Watched) {
    let accept = async || Ok(listener.accept().await?.0);
    let converse = async move |stream| {
        // A visitor that is gone is no business of the worker.
        let _ = converse(stream, &watched).await;
    };
    let complaint = "nobody can read the metrics";
    receive(places(), complaint, accept, converse).await;
}

async fn converse(mut stream: TcpStream, watched: &impl Watched) -> io::Result<()> {
    let question = read(&mut stream).await?;
    let page = match path(&question) {
        Ok(path) => page(path, watched).await,
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

/// The page at this path.
async fn page(path: &str, watched: &impl Watched) -> Page {
    let condition = match path {
        "/metrics" => {
            return Page {
                status: "200 OK",
                content_type: Exposition::CONTENT_TYPE,
                body: watched.metrics().await,
            };
        }
        "/healthz" => watched.health(),
        "/readyz" => watched.readiness(),
        _ => return Page::line("404 Not Found", "there are /metrics, /healthz and /readyz"),
    };
    match condition {
        Ok(()) => Page::line("200 OK", "ok"),
        Err(why) => Page::line("503 Service Unavailable", &why),
    }
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
