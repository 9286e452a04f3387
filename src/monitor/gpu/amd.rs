//! GPUs of AMD, as the kernel shows them.

use std::fs;
use std::path::{Path, PathBuf};

use super::{GpuMemory, GpuReading};

/// AMD's number among the makers of devices.
const VENDOR: &str = "0x1002";

/// True where the machine has GPUs of AMD and none of NVIDIA (D-316).
pub fn is_amd_host() -> bool {
    is_amd_below(Path::new("/"))
}

/// The same for the machine whose files are below `root`.
pub fn is_amd_below(root: &Path) -> bool {
    let has = |path: &str| root.join(path).exists();
    has("dev/kfd") && !has("dev/nvidia0") && !has("proc/driver/nvidia")
}

/// All GPUs now, in the order of their render nodes, which is that of the runtime's indexes (D-316, D-319).
pub(super) fn readings() -> Vec<GpuReading> {
    readings_below(Path::new("/"))
}

fn readings_below(root: &Path) -> Vec<GpuReading> {
    let nodes = fs::read_dir(root.join("sys/class/drm"));
    let mut devices: Vec<(u32, PathBuf)> = nodes
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|node| {
            let number = node.file_name().to_str()?.strip_prefix("renderD")?.parse();
            Some((number.ok()?, node.path().join("device")))
        })
        .filter(|(_, device)| text(device, "vendor").as_deref() == Some(VENDOR))
        .collect();
    devices.sort_unstable();
    (0..)
        .zip(devices)
        .map(|(index, (_, device))| reading(index, &device))
        .collect()
}

fn reading(index: u32, device: &Path) -> GpuReading {
    let number = |name| text(device, name).and_then(|text| text.parse::<u64>().ok());
    let used = number("mem_info_vram_used");
    GpuReading {
        index,
        part: None,
        uuid: text(device, "unique_id")
            .map(|id| format!("GPU-{id}"))
            .unwrap_or_default(),
        part_uuid: None,
        name: text(device, "product_name").unwrap_or_default(),
        temperature: temperature(device),
        usage: text(device, "gpu_busy_percent").and_then(|percent| percent.parse().ok()),
        memory: number("mem_info_vram_total")
            .zip(used)
            .map(|(total, used)| GpuMemory::of_bytes(total, total.saturating_sub(used))),
    }
}

/// The first sensor, whose file counts thousandths of a degree.
fn temperature(device: &Path) -> Option<f64> {
    let sensors = fs::read_dir(device.join("hwmon")).ok()?.flatten();
    let mut temperatures = sensors.filter_map(|sensor| {
        let thousandths: f64 = text(&sensor.path(), "temp1_input")?.parse().ok()?;
        Some(thousandths / 1000.0)
    });
    temperatures.next()
}

fn text(folder: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(folder.join(name)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-316
    #[test]
    fn a_host_of_amd_has_its_driver_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert!(!is_amd_below(root));
        std::fs::create_dir_all(root.join("dev")).unwrap();
        std::fs::write(root.join("dev/kfd"), "").unwrap();
        assert!(is_amd_below(root));
        std::fs::create_dir_all(root.join("proc/driver/nvidia")).unwrap();
        assert!(!is_amd_below(root));
        std::fs::remove_dir_all(root.join("proc")).unwrap();
        std::fs::write(root.join("dev/nvidia0"), "").unwrap();
        assert!(!is_amd_below(root));
    }

    /// D-319
    #[test]
    fn the_kernels_figures_are_read_in_the_order_of_the_nodes() {
        let folder = tempfile::tempdir().unwrap();
        for (node, vendor, used) in [
            ("renderD129", VENDOR, "1073741824"),
            ("renderD128", VENDOR, "10485760"),
            ("renderD130", "0x8086", "1"),
            ("card0", VENDOR, "1"),
        ] {
            let device = folder
                .path()
                .join("sys/class/drm")
                .join(node)
                .join("device");
            fs::create_dir_all(device.join("hwmon/hwmon3")).unwrap();
            for (name, text) in [
                ("vendor", vendor),
                ("mem_info_vram_total", "17163091968"),
                ("mem_info_vram_used", used),
                ("hwmon/hwmon3/temp1_input", "45500"),
                ("unique_id", "aabb"),
            ] {
                fs::write(device.join(name), format!("{text}\n")).unwrap();
            }
        }
        let busy = folder
            .path()
            .join("sys/class/drm/renderD129/device/gpu_busy_percent");
        fs::write(busy, "7\n").unwrap();
        let readings = readings_below(folder.path());
        let figures: Vec<_> = readings
            .iter()
            .map(|reading| (reading.index, reading.usage, reading.memory.unwrap().used))
            .collect();
        assert_eq!(figures, [(0, None, 10), (1, Some(7.0), 1024)]);
        assert_eq!(readings[0].temperature, Some(45.5));
        assert_eq!(readings[0].uuid, "GPU-aabb");
    }
}
