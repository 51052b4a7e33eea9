//! One launch, from boot to the signed receipt (spec §9.3).
//!
//! The protocol is `pox_core::role::enclave`; here is what it leaves to its caller: keys, quotes, opening, fetching, running. The
//! host is the enclave's network card and nothing more: what it says is checked against the task id, the parties' signatures, or
//! a digest that one of these binds. After a secret was taken, whatever fails ends in a signed receipt with that outcome.

mod attest;
mod batch;
mod keys;
mod outside;
mod signer;
mod stop;
mod work;
mod workspace;

pub use attest::{
    AttestError, Attester, Expect, Gramine, Interfaces, Nsm, NsmError, Patience, Quote, Simulated, TASK_PCR,
    Tsm, VmSim, attester, certificates,
};
pub use outside::Outside;
pub use workspace::Workspace;

use keys::account_key;
use pox_core::Request;
use pox_core::channel::{ChannelError, EnclaveMessage, HostMessage};
use pox_core::endorsement::Endorsement;
use pox_core::receipt::RunReport;
use pox_core::role::enclave::{Launch, Opened, Ready, Released, Running, Signed, Unsigned};
use pox_core::secret::{MAX_SECRET_BYTES, Secret, Terms};
use pox_seal::age::open_bytes;
use pox_seal::{Identity, IdentityKind, OsRandom};
use std::io::{self, Read, Write};
use work::Work;

/// The archive's name beside the sealed results (spec §8.5).
pub const ARCHIVE_NAME: &str = "ARCHIVE";

/// The enclave ended without a receipt.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The channel to the host broke.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The host's first message names no task that can be served.
    #[error("no task to serve: {0}")]
    Boot(String),
    /// The attester gives no evidence.
    #[error("no evidence: {0}")]
    Evidence(#[from] AttestError),
    /// The machine gives no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[source] io::Error),
}

/// Serves the one task that the host names, and wipes everything that it learned.
///
/// # Errors
/// There was no task, no evidence, or the host went away: then there is no receipt, and time ends the task.
pub fn serve<R: Read, W: Write>(
    attester: &dyn Attester,
    mut outside: Outside<R, W>,
    workspace: &Workspace,
) -> Result<(), RuntimeError> {
    let Booted { ready, request, identity, quote } = match boot(attester, outside.hear()?) {
        Ok(booted) => booted,
        Err(error) => {
            outside.say(&EnclaveMessage::BootFailed { reason: error.to_string() })?;
            return Err(error);
        }
    };
    outside.say(&EnclaveMessage::Ready { enclave: ready.account(), evidence: ready.evidence().to_vec() })?;
    let released = await_secrets(ready, &mut outside)?;
    let (unsigned, results_at) = run(released, &request, &identity, &mut outside, workspace)?;
    let signed = sign(attester, unsigned, quote, &mut outside)?;
    if let Some(location) = results_at {
        // The host keeps the archive too; a storage that fails here costs nothing but this copy.
        let _ = outside.sink(&location).store(ARCHIVE_NAME, &signed.archive);
    }
    let Signed { receipt, signature, archive, members } = signed;
    let (receipt, signature) = (receipt.to_bytes(), signature.to_bytes().to_vec());
    Ok(outside.say(&EnclaveMessage::Finished { receipt, signature, archive, members })?)
}

/// Tells the host that there is no attester, and so no enclave.
///
/// # Errors
/// The host went away.
pub fn refuse<R: Read, W: Write>(
    mut outside: Outside<R, W>,
    error: &AttestError,
) -> Result<(), RuntimeError> {
    Ok(outside.say(&EnclaveMessage::BootFailed { reason: error.to_string() })?)
}

/// A launch that waits for its secret.
struct Booted {
    ready: Ready,
    request: Request,
    identity: Identity,
    /// That of the key evidence.
    quote: Quote,
}

