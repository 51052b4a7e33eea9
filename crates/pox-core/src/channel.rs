//! What an enclave and its host say to each other (spec §13). Neither side believes the other.
//!
//! The enclave has no network: it asks its host for bytes and checks them, and hands it sealed bytes to store. Messages are
//! frames of a 4-byte big-endian length and canonical CBOR, over any byte stream.

use crate::codec::{CodecError, from_canonical, to_canonical};
use crate::domain::Domain;
use crate::endorsement::Endorsement;
use crate::evidence::EvidenceKind;
use crate::members::Members;
use crate::s3::Operation;
use alloy_primitives::{Address, B256};
use std::io::{self, Read, Write};

/// Most bytes of content in one message.
pub const MAX_CHUNK_BYTES: usize = 1024 * 1024;
/// Most bytes of one frame: a chunk, or an archive with its receipt, and what surrounds them.
pub const MAX_FRAME_BYTES: usize = MAX_CHUNK_BYTES + 64 * 1024;
/// Longest location or name.
pub const MAX_TEXT_BYTES: usize = 4096;

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum HostMessage {
    /// First message: the task that this launch is for.
    #[n(0)]
    Boot {
        /// Chain and contract.
        #[n(0)]
        domain: Domain,
        /// The request, ABI-encoded.
        #[cbor(n(1), with = "minicbor::bytes")]
        request: Vec<u8>,
        /// A recent block's number.
        #[n(2)]
        block_number: u64,
        /// That block's hash.
        #[cbor(n(3), with = "crate::bytes::word")]
        block_hash: B256,
        /// The processor's account, which the evidence will name.
        #[cbor(n(4), with = "crate::bytes::address")]
        processor: Address,
    },
    /// The signed and sealed secrets, one for each party and the owner's first, as `approve` or `release` carried them.
    #[n(1)]
    Secrets {
        /// Their bytes.
        #[cbor(n(0), with = "crate::bytes::strings")]
        secrets: Vec<Vec<u8>>,
    },
    /// The next bytes of what was asked for.
    #[n(2)]
    Chunk {
        /// At most [`MAX_CHUNK_BYTES`].
        #[cbor(n(0), with = "minicbor::bytes")]
        bytes: Vec<u8>,
    },
    /// All bytes were sent, or stored.
    #[n(3)]
    Done,
    /// The host could not do what it was asked for.
    #[n(4)]
    Failed {
        /// Why, for the run report; not believed.
        #[n(0)]
        reason: String,
    },
    /// The host wants to ask S3-compatible storage for something about the object that is being fetched or stored; the answer is
    /// `Url`. Comes while an answer to `Get` or `Put` is due, any number of times.
    #[n(6)]
    Sign {
        /// What it wants to ask for.
        #[n(0)]
        operation: Operation,
    },
    /// What vouches for the quotes that the enclave asked about.
    #[n(5)]
    Endorsements {
        /// As the vendor gave them; whoever verifies the evidence judges them.
        #[n(0)]
        endorsements: Vec<Endorsement>,
    },
}

/// What the enclave says.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum EnclaveMessage {
    /// The enclave has its keys; the host can match.
    #[n(0)]
    Ready {
        /// Its account.
        #[cbor(n(0), with = "crate::bytes::address")]
        enclave: Address,
        /// Its key evidence.
        #[cbor(n(1), with = "minicbor::bytes")]
        evidence: Vec<u8>,
    },
    /// A secret was not its party's for this task and enclave; the enclave waits for others.
    #[n(1)]
    SecretRefused {
        /// Why.
        #[n(0)]
        reason: String,
    },
    /// Asks for an object from an offset on; the answer is chunks and then `Done`, or `Failed`.
    #[n(2)]
    Get {
        /// The folder.
        #[n(0)]
        location: String,
        /// The object's name in it.
        #[n(1)]
        name: String,
        /// First byte.
        #[n(2)]
        offset: u64,
        /// Most bytes that the enclave will take.
        #[n(3)]
        most: u64,
    },
    /// Asks for an image's blob; answered as `Get` is.
    #[n(3)]
    Blob {
        /// The image's location.
        #[n(0)]
        image: String,
        /// `sha256:` and 64 hexadecimal digits.
        #[n(1)]
        digest: String,
        /// Most bytes that the enclave will take.
        #[n(2)]
        most: u64,
    },
    /// Stores an object: chunks follow, then `End`; the answer is `Done` or `Failed`.
    #[n(4)]
    Put {
        /// The folder.
        #[n(0)]
        location: String,
        /// The object's name in it.
        #[n(1)]
        name: String,
    },
    /// The next bytes of what is being stored.
    #[n(5)]
    Chunk {
        /// At most [`MAX_CHUNK_BYTES`].
        #[cbor(n(0), with = "minicbor::bytes")]
        bytes: Vec<u8>,
    },
    /// All bytes of what is being stored were sent.
    #[n(6)]
    End,
    /// What the enclave does now, for whoever watches.
    #[n(7)]
    Progress {
        /// The stage.
        #[n(0)]
        stage: Stage,
    },
    /// The receipt; the last message.
    #[n(8)]
    Finished {
        /// The receipt, ABI-encoded.
        #[cbor(n(0), with = "minicbor::bytes")]
        receipt: Vec<u8>,
        /// The enclave's signature.
        #[cbor(n(1), with = "minicbor::bytes")]
        signature: Vec<u8>,
        /// The archive.
        #[cbor(n(2), with = "minicbor::bytes")]
        archive: Vec<u8>,
        /// The members, if it closes a batch.
        #[n(3)]
        members: Option<Members>,
    },
    /// The enclave can't serve this task at all and ends without a receipt: it has no keys yet.
    #[n(9)]
    BootFailed {
        /// Why.
        #[n(0)]
        reason: String,
    },
    /// Asks for what vouches for its two quotes besides themselves; the answer is `Endorsements`, or `Failed`.
    #[n(10)]
    Endorse {
        /// The kind of both.
        #[n(0)]
        kind: EvidenceKind,
        /// The quote of the key evidence, then that of the result evidence.
        #[cbor(n(1), with = "crate::bytes::strings")]
        quotes: Vec<Vec<u8>>,
    },
    /// The answer to `Sign`.
    #[n(11)]
    Url {
        /// A URL good for that one request, for minutes; none, if it is not one that the enclave signs.
        #[n(0)]
        url: Option<String>,
    },
}

