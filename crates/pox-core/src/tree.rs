//! Merkle trees that a contract can check a path of without knowing positions: lists of processors and batches (spec §3.4).

use crate::id::ListRoot;
use alloy_primitives::{Address, B256, keccak256};
use std::collections::BTreeSet;

/// Longest path: a tree of 2^32 leaves.
pub const MAX_PATH: usize = 32;

/// A leaf over the bytes that it stands for.
pub fn leaf(content: &[u8]) -> B256 {
    keccak256([&[0], content].concat())
}

/// The leaf of an account on a list of processors.
pub fn account_leaf(account: Address) -> B256 {
    leaf(account.as_slice())
}

/// The root of a list of processors, however it is written: in ascending order, each account once.
pub fn list_root(accounts: &BTreeSet<Address>) -> Option<ListRoot> {
    root(&list_leaves(accounts)).map(ListRoot)
}

/// The path from an account's leaf to its list's root; `None` if it is not on the list.
pub fn list_path(accounts: &BTreeSet<Address>, account: Address) -> Option<Vec<B256>> {
    path(&list_leaves(accounts), accounts.iter().position(|listed| *listed == account)?)
}

fn list_leaves(accounts: &BTreeSet<Address>) -> Vec<B256> {
    accounts.iter().map(|account| account_leaf(*account)).collect()
}

/// The root over leaves; `None` if there are none.
pub fn root(leaves: &[B256]) -> Option<B256> {
    match leaves {
        [] => None,
        [leaf] => Some(*leaf),
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            Some(node(root(left)?, root(right)?))
        }
    }
}

/// The path from a leaf to the root, nearest first; `None` if there is no such leaf.
pub fn path(leaves: &[B256], position: usize) -> Option<Vec<B256>> {
    if position >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut path, other) = match position.checked_sub(at) {
        None => (path(left, position)?, root(right)?),
        Some(position) => (path(right, position)?, root(left)?),
    };
    path.push(other);
    Some(path)
}

/// Where a path leads from a leaf; `None` if it is longer than any.
pub fn climb(leaf: B256, path: &[B256]) -> Option<B256> {
    (path.len() <= MAX_PATH).then(|| path.iter().fold(leaf, |below, beside| node(below, *beside)))
}

/// The smaller child goes first, so a path needs no directions.
fn node(a: B256, b: B256) -> B256 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    keccak256([&[1], low.as_slice(), high.as_slice()].concat())
}

/// The shape of RFC 6962: the left part has the largest power of two below the number of leaves.
fn split(leaves: usize) -> usize {
    leaves.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<B256> {
        (0..count).map(|i| leaf(&[i])).collect()
    }

    #[test]
    fn every_leaf_has_one_path_and_no_other_leaf_climbs_it() {
        for count in 1..=17 {
            let leaves = leaves(count);
            let root = root(&leaves).unwrap();
            for position in 0..leaves.len() {
                let path = path(&leaves, position).unwrap();
                for (other, leaf) in leaves.iter().enumerate() {
                    // The leaf beside it has the same path but for its first node.
                    assert_eq!(
                        climb(*leaf, &path) == Some(root),
                        other == position,
                        "{count} {position} {other}"
                    );
                }
            }
            assert_eq!(path(&leaves, leaves.len()), None);
        }
        assert_eq!(root(&[]), None);
    }

    #[test]
    fn the_shape_is_that_of_rfc_6962() {
        let l = leaves(5);
        let four = node(node(l[0], l[1]), node(l[2], l[3]));
        assert_eq!(root(&l), Some(node(four, l[4])));
        assert_eq!(path(&l, 4), Some(vec![four]));
    }

    #[test]
    fn no_path_is_longer_than_the_bound() {
        assert!(climb(leaf(&[]), &[B256::ZERO; MAX_PATH]).is_some());
        assert_eq!(climb(leaf(&[]), &[B256::ZERO; MAX_PATH + 1]), None);
    }

    #[test]
    fn a_node_is_never_a_leaf() {
        let l = leaves(2);
        let inner = [&[1], l[0].min(l[1]).as_slice(), l[0].max(l[1]).as_slice()].concat();
        assert_ne!(leaf(&inner[1..]), root(&l).unwrap());
    }
}
