//! GPUs of NVIDIA, through the driver's own library, which is loaded when it is first needed and kept (D-318).

use std::ffi::OsStr;
use std::sync::OnceLock;

use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::{CudaVersion, GpuMemory, GpuReading, GpuUse};

/// Where the library is: by the loader's rules, else where Windows puts it for its Linux.
const PATHS: [&str; 2] = ["libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"];

/// Opening it takes tens of milliseconds and may wake a GPU.
static LIBRARY: OnceLock<Option<Nvml>> = OnceLock::new();

/// The library; none on a machine without a driver of NVIDIA, which is nothing to complain about (D-200).
fn library() -> Option<&'static Nvml> {
    let library = LIBRARY.get_or_init(|| PATHS.into_iter().find_map(opened));
    library.as_ref()
}

fn opened(path: &str) -> Option<Nvml> {
    match Nvml::builder().lib_path(OsStr::new(path)).init() {
        Ok(library) => Some(library),
        Err(error @ (NvmlError::LibloadingError(_) | NvmlError::DriverNotLoaded)) => {
            tracing::debug!(%error, path, "no GPU of NVIDIA");
            None
        }
        Err(error) => {
            tracing::warn!("Could not fetch GPU stats: {error}");
            None
        }
    }
}

/// The newest version of CUDA that the driver works with (D-322); may wait for the driver.
pub fn cuda_driver_version() -> Option<CudaVersion> {
    let number = library()?.sys_cuda_driver_version().ok()?;
    CudaVersion::of_driver(u32::try_from(number).ok()?)
}

/// All GPUs now, in the order of their indexes; none where there is no driver.
pub(super) fn readings() -> Option<Result<Vec<GpuReading>, NvmlError>> {
    Some(read(library()?))
}

/// Who uses which GPU now, parts apart; none where there is no driver.
pub(super) fn uses() -> Option<Result<Vec<GpuUse>, NvmlError>> {
    Some(each_device(library()?, uses_of_device))
}

fn read(library: &Nvml) -> Result<Vec<GpuReading>, NvmlError> {
    each_device(library, read_device)
}

/// A GPU that cannot be read is left out; fails where none can.
fn each_device<T>(
    library: &Nvml,
    of_device: impl Fn(&Device<'_>, u32) -> Vec<T>,
) -> Result<Vec<T>, NvmlError> {
    let mut all = Vec::new();
    let mut failure = None;
    for index in 0..library.device_count()? {
        match library.device_by_index(index) {
            Ok(device) => all.extend(of_device(&device, index)),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if all.is_empty() => Err(error),
        _ => Ok(all),
    }
}

fn read_device(device: &Device<'_>, index: u32) -> Vec<GpuReading> {
    let whole = GpuReading {
        index,
        part: None,
        uuid: device.uuid().unwrap_or_default(),
        part_uuid: None,
        name: device.name().unwrap_or_default(),
        temperature: device
            .temperature(TemperatureSensor::Gpu)
            .ok()
            .map(f64::from),
        usage: usage(device),
        memory: memory(device),
    };
    let parts: Vec<GpuReading> = parts(device)
        .into_iter()
        .map(|(part, handle)| GpuReading {
            part: Some(part),
            part_uuid: handle.uuid().ok(),
            usage: usage(&handle),
            memory: memory(&handle),
            ..whole.clone()
        })
        .collect();
    if parts.is_empty() { vec![whole] } else { parts }
}

fn uses_of_device(device: &Device<'_>, index: u32) -> Vec<GpuUse> {
    let use_of = |part: Option<u32>, handle: &Device<'_>| GpuUse {
        index,
        part,
        load: usage(handle),
        processes: processes(handle),
    };
    let parts = parts(device);
    if parts.is_empty() {
        return vec![use_of(None, device)];
    }
    let parts = parts.iter();
    parts
        .map(|(part, handle)| use_of(Some(*part), handle))
        .collect()
}

/// What a GPU is shared out into, with the indexes.
fn parts<'a>(device: &Device<'a>) -> Vec<(u32, Device<'a>)> {
    // A container that was given a part alone may not ask whether there are parts.
    let may_have_parts = match device.mig_mode() {
        Ok(mode) => mode.current == 1,
        Err(error) => matches!(error, NvmlError::NoPermission),
    };
    let most = if may_have_parts {
        device.mig_device_count().unwrap_or(MOST_PARTS)
    } else {
        0
    };
    (0..most)
        .filter_map(|part| Some((part, device.mig_device_by_index(part).ok()?)))
        .collect()
}

/// As many parts has a GPU that does not say how many it may have.
const MOST_PARTS: u32 = 7;

fn usage(device: &Device<'_>) -> Option<f64> {
    Some(f64::from(device.utilization_rates().ok()?.gpu))
}

/// Programs that compute; none where the driver does not tell, as those before 510.
fn processes(device: &Device<'_>) -> Option<Vec<u32>> {
    let processes = device.running_compute_processes().ok()?;
    Some(processes.into_iter().map(|process| process.pid).collect())
}

