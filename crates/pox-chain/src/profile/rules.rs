//! The rules of a chain that a profile names: what transactions pay, and when a block is final.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which transactions a chain takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transactions {
    /// Type 0 only, as before the Berlin level.
    Legacy,
    /// Type 2, as from the London level on.
    Dynamic,
    /// Type 2 if the latest block has a base fee, else type 0.
    Detect,
}

/// What a transaction pays for gas; all prices in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fees {
    /// Nothing: the chain takes transactions for free.
    Zero,
    /// Always the same price.
    Fixed {
        /// Wei per gas.
        gas_price: u64,
    },
    /// What the node proposes, times a factor, within bounds.
    Node {
        /// The factor, in percent.
        percent: u32,
        /// Least wei per gas.
        #[serde(default)]
        min: u64,
        /// Most wei per gas; without it, `max_gas_price` alone bounds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<u64>,
    },
    /// Base fee with room to double, and this tip.
    Tip {
        /// Wei per gas on top of the base fee.
        tip: u64,
    },
    /// Base fee with room to double, and the tip that others paid in the last blocks; where the node has no fee history, or
    /// the chain no base fee, what the node proposes.
    History {
        /// How many blocks.
        blocks: u16,
        /// Which of the tips paid in a block, 0 the lowest and 100 the highest.
        percentile: u8,
        /// Least wei per gas of the tip.
        #[serde(default)]
        min_tip: u64,
    },
}

/// When a block counts as final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Finality {
    /// Once so many blocks stand on it, itself included.
    Depth {
        /// How many.
        blocks: u64,
    },
    /// Once more than half of the authorities have built on it, as Aura has it. Without their set, once so many blocks stand on it.
    Authorities {
        /// How many.
        blocks: u64,
    },
    /// Once the node's tag says so. Where a node does not know the tag, once so many blocks stand on it.
    Tag {
        /// Which.
        tag: FinalTag,
        /// How many.
        blocks: u64,
    },
    /// Once the chain that this one is anchored in has it for good, which the node's `finalized` tag tells. There is no
    /// number of this chain's own blocks that says so.
    ParentChain {
        /// How many blocks a transaction waits for meanwhile; they are the sequencer's promise, not finality.
        blocks: u64,
    },
}

/// The name of a block that nodes from the Paris level on hold to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinalTag {
    /// Can't be taken back without burning a third of the stake.
    Finalized,
    /// Is unlikely to be taken back.
    Safe,
}

/// Whether headers are checked against their hashes, and receipts and transactions against headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Checks {
    /// Everything that a block's hash commits to is checked against it.
    #[default]
    Hashes,
    /// Nodes are believed: for chains whose headers or receipts hash in a way of their own.
    DangerouslyNone,
}

/// The rules that raise the level of an EVM, oldest first. Each has all of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hardfork {
    /// CHAINID and SELFBALANCE; the oldest level that the contract runs on as it is priced.
    Istanbul,
    /// Access lists; typed transactions.
    Berlin,
    /// The base fee, BASEFEE.
    London,
    /// PREVRANDAO in place of DIFFICULTY; the tags `safe` and `finalized`.
    Paris,
    /// PUSH0.
    Shanghai,
    /// Transient storage, MCOPY, BLOBBASEFEE.
    Cancun,
    /// Set-code transactions.
    Prague,
    /// CLZ.
    Osaka,
}

/// Patterns of an explorer's pages, `{}` standing for the hash, address or number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explorer {
    /// A transaction's page.
    pub transaction: String,
    /// An account's page.
    pub address: String,
    /// A block's page.
    pub block: String,
}

impl Finality {
    /// The newest final block under a chain whose newest block is `head`, if any is, by the count of blocks alone. What a tag
    /// or a parent chain says, [`crate::Rpc::newest_final`] asks for.
    pub fn newest_final(self, head: u64) -> Option<u64> {
        (head + 1).checked_sub(self.confirmations())
    }

