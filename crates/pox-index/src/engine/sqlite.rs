//! The embedded database: one file, one writer, any number of readers beside it.

use super::{Engine, Intent, Open, Row, Value};
use crate::error::IndexError;
use crate::schema::Table;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Statement, ToSql};
use std::path::Path;
use std::time::Duration;

/// How long to wait for another process to end its transaction.
const PATIENCE: Duration = Duration::from_secs(30);
/// Statements that are kept ready.
const STATEMENTS: usize = 64;

pub(super) struct Sqlite(Connection);

impl Sqlite {
    pub(super) fn in_memory() -> Result<Self, IndexError> {
        Self::ready(Connection::open_in_memory()?)
    }

    pub(super) fn open(path: &Path, how: Open) -> Result<Self, IndexError> {
        if how == Open::Existing && !path.exists() {
            return Err(IndexError::Missing);
        }
        // URIs stay off: a path is a path.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let flags = if how == Open::OrCreate { flags | OpenFlags::SQLITE_OPEN_CREATE } else { flags };
        let sqlite = Self::ready(Connection::open_with_flags(path, flags)?)?;
        if how == Open::OrCreate {
            // Readers go on while one writes. A crash of the program loses nothing, one of the machine at most the last
            // transactions, which are read from the chain again.
            sqlite.0.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")?;
        }
        Ok(sqlite)
    }

    fn ready(connection: Connection) -> Result<Self, IndexError> {
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.execute_batch("PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY;")?;
        Ok(Self(connection))
    }
}

impl Engine for Sqlite {
    fn spell(&self, statement: &str) -> String {
        // A transaction that is for writing is alone from its beginning.
        let statement = statement.replace("{lock}", "").replace("{alone}", "");
        statement.replace("{int}", "INTEGER").replace("{bytes}", "BLOB")
    }

    fn script(&mut self, statements: &str) -> Result<(), IndexError> {
        Ok(self.0.execute_batch(statements)?)
    }

    fn begin(&mut self, intent: Intent) -> Result<(), IndexError> {
        self.script(match intent {
            Intent::Read => "BEGIN",
            Intent::Write => "BEGIN IMMEDIATE",
        })
    }

    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, IndexError> {
        let changed = self.0.prepare_cached(statement)?.execute(rusqlite::params_from_iter(values))?;
        Ok(changed as u64)
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, IndexError> {
        let mut statement = self.0.prepare_cached(statement)?;
        let columns = statement.column_count();
        let mut answer = statement.query(rusqlite::params_from_iter(values))?;
        let mut rows = Vec::new();
        while let Some(row) = answer.next()? {
            let values =
                (0..columns).map(|column| row.get_ref(column).map_err(IndexError::from).and_then(value));
            rows.push(Row::new(values.collect::<Result<_, _>>()?));
        }
        Ok(rows)
    }

    fn append(&mut self, table: &Table, rows: Vec<Vec<Value>>) -> Result<(), IndexError> {
        if rows.is_empty() {
            return Ok(());
        }
        let places: Vec<String> = (1..=table.columns.len()).map(|place| format!("${place}")).collect();
        let (columns, places) = (table.columns.join(", "), places.join(", "));
        let insert = format!("INSERT INTO {} ({columns}) VALUES ({places})", table.name);
        let mut insert: Statement<'_> = self.0.prepare(&insert)?;
        for row in &rows {
            insert.execute(rusqlite::params_from_iter(row))?;
        }
        Ok(())
    }

    fn remove(&mut self, table: &Table, column: &str, keys: &[Vec<u8>]) -> Result<(), IndexError> {
        let mut remove = self.0.prepare_cached(&format!("DELETE FROM {} WHERE {column} = $1", table.name))?;
        for key in keys {
            remove.execute([key])?;
        }
        Ok(())
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn value(found: ValueRef<'_>) -> Result<Value, IndexError> {
    Ok(match found {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Text(text) => Value::Text(
            std::str::from_utf8(text).map_err(|_| IndexError::Damaged("a text is not UTF-8"))?.to_owned(),
        ),
        ValueRef::Real(_) => return Err(IndexError::Damaged("a column has another type")),
    })
}
