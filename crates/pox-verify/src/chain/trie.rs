//! Merkle-Patricia proofs of inclusion: of state, as `eth_getProof` gives them, and of receipts.
//!
//! A walk of our own, because the nodes come from whoever made the proof: `alloy-trie` panics where extensions add up to more
//! nibbles than a key has. Tests compare the two on real tries.

use super::rlp::{self, Item};
use alloy_primitives::{B256, keccak256};

/// Nibbles of a hashed key; others are shorter.
const KEY_NIBBLES: usize = 64;
/// Children of a branch, and its value.
const BRANCH_ITEMS: usize = 17;

/// A list of nodes does not lead from the root to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    /// A node is not the one that its parent, or the root, names; counted from 0.
    #[error("trie node {0} is not the one that is named by its hash")]
    Hash(usize),
    /// A node is no trie node.
    #[error("trie node {0} is malformed")]
    Node(usize),
    /// The trie has nothing under this key.
    #[error("the trie holds nothing there")]
    Absent,
    /// The nodes end before the value.
    #[error("the proof is cut short")]
    Short,
    /// Nodes follow the value.
    #[error("the proof has nodes that lead nowhere")]
    Surplus,
}

/// The value under keccak256 of a key, which `nodes` lead to from `root`.
pub(crate) fn lookup<'a>(root: B256, key: &[u8], nodes: &'a [Vec<u8>]) -> Result<&'a [u8], TrieError> {
    walk(root, &nibbles(keccak256(key).as_slice()), nodes)
}

/// The value at a place of a list, such as a block's receipts, whose trie has the RLP of the place as key.
pub(crate) fn lookup_place(root: B256, place: u32, nodes: &[Vec<u8>]) -> Result<&[u8], TrieError> {
    let mut key = Vec::with_capacity(5);
    let digits = place.to_be_bytes();
    rlp::put_string(&digits[place.leading_zeros() as usize / 8..], &mut key);
    walk(root, &nibbles(&key), nodes)
}

/// No key is the beginning of another, or else a value could stand at a branch.
fn walk<'a>(root: B256, key: &[u8], nodes: &'a [Vec<u8>]) -> Result<&'a [u8], TrieError> {
    let mut path = key;
    let mut expected = root;
    for (position, node) in nodes.iter().enumerate() {
        if keccak256(node) != expected {
            return Err(TrieError::Hash(position));
        }
        match descend(node, &mut path).ok_or(TrieError::Node(position))? {
            Descent::Hash(hash) => expected = hash,
            Descent::Value(value) if position + 1 == nodes.len() => return Ok(value),
            Descent::Value(_) => return Err(TrieError::Surplus),
            Descent::Absent => return Err(TrieError::Absent),
        }
    }
    Err(TrieError::Short)
}

enum Descent<'a> {
    Hash(B256),
    Value(&'a [u8]),
    Absent,
}

/// Follows the path through one node and the smaller ones that stand inside it; `None` if one is malformed.
fn descend<'a>(node: &'a [u8], path: &mut &[u8]) -> Option<Descent<'a>> {
    let mut node = node;
    loop {
        let items = rlp::list(node, BRANCH_ITEMS).ok()?;
        let child = match items.as_slice() {
            [prefix, end] => match Prefix::parse(prefix)? {
                Prefix { nibbles, is_leaf: true } => {
                    let value = if end.is_list { return None } else { end.payload };
                    return Some(if *path == nibbles { Descent::Value(value) } else { Descent::Absent });
                }
                Prefix { nibbles, is_leaf: false } => {
                    if nibbles.is_empty() {
                        return None;
                    }
                    let Some(rest) = path.strip_prefix(nibbles.as_slice()) else {
                        return Some(Descent::Absent);
                    };
                    *path = rest;
                    end
                }
            },
            children if children.len() == BRANCH_ITEMS => {
                // No key ends at a branch.
                let (nibble, rest) = path.split_first()?;
                *path = rest;
                children.get(usize::from(*nibble))?
            }
            _ => return None,
        };
        // An embedded node is shorter than the one that holds it, so this ends.
        match child {
            Item { is_list: true, raw, .. } => node = raw,
            Item { payload: [], .. } => return Some(Descent::Absent),
            Item { payload, .. } => return B256::try_from(*payload).ok().map(Descent::Hash),
        }
    }
}

/// The path part of a leaf or an extension.
struct Prefix {
    nibbles: Vec<u8>,
    is_leaf: bool,
}

impl Prefix {
    fn parse(item: &Item<'_>) -> Option<Self> {
        let (first, rest) = item.payload.split_first().filter(|_| !item.is_list)?;
        if rest.len() > KEY_NIBBLES / 2 {
            return None;
        }
        let odd = match first >> 4 {
            0 | 2 if first & 0xf == 0 => None,
            1 | 3 => Some(first & 0xf),
            _ => return None,
        };
        let pairs = rest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        Some(Self { nibbles: odd.into_iter().chain(pairs).collect(), is_leaf: first >> 4 >= 2 })
    }
}

