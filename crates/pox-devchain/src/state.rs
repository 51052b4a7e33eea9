//! The world state: accounts, storage and code under a state root, and changes on top of one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, TrieAccount};
use revm::{
    Database, DatabaseCommit,
    bytecode::Bytecode,
    primitives::{AddressMap, hardfork::SpecId},
    state::{Account, AccountInfo},
};

use crate::{
    config::GenesisAccount,
    store::{Store, StoreError},
    trie::{Fresh, Node, Nodes, Trie},
};

/// The state under one root, to read.
#[derive(Clone, Copy)]
pub(crate) struct State<'s> {
    store: &'s dyn Store,
    root: B256,
}

impl<'s> State<'s> {
    pub(crate) fn new(store: &'s dyn Store, root: B256) -> Self {
        Self { store, root }
    }

    pub(crate) fn account(&self, address: &Address) -> Result<Option<TrieAccount>, StoreError> {
        read_account(self.nodes(), self.root, address)
    }

    /// The account, or the empty one.
    pub(crate) fn account_or_empty(&self, address: &Address) -> Result<TrieAccount, StoreError> {
        Ok(self.account(address)?.unwrap_or_default())
    }

    pub(crate) fn storage(&self, address: &Address, slot: U256) -> Result<U256, StoreError> {
        let Some(account) = self.account(address)? else { return Ok(U256::ZERO) };
        read_word(self.nodes(), account.storage_root, slot)
    }

    pub(crate) fn code(&self, address: &Address) -> Result<Bytes, StoreError> {
        match self.account(address)? {
            Some(account) => self.store.code(&account.code_hash),
            None => Ok(Bytes::new()),
        }
    }

    /// The trie nodes that prove the account, or its absence.
    pub(crate) fn account_proof(&self, address: &Address) -> Result<Vec<Bytes>, StoreError> {
        Trie::open(self.nodes(), self.root).proof(&keccak256(address))
    }

    /// The trie nodes that prove a word under that storage root, or that it is zero.
    pub(crate) fn storage_proof(&self, storage_root: B256, slot: U256) -> Result<Vec<Bytes>, StoreError> {
        Trie::open(self.nodes(), storage_root).proof(&slot_key(slot))
    }

    fn nodes(&self) -> &'s dyn Nodes {
        self.store
    }
}

/// What a block adds to the store besides itself.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) nodes: HashMap<B256, Arc<Node>>,
    pub(crate) codes: HashMap<B256, Bytes>,
}

/// Changes on top of a state; nothing is written until they are taken out with [`Overlay::into_changes`].
pub(crate) struct Overlay<'s> {
    store: &'s dyn Store,
    fresh: Fresh<'s>,
    spec: SpecId,
    root: B256,
    accounts: HashMap<Address, Entry>,
    dirty: HashSet<Address>,
    codes: HashMap<B256, Bytes>,
}

/// An account as it is now.
#[derive(Clone, Default)]
struct Entry {
    /// `None` if it doesn't exist. The storage root is the one of the last flush.
    account: Option<TrieAccount>,
    /// Words written since the last flush.
    written: HashMap<U256, U256>,
}

impl<'s> Overlay<'s> {
    pub(crate) fn new(store: &'s dyn Store, root: B256, spec: SpecId) -> Self {
        Self {
            store,
            fresh: Fresh::over(store),
            spec,
            root,
            accounts: HashMap::new(),
            dirty: HashSet::new(),
            codes: HashMap::new(),
        }
    }

    /// Puts an account of the genesis block.
    pub(crate) fn put_genesis(&mut self, address: Address, genesis: &GenesisAccount) {
        let code_hash = self.put_code(genesis.code.clone());
        let account = TrieAccount::new(genesis.nonce, genesis.balance, EMPTY_ROOT_HASH, code_hash);
        let written = genesis.storage.iter().map(|(slot, word)| (*slot, *word)).collect();
        self.accounts.insert(address, Entry { account: Some(account), written });
        self.dirty.insert(address);
    }

    /// Credits an account outside of any transaction; crediting nothing doesn't create it.
    pub(crate) fn credit(&mut self, address: Address, amount: U256) -> Result<(), StoreError> {
        if !amount.is_zero() {
            let account = self.entry(address)?.account.get_or_insert_default();
            account.balance = account.balance.saturating_add(amount);
            self.dirty.insert(address);
        }
        Ok(())
    }

    pub(crate) fn has_code(&mut self, address: Address) -> Result<bool, StoreError> {
        Ok(self.entry(address)?.account.is_some_and(|account| account.code_hash != KECCAK_EMPTY))
    }

