//! The user's folder: keys, and what the owner alone knows of its tasks.

use crate::error::{Failure, Hint as _};
use k256::ecdsa::SigningKey;
use pox_core::role::owner::Entry;
use pox_core::signature::address_of;
use pox_core::{Address, TaskId};
use pox_node::owner::KeptTask;
use pox_seal::{Identity, IdentityKind, OsRandom, Recipient};
use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A folder that only its user can enter.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    root: PathBuf,
}

impl Home {
    /// Opens the folder, and makes it if it is not there.
    pub(crate) fn open(root: &Path) -> Result<Self, Failure> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join("tasks"));
        made.map_err(|error| Failure::machine(format!("cannot make {}: {error}", root.display())))
            .hint("name a folder that you can write to with --home")?;
        Ok(Self { root: root.to_owned() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Makes both keys; refuses to overwrite any.
    pub(crate) fn make_keys(&self, kind: IdentityKind) -> Result<(), Failure> {
        pox_seal::forbid_dumps().map_err(Failure::machine)?;
        for name in [ACCOUNT, IDENTITY] {
            if self.path(name).exists() {
                return Err(Failure::usage(format!("{} exists already", self.path(name).display()))).hint(
                    "move it away, or use another folder with --home; a key that is lost is lost for ever",
                );
            }
        }
        let identity = Identity::generate(kind, &mut OsRandom).map_err(Failure::machine)?;
        let text = identity.dangerous_text().ok_or_else(|| Failure::machine("this identity has no text"))?;
        let account = new_account()?;
        self.write(ACCOUNT, Zeroizing::new(hex::encode(*account)).as_bytes(), Overwrite::Never)?;
        let made = self.write(IDENTITY, Zeroizing::new(format!("{}\n", &*text)).as_bytes(), Overwrite::Never);
        if made.is_err() {
            // One key alone would be in the way of the next try; nobody can have used it yet.
            let _ = fs::remove_file(self.path(ACCOUNT));
        }
        made
    }

    /// The account's key. A process that reads one is never dumped from then on.
    pub(crate) fn account(&self) -> Result<SigningKey, Failure> {
        pox_seal::forbid_dumps().map_err(Failure::machine)?;
        let path = self.path(ACCOUNT);
        let text = fs::read_to_string(&path)
            .map(Zeroizing::new)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
            .hint("make keys with `pox key new`")?;
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), secret.as_mut_slice())
            .ok()
            .and_then(|()| SigningKey::from_slice(secret.as_slice()).ok())
            .ok_or_else(|| Failure::usage(format!("{} is no account key", path.display())))
            .hint("it must hold 64 hexadecimal digits")
    }

    pub(crate) fn address(&self) -> Result<Address, Failure> {
        Ok(address_of(self.account()?.verifying_key()))
    }

    /// The data identity, of which the same holds.
    pub(crate) fn identity(&self) -> Result<Identity, Failure> {
        pox_seal::forbid_dumps().map_err(Failure::machine)?;
        let path = self.path(IDENTITY);
        let text = fs::read_to_string(&path)
            .map(Zeroizing::new)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
            .hint("make keys with `pox key new`")?;
        let identities = pox_seal::parse_identities(&text);
        let mut identities =
            identities.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        Ok(identities.swap_remove(0))
    }

    pub(crate) fn recipient(&self) -> Result<Recipient, Failure> {
        self.identity()?.recipient().ok_or_else(|| Failure::usage("this identity has no recipient"))
    }

    /// Keeps what the owner knows of a task; it must be safe before the request is sent.
    pub(crate) fn keep(&self, task: TaskId, kept: &KeptTask) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(kept).map_err(Failure::machine)?;
        self.write(&kept_name(task), &text, Overwrite::Replace)
    }

    pub(crate) fn kept(&self, task: TaskId) -> Result<Option<KeptTask>, Failure> {
        self.read(&kept_name(task))
    }

    /// Keeps where a task stands in this owner's eyes.
    pub(crate) fn save_entry(&self, task: TaskId, entry: &Entry) -> Result<(), Failure> {
        let text = serde_json::to_vec(entry).map_err(Failure::machine)?;
        self.write(&entry_name(task), &text, Overwrite::Replace)
    }

    /// Where a task stood in this owner's eyes, if it was tended from here.
    pub(crate) fn entry(&self, task: TaskId) -> Result<Option<Entry>, Failure> {
        self.read(&entry_name(task))
    }

    /// The ids of all tasks that were requested from here.
    pub(crate) fn tasks(&self) -> Result<Vec<TaskId>, Failure> {
        let folder = self.path("tasks");
        let entries = fs::read_dir(&folder)
            .map_err(|error| Failure::machine(format!("{}: {error}", folder.display())))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut tasks: Vec<TaskId> =
            names.filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
        tasks.sort();
        Ok(tasks)
    }

    /// That what is kept of a task is not what it should be.
    pub(crate) fn damaged(&self, task: TaskId, why: impl fmt::Display) -> Failure {
        damaged(&self.path(&kept_name(task)), why)
    }

    /// A kept document, if it is there.
    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| damaged(&path, error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::machine(format!("cannot read {}: {error}", path.display()))),
        }
    }

    fn write(&self, name: &str, bytes: &[u8], overwrite: Overwrite) -> Result<(), Failure> {
        let path = self.path(name);
        write_file(&path, bytes, 0o600, overwrite)
            .map_err(|error| Failure::machine(format!("cannot write {}: {error}", path.display())))
    }
}

fn damaged(path: &Path, why: impl fmt::Display) -> Failure {
    Failure::usage(format!("{} is damaged: {why}", path.display()))
}

/// Whether an existing file may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overwrite {
    Never,
    Replace,
}

/// Writes a whole file or nothing: a new file is synced before it gets its name.
pub(crate) fn write_file(path: &Path, bytes: &[u8], mode: u32, overwrite: Overwrite) -> std::io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".pox-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match overwrite {
        Overwrite::Never => file.persist_noclobber(path)?,
        Overwrite::Replace => file.persist(path)?,
    };
    fs::File::open(folder)?.sync_all()
}

fn new_account() -> Result<Zeroizing<[u8; 32]>, Failure> {
    loop {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice()).map_err(Failure::machine)?;
        if SigningKey::from_slice(secret.as_slice()).is_ok() {
            return Ok(secret);
        }
    }
}

fn entry_name(task: TaskId) -> String {
    format!("tasks/{task}.entry")
}

fn kept_name(task: TaskId) -> String {
    format!("tasks/{task}.json")
}

const ACCOUNT: &str = "account.key";
/// The file of the data identity.
pub(crate) const IDENTITY: &str = "identity.txt";
