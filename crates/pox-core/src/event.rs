//! What the contract tells the world: its events, parsed.

use crate::abi;
use crate::abi::IProofOfExecution::{self as wire, IProofOfExecutionEvents as Wire};
use crate::domain::Domain;
use crate::history::Payload;
use crate::id::{Archive, DatasetCommitment, MembersRoot, OfferId, ReceiptId, TaskId};
use crate::members::Members;
use crate::receipt::{archived, archived_batch};
use crate::record::{Amount, BadRecord, Offer, Request};
use crate::refusal::Phase;
use alloy_primitives::{Address, B256, LogData, U256};
use alloy_sol_types::{SolEvent, SolEventInterface};

/// One event of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An owner asked for a task and escrowed its price.
    Requested {
        /// The task.
        task: TaskId,
        /// Its whole request.
        request: Box<Request>,
    },
    /// Somebody else than the owner escrowed the price, and gets it back where an owner would.
    Sponsored {
        /// The task.
        task: TaskId,
        /// Who paid.
        sponsor: Address,
    },
    /// A request names this input.
    Uses {
        /// The sealed dataset.
        input: DatasetCommitment,
        /// The task that uses it.
        task: TaskId,
    },
    /// A processor offered resources.
    Offered {
        /// The offer.
        offer: OfferId,
        /// What it offers.
        terms: Offer,
    },
    /// A processor ended an offer.
    OfferWithdrawn {
        /// The offer.
        offer: OfferId,
        /// Whose it was.
        processor: Address,
    },
    /// A processor named an enclave for a task.
    Matched {
        /// The task.
        task: TaskId,
        /// The offer that serves it.
        offer: OfferId,
        /// Who matched.
        processor: Address,
        /// The enclave's account.
        enclave: Address,
        /// keccak256 of the evidence as it stood in the call.
        evidence: B256,
        /// What the processor deposited.
        bond: Amount,
    },
    /// The owner or a co-owner refused the evidence.
    Rejected {
        /// The task.
        task: TaskId,
        /// Whose enclave it was.
        processor: Address,
        /// Who refused.
        account: Address,
        /// The enclave that was refused.
        enclave: Address,
        /// Why, by spec §9.4.
        reason: u8,
    },
    /// The owner released the secret to the matched enclave.
    Approved {
        /// The task.
        task: TaskId,
        /// The enclave.
        enclave: Address,
        /// keccak256 of the signed and sealed secret as it stood in the call.
        secret: B256,
    },
    /// One of several parties released its secret to the matched enclave.
    Released {
        /// The task.
        task: TaskId,
        /// The owner or co-owner.
        account: Address,
        /// The enclave.
        enclave: Address,
        /// keccak256 of the signed and sealed secret as it stood in the call.
        secret: B256,
        /// Which parties have not: bit 0 the owner, bit `i` co-owner `i - 1`. None: the task is approved.
        missing: u8,
    },
    /// The root over the receipts of a batch's members; follows the batch's [`Event::Proven`].
    Members {
        /// The task.
        task: TaskId,
        /// The root.
        root: MembersRoot,
        /// How many members there are.
        count: u16,
    },
    /// The enclave's receipt was posted.
    Proven {
        /// The task.
        task: TaskId,
        /// Who ran it.
        processor: Address,
        /// The receipt as posted; its outcome can be a code that this version does not know.
        receipt: Box<abi::Receipt>,
        /// SHA-256 of the archive.
        archive: Archive,
    },
    /// The owner took the request back.
    Cancelled {
        /// The task.
        task: TaskId,
    },
    /// A deadline passed.
    Expired {
        /// The task.
        task: TaskId,
        /// The phase that it ended from.
        from: Phase,
    },
    /// An account was paid its credit.
    Withdrawn {
        /// The account.
        account: Address,
        /// How many wei.
        amount: U256,
    },
}

