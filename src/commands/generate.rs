//! The hidden `generate`: files that are shipped beside the program.

use std::fs;
use std::path::Path;

use super::{ExitStatus, Failed};
use crate::cli::{self, GenerateKind};
use crate::ui::Printer;

/// Prints completions, or writes man pages into a folder.
pub(super) fn generate(kind: &GenerateKind, printer: Printer) -> Result<ExitStatus, Failed> {
    match kind {
        GenerateKind::Completions { shell } => printer.line(cli::completions(*shell).trim_end()),
        GenerateKind::Man { folder } => write_man_pages(folder)?,
    }
    Ok(ExitStatus::SUCCESS)
}

fn write_man_pages(folder: &Path) -> Result<(), Failed> {
    let written = fs::create_dir_all(folder).and_then(|()| {
        let pages = cli::man_pages()?;
        pages
            .iter()
            .try_for_each(|page| fs::write(folder.join(&page.file), &page.text))
    });
    written.map_err(|error| {
        Failed::message(
            format!(
                "could not write man pages to `{}`: {error}",
                folder.display()
            ),
            "name a folder that can be written",
        )
    })
}
