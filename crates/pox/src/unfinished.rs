//! A dataset on its way to a storage.
//!
//! It is sealed into a folder that the next process for the same inputs, recipients and place finds again. So after an
//! interruption sealing goes on where it was; and what was sealed whole is sent as it is, of which the storage may have parts,
//! instead of being sealed anew under other keys. The folder goes when all is stored.

use crate::error::{Failure, Hint as _};
use pox_seal::Recipient;
use pox_seal::dataset::{
    B3Sums, DatasetCommitment, KeyCommitments, ObjectName, SealedDataset, SealedObject, Sha256Sums, state,
};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The folder of one such dataset, of which one process at a time takes care.
pub(crate) struct Unfinished {
    folder: PathBuf,
    /// What the inputs looked like before anything was read.
    state: [u8; 32],
    /// Names of objects that the storage has whole.
    stored: Vec<String>,
    _lock: File,
}

impl Unfinished {
    /// Opens the folder of a sealing in some form, among temporary files, and makes it if it is not there.
    pub(crate) fn open(
        inputs: &[&Path],
        recipients: &[Recipient],
        to: &str,
        form: &str,
    ) -> Result<Self, Failure> {
        let name = name(inputs, recipients, to, form)?;
        let folder = std::env::temp_dir().join(name);
        let about = |error: io::Error| {
            Failure::machine(format!("cannot use the temporary folder {}: {error}", folder.display()))
                .with_hint(crate::sealed::SCRATCH_HINT)
        };
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(about(error)),
            _ => {}
        }
        // Anybody may make folders among temporary files: another's would get our sealed data, or give us theirs.
        let found = folder.symlink_metadata().map_err(about)?;
        let others = || about(io::Error::other("it is somebody else's"));
        let ours = rustix::process::geteuid().as_raw();
        if !found.is_dir() || found.uid() != ours || found.mode() & 0o077 != 0 {
            return Err(others());
        }
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).open(folder.join(LOCK));
        let lock = lock.map_err(about)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(Failure::machine("another process is sealing the same data to the same place"))
                    .hint("wait until it is done");
            }
            Err(fs::TryLockError::Error(error)) => return Err(about(error)),
        }
        let stored = fs::read_to_string(folder.join(STORED)).unwrap_or_default();
        let stored = stored.split_terminator('\n').map(str::to_owned).collect();
        Ok(Self { state: state(inputs)?, folder, stored, _lock: lock })
    }

    /// Where the dataset is sealed to.
    pub(crate) fn dataset(&self) -> PathBuf {
        self.folder.join("dataset")
    }

    /// The dataset, if it was sealed whole before and its inputs have not changed since. Otherwise what there is of one is
    /// removed, but for what sealing goes on with.
    pub(crate) fn sealed(&mut self) -> Result<Option<SealedDataset>, Failure> {
        if let Some(made) = self.read() {
            return Ok(Some(made));
        }
        self.stored.clear();
        for path in [STATE, STORED].map(|name| self.folder.join(name)) {
            gone(fs::remove_file(path))?;
        }
        gone(fs::remove_dir_all(self.dataset()))?;
        Ok(None)
    }

    /// Nothing but what a process wrote that had sealed all of it.
    fn read(&self) -> Option<SealedDataset> {
        let note = fs::read_to_string(self.folder.join(STATE)).ok()?;
        let [state, entries, bytes] = note.split(' ').collect::<Vec<_>>().try_into().ok()?;
        if state != hex::encode(self.state) {
            return None;
        }
        let (entries, bytes) = (entries.parse().ok()?, bytes.parse().ok()?);
        let text = fs::read(self.dataset().join("B3SUMS")).ok()?;
        let b3sums = B3Sums::parse(&text).ok()?;
        let sha256 = match fs::read(self.dataset().join("SHA256SUMS")) {
            Ok(text) => Sha256Sums::parse(&text).ok()?,
            Err(_) => Sha256Sums::default(),
        };
        let keys = KeyCommitments::parse(&fs::read(self.dataset().join("KEYS")).ok()?).ok()?;
        let object = |name: &ObjectName| {
            let len = fs::metadata(self.dataset().join(name.as_str())).ok()?.len();
            let (digest, key_commitment) = (b3sums.digest(name)?, keys.commitment(name)?);
            let sha256 = sha256.digest(name);
            Some(SealedObject { name: name.clone(), digest, sha256, key_commitment, len })
        };
        let objects = keys.names().map(object).collect::<Option<_>>()?;
        let commitment = DatasetCommitment::of(&text);
        Some(SealedDataset { commitment, objects, b3sums, entries, bytes })
    }

    /// Notes that the dataset is whole.
    pub(crate) fn note_sealed(&self, made: &SealedDataset) -> Result<(), Failure> {
        let note = format!("{} {} {}", hex::encode(self.state), made.entries, made.bytes);
        let written = (|| {
            let mut file = File::create(self.folder.join(NEW))?;
            file.write_all(note.as_bytes())?;
            file.sync_all()?;
            fs::rename(self.folder.join(NEW), self.folder.join(STATE))
        })();
        written.map_err(Failure::machine)
    }

    /// Whether the storage has an object whole, by what was noted.
    pub(crate) fn is_stored(&self, object: &ObjectName) -> bool {
        self.stored.iter().any(|name| name == object.as_str())
    }

    /// Notes that it has. A note that is lost costs sending it again.
    pub(crate) fn note_stored(&mut self, object: &ObjectName) -> Result<(), Failure> {
        self.stored.push(object.as_str().to_owned());
        let file = OpenOptions::new().append(true).create(true).open(self.folder.join(STORED));
        file.and_then(|mut file| writeln!(file, "{object}")).map_err(Failure::machine)
    }

    /// Removes everything: it is stored.
    pub(crate) fn finish(self) {
        // What stays is sealed, and of no use to anybody.
        let _ = fs::remove_dir_all(&self.folder);
    }

    /// Removes the folder if sealing left nothing to go on with.
    pub(crate) fn leave(&self) {
        let is_partial = self.folder.join(".dataset.pox-partial").exists();
        if !is_partial && !self.dataset().exists() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The same for the same work, and for no other.
fn name(inputs: &[&Path], recipients: &[Recipient], to: &str, form: &str) -> Result<String, Failure> {
    let mut hasher = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    part(to.as_bytes());
    part(form.as_bytes());
    for input in inputs {
        let found = input.canonicalize();
        let found = found.map_err(|error| Failure::usage(format!("{}: {error}", input.display())))?;
        part(input.file_name().unwrap_or_default().as_bytes());
        part(found.as_os_str().as_bytes());
    }
    part(b"for");
    recipients.iter().for_each(|recipient| part(recipient.to_string().as_bytes()));
    Ok(format!("pox-seal-{}", hex::encode(&hasher.finalize()[..16])))
}

fn gone(removed: io::Result<()>) -> Result<(), Failure> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::machine(error)),
        _ => Ok(()),
    }
}

const LOCK: &str = "LOCK";
/// What the inputs looked like, and what the whole dataset holds.
const STATE: &str = "SEALED";
const NEW: &str = "SEALED.new";
const STORED: &str = "STORED";
