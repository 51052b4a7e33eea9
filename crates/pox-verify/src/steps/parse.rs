//! Step 1: every record in the file is one.

use crate::chain::header::Header;
use crate::policy::Policy;
use crate::rejection::Malformed;
use crate::verified::Verified;
use pox_core::evidence::Evidence;
use pox_core::proof::{BadProof, Proof};
use pox_core::receipt::{Archive, Receipt, RunReport};
use pox_core::{BadRecord, CodecError, Domain, Offer, Request};

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
    pub(crate) header: Header,
    pub(crate) later: Vec<Header>,
}

/// Parses every record of a proof.
pub(crate) fn parse(proof: &Proof) -> Result<Verified<Records<'_>>, Malformed> {
    let bounds = |record: &'static str| move |error: BadRecord| Malformed::Record { record, error };
    let part = |part: &'static str| move |error: CodecError| Malformed::Part { part, error };
    let archive = Archive::parse(&proof.proven.archive).map_err(part("archive"))?;
    let headers = core::iter::once(&proof.chain.header).chain(&proof.chain.later).enumerate();
    let parse_header = |(position, bytes): (usize, &Vec<u8>)| {
        Header::parse(bytes).map_err(|error| Malformed::Header { position, error })
    };
    let mut headers = headers.map(parse_header);
    let header = headers.next().ok_or(BadProof::Bounds("header"))??;
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
        header,
        later: headers.collect::<Result<_, _>>()?,
    }))
}
