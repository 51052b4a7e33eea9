//! `pox evidence`: a quote, report or document by itself: what it is, what it says, what is wrong with it.

mod event_log;

pub(crate) use event_log::{LoggedEvent, ReplayedLog};

use crate::cli::{Evidence as Args, EvidenceFetch, EvidenceFile, EvidenceVerify};
use crate::context::Context;
use crate::error::{Culprit, Failure, Hint as _};
use crate::locate::read_bounded;
use crate::{endorsements, page};
use pox_core::endorsement::{Endorsement, EndorsementKind};
use pox_core::evidence::{Claims, Evidence, EvidenceKind};
use pox_core::proof::{MAX_PROOF_BYTES, Proof};
use pox_core::receipt::Archive;
use pox_core::{CodecError, UnixTime};
use pox_node::endorsements::{FetchError, Sources, fetch};
use pox_verify::evidence::inspect::{Stated, appraise, recognise, stated};
use pox_verify::evidence::launch::{Launch, Window};
use pox_verify::evidence::{EvidenceRejection, launch};
use pox_verify::{Measurement, PolicyRefusal};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// What was looked at, and what came of it.
#[derive(Serialize)]
pub(crate) struct Looked {
    pub(crate) kind: EvidenceKind,
    pub(crate) form: String,
    pub(crate) bytes: usize,
    /// What the quote says of itself, whether it holds or not.
    pub(crate) registers: Vec<launch::Register>,
    pub(crate) report_data: Option<String>,
    /// The claims beside it, if it is a whole evidence of PoX, and whether the quote is over them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) claims: Option<Claims>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) claims_are_signed: Option<bool>,
    /// What the event log says of the registers, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_log: Option<ReplayedLog>,
    /// The time at which it was judged.
    pub(crate) at: UnixTime,
    pub(crate) outcome: Outcome,
}

