//! Logs of receipts, under the receipts root of a block.

use super::rlp::{self, Item};
use super::trie::{TrieError, lookup_place};
use alloy_primitives::{Address, B256, LogData};
use pox_core::proof::ReceiptProof;

/// Most fields of a receipt: status or state root, which some chains left away before Byzantium (EIP-98); gas, filter, logs.
const RECEIPT_FIELDS: usize = 4;
/// Most logs of one receipt: a log costs 375 gas at least, and no public block has had more than 100 million.
const MOST_LOGS: usize = 1 << 18;
/// Types of transactions (EIP-2718) are below this; a receipt without a type begins with a list.
const FIRST_LIST: u8 = 0xc0;

/// Bytes are no receipt, or have no such log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReceipt {
    /// Not a receipt of any type.
    #[error("the receipt is malformed")]
    Form,
    /// It has fewer logs.
    #[error("the receipt has no log {0}")]
    NoLog(u32),
}

/// A receipt proof does not show a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// The nodes do not lead to a receipt.
    #[error("the receipt is not under the block's receipts root: {0}")]
    Trie(#[from] TrieError),
    /// What they lead to has no such log.
    #[error(transparent)]
    Receipt(#[from] BadReceipt),
}

/// A log of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptLog {
    /// Who emitted it.
    pub address: Address,
    /// Topics and data.
    pub content: LogData,
}

/// The log that a proof shows under a receipts root.
pub(crate) fn prove(receipts_root: B256, proof: &ReceiptProof) -> Result<ReceiptLog, ReceiptFault> {
    let receipt = lookup_place(receipts_root, proof.index, &proof.nodes)?;
    Ok(log(receipt, proof.log)?)
}

/// One log of a receipt, by its place there.
///
/// # Errors
/// No receipt, or no such log.
pub fn log(receipt: &[u8], place: u32) -> Result<ReceiptLog, BadReceipt> {
    let logs = logs(receipt)?;
    let place =
        usize::try_from(place).ok().and_then(|place| logs.get(place)).ok_or(BadReceipt::NoLog(place))?;
    parse(place).ok_or(BadReceipt::Form)
}

/// All logs of a receipt, in their order.
///
/// # Errors
/// No receipt.
pub(crate) fn all_logs(receipt: &[u8]) -> Result<Vec<ReceiptLog>, BadReceipt> {
    logs(receipt)?.iter().map(|item| parse(item).ok_or(BadReceipt::Form)).collect()
}

fn logs(receipt: &[u8]) -> Result<Vec<Item<'_>>, BadReceipt> {
    let body = match receipt.split_first() {
        Some((kind, body)) if *kind < 0x80 => body,
        Some((kind, _)) if *kind >= FIRST_LIST => receipt,
        _ => return Err(BadReceipt::Form),
    };
    let fields = rlp::list(body, RECEIPT_FIELDS).map_err(|_| BadReceipt::Form)?;
    match fields.as_slice() {
        [_, _, logs] | [_, _, _, logs] if logs.is_list => {
            rlp::list(logs.raw, MOST_LOGS).map_err(|_| BadReceipt::Form)
        }
        _ => Err(BadReceipt::Form),
    }
}

fn parse(log: &Item<'_>) -> Option<ReceiptLog> {
    let fields = rlp::list(log.raw, 3).ok()?;
    let [address, topics, data] = fields.as_slice() else { return None };
    let topics = rlp::list(topics.raw, 4).ok().filter(|_| topics.is_list)?;
    let topics = topics.iter().map(|topic| topic.fixed().map(B256::from)).collect::<Option<Vec<_>>>()?;
    let data = (!data.is_list).then(|| data.payload.to_vec())?;
    Some(ReceiptLog {
        address: address.fixed().map(Address::from)?,
        content: LogData::new(topics, data.into())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A receipt of one log with two topics, as an old node writes it.
    fn receipt() -> Vec<u8> {
        let mut log = Vec::new();
        rlp::put_string(&[7; 20], &mut log);
        let mut topics = Vec::new();
        rlp::put_string(&[1; 32], &mut topics);
        rlp::put_string(&[2; 32], &mut topics);
        log.extend(rlp::list_of(&topics));
        rlp::put_string(b"data", &mut log);
        let logs = rlp::list_of(&rlp::list_of(&log));
        let mut body = Vec::new();
        rlp::put_string(&[1], &mut body);
        rlp::put_string(&[0x52, 0x08], &mut body);
        rlp::put_string(&[0; 256], &mut body);
        body.extend(logs);
        rlp::list_of(&body)
    }

    #[test]
    fn reads_receipts_of_every_type() {
        let legacy = receipt();
        for bytes in [legacy.clone(), [&[2], legacy.as_slice()].concat()] {
            let log = log(&bytes, 0).unwrap();
            assert_eq!(log.address, Address::repeat_byte(7));
            assert_eq!(log.content.topics(), [B256::repeat_byte(1), B256::repeat_byte(2)]);
            assert_eq!(&log.content.data[..], b"data");
        }
        assert_eq!(log(&legacy, 1), Err(BadReceipt::NoLog(1)));
    }

    #[test]
    fn refuses_what_is_no_receipt() {
        let good = receipt();
        for bad in
            [&[][..], &[0x80], &[0xc0], &good[1..], &good[..good.len() - 1], &[&[2, 2], &good[..]].concat()]
        {
            assert_eq!(log(bad, 0), Err(BadReceipt::Form), "{}", hex::encode(bad));
        }
    }
}
