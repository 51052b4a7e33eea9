//! Block headers, with the seal of whichever engine made them.
//!
//! The order of fields is the one of OpenEthereum, which differs from Ethereum's only in the seal: the common
//! thirteen fields, the seal's fields, then what London and later forks added.

use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256, keccak256};
use alloy_rlp::{BufMut, Decodable, Encodable, Header as RlpHeader};

/// Length of an Aura signature: r, s, and the recovery id as 0 or 1.
pub(crate) const SIGNATURE_LENGTH: usize = 65;

/// A block's header. Integers are unsigned, times Unix seconds, amounts wei.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) parent_hash: B256,
    pub(crate) uncles_hash: B256,
    pub(crate) author: Address,
    pub(crate) state_root: B256,
    pub(crate) transactions_root: B256,
    pub(crate) receipts_root: B256,
    pub(crate) logs_bloom: Bloom,
    pub(crate) difficulty: U256,
    pub(crate) number: u64,
    pub(crate) gas_limit: u64,
    pub(crate) gas_used: u64,
    pub(crate) timestamp: u64,
    pub(crate) extra: Bytes,
    pub(crate) seal: Seal,
    pub(crate) later: Later,
}

/// What shows that a block's author was entitled to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// Proof of authority: the authority of that step signed the bare header.
    Aura { step: u64, signature: [u8; SIGNATURE_LENGTH] },
    /// Proof of work, and proof of stake since Paris, where `mix_hash` is the random value and the nonce 0.
    Ethash { mix_hash: B256, nonce: B64 },
}

/// The fields that forks from London on have appended; each is there only if those before it are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Later {
    /// London.
    pub(crate) base_fee: Option<u64>,
    /// Shanghai.
    pub(crate) withdrawals_root: Option<B256>,
    /// Cancun.
    pub(crate) blob_gas_used: Option<u64>,
    /// Cancun.
    pub(crate) excess_blob_gas: Option<u64>,
    /// Cancun.
    pub(crate) parent_beacon_root: Option<B256>,
    /// Prague.
    pub(crate) requests_hash: Option<B256>,
}

impl Header {
    /// The block's hash: Keccak-256 of the full header.
    pub(crate) fn hash(&self) -> B256 {
        keccak256(alloy_rlp::encode(self))
    }

    /// What an Aura authority signs: Keccak-256 of the header without its seal.
    pub(crate) fn bare_hash(&self) -> B256 {
        let mut payload = Vec::new();
        self.encode_common(&mut payload);
        self.later.encode(&mut payload);
        let mut bare = Vec::new();
        put_list(&payload, &mut bare);
        keccak256(bare)
    }

    fn encode_common(&self, out: &mut dyn BufMut) {
        self.parent_hash.encode(out);
        self.uncles_hash.encode(out);
        self.author.encode(out);
        self.state_root.encode(out);
        self.transactions_root.encode(out);
        self.receipts_root.encode(out);
        self.logs_bloom.encode(out);
        self.difficulty.encode(out);
        self.number.encode(out);
        self.gas_limit.encode(out);
        self.gas_used.encode(out);
        self.timestamp.encode(out);
        self.extra.encode(out);
    }

    fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        self.encode_common(&mut payload);
        self.seal.encode(&mut payload);
        self.later.encode(&mut payload);
        payload
    }
}

impl Seal {
    /// The seal's fields, each RLP-encoded, as they stand in the header and in JSON-RPC's `sealFields`.
    pub(crate) fn fields(&self) -> [Bytes; 2] {
        let rlp = |value: &dyn Encodable| {
            let mut out = Vec::new();
            value.encode(&mut out);
            Bytes::from(out)
        };
        match self {
            Self::Aura { step, signature } => [rlp(step), rlp(signature)],
            Self::Ethash { mix_hash, nonce } => [rlp(mix_hash), rlp(nonce)],
        }
    }

    fn encode(&self, out: &mut dyn BufMut) {
        for field in self.fields() {
            out.put_slice(&field);
        }
    }

    /// Tells the engines apart by the second field, whose lengths differ.
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut first = RlpHeader::decode_bytes(buf, false)?;
        let second = RlpHeader::decode_bytes(buf, false)?;
        if let Ok(signature) = second.try_into() {
            let digits = first.len();
            if digits > 8 || first.first() == Some(&0) {
                return Err(alloy_rlp::Error::Custom(
                    "an Aura step is a 64-bit number without leading zeros",
                ));
            }
            let mut step = [0; 8];
            step[8 - digits..].copy_from_slice(first);
            return Ok(Self::Aura { step: u64::from_be_bytes(step), signature });
        }
        let (Ok(mix_hash), Ok(nonce)) = (B256::try_from(std::mem::take(&mut first)), B64::try_from(second))
        else {
            return Err(alloy_rlp::Error::Custom("the seal is neither Aura's nor Ethash's"));
        };
        Ok(Self::Ethash { mix_hash, nonce })
    }
}

