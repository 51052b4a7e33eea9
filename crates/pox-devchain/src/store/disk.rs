//! A chain in one database file, written block by block.

use std::{
    collections::HashMap,
    hash::Hash,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{B256, Bytes};
use alloy_rlp::Decodable;
use alloy_trie::KECCAK_EMPTY;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Location, Store, StoreError};
use crate::{
    block::Block,
    header::Header,
    state::Changes,
    trie::{Node, Nodes},
};

/// Name of the database in the data folder.
pub(crate) const FILE_NAME: &str = "chain.redb";

/// Layout of the tables and of what genesis has by default; raised when one changes. Since 2 the contract is in it that announces
/// changes of the authorities.
const FORMAT: u64 = 2;

/// Trie nodes kept decoded: some hundred bytes each, so tens of megabytes at most.
const CACHED_NODES: usize = 50_000;

/// Blocks kept decoded: what followers of the head read again and again.
const CACHED_BLOCKS: usize = 256;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const HEADERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("headers");
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
const NUMBERS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("numbers");
const LOCATIONS: TableDefinition<'_, &[u8; 32], (u64, u64)> = TableDefinition::new("locations");
const NODES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("nodes");
const CODES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("codes");

/// A durable store. One block is one transaction of the database, which is on disk before it returns.
///
/// Trie nodes are never removed: those of dropped blocks stay behind as waste, and the states of all blocks readable.
pub(crate) struct DiskStore {
    database: Database,
    nodes: Mutex<Cache<B256, Arc<Node>>>,
    blocks: Mutex<Cache<u64, Arc<Block>>>,
}

/// What identifies the chain in a database, so that it isn't continued with other rules.
pub(crate) enum Identity {
    /// The database was new and now is of that chain.
    Written,
    /// The database is of that chain.
    Matches,
    /// The database is of another chain.
    Differs,
    /// The database is of another version of this program.
    OtherFormat,
}

impl DiskStore {
    /// Opens or creates the database in `folder`, which must exist.
    pub(crate) fn open(folder: &Path) -> Result<Self, redb::DatabaseError> {
        let database = Database::create(folder.join(FILE_NAME))?;
        Ok(Self {
            database,
            nodes: Mutex::new(Cache::new(CACHED_NODES)),
            blocks: Mutex::new(Cache::new(CACHED_BLOCKS)),
        })
    }

    /// Compares the chain's identity with the recorded one, and records it in a new database.
    pub(crate) fn identify(&self, identity: &B256) -> Result<Identity, StoreError> {
        let writing = self.database.begin_write()?;
        let outcome = {
            let mut meta = writing.open_table(META)?;
            let read = |key: &str| -> Result<Option<Vec<u8>>, StoreError> {
                Ok(meta.get(key)?.map(|value| value.value().to_vec()))
            };
            match (read("format")?, read("identity")?) {
                (None, None) => {
                    meta.insert("format", FORMAT.to_be_bytes().as_slice())?;
                    meta.insert("identity", identity.as_slice())?;
                    Identity::Written
                }
                (Some(format), _) if format != FORMAT.to_be_bytes() => Identity::OtherFormat,
                (Some(_), Some(known)) if known == identity.as_slice() => Identity::Matches,
                _ => Identity::Differs,
            }
        };
        if matches!(outcome, Identity::Written) {
            writing.open_table(HEADERS)?;
            writing.open_table(BLOCKS)?;
            writing.open_table(NUMBERS)?;
            writing.open_table(LOCATIONS)?;
            writing.open_table(NODES)?;
            writing.open_table(CODES)?;
            writing.commit()?;
        } else {
            writing.abort()?;
        }
        Ok(outcome)
    }
}

impl Nodes for DiskStore {
    fn node(&self, hash: &B256) -> Result<Arc<Node>, StoreError> {
        if let Some(node) = lock(&self.nodes).get(hash) {
            return Ok(node);
        }
        let table = self.database.begin_read()?.open_table(NODES)?;
        let bytes = table.get(&hash.0)?.ok_or(StoreError::MissingNode(*hash))?;
        let node = Arc::new(Node::decode(bytes.value()).map_err(|_| StoreError::Damaged("trie node"))?);
        lock(&self.nodes).insert(*hash, node.clone());
        Ok(node)
    }
}

impl Store for DiskStore {
    fn head(&self) -> Result<Option<u64>, StoreError> {
        let table = self.database.begin_read()?.open_table(HEADERS)?;
        Ok(table.last()?.map(|(number, _)| number.value()))
    }

