//! SGX and TDX quotes: recorded ones, attacks, and properties over a development vendor's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod attacks;
mod platforms;
mod properties;
mod recorded;
mod scene;
