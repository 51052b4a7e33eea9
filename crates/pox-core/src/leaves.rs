//! Salted leaves: a commitment to named values that opens value by value (spec §7.1).

use crate::codec::{CodecError, from_canonical, to_canonical};
use alloy_primitives::B256;
use sha2::{Digest, Sha256};

/// Most leaves under one root.
pub const MAX_LEAVES: usize = 64;
/// Longest name, bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest value, bytes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024;
/// Most bytes of one encoded opening.
pub const MAX_OPENING_BYTES: usize = MAX_LEAVES * (MAX_NAME_BYTES + MAX_VALUE_BYTES + 64);

/// A named value and the salt that hides it.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Leaf {
    /// 32 random bytes, used for this leaf only.
    #[cbor(n(0), with = "crate::bytes::word")]
    pub salt: B256,
    /// Unique under its root.
    #[n(1)]
    pub name: String,
    /// The value.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub value: Vec<u8>,
}

/// All leaves under one root, in ascending order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(transparent)]
pub struct Leaves(#[n(0)] Vec<Leaf>);

/// Some leaves of a root, opened; the rest stays hidden behind its hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Opening {
    /// The opened leaves, in ascending order of their positions.
    #[n(0)]
    leaves: Vec<(u32, Leaf)>,
    /// The hashes of the hidden ones, in ascending order of their positions.
    #[cbor(n(1), with = "crate::bytes::strings")]
    hidden: Vec<Vec<u8>>,
}

/// Leaves that can't stand under a root.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadLeaves {
    /// More leaves than the bound, or none where there must be some.
    #[error("{0} leaves, at most {MAX_LEAVES} are allowed")]
    Count(usize),
    /// A name is empty, too long, repeated or out of order.
    #[error("leaf name {0:?} is empty, too long, repeated or out of order")]
    Name(String),
    /// A value is too long.
    #[error("the value of {0:?} is longer than {MAX_VALUE_BYTES} bytes")]
    Value(String),
    /// An opening's positions or hashes do not make up a list.
    #[error("the opening is incomplete")]
    Incomplete,
}

impl Leaf {
    fn hash(&self) -> B256 {
        let (name, value) = (self.name.as_bytes(), &self.value);
        let hash = Sha256::new()
            .chain_update(b"pox-leaf-v1\0")
            .chain_update(self.salt)
            .chain_update((name.len() as u32).to_be_bytes())
            .chain_update(name)
            .chain_update((value.len() as u32).to_be_bytes())
            .chain_update(value)
            .finalize();
        B256::from(<[u8; 32]>::from(hash))
    }

    fn check(&self) -> Result<(), BadLeaves> {
        if self.name.is_empty() || self.name.len() > MAX_NAME_BYTES {
            return Err(BadLeaves::Name(self.name.clone()));
        }
        if self.value.len() > MAX_VALUE_BYTES { Err(BadLeaves::Value(self.name.clone())) } else { Ok(()) }
    }
}

impl Leaves {
    /// Sorts and checks leaves.
    ///
    /// # Errors
    /// Too many, or a name or value out of its bounds, or a name twice.
    pub fn new(mut leaves: Vec<Leaf>) -> Result<Self, BadLeaves> {
        leaves.sort_by(|a, b| a.name.cmp(&b.name));
        let leaves = Self(leaves);
        leaves.check()?;
        Ok(leaves)
    }

    /// The commitment.
    pub fn root(&self) -> B256 {
        root(self.0.iter().map(Leaf::hash).collect())
    }

