//! A stand-in for Linux's `configfs-tsm`, the report interface of TDX and SNP guests.
//!
//! It keeps to Documentation/ABI/testing/configfs-tsm and to what the kernel does beside it (drivers/virt/coco, fs/configfs,
//! Linux 6.7 to 6.18): a folder made under `report` gets its attributes at once; each open file sees one report, whole; what is
//! written to `inblob` counts when the file is closed, and fails silently; every write that counts increments `generation`; a
//! report is made when `outblob` or `auxblob` is first read after that. [`Fault`] disturbs it where the real one can fail.

use crate::calls::{Mounted, Node, Opened, Tree, lock, part};
use fuser::Errno;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Most bytes of `outblob` and `auxblob` that the kernel hands out (`TSM_OUTBLOB_MAX` up to Linux 6.15).
pub const MAX_BLOB_BYTES: usize = 32 * 1024;
/// What somebody else writes who gets in between.
pub const FOREIGN_REPORT_DATA: [u8; 64] = [0xee; 64];

/// What the kernel asks the TEE for: a quote or report over 64 bytes.
pub type Report = Box<dyn Fn(&[u8; 64]) -> Vec<u8> + Send + Sync>;

/// A TEE's driver, as it registers with the interface.
pub struct Provider {
    /// `tdx_guest`, `sev_guest`, or another.
    pub name: String,
    /// The lowest privilege level that can be asked for; `None` where the TEE has no levels, and no attribute for them.
    pub privlevel_floor: Option<u32>,
    /// What the host gives beside the report; `None` where the TEE has no such attribute.
    pub auxblob: Option<Vec<u8>>,
    /// Makes the report.
    pub report: Report,
}

/// The interface, mounted. Dropping it unmounts.
pub struct Tsm {
    shared: Arc<Shared>,
    _mounted: Mounted,
}

/// A file of an entry, or the entry itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// The folder, when it is made.
    Entry,
    /// `provider`.
    Provider,
    /// `generation`.
    Generation,
    /// `privlevel`.
    Privlevel,
    /// `privlevel_floor`.
    PrivlevelFloor,
    /// `inblob`.
    Inblob,
    /// `outblob`.
    Outblob,
    /// `auxblob`.
    Auxblob,
}

/// Something that goes wrong. Faults wait until their file is used, in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A use of the file fails with this error number, this many times.
    Fails {
        /// Where.
        file: File,
        /// `EBUSY`, `EIO` and so on.
        errno: i32,
        /// How often.
        times: u32,
    },
    /// Just before the file is used, somebody else writes [`FOREIGN_REPORT_DATA`] to the same entry; this many times.
    Overtaken {
        /// Where.
        file: File,
        /// How often.
        times: u32,
    },
    /// What is written to `inblob` is dropped when the file is closed, and nobody is told; this many times.
    Dropped {
        /// How often.
        times: u32,
    },
    /// From now on, no read gives more bytes than this.
    ShortReads(usize),
}

impl Tsm {
    /// A TDX guest's.
    ///
    /// # Errors
    /// There is no `/dev/fuse`, or no right to mount there.
    pub fn tdx(
        folder: &Path,
        quote: impl Fn(&[u8; 64]) -> Vec<u8> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let name = "tdx_guest".to_owned();
        Self::of(folder, Provider { name, privlevel_floor: None, auxblob: None, report: Box::new(quote) })
    }

    /// An SNP guest's, at privilege level 0, with the host's certificate table.
    ///
    /// # Errors
    /// There is no `/dev/fuse`, or no right to mount there.
    pub fn snp(
        folder: &Path,
        report: impl Fn(&[u8; 64]) -> Vec<u8> + Send + Sync + 'static,
        certificates: Vec<u8>,
    ) -> io::Result<Self> {
        let (name, auxblob) = ("sev_guest".to_owned(), Some(certificates));
        Self::of(folder, Provider { name, privlevel_floor: Some(0), auxblob, report: Box::new(report) })
    }

    /// Any driver's.
    ///
    /// # Errors
    /// There is no `/dev/fuse`, or no right to mount there.
    pub fn of(folder: &Path, provider: Provider) -> io::Result<Self> {
        Self::mount(folder, Some(provider))
    }

