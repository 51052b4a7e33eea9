use std::collections::BTreeMap;

use alloy_primitives::U256;
use alloy_trie::{HashBuilder, proof::verify_proof};
use proptest::{collection::vec, prelude::*};

use super::*;

/// A store without any node, below the fresh ones.
struct Nothing;

impl Nodes for Nothing {
    fn node(&self, hash: &B256) -> Result<Arc<Node>, StoreError> {
        Err(StoreError::MissingNode(*hash))
    }
}

fn expected_root(entries: &BTreeMap<B256, Vec<u8>>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in entries {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

/// Keys that differ in few nibbles, near the start or the end, so that paths fork at every depth and
/// the nodes at the bottom are short enough to stand inside their parents.
fn key() -> impl Strategy<Value = B256> {
    let places = prop_oneof![Just(0usize), Just(1), Just(15), Just(30), Just(31)];
    vec((places, 0u8..4, any::<bool>()), 0..4).prop_map(|changes| {
        let mut key = B256::ZERO;
        for (place, nibble, high) in changes {
            key[place] |= if high { nibble << 4 } else { nibble };
        }
        key
    })
}

fn operations() -> impl Strategy<Value = Vec<(B256, Option<Vec<u8>>)>> {
    vec((key(), proptest::option::weighted(0.7, vec(any::<u8>(), 1..40))), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn roots_and_proofs_agree_with_an_independent_builder(operations in operations(), batch in 1usize..9) {
        let fresh = Fresh::over(&Nothing);
        let mut root = EMPTY_ROOT_HASH;
        let mut model = BTreeMap::new();
        let mut history = Vec::new();
        for changes in operations.chunks(batch) {
            let mut trie = Trie::open(&fresh, root);
            for (key, value) in changes {
                match value {
                    Some(value) => {
                        trie.insert(key, value.clone()).unwrap();
                        model.insert(*key, value.clone());
                    }
                    None => {
                        trie.remove(key).unwrap();
                        model.remove(key);
                    }
                }
            }
            root = trie.seal();
            prop_assert_eq!(root, expected_root(&model));
            history.push((root, model.clone()));
        }
        // Every version stays readable and provable after the later ones.
        for (root, model) in history {
            let trie = Trie::open(&fresh, root);
            for (key, _) in &operations {
                let value = trie.value(key).unwrap();
                prop_assert_eq!(&value, &model.get(key).cloned());
                let proof = trie.proof(key).unwrap();
                prop_assert!(verify_proof(root, Nibbles::unpack(key), value, &proof).is_ok());
            }
        }
    }
}

#[test]
fn a_change_writes_one_path_however_large_the_trie() {
    let fresh = Fresh::over(&Nothing);
    let hashed = |n: u64| alloy_primitives::keccak256(n.to_be_bytes());
    let mut trie = Trie::open(&fresh, EMPTY_ROOT_HASH);
    for n in 0..20_000 {
        trie.insert(&hashed(n), alloy_rlp::encode(U256::from(n))).unwrap();
    }
    let root = trie.seal();
    let above = Fresh::over(&fresh);
    let mut trie = Trie::open(&above, root);
    trie.insert(&hashed(7), vec![1]).unwrap();
    trie.seal();
    assert!(above.into_nodes().len() <= 8, "the path is about log16(20000) = 4 nodes long");
}

#[test]
fn a_missing_node_is_an_error_and_not_an_absent_key() {
    let trie = Trie::open(&Nothing, B256::repeat_byte(1));
    assert!(matches!(trie.value(&B256::ZERO), Err(StoreError::MissingNode(_))));
}
