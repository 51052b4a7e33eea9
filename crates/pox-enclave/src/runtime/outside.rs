//! The enclave's side of the channel: everything outside is asked for here, and believed nowhere.

use crate::image::{Blobs, Digest};
use pox_core::channel::{ChannelError, EnclaveMessage, HostMessage, MAX_CHUNK_BYTES, Stage, receive, send};
use pox_core::endorsement::Endorsement;
use pox_core::evidence::EvidenceKind;
use pox_seal::dataset::{ObjectName, ObjectSink, ObjectSource};
use std::io::{self, Read, Write};

/// The host, seen from inside.
pub struct Outside<R, W> {
    input: R,
    output: W,
}

/// What the host answered to a request that it could not serve, or how the channel broke.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// The host says that it failed. It may lie.
    #[error("the host could not do it")]
    Failed,
    /// The channel broke: nothing can be said to the host any more.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl<R: Read, W: Write> Outside<R, W> {
    /// Speaks over a pair of streams.
    pub fn new(input: R, output: W) -> Self {
        Self { input, output }
    }

    pub(crate) fn say(&mut self, message: &EnclaveMessage) -> Result<(), ChannelError> {
        send(&mut self.output, message)
    }

    pub(crate) fn hear(&mut self) -> Result<HostMessage, ChannelError> {
        receive(&mut self.input)
    }

    pub(crate) fn progress(&mut self, stage: Stage) -> Result<(), ChannelError> {
        self.say(&EnclaveMessage::Progress { stage })
    }

    /// What the host has to vouch for two quotes of one kind; nothing, if it says that it has nothing.
    pub(crate) fn endorsements(
        &mut self,
        kind: EvidenceKind,
        quotes: [&[u8]; 2],
    ) -> Result<Vec<Endorsement>, ChannelError> {
        self.say(&EnclaveMessage::Endorse { kind, quotes: quotes.map(<[u8]>::to_vec).to_vec() })?;
        match self.hear()? {
            HostMessage::Endorsements { endorsements } => Ok(endorsements),
            HostMessage::Failed { .. } => Ok(Vec::new()),
            _ => Err(ChannelError::Unexpected("not endorsements")),
        }
    }

    /// Starts to read an object of a folder.
    pub(crate) fn get(
        &mut self,
        location: &str,
        name: &str,
        offset: u64,
        most: u64,
    ) -> io::Result<Download<'_, R>> {
        let (location, name) = (location.to_owned(), name.to_owned());
        self.say(&EnclaveMessage::Get { location, name, offset, most }).map_err(broken)?;
        Ok(Download::new(&mut self.input, most))
    }

    /// A folder that takes sealed objects.
    pub(crate) fn sink<'a>(&'a mut self, location: &'a str) -> Uploads<'a, R, W> {
        Uploads { outside: self, location, chunk: Vec::new() }
    }

    /// A folder that holds sealed objects.
    pub(crate) fn source<'a>(&'a mut self, location: &'a str, most: u64) -> Downloads<'a, R, W> {
        Downloads { outside: self, location, most }
    }

    /// Blobs of one image.
    pub(crate) fn blobs<'a>(&'a mut self, image: &'a str) -> ImageBlobs<'a, R, W> {
        ImageBlobs { outside: self, image }
    }
}

/// The bytes of an answer. Dropping it early reads the rest of the answer away, so that the channel stays in step.
pub(crate) struct Download<'a, R: Read> {
    input: &'a mut R,
    chunk: io::Cursor<Vec<u8>>,
    left: u64,
    ended: bool,
}

impl<'a, R: Read> Download<'a, R> {
    fn new(input: &'a mut R, most: u64) -> Self {
        Self { input, chunk: io::Cursor::new(Vec::new()), left: most, ended: false }
    }