impl Later {
    fn encode(&self, out: &mut dyn BufMut) {
        if let Some(base_fee) = self.base_fee {
            base_fee.encode(out);
        }
        if let Some(root) = self.withdrawals_root {
            root.encode(out);
        }
        if let Some(used) = self.blob_gas_used {
            used.encode(out);
        }
        if let Some(excess) = self.excess_blob_gas {
            excess.encode(out);
        }
        if let Some(root) = self.parent_beacon_root {
            root.encode(out);
        }
        if let Some(hash) = self.requests_hash {
            hash.encode(out);
        }
    }

    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        fn next<T: Decodable>(buf: &mut &[u8]) -> alloy_rlp::Result<Option<T>> {
            if buf.is_empty() { Ok(None) } else { T::decode(buf).map(Some) }
        }
        Ok(Self {
            base_fee: next(buf)?,
            withdrawals_root: next(buf)?,
            blob_gas_used: next(buf)?,
            excess_blob_gas: next(buf)?,
            parent_beacon_root: next(buf)?,
            requests_hash: next(buf)?,
        })
    }
}

impl Encodable for Header {
    fn encode(&self, out: &mut dyn BufMut) {
        put_list(&self.payload(), out);
    }

    fn length(&self) -> usize {
        let payload_length = self.payload().len();
        RlpHeader { list: true, payload_length }.length_with_payload()
    }
}

impl Decodable for Header {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut payload = RlpHeader::decode_bytes(buf, true)?;
        let rest = &mut payload;
        let header = Self {
            parent_hash: Decodable::decode(rest)?,
            uncles_hash: Decodable::decode(rest)?,
            author: Decodable::decode(rest)?,
            state_root: Decodable::decode(rest)?,
            transactions_root: Decodable::decode(rest)?,
            receipts_root: Decodable::decode(rest)?,
            logs_bloom: Decodable::decode(rest)?,
            difficulty: Decodable::decode(rest)?,
            number: Decodable::decode(rest)?,
            gas_limit: Decodable::decode(rest)?,
            gas_used: Decodable::decode(rest)?,
            timestamp: Decodable::decode(rest)?,
            extra: Decodable::decode(rest)?,
            seal: Seal::decode(rest)?,
            later: Later::decode(rest)?,
        };
        if rest.is_empty() { Ok(header) } else { Err(alloy_rlp::Error::UnexpectedLength) }
    }
}

/// Writes an RLP list of items that are encoded already.
pub(crate) fn put_list(payload: &[u8], out: &mut dyn BufMut) {
    RlpHeader { list: true, payload_length: payload.len() }.encode(out);
    out.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;

    use super::*;

    fn header(seal: Seal, later: Later) -> Header {
        Header {
            parent_hash: B256::repeat_byte(1),
            uncles_hash: B256::repeat_byte(2),
            author: Address::repeat_byte(3),
            state_root: B256::repeat_byte(4),
            transactions_root: B256::repeat_byte(5),
            receipts_root: B256::repeat_byte(6),
            logs_bloom: Bloom::ZERO,
            difficulty: U256::from(7),
            number: 8,
            gas_limit: 9,
            gas_used: 0,
            timestamp: 11,
            extra: Bytes::from_static(b"x"),
            seal,
            later,
        }
    }

    #[test]
    fn both_seals_and_all_later_fields_come_back() {
        let later = Later {
            base_fee: Some(0),
            withdrawals_root: Some(B256::ZERO),
            blob_gas_used: Some(1),
            excess_blob_gas: Some(2),
            parent_beacon_root: Some(B256::ZERO),
            requests_hash: Some(B256::ZERO),
        };
        let aura = |step| Seal::Aura { step, signature: [9; SIGNATURE_LENGTH] };
        let ethash = Seal::Ethash { mix_hash: B256::repeat_byte(8), nonce: B64::repeat_byte(1) };
        for seal in [aura(0), aura(300), aura(u64::MAX), ethash] {
            for later in [Later::default(), later.clone()] {
                let header = header(seal.clone(), later);
                let bytes = alloy_rlp::encode(&header);
                assert_eq!(bytes.len(), header.length());
                assert_eq!(Header::decode(&mut &bytes[..]).unwrap(), header);
            }
        }
    }

    #[test]
    fn odd_seals_are_refused() {
        let good = alloy_rlp::encode(header(Seal::Aura { step: 0x7f, signature: [9; 65] }, Later::default()));
        let step = good.len() - 1 - 1 - SIGNATURE_LENGTH - 1;
        assert_eq!(good[step..step + 3], hex!("7fb841"));
        let mut zero = good.clone();
        zero[step] = 0;
        assert!(Header::decode(&mut &zero[..]).is_err());
        let mut short = good;
        short[step + 1] = 0xb7;
        assert!(Header::decode(&mut &short[..]).is_err());
    }
}
