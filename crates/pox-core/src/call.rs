//! The contract's calls as they travel: wire records, unchecked.

use crate::abi;
use crate::abi::IProofOfExecution::{self as wire, IProofOfExecutionCalls as Wire};
use crate::id::{Archive, MembersRoot, TaskId};
use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolInterface;

/// One call that changes the contract's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Posts a request.
    Request(abi::Request),
    /// Posts a request that its owner signed.
    RequestFor {
        /// The request.
        record: abi::Request,
        /// The owner's signature over the task id.
        signature: Bytes,
    },
    /// Posts an offer.
    Offer(abi::Offer),
    /// Ends an offer.
    WithdrawOffer(abi::Offer),
    /// Joins a request and an offer.
    MatchTask {
        /// The task's request.
        record: abi::Request,
        /// The offer.
        terms: abi::Offer,
        /// The enclave's account.
        enclave: Address,
        /// The enclave's key evidence.
        evidence: Bytes,
    },
    /// Joins a request with a list of processors and an offer.
    MatchListed {
        /// The task's request.
        record: abi::Request,
        /// The offer.
        terms: abi::Offer,
        /// The enclave's account.
        enclave: Address,
        /// The enclave's key evidence.
        evidence: Bytes,
        /// From the sender's leaf to the list's root.
        path: Vec<B256>,
    },
    /// Refuses the evidence, by a party's signature.
    RejectFor {
        /// The task's request.
        record: abi::Request,
        /// Whose refusal it is: 0 the owner, `i` co-owner `i - 1`.
        party: u8,
        /// The enclave that is refused.
        enclave: Address,
        /// Why, by spec §9.4.
        reason: u8,
        /// The party's signature.
        signature: Bytes,
    },
    /// Refuses the evidence.
    Reject {
        /// The task's request.
        record: abi::Request,
        /// The enclave that is refused.
        enclave: Address,
        /// Why, by spec §9.4.
        reason: u8,
    },
    /// Releases the secret.
    Approve {
        /// The task.
        task: TaskId,
        /// The enclave.
        enclave: Address,
        /// The signed and sealed secret.
        secret: Bytes,
    },
    /// Releases one party's secret.
    Release {
        /// The task's request.
        record: abi::Request,
        /// Whose secret it is: 0 the owner, `i` co-owner `i - 1`.
        party: u8,
        /// The enclave.
        enclave: Address,
        /// The signed and sealed secret.
        secret: Bytes,
    },
    /// Posts the closing receipt of a batch.
    ProveMany {
        /// The closing receipt.
        receipt: abi::Receipt,
        /// SHA-256 of the archive.
        archive: Archive,
        /// Root over the members' receipts.
        members: MembersRoot,
        /// How many members.
        count: u16,
        /// The enclave's signature.
        signature: Bytes,
    },
    /// Posts the receipt.
    Prove {
        /// The receipt.
        receipt: abi::Receipt,
        /// SHA-256 of the archive.
        archive: Archive,
        /// The enclave's signature.
        signature: Bytes,
    },
    /// Takes a request back.
    Cancel(TaskId),
    /// Takes a request back, by its owner's signature.
    CancelFor {
        /// The task.
        task: TaskId,
        /// The owner's signature.
        signature: Bytes,
    },
    /// Ends a task whose deadline has passed.
    Expire(abi::Request),
    /// Pays the caller's credit out.
    Withdraw,
}

impl Call {
    /// Whether money can come with it.
    pub fn is_payable(&self) -> bool {
        matches!(
            self,
            Self::Request(_) | Self::RequestFor { .. } | Self::MatchTask { .. } | Self::MatchListed { .. }
        )
    }

