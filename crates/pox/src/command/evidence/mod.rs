//! `pox evidence`: a quote, report or document by itself: what it is, what it says, what is wrong with it.

mod event_log;
mod file;

pub(crate) use event_log::{LoggedEvent, ReplayedLog};

use crate::cli::{Evidence as Args, EvidenceFetch, EvidenceFile, EvidenceVerify};
use crate::context::Context;
use crate::error::{Culprit, Failure, Hint as _};
use crate::{endorsements, page};
use file::read;
use pox_core::UnixTime;
use pox_core::endorsement::{Endorsement, EndorsementKind};
use pox_core::evidence::{Claims, EvidenceKind};
use pox_node::endorsements::{FetchError, Sources, fetch};
use pox_verify::evidence::inspect::{Stated, stated};
use pox_verify::evidence::launch::Register;
use pox_verify::evidence::{EvidenceRejection, Hardware};
use pox_verify::{Measurement, PolicyRefusal};
use serde::Serialize;
use std::process::ExitCode;

/// What was looked at, and what came of it.
#[derive(Serialize)]
pub(crate) struct Looked {
    pub(crate) kind: EvidenceKind,
    pub(crate) form: String,
    pub(crate) bytes: usize,
    /// What the quote says of itself, whether it holds or not.
    pub(crate) registers: Vec<Register>,
    pub(crate) report_data: Option<String>,
    /// The claims beside it, if it is a whole evidence of PoX, and whether the quote is over them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) claims: Option<Claims>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) claims_are_signed: Option<bool>,
    /// What the event log says of the registers, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_log: Option<ReplayedLog>,
    /// The time at which it was judged: its own, where it states one.
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
        #[serde(flatten)]
        hardware: Box<Hardware>,
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
            let looked = look(context, args)?;
            tell(context, args, &looked)?;
            Ok(ExitCode::SUCCESS)
        }
        Args::Verify(args) => verify(context, args),
        Args::FetchCollateral(args) => fetch_collateral(context, args).map(|()| ExitCode::SUCCESS),
    }
}

fn verify(context: &Context, args: &EvidenceVerify) -> Result<ExitCode, Failure> {
    context.trust(&args.trust)?;
    let policy = args.policy.as_deref().map(super::read_policy).transpose()?;
    let mut looked = look(context, &args.file)?;
    let anchors = context.anchors()?;
    if let (Some(policy), Outcome::Genuine { hardware, measurement, refused }) = (policy, &mut looked.outcome)
    {
        let accepted: Result<(), PolicyRefusal> = policy
            .accepts(looked.kind, *measurement, &anchors)
            .and_then(|()| policy.accepts_hardware(hardware));
        *refused = accepted.err().map(|refusal| refusal.to_string());
    }
    tell(context, &args.file, &looked)?;
    Ok(ExitCode::from(exit_code(&looked, args.policy.is_some())))
}

fn exit_code(looked: &Looked, by_policy: bool) -> u8 {
    let is_contradicted = looked.event_log.as_ref().is_some_and(|log| log.mismatch.is_some());
    match &looked.outcome {
        Outcome::Unknown { .. } => NOT_VERIFIED,
        Outcome::Genuine { refused: None, hardware, .. } if !is_contradicted => {
            // A policy says for itself which levels it takes; without one, none that its vendor has superseded.
            let is_outdated = !by_policy && hardware.launch.tcb.status.is_superseded();
            if is_outdated { FALLS_SHORT } else { 0 }
        }
        Outcome::Genuine { .. } | Outcome::Rejected { .. } => FALLS_SHORT,
    }
}

/// Prints it, and what would tell more.
fn tell(context: &Context, args: &EvidenceFile, looked: &Looked) -> Result<(), Failure> {
    context.output.result(looked, || page::evidence(looked))?;
    let file = args.file.display();
    match &looked.outcome {
        Outcome::Unknown { .. } => context.output.say(format!(
            "next: `pox evidence fetch-collateral {file} --to DIR` asks its vendor, and --endorsements DIR judges by the answer"
        )),
        Outcome::Rejected { reason: "expired" | "not-yet-valid", .. } if args.at.is_none() => {
            context.output.say("next: it was judged as of now; --at TIME judges it as of when it was made");
        }
        _ => {}
    }
    Ok(())
}

/// Reads a file of any form, and judges what is in it by what was given beside it.
fn look(context: &Context, args: &EvidenceFile) -> Result<Looked, Failure> {
    let found = read(&args.file)?;
    let given = endorsements::read(&args.endorsements)?;
    let mut endorsements = if given.is_empty() { found.endorsements } else { given };
    let at = args.at.as_deref().map_or_else(|| Ok(context.now()), time)?;
    let roots = context.anchors()?.vendor_roots;
    let (kind, quote) = (found.content.kind(), found.content.quote());
    // A folder may hold those of other machines, too.
    endorsements.retain(|one| one.endorses(kind));
    let (stated, outcome) = match stated(kind, quote) {
        Ok(stated) => (stated, found.content.judged(&endorsements, &roots, at).into()),
        Err(error @ EvidenceRejection::UnsupportedKind(_)) => {
            return Err(Failure::usage(error).about(args.file.display()))
                .hint("`pox evidence` reads quotes, reports and documents of hardware TEEs");
        }
        // Of such bytes nothing more can be told.
        Err(error) => (unreadable(kind), Err(error).into()),
    };
    let event_log = args.event_log.as_deref().map(|path| event_log::replay(path, kind, &stated.registers));
    let claims = found.content.claims().cloned();
    let report_data = stated.report_data;
    Ok(Looked {
        kind,
        form: stated.form,
        bytes: quote.len(),
        registers: stated.registers,
        claims_are_signed: claims
            .as_ref()
            .map(|claims| report_data.as_deref() == Some(&claims.report_data()[..])),
        claims,
        report_data: report_data.map(|bytes| format!("0x{}", hex::encode(bytes))),
        event_log: event_log.transpose()?,
        at: stated.made.unwrap_or(at),
        outcome,
    })
}