    /// A kernel that has the interface and no TEE: no entry can be made.
    ///
    /// # Errors
    /// There is no `/dev/fuse`, or no right to mount there.
    pub fn without_provider(folder: &Path) -> io::Result<Self> {
        Self::mount(folder, None)
    }

    /// Adds something that will go wrong.
    pub fn inject(&self, fault: Fault) {
        lock(&self.shared.faults).push(fault);
    }

    /// Names of the entries that stand.
    pub fn entries(&self) -> Vec<String> {
        lock(&self.shared.entries).keys().cloned().collect()
    }

    /// How many entries were ever made.
    pub fn made(&self) -> u32 {
        *lock(&self.shared.made)
    }

    /// The privilege levels that were asked for, in order.
    pub fn privlevels(&self) -> Vec<u32> {
        lock(&self.shared.privlevels).clone()
    }

    fn mount(folder: &Path, provider: Option<Provider>) -> io::Result<Self> {
        let shared = Arc::new(Shared { provider, ..Shared::default() });
        let mounted = Mounted::at(folder, "configfs-tsm", Arc::new(Interface(Arc::clone(&shared))))?;
        Ok(Self { shared, _mounted: mounted })
    }
}

/// A host's certificate table (GHCB specification, MSG_REPORT_REQ): GUIDs with offsets and lengths, ended by zeros, then the
/// certificates. A GUID stands as the bytes of its text, first digit first.
pub fn certificate_table(entries: &[([u8; 16], &[u8])]) -> Vec<u8> {
    let head = 24 * (entries.len() + 1);
    let (mut table, mut certificates) = (Vec::new(), Vec::new());
    for (guid, certificate) in entries {
        table.extend_from_slice(guid);
        table.extend_from_slice(&((head + certificates.len()) as u32).to_le_bytes());
        table.extend_from_slice(&(certificate.len() as u32).to_le_bytes());
        certificates.extend_from_slice(certificate);
    }
    table.resize(head, 0);
    [table, certificates].concat()
}

#[derive(Default)]
struct Shared {
    provider: Option<Provider>,
    entries: Mutex<BTreeMap<String, Entry>>,
    faults: Mutex<Vec<Fault>>,
    privlevels: Mutex<Vec<u32>>,
    made: Mutex<u32>,
}

#[derive(Default)]
struct Entry {
    inblob: Vec<u8>,
    outblob: Option<Vec<u8>>,
    written: u64,
    read: u64,
}

impl Entry {
    /// A write counts, unless so many did without a read that the numbers would meet again.
    fn advance(&mut self) -> Result<(), Errno> {
        if self.written == self.read.wrapping_sub(1) {
            return Err(Errno::EBUSY);
        }
        self.written = self.written.wrapping_add(1);
        Ok(())
    }
}

impl Shared {
    /// Lets happen what waits for this file; says whether its use fails.
    fn disturb(&self, file: File, entry: Option<&mut Entry>) -> Result<(), Errno> {
        let mut faults = lock(&self.faults);
        let waiting = faults.iter_mut().find_map(|fault| match fault {
            Fault::Fails { file: at, times, errno } if *at == file && *times > 0 => {
                Some((times, Some(*errno)))
            }
            Fault::Overtaken { file: at, times } if *at == file && *times > 0 => Some((times, None)),
            _ => None,
        });
        let Some((times, errno)) = waiting else { return Ok(()) };
        *times -= 1;
        match (errno, entry) {
            (Some(errno), _) => Err(Errno::from_i32(errno)),
            (None, Some(entry)) => {
                entry.inblob = FOREIGN_REPORT_DATA.to_vec();
                entry.advance()
            }
            (None, None) => Ok(()),
        }
    }

    fn drops(&self) -> bool {
        let mut faults = lock(&self.faults);
        let waiting = faults.iter_mut().find_map(|fault| match fault {
            Fault::Dropped { times } if *times > 0 => Some(times),
            _ => None,
        });
        waiting.map(|times| *times -= 1).is_some()
    }

