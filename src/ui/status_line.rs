//! The last line of a terminal, in which what goes on is said until something is printed.

use std::io::{self, IsTerminal, StdoutLock, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{is_quiet, logs_as_json};
use crate::{secrets, visible};

/// What every terminal has room for.
const WIDTH: usize = 79;
/// There is a line that is to be taken away again. Changed by who has stdout alone.
static IS_SHOWN: AtomicBool = AtomicBool::new(false);
/// What was printed last has no end, and nothing may be put in its place.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// True where a person looks at stdout who can be shown a line that changes.
pub fn is_watched() -> bool {
    let kind = std::env::var_os("TERM").unwrap_or_default();
    let can_erase = !kind.is_empty() && kind != "dumb";
    can_erase && !logs_as_json() && !is_quiet() && io::stdout().is_terminal()
}

/// Puts this line there, or takes away the one that is there.
pub fn show(line: Option<&str>) {
    let mut stdout = cleared();
    let Some(line) = line.filter(|_| !IS_OPEN.load(Ordering::Relaxed)) else {
        return;
    };
    let line = secrets::mask(line);
    let line: String = visible::lines(&line).chars().take(WIDTH).collect();
    IS_SHOWN.store(true, Ordering::Relaxed);
    // Who is gone sees nothing.
    let _ = write!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Stdout for whoever is about to print, without that line.
pub fn cleared() -> StdoutLock<'static> {
    let mut stdout = io::stdout().lock();
    if IS_SHOWN.swap(false, Ordering::Relaxed) {
        let _ = write!(stdout, "\r\x1b[K").and_then(|()| stdout.flush());
    }
    stdout
}

/// Remembers whether what was printed last has its end.
pub fn printed(bytes: &[u8]) {
    if let Some(last) = bytes.last() {
        IS_OPEN.store(*last != b'\n', Ordering::Relaxed);
    }
}
