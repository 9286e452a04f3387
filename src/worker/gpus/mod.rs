//! Dynamic GPUs: a pool of GPUs from which each task gets as many as its queue says (D-264 to D-275).
//!
//! Who has which GPU is in the instance files of the machine, which are shared with the official agent: a task's
//! worker is called `host:gpu0,1`. Before that worker is there, and until its run is settled, the pool's own worker
//! holds the GPUs as `host:lease:gpu0,1`.

mod allocation;
mod busy;
mod departed;
mod gpu;
mod lease;
mod parse;
mod pool;
mod queues;

use busy::Busy;
pub use busy::KnownGpu;
pub use gpu::Gpu;
use gpu::list;
use lease::base_of;
pub use lease::{Lease, Shortage, gpus_are_free, speaks_for};
pub use parse::{Demand, InvalidGpus, contradiction, demands, pool, without_ranges};
pub use pool::{GpuPool, PoolOptions};
pub use queues::GpuQueues;
