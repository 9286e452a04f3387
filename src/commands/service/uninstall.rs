//! `service uninstall`: stops units of ours, which hands their tasks over, and removes them.

use std::fs;
use std::io;
use std::path::Path;

use super::super::{ExitStatus, Failed};
use super::{Folder, Written};
use crate::cli::ServicePlace;
use crate::settings::Environment;
use crate::ui::Printer;

/// Removes all units of ours, or those of one name.
pub(super) fn uninstall(
    place: &ServicePlace,
    name: Option<&str>,
    environment: &Environment,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let folder = Folder::of(place, environment)?;
    let mut units = folder.written()?;
    if let Some(name) = name {
        let name = name.trim_end_matches(".service").trim_end_matches('@');
        let files = [format!("{name}.service"), format!("{name}@.service")];
        units.retain(|unit| files.contains(&unit.file));
        if units.is_empty() {
            return Err(not_ours(&folder, &files));
        }
    }
    if units.is_empty() {
        printer.line(format!(
            "Nothing to remove: no unit in {} was written by `clearml-agent service install`",
            folder.path.display()
        ));
        return Ok(ExitStatus::SUCCESS);
    }
    for unit in &units {
        remove(&folder, unit, printer)?;
    }
    match folder.systemctl {
        Some(systemctl) => {
            systemctl.reload()?;
            printer.line("A task that runs goes on: `clearml-agent daemon --stop` ends it");
        }
        None if place.root.is_some() => {}
        None => printer.line("systemd does not run here: there was nothing to stop"),
    }
    Ok(ExitStatus::SUCCESS)
}

/// Stopped first: as long as that fails, the unit is there to try again.
fn remove(folder: &Folder, unit: &Written, printer: Printer) -> Result<(), Failed> {
    if let Some(systemctl) = folder.systemctl {
        systemctl.call(&["stop", &unit.pattern()], "call it with sudo")?;
    }
    let removed = remove_links(&folder.path, unit).and_then(|()| fs::remove_file(&unit.path));
    removed.map_err(|error| {
        Failed::message(
            format!("could not remove `{}`: {error}", unit.path.display()),
            "call it with sudo, or with `--user` for a unit of your own",
        )
    })?;
    printer.line(format!("Removed: {}", unit.path.display()));
    let additions = folder.path.join(format!("{}.d", unit.file));
    if additions.is_dir() {
        printer.line(format!("Left as it is: {}", additions.display()));
    }
    Ok(())
}

/// What `systemctl enable` has made; also where there is no systemd that could take it back.
fn remove_links(folder: &Path, unit: &Written) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let wants = entry?.path();
        if wants.extension().is_none_or(|kind| kind != "wants") || !wants.is_dir() {
            continue;
        }
        for link in fs::read_dir(wants)? {
            let link = link?;
            let is_meant = unit.means(&link.file_name().to_string_lossy());
            if is_meant && link.file_type()?.is_symlink() {
                fs::remove_file(link.path())?;
            }
        }
    }
    Ok(())
}

fn not_ours(folder: &Folder, files: &[String]) -> Failed {
    let mut paths = files.iter().map(|file| folder.path.join(file));
    match paths.find(|path| path.exists()) {
        Some(path) => Failed::message(
            format!(
                "`{}` was not written by `clearml-agent service install`",
                path.display()
            ),
            "remove it by hand if you do not need it",
        ),
        None => Failed::message(
            format!(
                "there is no unit `{}`",
                folder.path.join(&files[0]).display()
            ),
            "`clearml-agent service status` prints those that are there",
        ),
    }
}
