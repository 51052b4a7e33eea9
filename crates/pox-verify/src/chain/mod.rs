//! The chain's side of a proof: headers, seals and state.

pub(crate) mod aura;
pub mod header;
mod rlp;
pub(crate) mod state;
pub(crate) mod trie;

pub use aura::BadSeal;
pub use header::{BadHeader, Header, Seal};
pub use state::BadAccount;
pub use trie::TrieError;
