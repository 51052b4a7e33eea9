//! The shared database: one writer, readers anywhere.

use super::{Engine, Intent, Row, Value};
use crate::error::IndexError;
use crate::schema::Table;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::config::{Host, SslMode};
use postgres::types::private::BytesMut;
use postgres::types::{IsNull, ToSql, Type};
use postgres::{Client, Config, NoTls, Statement};
use std::collections::HashMap;
use std::error::Error;
use std::net::IpAddr;
use tokio_postgres_rustls::MakeRustlsConnect;

pub(super) struct Postgres {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl Postgres {
    pub(super) fn open(config: &Config) -> Result<Self, IndexError> {
        // Over a socket or loopback nobody listens; anywhere else the server has to show a certificate, unless the user says
        // that it has none.
        let client = match (config.get_ssl_mode(), is_local(config)) {
            (SslMode::Disable, _) | (SslMode::Prefer, true) => config.connect(NoTls)?,
            _ => {
                // Whoever has chosen one before has chosen for this too.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let no_roots = |_| IndexError::Tls("this machine has no trusted certificates".into());
                let (tls, _) = MakeRustlsConnect::with_native_certs().map_err(no_roots)?;
                config.clone().ssl_mode(SslMode::Require).connect(tls)?
            }
        };
        Ok(Self { client, statements: HashMap::new() })
    }

    fn prepared(&mut self, statement: &str) -> Result<Statement, IndexError> {
        if let Some(known) = self.statements.get(statement) {
            return Ok(known.clone());
        }
        let prepared = self.client.prepare(statement)?;
        if self.statements.len() >= MAX_STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(statement.to_owned(), prepared.clone());
        Ok(prepared)
    }
}

impl Engine for Postgres {
    fn spell(&self, statement: &str) -> String {
        statement
            .replace("{int}", "BIGINT")
            .replace("{bytes}", "BYTEA")
            .replace("{lock}", "FOR UPDATE")
            .replace("{alone}", ALONE)
    }

    fn script(&mut self, statements: &str) -> Result<(), IndexError> {
        Ok(self.client.batch_execute(statements)?)
    }

    fn begin(&mut self, intent: Intent) -> Result<(), IndexError> {
        self.script(match intent {
            Intent::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Intent::Write => "BEGIN",
        })
    }

    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, IndexError> {
        let prepared = self.prepared(statement)?;
        Ok(self.client.execute(&prepared, &references(values))?)
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, IndexError> {
        let prepared = self.prepared(statement)?;
        let answer = self.client.query(&prepared, &references(values))?;
        answer.iter().map(row).collect()
    }

    fn append(&mut self, table: &Table, rows: Vec<Vec<Value>>) -> Result<(), IndexError> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns = table.columns.join(", ");
        let any = self.prepared(&format!("SELECT {columns} FROM {} LIMIT 0", table.name))?;
        let types: Vec<Type> = any.columns().iter().map(|column| column.type_().clone()).collect();
        let copy = format!("COPY {} ({columns}) FROM STDIN BINARY", table.name);
        let mut writer = BinaryCopyInWriter::new(self.client.copy_in(&copy)?, &types);
        for row in &rows {
            writer.write(&references(row))?;
        }
        writer.finish()?;
        Ok(())
    }

    fn remove(&mut self, table: &Table, column: &str, keys: &[Vec<u8>]) -> Result<(), IndexError> {
        if keys.is_empty() {
            return Ok(());
        }
        let prepared = self.prepared(&format!("DELETE FROM {} WHERE {column} = ANY($1)", table.name))?;
        self.client.execute(&prepared, &[&keys])?;
        Ok(())
    }
}

/// Whether every server that is named is on this machine. An address goes before the name that it is given for.
fn is_local(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    addresses.iter().all(IpAddr::is_loopback)
        && config.get_hosts().iter().all(|host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
        })
}

fn references(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn row(found: &postgres::Row) -> Result<Row, IndexError> {
    let columns = found.columns().iter().enumerate();
    let values = columns.map(|(index, column)| {
        let value = match *column.type_() {
            Type::INT8 => found.try_get::<_, Option<i64>>(index)?.map(Value::Int),
            Type::BYTEA => found.try_get::<_, Option<Vec<u8>>>(index)?.map(Value::Bytes),
            Type::TEXT => found.try_get::<_, Option<String>>(index)?.map(Value::Text),
            _ => return Err(IndexError::Damaged("a column has another type")),
        };
        Ok(Value::maybe(value))
    });
    Ok(Row::new(values.collect::<Result<_, _>>()?))
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql_checked(ty, out),
            Self::Text(text) => text.to_sql_checked(ty, out),
            Self::Bytes(bytes) => bytes.to_sql_checked(ty, out),
        }
    }

    /// Which type a value has is checked when it is written.
    fn accepts(_: &Type) -> bool {
        true
    }

    postgres::types::to_sql_checked!();
}

/// Whoever makes the tables is alone in it until its transaction ends: what is not there yet has no rows to lock.
const ALONE: &str = "SELECT pg_advisory_xact_lock(hashtext('pox_index'));";
/// Statements that are kept ready; a query has as many forms as its filter has parts.
const MAX_STATEMENTS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        let local = |url: &str| is_local(&url.parse().unwrap());
        for url in ["postgres:///db?host=/run/pg", "postgres://localhost/db", "postgres://127.0.0.1,[::1]/db"]
        {
            assert!(local(url), "{url}");
        }
        for url in [
            "postgres://db.example/pox",
            "postgres://localhost,db.example/pox",
            "postgres://localhost/pox?hostaddr=192.0.2.1",
            "postgres:///pox?hostaddr=192.0.2.1",
        ] {
            assert!(!local(url), "{url}");
        }
    }
}
