//! What other processes were started with.

use std::fs;

/// True where the process was started with this variable; false as well where that cannot be read, as of another
/// user's process.
pub fn was_started_with(pid: u32, variable: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| {
        entry
            .strip_prefix(variable.as_bytes())
            .is_some_and(|rest| rest.starts_with(b"="))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("SOME_TASK_ID", "")
            .spawn()
            .expect("started");
        let found = |variable| was_started_with(child.id(), variable);
        let all = (found("SOME_TASK_ID"), found("SOME_TASK"), found("TASK_ID"));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert_eq!(all, (true, false, false));
        assert!(!was_started_with(0, "PATH"));
    }
}
