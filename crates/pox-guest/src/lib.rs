//! The measured guest: one image with the runtime as its first process, built the same everywhere, and what each TEE measures
//! of it.

pub mod image;
pub mod launch;
pub mod measure;
