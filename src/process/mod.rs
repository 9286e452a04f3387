//! Processes of the operating system: where their output goes, how they start and how they end.

mod cgroup;
mod command;
mod identity;
mod ignored;
mod init;
mod moment;
mod output;
mod piped;
mod search;
mod step;
mod tree;
mod unix;
mod variables;

pub use cgroup::{OwnCgroup, kill_cgroup, outside, remove_empty_cgroups};
pub use command::{Command, Finished, ProcessError};
pub use identity::ProcessIdentity;
pub use ignored::is_ignored;
pub use init::run_below_first_process;
pub use moment::{Moment, milliseconds_since_epoch, since_epoch};
pub use output::Output;
pub use piped::{PipedProgram, Pipes};
pub use search::{find_program, has_loader};
pub use step::{Step, reached};
pub use tree::{
    has_descendants, kill_descendants, kill_followers, kill_inheritors, kill_tree, terminate_tree,
};
pub use unix::{
    become_subreaper, forget_own_code, inherited_file, look_up_without_modules,
    register_git_transport, replace_self, start_session, tie_to_parent, untie_from_parent,
    yield_to_others,
};
pub use variables::was_started_with;