    /// The transaction's input.
    pub fn to_calldata(&self) -> Vec<u8> {
        let call = match self.clone() {
            Self::Request(record) => Wire::request(wire::requestCall { record }),
            Self::RequestFor { record, signature } => {
                Wire::requestFor(wire::requestForCall { record, signature })
            }
            Self::MatchListed { record, terms, enclave, evidence, path } => {
                Wire::matchListed(wire::matchListedCall { record, terms, enclave, evidence, path })
            }
            Self::RejectFor { record, party, enclave, reason, signature } => {
                Wire::rejectFor(wire::rejectForCall { record, party, enclave, reason, signature })
            }
            Self::Release { record, party, enclave, secret } => {
                Wire::release(wire::releaseCall { record, party, enclave, secret })
            }
            Self::ProveMany { receipt, archive, members, count, signature } => {
                let (archive, members) = (archive.0, members.0);
                Wire::proveMany(wire::proveManyCall { receipt, archive, members, count, signature })
            }
            Self::CancelFor { task, signature } => {
                Wire::cancelFor(wire::cancelForCall { task: task.0, signature })
            }
            Self::Offer(record) => Wire::offer(wire::offerCall { record }),
            Self::WithdrawOffer(record) => Wire::withdrawOffer(wire::withdrawOfferCall { record }),
            Self::MatchTask { record, terms, enclave, evidence } => {
                Wire::matchTask(wire::matchTaskCall { record, terms, enclave, evidence })
            }
            Self::Reject { record, enclave, reason } => {
                Wire::reject(wire::rejectCall { record, enclave, reason })
            }
            Self::Approve { task, enclave, secret } => {
                Wire::approve(wire::approveCall { task: task.0, enclave, secret })
            }
            Self::Prove { receipt, archive, signature } => {
                Wire::prove(wire::proveCall { receipt, archive: archive.0, signature })
            }
            Self::Cancel(task) => Wire::cancel(wire::cancelCall { task: task.0 }),
            Self::Expire(record) => Wire::expire(wire::expireCall { record }),
            Self::Withdraw => Wire::withdraw(wire::withdrawCall {}),
        };
        call.abi_encode()
    }

    /// Reads a transaction's input; `None` if it is none of these calls.
    pub fn parse(calldata: &[u8]) -> Option<Self> {
        Some(match Wire::abi_decode(calldata).ok()? {
            Wire::request(call) => Self::Request(call.record),
            Wire::requestFor(call) => Self::RequestFor { record: call.record, signature: call.signature },
            Wire::matchListed(call) => Self::MatchListed {
                record: call.record,
                terms: call.terms,
                enclave: call.enclave,
                evidence: call.evidence,
                path: call.path,
            },
            Wire::rejectFor(call) => Self::RejectFor {
                record: call.record,
                party: call.party,
                enclave: call.enclave,
                reason: call.reason,
                signature: call.signature,
            },
            Wire::release(call) => Self::Release {
                record: call.record,
                party: call.party,
                enclave: call.enclave,
                secret: call.secret,
            },
            Wire::proveMany(call) => Self::ProveMany {
                receipt: call.receipt,
                archive: Archive(call.archive),
                members: MembersRoot(call.members),
                count: call.count,
                signature: call.signature,
            },
            Wire::cancelFor(call) => Self::CancelFor { task: TaskId(call.task), signature: call.signature },
            Wire::offer(call) => Self::Offer(call.record),
            Wire::withdrawOffer(call) => Self::WithdrawOffer(call.record),
            Wire::matchTask(call) => Self::MatchTask {
                record: call.record,
                terms: call.terms,
                enclave: call.enclave,
                evidence: call.evidence,
            },
            Wire::reject(call) => {
                Self::Reject { record: call.record, enclave: call.enclave, reason: call.reason }
            }
            Wire::approve(call) => {
                Self::Approve { task: TaskId(call.task), enclave: call.enclave, secret: call.secret }
            }
            Wire::prove(call) => Self::Prove {
                receipt: call.receipt,
                archive: Archive(call.archive),
                signature: call.signature,
            },
            Wire::cancel(call) => Self::Cancel(TaskId(call.task)),
            Wire::expire(call) => Self::Expire(call.record),
            Wire::withdraw(_) => Self::Withdraw,
            Wire::task(_) | Wire::isOpen(_) | Wire::credit(_) => return None,
        })
    }
}
