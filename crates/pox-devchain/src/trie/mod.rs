//! A Merkle-Patricia trie over 32-byte keys that changes only the paths it touches.
//!
//! Nodes are immutable and named by their hash, so every root that was ever sealed stays readable and shares
//! what it has in common with the others. A change loads and rehashes one path: its cost grows with the trie's
//! depth, never with the number of keys.

mod node;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use alloy_primitives::{B256, Bytes};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
pub(crate) use node::{Link, Node};

use crate::store::StoreError;

/// Where sealed nodes are found by their hash.
pub(crate) trait Nodes {
    /// Loads a node that some sealed root refers to; that it is missing means that the store is damaged.
    fn node(&self, hash: &B256) -> Result<Arc<Node>, StoreError>;
}

/// Nodes that were sealed and are not yet in the store, before those that are.
pub(crate) struct Fresh<'s> {
    below: &'s dyn Nodes,
    nodes: RwLock<HashMap<B256, Arc<Node>>>,
}

impl<'s> Fresh<'s> {
    pub(crate) fn over(below: &'s dyn Nodes) -> Self {
        Self { below, nodes: RwLock::default() }
    }

    /// Gives up the new nodes, to be written.
    pub(crate) fn into_nodes(self) -> HashMap<B256, Arc<Node>> {
        self.nodes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, hash: B256, node: Arc<Node>) {
        self.nodes.write().unwrap_or_else(PoisonError::into_inner).insert(hash, node);
    }
}

impl Nodes for Fresh<'_> {
    fn node(&self, hash: &B256) -> Result<Arc<Node>, StoreError> {
        let found = self.nodes.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned();
        found.map_or_else(|| self.below.node(hash), Ok)
    }
}

/// One version of a trie, open for reading and for changes that stay private until [`Trie::seal`].
pub(crate) struct Trie<'n, N: Nodes + ?Sized> {
    nodes: &'n N,
    root: Link,
}

impl<'n, N: Nodes + ?Sized> Trie<'n, N> {
    /// Opens the trie with that root; nothing is loaded yet.
    pub(crate) fn open(nodes: &'n N, root: B256) -> Self {
        let root = if root == EMPTY_ROOT_HASH { Link::Empty } else { Link::Stored(root) };
        Self { nodes, root }
    }

    /// The value under `key`.
    pub(crate) fn value(&self, key: &B256) -> Result<Option<Vec<u8>>, StoreError> {
        let mut path = Nibbles::unpack(key);
        let mut link = self.root.clone();
        while let Some(node) = self.resolve(&link)? {
            match &*node {
                Node::Leaf { path: rest, value } => return Ok((*rest == path).then(|| value.clone())),
                Node::Extension { path: shared, child } => {
                    if !path.starts_with(shared) {
                        return Ok(None);
                    }
                    path = path.slice(shared.len()..);
                    link = child.clone();
                }
                Node::Branch { children } => {
                    let Some((nibble, rest)) = split_first(&path) else { return Ok(None) };
                    path = rest;
                    link = children[nibble].clone();
                }
            }
        }
        Ok(None)
    }

    /// The encodings of the nodes on the way to `key`, root first: a proof of its value, or of its absence.
    ///
    /// A trie without keys gives no nodes. Changes that aren't sealed aren't covered.
    pub(crate) fn proof(&self, key: &B256) -> Result<Vec<Bytes>, StoreError> {
        let mut path = Nibbles::unpack(key);
        let mut link = self.root.clone();
        let mut proof = Vec::new();
        while let Some(node) = self.resolve(&link)? {
            // A node without its own hash is already inside the one before.
            if matches!(link, Link::Stored(_)) {
                proof.push(node.encode().into());
            }
            match &*node {
                Node::Leaf { .. } => break,
                Node::Extension { path: shared, child } => {
                    if !path.starts_with(shared) {
                        break;
                    }
                    path = path.slice(shared.len()..);
                    link = child.clone();
                }
                Node::Branch { children } => {
                    let Some((nibble, rest)) = split_first(&path) else { break };
                    path = rest;
                    link = children[nibble].clone();
                }
            }
        }
        Ok(proof)
    }

    /// Sets the value under `key`.
    pub(crate) fn insert(&mut self, key: &B256, value: Vec<u8>) -> Result<(), StoreError> {
        let root = std::mem::take(&mut self.root);
        self.root = Link::hold(self.inserted(root, Nibbles::unpack(key), value)?);
        Ok(())
    }

    /// Removes `key`, if it is there.
    pub(crate) fn remove(&mut self, key: &B256) -> Result<(), StoreError> {
        // Looking first keeps the nodes of an unchanged trie untouched.
        if self.value(key)?.is_some() {
            let root = std::mem::take(&mut self.root);
            self.root = self.removed(root, Nibbles::unpack(key))?;
        }
        Ok(())
    }

    fn resolve(&self, link: &Link) -> Result<Option<Arc<Node>>, StoreError> {
        match link {
            Link::Empty => Ok(None),
            Link::Stored(hash) => self.nodes.node(hash).map(Some),
            Link::Held(node) => Ok(Some(node.clone())),
        }
    }

    fn take(&self, link: Link) -> Result<Option<Node>, StoreError> {
        // The caller's link goes first, so that a node held only there isn't copied.
        let node = self.resolve(&link)?;
        drop(link);
        Ok(node.map(Arc::unwrap_or_clone))
    }

