//! Canonical CBOR: one encoding per value, bounded before it is read.

/// A message is not what the spec says it must be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodecError {
    /// More bytes than any valid message of this type has.
    #[error("{actual} bytes, at most {most} are allowed")]
    TooLarge {
        /// Bytes given.
        actual: usize,
        /// The bound.
        most: usize,
    },
    /// Not CBOR of this type, or cut short.
    #[error("malformed at byte {position}: {reason}")]
    Malformed {
        /// Where decoding stopped.
        position: usize,
        /// What was wrong there.
        reason: String,
    },
    /// The same value has another, canonical encoding, or bytes follow it.
    #[error("not in canonical form")]
    NotCanonical,
}

/// Encodes a value; equal values give equal bytes.
pub fn to_canonical<T: minicbor::Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("a vector takes any number of bytes")
}

/// Decodes a value from its one canonical encoding of at most `most` bytes.
///
/// # Errors
/// Anything else: oversized, malformed, another encoding of the same value, trailing bytes.
pub fn from_canonical<T>(bytes: &[u8], most: usize) -> Result<T, CodecError>
where
    T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
{
    if bytes.len() > most {
        return Err(CodecError::TooLarge { actual: bytes.len(), most });
    }
    let mut decoder = minicbor::Decoder::new(bytes);
    let value: T = decoder.decode().map_err(|error| CodecError::Malformed {
        position: error.position().unwrap_or_else(|| decoder.position()),
        reason: error.to_string(),
    })?;
    if to_canonical(&value) != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}
