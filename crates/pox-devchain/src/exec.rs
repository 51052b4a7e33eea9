//! Running the transactions of a block.

use alloy_consensus::{Eip658Value, Receipt, ReceiptEnvelope, Transaction as _};
use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS, eip4895::Withdrawals,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    eip7685::Requests,
};
use alloy_primitives::{Address, B256, Bloom, U256};
use revm::{
    Context, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext, SystemCallCommitEvm,
    context::{
        BlockEnv, CfgEnv, TxEnv,
        either::Either,
        result::{EVMError, ExecutionResult, InvalidTransaction, ResultAndState},
    },
    context_interface::block::BlobExcessGasAndPrice,
    primitives::hardfork::SpecId,
};
use thiserror::Error;

use crate::{
    block::{Envelope, Transaction},
    fork::Rules,
    header::{Header, Seal},
    state::{Changes, Overlay},
    store::{Store, StoreError},
};

/// Wei in the unit of withdrawals.
const GWEI: u64 = 1_000_000_000;

/// Why a transaction is not in a block.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    /// It can't run on this state.
    #[error("{0:?}")]
    Invalid(InvalidTransaction),
    /// It doesn't fit into what is left of the block.
    #[error("the block is full")]
    Full,
    /// The state couldn't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The EVM gave up for another reason.
    #[error("the EVM failed: {0}")]
    Evm(String),
}

impl From<EVMError<StoreError>> for Refused {
    fn from(error: EVMError<StoreError>) -> Self {
        match error {
            EVMError::Transaction(invalid) => Self::Invalid(invalid),
            EVMError::Database(error) => Self::Store(error),
            other => Self::Evm(format!("{other:?}")),
        }
    }
}

/// A block that is being run.
pub(crate) struct Executor<'s> {
    overlay: Overlay<'s>,
    rules: Rules,
    cfg: CfgEnv,
    env: BlockEnv,
    gas_used: u64,
    blob_gas_used: u64,
    receipts: Vec<ReceiptEnvelope>,
}

/// What running a block gave.
pub(crate) struct Executed {
    pub(crate) state_root: B256,
    pub(crate) receipts: Vec<ReceiptEnvelope>,
    pub(crate) logs_bloom: Bloom,
    pub(crate) gas_used: u64,
    pub(crate) blob_gas_used: u64,
    /// Since Prague.
    pub(crate) requests_hash: Option<B256>,
    pub(crate) changes: Changes,
}

impl<'s> Executor<'s> {
    /// Starts the block on its parent's state. Of `header` only what is known beforehand counts.
    pub(crate) fn start(
        store: &'s dyn Store,
        chain_id: u64,
        rules: Rules,
        parent_root: B256,
        header: &Header,
    ) -> Result<Self, Refused> {
        let mut executor = Self {
            overlay: Overlay::new(store, parent_root, rules.spec),
            rules,
            cfg: cfg_env(chain_id, &rules),
            env: block_env(header, &rules),
            gas_used: 0,
            blob_gas_used: 0,
            receipts: Vec::new(),
        };
        if let Some(root) = header.later.parent_beacon_root {
            executor.system_call(BEACON_ROOTS_ADDRESS, root.into())?;
        }
        if rules.has(SpecId::PRAGUE) {
            executor.system_call(HISTORY_STORAGE_ADDRESS, header.parent_hash.into())?;
        }
        Ok(executor)
    }

    /// Gas that is left in the block.
    pub(crate) fn gas_left(&self) -> u64 {
        self.env.gas_limit.saturating_sub(self.gas_used)
    }

    /// Runs one transaction; if it is refused, nothing has changed.
    pub(crate) fn apply(&mut self, transaction: &Transaction) -> Result<(), Refused> {
        let blob_gas = transaction.envelope.blob_gas_used().unwrap_or(0);
        let blob_limit = self.rules.blobs.map_or(0, |blobs| blobs.max_blob_gas_per_block());
        if transaction.envelope.gas_limit() > self.gas_left() || self.blob_gas_used + blob_gas > blob_limit {
            return Err(Refused::Full);
        }
        let mut evm = Context::mainnet()
            .with_db(&mut self.overlay)
            .with_cfg(self.cfg.clone())
            .with_block(self.env.clone())
            .build_mainnet();
        let result = evm.transact_commit(tx_env(transaction))?;
        drop(evm);
        self.gas_used += result.tx_gas_used();
        self.blob_gas_used += blob_gas;
        // Before Byzantium a receipt carried the state after its transaction instead of an outcome.
        let status = if self.rules.has(SpecId::BYZANTIUM) {
            Eip658Value::Eip658(result.is_success())
        } else {
            Eip658Value::PostState(self.overlay.flush()?)
        };
        let receipt = Receipt { status, cumulative_gas_used: self.gas_used, logs: result.into_logs() };
        self.receipts.push(ReceiptEnvelope::from_typed(transaction.envelope.tx_type(), receipt.with_bloom()));
        Ok(())
    }

    /// Ends the block: requests, withdrawals, rewards, roots.
    pub(crate) fn finish(
        mut self,
        uncles: &[Header],
        withdrawals: Option<&Withdrawals>,
    ) -> Result<Executed, Refused> {
        let requests_hash =
            if self.rules.has(SpecId::PRAGUE) { Some(self.requests()?.requests_hash()) } else { None };
        for withdrawal in withdrawals.into_iter().flat_map(|withdrawals| withdrawals.iter()) {
            let amount = U256::from(withdrawal.amount) * U256::from(GWEI);
            self.overlay.credit(withdrawal.address, amount)?;
        }
        self.pay_rewards(uncles)?;
        let state_root = self.overlay.flush()?;
        let mut logs_bloom = Bloom::ZERO;
        for receipt in &self.receipts {
            logs_bloom |= *receipt.logs_bloom();
        }
        Ok(Executed {
            state_root,
            receipts: self.receipts,
            logs_bloom,
            gas_used: self.gas_used,
            blob_gas_used: self.blob_gas_used,
            requests_hash,
            changes: self.overlay.into_changes(),
        })
    }

