//! Transactions before they are sent: what they are to do, and what was signed.

use crate::account::Account;
use crate::error::ChainError;
use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{SignableTransaction, Transaction, TxEip1559, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};

/// Most bytes of a signed transaction: what the pools of common nodes take.
pub(crate) const MAX_TRANSACTION_BYTES: usize = 128 * 1024;

/// What a transaction is to do, before nonce, fees and signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Whom it calls; `None` creates a contract.
    pub to: Option<Address>,
    /// Wei that go with it.
    pub value: U256,
    /// Its input.
    pub input: Bytes,
}

/// A signed transaction. Whoever keeps it before it is broadcast can send the same again after a crash, and never twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    raw: Bytes,
    hash: B256,
    from: Address,
    nonce: u64,
    gas_limit: u64,
    price: Price,
    draft: Draft,
}

/// Wei per gas that a transaction offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Price {
    Legacy { gas_price: u128 },
    Dynamic { max_fee: u128, tip: u128 },
}

impl Prepared {
    /// Reads a signed transaction of this chain, such as a journal keeps.
    ///
    /// # Errors
    /// Not one whole transaction, of a type that is not sent here, of another chain, or without a valid signature.
    pub fn parse(raw: &[u8], chain_id: u64) -> Result<Self, ChainError> {
        if raw.len() > MAX_TRANSACTION_BYTES {
            return Err(ChainError::BadPrepared("too large"));
        }
        let mut rest = raw;
        let envelope =
            TxEnvelope::decode_2718(&mut rest).map_err(|_| ChainError::BadPrepared("malformed"))?;
        if !rest.is_empty() {
            return Err(ChainError::BadPrepared("bytes follow it"));
        }
        if envelope.chain_id() != Some(chain_id) {
            return Err(ChainError::BadPrepared("signed for another chain"));
        }
        let price = match &envelope {
            TxEnvelope::Legacy(signed) => Price::Legacy { gas_price: signed.tx().gas_price },
            TxEnvelope::Eip1559(signed) => Price::Dynamic {
                max_fee: signed.tx().max_fee_per_gas,
                tip: signed.tx().max_priority_fee_per_gas,
            },
            _ => return Err(ChainError::BadPrepared("of a type that is not sent here")),
        };
        let from = envelope.recover_signer().map_err(|_| ChainError::BadPrepared("badly signed"))?;
        let draft = Draft { to: envelope.to(), value: envelope.value(), input: envelope.input().clone() };
        Ok(Self {
            raw: raw.to_vec().into(),
            hash: *envelope.tx_hash(),
            from,
            nonce: envelope.nonce(),
            gas_limit: envelope.gas_limit(),
            price,
            draft,
        })
    }

    pub(crate) fn sign(
        account: &Account,
        chain_id: u64,
        nonce: u64,
        gas_limit: u64,
        price: Price,
        draft: Draft,
    ) -> Result<Self, ChainError> {
        let Draft { to, value, input } = draft.clone();
        let to = to.map_or(TxKind::Create, TxKind::Call);
        let envelope: TxEnvelope = match price {
            Price::Legacy { gas_price } => {
                let chain_id = Some(chain_id);
                let tx = TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input };
                let signature = account.sign_transaction(tx.signature_hash());
                tx.into_signed(signature).into()
            }
            Price::Dynamic { max_fee, tip } => {
                let tx = TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: max_fee,
                    max_priority_fee_per_gas: tip,
                    to,
                    value,
                    access_list: Default::default(),
                    input,
                };
                let signature = account.sign_transaction(tx.signature_hash());
                tx.into_signed(signature).into()
            }
        };
        let raw: Bytes = envelope.encoded_2718().into();
        if raw.len() > MAX_TRANSACTION_BYTES {
            return Err(ChainError::BadPrepared("too large"));
        }
        let hash = *envelope.tx_hash();
        Ok(Self { raw, hash, from: account.address(), nonce, gas_limit, price, draft })
    }

    /// The bytes to journal, and to broadcast.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The transaction's hash.
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// Who signed it.
    pub fn from(&self) -> Address {
        self.from
    }

    /// Its place among the account's transactions.
    pub fn nonce(&self) -> u64 {
        self.nonce
    }

    /// What it is to do.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Most wei that it costs, its value included.
    pub fn max_cost(&self) -> U256 {
        let gas = U256::from(self.gas_limit).saturating_mul(U256::from(self.price.most()));
        gas.saturating_add(self.draft.value)
    }

    pub(crate) fn gas_limit(&self) -> u64 {
        self.gas_limit
    }

    pub(crate) fn price(&self) -> Price {
        self.price
    }
}

impl Price {
    /// The most that a unit of gas can cost.
    pub(crate) fn most(self) -> u128 {
        match self {
            Self::Legacy { gas_price } => gas_price,
            Self::Dynamic { max_fee, .. } => max_fee,
        }
    }

    /// A price that replaces this one in every pool: a quarter more, where nodes want a tenth or an eighth.
    pub(crate) fn raised(self) -> Self {
        let raise = |wei: u128| wei.saturating_add(wei / 4).saturating_add(1);
        match self {
            Self::Legacy { gas_price } => Self::Legacy { gas_price: raise(gas_price) },
            Self::Dynamic { max_fee, tip } => Self::Dynamic { max_fee: raise(max_fee), tip: raise(tip) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(price: Price) -> Prepared {
        let account = Account::from_bytes(&[7; 32]).unwrap();
        let draft = Draft {
            to: Some(Address::repeat_byte(1)),
            value: U256::from(5),
            input: Bytes::from_static(b"input"),
        };
        Prepared::sign(&account, 8995, 3, 100_000, price, draft).unwrap()
    }

    #[test]
    fn what_was_signed_comes_back_from_its_bytes() {
        for price in [Price::Legacy { gas_price: 1_000_000 }, Price::Dynamic { max_fee: 20, tip: 2 }] {
            let signed = prepared(price);
            assert_eq!(Prepared::parse(signed.raw(), 8995).unwrap(), signed);
            assert_eq!(signed.max_cost(), U256::from(100_000 * price.most() + 5));
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        let raw = prepared(Price::Legacy { gas_price: 1 }).raw().to_vec();
        assert!(Prepared::parse(&raw, 1).is_err());
        assert!(Prepared::parse(&raw[..raw.len() - 1], 8995).is_err());
        assert!(Prepared::parse(&[&raw[..], &[0]].concat(), 8995).is_err());
        assert!(Prepared::parse(&vec![0; MAX_TRANSACTION_BYTES + 1], 8995).is_err());
        // A changed byte makes it malformed, another chain's, or another signer's.
        for at in 0..raw.len() {
            let mut other = raw.clone();
            other[at] ^= 1;
            if let Ok(parsed) = Prepared::parse(&other, 8995) {
                assert_ne!(parsed.from(), Account::from_bytes(&[7; 32]).unwrap().address());
            }
        }
    }

    #[test]
    fn a_raised_price_is_a_quarter_more() {
        assert_eq!(Price::Legacy { gas_price: 0 }.raised().most(), 1);
        assert_eq!(Price::Legacy { gas_price: 1000 }.raised().most(), 1251);
        assert_eq!(Price::Legacy { gas_price: u128::MAX }.raised().most(), u128::MAX);
    }
}
