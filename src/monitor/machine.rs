//! Reads the machine's counters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::statvfs::statvfs;
use sysinfo::{
    Components, CpuRefreshKind, DiskRefreshKind, Disks, MemoryRefreshKind, Networks, System,
};

const MEBIBYTE: f64 = 1_048_576.0;

/// What the machine has done since the sample before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Since the sample before.
    pub seconds: f64,
    /// Percent, over that time.
    pub cpu_usage: f64,
    /// MiB.
    pub memory_free: f64,
    /// MiB.
    pub memory_used: f64,
}

/// What is in many files: disks, interfaces and sensors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Since it was read before.
    pub seconds: f64,
    /// °C, where there are sensors.
    pub cpu_temperature: Option<f64>,
    /// Percent.
    pub disk_free: f64,
    /// MiB per second.
    pub disk_read: f64,
    /// MiB per second.
    pub disk_write: f64,
    /// MiB per second.
    pub network_rx: f64,
    /// MiB per second.
    pub network_tx: f64,
}

/// Keeps the counters of the sample before.
#[derive(Debug)]
pub struct MachineSampler {
    system: System,
    networks: Networks,
    disks: Disks,
    components: Components,
    disk_path: PathBuf,
    sampled: Instant,
    traffic_read: Instant,
}

impl MachineSampler {
    /// Reads all counters once, so that the first sample is a difference (D-176).
    ///
    /// Fails on an operating system whose counters are not known.
    pub fn new(disk_path: &Path) -> Result<Self, sysinfo::Error> {
        let mut system = System::new()?;
        system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        Ok(Self {
            system,
            networks: Networks::new_with_refreshed_list()?,
            disks: Disks::new_with_refreshed_list_specifics(
                DiskRefreshKind::nothing().with_io_usage(),
            )?,
            components: Components::new_with_refreshed_list()?,
            disk_path: disk_path.to_owned(),
            sampled: Instant::now(),
            traffic_read: Instant::now(),
        })
    }

    /// Processors and memory now.
    pub fn sample(&mut self) -> Sample {
        let seconds = seconds_since(&mut self.sampled);
        self.system
            .refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        self.system
            .refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let available = self.system.available_memory();
        Sample {
            seconds,
            cpu_usage: f64::from(self.system.global_cpu_usage()),
            memory_free: mebibytes(available),
            memory_used: mebibytes(self.system.total_memory().saturating_sub(available)),
        }
    }

    /// Disks, interfaces and sensors now; the rates are those since they were read last.
    pub fn traffic(&mut self) -> Traffic {
        let seconds = seconds_since(&mut self.traffic_read);
        self.networks.refresh(false);
        self.disks
            .refresh_specifics(false, DiskRefreshKind::nothing().with_io_usage());
        self.components.refresh(false);
        let rate = |bytes: u64| mebibytes(bytes) / seconds;
        let (read, written) = self.disk_bytes();
        let (received, transmitted) =
            self.networks
                .values()
                .fold((0, 0), |(received, transmitted), network| {
                    (
                        received + network.received(),
                        transmitted + network.transmitted(),
                    )
                });
        Traffic {
            seconds,
            cpu_temperature: self.temperature(),
            disk_free: free_share(&self.disk_path),
            disk_read: rate(read),
            disk_write: rate(written),
            network_rx: rate(received),
            network_tx: rate(transmitted),
        }
    }

    /// A disk that is mounted twice counts once.
    fn disk_bytes(&self) -> (u64, u64) {
        let disks: BTreeMap<_, _> = self
            .disks
            .iter()
            .map(|disk| (disk.name(), disk.usage()))
            .collect();
        disks.values().fold((0, 0), |(read, written), usage| {
            (read + usage.read_bytes, written + usage.written_bytes)
        })
    }

    /// The hottest core (D-187).
    fn temperature(&self) -> Option<f64> {
        let cores = self
            .components
            .iter()
            .filter(|component| component.label().starts_with("coretemp"));
        cores
            .filter_map(sysinfo::Component::temperature)
            .map(f64::from)
            .reduce(f64::max)
    }
}

/// The time since then, which is now from here on; never nothing.
fn seconds_since(moment: &mut Instant) -> f64 {
    let before = std::mem::replace(moment, Instant::now());
    (*moment - before).as_secs_f64().max(f64::EPSILON)
}

#[expect(clippy::cast_precision_loss, reason = "three decimals are reported")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MEBIBYTE
}

/// 100 − used / (used + available to the user) · 100, to one decimal (D-190).
#[expect(clippy::cast_precision_loss, reason = "one decimal is reported")]
fn free_share(path: &Path) -> f64 {
    let Ok(disk) = statvfs(path) else { return 0.0 };
    let used = disk.blocks().saturating_sub(disk.blocks_free()) as f64;
    let available = disk.blocks_available() as f64;
    if used + available == 0.0 {
        return 0.0;
    }
    ((100.0 - used / (used + available) * 100.0) * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-191: what is written to a disk is seen, as a rate.
    #[test]
    fn what_is_written_to_a_disk_counts() {
        use std::io::Write;

        // A temporary folder may be in memory; what is built is on a disk.
        let program = std::env::current_exe().expect("a path");
        let target = program.parent().expect("a folder");
        let mut sampler = MachineSampler::new(Path::new("/")).expect("a known system");
        let begun = Instant::now();
        let is_seen = loop {
            let mut file = tempfile::tempfile_in(target).expect("a file");
            file.write_all(&vec![1; 4 << 20]).expect("written");
            file.sync_all().expect("on the disk");
            let written = sampler.traffic().disk_write;
            if written > 0.0 || begun.elapsed().as_secs() > 60 {
                break written > 0.0;
            }
        };
        assert!(
            is_seen,
            "no disk of this machine tells what is written to it"
        );
    }

    /// D-176, D-192: the first sample is a difference, of what was done since the counters were first read; loopback counts.
    #[test]
    fn the_first_sample_tells_what_was_done_since_the_beginning() {
        use std::io::{Read, Write};

        const BYTES: usize = 16 << 20;
        let mut sampler = MachineSampler::new(Path::new("/")).expect("a known system");
        let begun = Instant::now();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let sending = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(address).expect("connected");
            stream.write_all(&vec![1; BYTES]).expect("sent");
        });
        let (mut stream, _) = listener.accept().expect("accepted");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("received");
        sending.join().expect("sent");
        // Work that the processor cannot have missed, long enough for its counters.
        let mut value = 1_u64;
        while begun.elapsed() < std::time::Duration::from_millis(400) {
            value = std::hint::black_box(value.wrapping_mul(3));
        }
        let (sample, traffic) = (sampler.sample(), sampler.traffic());
        let seconds = begun.elapsed().as_secs_f64();
        let least = mebibytes(BYTES as u64) / (seconds + 0.2);
        assert!(traffic.network_tx >= least, "{traffic:?}");
        assert!(traffic.network_rx >= least, "{traffic:?}");
        assert!(sample.cpu_usage > 1.0, "{sample:?}");
    }

    /// D-186, D-188, D-189, D-190
    #[test]
    fn a_sample_of_this_machine_is_plausible() {
        let mut sampler = MachineSampler::new(Path::new("/")).expect("a known system");
        let (sample, traffic) = (sampler.sample(), sampler.traffic());
        assert!(
            sample.memory_used > 1.0 && sample.memory_free > 1.0,
            "{sample:?}"
        );
        assert!(
            (0.0..=100.0).contains(&traffic.disk_free) && (0.0..=100.0).contains(&sample.cpu_usage),
            "{sample:?} {traffic:?}"
        );
    }
}
