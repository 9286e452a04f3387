//! A clock that jumps: a stand-in for that of the machine, built from tests/data/clock/stand_in.c.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use super::TestContext;

/// The wall clock of all programs that are started with its variables.
#[derive(Debug)]
pub(crate) struct ClockStandIn {
    library: String,
    path: String,
    jumps: File,
}

impl ClockStandIn {
    /// One that is right.
    pub(crate) fn new(context: &TestContext) -> Self {
        let library = context.folder().join("clock.so");
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/clock/stand_in.c");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .status()
            .expect("the tests need a C compiler by the name of `cc`: install gcc or clang");
        assert!(status.success());
        let path = context.folder().join("clock");
        let jumps = File::create(&path).unwrap();
        let clock = Self {
            library: library.display().to_string(),
            path: path.display().to_string(),
            jumps,
        };
        clock.jump(0);
        clock
    }

    /// For the programs whose clock it is.
    pub(crate) fn variables(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", &self.library), ("CLOCK_JUMPS", &self.path)]
    }

    /// From here on it is so many seconds ahead, or behind.
    pub(crate) fn jump(&self, seconds: i64) {
        self.jumps.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }
}
