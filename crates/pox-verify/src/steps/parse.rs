//! Step 1: every record in the file is one.

use crate::chain::header::Header;
use crate::chain::packed::unpack;
use crate::policy::Policy;
use crate::rejection::Malformed;
use crate::verified::Verified;
use pox_core::evidence::Evidence;
use pox_core::proof::{BadProof, ChainProof, HistoryProof, MAX_HEADERS, Proof};
use pox_core::receipt::{Archive, Receipt, RunReport};
use pox_core::{BadRecord, CodecError, Domain, MemberReceipt, Offer, Request};

/// A proof's records, each within its bounds; nothing is known of how they go together.
pub(crate) struct Records<'a> {
    pub(crate) proof: &'a Proof,
    pub(crate) domain: Domain,
    pub(crate) request: Request,
    pub(crate) offer: Offer,
    pub(crate) receipt: Receipt,
    pub(crate) key: Evidence,
    pub(crate) archive: Archive,
    pub(crate) report: RunReport,
    pub(crate) policy: Policy,
    pub(crate) member: Option<MemberReceipt>,
    /// In ascending order, apart from each other, none empty; one where state shows the history.
    pub(crate) runs: Vec<Vec<Header>>,
    /// The headers of each change of the authorities, none empty.
    pub(crate) changes: Vec<Vec<Header>>,
}

impl Records<'_> {
    /// Run and position of the header of a number.
    pub(crate) fn place(&self, number: u64) -> Option<(usize, usize)> {
        let holds = |run: &Vec<Header>| run.first().is_some_and(|first| first.number <= number);
        let run = self.runs.iter().rposition(holds)?;
        let position = usize::try_from(number - self.runs[run].first()?.number).ok()?;
        (position < self.runs[run].len()).then_some((run, position))
    }

    /// The header of a number, if a run has it.
    pub(crate) fn header(&self, number: u64) -> Option<&Header> {
        let (run, position) = self.place(number)?;
        Some(&self.runs[run][position])
    }
}

/// Parses every record of a proof.
pub(crate) fn parse(proof: &Proof) -> Result<Verified<Records<'_>>, Malformed> {
    let bounds = |record: &'static str| move |error: BadRecord| Malformed::Record { record, error };
    let part = |part: &'static str| move |error: CodecError| Malformed::Part { part, error };
    let archive = Archive::parse(&proof.proven.archive).map_err(part("archive"))?;
    let (runs, changes) = headers(&proof.chain)?;
    let member = proof.member.as_ref().map(|part| MemberReceipt::parse(&part.receipt));
    Ok(Verified::by_check(Records {
        proof,
        domain: proof.domain,
        request: proof.request_record()?.try_into().map_err(bounds("request"))?,
        offer: proof.offer_record()?.try_into().map_err(bounds("offer"))?,
        receipt: proof.receipt_record()?.try_into()?,
        key: Evidence::parse(&proof.matched.evidence).map_err(part("key evidence"))?,
        report: RunReport::parse(&archive.report).map_err(part("run report"))?,
        archive,
        policy: Policy::parse(&proof.policy)?,
        member: member.transpose().map_err(part("member's receipt"))?,
        runs,
        changes,
    }))
}

/// Headers of the runs, and of the changes.
type Headers = (Vec<Vec<Header>>, Vec<Vec<Header>>);

fn headers(chain: &ChainProof) -> Result<Headers, Malformed> {
    let mut left = MAX_HEADERS;
    let mut unpacked = |part: &'static str, position: usize, run: &[u8]| {
        let headers = unpack(run).map_err(|error| Malformed::Run { part, position, error })?;
        left = left.checked_sub(headers.len()).ok_or(BadProof::Bounds("headers"))?;
        Ok::<_, Malformed>(headers)
    };
    let runs = chain.runs.iter().enumerate().map(|(position, run)| unpacked("run", position, run));
    let runs = runs.collect::<Result<Vec<_>, _>>()?;
    let changes = chain.changes.iter().enumerate();
    let changes = changes.map(|(position, change)| unpacked("change", position, &change.run));
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    let fits = match chain.history {
        HistoryProof::State(_) => runs.len() == 1,
        HistoryProof::Receipts(_) => !runs.is_empty(),
    };
    // Two that touch are one, in which the one block is shown to be the other's parent.
    let is_apart = |pair: &[Vec<Header>]| match (pair[0].last(), pair[1].first()) {
        (Some(last), Some(first)) => first.number.saturating_sub(1) > last.number,
        _ => false,
    };
    if fits && runs.windows(2).all(is_apart) {
        Ok((runs, changes))
    } else {
        Err(BadProof::Bounds("runs").into())
    }
}
