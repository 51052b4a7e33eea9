//! Events and tasks as rows.

use crate::engine::{Row, Value};
use crate::entry::{Entry, phase_name};
use crate::error::IndexError;
use crate::index::LocatedEvent;
use crate::schema::{
    APPROVALS, EVENTS, INPUTS, MATCHES, MEMBERS, OFFERS, RECEIPTS, TASKS, Table, WITHDRAWN_OFFERS,
};
use alloy_primitives::{B256, LogData};
use pox_chain::{BlockAt, Place};
use pox_core::history::Step;
use pox_core::replay::{Replay, Stage};
use pox_core::{Domain, Event, TaskId, UnixTime};

/// Rows for the tables, as they come.
#[derive(Default)]
pub(crate) struct Rows(Vec<(&'static Table, Vec<Vec<Value>>)>);

impl Rows {
    pub(crate) fn push(&mut self, table: &'static Table, row: Vec<Value>) {
        match self.0.iter_mut().find(|(of, _)| std::ptr::eq(*of, table)) {
            Some((_, rows)) => rows.push(row),
            None => self.0.push((table, vec![row])),
        }
    }

    pub(crate) fn into_tables(self) -> impl Iterator<Item = (&'static Table, Vec<Vec<Value>>)> {
        self.0.into_iter()
    }

    /// An event, and what it says in columns of its own.
    pub(crate) fn push_event(
        &mut self,
        located: &LocatedEvent,
        step: Option<(u64, Step)>,
    ) -> Result<(), IndexError> {
        let (block, position) = place(&located.place)?;
        let topics: Vec<u8> = located.log.topics().iter().flat_map(|topic| topic.0).collect();
        let row = vec![
            block.clone(),
            position.clone(),
            Value::bytes(located.place.transaction),
            Value::Text(kind(&located.event).to_owned()),
            Value::maybe(located.event.task().map(|task| Value::bytes(task.0))),
            Value::maybe(step.map(|(number, _)| Value::saturating(number))),
            Value::maybe(step.map(|(_, step)| Value::bytes(step.payload))),
            Value::Bytes(topics),
            Value::bytes(&located.log.data),
        ];
        self.push(&EVENTS, row);
        if let Some((table, mut columns)) = columns(&located.event) {
            let mut row = vec![block, position];
            row.append(&mut columns);
            self.push(table, row);
        }
        Ok(())
    }

    /// A task as it stands, and its inputs if it is new.
    pub(crate) fn push_task(&mut self, task: TaskId, entry: &Entry, is_new: bool) -> Result<(), IndexError> {
        let request = entry.replay.as_ref().map(|replay| &replay.request);
        let seat = entry.replay.as_ref().and_then(Replay::seat);
        let receipt = entry.replay.as_ref().and_then(|replay| match &replay.stage {
            Stage::Proven { receipt, .. } => Some(receipt),
            _ => None,
        });
        let block = Value::exact(entry.first.at.number, "block number")?;
        let position = Value::exact(entry.first.position, "log index")?;
        let proven = entry.proven;
        let exact = |number: Option<u64>, what| number.map(|number| Value::exact(number, what)).transpose();
        let row = vec![
            Value::bytes(task.0),
            block.clone(),
            position.clone(),
            Value::exact(entry.first.at.time.0, "block time")?,
            Value::maybe(request.map(|request| Value::bytes(request.owner))),
            Value::maybe(request.map(|request| Value::bytes(request.image.0))),
            Value::maybe(request.map(|request| Value::Text(request.price.wei().to_string()))),
            Value::maybe(request.map(|request| Value::bytes(request.policy.0))),
            Value::maybe(request.map(|request| Value::bytes(request.metadata.0))),
            Value::Text(phase_name(entry.phase()).to_owned()),
            Value::maybe(
                entry.replay.as_ref().and_then(Replay::deadline).map(|time| Value::saturating(time.0)),
            ),
            Value::maybe(seat.map(|seat| Value::bytes(seat.processor))),
            Value::maybe(seat.map(|seat| Value::bytes(seat.enclave))),
            Value::maybe(exact(proven.map(|spot| spot.at.number), "block number")?),
            Value::maybe(exact(proven.map(|spot| spot.position), "log index")?),
            Value::maybe(exact(proven.map(|spot| spot.at.time.0), "block time")?),
            Value::maybe(receipt.map(|receipt| Value::Int(receipt.outcome.into()))),
            Value::maybe(receipt.map(|receipt| Value::bytes(receipt.results))),
            Value::saturating(entry.steps),
            Value::bytes(entry.history().0),
            Value::maybe(entry.fault.map(|fault| Value::Text(fault.to_string()))),
        ];
        self.push(&TASKS, row);
        if let Some(request) = request.filter(|_| is_new) {
            for (index, input) in request.inputs.iter().enumerate() {
                let row = vec![
                    Value::bytes(task.0),
                    Value::saturating(index as u64),
                    Value::bytes(input.0),
                    block.clone(),
                    position.clone(),
                ];
                self.push(&INPUTS, row);
            }
        }
        Ok(())
    }
}

/// What an event says, for those that have a table; the columns after `block` and `position`.
fn columns(event: &Event) -> Option<(&'static Table, Vec<Value>)> {
    Some(match event {
        Event::Offered { offer, terms } => {
            let has = &terms.resources;
            let columns = vec![
                Value::bytes(offer.0),
                Value::bytes(terms.processor),
                Value::Int(terms.kinds.0.into()),
                Value::Int(has.cpu_millis.into()),
                Value::Int(has.memory_mib.into()),
                Value::Int(has.disk_mib.into()),
                Value::Int(has.time_limit.into()),
                Value::Text(terms.price_per_second.wei().to_string()),
                Value::Text(terms.bond.wei().to_string()),
                Value::saturating(terms.valid_until.0),
            ];
            (&OFFERS, columns)
        }
        Event::OfferWithdrawn { offer, processor } => {
            (&WITHDRAWN_OFFERS, vec![Value::bytes(offer.0), Value::bytes(processor)])
        }
        Event::Matched { task, offer, processor, enclave, evidence, bond } => {
            let columns = vec![
                Value::bytes(task.0),
                Value::bytes(offer.0),
                Value::bytes(processor),
                Value::bytes(enclave),
                Value::bytes(evidence),
                Value::Text(bond.wei().to_string()),
            ];
            (&MATCHES, columns)
        }
        Event::Approved { task, enclave, secret } => {
            let (task, enclave, secret) = (Value::bytes(task.0), Value::bytes(enclave), Value::bytes(secret));
            (&APPROVALS, vec![task, Value::maybe(None), enclave, secret])
        }
        Event::Released { task, account, enclave, secret, .. } => {
            let (task, account) = (Value::bytes(task.0), Value::bytes(account));
            (&APPROVALS, vec![task, account, Value::bytes(enclave), Value::bytes(secret)])
        }
        Event::Members { task, root, count } => {
            (&MEMBERS, vec![Value::bytes(task.0), Value::bytes(root.0), Value::Int((*count).into())])
        }
        Event::Proven { task, processor, receipt, archive } => {
            let columns = vec![
                Value::bytes(task.0),
                Value::bytes(processor),
                Value::bytes(receipt.enclave),
                Value::Int(receipt.outcome.into()),
                Value::Int(receipt.exitCode.into()),
                Value::bytes(receipt.results),
                Value::bytes(receipt.report),
                Value::saturating(receipt.cpuMicros),
                Value::saturating(receipt.wallMicros),
                Value::saturating(receipt.memoryPeak),
                Value::bytes(archive.0),
            ];
            (&RECEIPTS, columns)
        }
        Event::Requested { .. }
        | Event::Sponsored { .. }
        | Event::Uses { .. }
        | Event::Rejected { .. }
        | Event::Cancelled { .. }
        | Event::Expired { .. }
        | Event::Withdrawn { .. } => return None,
    })
}

/// The word for an event.
pub(crate) fn kind(event: &Event) -> &'static str {
    match event {
        Event::Requested { .. } => "requested",
        Event::Sponsored { .. } => "sponsored",
        Event::Uses { .. } => "uses",
        Event::Offered { .. } => "offered",
        Event::OfferWithdrawn { .. } => "offer-withdrawn",
        Event::Matched { .. } => "matched",
        Event::Rejected { .. } => "rejected",
        Event::Approved { .. } => "approved",
        Event::Released { .. } => "released",
        Event::Members { .. } => "members",
        Event::Proven { .. } => "proven",
        Event::Cancelled { .. } => "cancelled",
        Event::Expired { .. } => "expired",
        Event::Withdrawn { .. } => "withdrawn",
    }
}

/// What [`read_event`] reads; `e` is the event, `b` its block.
pub(crate) const EVENT_COLUMNS: &str =
    "e.block, e.position, b.hash, b.time, e.transaction_hash, e.topics, e.data, e.step, e.payload";

/// An event, parsed again from what was stored.
pub(crate) fn read_event(row: &Row, domain: &Domain) -> Result<LocatedEvent, IndexError> {
    let topics = row.bytes(5)?.chunks(32).map(B256::try_from).collect::<Result<Vec<_>, _>>();
    let topics = topics.map_err(|_| IndexError::Damaged("a topic has not 32 bytes"))?;
    let log = LogData::new(topics, row.bytes(6)?.to_vec().into())
        .ok_or(IndexError::Damaged("an event has too many topics"))?;
    let place = Place {
        block: BlockAt { number: row.count(0)?, hash: B256::from(row.fixed::<32>(2)?) },
        time: UnixTime(row.count(3)?),
        transaction: B256::from(row.fixed::<32>(4)?),
        index: row.count(1)?,
    };
    let event = Event::parse(domain, &log)?;
    Ok(LocatedEvent { place, event, log })
}

fn place(place: &Place) -> Result<(Value, Value), IndexError> {
    Ok((Value::exact(place.block.number, "block number")?, Value::exact(place.index, "log index")?))
}
