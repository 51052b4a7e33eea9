//! The bytes of timestamp files: bounded before anything is allocated or called.

use super::{Attestation, MAX_OTS_BYTES, Operation, Ots, Stamp};
use crate::timestamp::FileHash;
use alloy_primitives::B256;

/// Bytes are no timestamp file.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum OtsError {
    /// Larger than any.
    #[error("a timestamp has at most {MAX_OTS_BYTES} bytes")]
    TooLarge,
    /// Does not begin as one.
    #[error("it does not begin as an OpenTimestamps file")]
    Magic,
    /// Of another version of the format.
    #[error("it is of version {0} of the format, and this program knows version 1")]
    Version(u64),
    /// Not over SHA-256.
    #[error("it is not over SHA-256")]
    Hash,
    /// Ends too early.
    #[error("it ends too early")]
    Short,
    /// Goes on after its end.
    #[error("bytes follow its end")]
    Trailing,
    /// A number or length that is out of its bounds.
    #[error("a number in it is out of its bounds")]
    Bounds,
    /// An operation that the format does not have.
    #[error("it has an unknown operation, {0:#04x}")]
    Operation(u8),
    /// Nested deeper than any.
    #[error("it is nested deeper than {MAX_DEPTH} operations")]
    Deep,
    /// A calendar's address with characters that none has.
    #[error("a calendar's address in it is none")]
    Uri,
}

impl Ots {
    /// Parses a detached timestamp file.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, OtsError> {
        let mut reader = Reader::new(bytes)?;
        if reader.take(MAGIC.len()) != Ok(MAGIC) {
            return Err(OtsError::Magic);
        }
        let version = reader.number()?;
        if version != VERSION {
            return Err(OtsError::Version(version));
        }
        if reader.byte()? != SHA256 {
            return Err(OtsError::Hash);
        }
        let file = FileHash(B256::from_slice(reader.take(32)?));
        let stamp = reader.stamp(0)?;
        reader.end()?;
        Ok(Self { file, stamp })
    }

    /// The bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_number(&mut out, VERSION);
        out.push(SHA256);
        out.extend_from_slice(self.file.0.as_slice());
        self.stamp.put(&mut out);
        out
    }
}

impl Stamp {
    /// Parses what a calendar answers.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, OtsError> {
        let mut reader = Reader::new(bytes)?;
        let stamp = reader.stamp(0)?;
        reader.end()?;
        Ok(stamp)
    }

    /// The bytes, as a calendar answers them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }

    fn put(&self, out: &mut Vec<u8>) {
        let parts = self.attestations.len() + self.branches.len();
        let mut left = parts;
        let mut more = |out: &mut Vec<u8>| {
            left -= 1;
            if left > 0 {
                out.push(FORK);
            }
        };
        for attestation in &self.attestations {
            more(out);
            out.push(ATTESTATION);
            attestation.put(out);
        }
        for (operation, branch) in &self.branches {
            more(out);
            operation.put(out);
            branch.put(out);
        }
    }
}

impl Operation {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Sha1 => SHA1,
            Self::Ripemd160 => RIPEMD160,
            Self::Sha256 => SHA256,
            Self::Keccak256 => KECCAK256,
            Self::Append(_) => APPEND,
            Self::Prepend(_) => PREPEND,
            Self::Reverse => REVERSE,
            Self::Hexlify => HEXLIFY,
        });
        if let Self::Append(bytes) | Self::Prepend(bytes) = self {
            put_bytes(out, bytes);
        }
    }
}

