//! Stand-ins for the library of NVIDIA's driver, built from tests/data/nvml/stand_in.c.

use std::path::PathBuf;
use std::process::Command;

use super::TestContext;

/// A folder with a library that the agent's loader finds when it is told to look there.
#[derive(Debug)]
pub(crate) struct NvmlStandIn(String);

impl NvmlStandIn {
    /// Builds one with these macros, such as `GPUS=2`.
    pub(crate) fn new(context: &TestContext, macros: &[&str]) -> Self {
        let folder = context.folder().join("driver");
        std::fs::create_dir_all(&folder).unwrap();
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/nvml/stand_in.c");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(folder.join("libnvidia-ml.so.1"))
            .args(macros.iter().map(|definition| format!("-D{definition}")))
            .arg(source)
            .status()
            .expect("the tests need a C compiler by the name of `cc`: install gcc or clang");
        assert!(status.success(), "{macros:?}");
        Self(folder.display().to_string())
    }

    /// The variable by which every program's loader finds libraries.
    pub(crate) fn variable(&self) -> (&str, &str) {
        ("LD_LIBRARY_PATH", &self.0)
    }
}
