use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;

use super::layout::Files;
use super::malformed;
use crate::{Access, Error, Location, Range, Result, Store};

/// The files of a tar archive, at random access.
pub(crate) struct Archive {
    file: Arc<File>,
    members: HashMap<String, Member>,
}

#[derive(Clone)]
enum Member {
    File { offset: u64, size: u64 },
    Link(String),
}

impl Archive {
    /// Copies the archive to a nameless temporary file, decompressed if it is gzip, and indexes it.
    ///
    /// The copy makes local and remote archives alike, and can't be changed by others while it is read.
    pub(crate) fn open(location: &Location, access: &Access) -> Result<Self> {
        let (parent, name) = location.split()?;
        let reader = Store::open_existing(&parent, access)?.get(&name, Range::ALL)?;
        let mut reader = BufReader::with_capacity(BUFFER, reader);
        let mut file = tempfile::tempfile().map_err(Error::Local)?;
        let gzip = io::BufRead::fill_buf(&mut reader).map_err(Error::from_read)?.starts_with(&GZIP);
        if gzip {
            spool(&mut MultiGzDecoder::new(reader), &mut file, access, name.as_str())?;
        } else {
            spool(&mut reader, &mut file, access, name.as_str())?;
        }
        Self::index(file)
    }

    /// Reads the headers only. Extension headers that would change a name or size are refused: image archives need none.
    fn index(mut file: File) -> Result<Self> {
        let bad = |error: io::Error| malformed("archive", error);
        file.seek(SeekFrom::Start(0)).map_err(Error::Local)?;
        let shared = Arc::new(file.try_clone().map_err(Error::Local)?);
        let length = file.metadata().map_err(Error::Local)?.len();
        let mut members = HashMap::new();
        let mut archive = tar::Archive::new(BufReader::new(file));
        for entry in archive.entries_with_seek().map_err(bad)?.raw(true) {
            let mut entry = entry.map_err(bad)?;
            let (offset, size) = (entry.raw_file_position(), entry.header().entry_size().map_err(bad)?);
            let member = match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => Member::File { offset, size },
                EntryType::Symlink | EntryType::Link => {
                    let target = entry.header().link_name_bytes().unwrap_or_default();
                    Member::Link(String::from_utf8_lossy(&target).into_owned())
                }
                EntryType::XHeader | EntryType::XGlobalHeader => {
                    let mut records = vec![];
                    entry.by_ref().take(MAX_EXTENSION).read_to_end(&mut records).map_err(bad)?;
                    let changes = [" path=", " size=", " linkpath="];
                    if size > MAX_EXTENSION || changes.iter().any(|key| contains(&records, key.as_bytes())) {
                        return Err(malformed("archive", "it needs a pax header that isn't supported"));
                    }
                    continue;
                }
                EntryType::Directory => continue,
                other => return Err(malformed("archive", format!("it has an entry of type {other:?}"))),
            };
            if offset.checked_add(size).is_none_or(|end| end > length) {
                return Err(malformed("archive", "it is truncated"));
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
            members.insert(name, member);
            if members.len() > MAX_MEMBERS {
                return Err(malformed("archive", "it has too many entries"));
            }
        }
        Ok(Self { file: shared, members })
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Finds a file, through links as old versions of `docker save` write them.
    pub(crate) fn section(&self, name: &str) -> Result<Section> {
        let mut name = name.to_owned();
        for _ in 0..MAX_LINKS {
            match self.members.get(&name) {
                Some(Member::File { offset, size }) => {
                    return Ok(Section::new(self.file.clone(), *offset, *size));
                }
                Some(Member::Link(target)) => name = join(&name, target),
                None => return Err(Error::NotFound(format!("{name} in the archive"))),
            }
        }
        Err(malformed("archive", "its links go in a circle"))
    }
}

impl Files for Archive {
    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.section(name)?))
    }
}

/// A part of a file, read independently of others.
#[derive(Clone)]
pub(crate) struct Section {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    position: u64,
}

impl Section {
    pub(crate) fn new(file: Arc<File>, offset: u64, size: u64) -> Self {
        Self { file, offset, size, position: 0 }
    }
}

impl Read for Section {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.size - self.position;
        let len = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = self.file.read_at(&mut buf[..len], self.offset + self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}

/// Resolves a link's target against the directory of its name.
fn join(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn spool(reader: &mut dyn Read, file: &mut File, access: &Access, name: &str) -> Result<()> {
    let limit = access.max_object;
    let mut left = limit;
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = reader.read(&mut buffer).map_err(Error::from_read)?;
        if n == 0 {
            return Ok(());
        }
        left = left.checked_sub(n as u64).ok_or_else(|| Error::TooBig {
            name: name.into(),
            size: limit + 1,
            limit,
        })?;
        file.write_all(&buffer[..n]).map_err(Error::Local)?;
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const BUFFER: usize = 256 << 10;
/// Image archives have some hundred files.
const MAX_MEMBERS: usize = 100_000;
const MAX_EXTENSION: u64 = 64 << 10;
/// Links to links to layers: one is usual.
const MAX_LINKS: usize = 8;
