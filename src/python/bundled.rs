//! Puts the packages that an interpreter carries for `ensurepip` into an environment: unpacked, pip is not started.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::error::PythonError;
use crate::process::Command;

/// Unpacks the wheels named as arguments, as an installer would: with a complete `RECORD`, so that pip can replace them.
const UNPACK: &str = r##"
import configparser, os, sys, sysconfig, zipfile
site, scripts = sysconfig.get_path("purelib"), sysconfig.get_path("scripts")
python = sys.executable
first = "#!" + python + "\n"
if len(first) > 127 or " " in python:
    first = "#!/bin/sh\n'''exec' \"" + python + "\" \"$0\" \"$@\"\n' '''\n"
for path in sys.argv[1:]:
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        info = next(name for name in names if name.endswith(".dist-info/RECORD"))[:-len("RECORD")]
        wheel.extractall(site)
        added = {os.path.join(site, info, "INSTALLER"): "pip\n"}
        points = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        points.optionxform = str
        if info + "entry_points.txt" in names:
            points.read_string(wheel.read(info + "entry_points.txt").decode())
    programs = dict(points["console_scripts"]) if "console_scripts" in points else {}
    # ensurepip makes those of this version alone.
    programs = {name: point for name, point in programs.items() if not name[-1].isdigit()}
    if "pip" in programs:
        for name in ("pip3", "pip%d.%d" % sys.version_info[:2]):
            programs[name] = programs["pip"]
    for name, point in programs.items():
        module, function = point.split("[")[0].strip().split(":")
        added[os.path.join(scripts, name)] = (
            first + "import sys\nfrom " + module + " import " + function.split(".")[0]
            + "\nif __name__ == '__main__':\n    sys.exit(" + function + "())\n")
    with open(os.path.join(site, info, "RECORD"), "a") as record:
        for file, text in added.items():
            with open(file, "w") as opened:
                opened.write(text)
            if file.startswith(scripts + os.sep):
                os.chmod(file, 0o755)
            record.write(os.path.relpath(file, site) + ",,\n")
"##;

/// Unpacks the wheels into the environment of `python`; false where that does not work.
pub(super) async fn unpack(
    python: &Path,
    wheels: &[PathBuf],
    cancel: &CancellationToken,
) -> Result<bool, PythonError> {
    let finished = Command::new(python)
        .args(["-I", "-c", UNPACK])
        .args(wheels)
        .capture(cancel)
        .await?;
    if !finished.is_success() {
        let text = String::from_utf8_lossy(&finished.stderr);
        tracing::debug!("the bundled wheels could not be unpacked: {}", text.trim());
    }
    Ok(finished.is_success())
}
