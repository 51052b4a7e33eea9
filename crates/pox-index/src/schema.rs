//! The tables, and how an older index becomes one of this version.
//!
//! Everything but `tasks` and `inputs` is a copy of single events; these two follow from the events, and are made anew from
//! them. A row carries the block that it is of, so that a reorganisation is a deletion.

use crate::engine::{Engine, Intent, Value};
use crate::error::IndexError;

/// A table, and the columns that are written, in their order.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
}

pub(crate) const BLOCKS: Table = Table { name: "blocks", columns: &["number", "hash", "time", "events"] };

pub(crate) const EVENTS: Table = Table {
    name: "events",
    columns: &["block", "position", "transaction_hash", "kind", "task", "step", "payload", "topics", "data"],
};

pub(crate) const TASKS: Table = Table {
    name: "tasks",
    columns: &[
        "id",
        "block",
        "position",
        "time",
        "owner",
        "image",
        "price",
        "policy",
        "metadata",
        "phase",
        "deadline",
        "processor",
        "enclave",
        "proven_block",
        "proven_position",
        "proven_time",
        "outcome",
        "results",
        "steps",
        "history",
        "fault",
    ],
};

pub(crate) const INPUTS: Table =
    Table { name: "inputs", columns: &["task", "place", "input", "block", "position"] };

pub(crate) const OFFERS: Table = Table {
    name: "offers",
    columns: &[
        "block",
        "position",
        "id",
        "processor",
        "kinds",
        "cpu_millis",
        "memory_mib",
        "disk_mib",
        "time_limit",
        "price_per_second",
        "bond",
        "valid_until",
    ],
};

pub(crate) const WITHDRAWN_OFFERS: Table =
    Table { name: "withdrawn_offers", columns: &["block", "position", "id", "processor"] };

pub(crate) const MATCHES: Table = Table {
    name: "matches",
    columns: &["block", "position", "task", "offer", "processor", "enclave", "evidence", "bond"],
};

pub(crate) const APPROVALS: Table =
    Table { name: "approvals", columns: &["block", "position", "task", "account", "enclave", "secret"] };

pub(crate) const MEMBERS: Table =
    Table { name: "members", columns: &["block", "position", "task", "root", "count"] };

pub(crate) const RECEIPTS: Table = Table {
    name: "receipts",
    columns: &[
        "block",
        "position",
        "task",
        "processor",
        "enclave",
        "outcome",
        "exit_code",
        "results",
        "report",
        "cpu_micros",
        "wall_micros",
        "memory_peak",
        "archive",
    ],
};

/// Tables of which every row is of one event or task, with its block in `block`.
pub(crate) const BY_BLOCK: [&Table; 9] =
    [&EVENTS, &TASKS, &INPUTS, &OFFERS, &WITHDRAWN_OFFERS, &MATCHES, &APPROVALS, &RECEIPTS, &MEMBERS];

/// One script for each version; what has been released never changes.
const VERSIONS: [&str; 1] = [V1];

const V1: &str = "
CREATE TABLE blocks (number {int} PRIMARY KEY, hash {bytes} NOT NULL, time {int} NOT NULL, events {int} NOT NULL);
CREATE TABLE events (
    block {int} NOT NULL, position {int} NOT NULL, transaction_hash {bytes} NOT NULL, kind TEXT NOT NULL, task {bytes},
    step {int}, payload {bytes}, topics {bytes} NOT NULL, data {bytes} NOT NULL, PRIMARY KEY (block, position));
CREATE INDEX events_of_task ON events (task, block, position) WHERE task IS NOT NULL;
CREATE TABLE tasks (
    id {bytes} PRIMARY KEY, block {int} NOT NULL, position {int} NOT NULL, time {int} NOT NULL, owner {bytes},
    image {bytes}, price TEXT, policy {bytes}, metadata {bytes}, phase TEXT NOT NULL, deadline {int}, processor {bytes},
    enclave {bytes}, proven_block {int}, proven_position {int}, proven_time {int}, outcome {int}, results {bytes},
    steps {int} NOT NULL, history {bytes} NOT NULL, fault TEXT);
CREATE INDEX tasks_in_order ON tasks (block, position);
CREATE INDEX tasks_of_owner ON tasks (owner, block, position);
CREATE INDEX tasks_of_processor ON tasks (processor, block, position) WHERE processor IS NOT NULL;
CREATE INDEX tasks_of_image ON tasks (image, block, position);
CREATE INDEX tasks_with_results ON tasks (results) WHERE results IS NOT NULL;
CREATE TABLE inputs (
    task {bytes} NOT NULL, place {int} NOT NULL, input {bytes} NOT NULL, block {int} NOT NULL, position {int} NOT NULL,
    PRIMARY KEY (task, place));
CREATE INDEX inputs_by_input ON inputs (input, block, position);
CREATE TABLE offers (
    block {int} NOT NULL, position {int} NOT NULL, id {bytes} NOT NULL, processor {bytes} NOT NULL, kinds {int} NOT NULL,
    cpu_millis {int} NOT NULL, memory_mib {int} NOT NULL, disk_mib {int} NOT NULL, time_limit {int} NOT NULL,
    price_per_second TEXT NOT NULL, bond TEXT NOT NULL, valid_until {int} NOT NULL, PRIMARY KEY (block, position));
