//! `pox chain authorities`: who seals a chain now, and a profile that pins it.

use crate::cli::ChainAuthorities;
use crate::context::{self, Context};
use crate::error::{Culprit, Failure, Hint as _};
use crate::home::Overwrite;
use crate::locate;
use jiff::Timestamp;
use pox_chain::Profile;
use pox_node::owner::{AuthoritiesError, CurrentSet, Known, current_set};
use pox_verify::anchors::{Aura, StepRule};
use std::fmt::Write as _;
use std::path::Path;

pub(super) fn run(context: &Context, args: &ChainAuthorities) -> Result<(), Failure> {
    let profile = context.profile()?;
    let pinned = context::chain_anchor(profile.clone()).authorities.aura().cloned();
    let rule = match (pinned, args.step) {
        (Some(rule), _) => rule,
        (None, Some(seconds)) => {
            Aura { steps: StepRule { seconds }, two_thirds_from: None, sets: Vec::new() }
        }
        (None, None) => {
            return Err(Failure::usage(format!("{} has no [authorities]", profile.name)))
                .hint("if it is an Aura chain, say how long its steps are with --step");
        }
    };
    let named = args.validators.as_deref().map(context::address).transpose()?;
    let contract = named.or(profile.authorities.as_ref().and_then(|authorities| authorities.contract));
    let set = current_set(context.rpc()?, &rule, contract)?;
    let pin = pin(&set, &profile)?;
    if let Some(path) = &args.out {
        write(context, args, &pin, path)?;
    }
    let (known, changes) = match set.known {
        Known::Proven { changes } => ("proven", Some(changes)),
        Known::Told => ("told", None),
    };
    let result = serde_json::json!({
        "chain_id": profile.chain_id, "block": set.at.number, "hash": set.at.hash, "time": set.time,
        "authorities": set.validators, "contract": set.contract, "known": known, "changes": changes,
        "sealed_from": set.from, "sealed_by": set.sealed, "endpoints": profile.endpoints.len(),
        "profile": args.out,
    });
    context.output.result(&result, || text(&set, &profile, &pin))?;
    context.output.say(match &args.out {
        Some(path) => format!("next: `--chain {}` names the profile with this set pinned", path.display()),
        None => "next: `--out FILE` writes a profile with this set pinned; compare it with what others know"
            .into(),
    });
    Ok(())
}

fn text(set: &CurrentSet, profile: &Profile, pin: &str) -> String {
    let known = match set.known {
        Known::Proven { changes } => {
            format!("{changes} announced changes lead to it from the set that the profile pins")
        }
        Known::Told => format!(
            "as its contract tells, by {} of {} endpoints",
            match profile.endpoints.len() {
                1 => "the word".to_owned(),
                _ => "more than half".to_owned(),
            },
            profile.endpoints.len()
        ),
    };
    format!(
        "block        {} {}\nauthorities  {}\nknown        {known}\nsealed       {} of {} have sealed blocks {} to {}, each in its turn\n\n{}",
        set.at.number,
        set.at.hash,
        set.validators.len(),
        set.sealed,
        set.validators.len(),
        set.from,
        set.at.number,
        pin.trim_end()
    )
}

/// The set as a profile pins it.
fn pin(set: &CurrentSet, profile: &Profile) -> Result<String, Failure> {
    let mut text = String::from("\n[[authorities.sets]]\n");
    let told = match set.known {
        Known::Proven { changes } => format!("{changes} announced changes"),
        Known::Told => "getValidators()".to_owned(),
    };
    let source = format!(
        "{told} at block {} ({}), {} endpoints; it sealed the blocks from {} to it",
        set.at.number,
        set.at.hash,
        profile.endpoints.len(),
        set.from
    );
    let day = i64::try_from(set.time.0).ok().and_then(|time| Timestamp::from_second(time).ok());
    let day = day.ok_or_else(|| Failure::new(Culprit::Chain, "the newest block is of no day"))?;
    let day = day.strftime("%Y-%m-%d");
    let mut lines = vec![format!("from = {}", set.from)];
    lines.extend(set.contract.map(|contract| format!("announcer = \"{contract}\"")));
    lines.push(format!("as_of = \"{day}\"\nsource = \"{source}\"\nvalidators = ["));
    lines.extend(set.validators.iter().map(|validator| format!("  \"{validator}\",")));
    lines.push("]".into());
    for line in lines {
        writeln!(text, "{line}").map_err(Failure::machine)?;
    }
    Ok(text)
}

/// The profile's own text, comments and all, with the set after all others.
fn write(context: &Context, args: &ChainAuthorities, pin: &str, path: &Path) -> Result<(), Failure> {
    let name = context.chain_name();
    let mut text = match Profile::file(name) {
        Some(text) => text.to_owned(),
        None => {
            let bytes = locate::read_bounded(&locate::home(name)?, MAX_PROFILE_BYTES)?;
            String::from_utf8(bytes).map_err(|error| Failure::usage(error).about(name))?
        }
    };
    if let (None, Some(step)) = (context.profile()?.authorities, args.step) {
        write!(text, "\n[authorities]\nstep_seconds = {step}\n").map_err(Failure::machine)?;
    }
    text.push_str(pin);
    // What is written is read again first: a set that begins no later than the last one has no place after it.
    Profile::from_toml(&text)
        .map_err(|error| Failure::from(error).about("the profile with this set"))
        .hint("take the sets out of it that this one replaces")?;
    crate::home::write_file(path, text.as_bytes(), 0o644, Overwrite::Never)
        .map_err(|error| Failure::machine(format!("cannot write {}: {error}", path.display())))
}

impl From<AuthoritiesError> for Failure {
    fn from(error: AuthoritiesError) -> Self {
        match error {
            AuthoritiesError::Chain(error) => error.into(),
            AuthoritiesError::Unknown(_) => Self::chained(Culprit::Usage, &error)
                .with_hint("name the contract that keeps the set with --validators; the chain's specification says which"),
            AuthoritiesError::NotTheContract(_) => Self::chained(Culprit::Usage, &error)
                .with_hint("the chain's specification says which contract keeps its authorities"),
            _ => Self::chained(Culprit::Chain, &error),
        }
    }
}

/// As much as a profile may have.
const MAX_PROFILE_BYTES: usize = 64 * 1024;
