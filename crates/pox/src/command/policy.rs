//! `pox policy`: which evidence an owner accepts.

use crate::cli::{Policy as Args, PolicyCheck};
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::locate::read_bounded;
use pox_core::PolicyHash;
use pox_core::proof::MAX_POLICY_BYTES;
use pox_verify::Policy;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Checked {
    policy: serde_json::Value,
    /// The bytes that are hashed.
    canonical: String,
    hash: PolicyHash,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    match args {
        Args::Default => {
            let checked = checked(&Policy::default())?;
            context.output.result(&checked.policy, || checked.canonical.clone())
        }
        Args::Check(args) => check(context, args),
    }
}

/// Reads a policy that a person wrote.
pub(crate) fn read(file: &Path) -> Result<Policy, Failure> {
    let text = read_bounded(file, MAX_POLICY_BYTES)?;
    Policy::from_written(&text)
        .map_err(|error| Failure::usage(error).about(file.display()))
        .hint("`pox policy default` prints one to start from; docs/policy.md describes every key")
}

fn check(context: &Context, args: &PolicyCheck) -> Result<(), Failure> {
    context.trust(&args.trust)?;
    let policy = read(&args.file)?;
    let checked = checked(&policy)?;
    context.output.result(&checked, || format!("policy  {}\nhash    {}", checked.canonical, checked.hash))?;
    if policy.kinds().iter().any(|kind| kind.is_simulated()) {
        context
            .output
            .say("this policy accepts simulated evidence: the processor then can read and alter everything");
    }
    let known = context.anchors()?.releases;
    for name in policy.releases().filter(|name| !known.iter().any(|release| release.name == **name)) {
        context
            .output
            .say(format!("this program knows no release {name:?}: name its manifest with --releases"));
    }
    Ok(())
}

fn checked(policy: &Policy) -> Result<Checked, Failure> {
    let canonical = String::from_utf8(policy.canonical_bytes()).map_err(Failure::machine)?;
    let value = serde_json::from_str(&canonical).map_err(Failure::machine)?;
    Ok(Checked { policy: value, canonical, hash: policy.hash() })
}
