//! AWS Nitro enclaves: the security module behind `/dev/nsm` (linux/nsm.h, and the vendor's aws-nitro-enclaves-nsm-api).
//!
//! The vendor's library is not used: it brings `serde_cbor`, which is no longer maintained, and takes a malformed answer for an
//! internal error of the module. What is needed of it are three requests, through the one `ioctl` below.

use super::error::{AttestError, NsmError};
use super::{Attester, Patience, Quote};
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use pox_core::TaskId;
use pox_core::evidence::{EvidenceKind, MAX_QUOTE_BYTES};
use sha2::{Digest, Sha384};
use std::fs::{File, OpenOptions};
use std::path::Path;

/// The register that binds a launch to its task: the first that an enclave may extend.
pub const TASK_PCR: u16 = 16;

/// An enclave's security module.
#[derive(Debug)]
pub struct Nsm {
    device: File,
    patience: Patience,
}

impl Nsm {
    /// Opens the device; `None` if there is none.
    ///
    /// # Errors
    /// There is one that can't be opened.
    pub fn detect(device: &Path, patience: Patience) -> Result<Option<Self>, AttestError> {
        if !device.try_exists().map_err(AttestError::io("the Nitro security module"))? {
            return Ok(None);
        }
        let device = OpenOptions::new().read(true).write(true).open(device);
        let device = device.map_err(AttestError::io("the Nitro security module"))?;
        Ok(Some(Self { device, patience }))
    }

    fn ask(&self, what: &'static str, request: &[u8]) -> Result<Answer, AttestError> {
        let answer = raw::ask(&self.device, request)
            .map_err(|errno| AttestError::Io { what, source: errno.into() })?;
        match Answer::parse(&answer).ok_or(AttestError::Malformed("the Nitro security module's answer"))? {
            Answer::Error(error) => Err(AttestError::Nsm { what, error }),
            answer => Ok(answer),
        }
    }
}

impl Attester for Nsm {
    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Nitro
    }

    /// Extends [`TASK_PCR`] once, as spec §8.6.2 says, and locks it: later quotes show it, and nothing in the enclave can
    /// change it again.
    fn bind(&self, task: TaskId) -> Result<(), AttestError> {
        let binding = Sha384::new().chain_update(b"pox-launch-v1\0").chain_update(task.as_bytes());
        let binding: [u8; 48] = binding.finalize().into();
        let extended = self.ask("extend a register", &extend(TASK_PCR, &binding))?;
        // From zero, as it is at launch: a register that something was put into before is bound to something else.
        let expected = Sha384::new().chain_update([0; 48]).chain_update(binding).finalize();
        if extended != Answer::Extended(expected.to_vec()) {
            return Err(AttestError::Malformed("the register that binds the task"));
        }
        match self.ask("lock a register", &lock(TASK_PCR))? {
            Answer::Locked => Ok(()),
            _ => Err(AttestError::Malformed("the Nitro security module's answer")),
        }
    }

    fn quote(&self, report_data: &[u8; 64]) -> Result<Quote, AttestError> {
        let request = attest(report_data);
        match self.patience.attempt(|| self.ask("sign a document", &request))? {
            Answer::Document(quote) if quote.len() > MAX_QUOTE_BYTES => {
                Err(AttestError::TooLarge { what: "the document", most: MAX_QUOTE_BYTES })
            }
            Answer::Document(quote) if !quote.is_empty() => {
                Ok(Quote { kind: self.kind(), quote, endorsements: Vec::new() })
            }
            _ => Err(AttestError::Malformed("the Nitro security module's answer")),
        }
    }
}

/// What the module says.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Extended(Vec<u8>),
    Locked,
    Document(Vec<u8>),
    Error(NsmError),
}

