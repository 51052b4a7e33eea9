//! Step 15: a batch is one, and the member that is shown is one of it.

use super::openings::{Openings, TermsRuns};
use super::parse::Records;
use crate::facts::{MemberFacts, RunFacts};
use crate::rejection::MemberMismatch;
use crate::verified::Verified;
use pox_core::proof::{MemberPart, RunPart};
use pox_core::receipt::Outcome;
use pox_core::{MemberReceipt, Members, tree};

/// The member that is shown, if there is one.
pub(crate) struct Shown(pub(crate) Option<MemberFacts>);

/// Checks that terms and receipt speak of the same runs, and the member's and its run's paths.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    openings: &Verified<Openings>,
) -> Result<Verified<Shown>, MemberMismatch> {
    let shown = records.proof.member.as_ref().zip(records.member.as_ref());
    let Some(members) = records.proof.proven.members else {
        // An enclave that could not read the secret knows of no runs.
        let has_runs = matches!(openings.runs, TermsRuns::Hidden | TermsRuns::Opened(_));
        return match (shown, has_runs && records.receipt.outcome != Outcome::SecretInvalid) {
            (Some(_), _) => Err(MemberMismatch::NotABatch),
            (None, true) => Err(MemberMismatch::NotClosed),
            (None, false) => Ok(Verified::by_check(Shown(None))),
        };
    };
    match openings.runs {
        TermsRuns::None => return Err(MemberMismatch::NoRuns),
        TermsRuns::Opened(runs) if runs.count != members.count => {
            return Err(MemberMismatch::Count { runs: runs.count, members: members.count });
        }
        TermsRuns::Opened(_) | TermsRuns::Hidden | TermsRuns::Unknown => {}
    }
    let member = shown.map(|(part, receipt)| check_member(part, receipt, members, openings)).transpose()?;
    Ok(Verified::by_check(Shown(member)))
}

fn check_member(
    part: &MemberPart,
    receipt: &MemberReceipt,
    members: Members,
    openings: &Openings,
) -> Result<MemberFacts, MemberMismatch> {
    if !(1..=members.count).contains(&receipt.number) {
        return Err(MemberMismatch::Number { number: receipt.number, count: members.count });
    }
    if tree::climb(receipt.leaf(), &part.path) != Some(members.root.0) {
        return Err(MemberMismatch::Path(receipt.number));
    }
    let run = part.run.as_ref().map(|part| check_run(part, receipt, openings)).transpose()?;
    Ok(MemberFacts {
        number: receipt.number,
        outcome: receipt.outcome,
        exit_code: receipt.exit_code,
        results: receipt.results,
        begun_micros: receipt.begun_micros,
        wall_micros: receipt.wall_micros,
        cpu_micros: receipt.cpu_micros,
        memory_peak: receipt.memory_peak,
        reason: receipt.reason.clone(),
        run,
    })
}

fn check_run(
    part: &RunPart,
    receipt: &MemberReceipt,
    openings: &Openings,
) -> Result<RunFacts, MemberMismatch> {
    let TermsRuns::Opened(runs) = openings.runs else { return Err(MemberMismatch::RunsHidden) };
    let leaf = part.run.leaf();
    if part.run.number != receipt.number || leaf != receipt.run {
        return Err(MemberMismatch::Run(receipt.number));
    }
    if tree::climb(leaf, &part.path) != Some(runs.root.0) {
        return Err(MemberMismatch::RunPath(receipt.number));
    }
    let opened =
        openings.terms.as_ref().and_then(|terms| terms.leaves.iter().find(|leaf| leaf.name == "args"));
    let arguments = opened.map(|leaf| part.run.arguments(&leaf.value));
    Ok(RunFacts { args: part.run.args.clone(), arguments })
}
