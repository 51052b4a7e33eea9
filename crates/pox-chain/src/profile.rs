//! What is to be known about a chain before talking to it. Nothing about any chain is a constant elsewhere.

use crate::authorities::Authorities;
use crate::endpoint::{Endpoint, MAX_URL_BYTES};
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Chain id of the embedded chain: the bytes `pox` as a number.
pub const EMBEDDED_CHAIN_ID: u64 = 7_368_568;
/// Most bytes of a profile file: a page of settings, and room for comments.
pub(crate) const MAX_PROFILE_BYTES: usize = 64 * 1024;
/// Most endpoints of a profile: each is asked in turn when one fails.
pub(crate) const MAX_ENDPOINTS: usize = 16;
/// Most blocks of one log query that a profile may ask for.
pub(crate) const MAX_LOG_RANGE: u32 = 1_000_000;
/// Most blocks that a profile may wait for.
pub(crate) const MAX_DEPTH: u64 = 100_000;

const BLOXBERG: &str = include_str!("../profiles/bloxberg.toml");
const EMBEDDED: &str = include_str!("../profiles/embedded.toml");

/// A chain, as clients have to treat it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What people call it.
    pub name: String,
    /// EIP-155 chain id; an endpoint with another one is refused.
    pub chain_id: u64,
    /// Where its nodes answer, in the order in which they are tried.
    pub endpoints: Vec<Endpoint>,
    /// The contract on this chain, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Deployment>,
    /// Which transactions it takes.
    pub transactions: Transactions,
    /// What a transaction pays.
    pub fees: Fees,
    /// Most wei per gas that is ever offered, whatever a node says.
    #[serde(default = "most_by_default")]
    pub max_gas_price: u64,
    /// When a block is final.
    pub finality: Finality,
    /// Most blocks of one log query.
    pub log_range: u32,
    /// Milliseconds between two looks at something that is waited for.
    pub poll_millis: u32,
    /// Pages for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explorer: Option<Explorer>,
    /// Who seals its blocks, if it is an Aura chain and somebody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<Authorities>,
}

