//! What is measured: one measurement a list entry, one or more rows each.

mod abort;
mod container;
mod environments;
mod idle;
mod life;
mod lines;
mod memory;
mod outage;
mod prefetch;
mod queue;
mod start_up;
mod stream;

use crate::world::World;

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// What the number is.
    pub(crate) title: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
}

/// Runs that give the values of some rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    /// Word by which it is chosen on the command line.
    pub(crate) name: &'static str,
    /// The lines that it fills.
    pub(crate) rows: &'static [Row],
    /// How often each contender gets its turn.
    pub(crate) rounds: usize,
    /// One turn: for each run one value a row.
    pub(crate) round: fn(&World) -> anyhow::Result<Vec<Vec<f64>>>,
}

const fn row(title: &'static str, unit: &'static str) -> Row {
    Row { title, unit }
}

/// The measurements of the table, in its order.
pub(crate) fn of_table() -> Vec<Measurement> {
    [
        start_up::MEASUREMENTS,
        memory::MEASUREMENTS,
        idle::MEASUREMENTS,
        life::MEASUREMENTS,
        environments::MEASUREMENTS,
        queue::MEASUREMENTS,
        lines::MEASUREMENTS,
        stream::MEASUREMENTS,
        abort::MEASUREMENTS,
        prefetch::MEASUREMENTS,
    ]
    .concat()
}

/// Those and the ones that have tables of their own, for what they need: an engine with the released runner, or much time.
pub(crate) fn all() -> Vec<Measurement> {
    [
        of_table().as_slice(),
        container::MEASUREMENTS,
        outage::MEASUREMENTS,
    ]
    .concat()
}