    /// Writes the changes into the tries and gives the new state root.
    pub(crate) fn flush(&mut self) -> Result<B256, StoreError> {
        let mut accounts = Trie::open(&self.fresh, self.root);
        for address in self.dirty.drain() {
            let Some(entry) = self.accounts.get_mut(&address) else { continue };
            let written = std::mem::take(&mut entry.written);
            let key = keccak256(address);
            let Some(account) = &mut entry.account else {
                accounts.remove(&key)?;
                continue;
            };
            let mut storage = Trie::open(&self.fresh, account.storage_root);
            for (slot, word) in written {
                if word.is_zero() {
                    storage.remove(&slot_key(slot))?;
                } else {
                    storage.insert(&slot_key(slot), alloy_rlp::encode(word))?;
                }
            }
            account.storage_root = storage.seal();
            accounts.insert(&key, alloy_rlp::encode(account))?;
        }
        self.root = accounts.seal();
        Ok(self.root)
    }

    /// Gives up what has to be written for the roots that were flushed.
    pub(crate) fn into_changes(self) -> Changes {
        Changes { nodes: self.fresh.into_nodes(), codes: self.codes }
    }

    fn entry(&mut self, address: Address) -> Result<&mut Entry, StoreError> {
        use std::collections::hash_map::Entry::{Occupied, Vacant};
        match self.accounts.entry(address) {
            Occupied(entry) => Ok(entry.into_mut()),
            Vacant(entry) => {
                let account = read_account(&self.fresh, self.root, &address)?;
                Ok(entry.insert(Entry { account, written: HashMap::new() }))
            }
        }
    }

    fn put_code(&mut self, code: Bytes) -> B256 {
        let hash = keccak256(&code);
        if !code.is_empty() {
            self.codes.insert(hash, code);
        }
        hash
    }

    fn apply(&mut self, address: Address, changed: Account) {
        self.dirty.insert(address);
        let gone = changed.is_selfdestructed()
            || changed.is_empty() && self.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
        let entry = self.accounts.entry(address).or_default();
        if gone {
            *entry = Entry::default();
            return;
        }
        let storage_root = match &entry.account {
            Some(account) if !changed.is_created() => account.storage_root,
            _ => {
                entry.written.clear();
                EMPTY_ROOT_HASH
            }
        };
        let AccountInfo { nonce, balance, code_hash, code, .. } = changed.info;
        entry.account = Some(TrieAccount::new(nonce, balance, storage_root, code_hash));
        let words = changed.storage.into_iter().filter(|(_, slot)| slot.is_changed());
        entry.written.extend(words.map(|(slot, word)| (slot, word.present_value)));
        if let Some(code) = code.filter(|code| !code.is_empty()) {
            self.codes.insert(code_hash, code.original_bytes());
        }
    }
}

impl Database for Overlay<'_> {
    type Error = StoreError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StoreError> {
        let account = self.entry(address)?.account;
        Ok(account.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            // With `Some` the EVM would never ask for the code.
            code: None,
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, StoreError> {
        let code = match self.codes.get(&code_hash) {
            Some(code) => code.clone(),
            None => self.store.code(&code_hash)?,
        };
        // Before London, code could begin like a delegation without being one.
        Ok(Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code)))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StoreError> {
        let entry = self.entry(address)?;
        let (written, account) = (entry.written.get(&slot).copied(), entry.account);
        match (written, account) {
            (Some(word), _) => Ok(word),
            (None, Some(account)) => read_word(&self.fresh, account.storage_root, slot),
            (None, None) => Ok(U256::ZERO),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StoreError> {
        Ok(self.store.block(number)?.map_or(B256::ZERO, |block| block.hash))
    }
}

impl DatabaseCommit for Overlay<'_> {
    fn commit(&mut self, changes: AddressMap<Account>) {
        for (address, account) in changes {
            if account.is_touched() {
                self.apply(address, account);
            }
        }
    }
}

fn read_account<N: Nodes + ?Sized>(
    nodes: &N,
    root: B256,
    address: &Address,
) -> Result<Option<TrieAccount>, StoreError> {
    let value = Trie::open(nodes, root).value(&keccak256(address))?;
    let account = value.map(|value| TrieAccount::decode(&mut &value[..])).transpose();
    account.map_err(|_| StoreError::Damaged("account"))
}

fn read_word<N: Nodes + ?Sized>(nodes: &N, storage_root: B256, slot: U256) -> Result<U256, StoreError> {
    let value = Trie::open(nodes, storage_root).value(&slot_key(slot))?;
    let word = value.map(|value| U256::decode(&mut &value[..])).transpose();
    word.map(Option::unwrap_or_default).map_err(|_| StoreError::Damaged("storage word"))
}

fn slot_key(slot: U256) -> B256 {
    keccak256(slot.to_be_bytes::<32>())
}
