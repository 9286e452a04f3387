//! In a folder that stands for a container's root, with programs of the test's own.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::*;

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        for folder in [
            "bin",
            "root",
            ".clearml-agent",
            "etc/apt/apt.conf.d",
            "usr/lib/python3.11",
        ] {
            fs::create_dir_all(world.path(folder)).unwrap();
        }
        world.write("usr/lib/python3.11/EXTERNALLY-MANAGED", "");
        world.write("lib/ld-musl-x86_64.so.1", "");
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// A program that records its words beside itself.
    fn program(&self, path: &str, script: &str) {
        let text = format!(
            "#!/bin/sh\necho \"${{0##*/}} $*\" >> {}/calls\n{script}\n",
            self.0.path().display()
        );
        self.write(path, &text);
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn calls(&self) -> String {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.path("calls"));
        // The words of a question have lines of their own.
        let words = [" -c import sys", "from importlib", "fits = ", "print("];
        let is_question = |line: &&str| words.iter().any(|word| line.contains(word));
        calls
            .lines()
            .filter(|line| !is_question(line))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn environment(&self, variables: &[(&str, &str)]) -> Environment {
        let path = self.path("bin");
        variables
            .iter()
            .copied()
            .chain([("PATH", path.to_str().unwrap())])
            .collect()
    }

    fn place<'a>(&'a self, home: &'a Path, environment: &'a Environment) -> Place<'a> {
        Place {
            root: self.0.path(),
            home,
            environment,
            printer: Printer::default().beside_data(),
        }
    }

    fn python(&self, variables: &[(&str, &str)], wishes: PythonWishes) -> String {
        let home = self.path("root");
        let environment = self.environment(variables);
        python(self.place(&home, &environment), wishes).replace(self.0.path().to_str().unwrap(), "")
    }
}

/// An interpreter whose pip can be loaded.
const WORKS: &str = "echo 3.9.1";
/// One without pip.
const WITHOUT_PIP: &str = "case \"$*\" in *pip*) exit 1 ;; esac; echo 3.13.1";

const NOTHING: PythonWishes = PythonWishes {
    is_standalone: false,
    has_own_script: false,
    installs_opencv_libs: false,
    needs_none: false,
};

/// C-204, C-231, C-234: what user scripts see, and nothing is installed that nobody asked for.
#[test]
fn the_newest_python_with_pip_is_taken() {
    let world = World::new();
    world.program("bin/python3.13", WITHOUT_PIP);
    world.program("bin/python3.9", WORKS);
    world.program("bin/python3.8", WORKS);
    world.program("bin/apt-get", "");
    world.program("bin/uv", "echo 0.9");
    assert_eq!(
        world.python(&[], NOTHING),
        "export DEBIAN_FRONTEND=noninteractive\nexport CLEARML_APT_INSTALL=''\n\
         export LOCAL_PYTHON=/bin/python3.9\nexport PATH=/bin:/.clearml-agent\n"
    );
    assert_eq!(world.calls(), "python3.13 -m pip --version");
    assert!(!world.path("usr/lib/python3.11/EXTERNALLY-MANAGED").exists());
    let kept = fs::read_to_string(world.path("etc/apt/apt.conf.d/docker-clean")).unwrap();
    assert!(kept.contains("Keep-Downloaded-Packages \"true\""));
    // A value that was given stays.
    let printed = world.python(&[("LOCAL_PYTHON", "/my python")], NOTHING);
    assert!(
        printed.contains("LOCAL_PYTHON='/my python'\nexport PATH=/bin:/:/.clearml-agent\n"),
        "{printed}"
    );
    assert_eq!(world.calls(), "");
}

