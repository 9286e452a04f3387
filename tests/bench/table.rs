//! The table of docs/performance.md: medians with their range, and the conditions of the run.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::Context;

use crate::contender::Contender;
use crate::rows::Row;
use crate::world::World;

const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// Values of one row for one contender.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

/// One row with what both contenders gave.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) row: Row,
    pub(crate) this: Samples,
    pub(crate) official: Samples,
}

/// Where and when the run happened.
#[derive(Debug)]
pub(crate) struct Conditions {
    started: SystemTime,
    /// Processes that wanted to run before the benchmark began, averaged over a minute.
    load: String,
}

impl Samples {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// Of an even number, the mean of the two in the middle.
    fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        match self.0.len() {
            0 => f64::NAN,
            count if count % 2 == 0 => f64::midpoint(self.0[middle - 1], self.0[middle]),
            _ => self.0[middle],
        }
    }

    fn cell(&self, unit: &str) -> String {
        if self.median().is_nan() {
            return "never".to_owned();
        }
        let mut cell = format!("{} {unit}", digits(self.median()))
            .trim_end()
            .to_owned();
        if let [least, .., most] = self.0[..] {
            // Writing to a string cannot fail.
            let _ = write!(cell, " ({} to {})", digits(least), digits(most));
        }
        cell
    }
}

/// Three significant digits.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}

impl Conditions {
    pub(crate) fn now() -> anyhow::Result<Self> {
        Ok(Self {
            started: SystemTime::now(),
            load: load()?,
        })
    }
}

fn load() -> anyhow::Result<String> {
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(load.split(' ').next().unwrap_or_default().to_owned())
}

/// The table with the conditions above it.
pub(crate) fn render(
    conditions: &Conditions,
    worlds: &[World; 2],
    comparisons: &[Comparison],
) -> anyhow::Result<String> {
    let first = |path: &str, field: &str| -> anyhow::Result<String> {
        let text = fs::read_to_string(path)?;
        let line = text.lines().find(|line| line.starts_with(field));
        let value = line
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim());
        Ok(value.unwrap_or("unknown").to_owned())
    };
    let mut python = Command::new("python3");
    let python = python
        .env("PATH", Contender::search_path()?)
        .arg("--version")
        .output()?;
    let cores = std::thread::available_parallelism()?;
    let mut text = format!(
        "- Command: `cargo bench --bench compare`\n- Date: {}\n- Machine: {}, {cores} cores, memory {}, Linux {}\n- Load average when \
         the run began: {}, when it ended: {} (with nothing else on the machine, well below 1)\n- {}\n\n| what | {} | {} | ratio |\n|---|---|---|---|\n",
        httpdate::fmt_http_date(conditions.started),
        first("/proc/cpuinfo", "model name")?,
        first("/proc/meminfo", "MemTotal")?,
        fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        conditions.load,
        load()?,
        String::from_utf8_lossy(&python.stdout).trim(),
        worlds[0].contender.name,
        worlds[1].contender.name,
    );
    for Comparison {
        row,
        this,
        official,
    } in comparisons
    {
        let ratio = official.median() / this.median();
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            row.title.replace("->", "→"),
            this.cell(row.unit),
            official.cell(row.unit),
            if ratio.is_finite() {
                format!("{ratio:.1}")
            } else {
                String::new()
            },
        )?;
    }
    Ok(text)
}

/// Puts the text between the marks of the document, and gives its path.
pub(crate) fn write(text: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let document = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (before, rest) = document
        .split_once(BEGIN)
        .context("no mark for the table's begin")?;
    let (_, after) = rest
        .split_once(END)
        .context("no mark for the table's end")?;
    fs::write(&path, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))?;
    Ok(path)
}
