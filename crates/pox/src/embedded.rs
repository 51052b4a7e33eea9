//! What this program carries with it: see `build.rs`.

use pox_verify::Measurement;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// The measured runtime, one static program.
pub(crate) const RUNTIME: &[u8] = include_bytes!(env!("POX_BUILT_POX_ENCLAVE"));
/// The demo's task, one static program.
pub(crate) const PENGUINS: &[u8] = include_bytes!(env!("POX_BUILT_PENGUINS"));

/// What a simulated TEE measures of [`RUNTIME`].
pub(crate) static MEASUREMENT: LazyLock<Measurement> =
    LazyLock::new(|| Measurement(<[u8; 32]>::from(Sha256::digest(RUNTIME)).into()));
