//! What the tests stand on: a server, a home, the agent's processes.

mod agent;
mod call;
mod conda;
mod context;
mod counter;
mod fault_proxy;
mod gate;
#[expect(dead_code, reason = "the tests beside the code use the rest of it")]
mod git_server;
mod index_server;
mod machine;
mod nvml;
mod python_packages;
mod recording;
mod repository;
mod script;
mod terminal;
#[expect(dead_code, reason = "the tests beside the code use the rest of it")]
mod tls;

pub(crate) use agent::Agent;
pub(crate) use call::Finished;
pub(crate) use conda::CondaStandIn;
pub(crate) use context::{PATIENCE, TestContext, number, wait_until};
pub(crate) use counter::Counter;
pub(crate) use fault_proxy::{Fault, FaultProxy};
pub(crate) use gate::Gate;
pub(crate) use git_server::GitServer;
pub(crate) use index_server::IndexServer;
pub(crate) use machine::Machine;
pub(crate) use nvml::NvmlStandIn;
pub(crate) use python_packages::{download_cache, environment_cache, package_folder, path_with};
pub(crate) use recording::{Recording, Stream};
pub(crate) use repository::Repository;
pub(crate) use script::Script;
pub(crate) use terminal::Terminal;
pub(crate) use tls::{ServerIdentity, TlsFront};
