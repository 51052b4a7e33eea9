//! The only crate that knows where bytes live: directories, HTTP(S) servers, S3-compatible storage, IPFS, image registries.
//!
//! Host-side code (the processor's service, the owner's command line) reads and writes sealed objects and public image
//! blobs through it. The enclave never does: it asks its host for bytes, and verifies them itself.
//!
//! Everything is synchronous, streamed in constant memory, bounded, and allowed by an [`Access`] policy, since
//! locations and image references come from the other party. Calls block, so they may not be made on a thread of an async
//! runtime.
//!
//! What it never does: interpret or decrypt what it carries, overwrite an object unless told to
//! ([`PutMode::Replace`]), take credentials from a location, use a proxy or any setting from the environment that its caller
//! doesn't hand it, or connect to a private address that the policy doesn't name. It believes content-addressed storage nothing:
//! what it reads there is compared with the address.

pub mod image;
pub mod ipfs;
pub mod s3;

mod access;
mod directory;
mod error;
mod location;
mod net;
mod pending;
mod reader;
mod remote;
mod store;
mod upload;
mod verified;

pub use access::{Access, AccessError, HostPort, Login, Timeouts};
pub use error::{Error, Refused, Result};
pub use ipfs::IpfsError;
pub use location::{Location, LocationError, Name, NameError};
pub use pending::Pending;
pub use reader::ObjectReader;
pub use s3::{Sign, SignError};
pub use store::{Listed, PutMode, Range, Store};
pub use verified::{Expected, VerifiedRead};
