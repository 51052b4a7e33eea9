//! One enclave and the thread that is its network card.
//!
//! The thread fetches and stores what the enclave asks for, within the node's [`Access`] policy: locations come from an
//! owner. It sees sealed bytes and public image blobs only.

use crate::endorser::Endorser;
use crate::line::{Line, Signatures};
use crate::runtime::{Runtime, Started};
use crate::vm::Around;
use pox_core::channel::{ChannelError, EnclaveMessage, HostMessage, Incoming, MAX_CHUNK_BYTES, Stage};
use pox_core::endorsement::{Endorsement, fitting};
use pox_core::evidence::{Evidence, EvidenceKind};
use pox_core::{Address, Members, Resources, TaskId};
use pox_store::image::{Digest, Image, ImageSource};
use pox_store::{Access, Location, Name, Pending, Range, Sign, Store};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What an enclave reports.
#[derive(Debug)]
pub enum Report {
    /// It has its keys.
    Ready {
        /// Its account.
        enclave: Address,
        /// Its key evidence.
        evidence: Vec<u8>,
    },
    /// It refused a secret, and waits for another.
    SecretRefused(String),
    /// What it does now.
    Progress(Stage),
    /// There is nothing to archive beside its evidence.
    NotEndorsed(String),
    /// It signed its receipt.
    Finished {
        /// The receipt, ABI-encoded.
        receipt: Vec<u8>,
        /// Its signature.
        signature: Vec<u8>,
        /// The archive.
        archive: Vec<u8>,
        /// The members, if it closes a batch.
        members: Option<Members>,
    },
    /// It is gone without a receipt.
    Gone(String),
}

/// An enclave that runs. Dropping it kills it, and nothing is reported of it any more.
#[derive(Debug)]
pub struct Enclave {
    secrets: Option<Sender<Vec<Vec<u8>>>>,
    process: Child,
    reports: Reports,
    /// Goes when the process is gone.
    _around: Option<Around>,
}

/// Where an enclave's thread reports to, until the enclave is dropped.
type Reports = Arc<Mutex<Option<Sender<(TaskId, Report)>>>>;

impl Enclave {
    /// Boots an enclave for one task that may use so much; what happens to it is sent to `reports`.
    ///
    /// # Errors
    /// The process does not start.
    pub fn launch(
        runtime: &Runtime,
        task: TaskId,
        resources: &Resources,
        boot: HostMessage,
        storage: Storage,
        endorser: Arc<dyn Endorser>,
        reports: Sender<(TaskId, Report)>,
    ) -> io::Result<Self> {
        let Started { process, input, output, last_words, around } = runtime.start(task, resources)?;
        let (secrets, inbox) = channel();
        let kind = runtime.kind();
        let line = Arc::new(Mutex::new(Line::new(input, BufReader::new(output))));
        let pending = Pending::new(&storage.access);
        let session = Session { kind, line, inbox, storage, endorser, images: HashMap::new(), pending };
        let reports: Reports = Arc::new(Mutex::new(Some(reports)));
        let heard = Arc::clone(&reports);
        std::thread::Builder::new().name(format!("enclave {task}")).spawn(move || {
            let tell = |report| {
                let reports = heard.lock().unwrap_or_else(PoisonError::into_inner);
                reports.as_ref().is_some_and(|reports| reports.send((task, report)).is_ok())
            };
            if let Err(error) = session.serve(&boot, &tell) {
                let words = last_words.and_then(|words| words.recv_timeout(LAST_WORDS_PATIENCE).ok());
                let words =
                    words.filter(|words| !words.is_empty()).map(|words| format!("; it said: {words}"));
                tell(Report::Gone(format!("{error}{}", words.unwrap_or_default())));
            }
        })?;
        Ok(Self { secrets: Some(secrets), process, reports, _around: around })
    }

    /// Hands the parties' signed and sealed secrets to the enclave, the owner's first.
    pub fn deliver(&self, secrets: Vec<Vec<u8>>) {
        // An enclave that is gone has reported that already.
        let _ = self.secrets.as_ref().map(|inbox| inbox.send(secrets));
    }
}

impl Drop for Enclave {
    fn drop(&mut self) {
        self.secrets = None;
        *self.reports.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // It may have ended by itself; waiting reaps it either way.
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Its thread ends when it next turns to the enclave. A server that an owner chose can keep it waiting until then, for
        // as long as the access policy lets it, and the node has other tasks.
    }
}

