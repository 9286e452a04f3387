//! Runs this agent and the official one in turn against the local server, and writes the table of docs/performance.md.
//!
//! `cargo bench --bench compare`; words behind `--` choose measurements by the beginnings of their names, also
//! those that have tables of their own, and leave the document as it is.
//! A new row is a [`Row`] in the list of a file in `rows/`.
#![expect(clippy::print_stdout, reason = "it reports its progress")]

mod contender;
mod daemon;
mod processes;
mod rows;
mod support;
mod table;
mod world;

use contender::Contender;
use rows::Measurement;
use table::{Comparison, Samples};
use world::World;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if !words.iter().any(|word| word == "--bench") {
        println!("This takes minutes: it runs with `cargo bench --bench compare` only.");
        return Ok(());
    }
    let wanted: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let mut measurements = if wanted.is_empty() {
        rows::of_table()
    } else {
        rows::all()
    };
    measurements
        .retain(|one| wanted.is_empty() || wanted.iter().any(|word| one.name.starts_with(word)));
    let conditions = table::Conditions::now()?;
    let worlds = [
        World::new(Contender::this())?,
        World::new(Contender::official()?)?,
    ];
    let mut comparisons = Vec::new();
    for measurement in &measurements {
        comparisons.extend(compare(measurement, &worlds)?);
    }
    let text = table::render(&conditions, &worlds, &comparisons)?;
    println!("\n{text}");
    if wanted.is_empty() && !cfg!(debug_assertions) {
        let path = table::write(&text)?;
        println!("written to {}", path.display());
    }
    Ok(())
}

/// Measures the contenders in turn, as often as the measurement wants.
fn compare(measurement: &Measurement, worlds: &[World; 2]) -> anyhow::Result<Vec<Comparison>> {
    let mut samples: [Vec<Samples>; 2] =
        [(); 2].map(|()| vec![Samples::default(); measurement.rows.len()]);
    for round in 1..=measurement.rounds {
        for (world, samples) in worlds.iter().zip(&mut samples) {
            println!(
                "{}, round {round}: {}",
                measurement.name, world.contender.name
            );
            let runs = match (measurement.round)(world) {
                // Not every way of working is one of its own.
                Err(error) if world.contender.is_official() => {
                    println!("{} fails: {error:#}", world.contender.name);
                    continue;
                }
                runs => runs?,
            };
            for run in runs {
                for (value, samples) in run.into_iter().zip(samples.iter_mut()) {
                    samples.add(value);
                }
            }
        }
    }
    let [this, official] = samples;
    let rows = measurement.rows.iter();
    Ok(rows
        .zip(this.into_iter().zip(official))
        .map(|(row, (this, official))| Comparison {
            row: *row,
            this,
            official,
        })
        .collect())
}
