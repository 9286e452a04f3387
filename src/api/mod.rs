//! The server's REST API: session, authentication, retries, typed endpoints.
//!
//! Knows HTTP and wire types, nothing of task runs. A [`Session`] connects at its first call,
//! logs in by itself and repeats calls as its [`RetryPolicy`] and each call's [`Retry`] say.

mod auth;
mod classify;
mod endpoint;
mod envelope;
mod error;
mod events;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod http;
mod id;
mod lenient;
mod login;
mod names;
mod options;
mod outage;
mod owner;
mod pages;
mod projects;
mod proxy;
mod queues;
mod retry;
mod server;
mod session;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod tls_fault;
mod token;
mod trust;
mod users;
mod verifier;
mod workers;

pub use error::{
    ApiError, ConfigurationError, ConnectionFault, Delivery, Interruption, Reason, Refusal,
};
pub use events::{
    Added, Events, LogEvent, LogLevel, LogPage, StoredLogEvent, TaskLogQuery, json_lines,
};
pub use id::{InvalidId, ProjectId, QueueId, TaskId, UserId, WorkerId};
pub use names::{NameMatch, pattern};
pub use options::{Credentials, HttpMethod, Renewal, SessionOptions, Timeouts, UnknownMethod};
pub use outage::{Listener, SessionEvent};
pub use pages::PageClient;
pub use projects::{Project, Projects};
pub use proxy::ProxySettings;
pub use queues::{NextTask, Queue, QueueEntry, Queues, TaskOwner};
pub use retry::{Retry, RetryPolicy};
pub use server::{Server, ServerInfo};
pub use session::Session;
pub use tasks::{
    ConfigurationItem, Container, Dequeue, Enqueue, Execution, HyperParameter, NewTask, Page,
    Requirement, Requirements, Runtime, Script, ScriptEdit, StatusChange, Task, TaskFilter,
    TaskStatus, Tasks, Updated,
};
pub use tls_fault::TlsFault;
pub use token::{ApiVersion, Claims, InvalidVersion};
pub use trust::{CertificateCheck, Trust};
pub use users::{User, Users, Vault};
pub use workers::{
    MachineStats, NamedId, QueueOfWorker, RuntimeProperty, StatusReport, Worker, Workers,
};
