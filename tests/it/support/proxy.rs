//! An HTTP proxy that writes down what it is asked for: tunnels by CONNECT, plain requests by their full address.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running proxy; it ends when dropped.
#[derive(Debug)]
pub(crate) struct LoggingProxy {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl LoggingProxy {
    /// Listens on a free port of this machine.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, log.clone()));
            }
        });
        Self {
            address,
            requests,
            task,
        }
    }

    /// What a `…_PROXY` variable must hold.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The request lines without the HTTP version, for instance `CONNECT 127.0.0.1:8008`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for LoggingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection: one request, then bytes both ways.
async fn serve(mut client: TcpStream, log: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let head = read_head(&mut client).await?;
    let (line, rest) = head.split_once("\r\n")?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    log.lock().unwrap().push(format!("{method} {target}"));
    if method == "CONNECT" {
        let mut server = TcpStream::connect(target).await.ok()?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
        copy_bidirectional(&mut client, &mut server).await.ok()?;
    } else {
        let address = target.strip_prefix("http://")?;
        let (authority, path) = address.split_once('/').unwrap_or((address, ""));
        let mut server = TcpStream::connect(authority).await.ok()?;
        // One request a connection, so that each has its line in the log.
        let head = format!("{method} /{path} HTTP/1.1\r\nConnection: close\r\n{rest}");
        server.write_all(head.as_bytes()).await.ok()?;
        copy_bidirectional(&mut client, &mut server).await.ok()?;
    }
    Some(())
}

/// Up to and with the empty line; byte by byte, so that nothing of the body is taken.
async fn read_head(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
