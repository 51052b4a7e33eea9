//! The commands, one file each. A command opens what it needs, does one thing, and says what came of it.

mod agent;
mod authorities;
mod chain;
mod completions;
mod contract;
mod copy;
mod crypt4gh;
mod demo;
mod devnet;
mod disclose;
mod evidence;
mod fund;
mod guest;
mod image;
mod index;
mod inspect;
mod key;
mod node;
mod open;
mod part;
mod policy;
mod reference;
mod reject;
mod relay;
mod review;
mod run;
mod seal;
mod sign;
mod task;
mod timestamp;
mod verify;
mod verify_data;
mod verify_disclosure;

pub(crate) use evidence::{LoggedEvent, Looked, Outcome, ReplayedLog};
pub(crate) use policy::read as read_policy;

use crate::cli::Command;
use crate::context::Context;
use crate::error::Failure;
use std::process::ExitCode;

/// Runs the command that was typed.
pub(crate) fn run(context: &Context, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Key(args) => key::run(context, &args)?,
        Command::Devnet(args) => devnet::run(context, &args)?,
        Command::Fund(args) => fund::run(context, &args)?,
        Command::Image(args) => image::run(context, &args)?,
        Command::Guest(args) => guest::run(context, &args)?,
        Command::Policy(args) => policy::run(context, &args)?,
        Command::Index(args) => index::run(context, &args)?,
        Command::Tasks(args) => index::tasks(context, &args)?,
        Command::Priority(args) => index::priority(context, &args)?,
        Command::History(args) => index::history(context, &args)?,
        Command::Seal(args) => seal::run(context, &args)?,
        Command::Open(args) => return open::run(context, &args),
        Command::Adopt(args) => crypt4gh::adopt(context, &args)?,
        Command::Rekey(args) => crypt4gh::rekey(context, &args)?,
        Command::VerifyData(args) => return verify_data::run(context, &args),
        Command::Disclose(args) => disclose::run(context, &args)?,
        Command::VerifyDisclosure(args) => return verify_disclosure::run(context, &args),
        Command::Inspect(args) => inspect::run(context, &args)?,
        Command::Copy(args) => copy::run(context, &args)?,
        Command::Completions(args) => completions::run(&args)?,
        Command::Reference => reference::run()?,
        Command::Evidence(args) => return evidence::run(context, &args),
        Command::Chain(args) => return chain::run(context, &args),
        Command::Timestamp(args) => return timestamp::run(context, &args),
        Command::Contract(args) => return contract::run(context, &args),
        Command::Verify(args) => return verify::run(context, &args),
        of_a_task => return task::run(context, of_a_task),
    }
    Ok(ExitCode::SUCCESS)
}
