//! The file that tells `conda env update` what to install (E-208).

use serde_json::json;

/// Channels and dependencies as JSON, which is YAML that no reader takes for numbers or booleans.
pub(super) fn environment_file(channels: &[String], dependencies: &[String]) -> String {
    let file = json!({"channels": channels, "dependencies": dependencies});
    format!("{file:#}\n")
}

/// True for a channel whose address holds a password or a token: it must not be seen in the list of processes.
pub(super) fn is_private(channel: &str) -> bool {
    channel.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split('/').next().unwrap_or(rest);
        authority.contains('@') || rest.contains("/t/")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-208
    #[test]
    fn the_file_is_read_as_texts() {
        let text = environment_file(&["conda-forge".into()], &["python=3.10".into(), "y".into()]);
        assert!(text.contains("\"python=3.10\",\n") && text.contains("\"y\"\n"));
        assert!(is_private("https://me:pw@h/channel") && is_private("https://h/t/token/channel"));
        assert!(!is_private("conda-forge") && !is_private("https://h/channel"));
    }
}
