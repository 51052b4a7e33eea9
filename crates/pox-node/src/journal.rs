//! What a processor must remember: each entry is on disk when the call returns, whole or not at all.

use pox_chain::Cursor;
use pox_core::role::processor::Entry;
use pox_core::{Offer, TaskId};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

const JOBS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("jobs");
const ARCHIVES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("archives");
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");

/// The journal can't be read or written, or is damaged.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The database fails.
    #[error("journal: {0}")]
    Database(#[from] Box<redb::Error>),
    /// An entry is not what this version writes.
    #[error("journal: {0} is damaged or of another version")]
    Damaged(&'static str),
}

/// A processor's journal. One process at a time has it open.
#[derive(Debug)]
pub struct Journal(Database);

impl Journal {
    /// Opens the journal, and makes it if it is not there.
    ///
    /// # Errors
    /// The file can't be opened, or another process has it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let database = Database::create(path).map_err(failed)?;
        let write = database.begin_write().map_err(failed)?;
        write.open_table(JOBS).map_err(failed)?;
        write.open_table(ARCHIVES).map_err(failed)?;
        write.open_table(STATE).map_err(failed)?;
        write.commit().map_err(failed)?;
        Ok(Self(database))
    }

    /// All entries.
    ///
    /// # Errors
    /// One of them is damaged.
    pub fn entries(&self) -> Result<Vec<Entry>, JournalError> {
        let read = self.0.begin_read().map_err(failed)?;
        let table = read.open_table(JOBS).map_err(failed)?;
        let rows = table.iter().map_err(failed)?;
        rows.map(|row| {
            let (_, entry) = row.map_err(failed)?;
            serde_json::from_slice(entry.value()).map_err(|_| JournalError::Damaged("a task's entry"))
        })
        .collect()
    }

    /// Writes entries, forgets tasks, and moves the cursor, all or nothing: a cursor that is ahead of an entry would hide from it
    /// what the chain took back. A task without an entry is forgotten; its archive stays, for an owner who asks for it.
    ///
    /// # Errors
    /// It can't be written.
    pub fn save(
        &self,
        entries: &[(TaskId, Option<&Entry>)],
        cursor: Option<&Cursor>,
    ) -> Result<(), JournalError> {
        let write = self.0.begin_write().map_err(failed)?;
        {
            let mut jobs = write.open_table(JOBS).map_err(failed)?;
            for (task, entry) in entries {
                match entry {
                    Some(entry) => {
                        let bytes = encode(entry, "a task's entry")?;
                        jobs.insert(task.as_bytes(), bytes.as_slice()).map_err(failed)?;
                    }
                    None => drop(jobs.remove(task.as_bytes()).map_err(failed)?),
                }
            }
            if let Some(cursor) = cursor {
                let bytes = encode(cursor, "the cursor")?;
                write
                    .open_table(STATE)
                    .map_err(failed)?
                    .insert("cursor", bytes.as_slice())
                    .map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }

    /// Keeps a task's archive.
    ///
    /// # Errors
    /// It can't be written.
    pub fn keep_archive(&self, task: TaskId, archive: &[u8]) -> Result<(), JournalError> {
        self.write(ARCHIVES, task.as_bytes(), archive)
    }

    /// A task's archive, if one was kept.
    ///
    /// # Errors
    /// It can't be read.
    pub fn archive(&self, task: TaskId) -> Result<Option<Vec<u8>>, JournalError> {
        self.read(ARCHIVES, task.as_bytes())
    }

    /// How far the chain was followed.
    ///
    /// # Errors
    /// The entry is damaged.
    pub fn cursor(&self) -> Result<Option<Cursor>, JournalError> {
        let bytes = self.read(STATE, "cursor")?;
        let parse =
            |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|_| JournalError::Damaged("the cursor"));
        bytes.map(parse).transpose()
    }

    /// The offer that was posted last.
    ///
    /// # Errors
    /// The entry is damaged.
    pub fn offer(&self) -> Result<Option<Offer>, JournalError> {
        let parse = |bytes: Vec<u8>| Offer::parse(&bytes).map_err(|_| JournalError::Damaged("the offer"));
        self.read(STATE, "offer")?.map(parse).transpose()
    }

    /// Writes the offer that is about to be posted.
    ///
    /// # Errors
    /// It can't be written.
    pub fn save_offer(&self, offer: &Offer) -> Result<(), JournalError> {
        self.write(STATE, "offer", &offer.to_bytes())
    }

    fn read<K: redb::Key + 'static>(
        &self,
        table: TableDefinition<'_, K, &'static [u8]>,
        key: K::SelfType<'_>,
    ) -> Result<Option<Vec<u8>>, JournalError> {
        let read = self.0.begin_read().map_err(failed)?;
        let table = read.open_table(table).map_err(failed)?;
        Ok(table.get(key).map_err(failed)?.map(|value| value.value().to_vec()))
    }

    fn write<K: redb::Key + 'static>(
        &self,
        table: TableDefinition<'_, K, &'static [u8]>,
        key: K::SelfType<'_>,
        value: &[u8],
    ) -> Result<(), JournalError> {
        let write = self.0.begin_write().map_err(failed)?;
        write.open_table(table).map_err(failed)?.insert(key, value).map_err(failed)?;
        write.commit().map_err(failed)
    }
}

fn encode(value: &impl serde::Serialize, what: &'static str) -> Result<Vec<u8>, JournalError> {
    serde_json::to_vec(value).map_err(|_| JournalError::Damaged(what))
}

fn failed(error: impl Into<redb::Error>) -> JournalError {
    JournalError::Database(Box::new(error.into()))
}