    fn advance(&mut self) -> io::Result<()> {
        match receive(self.input).inspect_err(|_| self.ended = true).map_err(broken)? {
            HostMessage::Chunk { bytes }
                if bytes.len() as u64 <= self.left && bytes.len() <= MAX_CHUNK_BYTES =>
            {
                self.left -= bytes.len() as u64;
                self.chunk = io::Cursor::new(bytes);
                Ok(())
            }
            HostMessage::Done => {
                self.ended = true;
                Ok(())
            }
            HostMessage::Failed { .. } => {
                self.ended = true;
                Err(io::Error::other(HostError::Failed))
            }
            _ => {
                self.ended = true;
                Err(broken(ChannelError::Unexpected("more bytes than asked for, or another message")))
            }
        }
    }
}

impl<R: Read> Read for Download<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.chunk.read(buf)?;
            if count > 0 || self.ended || buf.is_empty() {
                return Ok(count);
            }
            self.advance()?;
        }
    }
}

impl<R: Read> Drop for Download<'_, R> {
    fn drop(&mut self) {
        while !self.ended {
            if self.advance().is_err() {
                break;
            }
        }
    }
}

/// Objects on their way from the host's storage.
pub(crate) struct Downloads<'a, R, W> {
    outside: &'a mut Outside<R, W>,
    location: &'a str,
    most: u64,
}

impl<R: Read, W: Write> ObjectSource for Downloads<'_, R, W> {
    fn open(&mut self, name: &ObjectName, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.outside.get(self.location, name.as_str(), offset, self.most)?))
    }
}

/// Objects on their way to the host's storage.
pub(crate) struct Uploads<'a, R, W> {
    outside: &'a mut Outside<R, W>,
    location: &'a str,
    chunk: Vec<u8>,
}

impl<R: Read, W: Write> Uploads<'_, R, W> {
    /// Stores one object.
    pub(crate) fn store(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.start(name)?;
        self.write(bytes)?;
        self.close()
    }

    fn start(&mut self, name: &str) -> io::Result<()> {
        let (location, name) = (self.location.to_owned(), name.to_owned());
        self.outside.say(&EnclaveMessage::Put { location, name }).map_err(broken)
    }

    fn send_chunk(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.chunk);
        self.outside.say(&EnclaveMessage::Chunk { bytes }).map_err(broken)
    }
}

impl<R: Read, W: Write> ObjectSink for Uploads<'_, R, W> {
    fn create(&mut self, name: &ObjectName) -> io::Result<()> {
        self.start(name.as_str())
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(MAX_CHUNK_BYTES - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == MAX_CHUNK_BYTES {
                self.send_chunk()?;
            }
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.send_chunk()?;
        self.outside.say(&EnclaveMessage::End).map_err(broken)?;
        match self.outside.hear().map_err(broken)? {
            HostMessage::Done => Ok(()),
            HostMessage::Failed { .. } => Err(io::Error::other(HostError::Failed)),
            _ => Err(broken(ChannelError::Unexpected("neither done nor failed"))),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        // `B3SUMS` comes last, and its digest is in the receipt: nothing else makes the objects a dataset.
        Ok(())
    }
}

/// One image's blobs, as the host delivers them.
pub(crate) struct ImageBlobs<'a, R, W> {
    outside: &'a mut Outside<R, W>,
    image: &'a str,
}

impl<R: Read, W: Write> Blobs for ImageBlobs<'_, R, W> {
    fn open(&mut self, digest: &Digest, max: u64) -> io::Result<Box<dyn Read + '_>> {
        let (image, digest) = (self.image.to_owned(), digest.to_string());
        // One byte more lets the caller tell a blob that is too long from one that ends at the limit.
        let most = max.saturating_add(1);
        self.outside.say(&EnclaveMessage::Blob { image, digest, most }).map_err(broken)?;
        Ok(Box::new(Download::new(&mut self.outside.input, most)))
    }
}

/// Whether an error means that the channel itself is gone.
pub(crate) fn is_broken(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<ChannelError>()).is_some()
}

fn broken(error: ChannelError) -> io::Error {
    io::Error::other(error)
}