/// What enclaves may reach, and where their uploads wait until they are whole.
#[derive(Debug, Clone)]
pub struct Storage {
    /// The policy for locations that owners name.
    pub access: Access,
    /// A folder for uploads on their way.
    pub spool: PathBuf,
    /// Most bytes of one upload.
    pub max_upload: u64,
}

struct Session {
    /// What was launched.
    kind: EvidenceKind,
    line: Arc<Mutex<Line>>,
    inbox: Receiver<Vec<Vec<u8>>>,
    storage: Storage,
    endorser: Arc<dyn Endorser>,
    images: HashMap<String, Image>,
    /// What was stored in folders: on disk, and to be seen, before the receipt is.
    pending: Pending,
}

impl Session {
    fn serve(mut self, boot: &HostMessage, tell: &dyn Fn(Report) -> bool) -> Result<(), ChannelError> {
        self.say(boot)?;
        loop {
            match self.hear()? {
                EnclaveMessage::Ready { enclave, evidence } => {
                    // Nobody is offered one kind of TEE and given another, weaker or not.
                    if Evidence::parse(&evidence).map(|evidence| evidence.kind) != Ok(self.kind) {
                        return Err(ChannelError::Unexpected("evidence of another kind than was launched"));
                    }
                    tell(Report::Ready { enclave, evidence });
                    self.pass_secret()?;
                }
                EnclaveMessage::SecretRefused { reason } => {
                    tell(Report::SecretRefused(reason));
                    self.pass_secret()?;
                }
                EnclaveMessage::Progress { stage } => {
                    tell(Report::Progress(stage));
                }
                EnclaveMessage::Get { location, name, offset, most } => {
                    let opened = self.storage.open(&location, &name, offset, self.signatures());
                    self.answer(opened, most)?;
                }
                EnclaveMessage::Blob { image, digest, most } => {
                    let opened = self.blob(&image, &digest);
                    self.answer(opened, most)?;
                }
                EnclaveMessage::Put { location, name } => self.take(&location, &name)?,
                EnclaveMessage::Endorse { kind, quotes } => match self.endorse(kind, &quotes) {
                    Ok(endorsements) => self.say(&HostMessage::Endorsements { endorsements })?,
                    Err(reason) => {
                        tell(Report::NotEndorsed(reason.clone()));
                        self.fail(reason)?;
                    }
                },
                EnclaveMessage::Finished { receipt, signature, archive, members } => {
                    if let Err(error) = self.pending.publish() {
                        tell(Report::Gone(format!("its results could not be kept: {error}")));
                        return Ok(());
                    }
                    tell(Report::Finished { receipt, signature, archive, members });
                    return Ok(());
                }
                EnclaveMessage::BootFailed { reason } => {
                    tell(Report::Gone(reason));
                    return Ok(());
                }
                EnclaveMessage::Chunk { .. } | EnclaveMessage::End | EnclaveMessage::Url { .. } => {
                    return Err(ChannelError::Unexpected("bytes that belong to nothing"));
                }
            }
        }
    }

    fn say(&self, message: &HostMessage) -> Result<(), ChannelError> {
        Line::of(&self.line).say(message)
    }

    fn hear(&self) -> Result<EnclaveMessage, ChannelError> {
        Line::of(&self.line).hear()
    }

    /// The enclave as the one who signs for the transfer at hand.
    fn signatures(&self) -> Arc<dyn Sign> {
        Arc::new(Signatures(self.line.clone()))
    }

    fn pass_secret(&mut self) -> Result<(), ChannelError> {
        let secrets = self.inbox.recv().map_err(|_| ChannelError::Closed)?;
        self.say(&HostMessage::Secrets { secrets })
    }

    /// Sends what was opened, at most `most` bytes of it, or why it could not be.
    fn answer(&mut self, opened: Result<Box<dyn Read>, String>, most: u64) -> Result<(), ChannelError> {
        let mut reader = match opened {
            Ok(reader) => reader.take(most),
            Err(reason) => return self.fail(reason),
        };
        let mut bytes = Vec::with_capacity(MAX_CHUNK_BYTES);
        loop {
            bytes.clear();
            match reader.by_ref().take(MAX_CHUNK_BYTES as u64).read_to_end(&mut bytes) {
                Ok(0) => return self.say(&HostMessage::Done),
                Ok(_) => Line::of(&self.line).say_chunk(&bytes)?,
                Err(error) => return self.fail(error.to_string()),
            }
        }
    }

