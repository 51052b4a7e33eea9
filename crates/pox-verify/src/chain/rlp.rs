//! RLP lists taken apart without copying; every item keeps the bytes that it was read from.

use alloy_rlp::Header;

/// One item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    /// Header and payload.
    pub(crate) raw: &'a [u8],
    /// What the header announces.
    pub(crate) payload: &'a [u8],
    /// Whether it is a list.
    pub(crate) is_list: bool,
}

/// Not one RLP list of few enough items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAList;

/// The items of a list of at most `most` items, which fills `bytes`.
pub(crate) fn list(bytes: &[u8], most: usize) -> Result<Vec<Item<'_>>, NotAList> {
    let mut rest = bytes;
    let whole = item(&mut rest)?;
    if !whole.is_list || !rest.is_empty() {
        return Err(NotAList);
    }
    let mut rest = whole.payload;
    let mut items = Vec::new();
    while !rest.is_empty() {
        if items.len() == most {
            return Err(NotAList);
        }
        items.push(item(&mut rest)?);
    }
    Ok(items)
}

/// The one string that fills `bytes`.
pub(crate) fn string(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    let item = item(&mut rest).ok()?;
    (!item.is_list && rest.is_empty()).then_some(item.payload)
}

/// Appends a string.
pub(crate) fn put_string(payload: &[u8], out: &mut Vec<u8>) {
    match payload {
        [byte] if *byte < 0x80 => out.push(*byte),
        _ => put(false, payload, out),
    }
}

/// The list of items that are encoded already.
pub(crate) fn list_of(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 9);
    put(true, payload, &mut out);
    out
}

fn put(list: bool, payload: &[u8], out: &mut Vec<u8>) {
    Header { list, payload_length: payload.len() }.encode(out);
    out.extend_from_slice(payload);
}

impl<'a> Item<'a> {
    /// A string of exactly `N` bytes.
    pub(crate) fn fixed<const N: usize>(&self) -> Option<[u8; N]> {
        if self.is_list { None } else { self.payload.try_into().ok() }
    }

    /// An unsigned integer without leading zeros.
    pub(crate) fn integer(&self) -> Option<u64> {
        let digits = self.big_endian()?;
        let mut bytes = [0; 8];
        let start = bytes.len().checked_sub(digits.len())?;
        bytes[start..].copy_from_slice(digits);
        Some(u64::from_be_bytes(bytes))
    }

    /// The digits of an unsigned integer of at most 32 bytes, without leading zeros.
    pub(crate) fn big_endian(&self) -> Option<&'a [u8]> {
        let minimal = !self.is_list && self.payload.len() <= 32 && self.payload.first() != Some(&0);
        minimal.then_some(self.payload)
    }
}

fn item<'a>(rest: &mut &'a [u8]) -> Result<Item<'a>, NotAList> {
    let start = *rest;
    let header = Header::decode(rest).map_err(|_| NotAList)?;
    let (payload, after) = rest.split_at_checked(header.payload_length).ok_or(NotAList)?;
    *rest = after;
    let raw = start.get(..start.len() - after.len()).ok_or(NotAList)?;
    Ok(Item { raw, payload, is_list: header.list })
}
