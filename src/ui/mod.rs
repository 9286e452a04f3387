//! The terminal: the only room that writes to it.

mod printer;
mod table;
mod yaml;

pub use printer::Printer;
pub use table::Table;
pub use yaml::{YamlStyle, yaml};
