//! Parameters of calls, read strictly: a value is what the specification says, or it is refused with its place.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde_json::Value;

use super::error::RpcError;
use crate::{block::Block, chain::Inner};

/// The parameters of one call, read from first to last.
pub(super) struct Params {
    values: std::vec::IntoIter<Value>,
    index: usize,
}

/// A value that a parameter can be.
pub(super) trait FromParam: Sized {
    /// Reads the value; the error says what is wrong with it.
    fn from_param(value: &Value) -> Result<Self, String>;
}

impl Params {
    pub(super) fn new(params: Option<Value>) -> Result<Self, RpcError> {
        let values = match params {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(_) => return Err(RpcError::params("non-array args")),
        };
        Ok(Self { values: values.into_iter(), index: 0 })
    }

    /// The next one, which must be there.
    pub(super) fn required<T: FromParam>(&mut self) -> Result<T, RpcError> {
        let index = self.index;
        self.optional()?
            .ok_or_else(|| RpcError::params(format!("missing value for required argument {index}")))
    }

    /// The next one, if it is there and not null.
    pub(super) fn optional<T: FromParam>(&mut self) -> Result<Option<T>, RpcError> {
        let index = self.index;
        self.index += 1;
        match self.values.next() {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::from_param(&value)
                .map(Some)
                .map_err(|reason| RpcError::params(format!("invalid argument {index}: {reason}"))),
        }
    }

    /// There are no more.
    pub(super) fn end(self) -> Result<(), RpcError> {
        if self.values.len() == 0 {
            return Ok(());
        }
        Err(RpcError::params(format!("too many arguments, want at most {}", self.index)))
    }

    /// There are none.
    pub(super) fn none(self) -> Result<(), RpcError> {
        self.end()
    }

    /// There is one.
    pub(super) fn one<T: FromParam>(mut self) -> Result<T, RpcError> {
        let value = self.required()?;
        self.end()?;
        Ok(value)
    }
}

/// Which block is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum At {
    Number(u64),
    Hash(B256),
    Earliest,
    #[default]
    Latest,
    /// Of state and blocks this is the latest; of nonces, what waits is counted too.
    Pending,
    /// The last block that can't be reorganised away.
    Final,
}

impl At {
    /// The block, if there is such a one.
    pub(super) fn find(self, chain: &Inner) -> Result<Option<Arc<Block>>, RpcError> {
        let number = match self {
            Self::Latest | Self::Pending => return Ok(Some(chain.head())),
            Self::Earliest => 0,
            Self::Final => chain.final_number()?,
            Self::Number(number) => number,
            Self::Hash(hash) => return find_hash(chain, &hash),
        };
        Ok(chain.store().block(number)?)
    }

    /// The block whose state is meant; that there is none is an error.
    pub(super) fn block(self, chain: &Inner) -> Result<Arc<Block>, RpcError> {
        let missing =
            if matches!(self, Self::Hash(_)) { "header for hash not found" } else { "header not found" };
        self.find(chain)?.ok_or_else(|| RpcError::server(missing))
    }

    /// The number it stands for, whether or not there is such a block.
    pub(super) fn number(self, chain: &Inner) -> Result<u64, RpcError> {
        match self {
            Self::Number(number) => Ok(number),
            other => Ok(other.block(chain)?.header.number),
        }
    }
}

/// The block with that hash, if it is in the chain.
pub(super) fn find_hash(chain: &Inner, hash: &B256) -> Result<Option<Arc<Block>>, RpcError> {
    let Some(number) = chain.store().number_of(hash)? else { return Ok(None) };
    Ok(chain.store().block(number)?.filter(|block| block.hash == *hash))
}

impl FromParam for At {
    fn from_param(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => match text.as_str() {
                "latest" => Ok(Self::Latest),
                "earliest" => Ok(Self::Earliest),
                "pending" => Ok(Self::Pending),
                "safe" | "finalized" => Ok(Self::Final),
                text if text.len() == 66 => B256::from_param(value).map(Self::Hash),
                _ => u64::from_param(value).map(Self::Number),
            },
            Value::Object(fields) => match (fields.get("blockHash"), fields.get("blockNumber")) {
                (Some(hash), None) => B256::from_param(hash).map(Self::Hash),
                (None, Some(Value::Object(_))) => Err("a block number is not an object".into()),
                (None, Some(number)) => Self::from_param(number),
                (Some(_), Some(_)) => {
                    Err("cannot specify both BlockHash and BlockNumber, choose one or the other".into())
                }
                (None, None) => Err("neither block number nor hash".into()),
            },
            _ => Err("not a block number, tag or hash".into()),
        }
    }
}

