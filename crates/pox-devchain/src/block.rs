//! Blocks with what running them gave.

use alloy_consensus::{EthereumTxEnvelope, ReceiptEnvelope, Transaction as _, TxEip4844};
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B256};
use alloy_rlp::{Decodable, Encodable, Header as RlpHeader};

use crate::header::{Header, put_list};

/// A signed transaction, as it stands in blocks: blob transactions without their blobs.
pub(crate) type Envelope = EthereumTxEnvelope<TxEip4844>;

/// A transaction whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) envelope: Envelope,
    /// Who signed it.
    pub(crate) sender: Address,
}

impl Transaction {
    pub(crate) fn hash(&self) -> B256 {
        *self.envelope.tx_hash()
    }

    /// The address of the contract that the transaction creates.
    pub(crate) fn created(&self) -> Option<Address> {
        self.envelope.is_create().then(|| self.sender.create(self.envelope.nonce()))
    }
}

/// A block, its receipts, and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) hash: B256,
    pub(crate) header: Header,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) uncles: Vec<Header>,
    pub(crate) withdrawals: Option<Withdrawals>,
    /// One for each transaction.
    pub(crate) receipts: Vec<ReceiptEnvelope>,
}

/// A block as it travels: without what only running it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) header: Header,
    pub(crate) transactions: Vec<Envelope>,
    pub(crate) uncles: Vec<Header>,
    pub(crate) withdrawals: Option<Withdrawals>,
}

impl Block {
    /// The block as it travels, in RLP.
    pub(crate) fn encode_body(&self) -> Vec<u8> {
        let mut transactions = Vec::new();
        for transaction in &self.transactions {
            transaction.envelope.encode(&mut transactions);
        }
        let mut payload = Vec::new();
        self.header.encode(&mut payload);
        put_list(&transactions, &mut payload);
        self.uncles.encode(&mut payload);
        if let Some(withdrawals) = &self.withdrawals {
            withdrawals.encode(&mut payload);
        }
        let mut out = Vec::new();
        put_list(&payload, &mut out);
        out
    }

    /// Gas used by the transaction at `index`.
    pub(crate) fn gas_used(&self, index: usize) -> u64 {
        let total = |index: usize| self.receipts.get(index).map_or(0, ReceiptEnvelope::cumulative_gas_used);
        total(index) - index.checked_sub(1).map_or(0, total)
    }

    /// Logs in the block before those of the transaction at `index`.
    pub(crate) fn logs_before(&self, index: usize) -> usize {
        self.receipts.iter().take(index).map(|receipt| receipt.logs().len()).sum()
    }

    /// The block as the store keeps it: its body, senders and receipts, so that reading it runs and recovers nothing.
    pub(crate) fn encode_record(&self) -> Vec<u8> {
        let mut payload = self.encode_body();
        let senders: Vec<Address> = self.transactions.iter().map(|transaction| transaction.sender).collect();
        senders.encode(&mut payload);
        self.receipts.encode(&mut payload);
        let mut out = Vec::new();
        put_list(&payload, &mut out);
        out
    }

    /// Reads what [`Block::encode_record`] wrote.
    pub(crate) fn decode_record(bytes: &[u8]) -> alloy_rlp::Result<Self> {
        let mut rest = bytes;
        let mut payload = RlpHeader::decode_bytes(&mut rest, true)?;
        let body = Body::decode(&mut payload)?;
        let senders = Vec::<Address>::decode(&mut payload)?;
        let receipts = Vec::<ReceiptEnvelope>::decode(&mut payload)?;
        let count = body.transactions.len();
        if senders.len() != count || receipts.len() != count || !payload.is_empty() || !rest.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        let transactions = body.transactions.into_iter().zip(senders);
        Ok(Self {
            hash: body.header.hash(),
            header: body.header,
            transactions: transactions.map(|(envelope, sender)| Transaction { envelope, sender }).collect(),
            uncles: body.uncles,
            withdrawals: body.withdrawals,
            receipts,
        })
    }
}

impl Decodable for Body {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut payload = RlpHeader::decode_bytes(buf, true)?;
        let rest = &mut payload;
        let header = Decodable::decode(rest)?;
        let transactions = Decodable::decode(rest)?;
        let uncles = Decodable::decode(rest)?;
        let withdrawals = if rest.is_empty() { None } else { Some(Decodable::decode(rest)?) };
        if !rest.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        Ok(Self { header, transactions, uncles, withdrawals })
    }
}
