//! The command line of `docker run`, parsed by a table of its own flags into a request to the engine.

mod command;
mod devices;
mod error;
mod flags;
mod host;
mod limits;
mod network;
mod ports;
mod request;
mod security;
mod table;
mod values;
mod version;
mod volumes;

#[cfg(test)]
mod tests;

pub use command::{RunCommand, parse};
pub use devices::CDI;
pub use error::ArgsError;
pub use flags::{Flags, GivenFlag, Trouble, flags, without};
pub use host::HostContext;
pub use ports::PortSpec;
pub use request::{CreateRequest, PullPolicy};
pub use version::{ApiVersion, InvalidApiVersion};
