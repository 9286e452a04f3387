//! Takes out of a container what must not be in its image: keys, passwords, tokens that the agent has brought (C-408).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::CONFIGURATION;
use super::{Place, expanded};
use crate::settings::Settings;
use crate::settings::hocon::quoted;

/// What of the configuration says where the server is, and nothing else.
const SERVER: [&str; 3] = ["api_server", "web_server", "files_server"];

/// Removes the copies of mounted ssh keys and of git's files, and leaves in the copy of the configuration nothing but the
/// addresses of the server.
pub fn forget(place: Place<'_>, ssh: Option<(&Path, &Path)>, git: Option<&Path>) -> io::Result<()> {
    let mounts = mounts(place)?;
    if let Some((from, to)) = ssh {
        remove_copies(from, &expanded(to, place.home), &mounts)?;
    }
    if let Some(from) = git {
        remove_copies(from, place.home, &mounts)?;
    }
    let text = fs::read_to_string(place.root.join(CONFIGURATION.0))?;
    let copy = place.home.join(CONFIGURATION.1);
    crate::storage::replace(&copy, addresses(place, &text).as_bytes(), 0o600)
}

fn addresses(place: Place<'_>, text: &str) -> String {
    let settings = Settings::from_text(text, place.environment).ok();
    let mut lines = String::from("api {\n");
    for name in SERVER {
        let address = settings
            .as_ref()
            .and_then(|settings| settings.text(&format!("api.{name}")))
            .filter(|address| !address.is_empty() && !address.contains('@'));
        if let Some(address) = address {
            lines += &["    ", name, ": ", &quoted(&address), "\n"].concat();
        }
    }
    lines + "}\n"
}

/// Places of the container that are not in its image.
fn mounts(place: Place<'_>) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string(place.root.join("proc/self/mountinfo"))?;
    let places = table.lines().filter_map(|line| line.split(' ').nth(4));
    Ok(places
        .filter(|place| *place != "/")
        .map(PathBuf::from)
        .collect())
}

/// Never anything of this machine: what lies in a mount is no copy.
fn remove_copies(from: &Path, to: &Path, mounts: &[PathBuf]) -> io::Result<()> {
    let is_mounted = |path: &Path| mounts.iter().any(|mount| path.starts_with(mount));
    if !from.is_dir() || !to.is_dir() || is_mounted(&fs::canonicalize(to)?) {
        return Ok(());
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        let Ok(metadata) = fs::symlink_metadata(&copy) else {
            continue;
        };
        if metadata.is_dir() {
            remove_copies(&entry.path(), &copy, mounts)?;
        } else if !is_mounted(&fs::canonicalize(to)?.join(entry.file_name())) {
            fs::remove_file(&copy)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;
    use crate::ui::Printer;

    /// C-408
    #[test]
    fn what_the_agent_has_brought_goes_and_what_is_mounted_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for path in [
            "mounted/id",
            "mounted/more/key",
            "root/.ssh/id",
            "root/.ssh/more/key",
            "root/.ssh/config",
            "git/.git-credentials",
            "git/.gitconfig",
            "root/.git-credentials",
            "root/.gitconfig",
        ] {
            write(path, path);
        }
        let configuration = "api { api_server: \"http://a:8008\", web_server: \"http://u:p@w\", \
             credentials { access_key: AK, secret_key: SK } }\nagent.git_pass: GP\n";
        write("tmp/clearml.conf", configuration);
        let mount = root.join("root/.gitconfig");
        let table = format!("1 0 0:1 / / rw\n2 1 0:2 / {} rw\n", mount.display());
        write("proc/self/mountinfo", &table);
        let home = root.join("root");
        let environment = Environment::default();
        let place = Place {
            root: &root,
            home: &home,
            environment: &environment,
            printer: Printer::default(),
        };
        let ssh = root.join("mounted");
        forget(
            place,
            Some((&ssh, Path::new("~/.ssh"))),
            Some(&root.join("git")),
        )
        .unwrap();
        for gone in [".ssh/id", ".ssh/more/key", ".git-credentials"] {
            assert!(!home.join(gone).exists(), "{gone}");
        }
        for stays in ["root/.ssh/config", "root/.gitconfig", "mounted/id"] {
            assert!(root.join(stays).exists(), "{stays}");
        }
        let left = fs::read_to_string(home.join("default_clearml.conf")).unwrap();
        assert_eq!(left, "api {\n    api_server: \"http://a:8008\"\n}\n");
    }
}
