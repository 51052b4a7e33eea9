//! What is to be known about a chain before talking to it. Nothing about any chain is a constant elsewhere.

mod rules;

pub use rules::{Checks, Explorer, Fees, FinalTag, Finality, Hardfork, Transactions};

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

const BLOXBERG: &str = include_str!("../../profiles/bloxberg.toml");
const EMBEDDED: &str = include_str!("../../profiles/embedded.toml");
const GENERIC_POA: &str = include_str!("../../profiles/generic-poa.toml");
const ETHEREUM_LIKE: &str = include_str!("../../profiles/ethereum-like.toml");
const ARBITRUM_LIKE: &str = include_str!("../../profiles/arbitrum-like.toml");

/// A chain, as clients have to treat it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What people call it.
    pub name: String,
    /// EIP-155 chain id; an endpoint with another one is refused.
    pub chain_id: u64,
    /// Hash of its first block, where other chains share its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<B256>,
    /// The rules that its EVM is at, as far as is known; `pox chain doctor` compares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardfork: Option<Hardfork>,
    /// Where its nodes answer, in the order in which they are tried.
    pub endpoints: Vec<Endpoint>,
    /// How many of them have to give the same answer where it matters; more than half of those that answer, always.
    #[serde(default = "one")]
    pub agree: u8,
    /// Whether what nodes tell is checked against the hashes of blocks.
    #[serde(default)]
    pub checks: Checks,
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
    /// Most milliseconds that one exchange with a node may take.
    #[serde(default = "timeout_by_default")]
    pub timeout_millis: u32,
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
        let text = Self::file(name).filter(|_| Self::BUILTIN.contains(&name))?;
        Some(Self::from_toml(text).expect("a test parses every profile that is built in"))
    }

    /// Names of the built-in profiles.
    pub const BUILTIN: [&str; 2] = ["embedded", "bloxberg"];

    /// Names of the built-in templates: files that need a chain's name, id and endpoints to be profiles.
    pub const TEMPLATES: [&str; 3] = ["generic-poa", "ethereum-like", "arbitrum-like"];

    /// The file of a built-in profile or template, with its comments.
    pub fn file(name: &str) -> Option<&'static str> {
        Some(match name {
            "embedded" => EMBEDDED,
            "bloxberg" => BLOXBERG,
            "generic-poa" => GENERIC_POA,
            "ethereum-like" => ETHEREUM_LIKE,
            "arbitrum-like" => ARBITRUM_LIKE,
            _ => return None,
        })
    }

    /// A profile for any EVM chain: the transaction type is detected, the node's gas price taken with a quarter on top.
    pub fn generic(chain_id: u64, endpoint: Endpoint) -> Self {
        Self {
            name: "generic".into(),
            chain_id,
            genesis: None,
            hardfork: None,
            endpoints: vec![endpoint],
            agree: one(),
            checks: Checks::Hashes,
            contract: None,
            transactions: Transactions::Detect,
            fees: Fees::Node { percent: 125, min: 0, max: None },
            max_gas_price: most_by_default(),
            finality: Finality::Depth { blocks: 12 },
            log_range: 2000,
            poll_millis: 1000,
            timeout_millis: timeout_by_default(),
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

    /// The same chain through other endpoints.
    ///
    /// # Errors
    /// Too many, too few, or fewer than have to agree.
    pub fn with_endpoints(mut self, endpoints: Vec<Endpoint>) -> Result<Self, BadProfile> {
        self.endpoints = endpoints;
        self.checked()
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
        let most = self.max_gas_price;
        let fees_fit = match self.fees {
            Fees::Zero => true,
            Fees::Fixed { gas_price: price } | Fees::Tip { tip: price } => price <= most,
            Fees::Node { percent, min, max } => {
                (1..=1000).contains(&percent) && min <= max.unwrap_or(most) && max.unwrap_or(most) <= most
            }
            Fees::History { blocks, percentile, min_tip } => {
                (1..=1024).contains(&blocks) && percentile <= 100 && min_tip <= most
            }
        };
        let blocks = self.finality.confirmations();
        let patterns_fit = self.explorer.iter().all(|explorer| {
            [&explorer.transaction, &explorer.address, &explorer.block]
                .iter()
                .all(|pattern| pattern.len() <= MAX_URL_BYTES && pattern.matches("{}").count() == 1)
        });
        let fees_need_base = matches!(self.fees, Fees::Tip { .. } | Fees::History { .. });
        let dynamic_fits = self.transactions != Transactions::Legacy || !fees_need_base;
        let rules = [
            (name_fits, "name", "1 to 64 letters, digits, dots, hyphens or underscores"),
            (self.chain_id != 0, "chain_id", "not zero"),
            ((1..=MAX_ENDPOINTS).contains(&self.endpoints.len()), "endpoints", "1 to 16"),
            (
                (1..=self.endpoints.len()).contains(&usize::from(self.agree)),
                "agree",
                "at least 1, and no more than there are endpoints",
            ),
            (
                fees_fit,
                "fees",
                "1 to 1000 percent, 1 to 1024 blocks, a percentile up to 100, min <= max <= max_gas_price",
            ),
            (dynamic_fits, "fees.rule", "`tip` and `history` need transactions other than legacy"),
            ((1..=MAX_DEPTH).contains(&blocks), "finality.blocks", "1 to 100000"),
            ((1..=MAX_LOG_RANGE).contains(&self.log_range), "log_range", "1 to 1000000"),
            ((1..=3_600_000).contains(&self.poll_millis), "poll_millis", "1 to 3600000"),
            (
                self.authorities.as_ref().is_none_or(Authorities::fits),
                "authorities",
                "1 to 64 sets of 1 to 1024 different accounts, in the order of their blocks, each with day and source",
            ),
            ((100..=600_000).contains(&self.timeout_millis), "timeout_millis", "100 to 600000"),
            (patterns_fit, "explorer", "patterns with one {} and at most 2048 bytes"),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, field, rule)) => Err(BadProfile::Bounds { field, rule }),
            None => Ok(self),
        }
    }
}

