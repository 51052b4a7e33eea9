//! What goes wrong with a chain, by whose fault it is.

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_sol_types::{Panic, Revert as RevertString, SolError};
use pox_core::{Refusal, TaskId};
use std::time::Duration;

/// Most characters of a node's own words that an error repeats.
const MAX_WORDS: usize = 300;

/// Talking to a chain failed.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// No endpoint answered, or all were too busy. This says nothing about what was asked for.
    #[error("cannot reach the chain at {endpoint}: {reason}")]
    Unreachable {
        /// The last endpoint that was tried.
        endpoint: String,
        /// What happened.
        reason: String,
    },
    /// The endpoint answered, but not as JSON-RPC says.
    #[error("{endpoint} gave no valid answer to {method}: {reason}")]
    Malformed {
        /// Who.
        endpoint: String,
        /// To what.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The endpoint asks for fewer questions. This says nothing about what was asked for.
    #[error("{endpoint} limits the rate of questions{}", pause(*.retry_after))]
    RateLimited {
        /// Who.
        endpoint: String,
        /// When it wants to be asked again, if it says so.
        retry_after: Option<Duration>,
    },
    /// The endpoint's answer is larger than any that is looked at.
    #[error("the answer of {endpoint} to {method} has more than {most} bytes")]
    Oversized {
        /// Who.
        endpoint: String,
        /// To what.
        method: &'static str,
        /// The bound.
        most: u64,
    },
    /// Endpoints contradict each other, and no majority of those that answer says one thing.
    #[error("the endpoints disagree about {what}: {sides}")]
    Disagreement {
        /// What was asked.
        what: String,
        /// Who says the same as whom.
        sides: String,
    },
    /// Fewer endpoints say the same than the profile wants.
    #[error("{agreed} of {wanted} endpoints that have to agree about {what} do: {rest}")]
    TooFewAgree {
        /// What was asked.
        what: String,
        /// How many do.
        agreed: usize,
        /// How many have to.
        wanted: u8,
        /// What became of the others.
        rest: String,
    },
    /// The endpoint serves another chain than the profile names.
    #[error("{endpoint} is on chain {actual}, not on {expected}")]
    WrongChain {
        /// Who.
        endpoint: String,
        /// The profile's chain id.
        expected: u64,
        /// The endpoint's.
        actual: u64,
    },
    /// The node understood, and declined.
    #[error("the node refuses {method}: {message} (code {code})")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// JSON-RPC error code.
        code: i64,
        /// The node's words.
        message: String,
    },
    /// The call would be, or was, reverted.
    #[error(transparent)]
    Reverted(Revert),
    /// The endpoint does not know yet what it must come to know; ask again later.
    #[error("the endpoint lags: it does not know {0} yet")]
    Lagging(String),
    /// The endpoint's answers contradict each other or their own hashes: it lies, or two replicas disagree.
    #[error("the endpoint contradicts itself: {0}")]
    Contradiction(String),
    /// The chain was reorganised while it was read; ask again.
    #[error("the chain was reorganised while it was read, at block {0}")]
    Reorganised(u64),
    /// A reorganisation went deeper than the follower remembers.
    #[error("the chain was reorganised below block {0}, deeper than is remembered")]
    ReorganisedTooDeep(u64),
    /// There is no contract of ours at the address.
    #[error("the code at {0} is not this version's contract")]
    NotTheContract(Address),
    /// The contract has no task of this id.
    #[error("there is no task {0}")]
    NoSuchTask(TaskId),
    /// The account can't pay for value and gas.
    #[error("{0} has too little money for this transaction")]
    InsufficientFunds(Address),
    /// Another transaction of the account used this nonce.
    #[error("another transaction of {from} used nonce {nonce}")]
    Superseded {
        /// The account.
        from: Address,
        /// The nonce.
        nonce: u64,
    },
    /// The node wants a higher price for this transaction.
    #[error("the node wants a higher gas price than {0} wei")]
    Underpriced(u128),
    /// The node wants a higher price than the profile allows.
    #[error("the chain wants {wanted} wei per gas, the profile allows {most}")]
    TooDear {
        /// What it wants.
        wanted: u128,
        /// The profile's bound.
        most: u64,
    },
    /// The transaction can cost more than whoever sends it wants to pay.
    #[error("it can cost {costs} wei, gas and value together, and {most} is the most to be paid")]
    OverBudget {
        /// What it can cost.
        costs: U256,
        /// The bound.
        most: U256,
    },
    /// Something did not happen in the time that the caller gave.
    #[error("{0} did not happen in time")]
    TimedOut(String),
    /// Bytes are not a signed transaction of this account on this chain.
    #[error("not a transaction for this outbox: {0}")]
    BadPrepared(&'static str),
    /// The caller could not write its journal; nothing was sent.
    #[error("cannot write the journal")]
    Journal(#[source] std::io::Error),
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Culprit {
    /// The network or the endpoint.
    Endpoint,
    /// The chain itself moved.
    Chain,
    /// The call: the contract or the node has a rule against it.
    Caller,
}

/// Why a call was reverted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Revert {
    /// By a rule of the contract.
    #[error("the contract refuses: {0}")]
    Contract(Refusal),
    /// By a contract that gave a text.
    #[error("reverted: {0}")]
    Text(String),
    /// By a failed assertion in a contract.
    #[error("reverted: panic {0}")]
    Panic(U256),
    /// With data that no known contract gives.
    #[error("reverted with {}", hex::encode_prefixed(.0))]
    Unknown(Bytes),
    /// Without data: no contract there, out of gas, or a call that is not the contract's.
    #[error("reverted without a reason")]
    Silent,
}

impl ChainError {
    /// Whose fault it is.
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::Unreachable { .. }
            | Self::Malformed { .. }
            | Self::RateLimited { .. }
            | Self::Oversized { .. }
            | Self::Disagreement { .. }
            | Self::TooFewAgree { .. }
            | Self::WrongChain { .. }
            | Self::Lagging(_)
            | Self::Contradiction(_) => Culprit::Endpoint,
            Self::Reorganised(_) | Self::ReorganisedTooDeep(_) | Self::TimedOut(_) => Culprit::Chain,
            Self::Refused { .. }
            | Self::Reverted(_)
            | Self::NotTheContract(_)
            | Self::NoSuchTask(_)
            | Self::InsufficientFunds(_)
            | Self::Superseded { .. }
            | Self::Underpriced(_)
            | Self::TooDear { .. }
            | Self::OverBudget { .. }
            | Self::BadPrepared(_)
            | Self::Journal(_) => Culprit::Caller,
        }
    }

    /// Whether the same call can succeed later without anything else being done.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Malformed { .. }
                | Self::RateLimited { .. }
                | Self::Disagreement { .. }
                | Self::TooFewAgree { .. }
                | Self::Lagging(_)
                | Self::Contradiction(_)
                | Self::Reorganised(_)
                | Self::TimedOut(_)
        )
    }

    /// Whether another endpoint of the same chain can do better with the same question.
    pub(crate) fn is_of_one_endpoint(&self) -> bool {
        match self {
            Self::Refused { code, message, .. } => is_missing_method(*code, message),
            error => error.culprit() == Culprit::Endpoint,
        }
    }

    /// The contract's rule that refused the call, if one did.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Reverted(Revert::Contract(refusal)) => Some(*refusal),
            _ => None,
        }
    }
}

