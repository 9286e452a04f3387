//! Where NVIDIA's GPUs are on the bus, also those that no longer answer: as the driver shows them in `/proc`.

use std::fs;

use super::{GpuReading, VisibleGpus};
use crate::monitor::kernel::place;

/// True where the GPU at this address (`0000:3b:00`, as the kernel's log has it) is one of these.
pub fn is_among(address: &str, visible: &VisibleGpus) -> bool {
    let entries = fs::read_dir(place("/proc/driver/nvidia/gpus", "gpus"));
    let entries = entries.into_iter().flatten().flatten();
    let mut addresses: Vec<_> = entries.map(|entry| entry.path()).collect();
    // The order of the bus is that of the indexes.
    addresses.sort();
    let gpus = addresses.iter().zip(0..).map(|(folder, index)| {
        let information = fs::read_to_string(folder.join("information")).unwrap_or_default();
        let mut lines = information.lines();
        let uuid = lines.find_map(|line| line.strip_prefix("GPU UUID:"));
        GpuReading {
            index,
            part: None,
            uuid: uuid.unwrap_or_default().trim().to_owned(),
            part_uuid: None,
            name: folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            temperature: None,
            usage: None,
            memory: None,
        }
    });
    match visible {
        VisibleGpus::None => false,
        VisibleGpus::All => true,
        VisibleGpus::Listed(items) => {
            // A part of a GPU fails with it.
            let whole = items.iter().map(|item| match item.split_once('.') {
                Some((index, _)) => index.to_owned(),
                None => item.clone(),
            });
            let whole = VisibleGpus::Listed(whole.collect());
            let kept = whole.keep(gpus.collect());
            kept.iter().any(|gpu| gpu.name.starts_with(address))
        }
    }
}
