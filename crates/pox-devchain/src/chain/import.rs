//! Taking over a recorded chain, checking everything that running it tells.

use std::sync::Arc;

use alloy_consensus::{
    proofs::{calculate_ommers_root, calculate_receipt_root, calculate_withdrawals_root},
    transaction::SignerRecoverable,
};
use alloy_eips::eip1559::INITIAL_BASE_FEE;
use alloy_rlp::Decodable;
use revm::primitives::hardfork::SpecId;

use super::{
    Chain, Kind,
    produce::{next_base_fee, next_excess_blob_gas, recorded_genesis, transactions_root},
};
use crate::{
    block::{Block, Body, Transaction},
    config::Clock,
    error::{ImportError, OpenError},
    exec::{Executed, Executor, Refused},
    fork::{GenesisFile, Rules},
    header::Header,
    store::{MemoryStore, Store},
};

impl Chain {
    /// Runs a chain that another client recorded, and serves it from memory; it isn't continued.
    ///
    /// `genesis` is a genesis file in go-ethereum's format, `blocks` the RLP of the blocks after it, one after the
    /// other. Every header field that follows from the blocks is checked; proofs of work are not, nor the times, and
    /// deposits to the consensus layer are not known.
    ///
    /// # Errors
    /// [`OpenError::Genesis`] and [`OpenError::Import`] for input that isn't such a chain.
    pub fn open_recorded(genesis: &str, blocks: &[u8]) -> Result<Self, OpenError> {
        let file = GenesisFile::parse(genesis)?;
        let store = MemoryStore::default();
        let (block, changes) = recorded_genesis(&file)?;
        let mut head = Arc::new(block);
        store.append(head.clone(), changes)?;
        let mut rest = blocks;
        while !rest.is_empty() {
            let after = head.header.number;
            let body = Body::decode(&mut rest).map_err(|_| ImportError::Malformed { after })?;
            let (block, executed) = run(&store, &file, &head, body)?;
            head = Arc::new(block);
            store.append(head.clone(), executed.changes)?;
        }
        let clock = Clock::Manual(head.header.timestamp);
        // What a recorded chain asked for isn't recorded.
        let min_gas_price = 0;
        Ok(Self::start(file.schedule, Arc::new(store), min_gas_price, Kind::Recorded, clock)?)
    }
}

fn run(
    store: &dyn Store,
    file: &GenesisFile,
    parent: &Block,
    body: Body,
) -> Result<(Block, Executed), OpenError> {
    let Body { header, transactions, uncles, withdrawals } = body;
    let number = header.number;
    let rules = file.schedule.rules(number, header.timestamp);
    check_before(&header, parent, &rules)?;
    let wrong = |field| OpenError::Import(ImportError::Wrong { number, field });
    if header.transactions_root != transactions_root(transactions.iter()) {
        return Err(wrong("transactionsRoot"));
    }
    if header.uncles_hash != calculate_ommers_root(&uncles) {
        return Err(wrong("sha3Uncles"));
    }
    if header.later.withdrawals_root != withdrawals.as_ref().map(|list| calculate_withdrawals_root(list)) {
        return Err(wrong("withdrawalsRoot"));
    }
    let refused = |index, refused| match refused {
        Refused::Store(error) => OpenError::Store(error),
        other => ImportError::Transaction { number, index, reason: other.to_string() }.into(),
    };
    let mut executor =
        Executor::start(store, file.schedule.chain_id, rules, parent.header.state_root, &header)
            .map_err(|error| refused(0, error))?;
    let mut recovered = Vec::with_capacity(transactions.len());
    for (index, envelope) in transactions.into_iter().enumerate() {
        let reason = String::from("invalid signature");
        let sender =
            envelope.recover_signer().map_err(|_| ImportError::Transaction { number, index, reason })?;
        let transaction = Transaction { envelope, sender };
        executor.apply(&transaction).map_err(|error| refused(index, error))?;
        recovered.push(transaction);
    }
    let mut executed =
        executor.finish(&uncles, withdrawals.as_ref()).map_err(|error| refused(recovered.len(), error))?;
    check_after(&header, &executed)?;
    let receipts = std::mem::take(&mut executed.receipts);
    let from_contract = |log: &alloy_primitives::Log| Some(log.address) == file.deposit_contract;
    if receipts.iter().flat_map(|receipt| receipt.logs()).any(from_contract) {
        return Err(wrong("requestsHash"));
    }
    let block = Block { hash: header.hash(), header, transactions: recovered, uncles, withdrawals, receipts };
    Ok((block, executed))
}

/// What follows from the parent.
fn check_before(header: &Header, parent: &Block, rules: &Rules) -> Result<(), ImportError> {
    let number = parent.header.number + 1;
    let checks = [
        ("number", header.number == number),
        ("parentHash", header.parent_hash == parent.hash),
        ("baseFeePerGas", header.later.base_fee == base_fee(&parent.header, rules)),
        (
            "excessBlobGas",
            header.later.excess_blob_gas == rules.blobs.map(|_| next_excess_blob_gas(&parent.header, rules)),
        ),
        ("parentBeaconBlockRoot", header.later.parent_beacon_root.is_some() == rules.has(SpecId::CANCUN)),
    ];
    first_wrong(number, &checks)
}

/// What follows from running the block.
fn check_after(header: &Header, executed: &Executed) -> Result<(), ImportError> {
    let blob_gas = header.later.blob_gas_used.unwrap_or(0);
    let checks = [
        ("gasUsed", header.gas_used == executed.gas_used),
        ("receiptsRoot", header.receipts_root == calculate_receipt_root(&executed.receipts)),
        ("logsBloom", header.logs_bloom == executed.logs_bloom),
        ("blobGasUsed", blob_gas == executed.blob_gas_used),
        ("requestsHash", header.later.requests_hash == executed.requests_hash),
        ("stateRoot", header.state_root == executed.state_root),
    ];
    first_wrong(header.number, &checks)
}

fn first_wrong(number: u64, checks: &[(&'static str, bool)]) -> Result<(), ImportError> {
    match checks.iter().find(|(_, right)| !right) {
        Some((field, _)) => Err(ImportError::Wrong { number, field }),
        None => Ok(()),
    }
}

fn base_fee(parent: &Header, rules: &Rules) -> Option<u64> {
    let first = rules.has(SpecId::LONDON).then_some(INITIAL_BASE_FEE);
    next_base_fee(parent).or(first)
}
