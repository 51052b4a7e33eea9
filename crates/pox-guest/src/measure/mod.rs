//! What each TEE measures of the guest's files, computed from them.

pub mod nitro;
pub mod snp;
pub mod tdx;
