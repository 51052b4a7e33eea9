//! The methods that are used, typed.

use super::wire::{CallParams, Quantity, RawBlock, RawFees, RawLog, RawProof, RawReceipt, RawTransaction};
use super::{NotTaken, Rpc, not_taken};
use crate::error::{ChainError, contradiction};
use crate::header;
use crate::profile::{Checks, Finality};
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

/// A block, as far as a client needs it. Its header hashes to its hash, unless the profile has that not checked; that the
/// hashes of its transactions are those of its header is not established.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub(crate) receipts_root: Option<B256>,
    pub(crate) transactions_root: Option<B256>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The transaction.
    pub transaction: B256,
    /// The block.
    pub block: BlockAt,
    /// Whether it took effect.
    pub succeeded: Succeeded,
    /// Gas that it used.
    pub gas_used: u64,
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

    /// The newest block; with several endpoints, the newest that enough of them have.
    ///
    /// # Errors
    /// As every call.
    pub fn head(&self) -> Result<Block, ChainError> {
        let newest =
            |one: &Self| one.block_from(one.require("eth_getBlockByNumber", json!(["latest", false]))?);
        if self.is_alone() {
            return newest(self);
        }
        let height = self.height("the newest block", &|one| Ok(newest(one)?.at.number))?;
        self.agreed(&format!("block {height}"), |one| {
            one.block_of_one(height)?.ok_or_else(|| ChainError::Lagging(format!("block {height}")))
        })
    }

    /// The block of a number; `None` if the endpoint has none, or not enough of several have it.
    ///
    /// # Errors
    /// As every call.
    pub fn block(&self, number: u64) -> Result<Option<Block>, ChainError> {
        self.agreed_if_any(&format!("block {number}"), |one| one.block_of_one(number))
    }

    pub(crate) fn block_of_one(&self, number: u64) -> Result<Option<Block>, ChainError> {
        self.raw_block_of_one(number)?.map(|raw| self.block_from(raw)).transpose()
    }

    /// The number of the newest final block by the profile's rule; `None` if none is, or nothing says so.
    ///
    /// # Errors
    /// As every call.
    pub fn newest_final(&self) -> Result<Option<u64>, ChainError> {
        let finality = self.profile().finality;
        let Some(tag) = finality.tag() else { return Ok(finality.newest_final(self.head()?.at.number)) };
        let tagged = |one: &Self| -> Result<u64, ChainError> {
            let raw = one.require::<RawBlock>("eth_getBlockByNumber", json!([tag.name(), false]))?;
            Ok(one.block_from(raw)?.at.number)
        };
        match self.height("the newest final block", &tagged) {
            Ok(number) => Ok(Some(number)),
            // A node that does not know the tag refuses it, or has no such block.
            Err(ChainError::Refused { .. } | ChainError::Malformed { .. }) => match finality {
                Finality::ParentChain { .. } => Ok(None),
                _ => Ok(finality.newest_final(self.head()?.at.number)),
            },
            Err(error) => Err(error),
        }
    }

    /// The highest number that more than half of those that answer reach, and at least as many as the profile wants.
    fn height(
        &self,
        about: &str,
        tell: &(impl Fn(&Self) -> Result<u64, ChainError> + Sync),
    ) -> Result<u64, ChainError> {
        if self.is_alone() {
            return tell(self);
        }
        let (mut numbers, mut failures) = (Vec::new(), Vec::new());
        for answer in self.ask_all(tell) {
            match answer {
                Ok(number) => numbers.push(number),
                Err(error) => failures.push(error),
            }
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let wanted = self.profile().agree;
        let needed = usize::from(wanted).max(numbers.len() / 2 + 1);
        match (numbers.get(needed - 1), failures.is_empty()) {
            (Some(number), _) => Ok(*number),
            (None, false) if numbers.is_empty() => Err(failures.swap_remove(0)),
            _ => {
                let rest = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let what = about.to_owned();
                Err(ChainError::TooFewAgree { what, agreed: numbers.len(), wanted, rest })
            }
        }
    }

    /// A block as the endpoint tells it; of several, one that tells the hash that they agree on.
    pub(crate) fn raw_block(&self, number: u64) -> Result<Option<RawBlock>, ChainError> {
        if self.is_alone() {
            return self.raw_block_of_one(number);
        }
        let Some(block) = self.block(number)? else { return Ok(None) };
        self.first(|one| match one.raw_block_of_one(number)? {
            Some(raw) if raw.hash == block.at.hash => Ok(Some(raw)),
            _ => Err(ChainError::Lagging(format!("block {number}"))),
        })
    }

    fn raw_block_of_one(&self, number: u64) -> Result<Option<RawBlock>, ChainError> {
        let raw = self.ask::<RawBlock>("eth_getBlockByNumber", json!([quantity(number), false]))?;
        match raw {
            Some(raw) if raw.number.number() != Some(number) => {
                Err(contradiction(format!("block {number} has another number")))
            }
            raw => Ok(raw),
        }
    }

    /// An account's balance in wei at the newest block, as one endpoint tells it.
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
        self.transaction_count(account, &json!("latest"))
    }

    /// The same up to a block that was read before.
    pub(crate) fn nonce_at(&self, account: Address, at: BlockAt) -> Result<u64, ChainError> {
        let count = self.transaction_count(account, &json!(quantity(at.number)));
        let count = self.stated(at.number, count)?;
        match self.block(at.number)? {
            Some(block) if block.at == at => Ok(count),
            _ => Err(ChainError::Reorganised(at.number)),
        }
    }

    /// The same with those that wait.
    pub(crate) fn pending_nonce(&self, account: Address) -> Result<u64, ChainError> {
        self.transaction_count(account, &json!("pending"))
    }

    /// A replica that lags counts too few, and one that lies any number: as with the newest block, what enough reach counts.
    fn transaction_count(&self, account: Address, block: &serde_json::Value) -> Result<u64, ChainError> {
        let about = format!("the transactions of {account}");
        self.height(&about, &|one| one.number("eth_getTransactionCount", json!([account, block])))
    }

    /// The code at an address.
    ///
    /// # Errors
    /// As every call.
    pub fn code(&self, account: Address) -> Result<Bytes, ChainError> {
        self.agreed(&format!("the code at {account}"), |one| {
            one.require("eth_getCode", json!([account, "latest"]))
        })
    }

    pub(crate) fn gas_price(&self) -> Result<u128, ChainError> {
        let price = self.require::<Quantity>("eth_gasPrice", json!([]))?;
        u128::try_from(price.0).map_err(|_| self.malformed("eth_gasPrice", "more than 128 bits"))
    }

    /// The tip at a percentile of those that were paid in the last blocks: the median over the blocks. `None` where the node
    /// keeps no such history.
    pub(crate) fn usual_tip(&self, blocks: u16, percentile: u8) -> Result<Option<u128>, ChainError> {
        const METHOD: &str = "eth_feeHistory";
        let answer = self.ask::<RawFees>(METHOD, json!([quantity(blocks.into()), "latest", [percentile]]));
        let fees = match answer {
            Ok(fees) => fees,
            Err(ChainError::Refused { .. } | ChainError::Malformed { .. }) => None,
            Err(error) => return Err(error),
        };
        let rewards = fees.and_then(|fees| fees.reward).unwrap_or_default();
        let of_block = |tips: Vec<Quantity>| u128::try_from(tips.first()?.0).ok();
        let mut tips: Vec<_> =
            rewards.into_iter().take(blocks.into()).filter_map(of_block).filter(|tip| *tip != 0).collect();
        tips.sort_unstable();
        Ok(tips.get(tips.len() / 2).copied())
    }

    pub(crate) fn estimate_gas(&self, call: &CallParams<'_>) -> Result<u64, ChainError> {
        self.number("eth_estimateGas", json!([call]))
    }

    /// Logs of an address in a range of blocks, both ends included, in their order.
    ///
    /// `topics` are alternatives for each position; an empty list admits all. That none is kept back is established only as
    /// far as several endpoints agree.
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
        self.agreed(&format!("the logs of blocks {from} to {to}"), |one| {
            one.logs_of_one(address, topics, from, to)
        })
    }

    fn logs_of_one(
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

    /// The receipt of a transaction; `None` if the endpoint knows none, or it waits, or not enough of several know it.
    ///
    /// It is what endpoints tell; [`crate::Outbox`] checks those of its own transactions against their blocks.
    ///
    /// # Errors
    /// As every call.
    pub fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, ChainError> {
        self.agreed_if_any(&format!("the receipt of {transaction}"), |one| one.receipt_of_one(transaction))
    }

    fn receipt_of_one(&self, transaction: B256) -> Result<Option<Receipt>, ChainError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        let Some(raw) = self.ask::<RawReceipt>(METHOD, [transaction])? else { return Ok(None) };
        if raw.transaction_hash != transaction {
            return Err(self.malformed(METHOD, "the receipt of another transaction"));
        }
        self.receipt_from(METHOD, raw)
    }

    /// A receipt from its JSON; `None` while its transaction waits.
    pub(crate) fn receipt_from(
        &self,
        method: &'static str,
        raw: RawReceipt,
    ) -> Result<Option<Receipt>, ChainError> {
        let (Some(hash), Some(number)) = (raw.block_hash, raw.block_number) else { return Ok(None) };
        let number = self.fit(method, number)?;
        let succeeded = match raw.status.map(|status| status.number()) {
            Some(Some(1)) => Succeeded::Yes,
            Some(Some(0)) => Succeeded::No,
            _ => return Err(self.malformed(method, "the receipt has no status of 0 or 1")),
        };
        let gas_used = raw.gas_used.ok_or_else(|| self.malformed(method, "no gas used"))?;
        let logs = raw.logs.unwrap_or_default();
        let logs = logs.into_iter().map(|log| self.log_from(method, log)).collect::<Result<_, _>>()?;
        Ok(Some(Receipt {
            transaction: raw.transaction_hash,
            block: BlockAt { number, hash },
            succeeded,
            gas_used: self.fit(method, gas_used)?,
            created: raw.contract_address,
            logs,
        }))
    }

    /// A transaction; `None` if the endpoint does not know it. It is what one endpoint tells.
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

    /// Hands a signed transaction to the chain, by every endpoint: one of them can drop it. Repeating it is harmless.
    ///
    /// `None` if any took it.
    pub(crate) fn send_raw(&self, raw: &Bytes, hash: B256) -> Result<Option<NotTaken>, ChainError> {
        if self.is_alone() {
            return self.send_raw_to_one(raw, hash);
        }
        let (mut declined, mut failed) = (None, None);
        for answer in self.ask_all(&|one: &Self| one.send_raw_to_one(raw, hash)) {
            match answer {
                Ok(None | Some(NotTaken::Known)) => return Ok(None),
                Ok(reason) => declined = declined.or(reason),
                // What a node has understood and declined tells more than that another one is away.
                Err(error) if !error.is_of_one_endpoint() => failed = Some(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match (declined, failed) {
            (Some(reason), _) => Ok(Some(reason)),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }

    fn send_raw_to_one(&self, raw: &Bytes, hash: B256) -> Result<Option<NotTaken>, ChainError> {
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
        self.first(|one| one.stated(at, one.require("eth_getProof", json!([account, [slot], quantity(at)]))))
    }

    /// Every receipt of a block in one answer; `None` where the node has no method for it.
    pub(crate) fn block_receipts(&self, number: u64) -> Result<Option<Vec<RawReceipt>>, ChainError> {
        // The second name is OpenEthereum's.
        for method in ["eth_getBlockReceipts", "parity_getBlockReceipts"] {
            if self.lacks(method) {
                continue;
            }
            match self.ask::<Vec<RawReceipt>>(method, [quantity(number)]) {
                Ok(Some(receipts)) => return Ok(Some(receipts)),
                Ok(None) => return Err(ChainError::Lagging(format!("the receipts of block {number}"))),
                // Missing, or of another form: the receipts come one by one then.
                Err(ChainError::Refused { .. }) => self.note_lack(method),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    pub(crate) fn raw_receipt(&self, transaction: B256) -> Result<Option<RawReceipt>, ChainError> {
        self.ask("eth_getTransactionReceipt", [transaction])
    }

    fn number(&self, method: &'static str, params: serde_json::Value) -> Result<u64, ChainError> {
        let quantity = self.require::<Quantity>(method, params)?;
        self.fit(method, quantity)
    }

    fn fit(&self, method: &'static str, quantity: Quantity) -> Result<u64, ChainError> {
        quantity.number().ok_or_else(|| self.malformed(method, "a number of more than 64 bits"))
    }

    fn block_from(&self, raw: RawBlock) -> Result<Block, ChainError> {
        if self.profile().checks == Checks::Hashes {
            header::encode(&raw)?;
        }
        self.told_block(raw)
    }

    /// A block as the endpoint tells it, unchecked.
    pub(crate) fn told_block(&self, raw: RawBlock) -> Result<Block, ChainError> {
        const METHOD: &str = "eth_getBlockByNumber";
        Ok(Block {
            at: BlockAt { number: self.fit(METHOD, raw.number)?, hash: raw.hash },
            parent: raw.parent_hash,
            time: UnixTime(self.fit(METHOD, raw.timestamp)?),
            base_fee: raw.base_fee_per_gas.map(|fee| fee.0),
            transactions: raw.transactions.unwrap_or_default(),
            receipts_root: raw.receipts_root,
            transactions_root: raw.transactions_root,
            bloom: raw.logs_bloom,
        })
    }

    pub(crate) fn log_from(&self, method: &'static str, raw: RawLog) -> Result<Log, ChainError> {
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
