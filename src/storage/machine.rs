//! Which part of a user's state is this machine's, where machines share the user's home.
//!
//! A journal names processes, containers and files of one machine, and a lock on a file system of the network is not always seen
//! by the others. An agent must not settle what another machine runs.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{AFS_SUPER_MAGIC, FsType, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, statfs};

/// Written at the first start of a system; a container has one as a rule only where it is a machine of its own.
const MACHINE_ID: &str = "/etc/machine-id";
/// What `nix` has no names for: CIFS, SMB 2, Lustre, GPFS, Ceph, BeeGFS, Weka.
const OTHERS: [u32; 7] = [
    0xFF53_4D42,
    0xFE53_4D42,
    0x0BD0_0BD0,
    0x4750_4653,
    0x00C3_6400,
    0x1983_0326,
    0x5745_4B41,
];

/// The folder below `state` that is this machine's alone: `state` itself on a disk of its own, and where the machine has no id.
pub(super) fn own_part(state: PathBuf) -> PathBuf {
    let id = fs::read_to_string(MACHINE_ID).unwrap_or_default();
    let is_shared = is_on_network(&state);
    part_of(state, is_shared, id.trim())
}

fn part_of(state: PathBuf, is_shared: bool, id: &str) -> PathBuf {
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_shared && is_id {
        state.join("machines").join(id)
    } else {
        state
    }
}

/// True where `folder`, or the place where it would be made, is on a file system that several machines may use.
fn is_on_network(folder: &Path) -> bool {
    let found = folder.ancestors().find_map(|folder| statfs(folder).ok());
    found.is_some_and(|found| is_of_network(found.filesystem_type()))
}

fn is_of_network(kind: FsType) -> bool {
    let known = [AFS_SUPER_MAGIC, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC];
    // The kernel's numbers have 32 bits, and some come with a sign.
    let bits = |FsType(number): FsType| u32::try_from(number & 0xFFFF_FFFF).unwrap_or_default();
    known.map(bits).contains(&bits(kind)) || OTHERS.contains(&bits(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_that_share_a_home_share_no_state() {
        let state = || PathBuf::from("/home/ada/.local/state/clearml-agent");
        let id = "0123456789abcdef0123456789abcdef";
        let own = part_of(state(), true, id);
        assert_eq!(own, state().join("machines").join(id));
        assert_eq!(part_of(state(), false, id), state());
        // A container.
        assert_eq!(part_of(state(), true, ""), state());
        assert_eq!(part_of(state(), true, "uninitialized"), state());
        assert_eq!(
            part_of(state(), true, "../../../../../../../../../etc/x"),
            state()
        );
    }

    #[test]
    fn file_systems_of_the_network_are_known() {
        assert!(is_of_network(NFS_SUPER_MAGIC));
        assert!(is_of_network(FsType(0x0BD0_0BD0)));
        assert!(!is_of_network(nix::sys::statfs::EXT4_SUPER_MAGIC));
        assert!(!is_on_network(Path::new("/no/such/folder")));
    }
}
