//! A chain that ends with the process.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use alloy_primitives::{B256, Bytes};
use alloy_trie::KECCAK_EMPTY;

use super::{Location, Store, StoreError};
use crate::{
    block::Block,
    header::Header,
    state::Changes,
    trie::{Node, Nodes},
};

/// Everything in maps. All states of all blocks are kept, those of dropped blocks too.
#[derive(Default)]
pub(crate) struct MemoryStore(RwLock<Maps>);

#[derive(Default)]
struct Maps {
    nodes: HashMap<B256, Arc<Node>>,
    codes: HashMap<B256, Bytes>,
    blocks: Vec<Arc<Block>>,
    numbers: HashMap<B256, u64>,
    locations: HashMap<B256, Location>,
}

impl MemoryStore {
    // No writer panics half-way: each only inserts into or removes from maps.
    fn read(&self) -> RwLockReadGuard<'_, Maps> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nodes for MemoryStore {
    fn node(&self, hash: &B256) -> Result<Arc<Node>, StoreError> {
        self.read().nodes.get(hash).cloned().ok_or(StoreError::MissingNode(*hash))
    }
}

impl Store for MemoryStore {
    fn head(&self) -> Result<Option<u64>, StoreError> {
        Ok((self.read().blocks.len() as u64).checked_sub(1))
    }

    fn block(&self, number: u64) -> Result<Option<Arc<Block>>, StoreError> {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        Ok(self.read().blocks.get(index).cloned())
    }

    fn header(&self, number: u64) -> Result<Option<Header>, StoreError> {
        Ok(self.block(number)?.map(|block| block.header.clone()))
    }

    fn number_of(&self, hash: &B256) -> Result<Option<u64>, StoreError> {
        Ok(self.read().numbers.get(hash).copied())
    }

    fn location(&self, transaction: &B256) -> Result<Option<Location>, StoreError> {
        Ok(self.read().locations.get(transaction).copied())
    }

    fn code(&self, hash: &B256) -> Result<Bytes, StoreError> {
        if *hash == KECCAK_EMPTY {
            return Ok(Bytes::new());
        }
        self.read().codes.get(hash).cloned().ok_or(StoreError::MissingCode(*hash))
    }

    fn append(&self, block: Arc<Block>, changes: Changes) -> Result<(), StoreError> {
        let mut maps = self.write();
        let number = block.header.number;
        if number != maps.blocks.len() as u64 {
            return Err(StoreError::OutOfOrder(number));
        }
        maps.nodes.extend(changes.nodes);
        maps.codes.extend(changes.codes);
        maps.numbers.insert(block.hash, number);
        for (index, transaction) in block.transactions.iter().enumerate() {
            maps.locations.insert(transaction.hash(), Location { block: number, index });
        }
        maps.blocks.push(block);
        Ok(())
    }

    fn truncate(&self, head: u64) -> Result<(), StoreError> {
        let mut maps = self.write();
        let keep = usize::try_from(head).unwrap_or(usize::MAX).saturating_add(1);
        while maps.blocks.len() > keep {
            let Some(block) = maps.blocks.pop() else { break };
            maps.numbers.remove(&block.hash);
            for transaction in &block.transactions {
                maps.locations.remove(&transaction.hash());
            }
        }
        Ok(())
    }
}
