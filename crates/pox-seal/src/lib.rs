//! Seals and opens: age v1 files, and datasets made of them.
//!
//! [`age`] is an engine for the age v1 file format (C2SP `age.md`): any age client opens what it seals and the other
//! way round. [`crypt4gh`] is one for GA4GH's format of genomic data. [`dataset`] turns a file or a directory tree into a
//! few public files with one commitment over their ciphertext, and back again.
//!
//! It never releases a byte that isn't authenticated, never puts plaintext under its final name before everything
//! is checked, never holds a whole file in memory, and never touches the network: bytes come from an
//! [`ObjectSource`](dataset::ObjectSource) and go to an [`ObjectSink`](dataset::ObjectSink).

pub mod age;
mod cipher;
pub mod crypt4gh;
pub mod dataset;
pub mod engine;
mod hashing;
mod kdf;
mod keys;
mod memory;
mod random;

pub use cipher::primitive;
pub use hashing::Blake3Digest;
pub use keys::{
    BadKey, FileKey, Identity, IdentityKind, KeyCommitment, MAX_IDENTITY_FILE, Recipient, parse_identities,
};
pub use memory::forbid_dumps;
pub use random::{NoRandomness, OsRandom, Randomness};
