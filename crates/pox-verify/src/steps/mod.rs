//! The steps of spec §11, one module each, in their order.
//!
//! Each takes what the one before it established, so that the compiler keeps the order.

pub(crate) mod approve;
pub(crate) mod archive;
pub(crate) mod claims;
pub(crate) mod history;
pub(crate) mod lifecycle;
pub(crate) mod matched;
pub(crate) mod member;
pub(crate) mod openings;
pub(crate) mod parse;
pub(crate) mod policy;
pub(crate) mod quotes;
pub(crate) mod receipt;
pub(crate) mod request;
pub(crate) mod seal;