fn boot(attester: &dyn Attester, message: HostMessage) -> Result<Booted, RuntimeError> {
    let HostMessage::Boot { domain, request, block_number, block_hash, processor } = message else {
        return Err(RuntimeError::Boot("the first message is not boot".into()));
    };
    let request = Request::parse(&request).map_err(|error| RuntimeError::Boot(error.to_string()))?;
    let identity = Identity::generate(IdentityKind::Hybrid, &mut OsRandom);
    let identity = identity.map_err(|error| RuntimeError::Randomness(io::Error::other(error)))?;
    let recipient = identity.recipient().map(|recipient| recipient.public_key()).unwrap_or_default();
    let key = account_key().map_err(RuntimeError::Randomness)?;
    let launch = Launch::new(domain, request.clone(), processor, key, recipient, block_number, block_hash);
    attester.bind(launch.claims().task)?;
    let quote = attester.quote(&launch.claims().report_data())?;
    Ok(Booted { ready: launch.attested(quote.kind, quote.quote.clone()), request, identity, quote })
}

/// Waits for secrets that their parties signed for this task and this enclave; refuses all others.
fn await_secrets<R: Read, W: Write>(
    mut ready: Ready,
    outside: &mut Outside<R, W>,
) -> Result<Released, RuntimeError> {
    loop {
        let HostMessage::Secrets { secrets } = outside.hear()? else {
            return Err(ChannelError::Unexpected("not secrets").into());
        };
        match ready.take(&secrets) {
            Ok(released) => return Ok(released),
            Err(refused) => {
                outside.say(&EnclaveMessage::SecretRefused { reason: refused.reason.to_string() })?;
                ready = refused.ready;
            }
        }
    }
}

/// Opens the secrets and runs the task; returns the receipt to be, and where the results go, if that is known.
fn run<R: Read, W: Write>(
    released: Released,
    request: &Request,
    identity: &Identity,
    outside: &mut Outside<R, W>,
    workspace: &Workspace,
) -> Result<(Unsigned, Option<String>), RuntimeError> {
    let open = |sealed: &Vec<u8>| open_bytes(std::slice::from_ref(identity), sealed, MAX_SECRET_BYTES).ok();
    let plaintexts: Vec<_> = released.sealed().iter().map(open).collect();
    match released.open(&plaintexts) {
        Opened::Refused(refused) => {
            let report = RunReport { reason: refused.fault().to_string(), ..RunReport::default() };
            Ok((refused.ended(&report), None))
        }
        Opened::Accepted(accepted) => {
            let (secret, terms) = (&accepted.secret, &accepted.terms);
            let work = Work::new(request, workspace, &accepted.keyring);
            let unsigned = run_accepted(work, accepted.running, secret, terms, outside)?;
            Ok((unsigned, Some(accepted.secret.results)))
        }
    }
}

/// Runs the task, or all members of the batch, to whatever end that comes to.
fn run_accepted<R: Read, W: Write>(
    mut work: Work<'_>,
    running: Running,
    secret: &Secret,
    terms: &Terms,
    outside: &mut Outside<R, W>,
) -> Result<Unsigned, RuntimeError> {
    match running {
        Running::Single(running) => {
            let stop = work.run(secret, terms, outside);
            match stop.broken {
                Some(broken) => Err(broken.into()),
                None => Ok(running.ended(&stop.end, work.usage(), &work.report(&stop.reason))),
            }
        }
        Running::Batch(running) => {
            let closed = work.run_batch(&running.runs, secret, terms, outside);
            match closed.broken {
                Some(broken) => Err(broken.into()),
                None => {
                    let report = work.report(&closed.reason);
                    Ok(running.closed(&closed.members, closed.list, work.usage(), &report))
                }
            }
        }
    }
}

/// Has the result evidence made, takes along what vouches for both, and signs.
fn sign<R: Read, W: Write>(
    attester: &dyn Attester,
    unsigned: Unsigned,
    key: Quote,
    outside: &mut Outside<R, W>,
) -> Result<Signed, RuntimeError> {
    let result = attester.quote(&unsigned.claims().report_data())?;
    let kind = result.kind;
    let asked = if kind.is_simulated() {
        Vec::new()
    } else {
        outside.endorsements(kind, [&key.quote, &result.quote])?
    };
    let given: Vec<Endorsement> = [key.endorsements, result.endorsements, asked].concat();
    Ok(unsigned.attested(kind, result.quote, given))
}
