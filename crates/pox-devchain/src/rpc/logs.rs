//! Logs, and filters that remember how far they were read.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};

use alloy_primitives::{Address, B256, Bloom, BloomInput, Log};
use serde_json::{Value, json};

use super::{
    Answer,
    calls::{Fields, field},
    error::{LIMIT_EXCEEDED, RpcError},
    params::{At, FromParam, Params, find_hash},
    render::{self, quantity},
};
use crate::{block::Block, chain::Inner};

/// Blocks that one query covers at most.
const MAX_RANGE: u64 = 100_000;

/// Logs that one query gives at most.
const MAX_RESULTS: usize = 10_000;

/// Addresses, and topics in one position, that one query names at most.
const MAX_ALTERNATIVES: usize = 1000;

/// Topics that a log can have.
const MAX_TOPICS: usize = 4;

/// Filters that are kept at most; the oldest goes first.
const MAX_FILTERS: usize = 256;

/// Filters that clients made, by their number.
#[derive(Default)]
pub(crate) struct Filters {
    last: u64,
    open: BTreeMap<u64, Filter>,
}

#[derive(Clone)]
struct Filter {
    /// `None` for the hashes of new blocks.
    query: Option<Query>,
    /// First block that wasn't looked at.
    next: u64,
}

/// Which logs are meant.
#[derive(Clone, Debug)]
pub(super) struct Query {
    place: Place,
    /// Any of them; none for all.
    addresses: Vec<Address>,
    /// For each position any of them; none for all.
    topics: Vec<Vec<B256>>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Block(B256),
    Range(At, At),
}

pub(super) fn logs(chain: &Inner, params: Params) -> Answer {
    let query: Query = params.one()?;
    find(chain, &query).map(Value::Array)
}

pub(super) fn new_filter(chain: &Inner, params: Params) -> Answer {
    let query: Query = params.one()?;
    if matches!(query.place, Place::Block(_)) {
        return Err(RpcError::params("a filter follows a range, not a block"));
    }
    Ok(add(chain, Some(query)))
}

pub(super) fn new_block_filter(chain: &Inner, params: Params) -> Answer {
    params.none()?;
    Ok(add(chain, None))
}

/// What is new since the filter was made or read last. Blocks that were reorganised away are not taken back.
pub(super) fn filter_changes(chain: &Inner, params: Params) -> Answer {
    let id: u64 = params.one()?;
    let head = chain.head().header.number;
    let (query, from) = {
        let mut filters = filters(chain);
        let filter = filters.open.get_mut(&id).ok_or_else(filter_not_found)?;
        // After a reorganisation to a shorter branch the new blocks begin at its end.
        let from = filter.next.min(head + 1);
        filter.next = head + 1;
        (filter.query.clone(), from)
    };
    if from > head {
        return Ok(json!([]));
    }
    let Some(query) = query else {
        let mut hashes = Vec::new();
        for number in from.max((head + 1).saturating_sub(MAX_RANGE))..=head {
            hashes.extend(chain.store().block(number)?.map(|block| json!(block.hash)));
        }
        return Ok(Value::Array(hashes));
    };
    let Place::Range(first, last) = query.place else { return Ok(json!([])) };
    let first = if let At::Number(first) = first { first.max(from) } else { from };
    let last = if let At::Number(last) = last { last.min(head) } else { head };
    if first > last {
        return Ok(json!([]));
    }
    let place = Place::Range(At::Number(first), At::Number(last));
    find(chain, &Query { place, ..query }).map(Value::Array)
}

pub(super) fn filter_logs(chain: &Inner, params: Params) -> Answer {
    let id: u64 = params.one()?;
    let query = filters(chain).open.get(&id).ok_or_else(filter_not_found)?.query.clone();
    find(chain, &query.ok_or_else(filter_not_found)?).map(Value::Array)
}

pub(super) fn uninstall(chain: &Inner, params: Params) -> Answer {
    let id: u64 = params.one()?;
    Ok(json!(filters(chain).open.remove(&id).is_some()))
}

fn add(chain: &Inner, query: Option<Query>) -> Value {
    let next = chain.head().header.number + 1;
    let mut filters = filters(chain);
    if filters.open.len() == MAX_FILTERS {
        filters.open.pop_first();
    }
    filters.last += 1;
    let id = filters.last;
    filters.open.insert(id, Filter { query, next });
    quantity(id)
}

fn filters(chain: &Inner) -> MutexGuard<'_, Filters> {
    // Nothing panics while it holds the lock.
    chain.filters.lock().unwrap_or_else(PoisonError::into_inner)
}

