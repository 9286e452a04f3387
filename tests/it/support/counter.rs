//! A program that counts on its console until it is told to stop, and notes elsewhere how far it came.

use std::fs;
use std::path::PathBuf;

use super::{Script, TestContext, wait_until};

/// The program's other side.
#[derive(Debug)]
pub(crate) struct Counter {
    progress: PathBuf,
    stop: PathBuf,
}

impl Counter {
    /// The counter and its script; after the last number the script does what `end` says.
    pub(crate) fn new(context: &TestContext, end: &str) -> (Self, Script) {
        let counter = Self {
            progress: context.folder().join("progress"),
            stop: context.folder().join("stop"),
        };
        let script = format!(
            "number=0
             until [ -e '{}' ] && [ $number -ge 3 ]; do
                 number=$((number + 1))
                 echo \"line $number\"
                 echo $number > '{1}.new'; mv '{1}.new' '{1}'
                 sleep 0.02
             done
             {end}",
            counter.stop.display(),
            counter.progress.display(),
        );
        (counter, Script::shell(&script))
    }

    /// The last number that has certainly been printed.
    pub(crate) fn count(&self) -> usize {
        let text = fs::read_to_string(&self.progress).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Waits until so many more have been printed.
    #[track_caller]
    pub(crate) fn wait_for(&self, more: usize) {
        let wanted = self.count() + more;
        assert!(wait_until(|| self.count() >= wanted), "no {wanted}");
    }

    /// Lets the program end, with the third number at the earliest.
    pub(crate) fn stop(&self) {
        fs::write(&self.stop, "").unwrap();
    }

    /// The next program counts until it is stopped.
    pub(crate) fn go_on(&self) {
        fs::remove_file(&self.stop).unwrap();
    }

    /// Asserts that the console has each number once, in order, and `end` behind them.
    ///
    /// A program that was killed may have printed one number that it could not note any more.
    #[track_caller]
    pub(crate) fn assert_complete(&self, console: &str, end: &str) {
        let (_, printed) = console
            .split_once("Starting Task Execution:\n\n")
            .unwrap_or_else(|| panic!("{console}"));
        let expected = |last| -> String {
            let lines = (1..=last).map(|number| format!("line {number}\n"));
            lines.chain([end.to_owned()]).collect()
        };
        let count = self.count();
        let whole = [count, count + 1].map(expected);
        assert!(
            whole.iter().any(|text| text == printed),
            "not the numbers to {count} and {end:?}:\n{printed}"
        );
    }
}
