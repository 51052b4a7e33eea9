//! `pox key`: the account and the data identity.

use crate::cli::{Key, KeyCrypt4gh, KeyNew};
use crate::context::Context;
use crate::crypt4gh_keys;
use crate::error::Failure;
use crate::home::{Overwrite, write_file};
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
        Key::Crypt4gh(args) => crypt4gh(context, args),
    }
}

/// What may be shown of the Crypt4GH key.
#[derive(Serialize)]
struct ShownCrypt4gh {
    public_key: String,
    file: String,
}

fn crypt4gh(context: &Context, args: &KeyCrypt4gh) -> Result<(), Failure> {
    let identity = crypt4gh_keys::own(context)?;
    if let Some(path) = &args.secret_to {
        write_file(path, identity.dangerous_file().as_bytes(), 0o600, Overwrite::Never)
            .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?;
        context.output.say(format!("{} opens everything that is sealed for this home", path.display()));
    }
    let recipient = identity.recipient();
    let shown = ShownCrypt4gh { public_key: hex::encode(recipient.as_bytes()), file: recipient.to_file() };
    context.output.result(&shown, || shown.file.clone())
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
