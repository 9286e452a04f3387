//! Names and labels of pods (C-610, C-620).

use std::fmt::Write;

use md5::{Digest, Md5};

/// Says whose pod it is.
pub(super) const OWNER: &str = "CLEARML";
/// Says of which task.
pub(super) const TASK: &str = "clearml-task-id";
/// Says from which queue it came.
pub(super) const QUEUE: &str = "clearml-agent-queue";
pub(super) const QUEUE_NAME: &str = "clearml-agent-queue-name";
pub(super) const PARENT: &str = "clearml-parent-task-id";

/// Most characters of a label's value.
const LONGEST: usize = 63;

/// The value of [`OWNER`] for this worker.
pub(super) fn owner(worker: &str) -> String {
    let digest = Md5::digest(worker.as_bytes());
    let mut text = "agent-".to_owned();
    for byte in &digest[..4] {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Any text as the value of a label.
pub(super) fn label(text: &str) -> String {
    let mut value = String::new();
    for character in text.to_lowercase().chars() {
        if character.is_ascii_alphanumeric() {
            value.push(character);
        } else if !value.ends_with('-') {
            value.push('-');
        }
    }
    let value: String = value.trim_matches('-').chars().take(LONGEST).collect();
    value.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-610, C-620
    #[test]
    fn values_of_labels_are_what_kubernetes_takes() {
        assert_eq!(label("My queue__GPU (A100)!"), "my-queue-gpu-a100");
        assert_eq!(label(&"é".repeat(9)), "");
        assert_eq!(label(&format!("{} b", "a".repeat(62))), "a".repeat(62));
        // The first eight digits of `printf host:k8s | md5sum`.
        assert_eq!(owner("host:k8s"), "agent-c2387425");
    }
}
