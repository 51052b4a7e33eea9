//! Where evidence comes from (spec §8.10).
//!
//! One interface for each kind of TEE, and one way to choose between them. What a host adds to a quote is taken along and
//! believed by nobody here.

mod certificates;
mod detect;
mod error;
mod files;
mod gramine;
mod nsm;
mod simulated;
mod tsm;

pub use certificates::certificates;
pub use detect::{Expect, Interfaces, attester};
pub use error::{AttestError, NsmError};
pub use gramine::Gramine;
pub use nsm::{Nsm, TASK_PCR};
pub use simulated::Simulated;
pub use tsm::Tsm;

use pox_core::TaskId;
use pox_core::endorsement::Endorsement;
use pox_core::evidence::EvidenceKind;
use std::time::Duration;

/// Whatever signs 64 bytes for the code that was launched: a TEE's device, or the simulated stand-in.
pub trait Attester {
    /// Which kind of evidence this gives.
    fn kind(&self) -> EvidenceKind;

    /// Binds the launch to its one task, where that can be done from inside; called once, before the first quote.
    ///
    /// # Errors
    /// The device refuses, or is bound already.
    fn bind(&self, _task: TaskId) -> Result<(), AttestError> {
        Ok(())
    }

    /// A quote over the report data, in the kind's format. It may not be of use to anyone: only a verifier knows.
    ///
    /// # Errors
    /// The device refuses or fails.
    fn quote(&self, report_data: &[u8; 64]) -> Result<Quote, AttestError>;
}

/// What a TEE signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Which TEE.
    pub kind: EvidenceKind,
    /// The quote, report or document.
    pub quote: Vec<u8>,
    /// What the machine's host gave beside it: **unchecked**, and worth nothing until a verifier has.
    pub endorsements: Vec<Endorsement>,
}

/// How often an interface that is busy is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Most attempts for one quote.
    pub attempts: u32,
    /// The first pause between two attempts; each is twice as long as the one before.
    pub pause: Duration,
}

impl Default for Patience {
    /// Six attempts within some 15 seconds: a quoting service that is slower than that answers nobody.
    fn default() -> Self {
        Self { attempts: 6, pause: Duration::from_millis(500) }
    }
}

impl Patience {
    /// Tries until an attempt succeeds, fails for good, or was the last.
    fn attempt<T>(&self, mut attempt: impl FnMut() -> Result<T, AttestError>) -> Result<T, AttestError> {
        let mut pause = self.pause;
        for _ in 1..self.attempts {
            match attempt() {
                Err(error) if error.is_passing() => std::thread::sleep(pause),
                ended => return ended,
            }
            pause = pause.saturating_mul(2);
        }
        attempt()
    }
}
