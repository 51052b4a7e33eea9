//! What nodes say in different words: reverts and refusals of transactions.

use alloy_primitives::{Bytes, hex};
use serde_json::Value;

/// How deep nodes nest the revert data in an error; hardhat's node needs two.
const MAX_NESTING: u8 = 3;

/// Why a node did not take a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// It has it already.
    Known,
    /// The nonce was used.
    NonceUsed,
    /// The price is too low, for this node or to replace another transaction.
    Underpriced,
    /// The account can't pay.
    InsufficientFunds,
}

/// Sorts a node's words about a transaction; nodes have no codes for these.
pub(crate) fn not_taken(message: &str) -> Option<NotTaken> {
    let words = message.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|part| words.contains(part));
    if says(&[
        "already known",
        "known transaction",
        "already imported",
        "alreadyknown",
        "already in the pool",
    ]) {
        Some(NotTaken::Known)
    } else if says(&["nonce too low", "nonce is too low", "oldnonce", "correct nonce", "nonce too small"]) {
        Some(NotTaken::NonceUsed)
    } else if says(&[
        "underpriced",
        "gas price too low",
        "gas price is too low",
        "feetoolow",
        "toocheaptoreplace",
        "another transaction with same nonce",
        "less than block base fee",
        "max fee per gas",
    ]) {
        Some(NotTaken::Underpriced)
    } else if says(&[
        "insufficient funds",
        "insufficient balance",
        "insufficientfunds",
        "doesn't have enough funds",
    ]) {
        Some(NotTaken::InsufficientFunds)
    } else {
        None
    }
}

/// Whether a node declines because it was asked too often. The code that many use for it also stands for answers that would be
/// too large, so that words decide.
pub(crate) fn limits_rate(code: i64, message: &str) -> bool {
    let words = message.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|part| words.contains(part));
    let parts = [
        "rate limit",
        "rate-limit",
        "ratelimit",
        "too many requests",
        "request limit",
        "requests per second",
        "quota",
        "throughput",
        "daily request count",
        "capacity",
    ];
    matches!(code, 429 | -32029) || says(&parts)
}

/// Whether a node, or what stands before it, failed at answering, which says nothing about the question.
pub(crate) fn fails_for_now(code: i64, message: &str) -> bool {
    if not_taken(message).is_some() || unknown_state(message) {
        return false;
    }
    let words = message.to_ascii_lowercase();
    let parts = [
        "internal error",
        "internal server error",
        "timeout",
        "timed out",
        "deadline exceeded",
        "temporarily",
        "try again",
        "upstream",
        "bad gateway",
        "unavailable",
        "overloaded",
        "connection refused",
        "node is syncing",
    ];
    code == -32603 && words.trim().is_empty() || parts.iter().any(|part| words.contains(part))
}

/// Whether a node does not take the form in which a block was named.
pub(crate) fn unknown_form(code: i64, message: &str) -> bool {
    let words = message.to_ascii_lowercase();
    code == -32602
        || [
            "invalid argument",
            "invalid params",
            "invalid type",
            "cannot unmarshal",
            "unknown variant",
            // ganache's
            "cannot wrap",
            "expected",
        ]
        .iter()
        .any(|part| words.contains(part))
}

/// Whether a node's words mean that it has no state of the block that was named: not yet, or not any more.
pub(crate) fn unknown_state(message: &str) -> bool {
    let words = message.to_ascii_lowercase();
    let parts =
        ["header not found", "header for hash not found", "unknown block", "block not found", "outofrange"];
    parts
        .iter()
        .chain(&["missing trie node", "pruned", "pruning", "state not available", "not canonical"])
        .any(|part| words.contains(part))
}

/// What a reverted call returned, if this error is about one: `Some` of nothing where the node doesn't say.
pub(crate) fn revert_data(code: i64, message: &str, data: Option<&Value>) -> Option<Bytes> {
    let found = data.and_then(|value| find_hex(value, MAX_NESTING));
    // 3 is geth's code for it, -32015 is OpenEthereum's for any failed execution.
    let reverted = code == 3 || message.to_ascii_lowercase().contains("revert");
    match found {
        Some(bytes) if reverted || code == -32015 || bytes.len() >= 4 => Some(bytes),
        _ if reverted => Some(Bytes::new()),
        _ => None,
    }
}