    fn fail(&mut self, mut reason: String) -> Result<(), ChannelError> {
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        self.say(&HostMessage::Failed { reason })
    }

    fn endorse(&self, kind: EvidenceKind, quotes: &[Vec<u8>]) -> Result<Vec<Endorsement>, String> {
        // What an archive has no room for would not fit into a message either.
        self.endorser.endorse(kind, quotes).map(|endorsements| fitting(endorsements, kind))
    }

    fn blob(&mut self, image: &str, digest: &str) -> Result<Box<dyn Read>, String> {
        let digest: Digest = digest.parse().map_err(|_| "not a digest".to_owned())?;
        if let Some(open) = self.images.get(image) {
            return Ok(open.blob(&digest).map_err(|error| error.to_string())?);
        }
        // The first blob that an enclave asks for is the manifest, which names the image.
        let source: ImageSource = image.parse().map_err(|error| format!("{error}"))?;
        let open = source.open_exact(&digest, &self.storage.access).map_err(|error| error.to_string())?;
        let blob = open.blob(&digest).map_err(|error| error.to_string())?;
        self.images.insert(image.to_owned(), open);
        Ok(blob)
    }

    /// Takes an upload to the spool, and stores it when it is whole.
    fn take(&mut self, location: &str, name: &str) -> Result<(), ChannelError> {
        let mut spooled = tempfile::tempfile_in(&self.storage.spool);
        let mut size = 0u64;
        let mut chunk = Vec::new();
        loop {
            let heard = Line::of(&self.line).hear_chunk(&mut chunk)?;
            match heard {
                Incoming::Message(EnclaveMessage::End) => break,
                Incoming::Message(EnclaveMessage::Chunk { bytes }) => chunk = bytes,
                Incoming::Chunk => {}
                Incoming::Message(_) => return Err(ChannelError::Unexpected("not the upload's next bytes")),
            }
            size = size.saturating_add(chunk.len() as u64);
            let written = spooled.as_mut().map(|file| {
                if size > self.storage.max_upload {
                    return Err(io::Error::other("the results are larger than this node takes"));
                }
                file.write_all(&chunk)
            });
            if let Ok(Err(error)) = written {
                spooled = Err(error);
            }
        }
        let stored = spooled
            .map_err(|error| error.to_string())
            .and_then(|file| self.store(location, name, file, size));
        match stored {
            Ok(()) => self.say(&HostMessage::Done),
            Err(reason) => self.fail(reason),
        }
    }

    fn store(&mut self, location: &str, name: &str, mut file: File, size: u64) -> Result<(), String> {
        let (location, name) = parse(location, name)?;
        let access = self.storage.access.clone().sign_with(self.signatures());
        file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
        let store = Store::open(&location, &access).map_err(|error| error.to_string())?;
        store.put_pending(&name, &mut file, size, &mut self.pending).map_err(|error| error.to_string())
    }
}

impl Storage {
    fn open(
        &self,
        location: &str,
        name: &str,
        offset: u64,
        signatures: Arc<dyn Sign>,
    ) -> Result<Box<dyn Read>, String> {
        let (location, name) = parse(location, name)?;
        let access = self.access.clone().sign_with(signatures);
        let store = Store::open_existing(&location, &access).map_err(|error| error.to_string())?;
        let reader =
            store.get(&name, Range { start: offset, end: None }).map_err(|error| error.to_string())?;
        Ok(Box::new(reader))
    }
}

fn parse(location: &str, name: &str) -> Result<(Location, Name), String> {
    let location = location.parse::<Location>().map_err(|error| error.to_string())?;
    let name = name.parse::<Name>().map_err(|error| error.to_string())?;
    Ok((location, name))
}

/// An emulator that ended closes its console at once.
const LAST_WORDS_PATIENCE: Duration = Duration::from_secs(1);
/// Why something failed, for the enclave's report: a sentence.
const MAX_REASON_BYTES: usize = 500;
