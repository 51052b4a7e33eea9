//! What each TEE measures of the guest, against recorded evidence and other people's calculators.

mod event_log;
mod expected;
mod made;
mod nitro;
mod others;
mod release;
mod snp;
mod tdx;