/// Where the contract is, and from which block on it has events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Its address.
    pub address: Address,
    /// A block not after its deployment; zero if unknown, at the price of longer searches.
    #[serde(default)]
    pub block: u64,
}

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
    /// Always the same price.
    Fixed {
        /// Wei per gas.
        gas_price: u64,
    },
    /// What the node proposes, times a factor.
    Node {
        /// The factor, in percent.
        percent: u32,
    },
    /// Base fee with room to double, and this tip.
    Tip {
        /// Wei per gas on top of the base fee.
        tip: u64,
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

/// A profile is not one.
#[derive(Debug, thiserror::Error)]
pub enum BadProfile {
    /// The file can't be read.
    #[error("cannot read the profile")]
    Read(#[from] std::io::Error),
    /// The file is larger than any profile.
    #[error("a profile has at most {MAX_PROFILE_BYTES} bytes")]
    TooLarge,
    /// Not TOML of a profile.
    #[error("not a profile in TOML: {0}")]
    Toml(#[from] toml::de::Error),
    /// Not JSON of a profile.
    #[error("not a profile in JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A setting is out of its bounds.
    #[error("{field}: {rule}")]
    Bounds {
        /// The setting.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
}

impl Profile {
    /// A profile that comes with this program: `embedded` or `bloxberg`.
    pub fn builtin(name: &str) -> Option<Self> {
        let text = match name {
            "embedded" => EMBEDDED,
            "bloxberg" => BLOXBERG,
            _ => return None,
        };
        Some(Self::from_toml(text).expect("a test parses every profile that is built in"))
    }

    /// Names of the built-in profiles.
    pub const BUILTIN: [&str; 2] = ["embedded", "bloxberg"];

    /// A profile for any EVM chain: the transaction type is detected, the node's gas price taken with a quarter on top.
    pub fn generic(chain_id: u64, endpoint: Endpoint) -> Self {
        Self {
            name: "generic".into(),
            chain_id,
            endpoints: vec![endpoint],
            contract: None,
            transactions: Transactions::Detect,
            fees: Fees::Node { percent: 125 },
            max_gas_price: most_by_default(),
            finality: Finality::Depth { blocks: 12 },
            log_range: 2000,
            poll_millis: 1000,
            explorer: None,
            authorities: None,
        }
    }

    /// Reads a file: JSON if its name ends so, else TOML.
    ///
    /// # Errors
    /// It can't be read, or is no profile.
    pub fn load(path: &Path) -> Result<Self, BadProfile> {
        let mut text = String::new();
        File::open(path)?.take(MAX_PROFILE_BYTES as u64 + 1).read_to_string(&mut text)?;
        if path.extension().is_some_and(|extension| extension == "json") {
            Self::from_json(&text)
        } else {
            Self::from_toml(&text)
        }
    }

    /// Parses TOML.
    ///
    /// # Errors
    /// Not a profile.
    pub fn from_toml(text: &str) -> Result<Self, BadProfile> {
        bounded(text)?;
        toml::from_str::<Self>(text)?.checked()
    }

    /// Parses JSON.
    ///
    /// # Errors
    /// Not a profile.
    pub fn from_json(text: &str) -> Result<Self, BadProfile> {
        bounded(text)?;
        serde_json::from_str::<Self>(text)?.checked()
    }

    /// The same chain through one other endpoint.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints = vec![endpoint];
        self
    }

    /// The same chain with the contract at another place.
    #[must_use]
    pub fn with_contract(mut self, contract: Deployment) -> Self {
        self.contract = Some(contract);
        self
    }

    fn checked(self) -> Result<Self, BadProfile> {
        let name_fits = (1..=64).contains(&self.name.len())
            && self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let fees_fit = match self.fees {
            Fees::Fixed { gas_price: price } | Fees::Tip { tip: price } => price <= self.max_gas_price,
            Fees::Node { percent } => (1..=1000).contains(&percent),
        };
        let Finality::Depth { blocks } = self.finality;
        let patterns_fit = self.explorer.iter().all(|explorer| {
            [&explorer.transaction, &explorer.address, &explorer.block]
                .iter()
                .all(|pattern| pattern.len() <= MAX_URL_BYTES && pattern.matches("{}").count() == 1)
        });
        let dynamic_fits =
            !matches!((self.transactions, self.fees), (Transactions::Legacy, Fees::Tip { .. }));
        let rules = [
            (name_fits, "name", "1 to 64 letters, digits, dots, hyphens or underscores"),
            (self.chain_id != 0, "chain_id", "not zero"),
            ((1..=MAX_ENDPOINTS).contains(&self.endpoints.len()), "endpoints", "1 to 16"),
            (fees_fit, "fees", "a factor of 1 to 1000 percent, a price not above max_gas_price"),
            (dynamic_fits, "fees.rule", "a tip needs transactions other than legacy"),
            ((1..=MAX_DEPTH).contains(&blocks), "finality.blocks", "1 to 100000"),
            ((1..=MAX_LOG_RANGE).contains(&self.log_range), "log_range", "1 to 1000000"),
            ((1..=3_600_000).contains(&self.poll_millis), "poll_millis", "1 to 3600000"),
            (
                self.authorities.as_ref().is_none_or(Authorities::fits),
                "authorities",
                "1 to 64 sets of 1 to 1024 different accounts, in the order of their blocks, each with day and source",
            ),
            (patterns_fit, "explorer", "patterns with one {} and at most 2048 bytes"),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, field, rule)) => Err(BadProfile::Bounds { field, rule }),
            None => Ok(self),
        }
    }
}

impl Finality {
    /// The newest final block under a chain whose newest block is `head`, if any is.
    pub fn newest_final(self, head: u64) -> Option<u64> {
        let Self::Depth { blocks } = self;
        (head + 1).checked_sub(blocks)
    }

    /// How many blocks, its own included, have to stand on a block.
    pub fn confirmations(self) -> u64 {
        let Self::Depth { blocks } = self;
        blocks
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

/// 1,000 gwei: above what public chains have ever asked for long, and 0.3 coins for a task's five transactions.
fn most_by_default() -> u64 {
    1_000_000_000_000
}

fn bounded(text: &str) -> Result<(), BadProfile> {
    if text.len() > MAX_PROFILE_BYTES { Err(BadProfile::TooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_profiles_parse_and_are_what_they_say() {
        for name in Profile::BUILTIN {
            let profile = Profile::builtin(name).unwrap();
            assert_eq!(profile.name, name);
            let json = serde_json::to_string(&profile).unwrap();
            assert_eq!(Profile::from_json(&json).unwrap(), profile);
        }
        assert_eq!(Profile::builtin("embedded").unwrap().chain_id, EMBEDDED_CHAIN_ID);
        assert_eq!(Profile::builtin("bloxberg").unwrap().chain_id, 8995);
        assert_eq!(Profile::builtin("generic"), None);
    }

    #[test]
    fn a_generic_profile_is_within_the_bounds() {
        let profile = Profile::generic(1, "http://localhost:1".parse().unwrap());
        assert_eq!(profile.clone().checked().unwrap(), profile);
    }

    #[test]
    fn settings_out_of_bounds_are_named() {
        let refused = |from: &str, to: &str| {
            assert!(BLOXBERG.contains(from), "{from}");
            match Profile::from_toml(&BLOXBERG.replace(from, to)) {
                Err(BadProfile::Bounds { field, .. }) => field.to_owned(),
                Err(BadProfile::Toml(_)) => "toml".to_owned(),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(refused("chain_id = 8995", "chain_id = 0"), "chain_id");
        assert_eq!(refused("[\"https://core.bloxberg.org\"]", "[]"), "endpoints");
        assert_eq!(refused("https://core", "ftp://core"), "toml");
        assert_eq!(refused("log_range = 9000", "log_range = 0"), "log_range");
        assert_eq!(refused("log_range = 9000", "log_range = 9000\nextra = 1"), "toml");
        assert_eq!(refused("gas_price = 1000000", "gas_price = 1000000\ntip = 1"), "toml");
        assert_eq!(refused("blocks = 30", "blocks = 0"), "finality.blocks");
        assert_eq!(refused("/tx/{}", "/tx/"), "explorer");
        assert_eq!(refused("as_of = \"2024-04-25\"", "as_of = \"yesterday\""), "authorities");
        assert_eq!(refused("rule = \"fixed\"\ngas_price = 1000000", "rule = \"tip\"\ntip = 1"), "fees.rule");
        let large = " ".repeat(MAX_PROFILE_BYTES + 1);
        assert!(matches!(Profile::from_toml(&large), Err(BadProfile::TooLarge)));
    }

    #[test]
    fn finality_counts_the_block_itself() {
        let finality = Finality::Depth { blocks: 3 };
        assert_eq!([0, 1, 2, 3].map(|head| finality.newest_final(head)), [None, None, Some(0), Some(1)]);
    }
}
