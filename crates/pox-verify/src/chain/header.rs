//! Block headers of any engine, as bytes that were hashed and as the few fields that a judge needs.

use super::rlp::{self, Item};
use alloy_primitives::{Address, B256, Bloom, U256, keccak256};
use pox_core::UnixTime;

/// Fields before the seal, in every engine's header.
pub(crate) const COMMON_FIELDS: usize = 13;
/// Fields that a header can have: those before the seal, the seal's two, and six that forks from London to Prague appended.
pub(crate) const MOST_FIELDS: usize = COMMON_FIELDS + SEAL_FIELDS + 6;
/// Fields of a seal.
pub(crate) const SEAL_FIELDS: usize = 2;
/// Bytes of an Aura signature: r, s, and the recovery id as 0 or 1.
pub(crate) const SIGNATURE_BYTES: usize = 65;
/// Most bytes of an integer in a header.
pub(crate) const MOST_DIGITS: usize = 32;

/// A block's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// keccak256 of the header as it was read.
    pub hash: B256,
    /// keccak256 of the header without its seal, which an Aura authority signs.
    pub bare_hash: B256,
    /// The block before.
    pub parent: B256,
    /// Who is said to have sealed it.
    pub author: Address,
    /// Root of the state after it.
    pub state_root: B256,
    /// Root of its transactions' receipts.
    pub receipts_root: B256,
    /// Filter of what its receipts' logs name.
    pub bloom: Box<Bloom>,
    /// With Aura: how few steps were missed.
    pub difficulty: U256,
    /// Its number.
    pub number: u64,
    /// Its time.
    pub time: UnixTime,
    /// What shows that the author was entitled to it.
    pub seal: Seal,
}

/// Where Aura's optional list of empty steps stands.
const EMPTY_STEPS: usize = COMMON_FIELDS + SEAL_FIELDS;

/// What shows that a block's author was entitled to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seal {
    /// Proof of authority.
    Aura {
        /// The step, which is not signed.
        step: u64,
        /// The signature of the bare hash.
        signature: [u8; SIGNATURE_BYTES],
    },
    /// Proof of work or of stake, of which this header shows nothing.
    Other,
}

/// Bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// Not an RLP list with as many fields as a header has.
    #[error("not a list of a header's fields")]
    Form,
    /// A field has another form than it must; counted from 0.
    #[error("field {0} is malformed")]
    Field(usize),
    /// The seal has a list of empty steps, which is read by nobody here: no public chain that this is for used them.
    #[error("its seal lists empty steps, which this version does not read")]
    EmptySteps,
}

impl Header {
    /// Parses a header with the seal of Aura, Ethash or proof of stake, with or without a base fee.
    ///
    /// Says nothing about the seal. Headers with Aura's optional list of empty steps are refused by name.
    ///
    /// # Errors
    /// No header.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadHeader> {
        let fields = rlp::list(bytes, MOST_FIELDS).map_err(|_| BadHeader::Form)?;
        if fields.len() < COMMON_FIELDS + SEAL_FIELDS {
            return Err(BadHeader::Form);
        }
        match fields.iter().position(|field| field.is_list) {
            Some(EMPTY_STEPS) => return Err(BadHeader::EmptySteps),
            Some(list) => return Err(BadHeader::Field(list)),
            None => {}
        }
        let word = |at: usize| fields[at].fixed().map(B256::from).ok_or(BadHeader::Field(at));
        let integer = |at: usize| fields[at].integer().ok_or(BadHeader::Field(at));
        Ok(Self {
            hash: keccak256(bytes),
            bare_hash: bare_hash(&fields),
            parent: word(0)?,
            author: fields[2].fixed().map(Address::from).ok_or(BadHeader::Field(2))?,
            state_root: word(3)?,
            receipts_root: word(5)?,
            bloom: fields[6].fixed().map(Bloom::from).map(Box::new).ok_or(BadHeader::Field(6))?,
            difficulty: fields[7].big_endian().map(U256::from_be_slice).ok_or(BadHeader::Field(7))?,
            number: integer(8)?,
            time: UnixTime(integer(11)?),
            seal: seal(&fields[COMMON_FIELDS], &fields[COMMON_FIELDS + 1])?,
        })
    }
}

/// Tells the engines apart by the second field, whose lengths differ.
fn seal(first: &Item<'_>, second: &Item<'_>) -> Result<Seal, BadHeader> {
    if let Some(signature) = second.fixed::<SIGNATURE_BYTES>() {
        let step = first.integer().ok_or(BadHeader::Field(COMMON_FIELDS))?;
        return Ok(Seal::Aura { step, signature });
    }
    first.fixed::<32>().ok_or(BadHeader::Field(COMMON_FIELDS))?;
    second.fixed::<8>().ok_or(BadHeader::Field(COMMON_FIELDS + 1))?;
    Ok(Seal::Other)
}

fn bare_hash(fields: &[Item<'_>]) -> B256 {
    let (common, rest) = fields.split_at(COMMON_FIELDS);
    let payload: Vec<u8> =
        common.iter().chain(&rest[SEAL_FIELDS..]).flat_map(|field| field.raw).copied().collect();
    keccak256(rlp::list_of(&payload))
}
