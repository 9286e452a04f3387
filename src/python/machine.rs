//! The Python that the machine has, where neither task nor settings name one (E-287, E-288).

use tokio_util::sync::CancellationToken;

use super::interpreter::probe;

/// `major.minor` of the first of `python3` and `python` that runs; none where there is none.
pub async fn default_version() -> Option<String> {
    let cancel = CancellationToken::new();
    for name in ["python3", "python"] {
        if let Ok(Some(interpreter)) = probe(name, &cancel).await {
            return Some(interpreter.version.short());
        }
    }
    None
}
