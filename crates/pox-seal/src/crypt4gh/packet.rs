//! Header packets: their plain text, and its encryption for one reader.

use super::{ContentKeys, Crypt4ghError, DataKey, EditList, HeaderError, Identity, MAX_EDITS, Recipient};
use crate::cipher::AeadKey;
use crate::random::{Randomness, draw};
use blake2::{Blake2b512, Digest};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// What a packet holds.
#[derive(Debug)]
pub(super) enum Payload {
    Key(DataKey),
    Edits(Option<EditList>),
}

impl Payload {
    /// Parses a packet's plain text, which may end in padding.
    pub(super) fn parse(text: &[u8]) -> Result<Self, HeaderError> {
        let (kind, rest) = number(text)?;
        let (second, rest) = number(rest)?;
        match kind {
            DATA_KEY if second != CHACHA20_POLY1305 => Err(HeaderError::Method(second)),
            DATA_KEY => {
                let key = rest.get(..32).and_then(DataKey::from_bytes).ok_or(HeaderError::Packet)?;
                Ok(Self::Key(key))
            }
            EDIT_LIST if second == 0 => Ok(Self::Edits(None)),
            EDIT_LIST => {
                let count = usize::try_from(second).unwrap_or(usize::MAX);
                if count > MAX_EDITS {
                    return Err(super::BadEdits::Count.into());
                }
                let lengths = rest.get(..8 * count).ok_or(HeaderError::Packet)?.as_chunks().0;
                let lengths = lengths.iter().map(|length| u64::from_le_bytes(*length)).collect();
                Ok(Self::Edits(Some(EditList::new(lengths)?)))
            }
            other => Err(HeaderError::PacketType(other)),
        }
    }
}

/// The plain text again, without padding, if a packet may hold it; for fuzzing.
#[doc(hidden)]
pub fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    match Payload::parse(text).ok()? {
        Payload::Key(key) => plain_packets(&ContentKeys::new(vec![key], None)?).next(),
        Payload::Edits(Some(edits)) => Some(plain_edits(&edits)),
        Payload::Edits(None) => Some(Zeroizing::new([EDIT_LIST.to_le_bytes(), [0; 4]].concat())),
    }
}

/// The plain text of every packet that tells these keys and edits, in the order in which a header has them.
pub(super) fn plain_packets(content: &ContentKeys) -> impl Iterator<Item = Zeroizing<Vec<u8>>> {
    let keys = content.keys().iter().map(|key| {
        let mut text = Zeroizing::new(Vec::with_capacity(40));
        text.extend_from_slice(&DATA_KEY.to_le_bytes());
        text.extend_from_slice(&CHACHA20_POLY1305.to_le_bytes());
        text.extend_from_slice(key.dangerous_bytes());
        text
    });
    keys.chain(content.edits().map(plain_edits))
}

fn plain_edits(edits: &EditList) -> Zeroizing<Vec<u8>> {
    let lengths = edits.lengths();
    let mut text = Zeroizing::new(Vec::with_capacity(8 + 8 * lengths.len()));
    text.extend_from_slice(&EDIT_LIST.to_le_bytes());
    text.extend_from_slice(&(lengths.len() as u32).to_le_bytes());
    lengths.iter().for_each(|length| text.extend_from_slice(&length.to_le_bytes()));
    text
}

/// Encrypts a packet's plain text for one reader; gives everything after the packet's length.
pub(super) fn seal(
    text: &[u8],
    recipient: &Recipient,
    writer: &StaticSecret,
    random: &mut dyn Randomness,
) -> Result<Vec<u8>, Crypt4ghError> {
    let public = PublicKey::from(writer);
    let key = shared_key(writer, &recipient.0, &recipient.0, &public).ok_or(Crypt4ghError::BadRecipient)?;
    let nonce = *draw::<NONCE>(random)?;
    let mut packet = Vec::with_capacity(HEAD + text.len() + TAG);
    packet.extend_from_slice(&X25519.to_le_bytes());
    packet.extend_from_slice(public.as_bytes());
    packet.extend_from_slice(&nonce);
    packet.extend_from_slice(text);
    let tag = AeadKey::new(&key).seal(&nonce, &mut packet[HEAD..]);
    packet.extend_from_slice(&tag);
    Ok(packet)
}

/// Decrypts a packet; none if it is for another reader, or of another method.
pub(super) fn open(packet: &[u8], identity: &Identity) -> Option<Zeroizing<Vec<u8>>> {
    let (head, sealed) = packet.split_at_checked(HEAD)?;
    let (method, head) = number(head).ok()?;
    let (writer, nonce) = head.split_first_chunk::<32>()?;
    let (text, tag) = sealed.split_last_chunk::<TAG>()?;
    if method != X25519 {
        return None;
    }
    let writer = PublicKey::from(*writer);
    let key = shared_key(&identity.secret, &writer, &identity.public, &writer)?;
    let mut text = Zeroizing::new(text.to_vec());
    AeadKey::new(&key).open(nonce.try_into().ok()?, &mut text, tag).then_some(text)
}

/// The first half of `BLAKE2b-512(X25519(secret, other) ‖ reader ‖ writer)`; none for points of low order.
fn shared_key(
    secret: &StaticSecret,
    other: &PublicKey,
    reader: &PublicKey,
    writer: &PublicKey,
) -> Option<Zeroizing<[u8; 32]>> {
    let shared = secret.diffie_hellman(other);
    if !shared.was_contributory() {
        return None;
    }
    let mut hash = Blake2b512::new();
    hash.update(shared.as_bytes());
    hash.update(reader.as_bytes());
    hash.update(writer.as_bytes());
    let mut digest = Zeroizing::new([0; 64]);
    digest.copy_from_slice(&hash.finalize());
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&digest[..32]);
    Some(key)
}

/// Takes a little-endian number off the front.
pub(super) fn number(bytes: &[u8]) -> Result<(u32, &[u8]), HeaderError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(HeaderError::Packet)?;
    Ok((u32::from_le_bytes(*number), rest))
}

const X25519: u32 = 0;
const DATA_KEY: u32 = 0;
const EDIT_LIST: u32 = 1;
const CHACHA20_POLY1305: u32 = 0;
const NONCE: usize = 12;
const TAG: usize = 16;
/// Method, writer's key and nonce.
const HEAD: usize = 4 + 32 + NONCE;
