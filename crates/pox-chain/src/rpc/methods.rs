//! The methods that are used, typed.

use super::wire::{CallParams, Quantity, RawBlock, RawLog, RawProof, RawReceipt, RawTransaction};
use super::{NotTaken, Rpc, not_taken, unknown_state};
use crate::error::{ChainError, contradiction};
use alloy_primitives::{Address, B256, Bloom, BloomInput, Bytes, LogData, U256};
use pox_core::UnixTime;
use serde_json::json;

/// Most logs of one answer that are looked at; a smaller range has fewer.
const MAX_LOGS: usize = 50_000;

/// Where a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct BlockAt {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

/// A block, as far as a client needs it; as the endpoint tells it, unchecked.
#[derive(Debug, Clone)]
pub struct Block {
    /// Where it stands.
    pub at: BlockAt,
    /// The hash of the block before it.
    pub parent: B256,
    /// Its time.
    pub time: UnixTime,
    /// Wei per gas that every transaction pays, from the London level on.
    pub base_fee: Option<U256>,
    /// Hashes of its transactions.
    pub transactions: Vec<B256>,
    bloom: Option<Box<Bloom>>,
}

/// A log of the chain, as the endpoint tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Whose.
    pub address: Address,
    /// Topics and data.
    pub content: LogData,
    /// The block that it is in.
    pub block: BlockAt,
    /// The transaction that it is of.
    pub transaction: B256,
    /// Its place among the block's logs.
    pub index: u64,
}

/// Whether a mined transaction did what it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succeeded {
    /// It took effect.
    Yes,
    /// It was reverted; only its gas was paid.
    No,
}

/// What became of a transaction in a block.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The transaction.
    pub transaction: B256,
    /// The block.
    pub block: BlockAt,
    /// Whether it took effect.
    pub succeeded: Succeeded,
    /// Gas that it used.
    pub gas_used: u64,
    /// Wei per gas that it paid, where the node tells.
    pub gas_price: Option<u128>,
    /// The contract that it created.
    pub created: Option<Address>,
    /// Its logs.
    pub logs: Vec<Log>,
}

/// A transaction's content.
#[derive(Debug, Clone)]
pub struct MinedTransaction {
    /// Whom it calls; `None` creates a contract.
    pub to: Option<Address>,
    /// Its input.
    pub input: Bytes,
    /// The block that it is in; `None` while it waits.
    pub block: Option<B256>,
}

impl Rpc {
    /// The chain id, asked anew.
    ///
    /// # Errors
    /// As every call: unreachable, malformed or on another chain.
    pub fn chain_id(&self) -> Result<u64, ChainError> {
        self.number("eth_chainId", json!([]))
    }

    /// The newest block.
    ///
    /// # Errors
    /// As every call.
    pub fn head(&self) -> Result<Block, ChainError> {
        let raw = self.require::<RawBlock>("eth_getBlockByNumber", json!(["latest", false]))?;
        self.block_from(raw)
    }

    /// The block of a number; `None` if the endpoint has none.
    ///
    /// # Errors
    /// As every call.
    pub fn block(&self, number: u64) -> Result<Option<Block>, ChainError> {
        self.raw_block(number)?.map(|raw| self.block_from(raw)).transpose()
    }

    pub(crate) fn raw_block(&self, number: u64) -> Result<Option<RawBlock>, ChainError> {
        let raw = self.ask::<RawBlock>("eth_getBlockByNumber", json!([quantity(number), false]))?;
        match raw {
            Some(raw) if raw.number.number() != Some(number) => {
                Err(contradiction(format!("block {number} has another number")))
            }
            raw => Ok(raw),
        }
    }

    /// An account's balance in wei at the newest block.
    ///
    /// # Errors
    /// As every call.
    pub fn balance(&self, account: Address) -> Result<U256, ChainError> {
        Ok(self.require::<Quantity>("eth_getBalance", json!([account, "latest"]))?.0)
    }

    /// How many transactions of an account are in blocks.
    ///
    /// # Errors
    /// As every call.
    pub fn nonce(&self, account: Address) -> Result<u64, ChainError> {
        self.number("eth_getTransactionCount", json!([account, "latest"]))
    }

