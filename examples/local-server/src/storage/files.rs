//! Uploaded files.

use rusqlite::{OptionalExtension, params};

use super::Store;
use crate::error::ApiError;

/// One file of the file store.
#[derive(Clone, Debug)]
pub(crate) struct StoredFile {
    pub(crate) content_type: String,
    pub(crate) content: Vec<u8>,
}

impl Store<'_> {
    pub(crate) fn put_file(&self, path: &str, file: &StoredFile) -> Result<(), ApiError> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO file (path, content_type, content) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![path, file.content_type, file.content])?;
        Ok(())
    }

    pub(crate) fn file(&self, path: &str) -> Result<Option<StoredFile>, ApiError> {
        Ok(self
            .connection
            .prepare_cached("SELECT content_type, content FROM file WHERE path = ?1")?
            .query_row(params![path], |row| {
                Ok(StoredFile {
                    content_type: row.get(0)?,
                    content: row.get(1)?,
                })
            })
            .optional()?)
    }

    /// True if the file was there.
    pub(crate) fn delete_file(&self, path: &str) -> Result<bool, ApiError> {
        let count = self
            .connection
            .prepare_cached("DELETE FROM file WHERE path = ?1")?
            .execute(params![path])?;
        Ok(count > 0)
    }
}
