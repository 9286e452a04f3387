//! Which GPUs somebody has: agents by their ids, programs by what the driver says (D-269).

use super::{Gpu, parse};

/// The GPUs that are not to be given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Busy {
    /// Somebody has them all.
    all: bool,
    gpus: Vec<Gpu>,
}

/// A GPU of the machine with the names that the driver gives it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KnownGpu {
    /// Its place.
    pub gpu: Gpu,
    /// `GPU-…`, and `MIG-…` for a part.
    pub uuids: Vec<String>,
}

impl Busy {
    /// True where the GPU, or a part of it, is somebody's.
    pub(super) fn has(&self, gpu: Gpu) -> bool {
        self.all || self.gpus.iter().any(|busy| busy.overlaps(gpu))
    }

    /// Somebody has it.
    pub(super) fn add(&mut self, gpu: Gpu) {
        self.gpus.push(gpu);
    }

    /// All that the other one has.
    pub(super) fn add_all(&mut self, other: &Self) {
        self.all |= other.all;
        self.gpus.extend_from_slice(&other.gpus);
    }

    /// The GPUs that are in the id of a worker; a pool (`dgpu0-7`) is nobody's yet.
    pub(super) fn add_worker(&mut self, id: &str, known: &[KnownGpu]) {
        let last = id.rsplit_once(':').map(|(_, last)| last);
        let Some(list) = last.and_then(|last| last.strip_prefix("gpu")) else {
            return;
        };
        if list == "all" {
            self.all = true;
            return;
        }
        for item in list.split(',') {
            if let Some(gpus) = resolve(item, known) {
                self.gpus.extend(gpus);
            } else {
                tracing::debug!(id, item, "names no GPU of this machine");
            }
        }
    }
}

fn resolve(item: &str, known: &[KnownGpu]) -> Option<Vec<Gpu>> {
    if let Some(gpus) = parse::items(item) {
        return Some(gpus);
    }
    // A share, `0.5a`: the whole GPU is left to those who share it.
    if let Some((index, share)) = item.split_once('.')
        && share.starts_with(|first: char| first.is_ascii_digit())
        && let Ok(index) = index.parse()
    {
        return Some(vec![Gpu::whole(index)]);
    }
    let is_uuid = item.starts_with("GPU-") || item.starts_with("MIG-");
    let named = known
        .iter()
        .filter(|gpu| is_uuid && gpu.uuids.iter().any(|uuid| uuid.starts_with(item)));
    let named: Vec<Gpu> = named.map(|known| known.gpu).collect();
    (!named.is_empty()).then_some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of 0 to 3, 4.0 and 4.1 that a worker of this id has.
    fn held(id: &str) -> String {
        let mut all: Vec<Gpu> = (0..4).map(Gpu::whole).collect();
        all.extend([0, 1].map(|part| Gpu {
            index: 4,
            part: Some(part),
        }));
        let known: Vec<KnownGpu> = all
            .iter()
            .map(|gpu| KnownGpu {
                gpu: *gpu,
                uuids: vec![format!("GPU-{}aaa-bbb", gpu.index), format!("MIG-{gpu}")],
            })
            .collect();
        let mut busy = Busy::default();
        busy.add_worker(id, &known);
        all.retain(|gpu| busy.has(*gpu));
        super::super::list(&all)
    }

    /// D-120, D-269
    #[test]
    fn an_id_names_the_gpus_that_its_worker_has() {
        for (id, expected) in [
            ("host:gpu3", "3"),
            ("host:gpu0,1", "0,1"),
            ("rack:box:gpu2", "2"),
            ("host:lease:gpu1", "1"),
            ("host:gpu1-2", "1,2"),
            ("host:gpuall", "0,1,2,3,4.0,4.1"),
            ("host:gpu4.1", "4.1"),
            ("host:gpu4", "4.0,4.1"),
            ("host:gpu0.5a", "0"),
            ("host:gpu0.25b,3", "0,3"),
            ("host:gpuGPU-2aaa-bbb", "2"),
            ("host:gpuMIG-4.1", "4.1"),
            ("host:gpuGPU-9", ""),
            ("host:dgpu0-3", ""),
            ("host:dgpuall", ""),
            ("host:0", ""),
            ("host:cpu:0", ""),
            ("host:gpubox", ""),
            ("gpu0", ""),
        ] {
            assert_eq!(held(id), expected, "{id}");
        }
    }
}
