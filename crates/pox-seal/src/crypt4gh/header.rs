//! The header: bounded before anything is allocated, opened packet by packet.

use super::packet::{self, Payload};
use super::{ContentKeys, Crypt4ghError, HeaderError, Identity, MAX_DATA_KEYS, Recipient};
use crate::random::{Randomness, draw};
use std::io::{self, Read};
use x25519_dalek::StaticSecret;

/// Most packets of a header: each may cost a public key operation for each key that is tried.
pub const MAX_PACKETS: usize = 1024;
/// Most bytes of a packet, its length included: room for the longest edit list.
pub const MAX_PACKET: usize = 132 * 1024;
/// Most bytes of a header.
pub const MAX_HEADER: usize = 1024 * 1024;

/// A parsed header. Nothing of it is authentic before a packet was opened, and then only to who wrote that packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// What follows each packet's length.
    packets: Vec<Vec<u8>>,
}

/// What can be told of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Description {
    /// Bytes before the body.
    pub bytes: u64,
    /// Packets: one for each data key and edit list, for each reader.
    pub packets: usize,
    /// Packets of the one length that a data key without padding has; for files with one key, the number of readers.
    pub key_packets: usize,
    /// What the keys that were tried found out; none if they open nothing.
    pub opened: Option<Told>,
}

/// What a header tells the reader that asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// Data keys.
    pub data_keys: usize,
    /// Lengths in the edit list; none without an edit list.
    pub edits: Option<usize>,
}

impl Header {
    /// Reads one header and not a byte more.
    ///
    /// # Errors
    /// It is malformed, out of its bounds, or can't be read.
    pub fn read(reader: &mut impl Read) -> Result<Self, Crypt4ghError> {
        let start: [u8; 16] = array(reader)?;
        if start[..8] != *MAGIC {
            return Err(HeaderError::Magic.into());
        }
        let (version, rest) = packet::number(&start[8..])?;
        let (count, _) = packet::number(rest)?;
        if version != VERSION {
            return Err(HeaderError::Version(version).into());
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if !(1..=MAX_PACKETS).contains(&count) {
            return Err(HeaderError::Bounds.into());
        }
        let (mut packets, mut total) = (Vec::with_capacity(count), start.len());
        for _ in 0..count {
            let len = u32::from_le_bytes(array(reader)?) as usize;
            total = total.saturating_add(len);
            // A length counts itself, and an encryption method follows.
            if !(8..=MAX_PACKET).contains(&len) || total > MAX_HEADER {
                return Err(HeaderError::Bounds.into());
            }
            let mut packet = vec![0; len - 4];
            read_exact(reader, &mut packet)?;
            packets.push(packet);
        }
        Ok(Self { packets })
    }

    /// Parses exactly one header, from its first to its last byte.
    ///
    /// # Errors
    /// It is malformed, out of its bounds, or something follows.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, Crypt4ghError> {
        let header = Self::read(&mut bytes)?;
        if bytes.is_empty() { Ok(header) } else { Err(HeaderError::Bounds.into()) }
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size() as usize);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.packets.len() as u32).to_le_bytes());
        for packet in &self.packets {
            bytes.extend_from_slice(&(packet.len() as u32 + 4).to_le_bytes());
            bytes.extend_from_slice(packet);
        }
        bytes
    }

    /// Number of bytes before the body.
    pub fn size(&self) -> u64 {
        16 + self.packets.iter().map(|packet| packet.len() as u64 + 4).sum::<u64>()
    }

    /// Makes a header for these readers and nobody else, under a writer's key that is forgotten at once.
    ///
    /// # Errors
    /// There are no recipients, or too many for one header, or no randomness.
    pub fn seal(
        content: &ContentKeys,
        recipients: &[Recipient],
        random: &mut dyn Randomness,
    ) -> Result<Self, Crypt4ghError> {
        let writer = StaticSecret::from(*draw::<32>(random)?);
        let mut packets = Vec::new();
        for recipient in recipients {
            for text in packet::plain_packets(content) {
                packets.push(packet::seal(&text, recipient, &writer, random)?);
            }
        }
        let header = Self { packets };
        let fits = (1..=MAX_PACKETS).contains(&header.packets.len()) && header.size() <= MAX_HEADER as u64;
        if fits { Ok(header) } else { Err(HeaderError::Bounds.into()) }
    }

    /// What the header tells the first of these readers for which it has a data key.
    ///
    /// # Errors
    /// It has none for any of them, or what it tells is malformed.
    pub fn unlock(&self, identities: &[Identity]) -> Result<ContentKeys, Crypt4ghError> {
        for identity in identities {
            if let Some(content) = self.told(identity)? {
                return Ok(content);
            }
        }
        Err(Crypt4ghError::NoMatch)
    }

    fn told(&self, identity: &Identity) -> Result<Option<ContentKeys>, HeaderError> {
        let (mut keys, mut lists) = (Vec::new(), Vec::new());
        for text in self.packets.iter().filter_map(|packet| packet::open(packet, identity)) {
            match Payload::parse(&text)? {
                Payload::Key(key) => keys.push(key),
                Payload::Edits(edits) => lists.push(edits),
            }
        }
        if lists.len() > 1 {
            return Err(HeaderError::EditLists);
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let content = ContentKeys::new(keys, lists.pop().flatten());
        content.map(Some).ok_or(HeaderError::DataKeys)
    }

    /// Describes the header, with what these keys find out of it.
    pub fn describe(&self, identities: &[Identity]) -> Description {
        let told = |content: ContentKeys| Told {
            data_keys: content.keys().len(),
            edits: content.edits().map(|edits| edits.lengths().len()),
        };
        Description {
            bytes: self.size(),
            packets: self.packets.len(),
            key_packets: self.packets.iter().filter(|packet| packet.len() == KEY_PACKET).count(),
            opened: self.unlock(identities).ok().map(told),
        }
    }
}