/// What the driver keeps for itself counts as used, as it does for the official agent. Unknown to drivers before 510.
fn memory(device: &Device<'_>) -> Option<GpuMemory> {
    let memory = device.memory_info().ok()?;
    Some(GpuMemory::of_bytes(memory.total, memory.free))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stand-in of tests/data/nvml/, built for these values; no real driver is asked.
    fn stand_in(definitions: &[&str]) -> Result<Nvml, NvmlError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libnvidia-ml.so.1");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/nvml/stand_in.c");
        let status = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&path)
            .args(
                definitions
                    .iter()
                    .map(|definition| format!("-D{definition}")),
            )
            .arg(source)
            .status()
            .expect("a C compiler");
        assert!(status.success());
        Nvml::builder().lib_path(path.as_os_str()).init()
    }

    /// D-318
    #[test]
    fn every_gpu_is_read() {
        let library = stand_in(&["GPUS=2"]).expect("opened");
        let readings = read(&library).expect("read");
        assert_eq!(readings.len(), 2);
        let expected = GpuReading {
            index: 1,
            part: None,
            uuid: "GPU-00000001-stand-in".to_owned(),
            part_uuid: None,
            name: "Stand-in 1".to_owned(),
            temperature: Some(41.0),
            usage: Some(31.0),
            memory: Some(GpuMemory {
                used: 2000,
                free: 14000,
            }),
        };
        assert_eq!(readings[1], expected);
        assert_eq!(library.sys_cuda_driver_version().expect("told"), 12_040);
    }

    /// D-318: memory and UUID of its own, the rest is the GPU's; nobody tells the load of a part.
    #[test]
    fn each_part_of_a_gpu_is_an_entry() {
        for denied in ["", "MIG_MODE_DENIED"] {
            let definitions = ["GPUS=2", "MIG_GPU=1", denied];
            let library = stand_in(&definitions[..2 + usize::from(!denied.is_empty())]);
            let readings = read(&library.expect("opened")).expect("read");
            let parts: Vec<_> = readings
                .iter()
                .map(|reading| (reading.index, reading.part, reading.usage))
                .collect();
            // The place of part 1 is empty.
            let expected = [
                (0, None, Some(30.0)),
                (1, Some(0), None),
                (1, Some(2), None),
            ];
            assert_eq!(parts, expected);
            let last = &readings[2];
            assert_eq!(last.part_uuid.as_deref(), Some("MIG-00000001-2-stand-in"));
            assert_eq!(last.temperature, Some(41.0));
            assert_eq!(last.name, "Stand-in 1");
            let memory = last.memory.expect("told");
            assert_eq!((memory.used, memory.free), (302, 4698));
        }
    }

    /// D-269
    #[test]
    fn who_uses_a_gpu_is_told() {
        let uses = |definitions: &[&str]| {
            let library = stand_in(definitions).expect("opened");
            each_device(&library, uses_of_device).expect("read")
        };
        let used = |index, part, load, processes: &[u32]| GpuUse {
            index,
            part,
            load,
            processes: Some(processes.to_vec()),
        };
        assert_eq!(
            uses(&["GPUS=2", "PROCESSES={1,41},{1,42}"]),
            [
                used(0, None, Some(30.0), &[]),
                used(1, None, Some(31.0), &[41, 42])
            ]
        );
        assert_eq!(
            uses(&["GPUS=1", "MIG_GPU=0", "LOAD=5"]),
            [used(0, Some(0), None, &[]), used(0, Some(2), None, &[])]
        );
        assert_eq!(uses(&["GPUS=1", "LOAD=5"])[0].load, Some(5.0));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in-use");
        let definition = format!("USE_FILE=\"{}\"", path.display());
        let library = stand_in(&["GPUS=2", &definition]).expect("opened");
        let now = || each_device(&library, uses_of_device).expect("read");
        assert_eq!(now()[0], used(0, None, Some(30.0), &[]));
        std::fs::write(&path, "0 77 99\n").unwrap();
        assert_eq!(now()[0], used(0, None, Some(77.0), &[99]));
        assert_eq!(now()[1], used(1, None, Some(31.0), &[]));
    }

    /// D-200
    #[test]
    fn a_gpu_that_is_lost_hides_no_other() {
        let library = stand_in(&["GPUS=2", "LOST_GPU=0"]).expect("opened");
        let readings = read(&library).expect("read");
        assert_eq!(readings.len(), 1);
        assert_eq!(readings[0].index, 1);
        let library = stand_in(&["GPUS=1", "LOST_GPU=0"]).expect("opened");
        assert!(matches!(read(&library), Err(NvmlError::GpuLost)));
    }

    /// D-200, D-318
    #[test]
    fn no_library_means_no_gpu() {
        assert!(opened("/no/such/libnvidia-ml.so.1").is_none());
        assert!(matches!(
            stand_in(&["GPUS=1", "DRIVER_NOT_LOADED"]),
            Err(NvmlError::DriverNotLoaded)
        ));
    }
}