/// What an enclave is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Stage {
    /// Fetching and checking the image.
    #[n(0)]
    Image,
    /// Fetching, checking and opening the inputs.
    #[n(1)]
    Inputs,
    /// Running the task.
    #[n(2)]
    Running,
    /// Sealing and delivering the results.
    #[n(3)]
    Results,
}

/// The channel broke, or the other side does not keep to the protocol.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other side is gone.
    #[error("the other side closed the channel")]
    Closed,
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A frame is larger than any message.
    #[error("a frame of {0} bytes")]
    TooLarge(usize),
    /// A frame holds no message.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A message that can't come now.
    #[error("unexpected message: {0}")]
    Unexpected(&'static str),
}

/// Writes one message.
///
/// # Errors
/// The stream fails.
pub fn send<T: minicbor::Encode<()>>(stream: &mut impl Write, message: &T) -> Result<(), ChannelError> {
    let bytes = to_canonical(message);
    if bytes.len() > MAX_FRAME_BYTES {
        return Err(ChannelError::TooLarge(bytes.len()));
    }
    stream.write_all(&(bytes.len() as u32).to_be_bytes())?;
    stream.write_all(&bytes)?;
    stream.flush()?;
    Ok(())
}

/// Writes a `Chunk` of either side's without copying its bytes.
///
/// # Errors
/// The stream fails, or there are more bytes than a chunk has.
pub fn send_chunk<T: Chunks>(stream: &mut impl Write, bytes: &[u8]) -> Result<(), ChannelError> {
    if bytes.len() > MAX_CHUNK_BYTES {
        return Err(ChannelError::TooLarge(bytes.len()));
    }
    let mut head = vec![0; 4];
    head.extend_from_slice(&chunk_head::<T>(bytes.len()));
    let length = (head.len() - 4 + bytes.len()) as u32;
    head[..4].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&head)?;
    stream.write_all(bytes)?;
    stream.flush()?;
    Ok(())
}

/// Reads one message of a sequence that is mostly chunks; the bytes of a chunk are left in `chunk`, whose room is used again.
///
/// # Errors
/// As [`receive`].
pub fn receive_chunk<T>(stream: &mut impl Read, chunk: &mut Vec<u8>) -> Result<Incoming<T>, ChannelError>
where
    T: Chunks + for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
{
    let length = frame_length(stream)?;
    // Long enough for the head of every chunk, and of most other messages.
    let mut head = [0; CHUNK_HEAD];
    let head = &mut head[..length.min(CHUNK_HEAD)];
    stream.read_exact(head)?;
    let is_chunk = length.checked_sub(CHUNK_HEAD).is_some_and(|len| chunk_head::<T>(len) == *head);
    chunk.clear();
    if !is_chunk {
        chunk.extend_from_slice(head);
    }
    let left = length - head.len();
    let read = stream.take(left as u64).read_to_end(chunk)?;
    if read != left {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    if is_chunk {
        Ok(Incoming::Chunk)
    } else {
        Ok(Incoming::Message(from_canonical(chunk, MAX_FRAME_BYTES)?))
    }
}

/// A message of a sequence that is mostly chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming<T> {
    /// A chunk of at least 64 KiB, whose bytes were left in the caller's room.
    Chunk,
    /// Anything else, shorter chunks too.
    Message(T),
}

/// Messages of which one is a chunk.
pub trait Chunks {
    /// The chunk's code.
    const CHUNK: u8;
}

impl Chunks for HostMessage {
    const CHUNK: u8 = 2;
}

impl Chunks for EnclaveMessage {
    const CHUNK: u8 = 5;
}

