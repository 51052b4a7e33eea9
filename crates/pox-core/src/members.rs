//! What came of a batch's runs: a receipt for each, and the root over all of them that the enclave signs (spec §6.3).

use crate::codec::{CodecError, from_canonical, to_canonical};
use crate::id::{MembersRoot, ResultsCommitment};
use crate::receipt::{Doing, Outcome};
use crate::role::enclave::Failure;
use crate::runs::Run;
use crate::tree;
use alloy_primitives::B256;

/// Name of the file in a batch's closing results that holds the receipts of all members.
pub const MEMBERS_NAME: &str = "members.cbor";
/// Most bytes of a member's reason.
pub const MAX_MEMBER_REASON: usize = 400;
/// Most bytes of one member's receipt.
pub const MAX_MEMBER_BYTES: usize = 640;
/// Most bytes of the receipts of all members.
pub const MAX_MEMBERS_BYTES: usize = 40 * 1024 * 1024;

/// The members of a batch, as the closing receipt names them (spec §6.3).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    minicbor::Encode,
    minicbor::Decode,
)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Members {
    /// Root over their receipts.
    #[n(0)]
    pub root: MembersRoot,
    /// How many there are.
    #[n(1)]
    pub count: u16,
}

/// What came of one run. It is public in a proof: it never holds anything of the owner's data.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct MemberReceipt {
    /// The run's number, from 1.
    #[n(0)]
    pub number: u16,
    /// What it came to.
    #[cbor(n(1), with = "outcome_code")]
    pub outcome: Outcome,
    /// The program's exit code, or 128 + signal; zero where it did not run.
    #[n(2)]
    pub exit_code: u32,
    /// Commitment to its sealed results, or zero.
    #[n(3)]
    pub results: ResultsCommitment,
    /// The leaf of its run in the tree that the terms commit to.
    #[cbor(n(4), with = "crate::bytes::word")]
    pub run: B256,
    /// When it began, microseconds after the batch's first run; zero where it did not run.
    #[n(5)]
    pub begun_micros: u64,
    /// Wall-clock time used, microseconds.
    #[n(6)]
    pub wall_micros: u64,
    /// Processor time used, microseconds.
    #[n(7)]
    pub cpu_micros: u64,
    /// Most memory used at once, bytes.
    #[n(8)]
    pub memory_peak: u64,
    /// Why it did not complete, where the program did not end by itself.
    #[n(9)]
    pub reason: String,
}

/// The receipts of all members, in the order of their numbers: 1 to the last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberReceipts(Vec<MemberReceipt>);

/// What a receipt says of the end; a batch's, of all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// The outcome.
    pub outcome: Outcome,
    /// The program's; for a batch of outcome 1, how many members have another outcome than 0; zero otherwise.
    pub exit_code: u32,
    /// Commitment to the sealed results, or list of the members' receipts, or zero.
    pub results: ResultsCommitment,
}

impl MemberReceipt {
    /// A member whose run never began.
    pub fn not_begun(run: &Run, outcome: Outcome) -> Self {
        Self {
            number: run.number,
            outcome,
            exit_code: 0,
            results: ResultsCommitment::ZERO,
            run: run.leaf(),
            begun_micros: 0,
            wall_micros: 0,
            cpu_micros: 0,
            memory_peak: 0,
            reason: NOT_BEGUN.to_owned(),
        }
    }

    /// Its leaf in the tree of the members.
    pub fn leaf(&self) -> B256 {
        tree::leaf(&[b"pox-member-v1\0", self.to_bytes().as_slice()].concat())
    }

    /// The canonical encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(self)
    }

    /// Parses the canonical encoding.
    ///
    /// # Errors
    /// Anything else, or a part out of its bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        let receipt: Self = from_canonical(bytes, MAX_MEMBER_BYTES)?;
        receipt.check()?;
        Ok(receipt)
    }

    fn check(&self) -> Result<(), CodecError> {
        let bounded = self.number > 0 && self.reason.len() <= MAX_MEMBER_REASON;
        if bounded { Ok(()) } else { Err(out_of_bounds()) }
    }
}