    /// The same with those that wait.
    pub(crate) fn pending_nonce(&self, account: Address) -> Result<u64, ChainError> {
        self.number("eth_getTransactionCount", json!([account, "pending"]))
    }

    /// The code at an address.
    ///
    /// # Errors
    /// As every call.
    pub fn code(&self, account: Address) -> Result<Bytes, ChainError> {
        self.require("eth_getCode", json!([account, "latest"]))
    }

    pub(crate) fn gas_price(&self) -> Result<u128, ChainError> {
        let price = self.require::<Quantity>("eth_gasPrice", json!([]))?;
        u128::try_from(price.0).map_err(|_| self.malformed("eth_gasPrice", "more than 128 bits"))
    }

    /// Runs a call without sending it, at a block's state.
    pub(crate) fn call(&self, call: &CallParams<'_>, at: Option<u64>) -> Result<Bytes, ChainError> {
        let at = at.map_or_else(|| "latest".to_owned(), quantity);
        match self.require("eth_call", json!([call, at])) {
            Err(ChainError::Refused { message, .. }) if unknown_state(&message) => {
                Err(ChainError::Lagging(format!("the state of block {at}")))
            }
            answer => answer,
        }
    }

    pub(crate) fn estimate_gas(&self, call: &CallParams<'_>) -> Result<u64, ChainError> {
        self.number("eth_estimateGas", json!([call]))
    }

    /// Logs of an address in a range of blocks, both ends included, in their order.
    ///
    /// `topics` are alternatives for each position; an empty list admits all.
    ///
    /// # Errors
    /// As every call; the answer has other logs than were asked for.
    pub fn logs(
        &self,
        address: Address,
        topics: &[Vec<B256>],
        from: u64,
        to: u64,
    ) -> Result<Vec<Log>, ChainError> {
        const METHOD: &str = "eth_getLogs";
        // An empty list of alternatives means "none" to some nodes; null means "any" to all.
        let alternatives: Vec<_> = topics.iter().map(|any| (!any.is_empty()).then_some(any)).collect();
        let filter = json!([{
            "address": address,
            "topics": alternatives,
            "fromBlock": quantity(from),
            "toBlock": quantity(to),
        }]);
        let raw: Vec<RawLog> = self.require(METHOD, filter)?;
        if raw.len() > MAX_LOGS {
            return Err(self.malformed(METHOD, "too many logs"));
        }
        let mut logs = Vec::with_capacity(raw.len());
        for log in raw.into_iter().filter(|log| log.removed != Some(true)) {
            let log = self.log_from(METHOD, log)?;
            let matches = topics.iter().enumerate().all(|(position, any)| {
                any.is_empty() || log.content.topics().get(position).is_some_and(|topic| any.contains(topic))
            });
            if log.address != address || !(from..=to).contains(&log.block.number) || !matches {
                return Err(self.malformed(METHOD, "a log that was not asked for"));
            }
            logs.push(log);
        }
        logs.sort_by_key(|log| (log.block.number, log.index));
        logs.dedup();
        if logs.windows(2).any(|pair| {
            pair[0].block.number == pair[1].block.number
                && (pair[0].index == pair[1].index || pair[0].block.hash != pair[1].block.hash)
        }) {
            return Err(contradiction("two logs at one place"));
        }
        Ok(logs)
    }

