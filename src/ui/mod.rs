//! The terminal: the only room that writes to it and asks it.

mod input;
mod printer;
mod table;
mod time;
mod yaml;

pub use input::{Input, NoAnswer};
pub use printer::Printer;
pub use table::Table;
pub use time::timestamp;
pub use yaml::{YamlStyle, yaml};