    fn block(&self, number: u64) -> Result<Option<Arc<Block>>, StoreError> {
        if let Some(block) = lock(&self.blocks).get(&number) {
            return Ok(Some(block));
        }
        let table = self.database.begin_read()?.open_table(BLOCKS)?;
        let Some(bytes) = table.get(number)? else { return Ok(None) };
        let block = Block::decode_record(bytes.value()).map_err(|_| StoreError::Damaged("block"))?;
        // Not cached: a reader that raced a truncation would put a dropped block back.
        Ok(Some(Arc::new(block)))
    }

    fn header(&self, number: u64) -> Result<Option<Header>, StoreError> {
        if let Some(block) = lock(&self.blocks).get(&number) {
            return Ok(Some(block.header.clone()));
        }
        let table = self.database.begin_read()?.open_table(HEADERS)?;
        let Some(bytes) = table.get(number)? else { return Ok(None) };
        Header::decode(&mut bytes.value()).map(Some).map_err(|_| StoreError::Damaged("header"))
    }

    fn number_of(&self, hash: &B256) -> Result<Option<u64>, StoreError> {
        let table = self.database.begin_read()?.open_table(NUMBERS)?;
        Ok(table.get(&hash.0)?.map(|number| number.value()))
    }

    fn location(&self, transaction: &B256) -> Result<Option<Location>, StoreError> {
        let table = self.database.begin_read()?.open_table(LOCATIONS)?;
        let Some(found) = table.get(&transaction.0)? else { return Ok(None) };
        let (block, index) = found.value();
        let index = usize::try_from(index).map_err(|_| StoreError::Damaged("transaction location"))?;
        Ok(Some(Location { block, index }))
    }

    fn code(&self, hash: &B256) -> Result<Bytes, StoreError> {
        if *hash == KECCAK_EMPTY {
            return Ok(Bytes::new());
        }
        let table = self.database.begin_read()?.open_table(CODES)?;
        let code = table.get(&hash.0)?.ok_or(StoreError::MissingCode(*hash))?;
        Ok(Bytes::copy_from_slice(code.value()))
    }

    fn append(&self, block: Arc<Block>, changes: Changes) -> Result<(), StoreError> {
        let number = block.header.number;
        if number != self.head()?.map_or(0, |head| head + 1) {
            return Err(StoreError::OutOfOrder(number));
        }
        let writing = self.database.begin_write()?;
        {
            let mut nodes = writing.open_table(NODES)?;
            for (hash, node) in &changes.nodes {
                nodes.insert(&hash.0, node.encode().as_slice())?;
            }
            let mut codes = writing.open_table(CODES)?;
            for (hash, code) in &changes.codes {
                codes.insert(&hash.0, code.as_ref())?;
            }
            let mut locations = writing.open_table(LOCATIONS)?;
            for (index, transaction) in (0u64..).zip(&block.transactions) {
                locations.insert(&transaction.hash().0, (number, index))?;
            }
            writing.open_table(NUMBERS)?.insert(&block.hash.0, number)?;
            writing.open_table(HEADERS)?.insert(number, alloy_rlp::encode(&block.header).as_slice())?;
            writing.open_table(BLOCKS)?.insert(number, block.encode_record().as_slice())?;
        }
        writing.commit()?;
        let mut cached = lock(&self.nodes);
        for (hash, node) in changes.nodes {
            cached.insert(hash, node);
        }
        drop(cached);
        lock(&self.blocks).insert(number, block);
        Ok(())
    }

    fn truncate(&self, head: u64) -> Result<(), StoreError> {
        let writing = self.database.begin_write()?;
        {
            let mut headers = writing.open_table(HEADERS)?;
            let mut blocks = writing.open_table(BLOCKS)?;
            let mut numbers = writing.open_table(NUMBERS)?;
            let mut locations = writing.open_table(LOCATIONS)?;
            let last = blocks.last()?.map_or(0, |(number, _)| number.value());
            for number in (head + 1..=last).rev() {
                let record = blocks.remove(number)?.map(|record| record.value().to_vec()).unwrap_or_default();
                let block = Block::decode_record(&record).map_err(|_| StoreError::Damaged("block"))?;
                for transaction in &block.transactions {
                    locations.remove(&transaction.hash().0)?;
                }
                numbers.remove(&block.hash.0)?;
                headers.remove(number)?;
            }
        }
        writing.commit()?;
        lock(&self.blocks).clear();
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A cache is right whatever its last user didn't finish.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps at least the last `limit` and at most twice as many entries.
struct Cache<K, V> {
    limit: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash + Copy, V: Clone> Cache<K, V> {
    fn new(limit: usize) -> Self {
        Self { limit, young: HashMap::new(), old: HashMap::new() }
    }

    fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.insert(*key, value.clone());
        Some(value)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.limit {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let mut cache = Cache::new(4);
        for n in 0..100 {
            cache.insert(n, n);
            assert_eq!(cache.get(&0), Some(0));
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        assert_eq!(cache.get(&5), None);
    }
}