fn nibbles(key: &[u8]) -> Vec<u8> {
    key.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_trie::proof::{ProofRetainer, verify_proof};
    use alloy_trie::{HashBuilder, Nibbles};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Root of a trie over hashed keys, and the proof of one.
    fn prove(leaves: &BTreeMap<B256, Vec<u8>>, key: B256) -> (B256, Vec<Vec<u8>>) {
        let retainer = ProofRetainer::new(vec![Nibbles::unpack(key)]);
        let mut builder = HashBuilder::default().with_proof_retainer(retainer);
        for (key, value) in leaves {
            builder.add_leaf(Nibbles::unpack(key), value);
        }
        let root = builder.root();
        let nodes = builder.take_proof_nodes().into_nodes_sorted();
        (root, nodes.into_iter().map(|(_, node)| node.to_vec()).collect())
    }

    fn agrees(root: B256, key: &[u8], value: &[u8], nodes: &[Vec<u8>]) -> bool {
        let nodes: Vec<_> = nodes.iter().map(|node| node.clone().into()).collect();
        verify_proof(root, Nibbles::unpack(keccak256(key)), Some(value.to_vec()), &nodes).is_ok()
    }

    proptest! {
        #[test]
        fn finds_what_is_there_and_nothing_else(count in 1u64..400, value in prop::collection::vec(1u8.., 1..80)) {
            let key = |i: u64| keccak256(i.to_be_bytes());
            let leaves: BTreeMap<_, _> = (0..count).map(|i| (key(i), [&value[..], &[i as u8]].concat())).collect();
            for i in [0, count / 2, count - 1, count, count + 1] {
                let (root, nodes) = prove(&leaves, key(i));
                let found = lookup(root, &i.to_be_bytes(), &nodes);
                match leaves.get(&key(i)) {
                    Some(value) => {
                        prop_assert_eq!(found, Ok(value.as_slice()));
                        prop_assert!(agrees(root, &i.to_be_bytes(), value, &nodes));
                    }
                    None => prop_assert_eq!(found, Err(TrieError::Absent)),
                }
            }
        }

        #[test]
        fn no_node_makes_it_panic(node in prop::collection::vec(any::<u8>(), 0..200), key in any::<u64>()) {
            let root = keccak256(&node);
            let _ = lookup(root, &key.to_be_bytes(), &[node]);
        }
    }

    /// Where keys of one, two and three bytes meet, and where the order of keys is not that of places.
    #[test]
    fn finds_receipts_at_every_place_of_a_large_block() {
        let key = |place: u64| Nibbles::unpack(alloy_rlp::encode(place));
        let leaves: BTreeMap<Nibbles, Vec<u8>> =
            (0..300u64).map(|place| (key(place), vec![(place % 251) as u8 + 1; 40])).collect();
        for place in [0u32, 1, 127, 128, 129, 255, 256, 299, 300] {
            let retainer = ProofRetainer::new(vec![key(place.into())]);
            let mut builder = HashBuilder::default().with_proof_retainer(retainer);
            leaves.iter().for_each(|(key, value)| builder.add_leaf(*key, value));
            let root = builder.root();
            let nodes = builder.take_proof_nodes().into_nodes_sorted();
            let nodes: Vec<_> = nodes.into_iter().map(|(_, node)| node.to_vec()).collect();
            let found = lookup_place(root, place, &nodes);
            match leaves.get(&key(place.into())) {
                Some(value) => assert_eq!(found, Ok(value.as_slice()), "{place}"),
                None => assert_eq!(found, Err(TrieError::Absent), "{place}"),
            }
            let other = lookup_place(root, place ^ 1, &nodes);
            assert!(other.is_err() || other != found, "{place}");
        }
    }

    /// Nodes that stand inside their parents come with short values only.
    #[test]
    fn follows_embedded_nodes() {
        let path = nibbles(keccak256(b"key").as_slice());
        // A leaf of the last nibble, inside a branch, inside an extension of all the others.
        let leaf = [0xc2, 0x20, 0x07];
        let mut branch = vec![0xc0 + 16 + 3];
        for child in 0..17 {
            if child == path[63] { branch.extend(leaf) } else { branch.push(0x80) }
        }
        let packed: Vec<u8> = core::iter::once(0x10 | path[0])
            .chain(path[1..63].chunks(2).map(|pair| pair[0] << 4 | pair[1]))
            .collect();
        let mut extension = vec![0x80 + packed.len() as u8];
        extension.extend(&packed);
        extension.extend(&branch);
        let mut node = vec![0xc0 + extension.len() as u8];
        node.extend(extension);
        assert_eq!(lookup(keccak256(&node), b"key", &[node.clone()]), Ok([7].as_slice()));
        assert_eq!(lookup(keccak256(&node), b"another", &[node]), Err(TrieError::Absent));
    }

    /// Extensions that add up to more than a key: `alloy-trie` panics on these.
    #[test]
    fn extensions_beyond_the_key_are_absent() {
        let path = nibbles(keccak256(b"key").as_slice());
        let packed = |nibbles: &[u8]| -> Vec<u8> {
            core::iter::once(0).chain(nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1])).collect()
        };
        let extension = |nibbles: &[u8], child: B256| {
            let packed = packed(nibbles);
            let mut payload = vec![0x80 + packed.len() as u8];
            payload.extend(packed);
            payload.push(0xa0);
            payload.extend(child);
            let mut node = if payload.len() < 56 {
                vec![0xc0 + payload.len() as u8]
            } else {
                vec![0xf8, payload.len() as u8]
            };
            node.extend(payload);
            node
        };
        let second = extension(&path[..40], B256::ZERO);
        let first = extension(&path[..40], keccak256(&second));
        let nodes = [first, second];
        assert_eq!(lookup(keccak256(&nodes[0]), b"key", &nodes), Err(TrieError::Absent));
    }
}
