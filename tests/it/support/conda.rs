//! A stand-in for conda, which cannot be installed where the tests run: it makes real virtual environments.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// An installation that looks like conda's.
#[derive(Debug)]
pub(crate) struct CondaStandIn {
    base: PathBuf,
}

/// What the real script does for the commands of the agent.
const SCRIPT: &str = r#"conda() {
    [ "$1" = activate ] || return 1
    export CONDA_PREFIX="$2" PATH="$2/bin:$PATH"
}
"#;

impl CondaStandIn {
    /// Installs it below `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        let base = folder.join("conda");
        fs::create_dir_all(base.join("bin")).unwrap();
        fs::create_dir_all(base.join("etc/profile.d")).unwrap();
        fs::write(base.join("etc/profile.d/conda.sh"), SCRIPT).unwrap();
        let program = base.join("bin/conda");
        fs::write(&program, include_str!("../../data/conda/stand_in.py")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { base }
    }

    /// The folder of the program, for `PATH`.
    pub(crate) fn bin(&self) -> PathBuf {
        self.base.join("bin")
    }

    /// The folder of the installation.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Tells it something; the names are explained in the program itself.
    pub(crate) fn set(&self, name: &str, text: &str) {
        fs::write(self.base.join(name), text).unwrap();
    }

    /// Its calls, each with its words joined by blanks; and forgets them.
    #[track_caller]
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = self.lines("calls");
        let words = |call: &Value| -> Vec<String> {
            let words = call["words"].as_array().expect("words");
            let words = words.iter().filter_map(|word| word.as_str());
            words.map(str::to_owned).collect()
        };
        for call in &calls {
            assert_eq!(call["pythonpath"], Value::Null, "{call}");
        }
        calls.iter().map(|call| words(call).join(" ")).collect()
    }

    /// The files of its updates; and forgets them.
    pub(crate) fn updates(&self) -> Vec<Value> {
        self.lines("updates")
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let path = self.base.join(name);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}
