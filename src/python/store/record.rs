//! Which files of an environment may be shared with the store, and by which hash they are known.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// What is code: programs import and load it, and replace it rather than write into it.
const CODE: [&str; 22] = [
    "py", "pyi", "pyx", "pxd", "so", "dll", "dylib", "a", "lib", "o", "c", "cc", "cpp", "cu",
    "cuh", "h", "hh", "hpp", "inc", "ptx", "cubin", "bc",
];
/// Larger files are shared whatever they hold: copying them is what makes an environment slow.
const LARGE: u64 = 1024 * 1024;

/// The SHA-256 and size of each file that wheels have brought, by its path below the environment.
pub(super) fn delivered(environment: &Path) -> HashMap<String, (String, u64)> {
    let mut known = HashMap::new();
    let folders = fs::read_dir(environment.join("lib"));
    for python in folders.into_iter().flatten().flatten() {
        let site = python.path().join("site-packages");
        for package in fs::read_dir(&site).into_iter().flatten().flatten() {
            if !package
                .file_name()
                .to_string_lossy()
                .ends_with(".dist-info")
            {
                continue;
            }
            let Ok(text) = fs::read_to_string(package.path().join("RECORD")) else {
                continue;
            };
            let below = format!("lib/{}/site-packages", python.file_name().to_string_lossy());
            for (path, hash, size) in text.lines().filter_map(line) {
                known.insert(format!("{below}/{path}"), (hash, size));
            }
        }
    }
    known
}

/// Path, hash and size of a line of `RECORD`. Names with quotes are rare, and their files are copied.
fn line(line: &str) -> Option<(&str, String, u64)> {
    let mut parts = line.rsplitn(3, ',');
    let (size, hash, path) = (parts.next()?, parts.next()?, parts.next()?);
    let is_plain = !path.starts_with(['"', '/']) && !path.split('/').any(|part| part == "..");
    let hash = hash.strip_prefix("sha256=")?;
    is_plain.then_some((path, hash.to_owned(), size.parse().ok()?))
}

/// True for what Python has compiled: it never writes into such a file, it puts a new one in its place. No wheel knows it.
pub(super) fn is_compiled(path: &str) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    let is_installed = path.contains("/site-packages/") && path.contains("/__pycache__/");
    is_installed && extension == Some("pyc")
}

/// True for a delivered file that environments may share: what pip or a task may change in place is copied.
///
/// Beside the wheel's own description, and settings and data that people edit, that is all outside the packages: scripts,
/// `*.pth`, `pyvenv.cfg`.
pub(super) fn may_be_shared(path: &str, size: u64) -> bool {
    let is_description = path
        .split('/')
        .any(|part| part.ends_with(".dist-info") || part.ends_with(".egg-info"));
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    // `libx.so.1.2`
    let is_library = name.contains(".so.");
    let is_changed = ["pth", "pyc", "egg-link"].contains(&extension);
    !is_description && !is_changed && (size >= LARGE || is_library || CODE.contains(&extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_large_files_are_shared_and_nothing_that_is_edited() {
        let site = |name: &str| format!("lib/python3.11/site-packages/{name}");
        for (name, size) in [
            ("a/x.py", 1),
            ("a/x.so", 1),
            ("a/libx.so.1.2", 1),
            ("a/model.bin", LARGE),
        ] {
            assert!(may_be_shared(&site(name), size), "{name}");
        }
        for (name, size) in [
            ("a-1.dist-info/RECORD", LARGE),
            ("a.pth", LARGE),
            ("a/settings.json", 10),
            ("a/matplotlibrc", 10),
        ] {
            assert!(!may_be_shared(&site(name), size), "{name}");
        }
    }

    #[test]
    fn only_what_python_itself_has_compiled_counts_as_compiled() {
        assert!(is_compiled(
            "lib/python3.11/site-packages/a/__pycache__/x.cpython-311.pyc"
        ));
        assert!(!is_compiled("lib/python3.11/site-packages/a/x.pyc"));
        assert!(!is_compiled("bin/__pycache__/x.pyc"));
    }

    #[test]
    fn only_lines_with_hash_and_size_below_the_packages_count() {
        assert_eq!(
            line("a/b,c.py,sha256=AbC-_,12"),
            Some(("a/b,c.py", "AbC-_".to_owned(), 12))
        );
        for text in [
            "a/x.pyc,,",
            "../../../bin/x,sha256=A,1",
            "\"a,\"\"b\",sha256=A,1",
            "a.py,md5=A,1",
            "",
        ] {
            assert_eq!(line(text), None, "{text}");
        }
    }
}