    fn inserted(&self, link: Link, path: Nibbles, value: Vec<u8>) -> Result<Node, StoreError> {
        let Some(node) = self.take(link)? else { return Ok(Node::Leaf { path, value }) };
        match node {
            Node::Leaf { path: old_path, value: old_value } => {
                let shared = old_path.common_prefix_length(&path);
                if shared == path.len() {
                    return Ok(Node::Leaf { path, value });
                }
                let old = |rest| Node::Leaf { path: rest, value: old_value };
                Ok(fork(&path, shared, value, old_path, |rest| Link::hold(old(rest))))
            }
            Node::Extension { path: old_path, child } => {
                let shared = old_path.common_prefix_length(&path);
                if shared == old_path.len() {
                    let child = Link::hold(self.inserted(child, path.slice(shared..), value)?);
                    return Ok(Node::Extension { path: old_path, child });
                }
                Ok(fork(&path, shared, value, old_path, |rest| {
                    if rest.is_empty() { child } else { Link::hold(Node::Extension { path: rest, child }) }
                }))
            }
            Node::Branch { mut children } => {
                let Some((nibble, rest)) = split_first(&path) else { return Err(StoreError::KeyLength) };
                let child = std::mem::take(&mut children[nibble]);
                children[nibble] = Link::hold(self.inserted(child, rest, value)?);
                Ok(Node::Branch { children })
            }
        }
    }

    fn removed(&self, link: Link, path: Nibbles) -> Result<Link, StoreError> {
        let Some(node) = self.take(link)? else { return Ok(Link::Empty) };
        match node {
            Node::Leaf { .. } => Ok(Link::Empty),
            Node::Extension { path: shared, child } => {
                let child = self.removed(child, path.slice(shared.len()..))?;
                self.prefixed(shared, child)
            }
            Node::Branch { mut children } => {
                let Some((nibble, rest)) = split_first(&path) else { return Err(StoreError::KeyLength) };
                let child = std::mem::take(&mut children[nibble]);
                children[nibble] = self.removed(child, rest)?;
                let mut left = (0u8..).zip(children.iter_mut()).filter(|(_, child)| **child != Link::Empty);
                let (Some((nibble, only)), None) = (left.next(), left.next()) else {
                    return Ok(Link::hold(Node::Branch { children }));
                };
                // A branch with one child isn't a branch any more.
                let only = std::mem::take(only);
                self.prefixed(Nibbles::from_nibbles([nibble]), only)
            }
        }
    }

    /// Puts `prefix` before everything under `child`, in canonical form.
    fn prefixed(&self, prefix: Nibbles, child: Link) -> Result<Link, StoreError> {
        let Some(node) = self.resolve(&child)? else { return Ok(Link::Empty) };
        Ok(Link::hold(match &*node {
            Node::Leaf { path, value } => Node::Leaf { path: prefix.join(path), value: value.clone() },
            Node::Extension { path, child } => {
                Node::Extension { path: prefix.join(path), child: child.clone() }
            }
            Node::Branch { .. } => Node::Extension { path: prefix, child },
        }))
    }
}

impl Trie<'_, Fresh<'_>> {
    /// Hashes what was changed, hands the new nodes over to be written, and gives the root.
    pub(crate) fn seal(self) -> B256 {
        let root = match self.root {
            Link::Empty => return EMPTY_ROOT_HASH,
            Link::Stored(hash) => return hash,
            Link::Held(node) => Arc::unwrap_or_clone(node),
        };
        let sealed = seal_children(root, self.nodes).seal();
        // The root is always found by its hash, however short.
        let node = match (sealed.alone, sealed.link) {
            (Some(node), _) | (None, Link::Held(node)) => node,
            (None, _) => return sealed.hash,
        };
        self.nodes.add(sealed.hash, node);
        sealed.hash
    }
}

fn seal_children(mut node: Node, nodes: &Fresh<'_>) -> Node {
    let seal = |link: &mut Link| {
        // Held links are changed ones, and short ones that may contain changed ones.
        *link = match std::mem::take(link) {
            Link::Held(child) => {
                let sealed = seal_children(Arc::unwrap_or_clone(child), nodes).seal();
                if let Some(alone) = sealed.alone {
                    nodes.add(sealed.hash, alone);
                }
                sealed.link
            }
            sealed => sealed,
        };
    };
    match &mut node {
        Node::Leaf { .. } => {}
        Node::Extension { child, .. } => seal(child),
        Node::Branch { children } => children.iter_mut().for_each(seal),
    }
    node
}

/// Splits a path after `shared` nibbles into a branch of the new leaf and of what was there.
fn fork(
    path: &Nibbles,
    shared: usize,
    value: Vec<u8>,
    old_path: Nibbles,
    old: impl FnOnce(Nibbles) -> Link,
) -> Node {
    let mut children = Node::empty_branch();
    if let Some((nibble, rest)) = split_first(&old_path.slice(shared..)) {
        children[nibble] = old(rest);
    }
    if let Some((nibble, rest)) = split_first(&path.slice(shared..)) {
        children[nibble] = Link::hold(Node::Leaf { path: rest, value });
    }
    let branch = Node::Branch { children };
    if shared == 0 {
        return branch;
    }
    Node::Extension { path: path.slice(..shared), child: Link::hold(branch) }
}

fn split_first(path: &Nibbles) -> Option<(usize, Nibbles)> {
    path.first().map(|nibble| (usize::from(nibble), path.slice(1..)))
}

#[cfg(test)]
mod tests;
