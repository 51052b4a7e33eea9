//! The enclave's side of the channel: everything outside is asked for here, and believed nowhere.

use super::signer::{Signer, Transfer};
use crate::image::{Blobs, Digest};
use pox_core::channel::{
    ChannelError, EnclaveMessage, HostMessage, Incoming, MAX_CHUNK_BYTES, Stage, receive, receive_chunk,
    send, send_chunk,
};
use pox_core::endorsement::Endorsement;
use pox_core::evidence::EvidenceKind;
use pox_core::s3::BucketAccess;
use pox_seal::dataset::{ObjectName, ObjectSink, ObjectSource};
use std::io::{self, Read, Write};

/// The host, seen from inside.
pub struct Outside<R, W> {
    input: R,
    output: W,
    signer: Signer,
    /// The bytes of the last chunk that came, or of the next that goes: one room for all of them.
    chunk: Vec<u8>,
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
        Self { input, output, signer: Signer::default(), chunk: Vec::new() }
    }

    pub(crate) fn say(&mut self, message: &EnclaveMessage) -> Result<(), ChannelError> {
        send(&mut self.output, message)
    }

    pub(crate) fn hear(&mut self) -> Result<HostMessage, ChannelError> {
        receive(&mut self.input)
    }

    /// From now on, signs the host's requests for objects of these buckets, and of no others.
    pub(crate) fn sign_with(&mut self, buckets: &[BucketAccess]) {
        self.signer = Signer::new(buckets.to_vec());
    }

    /// Hears the answer to a transfer, and signs what the host needs signed until it comes. A chunk is left in the room.
    fn hear_about(&mut self, transfer: &Transfer) -> Result<Incoming<HostMessage>, ChannelError> {
        loop {
            match receive_chunk(&mut self.input, &mut self.chunk)? {
                Incoming::Message(HostMessage::Sign { operation }) => {
                    let url = self.signer.sign(transfer, &operation);
                    self.say(&EnclaveMessage::Url { url })?;
                }
                Incoming::Message(HostMessage::Chunk { bytes }) => {
                    self.chunk = bytes;
                    return Ok(Incoming::Chunk);
                }
                other => return Ok(other),
            }
        }
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
    ) -> io::Result<Download<'_, R, W>> {
        let transfer = Transfer::fetch(location, name);
        let (location, name) = (location.to_owned(), name.to_owned());
        self.say(&EnclaveMessage::Get { location, name, offset, most }).map_err(broken)?;
        Ok(Download::new(self, transfer, most))
    }

    /// A folder that takes sealed objects.
    pub(crate) fn sink<'a>(&'a mut self, location: &'a str) -> Uploads<'a, R, W> {
        Uploads { outside: self, location, transfer: None }
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
pub(crate) struct Download<'a, R: Read, W: Write> {
    outside: &'a mut Outside<R, W>,
    transfer: Transfer,
    /// How much of the chunk in the room is read.
    at: usize,
    left: u64,
    ended: bool,
}

impl<'a, R: Read, W: Write> Download<'a, R, W> {
    fn new(outside: &'a mut Outside<R, W>, transfer: Transfer, most: u64) -> Self {
        outside.chunk.clear();
        Self { outside, transfer, at: 0, left: most, ended: false }
    }

    fn advance(&mut self) -> io::Result<()> {
        let heard = self.outside.hear_about(&self.transfer);
        self.at = 0;
        match heard.inspect_err(|_| self.ended = true).map_err(broken)? {
            Incoming::Chunk
                if self.outside.chunk.len() as u64 <= self.left
                    && self.outside.chunk.len() <= MAX_CHUNK_BYTES =>
            {
                self.left -= self.outside.chunk.len() as u64;
                Ok(())
            }
            Incoming::Message(HostMessage::Done) => {
                self.end();
                Ok(())
            }
            Incoming::Message(HostMessage::Failed { .. }) => {
                self.end();
                Err(io::Error::other(HostError::Failed))
            }
            _ => {
                self.end();
                Err(broken(ChannelError::Unexpected("more bytes than asked for, or another message")))
            }
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.outside.chunk.clear();
    }
}

impl<R: Read, W: Write> Read for Download<'_, R, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let ready = &self.outside.chunk[self.at..];
            let count = ready.len().min(buf.len());
            buf[..count].copy_from_slice(&ready[..count]);
            self.at += count;
            if count > 0 || self.ended || buf.is_empty() {
                return Ok(count);
            }
            self.advance()?;
        }
    }
}

impl<R: Read, W: Write> Drop for Download<'_, R, W> {
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
    /// The object that is being stored.
    transfer: Option<Transfer>,
}

impl<R: Read, W: Write> Uploads<'_, R, W> {
    /// Stores one object.
    pub(crate) fn store(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.start(name)?;
        self.write(bytes)?;
        self.close()
    }

    fn start(&mut self, name: &str) -> io::Result<()> {
        self.transfer = Some(Transfer::store(self.location, name));
        self.outside.chunk.clear();
        let (location, name) = (self.location.to_owned(), name.to_owned());
        self.outside.say(&EnclaveMessage::Put { location, name }).map_err(broken)
    }

    fn send_chunk(&mut self) -> io::Result<()> {
        let Outside { output, chunk, .. } = &mut *self.outside;
        if !chunk.is_empty() {
            send_chunk::<EnclaveMessage>(output, chunk).map_err(broken)?;
            chunk.clear();
        }
        Ok(())
    }
}