/// C-231: pip looks at the folder alone.
#[test]
fn the_cache_of_pip_is_the_users_own() {
    let world = World::new();
    world.program("bin/python3.9", WORKS);
    world.write("root/.cache/pip/file", "");
    let paths = [
        world.path("root/.cache/pip"),
        world.path("root/.cache/pip/file"),
    ];
    for path in &paths {
        std::os::unix::fs::chown(path, Some(12_345), None).expect("run the tests as root");
    }
    world.python(&[], NOTHING);
    let owners = paths.map(|path| fs::metadata(path).unwrap().uid());
    assert_eq!(owners, [0, 12_345]);
}

/// C-204, C-231: `CLEARML_APT_INSTALL` and the libraries of OpenCV, by what the image has.
#[test]
fn packages_come_where_they_were_asked_for() {
    let world = World::new();
    world.program("bin/python3.9", WORKS);
    world.program("bin/apt-get", "exit 1");
    world.program("bin/dnf", "");
    world.program("bin/apk", "");
    let asked = [("CLEARML_APT_INSTALL", "one  two")];
    let printed = world.python(&asked, NOTHING);
    assert!(
        printed.contains("CLEARML_APT_INSTALL='one  two'\n"),
        "{printed}"
    );
    assert_eq!(world.calls(), "apt-get update\ndnf install -y one two");
    world.program("bin/apt-get", "");
    let wishes = PythonWishes {
        installs_opencv_libs: true,
        ..NOTHING
    };
    let printed = world.python(&asked, wishes);
    let all = "one two libsm6 libxext6 libxrender-dev libglib2.0-0";
    assert_eq!(
        world.calls(),
        format!("apt-get update\napt-get install -y {all}")
    );
    assert!(
        printed.contains("CLEARML_APT_INSTALL='one  two libsm6"),
        "{printed}"
    );
    // Their own script has seen to it, or nothing is to be brought.
    let script = PythonWishes {
        has_own_script: true,
        ..wishes
    };
    let standalone = PythonWishes {
        is_standalone: true,
        ..wishes
    };
    for wishes in [script, standalone] {
        world.python(&asked, wishes);
        assert_eq!(world.calls(), "");
    }
    // Nothing works, and the task goes on.
    for name in ["apt-get", "dnf", "apk"] {
        world.program(&format!("bin/{name}"), "exit 1");
    }
    assert!(
        world
            .python(&asked, NOTHING)
            .contains("LOCAL_PYTHON=/bin/python3.9\n")
    );
}

/// C-600, C-625: `CLEARML_AGENT_SKIP_CONTAINER_APT` leaves the image's package manager alone, whatever asks for it.
#[test]
fn nothing_is_installed_where_a_variable_says_so() {
    let world = World::new();
    world.program("bin/apt-get", "");
    let all = PythonWishes {
        installs_opencv_libs: true,
        ..NOTHING
    };
    let asked = ("CLEARML_APT_INSTALL", "one");
    let skip = ("CLEARML_AGENT_SKIP_CONTAINER_APT", "1");
    let printed = world.python(&[asked, skip], all);
    assert!(printed.contains("LOCAL_PYTHON=python3\n"), "{printed}");
    assert_eq!(world.calls(), "");
    assert!(!world.path("etc/apt/apt.conf.d/docker-clean").exists());
    // What uv brings is no package of the distribution.
    world.program("bin/uv", "echo /bin/python-of-uv");
    world.python(&[skip], NOTHING);
    let calls = world.calls();
    assert!(calls.contains("uv python install"), "{calls}");
    assert!(!calls.contains("apt-get"), "{calls}");
    world.python(&[asked], all);
    assert!(world.calls().contains("apt-get install -y one"));
}