    fn most(&self, asked: usize) -> usize {
        let faults = lock(&self.faults);
        let short = faults.iter().filter_map(|fault| match fault {
            Fault::ShortReads(most) => Some(*most),
            _ => None,
        });
        short.min().unwrap_or(usize::MAX).min(asked)
    }

    fn provider(&self) -> Result<&Provider, Errno> {
        self.provider.as_ref().ok_or(Errno::ENXIO)
    }

    /// What an attribute shows, or a blob holds.
    fn show(&self, name: &str, file: File) -> Result<Vec<u8>, Errno> {
        let provider = self.provider()?;
        let mut entries = lock(&self.entries);
        let entry = entries.get_mut(name).ok_or(Errno::ENOENT)?;
        self.disturb(file, Some(entry))?;
        match file {
            File::Provider => Ok(format!("{}\n", provider.name).into_bytes()),
            File::Generation => Ok(format!("{}\n", entry.written).into_bytes()),
            File::PrivlevelFloor => {
                Ok(format!("{}\n", provider.privlevel_floor.ok_or(Errno::ENOENT)?).into_bytes())
            }
            File::Outblob | File::Auxblob => {
                let outblob = report(provider, entry)?;
                let blob = if file == File::Outblob {
                    outblob
                } else {
                    provider.auxblob.clone().unwrap_or_default()
                };
                if blob.len() > MAX_BLOB_BYTES { Err(Errno::EFBIG) } else { Ok(blob) }
            }
            File::Entry | File::Privlevel | File::Inblob => Err(Errno::EACCES),
        }
    }

    fn set_privlevel(&self, name: &str, text: &[u8]) -> Result<(), Errno> {
        let level = unsigned(text).ok_or(Errno::EINVAL)?;
        let floor = self.provider()?.privlevel_floor.ok_or(Errno::ENOENT)?;
        if level < floor || level > MAX_PRIVLEVEL {
            return Err(Errno::EINVAL);
        }
        let mut entries = lock(&self.entries);
        let entry = entries.get_mut(name).ok_or(Errno::ENOENT)?;
        self.disturb(File::Privlevel, Some(entry))?;
        entry.advance()?;
        lock(&self.privlevels).push(level);
        Ok(())
    }

    /// What closing `inblob` does: nobody hears of an error.
    fn set_inblob(&self, name: &str, bytes: &[u8]) {
        if self.drops() {
            return;
        }
        if let Some(entry) = lock(&self.entries).get_mut(name)
            && entry.advance().is_ok()
        {
            entry.inblob = bytes.to_vec();
        }
    }
}

/// The report over what was written last, made again only if something was.
fn report(provider: &Provider, entry: &mut Entry) -> Result<Vec<u8>, Errno> {
    if entry.inblob.is_empty() {
        return Err(Errno::EINVAL);
    }
    if let Some(outblob) = entry.outblob.as_ref().filter(|_| entry.read == entry.written) {
        return Ok(outblob.clone());
    }
    let report_data = entry.inblob.as_slice().try_into().map_err(|_| Errno::EINVAL)?;
    let outblob = (provider.report)(report_data);
    entry.outblob = Some(outblob.clone());
    entry.read = entry.written;
    Ok(outblob)
}

struct Interface(Arc<Shared>);

enum Place<'a> {
    Root,
    Report,
    Entry(&'a str),
    File(&'a str, File),
}

impl Interface {
    fn place<'a>(&self, path: &'a Path) -> Option<Place<'a>> {
        let parts: Vec<&str> = path.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
        match parts.as_slice() {
            [] => Some(Place::Root),
            ["report"] => Some(Place::Report),
            ["report", name] => lock(&self.0.entries).contains_key(*name).then_some(Place::Entry(name)),
            ["report", name, file] if lock(&self.0.entries).contains_key(*name) => {
                let file = self.files().into_iter().find(|(known, _)| known == file)?.1;
                Some(Place::File(name, file))
            }
            _ => None,
        }
    }

    /// The attributes that this provider shows.
    fn files(&self) -> Vec<(&'static str, File)> {
        let Some(provider) = &self.0.provider else { return Vec::new() };
        let mut files = vec![
            ("generation", File::Generation),
            ("provider", File::Provider),
            ("inblob", File::Inblob),
            ("outblob", File::Outblob),
        ];
        if provider.privlevel_floor.is_some() {
            files.extend([("privlevel", File::Privlevel), ("privlevel_floor", File::PrivlevelFloor)]);
        }
        if provider.auxblob.is_some() {
            files.push(("auxblob", File::Auxblob));
        }
        files
    }
}