impl FromParam for bool {
    fn from_param(value: &Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| "not a boolean".into())
    }
}

impl FromParam for u64 {
    fn from_param(value: &Value) -> Result<Self, String> {
        let digits = quantity_digits(value)?;
        Self::from_str_radix(digits, 16).map_err(|_| "hex number > 64 bits".into())
    }
}

impl FromParam for u128 {
    fn from_param(value: &Value) -> Result<Self, String> {
        let digits = quantity_digits(value)?;
        Self::from_str_radix(digits, 16).map_err(|_| "hex number > 128 bits".into())
    }
}

impl FromParam for U256 {
    fn from_param(value: &Value) -> Result<Self, String> {
        let digits = quantity_digits(value)?;
        Self::from_str_radix(digits, 16).map_err(|_| "hex number > 256 bits".into())
    }
}

impl FromParam for Bytes {
    fn from_param(value: &Value) -> Result<Self, String> {
        let digits = prefixed(value)?;
        if digits.len() % 2 != 0 {
            return Err("hex string of odd length".into());
        }
        hex::decode(digits).map(Self::from).map_err(|_| "invalid hex string".into())
    }
}

impl FromParam for Address {
    fn from_param(value: &Value) -> Result<Self, String> {
        fixed::<20>(value).map(Self::from)
    }
}

impl FromParam for B256 {
    fn from_param(value: &Value) -> Result<Self, String> {
        fixed::<32>(value).map(Self::from)
    }
}

impl<T: FromParam> FromParam for Vec<T> {
    fn from_param(value: &Value) -> Result<Self, String> {
        value.as_array().ok_or("not an array")?.iter().map(T::from_param).collect()
    }
}

fn fixed<const N: usize>(value: &Value) -> Result<[u8; N], String> {
    let bytes = Bytes::from_param(value)?;
    let length = bytes.len();
    <[u8; N]>::try_from(&bytes[..])
        .map_err(|_| format!("hex string has length {}, want {}", length * 2, N * 2))
}

/// The digits of a number as the specification writes it: without leading zeros, and at least one.
fn quantity_digits(value: &Value) -> Result<&str, String> {
    let digits = prefixed(value)?;
    if digits.is_empty() {
        return Err("hex string \"0x\"".into());
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("hex number with leading zero digits".into());
    }
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("invalid hex string".into());
    }
    Ok(digits)
}

fn prefixed(value: &Value) -> Result<&str, String> {
    let text = value.as_str().ok_or("not a string")?;
    if text.is_empty() {
        return Err("empty hex string".into());
    }
    text.strip_prefix("0x").ok_or_else(|| "hex string without 0x prefix".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_strict() {
        for good in ["0x0", "0x1", "0xabcdef", "0xffffffffffffffff"] {
            assert!(u64::from_param(&json!(good)).is_ok(), "{good}");
        }
        for bad in
            ["", "0x", "0x00", "0x01", "1", "0xg", "0x10000000000000000", "0x+1", "0x 1", "-0x1", "0X1"]
        {
            assert!(u64::from_param(&json!(bad)).is_err(), "{bad}");
        }
        assert!(u64::from_param(&json!(1)).is_err());
    }

    #[test]
    fn bytes_and_hashes_are_strict() {
        assert!(Bytes::from_param(&json!("0x")).unwrap().is_empty());
        for bad in ["0x1", "12", "0xzz", ""] {
            assert!(Bytes::from_param(&json!(bad)).is_err(), "{bad}");
        }
        assert!(Address::from_param(&json!("0x00")).is_err());
        assert!(B256::from_param(&json!(format!("0x{}", "00".repeat(33)))).is_err());
    }

    #[test]
    fn blocks_are_named_in_all_ways() {
        let hash = B256::repeat_byte(7);
        let cases = [
            (json!("0x10"), At::Number(16)),
            (json!("latest"), At::Latest),
            (json!("finalized"), At::Final),
            (json!(hash), At::Hash(hash)),
            (json!({ "blockHash": hash, "requireCanonical": true }), At::Hash(hash)),
            (json!({ "blockNumber": "0x1" }), At::Number(1)),
        ];
        for (value, at) in cases {
            assert_eq!(At::from_param(&value).unwrap(), at);
        }
        for bad in [json!("newest"), json!(5), json!({}), json!({ "blockHash": hash, "blockNumber": "0x1" })]
        {
            assert!(At::from_param(&bad).is_err(), "{bad}");
        }
    }
}
