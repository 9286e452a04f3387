//! Makes an environment that was built elsewhere work in its new place (E-248).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Rewrites the first lines of the scripts in `bin` and the `activate` files to the folder that they stand in now.
pub(in crate::python) fn relocate(environment: &Path) -> io::Result<()> {
    let bin = environment.join("bin");
    let Some(old) = built_in(&bin) else {
        return Ok(());
    };
    if old == environment {
        return Ok(());
    }
    let (old, new) = (old.to_string_lossy(), environment.to_string_lossy());
    for entry in fs::read_dir(&bin)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        // Programs of other languages are no text and know no environment.
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        let is_activate = entry
            .file_name()
            .to_string_lossy()
            .to_lowercase()
            .starts_with("activate");
        let changed = if is_activate {
            text.replace(old.as_ref(), &new)
        } else {
            with_new_head(&text, &old, &new)
        };
        if changed != text {
            fs::write(entry.path(), changed)?;
        }
    }
    Ok(())
}

/// The folder that the `activate` script names.
fn built_in(bin: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(bin.join("activate")).ok()?;
    let value = text
        .lines()
        .find_map(|line| {
            line.trim()
                .trim_start_matches("export ")
                .strip_prefix("VIRTUAL_ENV=")
        })?
        .trim_matches(['"', '\'']);
    Path::new(value).is_absolute().then(|| PathBuf::from(value))
}

/// Replaces the interpreter of a script: the `#!` line, and the second where a long path is called by a shell.
fn with_new_head(text: &str, old: &str, new: &str) -> String {
    if !text.starts_with("#!") {
        return text.to_owned();
    }
    let interpreters = format!("{old}/bin/");
    text.split_inclusive('\n')
        .enumerate()
        .map(|(number, line)| {
            if number < 2 {
                line.replace(&interpreters, &format!("{new}/bin/"))
            } else {
                line.to_owned()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-248
    #[test]
    fn scripts_name_the_interpreter_of_the_new_place() {
        let folder = tempfile::tempdir().expect("folder");
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).expect("folder");
        fs::write(
            bin.join("activate"),
            "x\nVIRTUAL_ENV=\"/old/3.11\"\nexport VIRTUAL_ENV\n",
        )
        .expect("file");
        fs::write(
            bin.join("tool"),
            "#!/old/3.11/bin/python3\nprint('/old/3.11/bin/x')\nprint('/old/3.11/bin/x')\n",
        )
        .expect("file");
        fs::write(
            bin.join("long"),
            "#!/bin/sh\n'''exec' /old/3.11/bin/python \"$0\"\n",
        )
        .expect("file");
        relocate(folder.path()).expect("rewritten");
        let new = folder.path().display();
        let tool = fs::read_to_string(bin.join("tool")).expect("read");
        assert!(tool.starts_with(&format!("#!{new}/bin/python3\n")));
        assert!(tool.ends_with("print('/old/3.11/bin/x')\n"));
        let long = fs::read_to_string(bin.join("long")).expect("read");
        assert!(long.contains(&format!("exec' {new}/bin/python")));
        let activate = fs::read_to_string(bin.join("activate")).expect("read");
        assert!(activate.contains(&format!("VIRTUAL_ENV=\"{new}\"")));
    }
}
