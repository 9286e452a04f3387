//! The terminal: the only room that writes to it and asks it.

mod input;
mod printer;
mod table;
mod yaml;

pub use input::{Input, NoAnswer};
pub use printer::Printer;
pub use table::Table;
pub use yaml::{YamlStyle, yaml};
