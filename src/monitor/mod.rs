//! Samples of the machine's load for the worker's status reports (D-173 to D-197), and figures for monitoring systems.

mod average;
mod exposition;
mod gpu;
mod kernel;
mod machine;

pub use average::Averages;
pub use exposition::{Exposition, MetricKind};
pub use gpu::{
    CudaVersion, GpuAverages, GpuFractions, GpuList, GpuMemory, GpuReading, GpuTotals, GpuUse,
    GpuWatch, VisibleGpus, compiler_release, cuda_driver_version, cudnn_version,
    driver_table_version, gpu_list, gpu_uses, is_amd_below, is_amd_host, is_among, watch_gpus,
};
pub use kernel::{GpuError, KernelNews, KernelWatch};
pub use machine::{MachineSampler, Sample, Traffic};