/// What judging a quote came to.
#[derive(Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// A pinned root vouches for it.
    Genuine {
        measurement: Measurement,
        launch: Box<Launch>,
        /// Why the policy does not accept it all the same.
        #[serde(skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// Nothing speaks against it, and nothing for it.
    Unknown { message: String },
    /// It shows nothing.
    Rejected { reason: &'static str, message: String },
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    match args {
        Args::Show(args) => {
            let looked = look(context, args)?.0;
            context.output.result(&looked, || page::evidence(&looked))?;
            Ok(ExitCode::SUCCESS)
        }
        Args::Verify(args) => verify(context, args),
        Args::FetchCollateral(args) => fetch_collateral(context, args).map(|()| ExitCode::SUCCESS),
    }
}

fn verify(context: &Context, args: &EvidenceVerify) -> Result<ExitCode, Failure> {
    context.trust(&args.trust)?;
    let policy = args.policy.as_deref().map(super::read_policy).transpose()?;
    let (mut looked, hardware) = look(context, &args.file)?;
    let anchors = context.anchors()?;
    if let (Some(policy), Some(hardware), Outcome::Genuine { refused, measurement, .. }) =
        (policy, hardware, &mut looked.outcome)
    {
        let accepted: Result<(), PolicyRefusal> = policy
            .accepts(looked.kind, *measurement, &anchors)
            .and_then(|()| policy.accepts_hardware(&hardware));
        *refused = accepted.err().map(|refusal| refusal.to_string());
    }
    context.output.result(&looked, || page::evidence(&looked))?;
    let is_contradicted = looked.event_log.as_ref().is_some_and(|log| log.mismatch.is_some());
    Ok(match looked.outcome {
        Outcome::Genuine { .. } if is_contradicted => ExitCode::from(FALLS_SHORT),
        Outcome::Genuine { refused: None, .. } => ExitCode::SUCCESS,
        Outcome::Genuine { .. } | Outcome::Rejected { .. } => ExitCode::from(FALLS_SHORT),
        Outcome::Unknown { .. } => ExitCode::from(NOT_VERIFIED),
    })
}

/// Reads a file of any form, and judges what is in it by what was given beside it.
fn look(
    context: &Context,
    args: &EvidenceFile,
) -> Result<(Looked, Option<pox_verify::evidence::Hardware>), Failure> {
    let found = read(&args.file)?;
    let given = endorsements::read(&args.endorsements)?;
    let endorsements = if args.endorsements.is_empty() { found.endorsements } else { given };
    let at = match &args.at {
        Some(text) => time(text)?,
        None => context.now(),
    };
    let roots = context.anchors()?.vendor_roots;
    let Stated { kind, form, registers, report_data } = stated(found.kind, &found.quote)
        .map_err(|error| Failure::usage(error).about(args.file.display()))
        .hint("`pox evidence` reads quotes, reports and documents of hardware TEEs")?;
    let made = Window { from: UnixTime(0), until: UnixTime(u64::MAX) };
    let task = found.claims.as_ref().map(|claims| claims.task);
    let judged = appraise(kind, &found.quote, &endorsements, &roots, at, made);
    let hardware = match (&judged, task) {
        (Ok(launch), Some(task)) => launch.binding(task).ok(),
        (Ok(_), None) => Some(launch::LaunchBinding::Unbound),
        (Err(_), _) => None,
    };
    let hardware = judged.as_ref().ok().zip(hardware).map(|(launch, binding)| {
        pox_verify::evidence::Hardware { launch: launch.clone(), binding, roots: roots.standing_for(kind) }
    });
    let event_log = args.event_log.as_deref().map(|path| event_log::replay(path, kind, &registers));
    let claims_are_signed =
        found.claims.as_ref().map(|claims| report_data.as_deref() == Some(&claims.report_data()[..]));
    let outcome = match judged {
        Ok(launch) => {
            Outcome::Genuine { measurement: launch.measurement(), launch: Box::new(launch), refused: None }
        }
        Err(error @ (EvidenceRejection::UnsupportedKind(_) | EvidenceRejection::Unendorsed(_))) => {
            Outcome::Unknown { message: error.to_string() }
        }
        Err(error) => Outcome::Rejected { reason: error.name(), message: error.to_string() },
    };
    let looked = Looked {
        kind,
        form,
        bytes: found.quote.len(),
        registers,
        report_data: report_data.map(|bytes| format!("0x{}", hex::encode(bytes))),
        claims: found.claims,
        claims_are_signed,
        event_log: event_log.transpose()?,
        at,
        outcome,
    };
    Ok((looked, hardware))
}

/// A quote, with what was beside it.
struct Found {
    kind: EvidenceKind,
    quote: Vec<u8>,
    claims: Option<Claims>,
    /// The quote over the result, where a proof has both.
    result: Option<Vec<u8>>,
    /// What a proof archives.
    endorsements: Vec<Endorsement>,
}

/// A proof, a whole evidence of PoX, or a vendor's quote as it is or in hexadecimal digits.
fn read(file: &Path) -> Result<Found, Failure> {
    let bytes = read_bounded(file, MAX_PROOF_BYTES)?;
    if let Ok(proof) = Proof::parse(&bytes) {
        return in_proof(&proof).map_err(|error| Failure::usage(error).about(file.display()));
    }
    let bytes = unhex(&bytes).unwrap_or(bytes);
    let alone = |kind, quote, claims| Found { kind, quote, claims, result: None, endorsements: Vec::new() };
    if let Ok(Evidence { kind, claims, quote, .. }) = Evidence::parse(&bytes) {
        return Ok(alone(kind, quote, Some(claims)));
    }
    let kind = recognise(&bytes)
        .ok_or_else(|| Failure::usage(format!("{} is no evidence that this program knows", file.display())))
        .hint("expected an SGX or TDX quote, an SEV-SNP report, a Nitro document, or an evidence of PoX")?;
    Ok(alone(kind, bytes, None))
}

/// The evidence of a proof, which nobody has verified yet.
fn in_proof(proof: &Proof) -> Result<Found, CodecError> {
    let Evidence { kind, claims, quote, .. } = Evidence::parse(&proof.matched.evidence)?;
    let Archive { evidence, endorsements, .. } = Archive::parse(&proof.proven.archive)?;
    Ok(Found { kind, quote, claims: Some(claims), result: Some(evidence.quote), endorsements })
}

fn unhex(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok().filter(|bytes| !bytes.is_empty())
}

fn time(text: &str) -> Result<UnixTime, Failure> {
    let seconds = text.parse::<u64>().ok().or_else(|| {
        let time: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(time.as_second()).ok()
    });
    seconds
        .map(UnixTime)
        .ok_or_else(|| Failure::usage(format!("{text:?} is no time")))
        .hint("write 2025-06-20T00:00:00Z, or seconds since 1970")
}

fn fetch_collateral(context: &Context, args: &EvidenceFetch) -> Result<(), Failure> {
    let found = read(&args.file)?;
    let mut sources = Sources::default();
    if let Some(cache) = &args.intel {
        sources = sources.with_intel_cache(cache);
    }
    if let Some(amd) = &args.amd {
        sources.amd = amd.trim_end_matches('/').to_owned();
    }
    sources.nitro_crls.clone_from(&args.nitro_crl);
    let quotes: Vec<Vec<u8>> = [found.quote].into_iter().chain(found.result).collect();
    // Certificates of keys stay what they were; what vendors revise is fetched anew.
    let is_lasting = |one: &Endorsement| {
        [EndorsementKind::SnpKey, EndorsementKind::SnpIssuer].iter().any(|kind| kind.code() == one.kind)
    };
    let held: Vec<Endorsement> = found.endorsements.into_iter().filter(is_lasting).collect();
    let fetched = fetch(found.kind, &quotes, &held, &sources)?;
    let written = endorsements::write(&fetched, &args.to)?;
    context.output.result(&written, || {
        let paths = written.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        if paths.is_empty() { "this kind needs no endorsements".into() } else { paths.join("\n") }
    })
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let culprit = match error {
            FetchError::Quote(_) | FetchError::Url(_) => Culprit::Usage,
            _ => Culprit::Storage,
        };
        Self::new(culprit, error)
    }
}

/// The exit code for evidence that does not hold, or that the policy refuses.
const FALLS_SHORT: u8 = 1;
/// The exit code where nothing is known, good or bad.
const NOT_VERIFIED: u8 = 2;
