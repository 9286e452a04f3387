//! The shell that an image has (C-207).

use crate::container::engine::{Engine, EngineError};

const FOLDERS: [&str; 3] = ["/bin", "/usr/bin", "/usr/local/bin"];

/// bash, else sh; none where the image has neither.
pub(super) async fn shell(
    engine: &Engine,
    container: &str,
) -> Result<Option<&'static str>, EngineError> {
    for name in ["bash", "sh"] {
        for folder in FOLDERS {
            if engine
                .has_file(container, &format!("{folder}/{name}"))
                .await?
            {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}