CREATE TABLE withdrawn_offers (
    block {int} NOT NULL, position {int} NOT NULL, id {bytes} NOT NULL, processor {bytes} NOT NULL,
    PRIMARY KEY (block, position));
CREATE TABLE matches (
    block {int} NOT NULL, position {int} NOT NULL, task {bytes} NOT NULL, offer {bytes} NOT NULL,
    processor {bytes} NOT NULL, enclave {bytes} NOT NULL, evidence {bytes} NOT NULL, bond TEXT NOT NULL,
    PRIMARY KEY (block, position));
CREATE TABLE approvals (
    block {int} NOT NULL, position {int} NOT NULL, task {bytes} NOT NULL, account {bytes}, enclave {bytes} NOT NULL,
    secret {bytes} NOT NULL, PRIMARY KEY (block, position));
CREATE TABLE members (
    block {int} NOT NULL, position {int} NOT NULL, task {bytes} NOT NULL, root {bytes} NOT NULL, count {int} NOT NULL,
    PRIMARY KEY (block, position));
CREATE TABLE receipts (
    block {int} NOT NULL, position {int} NOT NULL, task {bytes} NOT NULL, processor {bytes} NOT NULL,
    enclave {bytes} NOT NULL, outcome {int} NOT NULL, exit_code {int} NOT NULL, results {bytes} NOT NULL,
    report {bytes} NOT NULL, cpu_micros {int} NOT NULL, wall_micros {int} NOT NULL, memory_peak {int} NOT NULL,
    archive {bytes} NOT NULL, PRIMARY KEY (block, position));
";

/// The one row of it: what the index is of, and the first block that was not read.
const HEAD: &str = "{alone}CREATE TABLE IF NOT EXISTS pox_index (
    one {int} PRIMARY KEY CHECK (one = 1), version {int} NOT NULL, chain TEXT NOT NULL, contract {bytes} NOT NULL,
    start {int} NOT NULL, next {int} NOT NULL)";

/// What an index says of itself.
pub(crate) struct Head {
    pub(crate) chain: u64,
    pub(crate) contract: [u8; 20],
    pub(crate) start: u64,
    pub(crate) next: u64,
}

/// Reads the head of an index that is there, and is of this version.
pub(crate) fn read(engine: &mut dyn Engine) -> Result<Head, IndexError> {
    // Whatever keeps a database from telling its version, there is no index to be read in it.
    let rows = engine.query(FIND, &[]).map_err(|error| match error {
        IndexError::Sqlite(rusqlite::Error::SqliteFailure(code, _))
            if code.code == rusqlite::ErrorCode::Unknown =>
        {
            IndexError::Missing
        }
        IndexError::Postgres(error) if error.code() == Some(&postgres::error::SqlState::UNDEFINED_TABLE) => {
            IndexError::Missing
        }
        other => other,
    })?;
    let row = rows.first().ok_or(IndexError::Missing)?;
    let found = row.int(0)?;
    match usize::try_from(found) {
        Ok(version) if version == VERSIONS.len() => Ok(Head {
            chain: row.text(1)?.parse().map_err(|_| IndexError::Damaged("the chain's id is no number"))?,
            contract: row.fixed(2)?,
            start: row.count(3)?,
            next: row.count(4)?,
        }),
        // Only whoever follows the chain brings an older one forward.
        Ok(version) if version < VERSIONS.len() => {
            Err(IndexError::Damaged("its schema is older; follow the chain first"))
        }
        _ => Err(IndexError::Newer { found, known: VERSIONS.len() as i64 }),
    }
}

/// Makes the tables that are missing, and the index's head if there is none.
pub(crate) fn prepare(engine: &mut dyn Engine, new: &Head) -> Result<Head, IndexError> {
    engine.begin(Intent::Write)?;
    let prepared = prepare_in(engine, new);
    match prepared {
        Ok(()) => engine.commit()?,
        Err(error) => {
            engine.roll_back()?;
            return Err(error);
        }
    }
    read(engine)
}

fn prepare_in(engine: &mut dyn Engine, new: &Head) -> Result<(), IndexError> {
    engine.script(&engine.spell(HEAD))?;
    let rows = engine.query(&engine.spell("SELECT version FROM pox_index {lock}"), &[])?;
    let found = rows.first().map_or(Ok(0), |row| row.int(0))?;
    let known = VERSIONS.len() as i64;
    let done = usize::try_from(found).ok().filter(|done| *done <= VERSIONS.len());
    let missing = done.ok_or(IndexError::Newer { found, known })?;
    for script in &VERSIONS[missing..] {
        engine.script(&engine.spell(script))?;
    }
    if rows.is_empty() {
        let insert = "INSERT INTO pox_index (one, version, chain, contract, start, next) VALUES (1, $1, $2, $3, $4, $5)";
        let values = [
            Value::Int(known),
            Value::Text(new.chain.to_string()),
            Value::bytes(new.contract),
            Value::exact(new.start, "block number")?,
            Value::exact(new.next, "block number")?,
        ];
        engine.execute(insert, &values)?;
    } else if found != known {
        engine.execute("UPDATE pox_index SET version = $1", &[Value::Int(known)])?;
    }
    Ok(())
}

const FIND: &str = "SELECT version, chain, contract, start, next FROM pox_index";
