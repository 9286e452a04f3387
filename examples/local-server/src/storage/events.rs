//! Events of tasks and models, in the order of their time stamps and then of their arrival. Nothing is de-duplicated.

use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use super::Store;
use crate::{call::text_of, error::ApiError, schema::Document};

/// Which part of a console to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogPage {
    /// Events before this time (newest first), or after it (oldest first); `None`: from the end or the beginning.
    pub(crate) from: Option<i64>,
    /// Newest first.
    pub(crate) backwards: bool,
    pub(crate) limit: usize,
}

impl Store<'_> {
    /// Stores an event whose fields have been checked.
    pub(crate) fn add_event(
        &self,
        task: &str,
        timestamp: i64,
        event: &Document,
    ) -> Result<(), ApiError> {
        self.connection
            .prepare_cached(
                "INSERT INTO event (task, type, timestamp, metric, variant, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                task,
                text_of(event, "type"),
                timestamp,
                text_of(event, "metric"),
                text_of(event, "variant"),
                serde_json::to_string(event)?
            ])?;
        Ok(())
    }

    /// Number of events of one type.
    pub(crate) fn count_events(&self, task: &str, kind: &str) -> Result<i64, ApiError> {
        Ok(self
            .connection
            .prepare_cached("SELECT count(*) FROM event WHERE task = ?1 AND type = ?2")?
            .query_row(params![task, kind], |row| row.get(0))?)
    }

    /// All events of one type, oldest first; `None`: of every type.
    pub(crate) fn events(&self, task: &str, kind: Option<&str>) -> Result<Vec<Document>, ApiError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT body FROM event WHERE task = ?1 AND (?2 IS NULL OR type = ?2) ORDER BY timestamp, number",
        )?;
        let rows = statement.query_map(params![task, kind], |row| row.get::<_, String>(0))?;
        let mut events = Vec::new();
        for body in rows {
            events.push(serde_json::from_str(&body?)?);
        }
        Ok(events)
    }

    /// One page of the console. Events with the time stamp of the last one come along even beyond the limit, so that a
    /// reader who goes on from that time stamp misses none.
    pub(crate) fn log_page(&self, task: &str, page: LogPage) -> Result<Vec<Value>, ApiError> {
        let (comparison, order, up_to) = if page.backwards {
            ("<", "DESC", ">=")
        } else {
            (">", "ASC", "<=")
        };
        let edge: Option<i64> = self
            .connection
            .prepare_cached(&format!(
                "SELECT timestamp FROM event WHERE task = ?1 AND type = 'log' AND (?2 IS NULL OR timestamp {comparison} ?2)
                 ORDER BY timestamp {order}, number {order} LIMIT 1 OFFSET ?3"
            ))?
            .query_row(
                params![task, page.from, i64::try_from(page.limit.saturating_sub(1)).unwrap_or(i64::MAX)],
                |row| row.get(0),
            )
            .optional()?;
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT body FROM event WHERE task = ?1 AND type = 'log' AND (?2 IS NULL OR timestamp {comparison} ?2)
             AND (?3 IS NULL OR timestamp {up_to} ?3) ORDER BY timestamp {order}, number {order}"
        ))?;
        let rows = statement.query_map(params![task, page.from, edge], |row| {
            row.get::<_, String>(0)
        })?;
        let mut events = Vec::new();
        for body in rows {
            events.push(serde_json::from_str(&body?)?);
        }
        Ok(events)
    }

    /// Deletes a task's events; `before`: only console lines older than this. Gives their number.
    pub(crate) fn delete_events(
        &self,
        task: &str,
        log_before: Option<i64>,
    ) -> Result<usize, ApiError> {
        Ok(match log_before {
            None => self
                .connection
                .prepare_cached("DELETE FROM event WHERE task = ?1")?
                .execute(params![task])?,
            Some(time) => self
                .connection
                .prepare_cached(
                    "DELETE FROM event WHERE task = ?1 AND type = 'log' AND timestamp < ?2",
                )?
                .execute(params![task, time])?,
        })
    }
}
