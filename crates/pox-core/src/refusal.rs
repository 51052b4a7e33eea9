//! Why the contract refuses a call (spec §4), with the same names and data as its errors.

use crate::abi::IProofOfExecution::{self as wire, IProofOfExecutionErrors as Wire};
use crate::record::{Amount, BadRecord, UnixTime};
use alloy_primitives::U256;
use alloy_sol_types::SolInterface;

/// Where a task stands; Proven, Cancelled and Expired are ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Phase {
    /// There is no such task.
    None = 0,
    /// The owner asked for it.
    Requested = 1,
    /// A processor named an enclave for it.
    Matched = 2,
    /// The owner released the secret to that enclave.
    Approved = 3,
    /// The enclave's receipt was posted.
    Proven = 4,
    /// The owner took it back.
    Cancelled = 5,
    /// A deadline passed.
    Expired = 6,
}

/// Why the contract refuses a call; the first check of spec §4 that fails.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The caller is not the party that this call belongs to.
    #[error("the call belongs to another account")]
    NotYours,
    /// The task is in another phase than the call needs.
    #[error("the task is {0}")]
    WrongPhase(Phase),
    /// The call came after the deadline.
    #[error("too late: the deadline was {}", .0.0)]
    TooLate(UnixTime),
    /// The deadline has not passed yet.
    #[error("too early: the deadline is {}", .0.0)]
    TooEarly(UnixTime),
    /// A field of the record is out of its bounds; counts from 0 in the record's order.
    #[error("field {0} of the record is out of its bounds (spec §3)")]
    BadRecord(u8),
    /// The money sent is not exactly what the call needs.
    #[error("the call needs exactly {0}")]
    WrongValue(Amount),
    /// This id was used before.
    #[error("the same record was used before")]
    AlreadyUsed,
    /// The offer is withdrawn.
    #[error("the offer is withdrawn")]
    OfferClosed,
    /// Request and offer do not fit; the request's field that the offer can't serve.
    #[error("the offer can't serve field {0} of the request (spec §4)")]
    DoesNotFit(u8),
    /// Not the enclave that was matched.
    #[error("not the enclave that was matched")]
    WrongEnclave,
    /// The signature is not by the one whose it has to be, or not in canonical form.
    #[error("not signed by the one whose signature it has to be")]
    BadSignature,
    /// A contract made the call, which would hide the secret from the processor; this crate's model never sees one.
    #[error("the call is not a transaction of its own")]
    NotDirect,
    /// The request names a delegate or co-owners: each secret comes by `release`.
    #[error("the request names a delegate or co-owners, so each party has to release its secret")]
    NeedsRelease,
    /// The party's release is not missing.
    #[error("no release of this party is missing")]
    NotMissing,
    /// The receipt's outcome is not one of spec §6.
    #[error("the outcome is none of spec §6.1")]
    BadOutcome,
    /// The account has no credit.
    #[error("there is nothing to withdraw")]
    NothingToWithdraw,
    /// The receiver refused the payment; the credit stays.
    #[error("the receiver refuses the payment")]
    PaymentRefused,
    /// Money came with a call that takes none; the contract's language refuses it, without an error of its own.
    #[error("the call takes no money")]
    NotPayable,
}

impl Phase {
    /// Every phase, in the order of its code.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Requested,
        Self::Matched,
        Self::Approved,
        Self::Proven,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Whether nothing can happen to the task any more.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Proven | Self::Cancelled | Self::Expired)
    }

    pub(crate) fn to_abi(self) -> wire::Phase {
        match self {
            Self::None => wire::Phase::None,
            Self::Requested => wire::Phase::Requested,
            Self::Matched => wire::Phase::Matched,
            Self::Approved => wire::Phase::Approved,
            Self::Proven => wire::Phase::Proven,
            Self::Cancelled => wire::Phase::Cancelled,
            Self::Expired => wire::Phase::Expired,
        }
    }

    pub(crate) fn from_abi(phase: wire::Phase) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.to_abi() == phase)
    }
}

impl core::fmt::Display for Phase {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::None => "not known",
            Self::Requested => "requested",
            Self::Matched => "matched",
            Self::Approved => "approved",
            Self::Proven => "proven",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        })
    }
}

impl From<BadRecord> for Refusal {
    fn from(bad: BadRecord) -> Self {
        Self::BadRecord(bad.field)
    }
}

