//! conda: environments that it makes, what it installs and what it leaves to pip (E section 8.2).
//!
//! What is decided stands in pure functions: [`answer`], [`convert`], [`full`], [`packages`]. What is run
//! is thin: [`program`], [`create`], [`install`], [`report`].

mod activation;
mod answer;
mod convert;
mod create;
mod error;
mod file;
mod full;
mod install;
mod options;
mod packages;
mod program;
mod report;

pub(super) use activation::Activation;
pub(super) use create::CondaEnvironment;
pub use error::CondaError;
pub use options::CondaOptions;
pub(super) use options::{made_by_conda, wanted_python};
pub use report::CondaReport;
