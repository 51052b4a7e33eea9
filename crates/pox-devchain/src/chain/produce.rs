//! Making blocks, and sealing them as Aura does.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use alloy_consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy_eips::{
    eip1559::{BaseFeeParams, INITIAL_BASE_FEE, calc_next_block_base_fee},
    eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE},
    eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE},
    eip4895::Withdrawals,
    eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE},
    eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_CODE},
    eip7685::EMPTY_REQUESTS_HASH,
};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use revm::{context::result::InvalidTransaction, primitives::hardfork::SpecId};

use super::{Inner, Kind, Live, Rota};
use crate::{
    block::{Block, Transaction},
    config::{AccountKey, Config, GenesisAccount},
    error::ChainError,
    exec::{Executed, Executor, Refused},
    fork::{GenesisFile, Rules, Schedule},
    header::{Header, Later, SIGNATURE_LENGTH, Seal},
    state::{Changes, Overlay, State},
    store::{MemoryStore, StoreError},
};

/// Keccak-256 of an empty RLP list: the uncles of a block without uncles.
pub(super) const EMPTY_UNCLES_HASH: B256 = alloy_consensus::EMPTY_OMMER_ROOT_HASH;

/// Difficulty of the genesis block; OpenEthereum's specifications of Aura chains have it.
const GENESIS_DIFFICULTY: u64 = 0x2_0000;

/// A transaction needs at least that much gas, so a block with less left is full.
const LEAST_GAS: u64 = 21_000;

