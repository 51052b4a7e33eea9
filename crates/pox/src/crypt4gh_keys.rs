//! Crypt4GH keys: this home's own, and key files of other tools.

use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::locate::read_bounded;
use pox_seal::crypt4gh::{Identity, MAX_KEY_FILE, Recipient, SecretKey};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The key that belongs to this home's data identity.
pub(crate) fn own(context: &Context) -> Result<Identity, Failure> {
    Identity::of(&context.home()?.identity()?)
        .ok_or_else(|| Failure::usage("this identity has no Crypt4GH key"))
}

/// The keys to try: this home's own, if it has one or nothing else is named, and those in files.
pub(crate) fn identities(context: &Context, files: &[PathBuf]) -> Result<Vec<Identity>, Failure> {
    let mut identities = match own(context) {
        Ok(own) => vec![own],
        Err(failure) if files.is_empty() => return Err(failure),
        Err(_) => Vec::new(),
    };
    for path in files {
        identities.push(secret(path)?);
    }
    Ok(identities)
}

/// The readers of a file: this home, and whoever is named by a key file.
pub(crate) fn readers(context: &Context, files: &[PathBuf]) -> Result<Vec<Recipient>, Failure> {
    let mut readers = vec![own(context)?.recipient()];
    for path in files {
        let reader = Recipient::from_file(&read_bounded(path, MAX_KEY_FILE)?)
            .map_err(|error| Failure::usage(error).about(path.display()))
            .hint("`pox key crypt4gh` prints such a file, and `crypt4gh-keygen` makes them")?;
        if !readers.contains(&reader) {
            readers.push(reader);
        }
    }
    Ok(readers)
}

fn secret(path: &Path) -> Result<Identity, Failure> {
    let text = Zeroizing::new(read_bounded(path, MAX_KEY_FILE)?);
    let bad = |error| Failure::usage(error).about(path.display());
    match SecretKey::from_file(&text).map_err(bad)? {
        SecretKey::Open(identity) => Ok(identity),
        SecretKey::Locked(locked) => locked.unlock(&passphrase(path)?).map_err(bad),
    }
}

/// From the variable that the reference tool reads, or from the terminal.
fn passphrase(path: &Path) -> Result<Zeroizing<String>, Failure> {
    if let Ok(passphrase) = std::env::var(VARIABLE) {
        return Ok(Zeroizing::new(passphrase));
    }
    ask(path)
        .map_err(|error| {
            Failure::usage(format!("cannot ask for the passphrase of {}: {error}", path.display()))
        })
        .hint(format!("without a terminal, set {VARIABLE}"))
}

fn ask(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    write!(terminal, "passphrase for {}: ", path.display())?;
    let shown = tcgetattr(&terminal)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
    let mut line = Zeroizing::new(String::new());
    let read = BufReader::new(&terminal).read_line(&mut line);
    tcsetattr(&terminal, OptionalActions::Flush, &shown)?;
    writeln!(terminal)?;
    read?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

const VARIABLE: &str = "C4GH_PASSPHRASE";
