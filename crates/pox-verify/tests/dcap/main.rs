//! SGX and TDX quotes: recorded ones, attacks, and properties over a development vendor's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests, which read vectors"
)]

mod attacks;
mod platforms;
mod properties;
mod recorded;
mod scene;
