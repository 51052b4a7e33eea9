//! `pox verify`: what a proof shows, to anyone.

use super::timestamp::{self, Anchor};
use crate::cli::{Grade as Required, Verify};
use crate::context::{self, Context};
use crate::error::{Culprit, Failure, Hint as _};
use crate::{owner, page, trust};
use pox_chain::{Finality, Profile, Rpc};
use pox_core::proof::MAX_PROOF_BYTES;
use pox_core::{B256, TaskId};
use pox_node::owner::{BuiltOn, ProofError, built_on};
use pox_verify::anchors::TrustedBlock;
use pox_verify::{Anchors, Facts, Grade, Verdict, verify};
use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;

pub(crate) fn run(context: &Context, args: &Verify) -> Result<ExitCode, Failure> {
    context.trust(&args.trust)?;
    let fresh = trust::fresh(&args.today)?;
    let (proof, ask) = match args.proof.parse::<TaskId>() {
        Ok(task) => {
            context.output.say(format!("collecting the proof of task {task}"));
            (owner::collect_proof(context, task, args.archive.as_deref())?.to_bytes(), Ask::Chain)
        }
        Err(_) => (read(&args.proof)?, if args.live { Ask::Chain } else { Ask::Nobody }),
    };
    let anchors = Anchors { fresh, ..context.anchors()? };
    let verdict = judge_by(context, anchors, &proof, args.require.into(), ask)?;
    if let (Some(facts), None, false) = (&verdict.facts, &verdict.today, args.today.today.is_empty()) {
        let error = format!(
            "nothing that --today names tells how evidence of kind {} stands today",
            facts.evidence.kind
        );
        return Err(Failure::usage(error))
            .hint("`pox evidence fetch-collateral PROOF --to DIR` gets what is; without --today, the grade is that of when it ran");
    }
    // What is about other bytes than the file's is about nothing that was asked.
    let timestamps = timestamp::judge(&proof, &args.timestamp, &args.anchors, context.now())?;
    let holds = verdict.meets && timestamps.iter().all(Anchor::holds);
    let shown = Shown { verdict, timestamps };
    context.output.result(&shown, || {
        let sentences: Vec<String> = shown.timestamps.iter().map(Anchor::sentence).collect();
        page::verdict_with(&shown.verdict, &sentences)
    })?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(FALLS_SHORT) })
}

/// A verdict, and what others say of when the file was there; that changes nothing in the verdict.
#[derive(serde::Serialize)]
struct Shown {
    #[serde(flatten)]
    verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    timestamps: Vec<Anchor>,
}

/// Whether the chain's endpoint is asked for the proof's block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// No network is touched.
    Nobody,
    /// The block has to be in the endpoint's chain, final by the profile's rule.
    Chain,
}

/// Judges a proof with this program's anchors.
///
/// # Errors
/// The chain was to be asked, and can't be: that says nothing about the proof.
pub(crate) fn judge(context: &Context, proof: &[u8], required: Grade, ask: Ask) -> Result<Verdict, Failure> {
    judge_by(context, context.anchors()?, proof, required, ask)
}

fn judge_by(
    context: &Context,
    anchors: Anchors,
    proof: &[u8],
    required: Grade,
    ask: Ask,
) -> Result<Verdict, Failure> {
    let offline = verify(proof, &anchors, required, context.now());
    match (&offline.facts, ask) {
        (Some(facts), Ask::Chain) => {
            let trusted_blocks = blocks_on_chain(context, facts)?;
            Ok(verify(proof, &Anchors { trusted_blocks, ..anchors }, required, context.now()))
        }
        // What was rejected has no block that is worth asking for.
        _ => Ok(offline),
    }
}

/// The endpoint's blocks of the numbers that the proof rests on.
fn blocks_on_chain(context: &Context, facts: &Facts) -> Result<Vec<TrustedBlock>, Failure> {
    let profile = context.profile()?;
    if profile.chain_id != facts.chain_id {
        let error = format!(
            "the proof is of chain {}, and {} is chain {}",
            facts.chain_id, profile.name, profile.chain_id
        );
        return Err(Failure::usage(error)).hint("name the proof's chain with --chain");
    }
    let trusted = |number: &u64| -> Result<TrustedBlock, Failure> {
        let hash = final_hash(context, &profile, *number)?;
        if let Some(explorer) = &profile.explorer {
            // The eyes of whoever asks are independent of the endpoint.
            context
                .output
                .say(format!("{} shows block {number}; its hash is {hash}", explorer.block(*number)));
        }
        Ok(TrustedBlock { chain_id: profile.chain_id, number: *number, hash })
    };
    facts.state.rests_on.iter().map(trusted).collect()
}

/// The hash of a block of the endpoint's chain, which is final by the profile's rule: where that is Aura's, by the seals of those
/// that have built on it, as far as their set is known.
fn final_hash(context: &Context, profile: &Profile, number: u64) -> Result<B256, Failure> {
    let rpc = context.rpc()?;
    let not_final = |why: String| {
        Err(Failure::new(Culprit::Chain, format!("block {number} is not final there yet: {why}")))
            .hint("repeat the command later, or ask another endpoint with --rpc")
    };
    if let Finality::Authorities { blocks } = profile.finality {
        let rule = context::chain_anchor(profile.clone()).authorities.aura().cloned();
        let built = rule.map(|rule| built_on(rpc, &rule, number)).transpose();
        let built = built.map_err(|error| Failure::from(ProofError::Shown(error)))?.flatten();
        let Some(BuiltOn { hash, count }) = built else {
            context.output.say(format!(
                "no set of authorities is known for block {number}: final by {blocks} blocks that the endpoint tells"
            ));
            return by_rule(rpc, number)?
                .map_or_else(|head| not_final(format!("the newest block is {head}")), Ok);
        };
        let who = format!("{} of {} authorities have built on it", count.builders.len(), count.of);
        if !count.is_final {
            return not_final(who);
        }
        context.output.say(format!("block {number} is final: {who}"));
        return Ok(hash);
    }
    by_rule(rpc, number)?.map_or_else(|head| not_final(format!("the newest block is {head}")), Ok)
}

/// A block that is final by depth or the node's tag; else the number of the newest block.
fn by_rule(rpc: &Rpc, number: u64) -> Result<Result<B256, u64>, Failure> {
    let head = rpc.head()?.at.number;
    let is_final = rpc.newest_final()?.is_some_and(|newest| newest >= number);
    let block = if is_final { rpc.block(number)? } else { None };
    Ok(block.map(|block| block.at.hash).ok_or(head))
}

/// A proof file, or standard input for `-`; one byte more than a proof can have is enough to tell.
pub(crate) fn read(path: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let most = MAX_PROOF_BYTES as u64 + 1;
    let read = match path {
        "-" => io::stdin().take(most).read_to_end(&mut bytes),
        _ => File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)),
    };
    read.map_err(|error| Failure::usage(format!("cannot read {path}: {error}")))
        .hint("name a proof file, such as proof.pox, or a task id: 0x and 64 hexadecimal digits")?;
    Ok(bytes)
}

impl From<Required> for Grade {
    fn from(required: Required) -> Self {
        match required {
            Required::Hardware => Self::Hardware,
            Required::HardwareTcbOutdated => Self::HardwareTcbOutdated,
            Required::Simulated => Self::Simulated,
            Required::Asserted => Self::Asserted,
        }
    }
}

/// The exit code for a verdict that is not good enough.
const FALLS_SHORT: u8 = 1;
