//! Digests and ids, each its own type, so that none stands where another is meant.

use alloy_primitives::B256;
use core::fmt;
use core::str::FromStr;

/// A digest's text is not 32 bytes of hexadecimal.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected 0x and 64 hexadecimal digits")]
pub struct BadDigest;

macro_rules! digests {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub B256);

        impl $name {
            /// All zero: stands for "none" where the record allows it.
            pub const ZERO: Self = Self(B256::ZERO);

            /// Whether it stands for "none".
            pub fn is_zero(&self) -> bool {
                self.0.is_zero()
            }

            /// The 32 bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0.0
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(B256::from(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{}", hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = BadDigest;

            fn from_str(text: &str) -> Result<Self, BadDigest> {
                let digits = text.strip_prefix("0x").ok_or(BadDigest)?;
                let mut bytes = [0; 32];
                hex::decode_to_slice(digits, &mut bytes).map_err(|_| BadDigest)?;
                Ok(Self(B256::from(bytes)))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(self.as_bytes())?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let bytes: [u8; 32] = crate::bytes::fixed(d)?;
                Ok(Self::from(bytes))
            }
        }
    )*};
}

digests! {
    /// Identifies a task: `EIP712(Request)` (spec §3.1).
    TaskId;
    /// Identifies an offer: `EIP712(Offer)` (spec §3.2).
    OfferId;
    /// Identifies a receipt: `EIP712(Receipt)` (spec §3.3).
    ReceiptId;
    /// SHA-256 of an OCI image manifest.
    ImageDigest;
    /// SHA-256 of a sealed dataset's `B3SUMS` (spec §7.3).
    DatasetCommitment;
    /// SHA-256 of the sealed results' `B3SUMS`, or zero where there are none.
    ResultsCommitment;
    /// Root over the salted leaves that say how to run (spec §7.1).
    TermsRoot;
    /// Root over the salted catalogue leaves, or zero (spec §7.1).
    MetadataRoot;
    /// SHA-256 of the evidence policy's canonical JSON (spec §8.3).
    PolicyHash;
    /// SHA-256 of the run report (spec §6.2).
    ReportHash;
    /// What the enclave signs: `EIP712(ArchivedReceipt)` (spec §3.3).
    ArchivedReceiptId;
    /// What the enclave of a batch signs: `EIP712(ArchivedBatch)` (spec §3.3).
    ArchivedBatchId;
    /// Root over the accounts that may match (spec §3.4).
    ListRoot;
    /// Root over the receipts of a batch's members (spec §6.3).
    MembersRoot;
    /// Root over the salted leaves of a batch's runs (spec §7.2).
    RunsRoot;
    /// SHA-256 of the archived evidence (spec §8.5).
    Archive;
    /// A task's running commitment (spec §5.2).
    History;
    /// Makes equal records distinct.
    Salt;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_is_strict() {
        let id = TaskId::from([0xab; 32]);
        assert_eq!(id.to_string().parse::<TaskId>(), Ok(id));
        for bad in [
            "",
            "0x",
            "ab",
            &"0".repeat(64),
            &format!("0x{}", "g".repeat(64)),
            &format!("0x{}", "0".repeat(66)),
        ] {
            assert_eq!(bad.parse::<TaskId>(), Err(BadDigest), "{bad}");
        }
    }
}
