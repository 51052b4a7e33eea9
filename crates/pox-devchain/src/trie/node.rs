//! Trie nodes and their consensus encoding.

use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use alloy_rlp::{Decodable, Encodable};
use alloy_trie::{
    Nibbles, TrieMask,
    nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode, TrieNode},
};

/// A node shorter than this stands inside its parent instead of being referred to by hash.
const HASH_LENGTH: usize = 32;

/// One node of a trie whose keys all have the same length, so that no branch carries a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// The rest of one key, and its value.
    Leaf { path: Nibbles, value: Vec<u8> },
    /// A stretch that all keys below share; its child is a branch.
    Extension { path: Nibbles, child: Link },
    /// One child for each next nibble; at least two are there.
    Branch { children: Box<[Link; 16]> },
}

/// How a node refers to its child.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    /// No child.
    #[default]
    Empty,
    /// A node in the store.
    Stored(B256),
    /// A node that is changed and not yet sealed, or so short that it is written into its parent.
    Held(Arc<Node>),
}

impl Link {
    pub(super) fn hold(node: Node) -> Self {
        Self::Held(Arc::new(node))
    }

    /// The reference that a parent's encoding contains. Only sealed links have one that is final.
    fn reference(&self) -> RlpNode {
        match self {
            Self::Empty => RlpNode::default(),
            Self::Stored(hash) => RlpNode::word_rlp(hash),
            Self::Held(node) => RlpNode::from_rlp(&node.encode()),
        }
    }

    fn from_reference(reference: &RlpNode) -> alloy_rlp::Result<Self> {
        match reference.as_hash() {
            Some(hash) => Ok(Self::Stored(hash)),
            None => Ok(Self::hold(Node::decode(reference)?)),
        }
    }
}

impl Node {
    pub(super) fn empty_branch() -> Box<[Link; 16]> {
        Box::default()
    }

    /// RLP as the yellow paper has it (appendix D).
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Leaf { path, value } => LeafNodeRef::new(path, value).encode(&mut out),
            Self::Extension { path, child } => {
                ExtensionNodeRef::new(path, &child.reference()).encode(&mut out);
            }
            Self::Branch { children } => {
                let mut mask = TrieMask::default();
                let mut stack = Vec::with_capacity(children.len());
                for (nibble, child) in (0u8..).zip(children.iter()) {
                    if *child != Link::Empty {
                        mask.set_bit(nibble);
                        stack.push(child.reference());
                    }
                }
                BranchNodeRef::new(&stack, mask).encode(&mut out);
            }
        }
        out
    }

    /// Reads one node, all of `bytes`.
    pub(crate) fn decode(bytes: &[u8]) -> alloy_rlp::Result<Self> {
        let mut rest = bytes;
        let node = TrieNode::decode(&mut rest)?;
        if !rest.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        Ok(match node {
            TrieNode::EmptyRoot => return Err(alloy_rlp::Error::Custom("an empty trie has no node")),
            TrieNode::Leaf(leaf) => Self::Leaf { path: leaf.key, value: leaf.value },
            TrieNode::Extension(extension) => {
                Self::Extension { path: extension.key, child: Link::from_reference(&extension.child)? }
            }
            TrieNode::Branch(branch) => {
                let mut children = Self::empty_branch();
                let present = (0usize..16).filter(|nibble| branch.state_mask.is_bit_set(*nibble as u8));
                for (nibble, reference) in present.zip(&branch.stack) {
                    children[nibble] = Link::from_reference(reference)?;
                }
                Self::Branch { children }
            }
        })
    }

    /// Encodes the node and says whether it stands alone, under which hash.
    pub(super) fn seal(self) -> Sealed {
        let rlp = self.encode();
        let hash = keccak256(&rlp);
        if rlp.len() < HASH_LENGTH {
            Sealed { link: Link::hold(self), hash, alone: None }
        } else {
            let node = Arc::new(self);
            Sealed { link: Link::Stored(hash), hash, alone: Some(node) }
        }
    }
}

/// A node whose subtree doesn't change any more.
pub(super) struct Sealed {
    pub(super) link: Link,
    pub(super) hash: B256,
    /// The node, if its encoding is long enough to be referred to by hash.
    pub(super) alone: Option<Arc<Node>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_children_stand_inside_their_parent_and_come_back() {
        let leaf = |value| Link::hold(Node::Leaf { path: Nibbles::from_nibbles([1, 2]), value: vec![value] });
        let mut children = Node::empty_branch();
        children[3] = leaf(7);
        children[9] = leaf(8);
        children[12] = Link::Stored(B256::repeat_byte(5));
        let node = Node::Branch { children };
        assert_eq!(Node::decode(&node.encode()).unwrap(), node);
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = Node::Leaf { path: Nibbles::from_nibbles([1]), value: vec![1; 40] }.encode();
        bytes.push(0);
        assert!(Node::decode(&bytes).is_err());
    }
}
