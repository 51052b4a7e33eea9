//! Recipient stanzas: how a header carries a wrapped file key.

use super::HeaderError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// One recipient stanza: arguments, of which the first names the type, and a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stanza {
    args: Vec<String>,
    body: Vec<u8>,
}

impl Stanza {
    pub(crate) fn new(args: Vec<String>, body: Vec<u8>) -> Self {
        Self { args, body }
    }

    /// The recipient type.
    pub fn tag(&self) -> &str {
        self.args.first().map_or("", String::as_str)
    }

    /// The arguments after the type.
    pub fn args(&self) -> &[String] {
        self.args.get(1..).unwrap_or_default()
    }

    /// The body: for the native types, the wrapped file key.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as the 32 bytes that every native type has; the length is checked before anything is decrypted, so
    /// that no file key of another length can be smuggled in (partitioning oracles).
    pub(crate) fn wrapped_key(&self) -> Result<&[u8; 32], HeaderError> {
        self.body.as_slice().try_into().map_err(|_| HeaderError::Stanza)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"->");
        for arg in &self.args {
            out.push(b' ');
            out.extend_from_slice(arg.as_bytes());
        }
        out.push(b'\n');
        let body = STANDARD_NO_PAD.encode(&self.body);
        let mut rest = body.as_bytes();
        while rest.len() >= COLUMNS {
            let (line, tail) = rest.split_at(COLUMNS);
            out.extend_from_slice(line);
            out.push(b'\n');
            rest = tail;
        }
        out.extend_from_slice(rest);
        out.push(b'\n');
    }

    /// Reads a stanza from lines without their ends; `first` is what follows `-> `.
    pub(crate) fn parse<'a>(
        first: &[u8],
        lines: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, HeaderError> {
        let args = first.split(|&byte| byte == b' ').map(argument).collect::<Result<_, _>>()?;
        let mut text = Vec::new();
        loop {
            let line = lines.next().ok_or(HeaderError::Truncated)?;
            if line.len() > COLUMNS {
                return Err(HeaderError::Stanza);
            }
            text.extend_from_slice(line);
            if line.len() < COLUMNS {
                break;
            }
        }
        Ok(Self { args, body: decode(&text)? })
    }
}

/// Decodes canonical base64 without padding.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, HeaderError> {
    STANDARD_NO_PAD.decode(text).map_err(|_| HeaderError::Base64)
}

/// Decodes an argument that must be canonical base64 of exactly `N` bytes.
pub(crate) fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], HeaderError> {
    decode(text.as_bytes())?.try_into().map_err(|_| HeaderError::Stanza)
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// One or more visible ASCII characters.
fn argument(bytes: &[u8]) -> Result<String, HeaderError> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(HeaderError::Stanza);
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| HeaderError::Stanza)
}

const COLUMNS: usize = 64;