impl MemberReceipts {
    /// Takes the receipts of all members; `None` unless they are numbered from 1, one after the other.
    pub fn new(receipts: Vec<MemberReceipt>) -> Option<Self> {
        let count = u16::try_from(receipts.len()).ok().filter(|count| *count > 0)?;
        (1..=count).zip(&receipts).all(|(number, receipt)| receipt.number == number).then_some(Self(receipts))
    }

    /// The root over them, and their number.
    pub fn members(&self) -> Members {
        let root = tree::root(&self.leaves()).map(MembersRoot).expect("there is at least one");
        Members { root, count: u16::try_from(self.0.len()).expect("no more than a batch has") }
    }

    /// The receipt of a number.
    pub fn get(&self, number: u16) -> Option<&MemberReceipt> {
        self.0.get(usize::from(number).checked_sub(1)?)
    }

    /// The path from a member's leaf to the root.
    pub fn path(&self, number: u16) -> Option<Vec<B256>> {
        tree::path(&self.leaves(), usize::from(number).checked_sub(1)?)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &MemberReceipt> {
        self.0.iter()
    }

    /// What the batch's receipt says: what ended it, if that was not the program's doing; else whether every member completed.
    ///
    /// `list` is where this list went, or why it went nowhere; then nobody could show a member, and that is the outcome.
    pub fn closing(&self, list: Result<ResultsCommitment, Failure>) -> Closing {
        let stopped = |member: &&MemberReceipt| {
            member.outcome == Outcome::TimeLimit || member.outcome.doing() != Doing::Task
        };
        let others = self.0.iter().filter(|member| member.outcome != Outcome::Completed).count();
        let (outcome, exit_code) = match (self.0.iter().find(stopped), others) {
            (Some(member), _) => (member.outcome, 0),
            (None, 0) => (Outcome::Completed, 0),
            (None, others) => (Outcome::Failed, u32::try_from(others).unwrap_or(u32::MAX)),
        };
        match list {
            Ok(results) => Closing { outcome, exit_code, results },
            Err(failure) if outcome.doing() == Doing::Task => {
                Closing { outcome: failure.outcome(), exit_code: 0, results: ResultsCommitment::ZERO }
            }
            Err(_) => Closing { outcome, exit_code, results: ResultsCommitment::ZERO },
        }
    }

    /// The canonical encoding: an array of receipts.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(&self.0)
    }

    /// Parses the canonical encoding.
    ///
    /// # Errors
    /// Anything else, a receipt out of its bounds, or numbers that don't go from 1 on.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        let receipts: Vec<MemberReceipt> = from_canonical(bytes, MAX_MEMBERS_BYTES)?;
        receipts.iter().try_for_each(MemberReceipt::check)?;
        Self::new(receipts).ok_or_else(out_of_bounds)
    }

    fn leaves(&self) -> Vec<B256> {
        self.0.iter().map(MemberReceipt::leaf).collect()
    }
}

/// The folder of one member's results, in the folder of the batch's.
pub fn member_location(results: &str, number: u16) -> String {
    format!("{}/{number}", results.trim_end_matches('/'))
}

fn out_of_bounds() -> CodecError {
    CodecError::Malformed { position: 0, reason: "a member's number or reason is out of its bounds".into() }
}

const NOT_BEGUN: &str = "it was not begun";

/// An outcome as its code; for `#[cbor(with = "...")]`.
mod outcome_code {
    use crate::receipt::Outcome;
    use minicbor::decode::Error;
    use minicbor::{Decoder, Encoder};