    /// The value of a name.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|leaf| leaf.name == name).map(|leaf| leaf.value.as_slice())
    }

    /// Name and value of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|leaf| (leaf.name.as_str(), leaf.value.as_slice()))
    }

    /// Opens the leaves that `disclose` names, and hides the others.
    pub fn open(&self, disclose: impl Fn(&str) -> bool) -> Opening {
        let mut opening = Opening::default();
        for (position, leaf) in self.0.iter().enumerate() {
            if disclose(&leaf.name) {
                opening.leaves.push((position as u32, leaf.clone()));
            } else {
                opening.hidden.push(leaf.hash().to_vec());
            }
        }
        opening
    }

    /// The canonical encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(self)
    }

    /// Parses the canonical encoding and checks every bound.
    ///
    /// # Errors
    /// Malformed bytes or bad leaves.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        let leaves: Self = from_canonical(bytes, MAX_OPENING_BYTES)?;
        leaves.check().map_err(|error| CodecError::Malformed { position: 0, reason: error.to_string() })?;
        Ok(leaves)
    }

    /// Checks count, order and bounds of decoded leaves.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(&self) -> Result<(), BadLeaves> {
        if self.0.len() > MAX_LEAVES {
            return Err(BadLeaves::Count(self.0.len()));
        }
        self.0.iter().try_for_each(Leaf::check)?;
        match self.0.windows(2).find(|pair| pair[0].name >= pair[1].name) {
            Some(pair) => Err(BadLeaves::Name(pair[1].name.clone())),
            None => Ok(()),
        }
    }
}

impl Opening {
    /// The root that this opening belongs to.
    ///
    /// # Errors
    /// The opening is not one of any list.
    pub fn root(&self) -> Result<B256, BadLeaves> {
        let count = self.leaves.len() + self.hidden.len();
        if count > MAX_LEAVES {
            return Err(BadLeaves::Count(count));
        }
        let mut hashes = Vec::with_capacity(count);
        let mut hidden = self.hidden.iter();
        let mut opened = self.leaves.iter().peekable();
        for position in 0..count as u32 {
            let hash = match opened.next_if(|(at, _)| *at == position) {
                Some((_, leaf)) => {
                    leaf.check()?;
                    leaf.hash()
                }
                None => hidden
                    .next()
                    .and_then(|hash| B256::try_from(hash.as_slice()).ok())
                    .ok_or(BadLeaves::Incomplete)?,
            };
            hashes.push(hash);
        }
        Ok(root(hashes))
    }

    /// Name and value of each opened leaf, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.leaves.iter().map(|(_, leaf)| (leaf.name.as_str(), leaf.value.as_slice()))
    }

    /// How many leaves stay hidden.
    pub fn hidden(&self) -> usize {
        self.hidden.len()
    }
}

fn root(hashes: Vec<B256>) -> B256 {
    let mut hash =
        Sha256::new().chain_update(b"pox-leaves-v1\0").chain_update((hashes.len() as u32).to_be_bytes());
    for leaf in hashes {
        hash.update(leaf);
    }
    B256::from(<[u8; 32]>::from(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(names: &[&str]) -> Leaves {
        let leaf = |(i, name): (usize, &&str)| Leaf {
            salt: B256::repeat_byte(i as u8 + 1),
            name: (*name).to_owned(),
            value: format!("value of {name}").into_bytes(),
        };
        Leaves::new(names.iter().enumerate().map(leaf).collect()).unwrap()
    }

    #[test]
    fn every_partial_opening_has_the_root() {
        let all = leaves(&["args", "env", "inputs", "title"]);
        for mask in 0u32..16 {
            let names: Vec<_> = all.iter().map(|(name, _)| name.to_owned()).collect();
            let opening = all.open(|name| mask >> names.iter().position(|n| n == name).unwrap() & 1 == 1);
            assert_eq!(opening.root(), Ok(all.root()));
            assert_eq!(opening.hidden() as u32, 4 - mask.count_ones());
        }
    }

    #[test]
    fn a_changed_leaf_changes_the_root() {
        let all = leaves(&["args", "env"]);
        let mut opening = all.open(|_| true);
        opening.leaves[0].1.value[0] ^= 1;
        assert_ne!(opening.root(), Ok(all.root()));
        let mut moved = all.open(|name| name == "env");
        moved.leaves[0].0 = 7;
        assert_eq!(moved.root(), Err(BadLeaves::Incomplete));
    }

    #[test]
    fn names_are_unique_and_bounded() {
        let twice = vec![
            Leaf { salt: B256::ZERO, name: "a".into(), value: vec![] },
            Leaf { salt: B256::ZERO, name: "a".into(), value: vec![] },
        ];
        assert_eq!(Leaves::new(twice), Err(BadLeaves::Name("a".into())));
        let long = vec![Leaf { salt: B256::ZERO, name: "n".repeat(MAX_NAME_BYTES + 1), value: vec![] }];
        assert!(matches!(Leaves::new(long), Err(BadLeaves::Name(_))));
    }
}
