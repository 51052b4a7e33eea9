//! What an index needs of a database, and nothing more: both engines run the same statements on the same tables.

mod postgres;
mod sqlite;

use crate::error::IndexError;
use crate::schema::Table;
use crate::target::Target;

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// One row of an answer.
pub(crate) struct Row(Vec<Value>);

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Sees one state, whoever writes meanwhile.
    Read,
    /// Is alone in writing.
    Write,
}

/// Whether the index is made if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    /// It has to be there.
    Existing,
    /// It may be made.
    OrCreate,
}

/// A database. Statements are written with `$1`, `$2`, … for values, in the order of their first use.
pub(crate) trait Engine: Send {
    /// Writes a statement of the schema as this engine spells it.
    fn spell(&self, statement: &str) -> String;

    /// Runs statements that have no values.
    fn script(&mut self, statements: &str) -> Result<(), IndexError>;

    /// Begins a transaction.
    fn begin(&mut self, intent: Intent) -> Result<(), IndexError>;

    /// Runs one statement; how many rows it changed.
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, IndexError>;

    /// Asks; whoever asks bounds the answer.
    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, IndexError>;

    /// Adds rows to a table, in its order of columns.
    fn append(&mut self, table: &Table, rows: Vec<Vec<Value>>) -> Result<(), IndexError>;

    /// Removes the rows whose column has one of these values.
    fn remove(&mut self, table: &Table, column: &str, keys: &[Vec<u8>]) -> Result<(), IndexError>;

    /// Ends a transaction: everything since its beginning is kept.
    fn commit(&mut self) -> Result<(), IndexError> {
        self.script("COMMIT")
    }

    /// Ends a transaction as if it had not been.
    fn roll_back(&mut self) -> Result<(), IndexError> {
        self.script("ROLLBACK")
    }
}

/// Opens a database.
pub(crate) fn open(target: &Target, how: Open) -> Result<Box<dyn Engine>, IndexError> {
    Ok(match target {
        Target::Memory => Box::new(sqlite::Sqlite::in_memory()?),
        Target::File(path) => Box::new(sqlite::Sqlite::open(path, how)?),
        Target::Postgres(config) => Box::new(postgres::Postgres::open(config)?),
    })
}

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, IndexError> {
        self.maybe_int(column)?.ok_or(WRONG_TYPE)
    }

    pub(crate) fn maybe_int(&self, column: usize) -> Result<Option<i64>, IndexError> {
        match self.0.get(column) {
            Some(Value::Int(number)) => Ok(Some(*number)),
            Some(Value::Null) => Ok(None),
            _ => Err(WRONG_TYPE),
        }
    }

    /// A number that is never below zero.
    pub(crate) fn count(&self, column: usize) -> Result<u64, IndexError> {
        u64::try_from(self.int(column)?).map_err(|_| WRONG_TYPE)
    }

    pub(crate) fn maybe_count(&self, column: usize) -> Result<Option<u64>, IndexError> {
        self.maybe_int(column)?.map(|number| u64::try_from(number).map_err(|_| WRONG_TYPE)).transpose()
    }

    pub(crate) fn text(&self, column: usize) -> Result<&str, IndexError> {
        self.maybe_text(column)?.ok_or(WRONG_TYPE)
    }

    pub(crate) fn maybe_text(&self, column: usize) -> Result<Option<&str>, IndexError> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(WRONG_TYPE),
        }
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<&[u8], IndexError> {
        match self.0.get(column) {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ => Err(WRONG_TYPE),
        }
    }

    /// Bytes of a fixed length.
    pub(crate) fn fixed<const N: usize>(&self, column: usize) -> Result<[u8; N], IndexError> {
        self.maybe_fixed(column)?.ok_or(WRONG_TYPE)
    }

    pub(crate) fn maybe_fixed<const N: usize>(&self, column: usize) -> Result<Option<[u8; N]>, IndexError> {
        match self.0.get(column) {
            Some(Value::Bytes(bytes)) => bytes.as_slice().try_into().map(Some).map_err(|_| WRONG_TYPE),
            Some(Value::Null) => Ok(None),
            _ => Err(WRONG_TYPE),
        }
    }
}

impl Value {
    pub(crate) fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bytes(bytes.as_ref().to_vec())
    }

    pub(crate) fn maybe(value: Option<Self>) -> Self {
        value.unwrap_or(Self::Null)
    }

    /// A number that has to be exact.
    pub(crate) fn exact(number: u64, what: &'static str) -> Result<Self, IndexError> {
        i64::try_from(number).map(Self::Int).map_err(|_| IndexError::OutOfRange(what))
    }

    /// A number of somebody's choosing; the highest that fits stands for whatever is above it.
    pub(crate) fn saturating(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

const WRONG_TYPE: IndexError = IndexError::Damaged("a column has another type");