impl<R: Read, W: Write> ObjectSink for Uploads<'_, R, W> {
    fn create(&mut self, name: &ObjectName) -> io::Result<()> {
        self.start(name.as_str())
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let chunk = &mut self.outside.chunk;
            let (now, later) = bytes.split_at(bytes.len().min(MAX_CHUNK_BYTES - chunk.len()));
            chunk.extend_from_slice(now);
            bytes = later;
            if chunk.len() == MAX_CHUNK_BYTES {
                self.send_chunk()?;
            }
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.send_chunk()?;
        self.outside.say(&EnclaveMessage::End).map_err(broken)?;
        let Some(transfer) = self.transfer.take() else {
            return Err(broken(ChannelError::Unexpected("the end of nothing")));
        };
        let heard = self.outside.hear_about(&transfer);
        self.outside.chunk.clear();
        match heard.map_err(broken)? {
            Incoming::Message(HostMessage::Done) => Ok(()),
            Incoming::Message(HostMessage::Failed { .. }) => Err(io::Error::other(HostError::Failed)),
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
        Ok(Box::new(Download::new(self.outside, Transfer::public(), most)))
    }
}

/// Whether an error means that the channel itself is gone.
pub(crate) fn is_broken(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<ChannelError>()).is_some()
}

fn broken(error: ChannelError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pox_core::s3::{Operation, Style};

    /// What a host says, in order; and, once it was heard, what the enclave said.
    fn outside(messages: &[HostMessage]) -> Outside<io::Cursor<Vec<u8>>, Vec<u8>> {
        let mut said = Vec::new();
        messages.iter().for_each(|message| send(&mut said, message).unwrap());
        let mut outside = Outside::new(io::Cursor::new(said), Vec::new());
        outside.sign_with(&[BucketAccess {
            bucket: "mine".into(),
            endpoint: "https://s3.example".into(),
            region: "r".into(),
            style: Style::Path,
            key_id: "id".into(),
            secret_key: "TOPSECRET".into(),
            session_token: None,
        }]);
        outside
    }

    fn answers(outside: &Outside<io::Cursor<Vec<u8>>, Vec<u8>>) -> Vec<EnclaveMessage> {
        let mut said = outside.output.as_slice();
        std::iter::from_fn(|| receive(&mut said).ok()).collect()
    }

    fn sign(operation: Operation) -> HostMessage {
        HostMessage::Sign { operation }
    }

    fn chunk(len: usize) -> HostMessage {
        HostMessage::Chunk { bytes: vec![7; len] }
    }

    #[test]
    fn a_host_gets_its_signatures_while_it_fetches() {
        let mut outside = outside(&[
            sign(Operation::Read),
            chunk(3),
            chunk(100_000),
            // It goes on after a fault.
            sign(Operation::Read),
            sign(Operation::Write),
            chunk(5),
            HostMessage::Done,
        ]);
        let mut bytes = Vec::new();
        outside.get("s3://mine/set", "data.age", 0, u64::MAX).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, vec![7; 100_008]);
        let said = answers(&outside);
        assert!(matches!(&said[0], EnclaveMessage::Get { .. }));
        for (index, signs) in [(1, true), (2, true), (3, false)] {
            let EnclaveMessage::Url { url } = &said[index] else { panic!("no answer") };
            assert_eq!(url.is_some(), signs, "{index}");
            assert!(!url.as_ref().is_some_and(|url| url.contains("TOPSECRET")));
        }
        assert_eq!(said.len(), 4);
    }

    #[test]
    fn a_host_gets_its_signatures_while_it_stores() {
        let upload = || "u".to_owned();
        let mut outside = outside(&[
            sign(Operation::Begin),
            sign(Operation::Part { number: 1, upload: upload() }),
            sign(Operation::Finish { upload: upload() }),
            sign(Operation::Read),
            HostMessage::Done,
            HostMessage::Failed { reason: "full".into() },
        ]);
        let name = ObjectName::new("data.age").unwrap();
        let mut sink = outside.sink("s3://mine/results");
        sink.create(&name).unwrap();
        sink.write(&vec![1; MAX_CHUNK_BYTES + 1]).unwrap();
        sink.close().unwrap();
        sink.create(&name).unwrap();
        assert!(sink.close().is_err());
        let said = answers(&outside);
        let urls = said.iter().filter_map(|message| match message {
            EnclaveMessage::Url { url } => Some(url.is_some()),
            _ => None,
        });
        assert_eq!(urls.collect::<Vec<_>>(), [true, true, true, false]);
        let chunks = said.iter().filter_map(|message| match message {
            EnclaveMessage::Chunk { bytes } => Some(bytes.len()),
            _ => None,
        });
        assert_eq!(chunks.collect::<Vec<_>>(), [MAX_CHUNK_BYTES, 1]);
    }

    #[test]
    fn more_than_was_asked_for_is_refused_and_the_rest_is_read_away() {
        let mut first = outside(&[chunk(10), HostMessage::Done]);
        assert!(first.get("/x", "y", 0, 9).unwrap().read_to_end(&mut Vec::new()).is_err());
        let mut long = outside(&[chunk(MAX_CHUNK_BYTES + 1), HostMessage::Done]);
        assert!(long.get("/x", "y", 0, u64::MAX).unwrap().read_to_end(&mut Vec::new()).is_err());
        let mut second = outside(&[chunk(10), chunk(70_000), HostMessage::Done, HostMessage::Done]);
        drop(second.get("/x", "y", 0, u64::MAX).unwrap());
        assert_eq!(second.hear().unwrap(), HostMessage::Done);
        let mut cut = outside(&[chunk(10)]);
        let error = cut.get("/x", "y", 0, 99).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
        assert!(is_broken(&error));
    }
}