fn filter_not_found() -> RpcError {
    RpcError::server("filter not found")
}

fn find(chain: &Inner, query: &Query) -> Result<Vec<Value>, RpcError> {
    let mut found = Vec::new();
    match query.place {
        Place::Block(hash) => {
            let block = find_hash(chain, &hash)?.ok_or_else(|| RpcError::server("unknown block"))?;
            query.collect(&block, &mut found)?;
        }
        Place::Range(first, last) => {
            let head = chain.head().header.number;
            let (first, last) = (first.number(chain)?, last.number(chain)?);
            if first > last {
                return Err(RpcError::params("invalid block range params"));
            }
            if first > head {
                return Err(RpcError::params("block range extends beyond current head block"));
            }
            let last = last.min(head);
            if last - first >= MAX_RANGE {
                let message = format!("query exceeds max block range {MAX_RANGE}");
                return Err(RpcError::new(LIMIT_EXCEEDED, message));
            }
            for number in first..=last {
                let header = chain.store().header(number)?;
                if !header.is_some_and(|header| query.may_be_in(&header.logs_bloom)) {
                    continue;
                }
                if let Some(block) = chain.store().block(number)? {
                    query.collect(&block, &mut found)?;
                }
            }
        }
    }
    Ok(found)
}

impl Query {
    fn may_be_in(&self, bloom: &Bloom) -> bool {
        let has = |value: &[u8]| bloom.contains_input(BloomInput::Raw(value));
        let any_of = |topics: &Vec<B256>| topics.is_empty() || topics.iter().any(|topic| has(&topic[..]));
        (self.addresses.is_empty() || self.addresses.iter().any(|address| has(&address[..])))
            && self.topics.iter().all(any_of)
    }

    fn matches(&self, log: &Log) -> bool {
        let topics = log.data.topics();
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= topics.len()
            && self
                .topics
                .iter()
                .zip(topics)
                .all(|(wanted, topic)| wanted.is_empty() || wanted.contains(topic))
    }

    fn collect(&self, block: &Block, found: &mut Vec<Value>) -> Result<(), RpcError> {
        let mut number = 0;
        for (index, receipt) in block.receipts.iter().enumerate() {
            for log in receipt.logs() {
                if self.matches(log) {
                    if found.len() == MAX_RESULTS {
                        let message = format!("query returned more than {MAX_RESULTS} results");
                        return Err(RpcError::new(LIMIT_EXCEEDED, message));
                    }
                    found.push(render::log(block, index, number, log));
                }
                number += 1;
            }
        }
        Ok(())
    }
}

impl FromParam for Query {
    fn from_param(value: &Value) -> Result<Self, String> {
        let Fields(fields) = Fields::from_param(value)?;
        let (from, to): (Option<At>, Option<At>) = (field(&fields, "fromBlock")?, field(&fields, "toBlock")?);
        let place = match field(&fields, "blockHash")? {
            Some(_) if from.is_some() || to.is_some() => {
                return Err(
                    "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other".into()
                );
            }
            Some(hash) => Place::Block(hash),
            None => Place::Range(from.unwrap_or_default(), to.unwrap_or_default()),
        };
        let addresses = field(&fields, "address")?.map_or_else(Vec::new, |OneOrMany(addresses)| addresses);
        let topics: Vec<OneOrMany<B256>> = match fields.get("topics") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(positions)) => {
                positions.iter().map(OneOrMany::from_param).collect::<Result<_, _>>()?
            }
            Some(_) => return Err("topics: not an array".into()),
        };
        if topics.len() > MAX_TOPICS {
            return Err("exceed max topics".into());
        }
        let topics: Vec<Vec<B256>> = topics.into_iter().map(|OneOrMany(topics)| topics).collect();
        if addresses.len() > MAX_ALTERNATIVES || topics.iter().any(|topics| topics.len() > MAX_ALTERNATIVES) {
            return Err("exceed max addresses or topics per search position".into());
        }
        Ok(Self { place, addresses, topics })
    }
}

/// A value, an array of values, or null for any. A null in the array makes it any, too.
struct OneOrMany<T>(Vec<T>);

impl<T: FromParam> FromParam for OneOrMany<T> {
    fn from_param(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self(Vec::new())),
            Value::Array(values) if values.contains(&Value::Null) => Ok(Self(Vec::new())),
            Value::Array(_) => Vec::from_param(value).map(Self),
            one => T::from_param(one).map(|one| Self(vec![one])),
        }
    }
}