    /// The requests to the consensus layer (EIP-7685), but for deposits, whose contract these chains don't have.
    fn requests(&mut self) -> Result<Requests, Refused> {
        let mut requests = Requests::default();
        for (kind, contract) in
            [(1, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS), (2, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS)]
        {
            let output = self.system_call(contract, alloy_primitives::Bytes::new())?;
            requests.push_request_with_type(kind, output);
        }
        Ok(requests)
    }

    fn system_call(
        &mut self,
        contract: Address,
        input: alloy_primitives::Bytes,
    ) -> Result<alloy_primitives::Bytes, Refused> {
        if !self.overlay.has_code(contract)? {
            return Ok(alloy_primitives::Bytes::new());
        }
        let mut evm = Context::mainnet()
            .with_db(&mut self.overlay)
            .with_cfg(self.cfg.clone())
            .with_block(self.env.clone())
            .build_mainnet();
        let result = evm.system_call_commit(contract, input)?;
        Ok(result.into_output().unwrap_or_default())
    }

    /// Proof of work pays 1/32 more for each uncle, and an uncle's author less the older it is.
    fn pay_rewards(&mut self, uncles: &[Header]) -> Result<(), StoreError> {
        let reward = self.rules.reward;
        if reward.is_zero() {
            return Ok(());
        }
        let number: u64 = self.env.number.saturating_to();
        for uncle in uncles {
            let eighths = (uncle.number + 8).saturating_sub(number);
            self.overlay.credit(uncle.author, reward * U256::from(eighths) / U256::from(8))?;
        }
        let bonus = reward / U256::from(32) * U256::from(uncles.len());
        self.overlay.credit(self.env.beneficiary, reward + bonus)
    }
}

/// Runs a call that isn't a transaction: without a checked nonce, from any account, of any gas limit, and without
/// base fee if it pays nothing.
pub(crate) fn call(
    overlay: &mut Overlay<'_>,
    chain_id: u64,
    rules: &Rules,
    mut env: BlockEnv,
    tx: TxEnv,
) -> Result<ResultAndState, Refused> {
    let mut cfg = cfg_env(chain_id, rules);
    cfg.disable_nonce_check = true;
    cfg.disable_eip3607 = true;
    cfg.disable_block_gas_limit = true;
    cfg.tx_gas_limit_cap = Some(u64::MAX);
    if tx.gas_price == 0 {
        cfg.disable_base_fee = true;
        env.basefee = 0;
    }
    let mut evm = Context::mainnet().with_db(overlay).with_cfg(cfg).with_block(env).build_mainnet();
    Ok(evm.transact(tx)?)
}

pub(crate) fn block_env(header: &Header, rules: &Rules) -> BlockEnv {
    let randomness = match &header.seal {
        Seal::Ethash { mix_hash, .. } if rules.has(SpecId::MERGE) => Some(*mix_hash),
        _ => None,
    };
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.author,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.later.base_fee.unwrap_or(0),
        difficulty: header.difficulty,
        prevrandao: randomness,
        blob_excess_gas_and_price: rules.blobs.zip(header.later.excess_blob_gas).map(
            |(blobs, excess_blob_gas)| BlobExcessGasAndPrice {
                excess_blob_gas,
                blob_gasprice: blobs.calc_blob_fee(excess_blob_gas),
            },
        ),
        ..BlockEnv::default()
    }
}

fn cfg_env(chain_id: u64, rules: &Rules) -> CfgEnv {
    let mut cfg = CfgEnv::new().with_chain_id(chain_id);
    // The specification alone would leave the gas prices of another one.
    cfg.set_spec_and_mainnet_gas_params(rules.spec);
    cfg.max_blobs_per_tx = rules.blobs.map(|blobs| blobs.max_blobs_per_tx.min(blobs.max_blob_count));
    cfg.blob_base_fee_update_fraction =
        rules.blobs.map(|blobs| u64::try_from(blobs.update_fraction).unwrap_or(u64::MAX));
    cfg
}

pub(crate) fn tx_env(transaction: &Transaction) -> TxEnv {
    let Transaction { envelope, sender } = transaction;
    TxEnv {
        tx_type: u8::from(envelope.tx_type()),
        caller: *sender,
        gas_limit: envelope.gas_limit(),
        gas_price: envelope.max_fee_per_gas(),
        kind: envelope.kind(),
        value: envelope.value(),
        data: envelope.input().clone(),
        nonce: envelope.nonce(),
        chain_id: envelope.chain_id(),
        access_list: envelope.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: envelope.max_priority_fee_per_gas(),
        blob_hashes: envelope.blob_versioned_hashes().unwrap_or_default().to_vec(),
        max_fee_per_blob_gas: envelope.max_fee_per_blob_gas().unwrap_or(0),
        authorization_list: authorizations(envelope),
    }
}

fn authorizations(
    envelope: &Envelope,
) -> Vec<Either<alloy_eips::eip7702::SignedAuthorization, alloy_eips::eip7702::RecoveredAuthorization>> {
    envelope.authorization_list().unwrap_or_default().iter().cloned().map(Either::Left).collect()
}

/// Whether the call ended as it should.
pub(crate) fn succeeded(result: &ExecutionResult) -> bool {
    matches!(result, ExecutionResult::Success { .. })
}
