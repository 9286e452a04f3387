//! What the agent needs of the machine's Python.

use std::process::Command;

use anyhow::bail;

/// Prints the version, and whether an environment can be made.
const PROBE: &str = "
import sys
from importlib.util import find_spec
print('%d.%d.%d' % sys.version_info[:3])
print(bool(find_spec('virtualenv') or (find_spec('venv') and find_spec('ensurepip'))))
";

/// The version of `python3`; fails where there is none, or none that can make environments.
pub(crate) fn check() -> anyhow::Result<String> {
    let output = match Command::new("python3").args(["-c", PROBE]).output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => bail!(
            "`python3` does not run: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ),
        Err(error) => bail!(
            "`python3` does not start: {error}\nhint: install Python 3.9 or newer, e.g. `apt install python3 python3-venv`"
        ),
    };
    let answer = String::from_utf8_lossy(&output.stdout);
    match answer.lines().collect::<Vec<_>>()[..] {
        [version, "True"] => Ok(version.to_owned()),
        _ => bail!(
            "`python3` cannot make virtual environments\nhint: install its module `venv`, e.g. `apt install python3-venv`"
        ),
    }
}
