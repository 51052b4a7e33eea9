//! Intel: SGX and TDX quotes with DCAP collateral (spec §8.7).
//!
//! dcap-qvl checks signatures, chains, revocation and the TCB tables; it stops at "genuine" and accepts every TCB status but
//! `Revoked`. Around it, this module bounds the bytes before anything is allocated by them, refuses launches that no policy may
//! allow, checks what dcap-qvl leaves out (PCE id, TCB info's version and type, the time against every date that was relied on)
//! and names the part at fault. The status itself is the policy's to judge.

mod blame;
mod collateral;
mod facts;
mod quote;
mod rejection;

pub use collateral::{
    BadCollateral, Collateral, ENDORSEMENT_KIND, MAX_COLLATERAL_BYTES, MAX_PCK_CHAIN, PckChain,
};
pub use quote::{BadLaunch, BadQuote};
pub use rejection::{DcapRejection, Part};

use super::inspect::Stated;
use super::launch::{Launch, Window};
use super::roots::VendorRoots;
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteClaims, QuotePolicy};
use pox_core::UnixTime;
use pox_core::evidence::EvidenceKind;
use pox_core::receipt::Endorsement;

/// Most collaterals beside one quote: an archive's two evidences may each have their own.
pub const MAX_COLLATERALS: usize = 2;
/// TCB type of Intel's tables: components compared one by one.
const TCB_TYPE: u32 = 0;
/// Versions of TCB info that this version understands; TDX begins with 3.
const TCB_INFO_VERSIONS: core::ops::RangeInclusive<u8> = 2..=3;

/// Says what genuine Intel hardware signed in a quote, as of one time.
///
/// `at` must lie inside the validity of everything that was relied on, which [`Launch::endorsed`] gives. Says nothing about
/// whether the launched code is any good, whether the report data is the expected one, or whether the TCB status is acceptable.
/// With several collaterals, the first that holds is used.
///
/// # Errors
/// What is wrong, and whose part it is. [`DcapRejection::MissingEndorsement`] is not a verdict on the quote.
pub fn appraise(
    kind: EvidenceKind,
    quote: &[u8],
    endorsements: &[Endorsement],
    roots: &VendorRoots,
    at: UnixTime,
) -> Result<Launch, DcapRejection> {
    let parsed = quote::parse(kind, quote)?;
    quote::check_launch(&parsed.report)?;
    if let Some(foreign) = endorsements.iter().find(|endorsement| endorsement.kind != ENDORSEMENT_KIND) {
        return Err(DcapRejection::ForeignEndorsement(foreign.kind));
    }
    if endorsements.len() > MAX_COLLATERALS {
        return Err(DcapRejection::TooManyEndorsements(endorsements.len()));
    }
    let mut first = None;
    for endorsement in endorsements {
        match with_collateral(kind, quote, &parsed, &endorsement.content, roots, at) {
            Ok(launch) => return Ok(launch),
            Err(rejection) => first = first.or(Some(rejection)),
        }
    }
    Err(first.unwrap_or(DcapRejection::MissingEndorsement))
}

/// Reads what a quote says of itself; nothing of it is verified.
pub(super) fn stated(kind: EvidenceKind, quote: &[u8]) -> Result<Stated, DcapRejection> {
    let parsed = quote::parse(kind, quote)?;
    let (registers, report_data, _) = facts::reported(&parsed.report);
    let name = if kind == EvidenceKind::Sgx { "SGX" } else { "TDX" };
    let form = format!("{name} quote, version {}", parsed.header.version);
    Ok(Stated { kind, form, registers, made: None, report_data: Some(report_data.to_vec()) })
}

fn with_collateral(
    kind: EvidenceKind,
    quote: &[u8],
    parsed: &dcap_qvl::quote::Quote,
    content: &[u8],
    roots: &VendorRoots,
    at: UnixTime,
) -> Result<Launch, DcapRejection> {
    let collateral = Collateral::from_bytes(content)?;
    let carried = quote::carried_chain(parsed);
    if carried.is_none() && collateral.pck_chain.is_empty() {
        return Err(DcapRejection::MissingPckChain);
    }
    let table: TcbTable =
        serde_json::from_str(&collateral.tcb_info).map_err(|_| DcapRejection::Malformed(Part::TcbInfo))?;
    let verifier = QuoteVerifier::new(roots.intel.clone());
    let policy = QuotePolicy::claims_only(at.0);
    let claims = match verifier.verify_with_policy(quote, collateral.into_v3(carried), at.0, &policy) {
        Ok(claims) => claims,
        Err(error) => {
            let case = blame::Case { quote, parsed, content, root: &roots.intel, at };
            return Err(case.blame().unwrap_or_else(|| DcapRejection::Refused(format!("{error:#}"))));
        }
    };
    table.check(&claims)?;
    let endorsed =
        Window { from: UnixTime(claims.latest_issue_date), until: UnixTime(claims.earliest_expiration_date) };
    if !endorsed.contains(at) {
        return Err(DcapRejection::OutsideWindow { at, endorsed });
    }
    Ok(facts::launch(kind, claims, endorsed))
}

/// What dcap-qvl does not compare of a TCB info. Its signature is checked before any of it counts.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct TcbTable {
    version: u8,
    tcb_type: u32,
    pce_id: String,
}

impl TcbTable {
    fn check(&self, claims: &QuoteClaims) -> Result<(), DcapRejection> {
        if !TCB_INFO_VERSIONS.contains(&self.version) || self.tcb_type != TCB_TYPE {
            return Err(DcapRejection::UnknownTable { version: self.version, tcb_type: self.tcb_type });
        }
        match hex::decode(&self.pce_id) {
            Ok(pce_id) if pce_id == claims.platform.pck.pce_id => Ok(()),
            _ => Err(DcapRejection::OtherPce),
        }
    }
}
