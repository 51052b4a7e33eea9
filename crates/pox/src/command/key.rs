//! `pox key`: the account and the data identity.

use crate::cli::{Key, KeyNew};
use crate::context::Context;
use crate::error::Failure;
use pox_core::Address;
use pox_seal::IdentityKind;
use serde::Serialize;

/// What may be shown of the keys.
#[derive(Serialize)]
struct Shown {
    address: Address,
    recipient: String,
    home: String,
}

pub(crate) fn run(context: &Context, args: &Key) -> Result<(), Failure> {
    match args {
        Key::New(args) => make(context, args),
        Key::Show => show(context),
    }
}

fn make(context: &Context, args: &KeyNew) -> Result<(), Failure> {
    let kind = if args.x25519 { IdentityKind::X25519 } else { IdentityKind::Hybrid };
    context.home()?.make_keys(kind)?;
    show(context)?;
    let output = &context.output;
    output.say(format!("The keys are in {}. Keep a copy: nobody can make them again.", context.global.home));
    output.say("next: `pox fund` on the embedded chain, then `pox seal` your data");
    Ok(())
}

fn show(context: &Context) -> Result<(), Failure> {
    let home = context.home()?;
    let shown = Shown {
        address: home.address()?,
        recipient: home.recipient()?.to_string(),
        home: home.path("").display().to_string(),
    };
    context.output.result(&shown, || format!("address    {}\nrecipient  {}", shown.address, shown.recipient))
}