    /// How many blocks, its own included, have to stand on a block where nothing better is known.
    pub fn confirmations(self) -> u64 {
        match self {
            Self::Depth { blocks }
            | Self::Authorities { blocks }
            | Self::Tag { blocks, .. }
            | Self::ParentChain { blocks } => blocks,
        }
    }

    /// The tag that nodes of this chain are asked for.
    pub fn tag(self) -> Option<FinalTag> {
        match self {
            Self::Depth { .. } | Self::Authorities { .. } => None,
            Self::Tag { tag, .. } => Some(tag),
            Self::ParentChain { .. } => Some(FinalTag::Finalized),
        }
    }
}

impl fmt::Display for Finality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Depth { blocks } => write!(f, "{blocks} blocks"),
            Self::Authorities { blocks } => {
                write!(
                    f,
                    "more than half of the authorities, or {blocks} blocks where their set is not known"
                )
            }
            Self::Tag { tag, blocks } => write!(f, "the node's tag `{tag}`, or {blocks} blocks without it"),
            Self::ParentChain { .. } => f.write_str("the parent chain, as the node's tag `finalized` tells"),
        }
    }
}

impl FinalTag {
    /// As nodes spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finalized => "finalized",
            Self::Safe => "safe",
        }
    }
}

impl fmt::Display for FinalTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Transactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "type 0 (legacy)",
            Self::Dynamic => "type 2 (base fee and tip)",
            Self::Detect => "type 2 if blocks have a base fee, else type 0",
        })
    }
}

impl fmt::Display for Fees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("nothing"),
            Self::Fixed { gas_price } => write!(f, "{gas_price} wei per gas"),
            Self::Node { percent, min, max } => {
                write!(f, "{percent} % of what the node proposes")?;
                match (min, max) {
                    (0, None) => Ok(()),
                    (min, None) => write!(f, ", at least {min} wei"),
                    (min, Some(max)) => write!(f, ", {min} to {max} wei"),
                }
            }
            Self::Tip { tip } => write!(f, "the base fee and a tip of {tip} wei"),
            Self::History { blocks, percentile, .. } => {
                write!(f, "the base fee and the tip at {percentile} % of the last {blocks} blocks")
            }
        }
    }
}

impl Hardfork {
    /// As profiles spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Istanbul => "istanbul",
            Self::Berlin => "berlin",
            Self::London => "london",
            Self::Paris => "paris",
            Self::Shanghai => "shanghai",
            Self::Cancun => "cancun",
            Self::Prague => "prague",
            Self::Osaka => "osaka",
        }
    }
}

impl fmt::Display for Hardfork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Explorer {
    /// The page of a transaction.
    pub fn transaction(&self, hash: B256) -> String {
        self.transaction.replace("{}", &hash.to_string())
    }

    /// The page of an account.
    pub fn address(&self, address: Address) -> String {
        self.address.replace("{}", &address.to_string())
    }

    /// The page of a block.
    pub fn block(&self, number: u64) -> String {
        self.block.replace("{}", &number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_those_of_the_patterns() {
        let page = |kind: &str| format!("https://explorer.example/{kind}/{{}}/all");
        let explorer = Explorer { transaction: page("tx"), address: page("address"), block: page("block") };
        let (hash, address) = (B256::repeat_byte(0xab), Address::repeat_byte(0x11));
        let expected = |kind: &str, of: &str| format!("https://explorer.example/{kind}/{of}/all");
        assert_eq!(explorer.transaction(hash), expected("tx", &format!("0x{}", "ab".repeat(32))));
        assert_eq!(explorer.address(address), expected("address", &format!("0x{}", "11".repeat(20))));
        assert_eq!(explorer.block(4711), expected("block", "4711"));
    }

    #[test]
    fn finality_counts_the_block_itself() {
        let finality = Finality::Depth { blocks: 3 };
        assert_eq!([0, 1, 2, 3].map(|head| finality.newest_final(head)), [None, None, Some(0), Some(1)]);
    }
}
