//! A small ClearML API server on SQLite: the real authentication, task states, queues, workers, events and file store
//! that the `clearml` package, the official agent and curl need.
//!
//! Numbers such as A-040 are requirements on the REST API as the agents use it.
//!
//! ```
//! use local_server::{LocalServer, Options};
//! use serde_json::json;
//!
//! let server = LocalServer::start_blocking(Options::default())?;
//! let task = server.call("tasks.create", json!({"name": "first", "type": "training"}))?;
//! server.call("tasks.enqueue", json!({"task": task["id"]}))?;
//! println!("{}", server.configuration());
//! # anyhow::Ok(())
//! ```

mod auth;
mod call;
mod clock;
mod endpoint;
mod error;
mod files;
mod http;
mod options;
mod query;
mod record;
mod schema;
mod server;
mod services;
mod storage;
mod version;

pub use crate::{
    error::{ApiError, StartError},
    options::{Credentials, Database, Edition, Options},
    record::RecordedRequest,
    server::LocalServer,
};