fn find_hex(value: &Value, depth: u8) -> Option<Bytes> {
    match value {
        Value::String(text) => {
            let digits = text.trim_start_matches("Reverted ").strip_prefix("0x")?;
            hex::decode(digits).ok().map(Bytes::from)
        }
        Value::Object(fields) if depth > 0 => ["data", "result", "originalError", "return"]
            .iter()
            .filter_map(|name| fields.get(*name))
            .find_map(|inner| find_hex(inner, depth - 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_known_spelling_of_revert_data_is_found() {
        let expected = Some(Bytes::from_static(&[0xde, 0xad, 0xbe, 0xef]));
        let spellings = [
            (3, "execution reverted", json!("0xdeadbeef")),
            (-32000, "VM Exception while processing transaction: revert", json!("0xdeadbeef")),
            (-32000, "VM Exception", json!({"hash": "0x01", "result": "0xdeadbeef", "message": "revert"})),
            (-32603, "Error: reverted with a custom error", json!({"message": "m", "data": "0xdeadbeef"})),
            (-32603, "reverted", json!({"data": {"data": "0xdeadbeef"}})),
            (-32015, "VM execution error.", json!("Reverted 0xdeadbeef")),
        ];
        for (code, message, data) in spellings {
            assert_eq!(revert_data(code, message, Some(&data)), expected, "{data}");
        }
        assert_eq!(revert_data(3, "execution reverted", None), Some(Bytes::new()));
        assert_eq!(revert_data(-32601, "method not found", None), None);
        assert_eq!(revert_data(-32000, "x", Some(&json!(["0xdeadbeef"]))), None);
    }

    #[test]
    fn refusals_that_pass_are_told_from_those_that_last() {
        for (code, words) in [
            (-32005, "daily request count exceeded, request rate limited"),
            (429, "slow down"),
            (-32000, "Your app has exceeded its requests per second capacity"),
        ] {
            assert!(limits_rate(code, words), "{words}");
        }
        for (code, words) in [
            (-32603, "Internal error"),
            (-32000, "request timed out"),
            (-32000, "no healthy upstream"),
            (-32603, ""),
        ] {
            assert!(fails_for_now(code, words) && !limits_rate(code, words), "{words}");
        }
        for (code, words) in [
            (-32005, "query returned more than 10000 results"),
            (-32602, "invalid params"),
            (-32000, "nonce too low"),
            (-32000, "header not found"),
            (-32603, "nonce too low: internal error"),
        ] {
            assert!(!limits_rate(code, words) && !fails_for_now(code, words), "{words}");
        }
    }

    #[test]
    fn refusals_of_transactions_are_sorted() {
        let cases = [
            ("already known", Some(NotTaken::Known)),
            ("Transaction with the same hash was already imported.", Some(NotTaken::Known)),
            ("nonce too low: address 0x.., tx: 0 state: 1", Some(NotTaken::NonceUsed)),
            ("Transaction nonce is too low. Try incrementing the nonce.", Some(NotTaken::NonceUsed)),
            (
                "the tx doesn't have the correct nonce. account has nonce of: 3 tx has nonce of: 2",
                Some(NotTaken::NonceUsed),
            ),
            ("replacement transaction underpriced", Some(NotTaken::Underpriced)),
            (
                "Transaction gas price is too low. There is another transaction with same nonce in the queue",
                Some(NotTaken::Underpriced),
            ),
            (
                "Insufficient funds. The account you tried to send transaction from does not have enough",
                Some(NotTaken::InsufficientFunds),
            ),
            ("invalid sender", None),
        ];
        for (message, sorted) in cases {
            assert_eq!(not_taken(message), sorted, "{message}");
        }
    }
}