fn unreadable(kind: EvidenceKind) -> Stated {
    let form = "malformed".to_owned();
    Stated { kind, form, registers: Vec::new(), made: None, report_data: None }
}

impl From<Result<Hardware, EvidenceRejection>> for Outcome {
    fn from(judged: Result<Hardware, EvidenceRejection>) -> Self {
        match judged {
            Ok(hardware) => Self::Genuine {
                measurement: hardware.launch.measurement(),
                hardware: Box::new(hardware),
                refused: None,
            },
            Err(error @ (EvidenceRejection::UnsupportedKind(_) | EvidenceRejection::Unendorsed(_))) => {
                Self::Unknown { message: error.to_string() }
            }
            Err(error) => Self::Rejected { reason: error.name(), message: error.to_string() },
        }
    }
}

fn time(text: &str) -> Result<UnixTime, Failure> {
    let seconds = text.parse::<u64>().ok().or_else(|| {
        let midnight = || format!("{text}T00:00:00Z").parse().ok();
        let time: jiff::Timestamp = text.parse().ok().or_else(midnight)?;
        u64::try_from(time.as_second()).ok()
    });
    seconds
        .map(UnixTime)
        .ok_or_else(|| Failure::usage(format!("{text:?} is no time")))
        .hint("write 2025-06-20, 2025-06-20T00:00:00Z, or seconds since 1970")
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
    let kind = found.content.kind();
    let quotes: Vec<Vec<u8>> = [found.content.quote().to_vec()].into_iter().chain(found.result).collect();
    // Certificates of keys stay what they were; what vendors revise is fetched anew.
    let is_lasting = |one: &Endorsement| {
        [EndorsementKind::SnpKey, EndorsementKind::SnpIssuer].iter().any(|kind| kind.code() == one.kind)
    };
    let held: Vec<Endorsement> = found.endorsements.into_iter().filter(is_lasting).collect();
    let fetched = fetch(kind, &quotes, &held, &sources)?;
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
        let hint = match error {
            FetchError::Quote(_) => "`pox evidence show` says what it is",
            FetchError::Url(_) => "write https://HOST, or http://HOST:PORT of a cache in your network",
            FetchError::Unreachable { .. } => {
                "try again later, or name a cache that can be reached with --intel or --amd"
            }
            FetchError::NotFound { .. } | FetchError::Refused { .. } | FetchError::Malformed { .. } => {
                "is it the service of the machine's vendor? a cache may not hold this machine's"
            }
        };
        Self::new(culprit, error).with_hint(hint)
    }
}

/// The exit code for evidence that does not hold, or that the policy refuses.
const FALLS_SHORT: u8 = 1;
/// The exit code where nothing is known, good or bad.
const NOT_VERIFIED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use pox_verify::evidence::launch::{Launch, LaunchBinding, Tcb, TcbStatus};
    use pox_verify::evidence::roots::RootStanding;

    fn looked(outcome: Outcome) -> Looked {
        Looked {
            kind: EvidenceKind::Tdx,
            form: String::new(),
            bytes: 0,
            registers: Vec::new(),
            report_data: None,
            claims: None,
            claims_are_signed: None,
            event_log: None,
            at: UnixTime(0),
            outcome,
        }
    }

    fn genuine(status: TcbStatus) -> Looked {
        let tcb = Tcb {
            status,
            advisories: Default::default(),
            level: String::new(),
            evaluation: None,
            parts: Default::default(),
        };
        let launch = Launch {
            kind: EvidenceKind::Tdx,
            registers: Vec::new(),
            report_data: [0; 64],
            tcb,
            platform: None,
            launch_data: None,
            traits: Default::default(),
            endorsed: None,
        };
        looked(Ok(Hardware { launch, binding: LaunchBinding::Unbound, roots: RootStanding::Vendor }).into())
    }

    #[test]
    fn an_outdated_platform_falls_short_unless_a_policy_takes_it() {
        for status in TcbStatus::ALL {
            let looked = genuine(status);
            let expected = if status.is_superseded() { FALLS_SHORT } else { 0 };
            assert_eq!((exit_code(&looked, false), exit_code(&looked, true)), (expected, 0), "{status}");
            let page = page::evidence(&looked);
            assert_eq!(page.contains("and its platform was out of date"), expected != 0, "{page}");
        }
    }

    #[test]
    fn what_a_policy_refuses_falls_short_and_what_nothing_endorses_is_not_verified() {
        let mut refused = genuine(TcbStatus::UpToDate);
        let Outcome::Genuine { refused: reason, .. } = &mut refused.outcome else { panic!("not genuine") };
        *reason = Some("it does".into());
        assert_eq!(exit_code(&refused, true), FALLS_SHORT);
        assert_eq!(exit_code(&looked(Err(EvidenceRejection::ReportData).into()), false), FALLS_SHORT);
        let unknown = looked(Err(EvidenceRejection::Unendorsed(String::new())).into());
        assert_eq!(exit_code(&unknown, true), NOT_VERIFIED);
    }
}