impl Inner {
    /// Makes blocks until nothing that waits can run.
    pub(super) fn mine_ready(&self, live: &mut Live) -> Result<(), ChainError> {
        while !self.ready(live)?.is_empty() {
            if self.mine_one(live)?.transactions.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Makes one block.
    pub(super) fn mine_one(&self, live: &mut Live) -> Result<Arc<Block>, ChainError> {
        let Kind::Own(rota) = &self.kind else { return Err(ChainError::ReadOnly) };
        let parent = live.head.clone();
        let number = parent.header.number + 1;
        let (timestamp, sealer) =
            rota.sealer(live.sets.at(number).1, live.time.of_next(self.earliest(&parent)))?;
        let rules = self.schedule.rules(number, timestamp);
        let mut header = rota.next_header(&parent.header, parent.hash, timestamp, sealer.address(), &rules);
        let (transactions, executed) = self.fill(live, &header, &rules, parent.header.state_root)?;
        complete(&mut header, &transactions, &executed);
        seal(&mut header, sealer)?;
        let block = Arc::new(Block {
            hash: header.hash(),
            header,
            transactions,
            uncles: Vec::new(),
            withdrawals: rules.has(SpecId::SHANGHAI).then(Withdrawals::default),
            receipts: executed.receipts,
        });
        self.store.append(block.clone(), executed.changes)?;
        live.head = block.clone();
        live.sets.observe(&block.header, Some(&block));
        live.time.block_made();
        self.settle(live, &block)?;
        Ok(block)
    }

    /// The earliest time of a block after `parent`: a second later, and with Aura in a later step.
    pub(super) fn earliest(&self, parent: &Block) -> u64 {
        let later = parent.header.timestamp.saturating_add(1);
        match (&self.kind, &parent.header.seal) {
            (Kind::Own(rota), Seal::Aura { step, .. }) => later.max((step + 1).saturating_mul(rota.step)),
            _ => later,
        }
    }

    fn ready(&self, live: &Live) -> Result<Vec<Transaction>, StoreError> {
        let state = State::new(self.store(), live.head.header.state_root);
        let mut nonces = HashMap::new();
        for sender in live.pool.senders() {
            nonces.insert(*sender, state.account_or_empty(sender)?.nonce);
        }
        Ok(live.pool.ready(&nonces, next_base_fee(&live.head.header).unwrap_or(0)))
    }

    /// Runs what waits until the block is full. What turns out to be impossible leaves the pool.
    fn fill(
        &self,
        live: &mut Live,
        header: &Header,
        rules: &Rules,
        parent_root: B256,
    ) -> Result<(Vec<Transaction>, Executed), ChainError> {
        let mut executor =
            Executor::start(self.store(), self.schedule.chain_id, *rules, parent_root, header)?;
        let mut included = Vec::new();
        let mut blocked: HashSet<Address> = HashSet::new();
        for transaction in self.ready(live)? {
            if executor.gas_left() < LEAST_GAS {
                break;
            }
            if blocked.contains(&transaction.sender) {
                continue;
            }
            match executor.apply(&transaction) {
                Ok(()) => included.push(transaction),
                Err(
                    Refused::Full | Refused::Invalid(InvalidTransaction::BlobGasPriceGreaterThanMax { .. }),
                ) => {
                    blocked.insert(transaction.sender);
                }
                Err(Refused::Invalid(_)) => {
                    blocked.insert(transaction.sender);
                    live.pool.remove(&transaction.hash());
                }
                Err(refused) => return Err(refused.into()),
            }
        }
        Ok((included, executor.finish(&[], None)?))
    }

    fn settle(&self, live: &mut Live, block: &Block) -> Result<(), StoreError> {
        let state = State::new(self.store(), block.header.state_root);
        for transaction in &block.transactions {
            let next = state.account_or_empty(&transaction.sender)?.nonce;
            live.pool.settle(&transaction.sender, next);
        }
        Ok(())
    }
}

impl Rota {
    /// The first time from `earliest` on whose step is of an authority that is here, and its key.
    fn sealer(&self, authorities: &[Address], earliest: u64) -> Result<(u64, &AccountKey), ChainError> {
        let first = earliest / self.step;
        for step in (first..).take(authorities.len()) {
            let turn = usize::try_from(step % authorities.len() as u64).unwrap_or_default();
            if let Some(key) = authorities.get(turn).and_then(|authority| self.authorities.key(authority)) {
                return Ok((earliest.max(step.saturating_mul(self.step)), key));
            }
        }
        Err(ChainError::NoSealer)
    }

    /// The header of the next block before its transactions.
    fn next_header(
        &self,
        parent: &Header,
        parent_hash: B256,
        timestamp: u64,
        author: Address,
        rules: &Rules,
    ) -> Header {
        let number = parent.number + 1;
        let step = timestamp / self.step;
        let aura = self.hardfork.spec() < SpecId::MERGE;
        let (difficulty, seal) = if aura {
            (aura_difficulty(parent, step), Seal::Aura { step, signature: [0; SIGNATURE_LENGTH] })
        } else {
            // There is no beacon chain: the next block's randomness follows from its parent.
            (U256::ZERO, Seal::Ethash { mix_hash: keccak256(parent_hash), nonce: B64::ZERO })
        };
        let mut header = blank_header(number, timestamp, self.gas_limit, seal, rules);
        header.parent_hash = parent_hash;
        header.author = author;
        header.difficulty = difficulty;
        header.later.base_fee = next_base_fee(parent);
        header.later.excess_blob_gas = rules.blobs.map(|_| next_excess_blob_gas(parent, rules));
        header
    }
}

/// The block before the first, and its state.
pub(super) fn genesis(config: &Config, schedule: &Schedule) -> Result<(Block, Changes), StoreError> {
    let rules = schedule.rules(0, config.genesis_time);
    let seal = if config.hardfork.spec() < SpecId::MERGE {
        Seal::Aura { step: 0, signature: [0; SIGNATURE_LENGTH] }
    } else {
        Seal::Ethash { mix_hash: B256::ZERO, nonce: B64::ZERO }
    };
    let mut header = blank_header(0, config.genesis_time, config.gas_limit, seal, &rules);
    if config.hardfork.spec() < SpecId::MERGE {
        header.difficulty = U256::from(GENESIS_DIFFICULTY);
    }
    let system = system_contracts(&rules);
    genesis_block(
        header,
        config.genesis.iter().map(|(address, account)| (*address, account)),
        &system,
        &rules,
    )
}

/// The genesis block of a recorded chain.
pub(super) fn recorded_genesis(file: &GenesisFile) -> Result<(Block, Changes), StoreError> {
    let rules = file.schedule.rules(0, file.timestamp);
    let seal = Seal::Ethash { mix_hash: file.mix_hash, nonce: file.nonce };
    let mut header = blank_header(0, file.timestamp, file.gas_limit, seal, &rules);
    header.difficulty = file.difficulty;
    header.author = file.author;
    header.extra = file.extra.clone();
    genesis_block(header, file.accounts.iter().map(|(address, account)| (*address, account)), &[], &rules)
}

fn genesis_block<'a>(
    mut header: Header,
    accounts: impl Iterator<Item = (Address, &'a GenesisAccount)>,
    system: &[(Address, GenesisAccount)],
    rules: &Rules,
) -> Result<(Block, Changes), StoreError> {
    // Genesis has no state below it to read from.
    let nothing = MemoryStore::default();
    let mut overlay = Overlay::new(&nothing, EMPTY_ROOT_HASH, rules.spec);
    for (address, account) in system {
        overlay.put_genesis(*address, account);
    }
    for (address, account) in accounts {
        overlay.put_genesis(address, account);
    }
    header.state_root = overlay.flush()?;
    let block = Block {
        hash: header.hash(),
        header,
        transactions: Vec::new(),
        uncles: Vec::new(),
        withdrawals: rules.has(SpecId::SHANGHAI).then(Withdrawals::default),
        receipts: Vec::new(),
    };
    Ok((block, overlay.into_changes()))
}

/// The contracts that a fork's rules call by themselves.
fn system_contracts(rules: &Rules) -> Vec<(Address, GenesisAccount)> {
    let contract = |address, code: &Bytes| {
        (address, GenesisAccount { nonce: 1, code: code.clone(), ..GenesisAccount::default() })
    };
    let mut contracts = Vec::new();
    if rules.has(SpecId::CANCUN) {
        contracts.push(contract(BEACON_ROOTS_ADDRESS, &BEACON_ROOTS_CODE));
    }
    if rules.has(SpecId::PRAGUE) {
        contracts.extend([
            contract(HISTORY_STORAGE_ADDRESS, &HISTORY_STORAGE_CODE),
            contract(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, &WITHDRAWAL_REQUEST_PREDEPLOY_CODE),
            contract(CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, &CONSOLIDATION_REQUEST_PREDEPLOY_CODE),
        ]);
    }
    contracts
}

/// An empty block's header.
fn blank_header(number: u64, timestamp: u64, gas_limit: u64, seal: Seal, rules: &Rules) -> Header {
    let since = |spec, root| rules.has(spec).then_some(root);
    let blobs = rules.has(SpecId::CANCUN).then_some(0);
    Header {
        parent_hash: B256::ZERO,
        uncles_hash: EMPTY_UNCLES_HASH,
        author: Address::ZERO,
        state_root: EMPTY_ROOT_HASH,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        logs_bloom: Bloom::ZERO,
        difficulty: U256::ZERO,
        number,
        gas_limit,
        gas_used: 0,
        timestamp,
        extra: Bytes::new(),
        seal,
        later: Later {
            base_fee: rules.has(SpecId::LONDON).then_some(INITIAL_BASE_FEE),
            withdrawals_root: since(SpecId::SHANGHAI, EMPTY_ROOT_HASH),
            blob_gas_used: blobs,
            excess_blob_gas: blobs,
            parent_beacon_root: since(SpecId::CANCUN, B256::ZERO),
            requests_hash: since(SpecId::PRAGUE, EMPTY_REQUESTS_HASH),
        },
    }
}

fn complete(header: &mut Header, transactions: &[Transaction], executed: &Executed) {
    header.transactions_root =
        transactions_root(transactions.iter().map(|transaction| &transaction.envelope));
    header.state_root = executed.state_root;
    header.receipts_root = calculate_receipt_root(&executed.receipts);
    header.logs_bloom = executed.logs_bloom;
    header.gas_used = executed.gas_used;
    header.later.blob_gas_used = header.later.blob_gas_used.map(|_| executed.blob_gas_used);
    header.later.requests_hash = executed.requests_hash;
}

pub(super) fn transactions_root<'a>(transactions: impl Iterator<Item = &'a crate::block::Envelope>) -> B256 {
    calculate_transaction_root(&transactions.collect::<Vec<_>>())
}

/// Signs the bare header.
fn seal(header: &mut Header, sealer: &AccountKey) -> Result<(), ChainError> {
    let digest = header.bare_hash();
    if let Seal::Aura { signature, .. } = &mut header.seal {
        *signature = sealer.sign(&digest).map_err(ChainError::Seal)?;
    }
    Ok(())
}

/// Aura prefers the branch with fewer missed steps: 2^128 - 1 less the steps since the parent's.
fn aura_difficulty(parent: &Header, step: u64) -> U256 {
    let parent_step = match parent.seal {
        Seal::Aura { step, .. } => step,
        Seal::Ethash { .. } => 0,
    };
    U256::from(u128::MAX) + U256::from(parent_step) - U256::from(step)
}

/// The base fee of the block after `parent` (EIP-1559), if its chain has one already.
pub(crate) fn next_base_fee(parent: &Header) -> Option<u64> {
    let base_fee = parent.later.base_fee?;
    Some(calc_next_block_base_fee(parent.gas_used, parent.gas_limit, base_fee, BaseFeeParams::ethereum()))
}

/// The excess blob gas of the block after `parent` (EIP-4844, EIP-7918), given that block's rules.
pub(crate) fn next_excess_blob_gas(parent: &Header, rules: &Rules) -> u64 {
    let later = &parent.later;
    let (excess, used) = (later.excess_blob_gas.unwrap_or(0), later.blob_gas_used.unwrap_or(0));
    rules
        .blobs
        .map_or(0, |blobs| blobs.next_block_excess_blob_gas_osaka(excess, used, later.base_fee.unwrap_or(0)))
}

impl From<Refused> for ChainError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Store(error) => Self::Store(error),
            other => Self::Evm(other.to_string()),
        }
    }
}