/// C-238: where the image has none, uv brings one, else a package does.
#[test]
fn an_image_without_python_gets_one() {
    let world = World::new();
    let brought = world.path("uv-pythons/bin/python3.12");
    world.program("uv-pythons/bin/python3.12", "echo 3.12.9");
    let script = format!(
        "case \"$2\" in install) echo $UV_PYTHON_CACHE_DIR $SSL_CERT_FILE >> {}/calls ;; find) echo {} ;; *) echo uv 0.9 ;; esac",
        world.0.path().display(),
        brought.display(),
    );
    world.program(".clearml-agent/uv", &script);
    world.program("bin/apk", "");
    let printed = world.python(&[("REQUESTS_CA_BUNDLE", "/bundle")], NOTHING);
    assert!(
        printed.contains("LOCAL_PYTHON=/uv-pythons/bin/python3.12\n"),
        "{printed}"
    );
    assert!(
        printed.contains("PATH=/bin:/uv-pythons/bin:/.clearml-agent\n"),
        "{printed}"
    );
    let root = world.0.path().display().to_string();
    let calls = world.calls().replace(&root, "");
    assert!(
        calls.contains(
            "uv python install 3.12\n/root/.cache/pip/uv-python /bundle\nuv python find 3.12"
        ),
        "{calls}"
    );
    let printed = world.python(&[("CLEARML_PYTHON_VER", "3.10")], NOTHING);
    assert!(printed.contains("uv-pythons"));
    assert!(world.calls().contains("uv python install 3.10"));
    let not_needed = PythonWishes {
        needs_none: true,
        ..NOTHING
    };
    let printed = world.python(&[], not_needed);
    assert!(printed.contains("LOCAL_PYTHON=python3\n"), "{printed}");
    assert_eq!(world.calls(), "");
    let standalone = PythonWishes {
        is_standalone: true,
        ..NOTHING
    };
    assert_eq!(
        world.python(&[], standalone),
        "export LOCAL_PYTHON=python3\nexport PATH=/bin:/.clearml-agent\n"
    );
    assert_eq!(world.calls(), "");
    // uv cannot; the package can.
    world.program(".clearml-agent/uv", "[ \"$1\" = --version ] && echo uv 0.9");
    let install = format!("cp {0}/python3.9 {0}/bin/", world.0.path().display());
    world.program("python3.9", WORKS);
    world.program("bin/apk", &install);
    let printed = world.python(&[], NOTHING);
    assert!(
        printed.contains("LOCAL_PYTHON=/bin/python3.9\n"),
        "{printed}"
    );
    assert!(world.calls().contains("apk add --no-cache python3 py3-pip"));
}

/// C-222, C-231: keys are for their owner alone, whatever the mount says.
#[test]
fn keys_and_files_of_git_are_put_in_their_places() {
    let world = World::new();
    world.write("keys/id_rsa", "key");
    world.write("keys/more/config", "deep");
    fs::set_permissions(world.path("keys/id_rsa"), fs::Permissions::from_mode(0o444)).unwrap();
    std::os::unix::fs::symlink("/nowhere", world.path("keys/gone")).unwrap();
    world.write("git/.gitconfig", "[user]");
    world.write("root/.ssh/known_hosts", "kept");
    world.write("tmp/clearml.conf", "{}");
    let home = world.path("root");
    let environment = world.environment(&[]);
    let place = world.place(&home, &environment);
    let (keys, git) = (world.path("keys"), world.path("git"));
    for _ in 0..2 {
        files(place, Some((&keys, Path::new("~/.ssh"))), Some(&git));
    }
    configuration(place);
    let read = |path: &str| fs::read_to_string(home.join(path)).unwrap();
    assert_eq!(read(".ssh/id_rsa"), "key");
    assert_eq!(read(".ssh/more/config"), "deep");
    assert_eq!(read(".ssh/known_hosts"), "kept");
    assert_eq!(read(".gitconfig"), "[user]");
    assert_eq!(read("default_clearml.conf"), "{}");
    let mode = |path: &str| fs::metadata(home.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".ssh"), mode(".ssh/id_rsa")), (0o700, 0o600));
    assert_eq!(mode("default_clearml.conf"), 0o600);
    // Nothing was mounted: nothing happens.
    files(
        place,
        Some((Path::new("/no/keys"), Path::new("~/.ssh"))),
        None,
    );
}
