//! CBOR pieces that the records share: fixed-size byte strings and bounded ones.

use minicbor::decode::Error;
use minicbor::{Decoder, Encoder};

/// Decodes a byte string of exactly `N` bytes.
pub fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], Error> {
    let position = d.position();
    d.bytes()?.try_into().map_err(|_| Error::message("byte string of another length").at(position))
}

/// Encodes an account address as 20 bytes; for `#[cbor(with = "...")]`.
pub mod address {
    use super::{Decoder, Encoder, Error};
    use alloy_primitives::Address;

    /// Encodes 20 bytes.
    pub fn encode<C, W: minicbor::encode::Write>(
        value: &Address,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(value.as_slice())?.ok()
    }

    /// Decodes exactly 20 bytes.
    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Address, Error> {
        super::fixed::<20>(d).map(Address::from)
    }
}

/// Encodes a 32-byte word; for `#[cbor(with = "...")]`.
pub mod word {
    use super::{Decoder, Encoder, Error};
    use alloy_primitives::B256;

    /// Encodes 32 bytes.
    pub fn encode<C, W: minicbor::encode::Write>(
        value: &B256,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(value.as_slice())?.ok()
    }

    /// Decodes exactly 32 bytes.
    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<B256, Error> {
        super::fixed::<32>(d).map(B256::from)
    }
}

/// Encodes a list of byte strings; for `#[cbor(with = "...")]`.
pub mod strings {
    use super::{Decoder, Encoder, Error};

    /// Encodes an array of byte strings.
    pub fn encode<C, W: minicbor::encode::Write>(
        value: &[Vec<u8>],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(value.len() as u64)?;
        for item in value {
            e.bytes(item)?;
        }
        e.ok()
    }

    /// Decodes an array of byte strings; allocates no more than the input holds.
    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<Vec<u8>>, Error> {
        let count = d.array()?.ok_or_else(|| Error::message("indefinite length"))?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(d.bytes()?.to_vec());
        }
        Ok(items)
    }
}

/// Encodes a list of 32-byte words; for `#[cbor(with = "...")]`.
pub mod words {
    use super::{Decoder, Encoder, Error};
    use alloy_primitives::B256;

    /// Encodes an array of 32-byte strings.
    pub fn encode<C, W: minicbor::encode::Write>(
        value: &[B256],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(value.len() as u64)?;
        for item in value {
            e.bytes(item.as_slice())?;
        }
        e.ok()
    }

    /// Decodes an array of 32-byte strings; allocates no more than the input holds.
    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<B256>, Error> {
        let count = d.array()?.ok_or_else(|| Error::message("indefinite length"))?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(super::fixed::<32>(d).map(B256::from)?);
        }
        Ok(items)
    }
}
