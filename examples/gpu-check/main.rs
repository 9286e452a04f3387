//! Compares the figures of GPUs that the agent reports with those of `nvidia-smi`, on a machine that has both.
//!
//! `cargo run --example gpu-check`. Exit code 0: they agree. 1: they do not, or there is nothing to compare.
#![expect(clippy::print_stdout, reason = "it talks to its user")]

mod nvidia_smi;

use std::process::ExitCode;
use std::time::Duration;

use clearml_agent::monitor::{GpuReading, VisibleGpus, cuda_driver_version, watch_gpus};

use nvidia_smi::Row;

/// Between the two looks another program may take memory: this many MiB may be between them.
const MEMORY_TOLERANCE: u64 = 256;
/// And this many °C.
const TEMPERATURE_TOLERANCE: f64 = 5.0;
/// How long the driver may take for its first answer.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut watch = watch_gpus(VisibleGpus::All, Duration::from_millis(500));
    let readings = tokio::time::timeout(PATIENCE, watch.next()).await;
    let readings = match readings {
        Ok(Some(readings)) if !readings.is_empty() => readings,
        Ok(_) => {
            println!("no GPU: this machine has no driver of NVIDIA, or it shows no device");
            return ExitCode::FAILURE;
        }
        Err(_) => {
            println!("the driver does not answer");
            return ExitCode::FAILURE;
        }
    };
    let rows = match nvidia_smi::rows() {
        Ok(rows) => rows,
        Err(error) => {
            println!("nothing to compare with: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut differences = compare_version();
    for reading in &readings {
        println!("{}", shown(reading));
        let row = rows.iter().find(|row| row.uuid == reading.uuid);
        match row {
            Some(row) => differences.extend(compare(reading, row)),
            None => differences.push(format!("nvidia-smi knows no {}", reading.uuid)),
        }
    }
    for row in &rows {
        if !readings.iter().any(|reading| reading.uuid == row.uuid) {
            differences.push(format!("the agent does not see {}", row.uuid));
        }
    }
    for difference in &differences {
        println!("DIFFERENT: {difference}");
    }
    if differences.is_empty() {
        println!("{} entries agree with nvidia-smi", readings.len());
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

fn shown(reading: &GpuReading) -> String {
    let part = reading
        .part_uuid
        .as_deref()
        .map(|uuid| format!(" part {} {uuid}", reading.part.unwrap_or_default()))
        .unwrap_or_default();
    let memory = reading.memory.map_or_else(
        || "memory unknown".to_owned(),
        |memory| format!("{} MiB used, {} MiB free", memory.used, memory.free),
    );
    let figure = |value: Option<f64>, unit: &str| {
        value.map_or_else(|| format!("? {unit}"), |value| format!("{value} {unit}"))
    };
    format!(
        "GPU {} {} ({}){part}: {}, {}, {memory}",
        reading.index,
        reading.uuid,
        reading.name,
        figure(reading.usage, "%"),
        figure(reading.temperature, "°C"),
    )
}

/// The load is not compared: it is another one at every moment.
fn compare(reading: &GpuReading, row: &Row) -> Vec<String> {
    let mut differences = Vec::new();
    let gpu = reading.index;
    if gpu != row.index {
        differences.push(format!("GPU {gpu} is {} for nvidia-smi", row.index));
    }
    if reading.name != row.name {
        differences.push(format!("GPU {gpu} is a {} for nvidia-smi", row.name));
    }
    if let (Some(ours), Some(theirs)) = (reading.temperature, row.temperature)
        && (ours - theirs).abs() > TEMPERATURE_TOLERANCE
    {
        differences.push(format!("GPU {gpu} has {theirs} °C for nvidia-smi"));
    }
    if reading.part.is_some() {
        // Its table of GPUs has the memory of whole GPUs alone.
        return differences;
    }
    if reading.usage.is_none() {
        differences.push(format!("GPU {gpu} tells no load"));
    }
    match reading.memory.zip(row.total).zip(row.free) {
        Some(((memory, total), free)) => {
            // Two roundings.
            if (memory.used + memory.free).abs_diff(total) > 2 {
                differences.push(format!("GPU {gpu} has {total} MiB for nvidia-smi"));
            }
            if memory.free.abs_diff(free) > MEMORY_TOLERANCE {
                differences.push(format!("GPU {gpu} has {free} MiB free for nvidia-smi"));
            }
        }
        None => differences.push(format!("the memory of GPU {gpu} is unknown")),
    }
    differences
}

fn compare_version() -> Vec<String> {
    let ours = cuda_driver_version();
    let theirs = nvidia_smi::cuda_version();
    let shown = ours.map_or_else(|| "unknown".to_owned(), |version| version.to_string());
    println!("CUDA {shown}");
    match theirs {
        theirs if theirs == ours => Vec::new(),
        Some(theirs) => vec![format!("nvidia-smi says CUDA {theirs}")],
        None => vec!["nvidia-smi says no version of CUDA".to_owned()],
    }
}