impl Tree for Interface {
    fn node(&self, path: &Path) -> Option<Node> {
        Some(match self.place(path)? {
            Place::Root | Place::Report | Place::Entry(_) => Node::Folder,
            Place::File(_, file) => {
                let write = matches!(file, File::Inblob | File::Privlevel);
                Node::File { read: !write, write }
            }
        })
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        match self.place(folder) {
            Some(Place::Root) => vec!["report".to_owned()],
            Some(Place::Report) => lock(&self.0.entries).keys().cloned().collect(),
            Some(Place::Entry(_)) => self.files().into_iter().map(|(name, _)| name.to_owned()).collect(),
            Some(Place::File(..)) | None => Vec::new(),
        }
    }

    fn make_folder(&self, path: &Path) -> Result<(), Errno> {
        let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
        let ["report", name] = parts.as_slice() else { return Err(Errno::EPERM) };
        self.0.provider()?;
        self.0.disturb(File::Entry, None)?;
        let mut entries = lock(&self.0.entries);
        if entries.contains_key(*name) {
            return Err(Errno::EEXIST);
        }
        entries.insert((*name).to_owned(), Entry::default());
        *lock(&self.0.made) += 1;
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> Result<(), Errno> {
        match self.place(path) {
            Some(Place::Entry(name)) => lock(&self.0.entries).remove(name).map(drop).ok_or(Errno::ENOENT),
            Some(Place::Root | Place::Report) => Err(Errno::EPERM),
            Some(Place::File(..)) => Err(Errno::ENOTDIR),
            None => Err(Errno::ENOENT),
        }
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Opened>, Errno> {
        let Some(Place::File(name, file)) = self.place(path) else { return Err(Errno::ENOENT) };
        let (shared, name) = (Arc::clone(&self.0), name.to_owned());
        Ok(Box::new(OpenFile { shared, name, file, shown: None, written: Vec::new() }))
    }
}

struct OpenFile {
    shared: Arc<Shared>,
    name: String,
    file: File,
    /// Filled by the first read, and the same for all others.
    shown: Option<Vec<u8>>,
    /// Of `inblob`, until it is closed.
    written: Vec<u8>,
}

impl Opened for OpenFile {
    fn read(&mut self, offset: usize, most: usize) -> Result<Vec<u8>, Errno> {
        let shown = match &mut self.shown {
            Some(shown) => shown,
            empty => empty.insert(self.shared.show(&self.name, self.file)?),
        };
        Ok(part(shown, offset, self.shared.most(most)))
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<usize, Errno> {
        if self.file == File::Privlevel {
            self.shared.set_privlevel(&self.name, bytes)?;
            return Ok(bytes.len());
        }
        self.shared.disturb(File::Inblob, lock(&self.shared.entries).get_mut(&self.name))?;
        let end =
            offset.checked_add(bytes.len()).filter(|end| *end <= MAX_INBLOB_BYTES).ok_or(Errno::EFBIG)?;
        if self.written.len() < end {
            self.written.resize(end, 0);
        }
        self.written[offset..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn close(&mut self) {
        if self.file == File::Inblob && !self.written.is_empty() {
            self.shared.set_inblob(&self.name, &std::mem::take(&mut self.written));
        }
    }
}

/// An unsigned number as `kstrtouint` takes it: decimal, or hexadecimal after `0x`, with at most one line feed behind.
fn unsigned(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// `TSM_INBLOB_MAX`.
const MAX_INBLOB_BYTES: usize = 64;
/// `TSM_PRIVLEVEL_MAX`.
const MAX_PRIVLEVEL: u32 = 3;
