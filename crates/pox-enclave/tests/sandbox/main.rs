//! Runs real programs in the sandbox, which try to break out of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod devices;
mod ends;
mod escapes;
mod faults;
mod limits;
mod ordinary;
mod output;
mod secrets;
mod support;
