//! A stand-in for Gramine's `/dev/attestation`, through which a program in SGX gets its quote.
//!
//! It keeps to Gramine's attestation manual and to what the library OS does (libos/src/fs/dev/attestation.c): one report data
//! for the whole process, which counts when the file is closed, padded with zeros or cut to 64 bytes; `quote` is made when
//! it is opened, and is there only if there is remote attestation; every failure is `EACCES`.

use crate::calls::{Mounted, Node, Opened, Tree, lock, part};
use fuser::Errno;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What the quoting enclave makes.
pub type Quote = Box<dyn Fn(&[u8; 64]) -> Vec<u8> + Send + Sync>;

/// The files, mounted. Dropping it unmounts.
pub struct Gramine {
    shared: Arc<Shared>,
    _mounted: Mounted,
}

impl Gramine {
    /// A program in SGX with DCAP.
    ///
    /// # Errors
    /// There is no `/dev/fuse`, or no right to mount there.
    pub fn dcap(
        folder: &Path,
        quote: impl Fn(&[u8; 64]) -> Vec<u8> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::of(folder, Some("dcap"), Box::new(quote))
    }

    /// A program in SGX with another attestation type (`none`, `epid`); `None` is Gramine without SGX, which has only keys.
    ///
    /// # Errors
    /// There is no `/dev/fuse`, or no right to mount there.
    pub fn of(folder: &Path, attestation_type: Option<&str>, quote: Quote) -> io::Result<Self> {
        let attestation_type = attestation_type.map(str::to_owned);
        let state = Mutex::new(State { report_data: [0; 64], failures: 0, short: usize::MAX });
        let shared = Arc::new(Shared { attestation_type, quote, state });
        let mounted = Mounted::at(folder, "gramine", Arc::new(Files(Arc::clone(&shared))))?;
        Ok(Self { shared, _mounted: mounted })
    }

    /// The quoting enclave gives nothing this many times.
    pub fn fail(&self, times: u32) {
        lock(&self.shared.state).failures = times;
    }

    /// From now on, no read gives more bytes than this.
    pub fn short_reads(&self, most: usize) {
        lock(&self.shared.state).short = most;
    }
}

struct Shared {
    attestation_type: Option<String>,
    quote: Quote,
    state: Mutex<State>,
}

struct State {
    report_data: [u8; 64],
    failures: u32,
    short: usize,
}

struct Files(Arc<Shared>);

impl Files {
    fn names(&self) -> Vec<&'static str> {
        let mut names = vec!["keys"];
        match self.0.attestation_type.as_deref() {
            None => {}
            Some("none") => names.extend(["attestation_type", "user_report_data"]),
            Some(_) => names.extend(["attestation_type", "user_report_data", "quote"]),
        }
        names
    }
}

impl Tree for Files {
    fn node(&self, path: &Path) -> Option<Node> {
        let name = path.to_str()?;
        if name.is_empty() {
            return Some(Node::Folder);
        }
        self.names().contains(&name).then_some(match name {
            "keys" => Node::Folder,
            "user_report_data" => Node::File { read: false, write: true },
            _ => Node::File { read: true, write: false },
        })
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        let names = if folder.as_os_str().is_empty() { self.names() } else { Vec::new() };
        names.into_iter().map(str::to_owned).collect()
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Opened>, Errno> {
        let mut state = lock(&self.0.state);
        let held = match path.to_str() {
            Some("attestation_type") => self.0.attestation_type.clone().unwrap_or_default().into_bytes(),
            Some("quote") => {
                if state.failures > 0 {
                    state.failures -= 1;
                    return Err(Errno::EACCES);
                }
                (self.0.quote)(&state.report_data)
            }
            _ => Vec::new(),
        };
        Ok(Box::new(OpenFile { shared: Arc::clone(&self.0), held, written: None }))
    }
}

struct OpenFile {
    shared: Arc<Shared>,
    held: Vec<u8>,
    written: Option<Vec<u8>>,
}

impl Opened for OpenFile {
    fn read(&mut self, offset: usize, most: usize) -> Result<Vec<u8>, Errno> {
        Ok(part(&self.held, offset, most.min(lock(&self.shared.state).short)))
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<usize, Errno> {
        let end = offset.checked_add(bytes.len()).filter(|end| *end <= MAX_WRITTEN).ok_or(Errno::EFBIG)?;
        let written = self.written.get_or_insert_default();
        if written.len() < end {
            written.resize(end, 0);
        }
        written[offset..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn close(&mut self) {
        if let Some(mut written) = self.written.take() {
            written.resize(64, 0);
            lock(&self.shared.state).report_data.copy_from_slice(&written);
        }
    }
}

/// More than any program writes there.
const MAX_WRITTEN: usize = 4096;
