//! The machine's GPUs: which of them a worker reports, and what they do (D 10).

mod amd;
mod average;
mod bus;
mod cuda;
mod fractions;
#[cfg(feature = "nvml")]
mod nvml;
#[cfg(not(feature = "nvml"))]
#[path = "without_nvml.rs"]
mod nvml;
mod occupancy;
mod visible;
mod watch;

pub use amd::{is_amd_below, is_amd_host};
pub use average::{GpuAverages, GpuTotals};
pub use bus::is_among;
pub use cuda::{CudaVersion, compiler_release, cudnn_version, driver_table_version};
pub use fractions::GpuFractions;
pub use nvml::cuda_driver_version;
pub use occupancy::{GpuList, GpuUse, gpu_list, gpu_uses};
pub use visible::VisibleGpus;
pub use watch::{GpuWatch, watch_gpus};

/// What one GPU, or one part of a GPU that is shared out (MIG), does at one moment (D-318).
#[derive(Clone, Debug, PartialEq)]
pub struct GpuReading {
    /// Index in the order of the bus.
    pub index: u32,
    /// Index of the part in its GPU; none for a whole GPU.
    pub part: Option<u32>,
    /// `GPU-…`; empty where the driver does not tell.
    pub uuid: String,
    /// `MIG-…`, for a part.
    pub part_uuid: Option<String>,
    /// Name of the product.
    pub name: String,
    /// °C; none where there is no sensor.
    pub temperature: Option<f64>,
    /// Percent; none where the driver does not tell, as for parts.
    pub usage: Option<f64>,
    /// None where the driver does not tell.
    pub memory: Option<GpuMemory>,
}

/// A GPU's memory in whole MiB (D-195).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GpuMemory {
    /// Taken by programs and by the driver itself.
    pub used: u64,
    /// The rest.
    pub free: u64,
}

impl GpuMemory {
    /// Of amounts in bytes.
    fn of_bytes(total: u64, free: u64) -> Self {
        const MEBIBYTE: u64 = 1 << 20;
        let used = total.saturating_sub(free) / MEBIBYTE;
        Self {
            used,
            free: (total / MEBIBYTE).saturating_sub(used),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-195
    #[test]
    fn memory_is_in_whole_mebibytes() {
        let memory = GpuMemory::of_bytes(80 << 30, (80 << 30) - (3 << 20) - 5);
        assert_eq!((memory.used, memory.free), (3, 81917));
        let memory = GpuMemory::of_bytes(0, 1);
        assert_eq!((memory.used, memory.free), (0, 0));
    }
}
