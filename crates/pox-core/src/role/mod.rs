//! The three roles' state machines: what owner, processor and enclave do next, without doing it.
//!
//! Owner and processor have four verbs: `handle` takes a fact, `handle_timeout` the time, `poll_action` gives the next thing
//! to do, `poll_timeout` when to call `handle_timeout`. Every action may be asked for again, after a crash or a timeout;
//! carrying one out twice must do no more than once. Facts may come late, twice, and be undone by a reorganisation.
//!
//! What is to be saved after a batch of sightings goes to the journal in one write with the follower's cursor: an event that
//! was saved, and then taken back before the cursor knew it, would stand for ever.
//!
//! No byte of data flows through here: only names, commitments and the results of checks.

mod agenda;
pub mod enclave;
mod job;
pub mod owner;
pub mod processor;
mod sight;

pub use sight::{Place, Posting, Seat, Sighting};

/// A request in a journal: its ABI encoding as hexadecimal text, parsed again when it is read.
mod request_hex {
    use crate::record::Request;
    use serde::{Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(request: &Request, to: S) -> Result<S::Ok, S::Error> {
        hex::serde::serialize(request.to_bytes(), to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Request, D::Error> {
        let bytes: Vec<u8> = hex::serde::deserialize(from)?;
        Request::parse(&bytes).map_err(D::Error::custom)
    }
}

/// A receipt in a journal, likewise.
mod receipt_hex {
    use crate::receipt::Receipt;
    use serde::{Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(receipt: &Receipt, to: S) -> Result<S::Ok, S::Error> {
        hex::serde::serialize(receipt.to_bytes(), to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Receipt, D::Error> {
        let bytes: Vec<u8> = hex::serde::deserialize(from)?;
        Receipt::parse(&bytes).map_err(D::Error::custom)
    }
}

/// A signature in a journal, likewise.
mod signature_hex {
    use crate::signature::Signature;
    use serde::{Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(signature: &Signature, to: S) -> Result<S::Ok, S::Error> {
        hex::serde::serialize(signature.to_bytes(), to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Signature, D::Error> {
        let bytes: Vec<u8> = hex::serde::deserialize(from)?;
        Signature::parse(&bytes).map_err(D::Error::custom)
    }
}
