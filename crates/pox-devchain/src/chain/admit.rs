//! Whether a transaction may wait for a block.

use alloy_consensus::{
    EthereumTxEnvelope, Transaction as _, TxEip4844WithSidecar, transaction::SignerRecoverable,
};
use alloy_eips::{eip2718::Decodable2718, eip7594::BlobTransactionSidecarVariant};
use alloy_primitives::B256;
use alloy_trie::KECCAK_EMPTY;
use revm::{
    context_interface::cfg::gas::calculate_initial_tx_gas_for_tx,
    primitives::{eip3860, eip7825, hardfork::SpecId},
};

use super::{Inner, Live};
use crate::{
    block::{Envelope, Transaction},
    error::SubmitError,
    exec::tx_env,
    fork::Rules,
    state::State,
};

/// Size of a transaction without blobs at most, in bytes; go-ethereum's limit.
const MAX_TRANSACTION: usize = 128 * 1024;

/// Size of a transaction with its blobs at most, in bytes: six blobs of 128 KiB with their cell proofs, and some.
const MAX_BLOB_TRANSACTION: usize = 1024 * 1024;

/// First byte of blob transactions.
const BLOB_TYPE: u8 = 3;

/// Code of an account that delegates to another (EIP-7702) starts so; it may still send transactions.
const DELEGATION_PREFIX: [u8; 3] = [0xef, 0x01, 0x00];

/// A blob transaction as it is sent: with its blobs.
type WithBlobs = EthereumTxEnvelope<TxEip4844WithSidecar<BlobTransactionSidecarVariant>>;

impl Inner {
    /// Reads a transaction and checks its signature.
    pub(super) fn decode(&self, raw: &[u8]) -> Result<Transaction, SubmitError> {
        let kind = raw
            .first()
            .copied()
            .ok_or_else(|| SubmitError::Malformed("typed transaction too short".into()))?;
        let limit = if kind == BLOB_TYPE { MAX_BLOB_TRANSACTION } else { MAX_TRANSACTION };
        if raw.len() > limit {
            return Err(SubmitError::Oversized { size: raw.len(), limit });
        }
        let head = self.live().head.clone();
        let rules = self.schedule.rules(head.header.number + 1, head.header.timestamp);
        let needed = match kind {
            // Legacy transactions are lists, which start here.
            0xc0.. => SpecId::FRONTIER,
            1 => SpecId::BERLIN,
            2 => SpecId::LONDON,
            BLOB_TYPE => SpecId::CANCUN,
            4 => SpecId::PRAGUE,
            _ => return Err(SubmitError::Type),
        };
        if !rules.has(needed) {
            return Err(SubmitError::Type);
        }
        let envelope = if kind == BLOB_TYPE { decode_with_blobs(raw)? } else { decode(raw)? };
        let sender = envelope.recover_signer().map_err(|_| SubmitError::Signature)?;
        Ok(Transaction { envelope, sender })
    }

    /// Puts a transaction into the pool, if it could run some time.
    pub(super) fn admit(&self, live: &mut Live, transaction: Transaction) -> Result<(), SubmitError> {
        let header = &live.head.header;
        let rules = self.schedule.rules(header.number + 1, header.timestamp);
        let envelope = &transaction.envelope;
        if let Some(have) = envelope.chain_id().filter(|id| *id != self.schedule.chain_id) {
            return Err(SubmitError::ChainId { have, want: self.schedule.chain_id });
        }
        if envelope.gas_limit() > header.gas_limit {
            return Err(SubmitError::BlockGasLimit);
        }
        let price = envelope.max_fee_per_gas();
        if price < self.min_gas_price {
            return Err(SubmitError::Underpriced { price, minimum: self.min_gas_price });
        }
        check_shape(&transaction, &rules)?;
        let state = State::new(self.store(), header.state_root);
        let account = state.account_or_empty(&transaction.sender)?;
        if account.code_hash != KECCAK_EMPTY {
            let code = self.store.code(&account.code_hash)?;
            if !(rules.has(SpecId::PRAGUE) && code.starts_with(&DELEGATION_PREFIX)) {
                return Err(SubmitError::SenderHasCode(transaction.sender));
            }
        }
        live.pool.add(transaction, account.nonce, account.balance)
    }
}

/// What doesn't depend on the state.
fn check_shape(transaction: &Transaction, rules: &Rules) -> Result<(), SubmitError> {
    let envelope = &transaction.envelope;
    let gas = envelope.gas_limit();
    if envelope.nonce() == u64::MAX {
        return Err(SubmitError::NonceMax);
    }
    if envelope.max_priority_fee_per_gas().is_some_and(|tip| tip > envelope.max_fee_per_gas()) {
        return Err(SubmitError::TipAboveFee);
    }
    if rules.has(SpecId::OSAKA) && gas > eip7825::TX_GAS_LIMIT_CAP {
        return Err(SubmitError::GasCap { cap: eip7825::TX_GAS_LIMIT_CAP, gas });
    }
    let (size, limit) = (envelope.input().len(), eip3860::MAX_INITCODE_SIZE);
    if rules.has(SpecId::SHANGHAI) && envelope.is_create() && size > limit {
        return Err(SubmitError::InitCode { size, limit });
    }
    if envelope.authorization_list().is_some_and(<[_]>::is_empty) {
        return Err(SubmitError::Shape("EIP-7702 transaction with empty auth list"));
    }
    let max_blobs = rules.blobs.map_or(0, |blobs| blobs.max_blobs_per_tx.min(blobs.max_blob_count));
    if envelope.blob_count().unwrap_or(0) > max_blobs {
        return Err(SubmitError::Blobs("too many"));
    }
    let least = calculate_initial_tx_gas_for_tx(tx_env(transaction), rules.spec, None);
    if gas < least.initial_total_gas() {
        return Err(SubmitError::IntrinsicGas { gas, needed: least.initial_total_gas() });
    }
    if gas < least.floor_gas() {
        return Err(SubmitError::FloorGas { gas, needed: least.floor_gas() });
    }
    Ok(())
}

fn decode(raw: &[u8]) -> Result<Envelope, SubmitError> {
    Envelope::decode_2718_exact(raw).map_err(|error| SubmitError::Malformed(error.to_string()))
}

fn decode_with_blobs(raw: &[u8]) -> Result<Envelope, SubmitError> {
    let decoded =
        WithBlobs::decode_2718_exact(raw).map_err(|error| SubmitError::Malformed(error.to_string()))?;
    decoded.try_map_eip4844(|with_blobs| {
        let (transaction, sidecar) = with_blobs.into_parts();
        let hashes: Vec<B256> = sidecar.versioned_hashes().collect();
        if hashes.is_empty() {
            return Err(SubmitError::Blobs("missing"));
        }
        if hashes != transaction.blob_versioned_hashes {
            return Err(SubmitError::Blobs("their hashes are not those in the transaction"));
        }
        Ok(transaction)
    })
}
