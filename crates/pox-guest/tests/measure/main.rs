//! What each TEE measures of the guest, against recorded evidence and other people's calculators.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod event_log;
mod expected;
mod made;
mod nitro;
mod others;
mod release;
mod snp;
mod tdx;
