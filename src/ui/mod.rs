//! The terminal: the only room that writes to it and asks it.

mod input;
mod json_lines;
mod printer;
pub mod python_literal;
mod table;
mod time;
mod yaml;

pub use input::{Input, NoAnswer};
pub use json_lines::{LogLevel, log_as_json, logs_as_json, message, records, speak_as, task_line};
pub use printer::Printer;
pub use table::Table;
pub use time::timestamp;
pub use yaml::{YamlStyle, yaml};
