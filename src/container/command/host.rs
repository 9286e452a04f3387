//! Looks at the machine for what a container's command needs to know (C-051, C-061, C-062, C-071, C-109).

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::path::Path;

use super::facts::HostFacts;
use crate::monitor;

/// One of these is there where a GPU is: of NVIDIA, under WSL, of AMD.
const GPU_FILES: [&str; 5] = [
    "/dev/nvidiactl",
    "/dev/nvidia0",
    "/proc/driver/nvidia/version",
    "/dev/dxg",
    "/dev/kfd",
];

impl HostFacts {
    /// The facts about this machine, without `own_network`, which the engine knows.
    pub fn gather(home: &Path) -> Self {
        let files = [".git-credentials", ".gitconfig"].map(|name| home.join(name));
        let ssh = fs::read_dir(home.join(".ssh")).map_err(|error| error.kind());
        Self {
            home: home.to_owned(),
            git_files: files.into_iter().filter(|path| path.is_file()).collect(),
            has_ssh_folder: ssh.is_ok(),
            has_closed_ssh_folder: ssh.is_err_and(|kind| kind != ErrorKind::NotFound),
            is_amd: monitor::is_amd_host(),
            has_no_gpu: !is_in_container()
                && !GPU_FILES.iter().any(|path| Path::new(path).exists()),
            render_nodes: render_nodes(Path::new("/dev/dri")),
            own_network: None,
            address: own_address(),
            taken_ports,
        }
    }
}

/// In a container the machine's devices are not seen, as a rule.
fn is_in_container() -> bool {
    let marks = ["/.dockerenv", "/run/.containerenv"];
    marks.iter().any(|mark| Path::new(mark).exists())
        || !own_container(|path| fs::read_to_string(path).ok(), None).is_empty()
}

fn render_nodes(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = entries
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_prefix("renderD")?
                .parse()
                .ok()
        })
        .collect();
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| format!("{}/renderD{number}", folder.display()))
        .collect()
}

/// The address from which this machine would reach a private network; nothing is sent.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("10.255.255.255:1").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

/// The local ports of all sockets of this machine, in any state (C-061).
fn taken_ports() -> BTreeSet<u16> {
    ["tcp", "tcp6", "udp", "udp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/net/{table}")).ok())
        .flat_map(|table| local_ports(&table))
        .collect()
}

/// The ports in a table of the kernel's sockets.
pub(super) fn local_ports(table: &str) -> BTreeSet<u16> {
    let lines = table.lines().skip(1);
    lines
        .filter_map(|line| {
            let (_, port) = line.split_whitespace().nth(1)?.rsplit_once(':')?;
            u16::from_str_radix(port, 16).ok()
        })
        .filter(|port| *port != 0)
        .collect()
}

/// Ids and names under which an engine may know the container of this process, the surest first (C-071). `read` gives
/// the text of a file.
pub fn own_container(
    read: impl Fn(&str) -> Option<String>,
    host_name: Option<&str>,
) -> Vec<String> {
    let is_id = |text: &&str| text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
    let mut found: Vec<String> = Vec::new();
    // The engine mounts files of its own into every container, from a folder that has its id.
    for line in read("/proc/self/mountinfo").unwrap_or_default().lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let is_of_engine = fields.get(4).is_some_and(|place| {
            ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"].contains(place)
        });
        let root = fields.get(3).filter(|_| is_of_engine);
        found.extend(
            root.and_then(|root| root.split('/').find(is_id))
                .map(str::to_owned),
        );
    }
    let cpuset = read("/proc/1/cpuset").unwrap_or_default();
    let last = cpuset.trim().rsplit('/').next().unwrap_or_default();
    found.extend(Some(last).filter(is_id).map(str::to_owned));
    // Unless somebody has named the machine, this is the beginning of the id.
    let named = host_name.filter(|name| !name.is_empty());
    found.extend(named.map(str::to_owned));
    let mut seen = BTreeSet::new();
    found.retain(|id| seen.insert(id.clone()));
    found
}
