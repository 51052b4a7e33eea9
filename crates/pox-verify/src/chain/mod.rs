//! The chain's side of a proof: headers, seals, state and receipts.

pub(crate) mod aura;
pub mod authorities;
pub mod header;
pub mod packed;
pub mod receipt;
mod rlp;
pub(crate) mod state;
pub(crate) mod trie;

pub use aura::BadSeal;
pub use header::{BadHeader, Header, Seal};
pub use packed::{BadRun, Unpackable, pack, unpack};
pub use receipt::{BadReceipt, ReceiptFault};
pub use state::BadAccount;
pub use trie::TrieError;
