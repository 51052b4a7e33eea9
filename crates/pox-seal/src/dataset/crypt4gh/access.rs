//! `access.age`: what opens each file, for whoever the dataset was sealed for.

use crate::crypt4gh::{ContentKeys, DataKey, MAX_DATA_KEYS, MAX_EDITS};
use crate::dataset::b3sums::{MAX_OBJECTS, ObjectName};
use minicbor::{Decoder, Encoder};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Most Crypt4GH files of a dataset: what `B3SUMS` has room for, beside `KEYS` and `access.age`.
pub(crate) const MAX_FILES: usize = MAX_OBJECTS - 2;
/// Most bytes of all that opens a dataset. It has to fit a secret, with room for everything else there.
pub(super) const MAX_ACCESS: usize = 32 * 1024;

/// What opens the files of a dataset.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Access(pub(crate) BTreeMap<ObjectName, ContentKeys>);

impl Access {
    /// `["pox-crypt4gh", 1, [[name, [key, …], [length, …] or null], …]]` in canonical CBOR, in ascending order of names; none if
    /// it is larger than what opens a dataset may be.
    pub(super) fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        // Room for all that is taken, so that no part of it is left where it was.
        let mut e = Encoder::new(Vec::with_capacity(MAX_ACCESS));
        self.write(&mut e).expect("writing to memory can't fail");
        let bytes = Zeroizing::new(e.into_writer());
        (bytes.len() <= MAX_ACCESS && self.0.len() <= MAX_FILES).then_some(bytes)
    }

    fn write(
        &self,
        e: &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        e.array(3)?.str(MAGIC)?.u8(VERSION)?.array(self.0.len() as u64)?;
        for (name, content) in &self.0 {
            e.array(3)?.str(name.as_str())?.array(content.keys().len() as u64)?;
            for key in content.keys() {
                e.bytes(key.dangerous_bytes())?;
            }
            match content.edits() {
                None => {
                    e.null()?;
                }
                Some(edits) => {
                    e.array(edits.lengths().len() as u64)?;
                    for length in edits.lengths() {
                        e.u64(*length)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the one encoding that each content has; none of anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_ACCESS {
            return None;
        }
        let access = Self::read(&mut Decoder::new(bytes))?;
        (access.encode()?.as_slice() == bytes).then_some(access)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        if d.array().ok()?? != 3 || d.str().ok()? != MAGIC || d.u8().ok()? != VERSION {
            return None;
        }
        let mut access = BTreeMap::new();
        for _ in 0..bounded(d, MAX_FILES)? {
            d.array().ok()?;
            let name = ObjectName::new(d.str().ok()?).ok().filter(super::is_file)?;
            let mut keys = Vec::new();
            for _ in 0..bounded(d, MAX_DATA_KEYS)? {
                keys.push(DataKey::from_bytes(d.bytes().ok()?)?);
            }
            let lengths = if d.datatype().ok()? == minicbor::data::Type::Null {
                d.null().ok()?;
                None
            } else {
                let mut lengths = Vec::new();
                for _ in 0..bounded(d, MAX_EDITS)? {
                    lengths.push(d.u64().ok()?);
                }
                Some(lengths)
            };
            access.insert(name, ContentKeys::from_parts(keys, lengths).ok()??);
        }
        Some(Self(access))
    }
}

/// The length of an array that may have so many elements.
fn bounded(d: &mut Decoder<'_>, most: usize) -> Option<usize> {
    usize::try_from(d.array().ok()??).ok().filter(|count| *count <= most)
}

/// The bytes again if they are the one encoding of what they say; for fuzzing.
#[doc(hidden)]
pub fn decode(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    Access::decode(bytes)?.encode()
}

const MAGIC: &str = "pox-crypt4gh";
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn access() -> impl Strategy<Value = Access> {
        let content = (
            prop::collection::vec(any::<[u8; 32]>(), 1..4),
            prop::option::of(prop::collection::vec(0..u64::MAX / 8, 1..8)),
        )
            .prop_map(|(keys, lengths)| {
                let keys = keys.iter().map(|key| DataKey::from_bytes(key).unwrap()).collect();
                ContentKeys::from_parts(keys, lengths).unwrap().unwrap()
            });
        let name = "[a-z]{1,8}".prop_map(|stem| ObjectName::new(&format!("{stem}.c4gh")).unwrap());
        prop::collection::btree_map(name, content, 0..4).prop_map(Access)
    }

    proptest! {
        #[test]
        fn there_is_one_encoding(access in access(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = access.encode().unwrap().to_vec();
            prop_assert_eq!(Access::decode(&bytes).unwrap(), access);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Some(changed) = Access::decode(&bytes) {
                prop_assert_eq!(changed.encode().unwrap().to_vec(), bytes);
            }
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let content = |count: u64| {
            let key = DataKey::from_bytes(&[7; 32]).unwrap();
            ContentKeys::from_parts(vec![key], Some((0..count).map(|_| u64::from(u32::MAX)).collect()))
                .unwrap()
                .unwrap()
        };
        let one = |count| Access([(ObjectName::new("a.c4gh").unwrap(), content(count))].into()).encode();
        assert!(one(3_000).is_some());
        assert!(one(8_000).is_none(), "it would not fit a secret");
        let many = (0..=MAX_FILES).map(|at| (ObjectName::new(&format!("{at}.c4gh")).unwrap(), content(1)));
        assert!(Access(many.collect()).encode().is_none());
        assert!(Access::decode(b"").is_none());
    }
}
