//! `pox chain`: profiles, and endpoints examined against them.

use crate::cli::{Chain as Args, ChainShow};
use crate::context::{Context, pace};
use crate::error::Failure;
use crate::locate;
use crate::output::write_out;
use pox_chain::doctor::{Diagnosis, Finding, Fit, Health};
use pox_chain::{Profile, Rpc, Waiting};
use serde::Serialize;
use std::process::ExitCode;

pub(crate) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    match args {
        Args::Profiles => profiles(context).map(|()| ExitCode::SUCCESS),
        Args::Show(args) => show(context, args).map(|()| ExitCode::SUCCESS),
        Args::Doctor => doctor(context),
        Args::Authorities(args) => super::authorities::run(context, args).map(|()| ExitCode::SUCCESS),
        Args::Outbox => outbox(context).map(|()| ExitCode::SUCCESS),
    }
}

fn outbox(context: &Context) -> Result<(), Failure> {
    // While the chain is away, this is what shows what waits for it.
    let waiting = context.outbox_of(&Rpc::offline(context.profile()?, pace()?))?.tend()?;
    context.output.result(&waiting, || match waiting.is_empty() {
        true => "nothing waits: all that this home has sent is final".into(),
        false => waiting.iter().map(described_wait).collect::<Vec<_>>().join("\n"),
    })
}

/// A transaction and what it waits for, in a line.
pub(crate) fn described_wait(one: &Waiting) -> String {
    format!("{}, transaction {}: {}", one.what, one.transaction, one.waits_for)
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    kind: &'static str,
    /// The first line of its file, which says what it is.
    about: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<u64>,
}

fn profiles(context: &Context) -> Result<(), Failure> {
    let listed = |kind: &'static str| {
        move |name: &'static str| Listed {
            name,
            kind,
            about: about(name),
            chain_id: Profile::builtin(name).map(|profile| profile.chain_id),
        }
    };
    let list: Vec<_> = Profile::BUILTIN
        .into_iter()
        .map(listed("profile"))
        .chain(Profile::TEMPLATES.into_iter().map(listed("template")))
        .collect();
    context.output.result(&list, || {
        let line = |one: &Listed| {
            let id = one.chain_id.map_or_else(|| one.kind.to_owned(), |id| format!("chain {id}"));
            format!("{:<14} {id:<14} {}", one.name, one.about)
        };
        list.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    context
        .output
        .say("a template becomes a profile with a chain's id and endpoints: `pox chain show NAME > FILE`");
    Ok(())
}

fn about(name: &str) -> &'static str {
    let first = Profile::file(name).and_then(|file| file.lines().next()).unwrap_or_default();
    first.trim_start_matches(['#', ' '])
}

fn show(context: &Context, args: &ChainShow) -> Result<(), Failure> {
    let profile = match args.name.as_deref() {
        // With its comments, as the file that it is to become.
        Some(name) if !context.output.json && Profile::file(name).is_some() => {
            return write_out(Profile::file(name).unwrap_or_default().trim_end());
        }
        Some(name) => match Profile::builtin(name) {
            Some(profile) => profile,
            None => Profile::load(&locate::home(name)?).map_err(|error| Failure::from(error).about(name))?,
        },
        None => context.profile()?,
    };
    context.output.result(&profile, || described(&profile))
}

fn described(profile: &Profile) -> String {
    let endpoints: Vec<_> = profile.endpoints.iter().map(ToString::to_string).collect();
    let level = profile.hardfork.map_or_else(|| "not known".to_owned(), |level| level.to_string());
    let contract = profile.contract.map_or_else(|| "none".to_owned(), |place| place.address.to_string());
    let rows = [
        ("profile", profile.name.clone()),
        ("chain id", profile.chain_id.to_string()),
        ("hard fork", level),
        ("endpoints", endpoints.join(", ")),
        ("agree", format!("{} of them at least, and more than half of those that answer", profile.agree)),
        ("transactions", profile.transactions.to_string()),
        ("fees", format!("{}, at most {} wei per gas", profile.fees, profile.max_gas_price)),
        ("final after", profile.finality.to_string()),
        ("log range", format!("{} blocks", profile.log_range)),
        ("contract", contract),
    ];
    rows.into_iter().map(|(name, value)| format!("{name:<14} {value}")).collect::<Vec<_>>().join("\n")
}

fn doctor(context: &Context) -> Result<ExitCode, Failure> {
    let profile = context.profile()?;
    let pace = pox_chain::Pace { rounds: 2, ..pace()? };
    context.output.say(format!("examining {} endpoints of {}", profile.endpoints.len(), profile.name));
    let diagnosis = Diagnosis::examine(&profile, pace, context.now());
    context.output.result(&diagnosis, || text(&diagnosis))?;
    Ok(match diagnosis.health() {
        Health::Fits => ExitCode::SUCCESS,
        Health::Differs => ExitCode::from(1),
        Health::Unreachable => ExitCode::from(2),
    })
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut lines = Vec::new();
    for one in &diagnosis.endpoints {
        lines.push(one.endpoint.clone());
        if let Some(reason) = &one.unreachable {
            lines.push(format!("  not reached: {reason}"));
        }
        one.findings.iter().for_each(|finding| lines.extend(said(finding)));
    }
    if !diagnosis.between.is_empty() {
        lines.push("between them".into());
        diagnosis.between.iter().for_each(|finding| lines.extend(said(finding)));
    }
    lines.push(match diagnosis.health() {
        Health::Fits => format!("fits the profile {}", diagnosis.profile),
        Health::Differs => format!("differs from the profile {}", diagnosis.profile),
        Health::Unreachable => "not every endpoint was reached".into(),
    });
    lines.join("\n")
}

fn said(finding: &Finding) -> Vec<String> {
    let mark = match finding.verdict {
        Fit::Fits => "  ok       ",
        Fit::Differs => "  DIFFERS  ",
        Fit::Unknown => "  unknown  ",
    };
    let line = format!("{mark}{:<21} {}", finding.about, finding.found);
    let advice = finding.advice.iter().map(|advice| format!("{:13}-> {advice}", ""));
    std::iter::once(line).chain(advice).collect()
}