/// What stands before the bytes of a chunk whose length takes four bytes to write; the shortest form for any other is another.
fn chunk_head<T: Chunks>(length: usize) -> Vec<u8> {
    let mut head = vec![0x82, T::CHUNK, 0x81];
    let encoded = minicbor::Encoder::new(&mut head).bytes_len(length as u64).is_ok();
    debug_assert!(encoded, "a vector takes any number of bytes");
    head
}

/// Reads one message; allocates no more than the bound, whatever the frame claims.
///
/// # Errors
/// The stream ends or fails, or the frame holds no message.
pub fn receive<T>(stream: &mut impl Read) -> Result<T, ChannelError>
where
    T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
{
    let mut bytes = vec![0; frame_length(stream)?];
    stream.read_exact(&mut bytes)?;
    Ok(from_canonical(&bytes, MAX_FRAME_BYTES)?)
}

fn frame_length(stream: &mut impl Read) -> Result<usize, ChannelError> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(ChannelError::Closed),
        other => other?,
    }
    match u32::from_be_bytes(length) as usize {
        length if length > MAX_FRAME_BYTES => Err(ChannelError::TooLarge(length)),
        length => Ok(length),
    }
}

/// Bytes of a long chunk's head: two arrays, the code, and a length of four bytes.
const CHUNK_HEAD: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_round_trip() {
        let message = EnclaveMessage::Get {
            location: "https://a/".into(),
            name: "data.age".into(),
            offset: 7,
            most: 9,
        };
        let mut stream = Vec::new();
        send(&mut stream, &message).unwrap();
        assert_eq!(receive::<EnclaveMessage>(&mut stream.as_slice()).unwrap(), message);
        assert!(matches!(receive::<EnclaveMessage>(&mut &stream[..0]), Err(ChannelError::Closed)));
        assert!(receive::<EnclaveMessage>(&mut &stream[..stream.len() - 1]).is_err());
    }

    #[test]
    fn the_last_message_names_members_for_a_batch_only() {
        let finished = |members| EnclaveMessage::Finished {
            receipt: vec![1],
            signature: vec![2],
            archive: vec![3],
            members,
        };
        let one = to_canonical(&finished(None));
        assert_eq!(one, [0x82, 8, 0x83, 0x41, 1, 0x41, 2, 0x41, 3]);
        let batch = finished(Some(Members { root: crate::MembersRoot::from([7; 32]), count: 1000 }));
        let mut stream = Vec::new();
        send(&mut stream, &batch).unwrap();
        assert_eq!(receive::<EnclaveMessage>(&mut stream.as_slice()).unwrap(), batch);
    }

    #[test]
    fn endorsements_round_trip() {
        let endorsements = vec![Endorsement { kind: 1, content: vec![7; 300] }];
        let message = HostMessage::Endorsements { endorsements };
        let mut stream = Vec::new();
        send(&mut stream, &message).unwrap();
        assert_eq!(receive::<HostMessage>(&mut stream.as_slice()).unwrap(), message);
    }

    #[test]
    fn chunks_are_the_messages_that_they_are_without_short_cuts() {
        for len in [0, 1, 23, 24, 255, 256, 65_535, 65_536, 70_000, MAX_CHUNK_BYTES] {
            let bytes = vec![7; len];
            let (mut plain, mut short) = (Vec::new(), Vec::new());
            send(&mut plain, &HostMessage::Chunk { bytes: bytes.clone() }).unwrap();
            send_chunk::<HostMessage>(&mut short, &bytes).unwrap();
            assert!(plain == short, "{len}");
            let mut room = vec![1; 3];
            match receive_chunk::<HostMessage>(&mut plain.as_slice(), &mut room).unwrap() {
                Incoming::Chunk => assert!(len >= 65_536 && room == bytes),
                Incoming::Message(message) => {
                    assert!(len < 65_536 && message == HostMessage::Chunk { bytes });
                }
            }
            // An enclave's chunk is none of the host's.
            let mut other = Vec::new();
            send_chunk::<EnclaveMessage>(&mut other, &vec![7; len]).unwrap();
            assert!(receive_chunk::<HostMessage>(&mut other.as_slice(), &mut room).is_err());
            assert!(receive_chunk::<HostMessage>(&mut &plain[..plain.len() - 1], &mut room).is_err());
        }
        let mut room = Vec::new();
        for message in [HostMessage::Done, HostMessage::Failed { reason: "no".into() }] {
            let mut stream = Vec::new();
            send(&mut stream, &message).unwrap();
            assert_eq!(receive_chunk(&mut stream.as_slice(), &mut room).unwrap(), Incoming::Message(message));
        }
        // A length that is not in its shortest form.
        let padded = [&[0, 0, 0, 9][..], &[0x82, 2, 0x81, 0x5a, 0, 0, 0, 1, 7]].concat();
        assert!(receive_chunk::<HostMessage>(&mut padded.as_slice(), &mut room).is_err());
    }

    #[test]
    fn a_lying_length_allocates_nothing() {
        assert!(matches!(receive::<HostMessage>(&mut [0xff; 8].as_slice()), Err(ChannelError::TooLarge(_))));
    }
}