impl Attestation {
    fn put(&self, out: &mut Vec<u8>) {
        let (tag, payload) = match self {
            Self::Bitcoin { height } => {
                let mut payload = Vec::new();
                put_number(&mut payload, *height);
                (BITCOIN, payload)
            }
            Self::Pending { uri } => {
                let mut payload = Vec::new();
                put_bytes(&mut payload, uri.as_bytes());
                (PENDING, payload)
            }
            Self::Unknown { tag, payload } => (*tag, payload.clone()),
        };
        out.extend_from_slice(&tag);
        put_bytes(out, &payload);
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, OtsError> {
        if bytes.len() > MAX_OTS_BYTES { Err(OtsError::TooLarge) } else { Ok(Self { rest: bytes }) }
    }

    fn stamp(&mut self, depth: usize) -> Result<Stamp, OtsError> {
        if depth > MAX_DEPTH {
            return Err(OtsError::Deep);
        }
        let mut stamp = Stamp::default();
        loop {
            let tag = self.byte()?;
            let (tag, is_last) = if tag == FORK { (self.byte()?, false) } else { (tag, true) };
            if tag == ATTESTATION {
                stamp.attestations.push(self.attestation()?);
            } else {
                let operation = self.operation(tag)?;
                stamp.branches.push((operation, self.stamp(depth + 1)?));
            }
            if is_last {
                return Ok(stamp);
            }
        }
    }

    fn operation(&mut self, tag: u8) -> Result<Operation, OtsError> {
        Ok(match tag {
            SHA1 => Operation::Sha1,
            RIPEMD160 => Operation::Ripemd160,
            SHA256 => Operation::Sha256,
            KECCAK256 => Operation::Keccak256,
            APPEND => Operation::Append(self.argument()?),
            PREPEND => Operation::Prepend(self.argument()?),
            REVERSE => Operation::Reverse,
            HEXLIFY => Operation::Hexlify,
            other => return Err(OtsError::Operation(other)),
        })
    }

    fn argument(&mut self) -> Result<Vec<u8>, OtsError> {
        let bytes = self.bytes(MAX_MESSAGE)?;
        if bytes.is_empty() { Err(OtsError::Bounds) } else { Ok(bytes.to_vec()) }
    }

    fn attestation(&mut self) -> Result<Attestation, OtsError> {
        let mut tag = [0; 8];
        tag.copy_from_slice(self.take(8)?);
        let mut payload = Reader { rest: self.bytes(MAX_PAYLOAD)? };
        let attestation = match tag {
            BITCOIN => Attestation::Bitcoin { height: payload.number()? },
            PENDING => Attestation::Pending { uri: uri(payload.bytes(MAX_URI)?)? },
            _ => return Ok(Attestation::Unknown { tag, payload: payload.rest.to_vec() }),
        };
        payload.end()?;
        Ok(attestation)
    }

    fn bytes(&mut self, most: usize) -> Result<&'a [u8], OtsError> {
        let length = usize::try_from(self.number()?).ok().filter(|length| *length <= most);
        self.take(length.ok_or(OtsError::Bounds)?)
    }

    /// Seven bits a byte, the lowest first, the top bit of each saying that more follow; in its one shortest form.
    fn number(&mut self) -> Result<u64, OtsError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(OtsError::Bounds);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                let is_shortest = shift == 0 || byte != 0;
                return if is_shortest { Ok(number) } else { Err(OtsError::Bounds) };
            }
        }
        Err(OtsError::Bounds)
    }

    fn byte(&mut self) -> Result<u8, OtsError> {
        let (first, rest) = self.rest.split_first().ok_or(OtsError::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], OtsError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(OtsError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn end(&self) -> Result<(), OtsError> {
        if self.rest.is_empty() { Ok(()) } else { Err(OtsError::Trailing) }
    }
}

/// A calendar's address: what a URL needs, and nothing that a program could take for more than one.
fn uri(bytes: &[u8]) -> Result<String, OtsError> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._/:".contains(byte);
    let text = std::str::from_utf8(bytes).map_err(|_| OtsError::Uri)?;
    if bytes.iter().all(is_plain) { Ok(text.to_owned()) } else { Err(OtsError::Uri) }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What every detached timestamp file begins with.
const MAGIC: &[u8] = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94";
const VERSION: u64 = 1;
const FORK: u8 = 0xff;
const ATTESTATION: u8 = 0x00;
const SHA1: u8 = 0x02;
const RIPEMD160: u8 = 0x03;
const SHA256: u8 = 0x08;
const KECCAK256: u8 = 0x67;
const APPEND: u8 = 0xf0;
const PREPEND: u8 = 0xf1;
const REVERSE: u8 = 0xf2;
const HEXLIFY: u8 = 0xf3;
const BITCOIN: [u8; 8] = [0x05, 0x88, 0x96, 0x0d, 0x73, 0xd7, 0x19, 0x01];
const PENDING: [u8; 8] = [0x83, 0xdf, 0xe3, 0x0d, 0x2e, 0xf9, 0x0c, 0x8e];
/// Most operations on end, as the format's own programs have it.
const MAX_DEPTH: usize = 256;
/// Most bytes of a message or of an operation's argument.
pub(super) const MAX_MESSAGE: usize = 4096;
/// Most bytes of an attestation.
const MAX_PAYLOAD: usize = 8192;
/// Most bytes of a calendar's address.
const MAX_URI: usize = 1000;
