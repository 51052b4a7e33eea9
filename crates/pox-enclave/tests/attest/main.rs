//! The clients of the kernel's evidence interfaces, each against a stand-in that behaves and fails as the real one does.
//!
//! What meets a stand-in needs `/dev/fuse` and the right to mount, and is ignored unless asked for.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificates;
mod detect;
mod gramine;
mod nsm;
mod serve;
mod tsm;

use pox_enclave::runtime::Patience;
use std::time::Duration;

/// Report data, and what somebody else asked for has other bytes.
const DATA: [u8; 64] = [0x5a; 64];

/// Three attempts, at once.
const IMPATIENT: Patience = Patience { attempts: 3, pause: Duration::from_millis(1) };

/// A stand-in's quote: its own kind of text before the report data.
fn quote_of(data: &[u8; 64]) -> Vec<u8> {
    [b"quote over ".as_slice(), data].concat()
}
