//! The terminal: the only room that writes to it and asks it.

mod activity;
mod input;
mod json_lines;
mod printer;
pub mod python_literal;
pub mod status_line;
mod table;
mod time;
mod yaml;

pub use activity::{Activity, Doing};
pub use input::{Input, NoAnswer};
pub use json_lines::{
    LogLevel, is_of_trouble, log_as_json, logs_as_json, message, records, speak_as, task_line,
};
pub use printer::{Printer, be_quiet, is_quiet};
pub use table::Table;
pub use time::timestamp;
pub use yaml::{YamlStyle, yaml};