    /// The receipt of a transaction; `None` if the endpoint knows none, or it waits.
    ///
    /// # Errors
    /// As every call.
    pub fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, ChainError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        let Some(raw) = self.ask::<RawReceipt>(METHOD, [transaction])? else { return Ok(None) };
        if raw.transaction_hash != transaction {
            return Err(self.malformed(METHOD, "the receipt of another transaction"));
        }
        let (Some(hash), Some(number)) = (raw.block_hash, raw.block_number) else { return Ok(None) };
        let number = self.fit(METHOD, number)?;
        let succeeded = match raw.status.map(|status| status.number()) {
            Some(Some(1)) => Succeeded::Yes,
            Some(Some(0)) => Succeeded::No,
            _ => return Err(self.malformed(METHOD, "the receipt has no status of 0 or 1")),
        };
        let gas_used = raw.gas_used.ok_or_else(|| self.malformed(METHOD, "no gas used"))?;
        let logs = raw.logs.unwrap_or_default();
        let logs = logs.into_iter().map(|log| self.log_from(METHOD, log)).collect::<Result<_, _>>()?;
        Ok(Some(Receipt {
            transaction,
            block: BlockAt { number, hash },
            succeeded,
            gas_used: self.fit(METHOD, gas_used)?,
            gas_price: raw.effective_gas_price.and_then(|price| u128::try_from(price.0).ok()),
            created: raw.contract_address,
            logs,
        }))
    }

    /// A transaction; `None` if the endpoint does not know it.
    ///
    /// # Errors
    /// As every call.
    pub fn transaction(&self, hash: B256) -> Result<Option<MinedTransaction>, ChainError> {
        const METHOD: &str = "eth_getTransactionByHash";
        let Some(raw) = self.ask::<RawTransaction>(METHOD, [hash])? else { return Ok(None) };
        if raw.hash != hash {
            return Err(self.malformed(METHOD, "another transaction"));
        }
        let input = raw.input.or(raw.data).ok_or_else(|| self.malformed(METHOD, "no input"))?;
        Ok(Some(MinedTransaction { to: raw.to, input, block: raw.block_hash }))
    }

    /// Hands a signed transaction to the chain; repeating it is harmless.
    pub(crate) fn send_raw(&self, raw: &Bytes, hash: B256) -> Result<Option<NotTaken>, ChainError> {
        const METHOD: &str = "eth_sendRawTransaction";
        match self.require::<B256>(METHOD, [raw]) {
            Ok(told) if told == hash => Ok(None),
            Ok(_) => {
                Err(contradiction("the endpoint names another hash for the transaction that it was sent"))
            }
            Err(ChainError::Refused { method, code, message }) => match not_taken(&message) {
                Some(reason) => Ok(Some(reason)),
                None => Err(ChainError::Refused { method, code, message }),
            },
            Err(error) => Err(error),
        }
    }

    pub(crate) fn proof(&self, account: Address, slot: B256, at: u64) -> Result<RawProof, ChainError> {
        match self.require("eth_getProof", json!([account, [slot], quantity(at)])) {
            Err(ChainError::Refused { message, .. }) if unknown_state(&message) => {
                Err(ChainError::Lagging(format!("the state of block {at}")))
            }
            answer => answer,
        }
    }

    fn number(&self, method: &'static str, params: serde_json::Value) -> Result<u64, ChainError> {
        let quantity = self.require::<Quantity>(method, params)?;
        self.fit(method, quantity)
    }

    fn fit(&self, method: &'static str, quantity: Quantity) -> Result<u64, ChainError> {
        quantity.number().ok_or_else(|| self.malformed(method, "a number of more than 64 bits"))
    }

    fn block_from(&self, raw: RawBlock) -> Result<Block, ChainError> {
        const METHOD: &str = "eth_getBlockByNumber";
        Ok(Block {
            at: BlockAt { number: self.fit(METHOD, raw.number)?, hash: raw.hash },
            parent: raw.parent_hash,
            time: UnixTime(self.fit(METHOD, raw.timestamp)?),
            base_fee: raw.base_fee_per_gas.map(|fee| fee.0),
            transactions: raw.transactions.unwrap_or_default(),
            bloom: raw.logs_bloom,
        })
    }

    fn log_from(&self, method: &'static str, raw: RawLog) -> Result<Log, ChainError> {
        let missing = || self.malformed(method, "a log without its place in the chain");
        let content = LogData::new(raw.topics, raw.data)
            .ok_or_else(|| self.malformed(method, "a log with more than four topics"))?;
        Ok(Log {
            address: raw.address,
            content,
            block: BlockAt {
                number: self.fit(method, raw.block_number.ok_or_else(missing)?)?,
                hash: raw.block_hash.ok_or_else(missing)?,
            },
            transaction: raw.transaction_hash.ok_or_else(missing)?,
            index: self.fit(method, raw.log_index.ok_or_else(missing)?)?,
        })
    }
}

impl Block {
    /// Whether its filter admits logs of an address; `true` also where it has none.
    pub(crate) fn can_have_logs_of(&self, address: Address) -> bool {
        self.bloom.as_ref().is_none_or(|bloom| bloom.contains_input(BloomInput::Raw(address.as_slice())))
    }
}

/// A number as nodes want it.
fn quantity(number: u64) -> String {
    format!("{number:#x}")
}