/// A log is not an event of this contract, or contradicts itself; the chain's endpoint is at fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadEvent {
    /// Topics or data are those of no event.
    #[error("the log is no event of the contract")]
    Unknown,
    /// A record in it is out of its bounds.
    #[error(transparent)]
    Record(#[from] BadRecord),
    /// Its topics say something else than its data.
    #[error("the log's topics contradict its data")]
    Contradiction,
}

impl Event {
    /// The task that it is about, if it is about one.
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::Requested { task, .. }
            | Self::Sponsored { task, .. }
            | Self::Uses { task, .. }
            | Self::Released { task, .. }
            | Self::Members { task, .. }
            | Self::Matched { task, .. }
            | Self::Rejected { task, .. }
            | Self::Approved { task, .. }
            | Self::Proven { task, .. }
            | Self::Cancelled { task }
            | Self::Expired { task, .. } => Some(*task),
            Self::Offered { .. } | Self::OfferWithdrawn { .. } | Self::Withdrawn { .. } => None,
        }
    }

    /// What it adds to its task's history (spec §5.1), if it is a step.
    pub fn payload(&self, domain: &Domain, members: Option<Members>) -> Option<Payload> {
        Some(match self {
            Self::Requested { task, .. } => Payload::Request(*task),
            Self::Matched { offer, processor, enclave, evidence, .. } => Payload::Match {
                offer: *offer,
                processor: *processor,
                enclave: *enclave,
                evidence: *evidence,
            },
            Self::Rejected { account, reason, .. } => Payload::Reject { account: *account, reason: *reason },
            Self::Released { account, enclave, secret, .. } => {
                Payload::Release { account: *account, enclave: *enclave, secret: *secret }
            }
            Self::Approved { enclave, secret, .. } => Payload::Approve { enclave: *enclave, secret: *secret },
            Self::Proven { receipt, archive, .. } => {
                let receipt = ReceiptId(domain.digest(receipt.as_ref()));
                match members {
                    None => Payload::Prove(archived(domain, receipt, *archive)),
                    Some(Members { root, count }) => {
                        Payload::ProveMany(archived_batch(domain, receipt, *archive, root, count))
                    }
                }
            }
            Self::Cancelled { .. } => Payload::Cancel,
            Self::Expired { .. } => Payload::Expire,
            Self::Sponsored { .. }
            | Self::Members { .. }
            | Self::Uses { .. }
            | Self::Offered { .. }
            | Self::OfferWithdrawn { .. }
            | Self::Withdrawn { .. } => return None,
        })
    }

    /// Parses a log of the contract at `domain`; checks that ids are those of the records beside them.
    ///
    /// # Errors
    /// The log is no event, or contradicts itself. That it really is in a block is not checked here.
    pub fn parse(domain: &Domain, log: &LogData) -> Result<Self, BadEvent> {
        let parsed = match Wire::decode_raw_log(log.topics(), &log.data).map_err(|_| BadEvent::Unknown)? {
            Wire::Requested(event) => {
                Self::Requested { task: TaskId(event.task), request: Box::new(event.request.try_into()?) }
            }
            Wire::Sponsored(event) => Self::Sponsored { task: TaskId(event.task), sponsor: event.sponsor },
            Wire::Released(event) => Self::Released {
                task: TaskId(event.task),
                account: event.account,
                enclave: event.enclave,
                secret: event.secretHash,
                missing: event.missing,
            },
            Wire::Members(event) => {
                Self::Members { task: TaskId(event.task), root: MembersRoot(event.root), count: event.count }
            }
            Wire::Uses(event) => {
                Self::Uses { input: DatasetCommitment(event.input), task: TaskId(event.task) }
            }
            Wire::Offered(event) => {
                Self::Offered { offer: OfferId(event.offer), terms: event.terms.try_into()? }
            }
            Wire::OfferWithdrawn(event) => {
                Self::OfferWithdrawn { offer: OfferId(event.offer), processor: event.processor }
            }
            Wire::Matched(event) => Self::Matched {
                task: TaskId(event.task),
                offer: OfferId(event.offer),
                processor: event.processor,
                enclave: event.enclave,
                evidence: event.evidenceHash,
                bond: Amount::from_abi(event.bond),
            },
            Wire::Rejected(event) => Self::Rejected {
                task: TaskId(event.task),
                processor: event.processor,
                account: event.account,
                enclave: event.enclave,
                reason: event.reason,
            },
            Wire::Approved(event) => {
                Self::Approved { task: TaskId(event.task), enclave: event.enclave, secret: event.secretHash }
            }
            Wire::Proven(event) => Self::Proven {
                task: TaskId(event.task),
                processor: event.processor,
                receipt: Box::new(event.receipt),
                archive: Archive(event.archive),
            },
            Wire::Cancelled(event) => Self::Cancelled { task: TaskId(event.task) },
            Wire::Expired(event) => Self::Expired {
                task: TaskId(event.task),
                from: Phase::from_abi(event.from).ok_or(BadEvent::Unknown)?,
            },
            Wire::Withdrawn(event) => Self::Withdrawn { account: event.account, amount: event.amount },
        };
        let ids_fit = match &parsed {
            Self::Requested { task, request } => request.id(domain) == *task,
            Self::Offered { offer, terms } => terms.id(domain) == *offer,
            Self::Proven { task, receipt, .. } => receipt.task == task.0,
            _ => true,
        };
        // The event has one spelling, so this also compares every topic with the record in the data.
        if ids_fit && parsed.to_log() == *log { Ok(parsed) } else { Err(BadEvent::Contradiction) }
    }

    /// The log as the contract emits it.
    pub fn to_log(&self) -> LogData {
        match self {
            Self::Requested { task, request } => wire::Requested {
                task: task.0,
                owner: request.owner,
                image: request.image.0,
                request: request.to_abi(),
            }
            .encode_log_data(),
            Self::Sponsored { task, sponsor } => {
                wire::Sponsored { task: task.0, sponsor: *sponsor }.encode_log_data()
            }
            Self::Released { task, account, enclave, secret, missing } => wire::Released {
                task: task.0,
                account: *account,
                enclave: *enclave,
                secretHash: *secret,
                missing: *missing,
            }
            .encode_log_data(),
            Self::Members { task, root, count } => {
                wire::Members { task: task.0, root: root.0, count: *count }.encode_log_data()
            }
            Self::Uses { input, task } => wire::Uses { input: input.0, task: task.0 }.encode_log_data(),
            Self::Offered { offer, terms } => {
                wire::Offered { offer: offer.0, processor: terms.processor, terms: terms.to_abi() }
                    .encode_log_data()
            }
            Self::OfferWithdrawn { offer, processor } => {
                wire::OfferWithdrawn { offer: offer.0, processor: *processor }.encode_log_data()
            }
            Self::Matched { task, offer, processor, enclave, evidence, bond } => wire::Matched {
                task: task.0,
                offer: offer.0,
                processor: *processor,
                enclave: *enclave,
                evidenceHash: *evidence,
                bond: bond.to_abi(),
            }
            .encode_log_data(),
            Self::Rejected { task, processor, account, enclave, reason } => wire::Rejected {
                task: task.0,
                processor: *processor,
                account: *account,
                enclave: *enclave,
                reason: *reason,
            }
            .encode_log_data(),
            Self::Approved { task, enclave, secret } => {
                wire::Approved { task: task.0, enclave: *enclave, secretHash: *secret }.encode_log_data()
            }
            Self::Proven { task, processor, receipt, archive } => wire::Proven {
                task: task.0,
                processor: *processor,
                results: receipt.results,
                receipt: receipt.as_ref().clone(),
                archive: archive.0,
            }
            .encode_log_data(),
            Self::Cancelled { task } => wire::Cancelled { task: task.0 }.encode_log_data(),
            Self::Expired { task, from } => {
                wire::Expired { task: task.0, from: from.to_abi() }.encode_log_data()
            }
            Self::Withdrawn { account, amount } => {
                wire::Withdrawn { account: *account, amount: *amount }.encode_log_data()
            }
        }
    }
}
