//! The terminal: the only room that writes to it.

mod printer;
mod table;

pub use printer::Printer;
pub use table::Table;