fn one() -> u8 {
    1
}

/// As long as the public endpoint of bloxberg has been seen to need, twice.
fn timeout_by_default() -> u32 {
    20_000
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
    fn templates_lack_a_chain_and_nothing_else() {
        for name in Profile::TEMPLATES {
            assert_eq!(Profile::builtin(name), None);
            let text = Profile::file(name).unwrap();
            let error = Profile::from_toml(text).unwrap_err();
            assert!(matches!(error, BadProfile::Bounds { field: "chain_id", .. }), "{name}: {error}");
            let filled = text
                .replace("chain_id = 0", "chain_id = 7")
                .replace("endpoints = []", "endpoints = [\"http://node.example\"]");
            Profile::from_toml(&filled).unwrap();
        }
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
        assert_eq!(refused("log_range = 9000", "log_range = 9000\nagree = 2"), "agree");
        assert_eq!(refused("log_range = 9000", "log_range = 9000\ntimeout_millis = 1"), "timeout_millis");
        assert_eq!(refused("log_range = 9000", "log_range = 9000\nhardfork = \"rome\""), "toml");
        assert_eq!(
            refused(
                "rule = \"fixed\"\ngas_price = 1000000",
                "rule = \"node\"\npercent = 100\nmin = 2\nmax = 1"
            ),
            "fees"
        );
        assert_eq!(refused("/tx/{}", "/tx/"), "explorer");
        assert_eq!(refused("as_of = \"2024-04-25\"", "as_of = \"yesterday\""), "authorities");
        assert_eq!(refused("rule = \"fixed\"\ngas_price = 1000000", "rule = \"tip\"\ntip = 1"), "fees.rule");
        let large = " ".repeat(MAX_PROFILE_BYTES + 1);
        assert!(matches!(Profile::from_toml(&large), Err(BadProfile::TooLarge)));
    }
}
