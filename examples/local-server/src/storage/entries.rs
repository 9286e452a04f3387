//! What waits in queues, in order: a row for each entry, so that long queues cost no more than short ones.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::Store;
use crate::error::ApiError;

/// Columns of [`shown`].
const COLUMNS: &str = "task, added";

impl Store<'_> {
    /// The waiting tasks with the time they came, the first one first.
    pub(crate) fn entries(&self, queue: &str) -> Result<Vec<Value>, ApiError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM entry WHERE queue = ?1 ORDER BY place"
        ))?;
        let rows = statement.query_map(params![queue], shown)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn first_entry(&self, queue: &str) -> Result<Option<Value>, ApiError> {
        Ok(self
            .connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM entry WHERE queue = ?1 ORDER BY place LIMIT 1"
            ))?
            .query_row(params![queue], shown)
            .optional()?)
    }

    pub(crate) fn count_entries(&self, queue: &str) -> Result<u64, ApiError> {
        Ok(self
            .connection
            .prepare_cached("SELECT count(*) FROM entry WHERE queue = ?1")?
            .query_row(params![queue], |row| row.get(0))?)
    }

    /// At the end of the queue; false if the task waits there already.
    pub(crate) fn append_entry(
        &self,
        queue: &str,
        task: &str,
        added: &str,
    ) -> Result<bool, ApiError> {
        let count = self
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO entry (queue, task, added, place)
                 SELECT ?1, ?2, ?3, ifnull(max(place), 0) + 1 FROM entry WHERE queue = ?1",
            )?
            .execute(params![queue, task, added])?;
        Ok(count > 0)
    }

    /// True if the task was there.
    pub(crate) fn remove_entry(&self, queue: &str, task: &str) -> Result<bool, ApiError> {
        let count = self
            .connection
            .prepare_cached("DELETE FROM entry WHERE queue = ?1 AND task = ?2")?
            .execute(params![queue, task])?;
        Ok(count > 0)
    }

    /// The queues in which a task waits.
    pub(crate) fn queues_with(&self, task: &str) -> Result<Vec<String>, ApiError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT queue FROM entry WHERE task = ?1 ORDER BY queue")?;
        let rows = statement.query_map(params![task], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Numbers the entries of a queue in this order.
    pub(crate) fn order_entries(&self, queue: &str, entries: &[Value]) -> Result<(), ApiError> {
        let mut statement = self
            .connection
            .prepare_cached("UPDATE entry SET place = ?3 WHERE queue = ?1 AND task = ?2")?;
        for (place, entry) in (1_i64..).zip(entries) {
            statement.execute(params![queue, entry["task"].as_str(), place])?;
        }
        Ok(())
    }
}

fn shown(row: &Row<'_>) -> rusqlite::Result<Value> {
    let [task, added]: [String; 2] = [row.get(0)?, row.get(1)?];
    Ok(json!({ "task": task, "added": added }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{options::Database, storage::Storage};

    #[test]
    fn entries_of_an_earlier_release_are_found_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("database");
        let open = || Storage::open(&Database::File(path.clone())).unwrap();
        let body = json!({ "id": "q", "entries": [
            { "task": "b", "added": "2026-01-31T12:00:00.000Z" },
            { "task": "a", "added": "2026-01-31T12:00:01.000Z" },
        ] });
        let insert = "INSERT INTO document (collection, id, body) VALUES ('queue', 'q', ?1)";
        open()
            .transaction(|store| {
                store
                    .connection
                    .execute(insert, params![body.to_string()])?;
                Ok(())
            })
            .unwrap();
        let entries = open().transaction(|store| store.entries("q")).unwrap();
        assert_eq!(json!(entries), body["entries"]);
        let queue = open().transaction(|store| store.get(crate::storage::Collection::Queue, "q"));
        assert!(!queue.unwrap().unwrap().contains_key("entries"));
    }
}
