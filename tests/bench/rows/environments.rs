//! Tasks with packages: their environment made for the first time, and found again, by pip and by uv.

use std::ffi::{OsStr, OsString};

use anyhow::Context;

use super::life::{self, PYTHON, lives, python};
use super::{Measurement, row};
use crate::contender::Contender;
use crate::world::World;

/// The setting that chooses who installs, for both agents.
const INSTALLER: &str = "CLEARML_AGENT__AGENT__PACKAGE_MANAGER__TYPE";
/// Small packages, of which each task wants other releases than any before it.
const PIP: [&str; 4] = [
    "six==1.15.0\nidna==3.4\nattrs==23.1.0\n",
    "six==1.14.0\nidna==3.5\nattrs==23.2.0\n",
    "six==1.13.0\nidna==3.6\nattrs==22.2.0\n",
    "six==1.12.0\nidna==3.7\nattrs==22.1.0\n",
];
const UV: [&str; 4] = [
    "six==1.15.0\nidna==3.4\nattrs==21.1.0\n",
    "six==1.14.0\nidna==3.5\nattrs==21.2.0\n",
    "six==1.13.0\nidna==3.6\nattrs==21.4.0\n",
    "six==1.12.0\nidna==3.7\nattrs==20.3.0\n",
];

pub(super) const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "uv-cached",
        rows: life::rows!("Python with a cached environment, uv"),
        rounds: 2,
        round: |world| {
            let path = path_with_uv()?;
            lives(
                &world.another()?,
                &python(PYTHON, "six==1.17.0\n"),
                &by_uv(&path),
            )
        },
    },
    Measurement {
        name: "new",
        rows: &[row(
            "Python with three new packages: in progress -> first line printed",
            "s",
        )],
        rounds: 1,
        round: |world| first_lines(world, &PIP, &[]),
    },
    Measurement {
        name: "uv-new",
        rows: &[row(
            "Python with three new packages, uv: in progress -> first line printed",
            "s",
        )],
        rounds: 1,
        round: |world| {
            let path = path_with_uv()?;
            first_lines(&world.another()?, &UV, &by_uv(&path))
        },
    },
];

fn path_with_uv() -> anyhow::Result<OsString> {
    let before = Contender::search_path()?;
    let folders = [Contender::uv_folder()?];
    let folders = folders.into_iter().chain(std::env::split_paths(&before));
    std::env::join_paths(folders).context("the search path")
}

fn by_uv(path: &OsStr) -> [(&str, &OsStr); 2] {
    [(INSTALLER, "uv".as_ref()), ("PATH", path)]
}

/// One task after the other, so that none is prepared while another runs. The first warms what all have in common.
fn first_lines(
    world: &World,
    requirements: &[&str],
    variables: &[(&str, &OsStr)],
) -> anyhow::Result<Vec<Vec<f64>>> {
    let _daemon = world.daemon_with(&[], variables)?;
    let mut times = Vec::new();
    for list in requirements {
        let (task, _) = world.enqueue(&python(PYTHON, list))?;
        let life = life::life(world, &task)?;
        times.push(vec![life.first_printed - life.in_progress]);
    }
    Ok(times.split_off(1))
}