fn array<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], Crypt4ghError> {
    let mut bytes = [0; N];
    read_exact(reader, &mut bytes)?;
    Ok(bytes)
}

fn read_exact(reader: &mut impl Read, out: &mut [u8]) -> Result<(), Crypt4ghError> {
    reader.read_exact(out).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => HeaderError::Truncated.into(),
        _ => Crypt4ghError::Io(error),
    })
}

const MAGIC: &[u8; 8] = b"crypt4gh";
const VERSION: u32 = 1;
/// Bytes after the length of the well-known packet of 108 bytes.
const KEY_PACKET: usize = 104;

const _: () = assert!(super::MAX_EDITS * 8 + 128 <= MAX_PACKET && MAX_DATA_KEYS < MAX_PACKETS);

#[cfg(test)]
mod tests {
    use super::super::{BadEdits, DataKey, EditList};
    use super::*;
    use crate::random::OsRandom;
    use proptest::prelude::*;

    fn identity(byte: u8) -> Identity {
        Identity::from_bytes(&[byte; 32])
    }

    fn content(keys: &[u8], lengths: Option<Vec<u64>>) -> ContentKeys {
        let keys = keys.iter().map(|byte| DataKey::from_bytes(&[*byte; 32]).unwrap()).collect();
        ContentKeys::new(keys, lengths.map(|lengths| EditList::new(lengths).unwrap())).unwrap()
    }

    /// A header whose packets have these plain texts.
    fn with_texts(texts: &[&[u8]]) -> Header {
        let writer = StaticSecret::from([3; 32]);
        let seal =
            |text: &&[u8]| packet::seal(text, &identity(1).recipient(), &writer, &mut OsRandom).unwrap();
        Header { packets: texts.iter().map(seal).collect() }
    }

