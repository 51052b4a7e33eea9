//! Looks after everything in the outbox at once: sends again what got lost, and says what each waits for.

use super::journal::{Entry, Used};
use super::{Look, Next, Outbox};
use crate::error::ChainError;
use crate::prepared::{Draft, Prepared};
use alloy_primitives::{Address, B256};
use pox_core::Call;
use std::collections::BTreeMap;
use std::fmt;

/// A transaction that is not in the chain for good yet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    /// What it is to do: the contract's call, or what else it is.
    pub what: String,
    /// Its newest attempt.
    pub transaction: B256,
    /// Its place among the account's transactions.
    pub nonce: u64,
    /// What for.
    pub waits_for: WaitsFor,
}

/// What a transaction waits for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum WaitsFor {
    /// An endpoint that answers, and says what can be believed.
    Endpoint {
        /// What happened at the last try.
        reason: String,
    },
    /// A block that takes it up.
    Block,
    /// Its block to be final.
    Finality {
        /// The block.
        block: u64,
        /// How many blocks stand on it, itself included.
        confirmations: u64,
    },
    /// Coins: the account can't pay for it.
    Coins {
        /// The account.
        account: Address,
    },
    /// The chain to be cheaper: it wants more than the profile allows, or than the last replacement offers.
    Price,
    /// Somebody: a node has understood it, and declines it.
    Help {
        /// The node's words.
        reason: String,
    },
}

impl Outbox {
    /// Looks after everything that was signed and is not final: sends again what a node or a reorganisation has dropped, offers
    /// more where nodes want more, and forgets what is final. Returns what still waits, by nonce; not what has failed and whose
    /// caller knows, unless a transfer of nothing has to take its place.
    ///
    /// # Errors
    /// The journal fails. An endpoint that does is what the transactions wait for.
    pub fn tend(&self) -> Result<Vec<Waiting>, ChainError> {
        let mut waiting = BTreeMap::new();
        let mut away: Option<String> = None;
        for entry in self.journal.entries()? {
            let waits_for = match &away {
                // The others would meet the same.
                Some(reason) => Some(WaitsFor::Endpoint { reason: reason.clone() }),
                None => self.tend_one(&entry)?,
            };
            if let Some(WaitsFor::Endpoint { reason }) = &waits_for {
                away = Some(reason.clone());
                if entry.over {
                    continue;
                }
            }
            waiting.extend(waits_for.map(|waits_for| (entry.nonce(), waits_for)));
        }
        // With the attempts that were added by the way.
        let told = |entry: Entry| {
            let waits_for = waiting.remove(&entry.nonce())?;
            Some(Waiting {
                what: if entry.over { in_place_of(entry.draft()) } else { describe(entry.draft()) },
                transaction: entry.latest().hash(),
                nonce: entry.nonce(),
                waits_for,
            })
        };
        Ok(self.journal.entries()?.into_iter().filter_map(told).collect())
    }

    /// Sends again what has to come before this nonce.
    pub(super) fn tend_earlier(&self, nonce: u64) -> Result<(), ChainError> {
        for entry in self.journal.entries()? {
            // Those that were seen too: a reorganisation can have dropped them since.
            if entry.nonce() < nonce {
                self.tend_one(&entry)?;
            }
        }
        Ok(())
    }

    /// What it waits for; `None` if it has ended.
    fn tend_one(&self, entry: &Entry) -> Result<Option<WaitsFor>, ChainError> {
        let tended = if entry.over { self.try_tend_over(entry) } else { self.try_tend(entry) };
        match tended {
            Ok(waits_for) => Ok(waits_for),
            Err(error @ ChainError::Journal(_)) => Err(error),
            Err(ChainError::Superseded { nonce, .. }) => {
                self.journal.note_over(nonce, None)?;
                Ok(None)
            }
            Err(ChainError::InsufficientFunds(account)) => Ok(Some(WaitsFor::Coins { account })),
            Err(ChainError::TooDear { .. } | ChainError::Underpriced(_) | ChainError::OverBudget { .. }) => {
                Ok(Some(WaitsFor::Price))
            }
            Err(error) if error.is_transient() || error.is_of_one_endpoint() => {
                Ok(Some(WaitsFor::Endpoint { reason: error.to_string() }))
            }
            Err(error) => Ok(Some(WaitsFor::Help { reason: error.to_string() })),
        }
    }

    fn try_tend(&self, entry: &Entry) -> Result<Option<WaitsFor>, ChainError> {
        let (block, confirmations) = match self.look(&entry.attempts, u64::MAX)? {
            Look::There(sent) => (sent.receipt.block, u64::MAX),
            Look::Mined { block, confirmations } => (block, confirmations),
            Look::Waits => {
                self.journal.note_seen(entry.nonce(), None)?;
                return Ok(Some(WaitsFor::Block));
            }
            Look::Nowhere => {
                self.journal.note_seen(entry.nonce(), None)?;
                return self.push_on(&entry.attempts).map(Some);
            }
        };
        if self.rpc.newest_final()?.is_some_and(|newest| newest >= block.number) {
            self.journal.strike(entry.nonce(), Used::Yes)?;
            return Ok(None);
        }
        self.journal.note_seen(entry.nonce(), Some(block))?;
        Ok(Some(WaitsFor::Finality { block: block.number, confirmations }))
    }

    /// Broadcasts the newest attempt, or a dearer one where nodes want more.
    pub(super) fn push_on(&self, attempts: &[Prepared]) -> Result<WaitsFor, ChainError> {
        match self.push(attempts)? {
            Next::Rest => Ok(WaitsFor::Block),
            Next::Replace => match self.replace(attempts, true)? {
                Some(dearer) => self.broadcast(&dearer).map(|_| WaitsFor::Block),
                None => Ok(WaitsFor::Price),
            },
        }
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { reason } => write!(f, "waits for the chain: {reason}"),
            Self::Block => f.write_str("waits for a block"),
            Self::Finality { block, confirmations } => {
                write!(f, "in block {block}, waits for it to be final ({confirmations} blocks so far)")
            }
            Self::Coins { account } => write!(f, "waits for coins: {account} can't pay for it"),
            Self::Price => {
                f.write_str("waits for a lower gas price: the chain wants more than the profile allows")
            }
            Self::Help { reason } => write!(f, "declined: {reason}"),
        }
    }
}

fn in_place_of(draft: &Draft) -> String {
    format!("a transfer of nothing, in the place of what failed: {}", describe(draft))
}

/// What a transaction is for, in the contract's words where it is one of its calls.
fn describe(draft: &Draft) -> String {
    let task = |name: &str, task: &dyn fmt::Display| format!("{name} {task}");
    match (draft.to, Call::parse(&draft.input)) {
        (None, _) => "a new contract".into(),
        (Some(_), Some(call)) => match call {
            Call::Request(_) => "request".into(),
            Call::Offer(_) => "offer".into(),
            Call::WithdrawOffer(_) => "withdrawal of an offer".into(),
            Call::MatchTask { .. } => "match".into(),
            Call::Reject { .. } => "reject".into(),
            Call::Approve { task: id, .. } => task("approve of task", &id),
            Call::Prove { receipt, .. } => task("prove of task", &pox_core::TaskId::from(receipt.task.0)),
            Call::Cancel(id) => task("cancel of task", &id),
            Call::Withdraw => "withdrawal of credit".into(),
            _ => "another call of the contract".into(),
        },
        (Some(to), None) => format!("{} wei to {to}", draft.value),
    }
}
