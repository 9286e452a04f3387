//! One task from its fields to its final status.

mod abort_command;
mod definition;
mod devices;
mod ending;
mod journal;
mod launch;
mod links;
mod node;
mod outcome;
mod plan;
mod prepare;
mod run_options;
mod server;
mod signals;
mod stand_in;
mod status_reports;
mod stop;
mod supervise;
mod watch;

pub use abort_command::{AbortCommand, StandBy};
pub use definition::{Definition, DefinitionError};
pub use devices::{DeviceSelection, Devices, VariableChange};
pub use ending::Ending;
pub use journal::{Entry, Journal, JournalError, Owner, Phase, RunFolder, Watcher};
pub use launch::run_beside;
pub use node::Node;
pub use outcome::{ExitLine, FinalStatus, Outcome, Settlement, StopReason};
pub use plan::{ContainerPlan, EnvironmentPlan, InterpreterPlan, Plan, RepositoryPlan, ScriptPlan};
pub use prepare::{
    DequeuePolicy, Failure, Preparation, PrepareError, Prepared, fetch_task, take_task,
};
pub use run_options::RunOptions;
pub use server::TaskServer;
pub use stand_in::{GpuCheck, StandIn};
pub use status_reports::{CurrentTask, ReportOptions, StatusReporter, Taken};
pub use supervise::{Shape, SuperviseError, Supervised, Supervision};
pub use watch::WatchOptions;
