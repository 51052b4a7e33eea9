//! What an enclave and its host say to each other (spec §13). Neither side believes the other.
//!
//! The enclave has no network: it asks its host for bytes and checks them, and hands it sealed bytes to store. Messages are
//! frames of a 4-byte big-endian length and canonical CBOR, over any byte stream.

use crate::codec::{CodecError, from_canonical, to_canonical};
use crate::domain::Domain;
use crate::endorsement::Endorsement;
use crate::evidence::EvidenceKind;
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

/// Reads one message; allocates no more than the bound, whatever the frame claims.
///
/// # Errors
/// The stream ends or fails, or the frame holds no message.
pub fn receive<T>(stream: &mut impl Read) -> Result<T, ChannelError>
where
    T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
{
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(ChannelError::Closed),
        other => other?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(ChannelError::TooLarge(length));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(from_canonical(&bytes, MAX_FRAME_BYTES)?)
}

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
    fn endorsements_round_trip() {
        let endorsements = vec![Endorsement { kind: 1, content: vec![7; 300] }];
        let message = HostMessage::Endorsements { endorsements };
        let mut stream = Vec::new();
        send(&mut stream, &message).unwrap();
        assert_eq!(receive::<HostMessage>(&mut stream.as_slice()).unwrap(), message);
    }

    #[test]
    fn a_lying_length_allocates_nothing() {
        assert!(matches!(receive::<HostMessage>(&mut [0xff; 8].as_slice()), Err(ChannelError::TooLarge(_))));
    }
}
