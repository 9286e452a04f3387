//! Starts the local server and prints what a client needs to use it.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use local_server::{Credentials, Database, Edition, LocalServer, Options};
use tracing_subscriber::EnvFilter;

/// A small ClearML API server for tests and trials.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address of the API. Web page and file store take the ports 8080 and 8081 beside port 8008, and free ports else.
    #[arg(long, default_value = "127.0.0.1:8008")]
    listen: SocketAddr,
    /// File that keeps everything; without it all is gone at the end.
    #[arg(long)]
    database: Option<PathBuf>,
    /// Kind of server to be.
    #[arg(long, value_enum, default_value_t)]
    edition: EditionName,
    /// Write one line for each request to standard error.
    #[arg(long)]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum EditionName {
    #[default]
    OpenSource,
    Enterprise,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(io::stderr)
        .init();
    let beside = |port| {
        (arguments.listen.port() == 8008).then(|| SocketAddr::new(arguments.listen.ip(), port))
    };
    let server = LocalServer::start(Options {
        listen: arguments.listen,
        web_listen: beside(8080),
        files_listen: beside(8081),
        database: arguments.database.map_or(Database::Memory, Database::File),
        edition: match arguments.edition {
            EditionName::OpenSource => Edition::OpenSource,
            EditionName::Enterprise => Edition::Enterprise,
        },
        credentials: own_keys(),
        record: false,
        verbose: arguments.verbose,
        ..Options::default()
    })
    .await
    .context("the server did not start")?;
    announce(&server).context("cannot write to standard output")?;
    wait_for_end().await.context("cannot wait for signals")
}

/// The first user's keys where the environment names them, as it does for clients.
fn own_keys() -> Option<Credentials> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some(Credentials {
        access_key: variable("CLEARML_API_ACCESS_KEY")?,
        secret_key: variable("CLEARML_API_SECRET_KEY")?,
    })
}

fn announce(server: &LocalServer) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "API server:  {}", server.url())?;
    writeln!(out, "File server: {}", server.files_url())?;
    writeln!(out, "Access key:  {}", server.credentials().access_key)?;
    writeln!(out, "Secret key:  {}", server.credentials().secret_key)?;
    writeln!(
        out,
        "\nFor ~/clearml.conf, or a file named in CLEARML_CONFIG_FILE:\n"
    )?;
    writeln!(out, "{}", server.configuration())?;
    out.flush()
}

#[cfg(unix)]
async fn wait_for_end() -> io::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome,
        _ = terminated.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn wait_for_end() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}
