//! A task's Python environment: interpreter, requirements, virtual environment, installers.
//!
//! The order is E-007: [`create_environment`], then the code is fetched into its folder, then
//! [`Environment::install`], [`Environment::freeze`] and [`Environment::keep`].

mod bundled;
mod cache;
#[cfg(test)]
mod cases;
mod code_location;
mod conda;
mod custom_build;
mod environment;
mod error;
mod existing;
mod freeze;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod index_url;
mod install;
mod installed;
mod installer_folder;
mod interpreter;
mod kept;
mod launch;
mod lines;
mod links;
mod list_file;
mod machine;
mod marker;
mod options;
mod pip;
mod plan;
mod poetry;
mod preview;
mod python_path;
mod relocate;
mod report;
mod requirement;
mod requirements;
mod store;
mod tool;
mod torch;
mod uv;
mod venv;
mod version;

pub use code_location::CodeLocation;
pub use conda::{CondaError, CondaOptions, CondaReport};
pub use custom_build::{BuiltCommand, CustomBuild};
pub use environment::{Environment, create_environment, remove_environment, unbuilt_environment};
pub use error::{FailedCommand, PythonError};
pub use existing::NamedInterpreter;
pub use index_url::IndexUrl;
pub use install::Installed;
pub use interpreter::{Interpreter, requested_version};
pub use kept::{Explained, explain_store, store_inputs};
pub use launch::{
    BinaryKind, LaunchCommand, LaunchRequest, Optimization, Runner, ShellBinary, Variables,
    binary_kind, command_line, find_shell, nbconvert_command,
};
pub use links::{LinkRewriter, Links, RewrittenLink};
pub use machine::{default_version, machine_interpreter, version_by_name};
pub use options::{
    CacheOptions, PackageManager, PythonOptions, PythonRequest, SkipEnvironment, StoreOptions,
};
pub use poetry::PoetryOptions;
pub use preview::{
    CodeFiles, EnvironmentKind, EnvironmentPreview, RequirementsPreview, TextOfFile,
};
pub use python_path::{PathParts, REMOVED_VARIABLES, io_encoding, python_path, shell_variables};
pub use report::Report;
pub use requirements::{RequirementList, TaskRequirements};
pub use store::{
    Difference, EntryKind, Explanation, Input, Listed, Nearest, PruneLimits, Pruned, StoreInputs,
    StoreKey, has_room_to_spare, index_settings, list as list_store, prune as prune_store,
};
pub use torch::{PageAnswer, Pages, Rocm, TorchMode, TorchOptions};
pub use uv::UvOptions;
pub use version::PythonVersion;