impl Revert {
    /// Reads what a reverted call returned, with the node's words beside it.
    pub(crate) fn parse(data: &Bytes, message: &str) -> Self {
        if let Some(refusal) = Refusal::parse(data) {
            return Self::Contract(refusal);
        }
        if let Ok(text) = RevertString::abi_decode(data) {
            return Self::Text(plain(&text.reason));
        }
        if let Ok(panic) = Panic::abi_decode(data) {
            return Self::Panic(panic.code);
        }
        if !data.is_empty() {
            return Self::Unknown(data.slice(..data.len().min(MAX_WORDS)));
        }
        // Some nodes keep the data to themselves and tell the reason in words only.
        match message.split_once("reverted with reason string") {
            Some((_, reason)) => Self::Text(plain(reason.trim_matches([' ', '\'', '"']))),
            None => Self::Silent,
        }
    }
}

/// Whether a refusal means that the node does not have this method.
pub(crate) fn is_missing_method(code: i64, message: &str) -> bool {
    let words = message.to_ascii_lowercase();
    code == -32601
        || [
            "method not found",
            "does not exist/is not available",
            "unsupported method",
            "method not supported",
        ]
        .iter()
        .any(|part| words.contains(part))
        || words.contains("method") && words.contains("is not supported")
}

fn pause(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |pause| format!("; ask again in {} s", pause.as_secs()))
}

/// A node's words, cut and without control characters, so that they can be shown.
pub(crate) fn plain(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect()
}

pub(crate) fn contradiction(what: impl Into<String>) -> ChainError {
    ChainError::Contradiction(what.into())
}

pub(crate) fn unknown_block(number: u64) -> ChainError {
    ChainError::Lagging(format!("block {number}"))
}

pub(crate) fn unknown_transaction(hash: B256) -> ChainError {
    ChainError::Lagging(format!("transaction {hash}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pox_core::Phase;

    #[test]
    fn reverts_are_told_apart() {
        let parse = |data: Vec<u8>, message: &str| Revert::parse(&data.into(), message);
        let wrong = Refusal::WrongPhase(Phase::Proven);
        assert_eq!(parse(wrong.revert_data(), ""), Revert::Contract(wrong));
        let text = RevertString { reason: "no\nway".into() }.abi_encode();
        assert_eq!(parse(text, ""), Revert::Text("no way".into()));
        assert_eq!(parse(Panic { code: U256::from(17) }.abi_encode(), ""), Revert::Panic(U256::from(17)));
        assert_eq!(parse(vec![1, 2, 3, 4], ""), Revert::Unknown(vec![1, 2, 3, 4].into()));
        assert_eq!(parse(vec![], "execution reverted"), Revert::Silent);
        let words = "VM Exception: reverted with reason string 'why'";
        assert_eq!(parse(vec![], words), Revert::Text("why".into()));
    }
}
