//! What a container has printed, from the engine's log, byte for byte.
//!
//! The client library cuts a terminal's output at line feeds and takes low first bytes for headers of frames, so
//! the bytes are read by a plain HTTP client here.

use bytes::{Buf, Bytes, BytesMut};

use super::Engine;
use super::error::{EngineError, root};

/// Stream, three zeros, length: in front of each piece of a container without a terminal.
const HEADER: usize = 8;
/// The header of podman's answers.
const PODMAN: &str = "libpod-api-version";

/// The output of a container from its beginning, as long as it runs.
#[derive(Debug)]
pub struct ConsoleStream {
    answer: reqwest::Response,
    frames: Option<Frames>,
    loses_lines: bool,
}

impl Engine {
    /// Everything that the container has printed and, where it `follows`, will print.
    pub async fn console(
        &self,
        container: &str,
        has_terminal: bool,
        follows: bool,
    ) -> Result<ConsoleStream, EngineError> {
        let (client, base) = self.endpoint().plain_client()?;
        let (major, minor) = self.api_version();
        let follow = u8::from(follows);
        let address = format!(
            "{base}/v{major}.{minor}/containers/{container}/logs?follow={follow}&stdout=1&stderr=1"
        );
        let answer = client.get(address).send().await;
        let answer = answer.map_err(|error| EngineError::Lost(root(&error)))?;
        let status = answer.status().as_u16();
        match status {
            200 => Ok(ConsoleStream {
                loses_lines: follows && answer.headers().contains_key(PODMAN),
                answer,
                frames: (!has_terminal).then(Frames::default),
            }),
            404 => Err(EngineError::NoContainer),
            _ => Err(EngineError::Refused {
                status,
                message: message(answer).await,
            }),
        }
    }
}

impl ConsoleStream {
    /// podman leaves lines out while a log is followed, and none when it is read as it is.
    pub fn loses_lines(&self) -> bool {
        self.loses_lines
    }

    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        loop {
            let piece = self.answer.chunk().await;
            let Some(piece) = piece.map_err(|error| EngineError::Lost(root(&error)))? else {
                return Ok(None);
            };
            let piece = match &mut self.frames {
                None => piece,
                Some(frames) => frames.unpack(&piece),
            };
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }
}

async fn message(answer: reqwest::Response) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    let text = answer.text().await.unwrap_or_default();
    serde_json::from_str(&text).map_or(text, |answer: Message| answer.message)
}

/// Takes the headers out of the output of a container without a terminal.
#[derive(Debug, Default)]
pub(super) struct Frames {
    waiting: BytesMut,
    left: usize,
}

impl Frames {
    /// What `piece` brings, as far as it is complete.
    pub(super) fn unpack(&mut self, piece: &[u8]) -> Bytes {
        self.waiting.extend_from_slice(piece);
        let mut out = BytesMut::new();
        loop {
            let ready = self.left.min(self.waiting.len());
            out.extend_from_slice(&self.waiting.split_to(ready));
            self.left -= ready;
            if self.left > 0 || self.waiting.len() < HEADER {
                return out.freeze();
            }
            self.waiting.advance(HEADER / 2);
            self.left = self.waiting.get_u32() as usize;
        }
    }
}
