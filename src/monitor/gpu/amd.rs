//! GPUs of AMD, as the kernel shows them.

use std::path::Path;

/// True where the machine has GPUs of AMD and none of NVIDIA (D-316).
pub fn is_amd_host() -> bool {
    is_amd_below(Path::new("/"))
}

fn is_amd_below(root: &Path) -> bool {
    let has = |path: &str| root.join(path).exists();
    has("dev/kfd") && !has("dev/nvidia0") && !has("proc/driver/nvidia")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-316
    #[test]
    fn a_host_of_amd_has_its_driver_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert!(!is_amd_below(root));
        std::fs::create_dir_all(root.join("dev")).unwrap();
        std::fs::write(root.join("dev/kfd"), "").unwrap();
        assert!(is_amd_below(root));
        std::fs::create_dir_all(root.join("proc/driver/nvidia")).unwrap();
        assert!(!is_amd_below(root));
        std::fs::remove_dir_all(root.join("proc")).unwrap();
        std::fs::write(root.join("dev/nvidia0"), "").unwrap();
        assert!(!is_amd_below(root));
    }
}
