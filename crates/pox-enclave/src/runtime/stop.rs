//! How a run ended: an outcome of spec §6.1, and a reason that is safe to publish.

use super::outside::is_broken;
use crate::image;
use crate::sandbox::{Culprit, SandboxError};
use pox_core::ResultsCommitment;
use pox_core::channel::ChannelError;
use pox_core::role::enclave::{End, Failure, Limit};
use std::io;

/// The end of a run.
///
/// The reason goes into the public run report: it never holds a name, a path or a byte that comes from the owner's data.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) end: End,
    pub(crate) reason: String,
    /// The channel is gone: there is nobody to give a receipt to.
    pub(crate) broken: Option<ChannelError>,
}

impl Stop {
    /// The program ran and ended.
    pub(crate) fn ended(end: End) -> Self {
        Self { end, reason: String::new(), broken: None }
    }

    /// Something besides the program failed.
    pub(crate) fn failed(failure: Failure, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        Self { end: End::Failed(failure), reason, broken: None }
    }

    /// The owner's secret can't be used.
    pub(crate) fn secret(reason: &str) -> Self {
        Self::failed(Failure::SecretInvalid, reason)
    }

    /// What the task left can't become results.
    pub(crate) fn results(reason: &str) -> Self {
        Self::disk(reason.to_owned())
    }

    /// More bytes than the request allows on disk, or none that can be taken.
    pub(crate) fn disk(reason: String) -> Self {
        let end = End::Limited { limit: Limit::Disk, results: ResultsCommitment::ZERO };
        Self { end, reason, broken: None }
    }

    /// The runtime's own machine failed.
    pub(crate) fn runtime(what: &str, error: &io::Error) -> Self {
        Self::failed(Failure::RuntimeFailed, format!("{what}: {:?}", error.kind()))
    }

    /// Something that was asked of the host.
    pub(crate) fn host(failure: Failure, what: &str, error: &io::Error) -> Self {
        let stop = Self::failed(failure, what);
        if is_broken(error) { Self { broken: Some(ChannelError::Closed), ..stop } } else { stop }
    }

    pub(crate) fn image(error: image::Error) -> Self {
        match error {
            image::Error::Unavailable { digest, source } => {
                Self::host(Failure::ImageUnavailable, &format!("blob {digest} was not delivered"), &source)
            }
            mismatch @ image::Error::Mismatch { .. } => {
                Self::failed(Failure::ImageUnavailable, mismatch.to_string())
            }
            image::Error::Invalid(invalid) => Self::failed(Failure::ImageInvalid, invalid.to_string()),
            image::Error::Local(source) => Self::runtime("the image tree could not be written", &source),
        }
    }

    pub(crate) fn sandbox(error: &SandboxError) -> Self {
        let failure = match error.culprit() {
            Culprit::Machine => Failure::SandboxUnavailable,
            Culprit::Task => Failure::ImageInvalid,
        };
        Self::failed(failure, error.to_string())
    }
}

/// Long enough to name a digest and a protection or two.
const MAX_REASON_BYTES: usize = 400;
