//! No GPUs of NVIDIA: a static program cannot load the driver's library, and in a container it reads none.

use std::convert::Infallible;

use super::{CudaVersion, GpuReading, GpuUse};

/// Not known here (D-322).
pub fn cuda_driver_version() -> Option<CudaVersion> {
    None
}

/// None.
pub(super) fn readings() -> Option<Result<Vec<GpuReading>, Infallible>> {
    None
}

/// None.
pub(super) fn uses() -> Option<Result<Vec<GpuUse>, Infallible>> {
    None
}
