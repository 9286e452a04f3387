//! The database: JSON documents by collection and id, what waits in queues, events and files, in one SQLite database.

mod entries;
mod events;
mod files;

use std::{
    fmt, fs,
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde_json::Value;

pub(crate) use events::LogPage;
pub(crate) use files::StoredFile;

use crate::{
    call::text_of,
    error::{ApiError, StartError},
    options::Database,
    schema::Document,
};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS document (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        collection TEXT NOT NULL,
        id TEXT NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (collection, id)
    );
    CREATE TABLE IF NOT EXISTS entry (
        queue TEXT NOT NULL,
        place INTEGER NOT NULL,
        task TEXT NOT NULL,
        added TEXT NOT NULL,
        UNIQUE (queue, task)
    );
    CREATE INDEX IF NOT EXISTS entry_by_place ON entry (queue, place);
    CREATE INDEX IF NOT EXISTS entry_by_task ON entry (task);
    CREATE TABLE IF NOT EXISTS event (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        task TEXT NOT NULL,
        type TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        metric TEXT NOT NULL,
        variant TEXT NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS event_by_time ON event (task, type, timestamp, number);
    CREATE TABLE IF NOT EXISTS file (
        path TEXT PRIMARY KEY,
        content_type TEXT NOT NULL,
        content BLOB NOT NULL
    );
";

/// Databases of earlier releases have the entries in the documents of their queues.
const MOVE_ENTRIES: &str = "
    INSERT OR IGNORE INTO entry (queue, place, task, added)
        SELECT document.id, waiting.key + 1, waiting.value ->> 'task', waiting.value ->> 'added'
        FROM document, json_each(document.body, '$.entries') AS waiting
        WHERE collection = 'queue';
    UPDATE document SET body = json_remove(body, '$.entries') WHERE collection = 'queue';
";

/// The kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collection {
    Cluster,
    Credentials,
    Model,
    Project,
    Queue,
    RuntimeProperties,
    Setting,
    Task,
    User,
    Vault,
    Worker,
}

impl Collection {
    fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Credentials => "credentials",
            Self::Model => "model",
            Self::Project => "project",
            Self::Queue => "queue",
            Self::RuntimeProperties => "runtime_properties",
            Self::Setting => "setting",
            Self::Task => "task",
            Self::User => "user",
            Self::Vault => "vault",
            Self::Worker => "worker",
        }
    }
}

/// The open database.
pub(crate) struct Storage {
    connection: Mutex<Connection>,
}

impl fmt::Debug for Storage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Storage").finish_non_exhaustive()
    }
}

impl Storage {
    pub(crate) fn open(database: &Database) -> Result<Self, StartError> {
        let connection = match database {
            Database::Memory => Connection::open_in_memory()?,
            Database::File(path) => {
                make_private_file(path).map_err(|source| StartError::OpenDatabase {
                    path: path.clone(),
                    source,
                })?;
                let connection = Connection::open(path)?;
                connection.pragma_update(None, "journal_mode", "WAL")?;
                connection.pragma_update(None, "synchronous", "NORMAL")?;
                connection
            }
        };
        connection.execute_batch(SCHEMA)?;
        connection.execute_batch(&format!("BEGIN; {MOVE_ENTRIES} COMMIT;"))?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// Runs one piece of work on the database, wholly or not at all. Calls follow one another: none sees another's
    /// half-done work.
    pub(crate) fn transaction<T>(
        &self,
        work: impl FnOnce(&Store<'_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let outcome = work(&Store {
            connection: &transaction,
        });
        match &outcome {
            Err(refusal) if !refusal.keeps_changes => transaction.rollback()?,
            _ => transaction.commit()?,
        }
        outcome
    }
}

/// The database holds keys and user text: nobody else may read it.
fn make_private_file(path: &std::path::Path) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// The database inside one transaction.
pub(crate) struct Store<'a> {
    connection: &'a Connection,
}

impl fmt::Debug for Store<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store<'_> {
    pub(crate) fn get(
        &self,
        collection: Collection,
        id: &str,
    ) -> Result<Option<Document>, ApiError> {
        let body: Option<String> = self
            .connection
            .prepare_cached("SELECT body FROM document WHERE collection = ?1 AND id = ?2")?
            .query_row(params![collection.name(), id], |row| row.get(0))
            .optional()?;
        Ok(match body {
            Some(body) => Some(serde_json::from_str(&body)?),
            None => None,
        })
    }

    /// All documents in the order of their creation.
    pub(crate) fn all(&self, collection: Collection) -> Result<Vec<Document>, ApiError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT body FROM document WHERE collection = ?1 ORDER BY number")?;
        let rows =
            statement.query_map(params![collection.name()], |row| row.get::<_, String>(0))?;
        let mut documents = Vec::new();
        for body in rows {
            documents.push(serde_json::from_str(&body?)?);
        }
        Ok(documents)
    }

    /// Writes a document under its member `id`.
    pub(crate) fn put(&self, collection: Collection, document: &Document) -> Result<(), ApiError> {
        self.connection
            .prepare_cached(
                "INSERT INTO document (collection, id, body) VALUES (?1, ?2, ?3)
                 ON CONFLICT (collection, id) DO UPDATE SET body = excluded.body",
            )?
            .execute(params![
                collection.name(),
                text_of(document, "id"),
                serde_json::to_string(document)?
            ])?;
        Ok(())
    }

    /// True if the document was there.
    pub(crate) fn delete(&self, collection: Collection, id: &str) -> Result<bool, ApiError> {
        let count = self
            .connection
            .prepare_cached("DELETE FROM document WHERE collection = ?1 AND id = ?2")?
            .execute(params![collection.name(), id])?;
        Ok(count > 0)
    }

    /// One value that the server keeps for itself.
    pub(crate) fn setting(&self, name: &str) -> Result<Option<Value>, ApiError> {
        Ok(self
            .get(Collection::Setting, name)?
            .and_then(|mut document| document.remove("value")))
    }

    pub(crate) fn set_setting(&self, name: &str, value: Value) -> Result<(), ApiError> {
        let mut document = Document::new();
        document.insert("id".into(), name.into());
        document.insert("value".into(), value);
        self.put(Collection::Setting, &document)
    }
}
