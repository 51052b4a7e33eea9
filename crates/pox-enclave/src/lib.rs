//! The measured runtime: it opens, checks, runs, seals, signs and dies.
//!
//! One launch serves one task. The runtime trusts nothing that its host tells it.

pub mod guest;
pub mod image;
pub mod runtime;
pub mod sandbox;
