//! What the tests stand on: a server, a home, the agent's processes.

mod agent;
mod call;
mod clock;
mod conda;
pub(crate) mod containers;
mod context;
mod counter;
mod disk;
mod engine;
mod fault_proxy;
mod gate;
#[expect(dead_code, reason = "the tests beside the code use the rest of it")]
mod git_server;
pub(crate) mod images;
mod index_server;
pub(crate) mod kubernetes;
mod machine;
mod nvml;
mod podman;
mod python_packages;
mod recording;
pub(crate) mod registry;
mod repository;
mod runner;
mod script;
pub(crate) mod slurm;
mod static_runner;
mod terminal;
#[expect(dead_code, reason = "the tests beside the code use the rest of it")]
mod tls;
mod wait;

pub(crate) use agent::{Agent, copy_program};
pub(crate) use call::Finished;
pub(crate) use clock::ClockStandIn;
pub(crate) use conda::CondaStandIn;
pub(crate) use context::{TestContext, number};
pub(crate) use counter::Counter;
pub(crate) use disk::Disk;
pub(crate) use engine::OwnEngine;
pub(crate) use fault_proxy::{Fault, FaultProxy};
pub(crate) use gate::Gate;
pub(crate) use git_server::GitServer;
pub(crate) use index_server::IndexServer;
pub(crate) use machine::Machine;
pub(crate) use nvml::NvmlStandIn;
pub(crate) use podman::Podman;
pub(crate) use python_packages::{download_cache, environment_cache, package_folder, path_with};
pub(crate) use recording::{Recording, Stream};
pub(crate) use registry::Registry;
pub(crate) use repository::Repository;
pub(crate) use runner::Boot;
pub(crate) use script::Script;
pub(crate) use static_runner::static_runner;
pub(crate) use terminal::Terminal;
pub(crate) use tls::{ServerIdentity, TlsFront};
pub(crate) use wait::{PATIENCE, wait_until};