    pub(super) fn encode<C, W: minicbor::encode::Write>(
        outcome: &Outcome,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u8(outcome.code())?.ok()
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Outcome, Error> {
        let position = d.position();
        d.u8()?.try_into().map_err(|_| Error::message("unknown outcome").at(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::Runs;
    use proptest::prelude::*;

    fn batch(outcomes: &[Outcome]) -> MemberReceipts {
        let runs = Runs { seed: B256::ZERO, count: outcomes.len() as u16, args: None };
        let member = |(run, outcome): (Run, &Outcome)| MemberReceipt::not_begun(&run, *outcome);
        MemberReceipts::new(runs.iter().zip(outcomes).map(member).collect()).unwrap()
    }

    #[test]
    fn a_batch_is_what_its_members_are() {
        use Outcome::*;
        let cases: [(&[Outcome], Outcome, u32); 8] = [
            (&[Completed], Completed, 0),
            (&[Completed, Completed], Completed, 0),
            (&[Completed, Failed, OutOfMemory, DiskLimit], Failed, 3),
            (&[Failed], Failed, 1),
            (&[Failed, TimeLimit, TimeLimit], TimeLimit, 0),
            (&[Completed, RuntimeFailed, RuntimeFailed], RuntimeFailed, 0),
            (&[Failed, ResultsUndeliverable], ResultsUndeliverable, 0),
            (&[ImageUnavailable, ImageUnavailable], ImageUnavailable, 0),
        ];
        let results = ResultsCommitment::from([3; 32]);
        for (outcomes, outcome, exit_code) in cases {
            let closing = batch(outcomes).closing(Ok(results));
            assert_eq!(closing, Closing { outcome, exit_code, results }, "{outcomes:?}");
            let lost = batch(outcomes).closing(Err(Failure::ResultsUndeliverable));
            let expected = if outcome.doing() == Doing::Task { ResultsUndeliverable } else { outcome };
            assert_eq!((lost.outcome, lost.exit_code, lost.results.is_zero()), (expected, 0, true));
        }
    }

    #[test]
    fn numbers_go_from_one_on() {
        let all = batch(&[Outcome::Completed; 3]);
        let list: Vec<_> = all.iter().cloned().collect();
        assert_eq!(MemberReceipts::new(Vec::new()), None);
        assert_eq!(MemberReceipts::new(list[1..].to_vec()), None);
        assert_eq!(MemberReceipts::new(vec![list[0].clone(), list[2].clone()]), None);
        assert_eq!(MemberReceipts::new(vec![list[0].clone(); 2]), None);
        assert_eq!(MemberReceipts::parse(&all.to_bytes()), Ok(all));
    }

    #[test]
    fn the_largest_receipt_is_within_its_bound() {
        let largest = MemberReceipt {
            number: u16::MAX,
            outcome: Outcome::RuntimeFailed,
            exit_code: u32::MAX,
            results: ResultsCommitment::from([1; 32]),
            run: B256::repeat_byte(2),
            begun_micros: u64::MAX,
            wall_micros: u64::MAX,
            cpu_micros: u64::MAX,
            memory_peak: u64::MAX,
            reason: "x".repeat(MAX_MEMBER_REASON),
        };
        assert!(largest.to_bytes().len() <= MAX_MEMBER_BYTES);
        assert!(usize::from(u16::MAX) * largest.to_bytes().len() + 3 <= MAX_MEMBERS_BYTES);
        assert_eq!(MemberReceipt::parse(&largest.to_bytes()).as_ref(), Ok(&largest));
        let longer = MemberReceipt { reason: "x".repeat(MAX_MEMBER_REASON + 1), ..largest };
        assert!(MemberReceipt::parse(&longer.to_bytes()).is_err());
    }

    #[test]
    fn folders_of_members_are_inside_their_batch() {
        assert_eq!(member_location("s3://bucket/results", 7), "s3://bucket/results/7");
        assert_eq!(member_location("https://host/results/", 1000), "https://host/results/1000");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_member_leads_to_the_root_by_its_own_path_alone(count in 1usize..300, at in 0usize..300) {
            let all = batch(&vec![Outcome::Completed; count]);
            let number = (at % count + 1) as u16;
            let (root, path) = (all.members().root.0, all.path(number).unwrap());
            let leads = |member: &MemberReceipt| tree::climb(member.leaf(), &path) == Some(root);
            prop_assert!(leads(all.get(number).unwrap()));
            prop_assert!(all.iter().filter(|member| member.number != number).all(|member| !leads(member)));
            let changed = MemberReceipt { exit_code: 1, ..all.get(number).unwrap().clone() };
            prop_assert!(!leads(&changed));
            prop_assert_eq!(all.path(0), None);
            prop_assert_eq!(all.path(count as u16 + 1), None);
        }
    }
}
