//! `pox timestamp`: time anchors beside the chain, as detached files beside the proof.

use crate::cli::{AnchorTrust, CreateTimestamp, Timestamp, UpgradeTimestamp, VerifyTimestamp};
use crate::context::Context;
use crate::error::{Culprit, Failure, Hint as _};
use crate::home::{Overwrite, write_file};
use crate::locate::read_bounded;
use crate::page::{plain, utc};
use pox_core::UnixTime;
use pox_core::proof::MAX_PROOF_BYTES;
use pox_node::TimestampServices;
use pox_verify::timestamp::ots::{self, Attestation, BitcoinBlock, MAX_OTS_BYTES, Ots, OtsRejection, Stamp};
use pox_verify::timestamp::rfc3161::{self, MAX_ANSWER_BYTES, Nonce, Roots, TsaRejection};
use pox_verify::timestamp::{FileHash, TimeAnchor, Witness};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Most bytes of a file with certificates or block headers.
const MAX_TRUST_BYTES: usize = 4 * 1024 * 1024;
/// What every OpenTimestamps file begins with, and no DER.
const OTS_START: u8 = 0;

pub(crate) fn run(context: &Context, command: &Timestamp) -> Result<ExitCode, Failure> {
    match command {
        Timestamp::Create(args) => create(context, args)?,
        Timestamp::Upgrade(args) => upgrade(context, args)?,
        Timestamp::Verify(args) => return verify(context, args),
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of one detached file.
#[derive(Debug, Serialize)]
pub(crate) struct Anchor {
    file: PathBuf,
    #[serde(flatten)]
    standing: Standing,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    Anchored(TimeAnchor),
    Rejected { reason: String, rejection: Rejection },
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Rejection {
    Tsa(TsaRejection),
    Ots(OtsRejection),
}

impl Anchor {
    /// Whether it shows what it is there for.
    pub(crate) fn holds(&self) -> bool {
        matches!(self.standing, Standing::Anchored(_))
    }

    /// One sentence for people.
    pub(crate) fn sentence(&self) -> String {
        let file = self.file.display();
        match &self.standing {
            Standing::Rejected { reason, .. } => format!("{file}: NOT BELIEVED: {}", plain(reason)),
            Standing::Anchored(TimeAnchor { not_after, witness }) => {
                let by = match witness {
                    Witness::Authority { name, root, .. } => {
                        format!("time-stamping authority {}, trusted through {}", plain(name), plain(root))
                    }
                    Witness::Bitcoin { height, hash: Some(hash), .. } => {
                        format!("Bitcoin block {height}; look that its hash is {}", hex::encode(hash))
                    }
                    Witness::Bitcoin { height, hash: None, .. } => {
                        format!("Bitcoin block {height}, on your word for its root and time")
                    }
                };
                format!("existed not after {}, according to {by} ({file})", utc(*not_after))
            }
        }
    }
}

/// Judges detached files of either kind against a proof file.
pub(crate) fn judge(
    proof: &[u8],
    files: &[PathBuf],
    trust: &AnchorTrust,
    at: UnixTime,
) -> Result<Vec<Anchor>, Failure> {
    let (hash, blocks) = (FileHash::of(proof), blocks(trust)?);
    let mut anchors = Vec::with_capacity(files.len());
    for file in files {
        let bytes = read_bounded(file, MAX_OTS_BYTES.max(MAX_ANSWER_BYTES))?;
        let standing = if bytes.first() == Some(&OTS_START) {
            match Ots::verify(&bytes, hash, &blocks) {
                Ok(anchor) => Standing::Anchored(anchor.into_inner()),
                Err(error) => {
                    Standing::Rejected { reason: error.to_string(), rejection: Rejection::Ots(error) }
                }
            }
        } else {
            match rfc3161::verify(&bytes, hash, &roots(&trust.ca)?, at) {
                Ok(anchor) => Standing::Anchored(anchor.into_inner()),
                Err(error) => {
                    Standing::Rejected { reason: error.to_string(), rejection: Rejection::Tsa(error) }
                }
            }
        };
        anchors.push(Anchor { file: file.clone(), standing });
    }
    Ok(anchors)
}

fn verify(context: &Context, args: &VerifyTimestamp) -> Result<ExitCode, Failure> {
    let proof = read_bounded(&args.proof, MAX_PROOF_BYTES)?;
    let at = args.at.as_deref().map(crate::quantity::time).transpose()?.unwrap_or_else(|| context.now());
    let files: Vec<PathBuf> = args.tsr.iter().chain(&args.ots).cloned().collect();
    if files.is_empty() {
        return Err(Failure::usage("there is no time stamp to verify")).hint("name one with --tsr or --ots");
    }
    let anchors = judge(&proof, &files, &args.trust, at)?;
    let hash = FileHash::of(&proof);
    let result = serde_json::json!({ "proof": args.proof, "sha256": hash, "timestamps": anchors });
    context.output.result(&result, || {
        let lines: Vec<String> = anchors.iter().map(Anchor::sentence).collect();
        format!(
            "{}\nthis says when the file was there, not that it is right: `pox verify` says that",
            lines.join("\n")
        )
    })?;
    Ok(if anchors.iter().all(Anchor::holds) { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn create(context: &Context, args: &CreateTimestamp) -> Result<(), Failure> {
    let proof = read_bounded(&args.proof, MAX_PROOF_BYTES)?;
    let hash = FileHash::of(&proof);
    if args.rfc3161.is_none() && !args.query_only && args.calendar.is_empty() {
        return Err(Failure::usage("nobody is named who is to attest anything")).hint(
            "name an authority with --rfc3161, calendars with --calendar, or write a query with --query-only",
        );
    }
    // Nobody is asked for what can't be kept.
    let wanted =
        [(args.query_only, "tsq"), (args.rfc3161.is_some(), "tsr"), (!args.calendar.is_empty(), "ots")];
    for (_, extension) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
        let path = beside(&args.proof, extension);
        if path.exists() {
            return Err(Failure::usage(format!("{} exists", path.display()))).hint(KEPT);
        }
    }
    let mut written = Vec::new();
    if args.query_only {
        let query = rfc3161::query(hash, &nonce()?);
        written.push(write_new(&args.proof, "tsq", &query)?);
    }
    if let Some(url) = &args.rfc3161 {
        let answer = ask_authority(context, url, hash, &args.ca)?;
        written.push(write_new(&args.proof, "tsr", &answer)?);
    }
    if !args.calendar.is_empty() {
        let ots = submit(context, hash, &args.calendar)?;
        written.push(write_new(&args.proof, "ots", &ots.to_bytes())?);
    }
    let result = serde_json::json!({ "proof": args.proof, "sha256": hash, "written": written });
    context.output.result(&result, || {
        written.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n")
    })?;
    if !args.calendar.is_empty() {
        context.output.say("next: `pox timestamp upgrade` with the same calendars in some hours, when a Bitcoin block has it");
    }
    Ok(())
}

fn ask_authority(context: &Context, url: &str, hash: FileHash, ca: &[PathBuf]) -> Result<Vec<u8>, Failure> {
    let nonce = nonce()?;
    let services = TimestampServices::default();
    let answer =
        services.stamp(url, &rfc3161::query(hash, &nonce), MAX_ANSWER_BYTES).map_err(service_failure)?;
    let bad = |error: TsaRejection| Failure::new(Culprit::Counterparty, error).about(url);
    rfc3161::answers(&answer, hash, &nonce).map_err(bad)?;
    if ca.is_empty() {
        context.output.say("its signature is not checked: name the certificates that you trust with --ca, now or for `pox timestamp verify`");
    } else {
        rfc3161::verify(&answer, hash, &roots(ca)?, context.now()).map_err(bad)?;
    }
    Ok(answer)
}

/// Submits to every calendar; one answer is enough, as each can vouch alone.
fn submit(context: &Context, hash: FileHash, calendars: &[String]) -> Result<Ots, Failure> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Failure::machine(format!("no randomness: {error}")))?;
    let mut ots = Ots::begin(hash, random);
    let message = ots.submission();
    let services = TimestampServices::default();
    let (mut taken, mut last) = (false, None);
    for calendar in calendars {
        let answer = services.submit(calendar, &message, MAX_OTS_BYTES).map_err(service_failure);
        match answer.and_then(|answer| add(&mut ots, &message, &answer, calendar)) {
            Ok(()) => taken = true,
            Err(failure) => {
                context.output.say(format!("{failure}"));
                last = Some(failure);
            }
        }
    }
    match (taken, last) {
        (true, _) => Ok(ots),
        (false, Some(failure)) => Err(failure),
        (false, None) => Err(Failure::usage("no calendar is named")),
    }
}

/// Adds what a calendar answers.
fn add(ots: &mut Ots, message: &[u8], answer: &[u8], calendar: &str) -> Result<(), Failure> {
    let bad = |error: String| Failure::new(Culprit::Counterparty, error).about(calendar);
    let said = Stamp::parse(answer).map_err(|error| bad(error.to_string()))?;
    if ots.merge(message, &said) { Ok(()) } else { Err(bad("its answer does not fit into a file".into())) }
}

fn upgrade(context: &Context, args: &UpgradeTimestamp) -> Result<(), Failure> {
    let bytes = read_bounded(&args.ots, MAX_OTS_BYTES)?;
    let bad = |error: ots::OtsError| Failure::usage(error).about(args.ots.display());
    let mut ots = Ots::parse(&bytes).map_err(bad)?;
    let (asked, upgraded) = ask_again(context, &mut ots, &args.calendar)?;
    let changed = ots.to_bytes();
    if changed != bytes {
        write_file(&args.ots, &changed, 0o644, Overwrite::Replace)
            .map_err(|error| Failure::machine(format!("cannot write {}: {error}", args.ots.display())))?;
    }
    let blocks: Vec<u64> = ots
        .attested()
        .into_iter()
        .filter_map(|attested| match attested.attestation {
            Attestation::Bitcoin { height } => Some(*height),
            _ => None,
        })
        .collect();
    let result =
        serde_json::json!({ "ots": args.ots, "asked": asked, "upgraded": upgraded, "blocks": blocks });
    context.output.result(&result, || match blocks.first() {
        Some(height) => format!("attested by Bitcoin block {height}"),
        None => "no Bitcoin block has it yet".to_owned(),
    })
}

/// Asks the named calendars what has become of what is pending at them; how many were asked, and how many had something to add.
fn ask_again(context: &Context, ots: &mut Ots, named: &[String]) -> Result<(u32, u32), Failure> {
    let pending: Vec<(String, Vec<u8>)> = ots
        .attested()
        .into_iter()
        .filter_map(|attested| match attested.attestation {
            Attestation::Pending { uri } => Some((uri.trim_end_matches('/').to_owned(), attested.message)),
            _ => None,
        })
        .collect();
    let services = TimestampServices::default();
    let (mut asked, mut upgraded, mut failed) = (0, 0, None);
    for (calendar, message) in &pending {
        // Who made the file does not choose whom this machine talks to.
        if !named.iter().any(|named| named.trim_end_matches('/') == calendar) {
            continue;
        }
        asked += 1;
        let answer = services.upgrade(calendar, message, MAX_OTS_BYTES).map_err(service_failure);
        let added = answer.and_then(|answer| match answer {
            Some(answer) => add(ots, message, &answer, calendar).map(|()| true),
            None => Ok(false),
        });
        match added {
            Ok(true) => upgraded += 1,
            Ok(false) => context.output.say(format!("{} has nothing yet", plain(calendar))),
            // What another says is of use without it.
            Err(failure) => {
                context.output.say(format!("{failure}"));
                failed = Some(failure);
            }
        }
    }
    if asked == 0 {
        let there: Vec<String> = pending.iter().map(|(calendar, _)| plain(calendar)).collect();
        return Err(Failure::usage("the file has nothing pending at these calendars")).hint(
            if there.is_empty() {
                "nothing in it is pending".into()
            } else {
                format!("it names {}", there.join(", "))
            },
        );
    }
    match failed {
        Some(failure) if upgraded == 0 => Err(failure),
        _ => Ok((asked, upgraded)),
    }
}

/// Writes a file beside the proof; one that is there stays.
fn write_new(proof: &Path, extension: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let path = beside(proof, extension);
    write_file(&path, bytes, 0o644, Overwrite::Never)
        .map_err(|error| Failure::machine(format!("cannot write {}: {error}", path.display())))
        .hint(KEPT)?;
    Ok(path)
}

fn beside(proof: &Path, extension: &str) -> PathBuf {
    let mut name = proof.as_os_str().to_owned();
    name.push(format!(".{extension}"));
    PathBuf::from(name)
}

fn roots(files: &[PathBuf]) -> Result<Roots, Failure> {
    let mut certificates = Vec::new();
    for file in files {
        let text = read_bounded(file, MAX_TRUST_BYTES)?;
        let blocks = pem::parse_many(&text).map_err(|error| Failure::usage(error).about(file.display()))?;
        let found = blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE");
        certificates.extend(found.map(pem::Pem::into_contents));
    }
    if certificates.is_empty() {
        return Err(Failure::usage("there is no certificate to trust")).hint("name a PEM file with --ca");
    }
    Roots::parse(certificates).map_err(|error| Failure::usage(error).about("--ca"))
}

fn blocks(trust: &AnchorTrust) -> Result<Vec<BitcoinBlock>, Failure> {
    let mut lines = trust.bitcoin_header.clone();
    if let Some(file) = &trust.bitcoin_headers {
        let text = read_bounded(file, MAX_TRUST_BYTES)?;
        let text = String::from_utf8(text).map_err(|_| Failure::usage("not text").about(file.display()))?;
        lines.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    let block = |line: &String| {
        line.parse::<BitcoinBlock>().map_err(|error| Failure::usage(error).about(format!("{line:?}")))
    };
    lines.iter().map(block).collect()
}

fn nonce() -> Result<Nonce, Failure> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| Failure::machine(format!("no randomness: {error}")))?;
    Ok(Nonce::new(random))
}

fn service_failure(error: pox_node::TimestampServiceError) -> Failure {
    let culprit = match error {
        pox_node::TimestampServiceError::Url(_) => Culprit::Usage,
        _ => Culprit::Counterparty,
    };
    Failure::new(culprit, error).with_hint("is the service up? repeat the command, or name another one")
}

const KEPT: &str = "nothing is overwritten: move the older one away first";
