//! What `nvidia-smi` says.

use std::process::Command;

use anyhow::{Context, ensure};
use clearml_agent::monitor::{CudaVersion, driver_table_version};

const FIELDS: &str = "index,uuid,name,temperature.gpu,memory.total,memory.free";

/// One GPU; memory in MiB.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) index: u32,
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) temperature: Option<f64>,
    pub(crate) total: Option<u64>,
    pub(crate) free: Option<u64>,
}

/// All GPUs.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    let query = format!("--query-gpu={FIELDS}");
    let text = printed(&[&query, "--format=csv,noheader,nounits"])?;
    text.lines().map(row).collect()
}

/// The version in its table; none where it has none.
pub(crate) fn cuda_version() -> Option<CudaVersion> {
    driver_table_version(&printed(&[]).ok()?)
}

fn printed(words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("nvidia-smi")
        .args(words)
        .output()
        .context("could not run `nvidia-smi`")?;
    ensure!(output.status.success(), "`nvidia-smi` failed");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn row(line: &str) -> anyhow::Result<Row> {
    let fields: Vec<&str> = line.split(", ").collect();
    let [index, uuid, name, temperature, total, free] = fields[..] else {
        anyhow::bail!("cannot read `{line}`");
    };
    Ok(Row {
        index: index.trim().parse().context("the index is no number")?,
        uuid: uuid.to_owned(),
        name: name.to_owned(),
        temperature: temperature.parse().ok(),
        total: total.parse().ok(),
        free: free.trim().parse().ok(),
    })
}