impl Refusal {
    /// What a reverted call returns: the error's selector and its data; nothing for [`Refusal::NotPayable`].
    pub fn revert_data(&self) -> Vec<u8> {
        let time = |time: UnixTime| U256::from(time.0);
        let error = match *self {
            Self::NotYours => Wire::NotYours(wire::NotYours {}),
            Self::WrongPhase(phase) => Wire::WrongPhase(wire::WrongPhase { phase: phase.to_abi() }),
            Self::TooLate(deadline) => Wire::TooLate(wire::TooLate { deadline: time(deadline) }),
            Self::TooEarly(deadline) => Wire::TooEarly(wire::TooEarly { deadline: time(deadline) }),
            Self::BadRecord(field) => Wire::BadRecord(wire::BadRecord { field }),
            Self::WrongValue(needed) => Wire::WrongValue(wire::WrongValue { needed: needed.into() }),
            Self::AlreadyUsed => Wire::AlreadyUsed(wire::AlreadyUsed {}),
            Self::OfferClosed => Wire::OfferClosed(wire::OfferClosed {}),
            Self::DoesNotFit(field) => Wire::DoesNotFit(wire::DoesNotFit { field }),
            Self::WrongEnclave => Wire::WrongEnclave(wire::WrongEnclave {}),
            Self::BadSignature => Wire::BadSignature(wire::BadSignature {}),
            Self::NotDirect => Wire::NotDirect(wire::NotDirect {}),
            Self::NeedsRelease => Wire::NeedsRelease(wire::NeedsRelease {}),
            Self::NotMissing => Wire::NotMissing(wire::NotMissing {}),
            Self::BadOutcome => Wire::BadOutcome(wire::BadOutcome {}),
            Self::NothingToWithdraw => Wire::NothingToWithdraw(wire::NothingToWithdraw {}),
            Self::PaymentRefused => Wire::PaymentRefused(wire::PaymentRefused {}),
            Self::NotPayable => return Vec::new(),
        };
        error.abi_encode()
    }

    /// Reads what a reverted call returned; `None` if it is none of the contract's errors.
    ///
    /// A revert without data is not read as [`Refusal::NotPayable`]: it can have other causes.
    pub fn parse(revert_data: &[u8]) -> Option<Self> {
        let time = |word: U256| u64::try_from(word).ok().map(UnixTime);
        Some(match Wire::abi_decode(revert_data).ok()? {
            Wire::NotYours(_) => Self::NotYours,
            Wire::WrongPhase(error) => Self::WrongPhase(Phase::from_abi(error.phase)?),
            Wire::TooLate(error) => Self::TooLate(time(error.deadline)?),
            Wire::TooEarly(error) => Self::TooEarly(time(error.deadline)?),
            Wire::BadRecord(error) => Self::BadRecord(error.field),
            Wire::WrongValue(error) => Self::WrongValue(amount(error.needed)?),
            Wire::AlreadyUsed(_) => Self::AlreadyUsed,
            Wire::OfferClosed(_) => Self::OfferClosed,
            Wire::DoesNotFit(error) => Self::DoesNotFit(error.field),
            Wire::WrongEnclave(_) => Self::WrongEnclave,
            Wire::BadSignature(_) => Self::BadSignature,
            Wire::NotDirect(_) => Self::NotDirect,
            Wire::NeedsRelease(_) => Self::NeedsRelease,
            Wire::NotMissing(_) => Self::NotMissing,
            Wire::BadOutcome(_) => Self::BadOutcome,
            Wire::NothingToWithdraw(_) => Self::NothingToWithdraw,
            Wire::PaymentRefused(_) => Self::PaymentRefused,
        })
    }
}

fn amount(word: U256) -> Option<Amount> {
    u128::try_from(word).ok().and_then(Amount::from_wei)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revert_data_round_trips() {
        let all = [
            Refusal::NotYours,
            Refusal::WrongPhase(Phase::Approved),
            Refusal::TooLate(UnixTime(7)),
            Refusal::TooEarly(UnixTime(u64::MAX)),
            Refusal::BadRecord(13),
            Refusal::WrongValue(Amount::from_wei((1 << 96) - 1).unwrap()),
            Refusal::AlreadyUsed,
            Refusal::OfferClosed,
            Refusal::DoesNotFit(2),
            Refusal::WrongEnclave,
            Refusal::BadSignature,
            Refusal::NotDirect,
            Refusal::NeedsRelease,
            Refusal::NotMissing,
            Refusal::BadOutcome,
            Refusal::NothingToWithdraw,
            Refusal::PaymentRefused,
        ];
        for refusal in all {
            assert_eq!(Refusal::parse(&refusal.revert_data()), Some(refusal));
        }
        assert_eq!(Refusal::parse(&[]), None);
        assert_eq!(Refusal::parse(&[1, 2, 3, 4]), None);
    }
}
