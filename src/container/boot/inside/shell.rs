//! The first process of a pod becomes the shell of the image, or the agent where there is none.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::Place;
use crate::container::boot::POD_SCRIPTS;
use crate::process::{find_program, replace_self};

/// Where shells are, for an image that sets no `PATH`.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs the script that `folder` has for the best shell of the image in the place of this process; comes back only where that
/// does not go, and says why.
pub fn become_shell(place: Place<'_>, folder: &Path) -> io::Error {
    let path = place.environment.get("PATH").unwrap_or(PATH);
    let [shells @ .., words] = POD_SCRIPTS;
    let found = shells
        .into_iter()
        .find_map(|name| Some((find_program(name, path)?, folder.join(name))));
    let command = match found {
        Some((shell, file)) => fs::read_to_string(&file).map(|script| {
            let mut command = Command::new(shell);
            command.arg("-c").arg(script);
            command
        }),
        None => agent(&folder.join(words)),
    };
    match command {
        Ok(mut command) => {
            let Err(error) = replace_self(&mut command);
            error
        }
        Err(error) => error,
    }
}

/// Without a shell; there are no words where a person's script would be left out.
fn agent(file: &Path) -> io::Result<Command> {
    let words = fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other("it has no shell"),
        _ => error,
    })?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words.split_whitespace());
    Ok(command)
}
