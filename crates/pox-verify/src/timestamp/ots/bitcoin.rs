//! Bitcoin blocks, as an auditor knows them.

use alloy_primitives::B256;
use pox_core::UnixTime;
use sha2::{Digest as _, Sha256};
use std::str::FromStr;

/// How far a block's time may be ahead of when it was made, by Bitcoin's rules.
pub(super) const CLOCK_SECONDS: u64 = 2 * 3600;
/// Bytes of a header.
const HEADER_BYTES: usize = 80;
/// The easiest work that Bitcoin has ever taken, in the header's short form: its first block's.
const EASIEST: u32 = 0x1d00_ffff;

/// A block that the auditor vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitcoinBlock {
    height: u64,
    root: B256,
    time: UnixTime,
    hash: Option<B256>,
}

/// A text is no block.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum BadBlock {
    /// Neither of the two forms.
    #[error("expected HEIGHT:HEADER, the header as 160 hexadecimal digits, or HEIGHT:ROOT:TIME")]
    Form,
    /// The header's hash does not show the work that it states.
    #[error("the header shows no work: it is not one of Bitcoin's")]
    Work,
}

impl BitcoinBlock {
    /// A block by its header, whose work is checked. That it is in the chain that everybody means, its hash has to tell.
    ///
    /// # Errors
    /// The work is not there, or less than Bitcoin has ever taken.
    pub fn from_header(height: u64, header: &[u8; HEADER_BYTES]) -> Result<Self, BadBlock> {
        let word = |from: usize| {
            u32::from_le_bytes([header[from], header[from + 1], header[from + 2], header[from + 3]])
        };
        let (time, bits) = (word(68), word(72));
        let mut hash: [u8; 32] = Sha256::digest(Sha256::digest(header)).into();
        hash.reverse();
        let target = target(bits).ok_or(BadBlock::Work)?;
        let easiest = target_of_easiest();
        if hash > target || target > easiest {
            return Err(BadBlock::Work);
        }
        let root = B256::from_slice(&header[36..68]);
        Ok(Self { height, root, time: UnixTime(time.into()), hash: Some(B256::from(hash)) })
    }

    /// A block by the root of its transactions, in the header's byte order, and its time; nothing of it is checked.
    pub fn dangerously_by_root(height: u64, root: B256, time: UnixTime) -> Self {
        Self { height, root, time, hash: None }
    }

    /// Its height.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The root of its transactions, in the header's byte order.
    pub fn merkle_root(&self) -> B256 {
        self.root
    }

    /// Its time.
    pub fn time(&self) -> UnixTime {
        self.time
    }

    /// Its hash, as explorers write it.
    pub fn hash(&self) -> Option<B256> {
        self.hash
    }
}

impl FromStr for BitcoinBlock {
    type Err = BadBlock;

    /// `HEIGHT:HEADER`, or `HEIGHT:ROOT:TIME` with the root as explorers write it, the last byte first.
    fn from_str(text: &str) -> Result<Self, BadBlock> {
        let mut parts = text.trim().split(':');
        let height = parts.next().and_then(|height| height.parse().ok()).ok_or(BadBlock::Form)?;
        let content = parts.next().ok_or(BadBlock::Form)?;
        match (parts.next(), parts.next()) {
            (None, _) => {
                let mut header = [0; HEADER_BYTES];
                hex::decode_to_slice(content, &mut header).map_err(|_| BadBlock::Form)?;
                Self::from_header(height, &header)
            }
            (Some(time), None) => {
                let mut root = [0; 32];
                hex::decode_to_slice(content, &mut root).map_err(|_| BadBlock::Form)?;
                root.reverse();
                let time = time.parse().map_err(|_| BadBlock::Form)?;
                Ok(Self::dangerously_by_root(height, B256::from(root), UnixTime(time)))
            }
            _ => Err(BadBlock::Form),
        }
    }
}

/// The number that a hash must not exceed, big-endian, from the header's short form; `None` if that is out of its bounds.
fn target(bits: u32) -> Option<[u8; 32]> {
    let (length, digits) = ((bits >> 24) as usize, bits & 0x00ff_ffff);
    // The top bit of the digits is a sign.
    if !(3..=32).contains(&length) || digits & 0x0080_0000 != 0 || digits == 0 {
        return None;
    }
    let mut target = [0; 32];
    target[32 - length..32 - length + 3].copy_from_slice(&digits.to_be_bytes()[1..]);
    Some(target)
}

fn target_of_easiest() -> [u8; 32] {
    target(EASIEST).unwrap_or_default()
}