impl Answer {
    /// Reads the one answer, in the form that the vendor's library gives its enums: a name, or a map of a name to its fields.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder::new(bytes);
        let answer = if d.datatype().ok()? == Type::String {
            (d.str().ok()? == "LockPCR").then_some(Self::Locked)
        } else {
            if d.map().ok()? != Some(1) {
                return None;
            }
            match d.str().ok()? {
                "ExtendPCR" => field(&mut d, "data").map(Self::Extended),
                "Attestation" => field(&mut d, "document").map(Self::Document),
                "Error" => Some(Self::Error(d.str().ok()?.into())),
                _ => None,
            }
        };
        answer.filter(|_| d.position() == bytes.len())
    }
}

impl From<&str> for NsmError {
    fn from(code: &str) -> Self {
        match code {
            "InvalidArgument" => Self::InvalidArgument,
            "InvalidIndex" => Self::InvalidIndex,
            "InvalidResponse" => Self::InvalidResponse,
            "ReadOnlyIndex" => Self::ReadOnlyIndex,
            "InvalidOperation" => Self::InvalidOperation,
            "BufferTooSmall" => Self::BufferTooSmall,
            "InputTooLarge" => Self::InputTooLarge,
            "InternalError" => Self::InternalError,
            _ => Self::Unknown,
        }
    }
}

/// The one field of an answer.
fn field(d: &mut Decoder<'_>, name: &str) -> Option<Vec<u8>> {
    let named = d.map().ok()? == Some(1) && d.str().ok()? == name;
    if named { d.bytes().ok().map(<[u8]>::to_vec) } else { None }
}

fn attest(report_data: &[u8; 64]) -> Vec<u8> {
    encoded(|e| {
        e.map(1)?.str("Attestation")?.map(3)?;
        e.str("user_data")?.bytes(report_data)?;
        e.str("nonce")?.null()?;
        e.str("public_key")?.null()
    })
}

fn extend(index: u16, bytes: &[u8]) -> Vec<u8> {
    encoded(|e| e.map(1)?.str("ExtendPCR")?.map(2)?.str("index")?.u16(index)?.str("data")?.bytes(bytes))
}

fn lock(index: u16) -> Vec<u8> {
    encoded(|e| e.map(1)?.str("LockPCR")?.map(1)?.str("index")?.u16(index))
}

type Written<'a> = Result<&'a mut Encoder<Vec<u8>>, minicbor::encode::Error<std::convert::Infallible>>;

fn encoded(write: impl for<'a> FnOnce(&'a mut Encoder<Vec<u8>>) -> Written<'a>) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    write(&mut e).map(drop).expect("memory takes any item");
    e.into_writer()
}

/// The driver's call.
mod raw {
    #![allow(unsafe_code)]

    use rustix::io::Errno;
    use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
    use std::fs::File;

    /// `struct nsm_raw`: two buffers of the caller's.
    #[repr(C)]
    struct Raw {
        request: Buffer,
        response: Buffer,
    }

    /// `struct nsm_iovec`.
    #[repr(C)]
    struct Buffer {
        address: u64,
        length: u64,
    }

    /// Sends a request to the module, and waits for its answer (the driver gives up after two minutes).
    pub(super) fn ask(device: &File, request: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut response = vec![0_u8; MAX_RESPONSE_BYTES];
        let mut raw = Raw {
            request: Buffer {
                address: request.as_ptr().expose_provenance() as u64,
                length: request.len() as u64,
            },
            response: Buffer {
                address: response.as_mut_ptr().expose_provenance() as u64,
                length: response.len() as u64,
            },
        };
        // SAFETY: the opcode is that of `struct nsm_raw`, whose layout `Raw` has. The driver reads `request` and writes at most
        // the given length to `response`; both live until after the call, and `response` is exclusively ours. A file that is
        // not this device refuses the opcode.
        unsafe { ioctl(device, Updater::<RAW, Raw>::new(&mut raw)) }?;
        // It says how much it wrote, which is never more than there was room for.
        response.truncate(usize::try_from(raw.response.length).unwrap_or(0));
        Ok(response)
    }

    const RAW: Opcode = opcode::read_write::<Raw>(0x0a, 0);
    /// `NSM_RESPONSE_MAX_SIZE`.
    const MAX_RESPONSE_BYTES: usize = 0x3000;
}