    fn words(words: &[u32], more: &[u8]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).chain(more.iter().copied()).collect()
    }

    fn unlock(texts: &[&[u8]]) -> Result<ContentKeys, Crypt4ghError> {
        with_texts(texts).unlock(&[identity(1)])
    }

    fn refused(texts: &[&[u8]]) -> HeaderError {
        match unlock(texts) {
            Err(Crypt4ghError::Header(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_packet_has_108_bytes_and_each_reader_gets_the_same() {
        let content = content(&[7, 8], Some(vec![1, 2, 3]));
        let readers = [identity(1), identity(2)];
        let recipients = readers.each_ref().map(Identity::recipient);
        let header = Header::seal(&content, &recipients, &mut OsRandom).unwrap();
        let bytes = header.to_bytes();
        assert_eq!(bytes.len() as u64, header.size());
        assert_eq!(header.size(), 16 + 2 * (108 + 108 + 100));
        for reader in readers {
            let again = Header::parse(&bytes).unwrap();
            assert_eq!(again.unlock(std::slice::from_ref(&reader)).unwrap(), content);
            let told = Some(Told { data_keys: 2, edits: Some(3) });
            let wanted = Description { bytes: header.size(), packets: 6, key_packets: 4, opened: told };
            assert_eq!(again.describe(&[identity(9), reader]), wanted);
        }
        assert!(matches!(header.unlock(&[identity(9)]), Err(Crypt4ghError::NoMatch)));
        assert_eq!(header.describe(&[]).opened, None);
    }

    #[test]
    fn padding_is_skipped_and_repeated_keys_count_once() {
        let key = words(&[0, 0], &[7; 32]);
        let padded = words(&[0, 0], &[&[8; 32][..], &[0; 100]].concat());
        let edits = words(&[1, 1, 5, 0], &[0xff; 3]);
        let told = unlock(&[&key, &padded, &key, &edits]).unwrap();
        assert_eq!(told, content(&[7, 8], Some(vec![5])));
        assert_eq!(unlock(&[&key, &words(&[1, 0], &[])]).unwrap(), content(&[7], None), "no edits at all");
    }

    #[test]
    fn what_a_writer_did_wrong_is_named() {
        let key = words(&[0, 0], &[7; 32]);
        let edits = words(&[1, 1, 5, 0], &[]);
        assert_eq!(refused(&[&key, &edits, &edits]), HeaderError::EditLists);
        assert_eq!(refused(&[&words(&[0, 1], &[7; 40])]), HeaderError::Method(1));
        assert_eq!(refused(&[&key, &words(&[2, 0], &[])]), HeaderError::PacketType(2));
        assert_eq!(refused(&[&words(&[0, 0], &[7; 31])]), HeaderError::Packet);
        assert_eq!(refused(&[&key, &words(&[1, 2, 5, 0], &[])]), HeaderError::Packet);
        assert_eq!(refused(&[&key, &words(&[1, u32::MAX], &[])]), HeaderError::Edits(BadEdits::Count));
        let far = words(&[1, 2], &[[0xff; 8], [1; 8]].concat());
        assert_eq!(refused(&[&key, &far]), HeaderError::Edits(BadEdits::Overflow));
        let many: Vec<Vec<u8>> = (0..=MAX_DATA_KEYS).map(|at| words(&[0, 0], &[at as u8; 32])).collect();
        let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        assert_eq!(refused(&many), HeaderError::DataKeys);
        assert!(matches!(unlock(&[&edits]), Err(Crypt4ghError::NoMatch)));
    }

    #[test]
    fn bounds_hold_before_anything_is_allocated() {
        let start = |version: u32, count: u32| [&MAGIC[..], &words(&[version, count], &[])].concat();
        let parse = |bytes: &[u8]| match Header::parse(bytes) {
            Err(Crypt4ghError::Header(error)) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(parse(b"crypt4gX\x01\0\0\0\x01\0\0\0"), HeaderError::Magic);
        assert_eq!(parse(&start(2, 1)), HeaderError::Version(2));
        assert_eq!(parse(&start(1, 0)), HeaderError::Bounds);
        assert_eq!(parse(&start(1, u32::MAX)), HeaderError::Bounds);
        assert_eq!(parse(&start(1, 1)), HeaderError::Truncated);
        for len in [0, 3, 4, 7, MAX_PACKET as u32 + 1, u32::MAX] {
            assert_eq!(parse(&[start(1, 1), words(&[len], &[0; 4])].concat()), HeaderError::Bounds, "{len}");
        }
        assert_eq!(parse(&[start(1, 1), words(&[108], &[0; 103])].concat()), HeaderError::Truncated);
        let large = words(&[MAX_PACKET as u32], &vec![0; MAX_PACKET - 4]);
        let bytes = [start(1, 8), large.repeat(8)].concat();
        assert_eq!(parse(&bytes), HeaderError::Bounds, "each packet fits, and all of them don't");
        let recipients = vec![identity(1).recipient(); MAX_PACKETS + 1];
        let sealed = Header::seal(&content(&[7], None), &recipients, &mut OsRandom);
        assert!(matches!(sealed, Err(Crypt4ghError::Header(HeaderError::Bounds))));
    }

    #[test]
    fn low_order_points_open_nothing() {
        let mut header =
            Header::seal(&content(&[7], None), &[identity(1).recipient()], &mut OsRandom).unwrap();
        header.packets[0][4..36].fill(0);
        assert!(matches!(header.unlock(&[identity(1)]), Err(Crypt4ghError::NoMatch)));
    }

    proptest! {
        #[test]
        fn headers_round_trip(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 4..200), 1..5)) {
            let header = Header { packets };
            prop_assert_eq!(Header::parse(&header.to_bytes()).unwrap(), header);
        }

        #[test]
        fn changed_bytes_open_nothing_else(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let content = content(&[7], Some(vec![1, 2]));
            let mut bytes = Header::seal(&content, &[identity(1).recipient()], &mut OsRandom).unwrap().to_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            // One of two packets may be lost, as packets of other readers are; none says anything else.
            if let Ok(told) = Header::parse(&bytes).and_then(|header| header.unlock(&[identity(1)])) {
                prop_assert_eq!(told.keys(), content.keys());
                prop_assert!(told.edits().is_none_or(|edits| edits.lengths() == [1, 2]));
            }
        }
    }
}
