//! Why a program has failed, where the machine knows more than its exit code.
//!
//! The machine is asked when a program has failed; before, nothing is done but to note where the kernel's log ends.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::monitor::{GpuError, KernelNews, KernelWatch, VisibleGpus, is_among};
use crate::storage::is_full;

/// SIGKILL, as the code of a program and as that of a shell whose program it was.
const KILLED: [i32; 2] = [-9, 137];
/// A program that Ctrl-C has ended has not failed.
const NO_FAILURE: [i32; 2] = [0, -2];
/// What the driver says of each program that is killed while it computes.
const CLEANED_UP: u32 = 45;
/// Errors that the program itself causes, as a rule: exception in a kernel, page fault, reset of its channel.
const OF_PROGRAMS: [u32; 3] = [13, 31, 43];
/// How long the machine may take to say.
const PATIENCE: Duration = Duration::from_secs(5);
/// More of the driver's words is of no use in a status.
const LONGEST: usize = 120;

/// What is known from a program's start on.
#[derive(Debug)]
pub(super) struct Diagnosis {
    kernel: KernelWatch,
    gpus: VisibleGpus,
}

/// How a program has ended.
#[derive(Debug)]
pub(super) struct Death {
    /// Its exit code; negative for a signal.
    pub(super) code: i32,
    /// Its process; none for a container.
    pub(super) process: Option<i32>,
    /// Where it may have written.
    pub(super) folders: Vec<PathBuf>,
    /// Where there was no room for its last words, whether there is some by now or not.
    pub(super) full: Option<PathBuf>,
}

/// Why a program has failed, if not by its own code; its text says what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// The kernel has killed it because the memory was used up.
    OutOfMemory,
    /// A GPU that it may use has failed.
    Gpu(GpuError),
    /// There is no room where it writes.
    DiskFull(PathBuf),
}

impl Diagnosis {
    /// For a program that is about to start and may use these GPUs.
    pub(super) fn begin(gpus: VisibleGpus) -> Self {
        Self {
            kernel: KernelWatch::begin(),
            gpus,
        }
    }

    /// The same; a file system that does not answer is not waited for.
    pub(super) async fn cause_in_time(self, death: Death) -> Option<Cause> {
        let (tell, told) = tokio::sync::oneshot::channel();
        // One of the runtime's own would be waited for at the end.
        std::thread::spawn(move || tell.send(self.cause(&death)));
        tokio::time::timeout(PATIENCE, told).await.ok()?.ok()?
    }

    /// Why it has failed; none where it has not, or where it was its own code as far as anybody knows.
    pub(super) fn cause(&self, death: &Death) -> Option<Cause> {
        if NO_FAILURE.contains(&death.code) {
            return None;
        }
        let is_its_gpu = |error: &GpuError| is_among(&error.address, &self.gpus);
        cause(death, self.kernel.news(), is_its_gpu).or_else(|| {
            let full = death.folders.iter().find(|folder| is_full(folder));
            full.or(death.full.as_ref()).cloned().map(Cause::DiskFull)
        })
    }
}

fn cause(death: &Death, news: KernelNews, is_its_gpu: impl Fn(&GpuError) -> bool) -> Option<Cause> {
    // Of a container its engine knows.
    let is_out_of_memory = death.process.is_some_and(|process| {
        // A shell says that its program was killed, and nobody knows the number of that.
        let is_unnamed = death.code > 0 && news.kills.is_none();
        let is_named = |pid: &i32| is_unnamed || *pid == process;
        news.kills > Some(0) || news.killed.iter().any(is_named)
    });
    if KILLED.contains(&death.code) && is_out_of_memory {
        return Some(Cause::OutOfMemory);
    }
    let is_its_own = |error: &GpuError| error.process.is_some() && error.process == death.process;
    // Another program's mistake is none of this one.
    let is_of_another =
        |error: &GpuError| error.process.is_some() && OF_PROGRAMS.contains(&error.xid);
    let mut errors = news.gpu_errors.into_iter();
    let error = errors.find(|error| {
        error.xid != CLEANED_UP
            && (is_its_own(error) || (is_its_gpu(error) && !is_of_another(error)))
    });
    error.map(Cause::Gpu)
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => f.write_str(
                "out of memory: the kernel has killed the program (hint: let it take less at once, such as a smaller batch, \
                 or give machine or cgroup more memory)",
            ),
            Self::Gpu(error) => {
                let text: String = error.text.chars().take(LONGEST).collect();
                let hint = if OF_PROGRAMS.contains(&error.xid) {
                    "mostly the program's own fault: look for the kernel with `CUDA_LAUNCH_BLOCKING=1`"
                } else {
                    "look at the GPU with `nvidia-smi -q` before it gets another task"
                };
                let (xid, address) = (error.xid, &error.address);
                write!(f, "GPU error: Xid {xid} of GPU {address}")?;
                if !text.is_empty() {
                    write!(f, ", {text}")?;
                }
                write!(f, " (hint: {hint})")
            }
            Self::DiskFull(folder) => write!(
                f,
                "disk full: no room in `{}` (hint: free space there)",
                folder.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(code: i32) -> Death {
        Death {
            code,
            process: Some(7),
            folders: Vec::new(),
            full: None,
        }
    }

    fn error(xid: u32, process: Option<i32>) -> GpuError {
        GpuError {
            address: "0000:3b:00".to_owned(),
            xid,
            process,
            text: "GPU has fallen off the bus".to_owned(),
        }
    }

    #[test]
    fn a_program_that_was_killed_ran_out_of_memory_where_the_kernel_says_so() {
        let killed = |pid| KernelNews {
            killed: vec![pid],
            ..KernelNews::default()
        };
        let counted = KernelNews {
            kills: Some(1),
            ..KernelNews::default()
        };
        let of_others = KernelNews {
            kills: Some(0),
            ..killed(8)
        };
        let cases = [
            (-9, counted.clone(), true),
            (137, counted.clone(), true),
            (-9, killed(7), true),
            // Somebody else.
            (-9, killed(8), false),
            (137, killed(8), true),
            (137, of_others, false),
            // It has failed by itself, whatever else has been killed.
            (1, counted.clone(), false),
            (1, killed(7), false),
            (-11, counted, false),
            (-9, KernelNews::default(), false),
        ];
        for (code, news, is_out_of_memory) in cases {
            let text = format!("{code} {news:?}");
            let expected = is_out_of_memory.then_some(Cause::OutOfMemory);
            assert_eq!(cause(&death(code), news, |_| false), expected, "{text}");
        }
    }

    #[test]
    fn an_error_of_a_gpu_counts_for_those_who_have_it() {
        let cases = [
            (error(79, None), true, true),
            (error(79, None), false, false),
            (error(79, Some(7)), false, true),
            (error(79, Some(8)), false, false),
            (error(31, Some(8)), true, false),
            (error(31, Some(7)), true, true),
            // Who is killed while he computes leaves that behind.
            (error(45, Some(7)), true, false),
        ];
        for (error, is_its_gpu, counts) in cases {
            let news = KernelNews {
                gpu_errors: vec![error.clone()],
                ..KernelNews::default()
            };
            let found = cause(&death(1), news, |_| is_its_gpu);
            assert_eq!(found, counts.then_some(Cause::Gpu(error)));
        }
        let own = Cause::Gpu(error(31, None)).to_string();
        assert!(own.contains("CUDA_LAUNCH_BLOCKING"), "{own}");
    }
}
