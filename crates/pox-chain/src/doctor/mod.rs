//! Examines endpoints against their profile, and says in words what differs and what to do.
//!
//! It reads, and asks nodes to decline transactions that nobody can pay for; it changes nothing on any chain.

mod probes;

use crate::artifact::ARTIFACT;
use crate::error::ChainError;
use crate::header;
use crate::profile::{Checks, Fees, FinalTag, Finality, Hardfork, Profile, Transactions};
use crate::rpc::{Block, Pace, Rpc};
use alloy_primitives::B256;
use pox_core::UnixTime;
use probes::Kind;

/// How old the newest block may be; longer, and the chain or this endpoint stands still.
const MAX_HEAD_AGE: u64 = 600;
/// How far one endpoint may be behind the others, in blocks.
const MAX_LAG: u64 = 5;

/// What was found at all endpoints of a profile.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Diagnosis {
    /// The profile's name.
    pub profile: String,
    /// Each endpoint, in the profile's order.
    pub endpoints: Vec<Examination>,
    /// What only shows between several.
    pub between: Vec<Finding>,
}

/// What was found at one endpoint.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Examination {
    /// Where, without what can be a key.
    pub endpoint: String,
    /// Why nothing could be examined, if nothing could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Its newest block, for the comparison.
    #[serde(skip)]
    head: Option<Block>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What.
    pub about: &'static str,
    /// Whether it is as the profile has it.
    pub verdict: Fit,
    /// What was found.
    pub found: String,
    /// What to do, where it does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// Whether something is as the profile has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// As the profile says, or as is needed.
    Fits,
    /// Otherwise; something will not work, or less well.
    Differs,
    /// The endpoint would not tell.
    Unknown,
}

/// What an examination comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Every endpoint fits its profile.
    Fits,
    /// Something differs.
    Differs,
    /// Nothing that was reached differs, but not every endpoint was reached.
    Unreachable,
}

impl Diagnosis {
    /// Examines every endpoint of a profile. `now` is the machine's time.
    pub fn examine(profile: &Profile, pace: Pace, now: UnixTime) -> Self {
        let rpc = Rpc::offline(profile.clone(), pace);
        let shown = profile.endpoints.iter().map(ToString::to_string);
        let endpoints: Vec<_> =
            shown.zip(rpc.each()).map(|(endpoint, one)| Examination::of(&one, endpoint, now)).collect();
        let between = between(&rpc, &endpoints);
        Self { profile: profile.name.clone(), endpoints, between }
    }

    /// What it comes to.
    pub fn health(&self) -> Health {
        let mut findings = self.endpoints.iter().flat_map(|one| &one.findings).chain(&self.between);
        if findings.any(|finding| finding.verdict == Fit::Differs) {
            Health::Differs
        } else if self.endpoints.iter().any(|one| one.unreachable.is_some()) {
            Health::Unreachable
        } else {
            Health::Fits
        }
    }
}

impl Examination {
    fn of(one: &Rpc, endpoint: String, now: UnixTime) -> Self {
        let mut examination = Self { endpoint, unreachable: None, findings: Vec::new(), head: None };
        match one.chain_id() {
            Ok(id) => examination.push(fits("chain id", id.to_string())),
            Err(ChainError::WrongChain { actual, .. }) => {
                examination.push(differs(
                    "chain id",
                    format!("{actual}"),
                    "this is another chain: name an endpoint of the profile's, or another profile",
                ));
                return examination;
            }
            Err(error) => {
                examination.unreachable = Some(error.to_string());
                return examination;
            }
        }
        examination.identity(one);
        if let Some(head) = examination.newest(one, now) {
            examination.header(one, &head);
            examination.level(one, &head);
            examination.transactions(one, &head);
            examination.fees(one);
            examination.finality(one);
            examination.methods(one, &head);
            examination.depth(one, &head);
            examination.contract(one);
            examination.head = Some(head);
        }
        examination
    }

    fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn identity(&mut self, one: &Rpc) {
        self.push(match one.require::<String>("web3_clientVersion", [(); 0]) {
            Ok(words) => fits("client", crate::error::plain(&words)),
            Err(error) => unknown("client", &error),
        });
        let first = one.raw_block(0);
        self.push(match (first, one.profile().genesis) {
            (Ok(Some(block)), Some(expected)) if block.hash != expected => differs(
                "genesis",
                format!("{}, not {expected}", block.hash),
                "this is another chain with the same id: name an endpoint of the profile's",
            ),
            (Ok(Some(block)), _) => fits("genesis", block.hash.to_string()),
            (Ok(None), _) => {
                Finding { verdict: Fit::Unknown, ..fits("genesis", "the node does not keep it".into()) }
            }
            (Err(error), _) => unknown("genesis", &error),
        });
    }

    fn newest(&mut self, one: &Rpc, now: UnixTime) -> Option<Block> {
        const ABOUT: &str = "newest block";
        // The header is examined by itself; here it does not matter whether it hashes.
        let head = one.require::<crate::rpc::RawBlock>("eth_getBlockByNumber", ("latest", false));
        let head = match head.and_then(|raw| one.told_block(raw)) {
            Ok(head) => head,
            Err(error) => {
                self.push(unknown(ABOUT, &error));
                return None;
            }
        };
        let age = now.0.saturating_sub(head.time.0);
        let found = format!("{}, {age} s old", head.at.number);
        // A chain on which nothing competes makes blocks when there is something to put into them.
        let may_rest = one.profile().finality == Finality::Depth { blocks: 1 };
        self.push(if age > MAX_HEAD_AGE && !may_rest {
            differs(ABOUT, found, "the chain or this node stands still: wait, or name another endpoint")
        } else if head.time.0 > now.0 + MAX_HEAD_AGE {
            differs(ABOUT, format!("{}, of the future", head.at.number), "is this machine's clock right?")
        } else {
            fits(ABOUT, found)
        });
        Some(head)
    }

    fn header(&mut self, one: &Rpc, head: &Block) {
        const ABOUT: &str = "header";
        let raw = match one.raw_block(head.at.number) {
            Ok(Some(raw)) => raw,
            Ok(None) => return,
            Err(error) => return self.push(unknown(ABOUT, &error)),
        };
        let seal = if raw.is_aura() { "sealed as Aura does" } else { "sealed in Ethereum's form" };
        let checked = one.profile().checks;
        self.push(match (header::encode(&raw), checked) {
            (Ok(_), Checks::Hashes) => fits(ABOUT, format!("its fields hash to its hash; {seal}")),
            (Ok(_), Checks::DangerouslyNone) => differs(
                ABOUT,
                format!("its fields hash to its hash; {seal}"),
                "remove `checks` from the profile: this node's answers can be checked",
            ),
            (Err(_), Checks::DangerouslyNone) => {
                fits(ABOUT, "its fields do not hash to its hash, and the profile has that not checked".into())
            }
            (Err(error), Checks::Hashes) => differs(
                ABOUT,
                error.to_string(),
                "another endpoint may tell all fields; if this chain hashes its headers otherwise, believe its nodes \
                 with checks = \"dangerously-none\"",
            ),
        });
    }

    fn level(&mut self, one: &Rpc, head: &Block) {
        const ABOUT: &str = "hard fork";
        let level = match probes::level(one, head.at.number) {
            Ok(level) => level,
            Err(error) => return self.push(unknown(ABOUT, &error)),
        };
        let needed = "the contract's code needs CHAINID: it does not run here";
        self.push(match (level, one.profile().hardfork) {
            (None, _) => differs(ABOUT, "older than istanbul".into(), needed),
            (Some(level), Some(expected)) if level != expected => differs(
                ABOUT,
                format!("{level}, not {expected}"),
                if level > expected {
                    "the chain has moved on: set hardfork, and see whether transactions and fees still fit"
                } else {
                    "is this an endpoint of the profile's chain?"
                },
            ),
            (Some(level), _) => fits(ABOUT, level.name().into()),
        });
    }

    fn transactions(&mut self, one: &Rpc, head: &Block) {
        let (wants, base) = (one.profile().transactions, head.base_fee);
        let told = base.map_or_else(|| "none".to_owned(), |fee| format!("{fee} wei"));
        self.push(match (wants, base) {
            (Transactions::Dynamic, None) => {
                differs("base fee", told, "transactions of type 2 need one: set transactions = \"legacy\"")
            }
            _ => fits("base fee", told),
        });
        for (about, kind) in [("type 0", Kind::Legacy), ("type 2", Kind::Dynamic)] {
            let needed = match wants {
                Transactions::Legacy => kind == Kind::Legacy,
                Transactions::Dynamic => kind == Kind::Dynamic,
                Transactions::Detect => (kind == Kind::Dynamic) == base.is_some(),
            };
            self.push(match probes::takes(one, kind) {
                Ok(Some(true)) => fits(about, "taken".into()),
                Ok(Some(false)) if needed => differs(
                    about,
                    "refused".into(),
                    "set transactions in the profile to what the chain takes",
                ),
                Ok(Some(false)) => fits(about, "refused, and not needed".into()),
                Ok(None) => {
                    Finding { verdict: Fit::Unknown, ..fits(about, "the node's words don't tell".into()) }
                }
                Err(error) => unknown(about, &error),
            });
        }
    }

    fn fees(&mut self, one: &Rpc) {
        let profile = one.profile();
        self.push(match one.gas_price() {
            Ok(price) if price > profile.max_gas_price.into() => differs(
                "gas price",
                format!("{price} wei, more than the profile's max_gas_price"),
                "wait for cheaper times, or raise max_gas_price",
            ),
            Ok(price) => fits("gas price", format!("{price} wei")),
            Err(error) => unknown("gas price", &error),
        });
        let Fees::History { blocks, percentile, .. } = profile.fees else { return };
        self.push(match one.usual_tip(blocks, percentile) {
            Ok(Some(tip)) => fits("eth_feeHistory", format!("the usual tip is {tip} wei")),
            Ok(None) => differs(
                "eth_feeHistory",
                "no history of tips".into(),
                "the node's price is taken instead; set rule = \"node\" to say so",
            ),
            Err(error) => unknown("eth_feeHistory", &error),
        });
    }

    fn finality(&mut self, one: &Rpc) {
        let wanted = one.profile().finality.tag();
        for (about, tag) in [("tag finalized", FinalTag::Finalized), ("tag safe", FinalTag::Safe)] {
            let answer = one.require::<crate::rpc::RawBlock>("eth_getBlockByNumber", (tag.name(), false));
            self.push(match answer.map(|raw| raw.number.number()) {
                Ok(number) => fits(about, format!("block {}", number.unwrap_or_default())),
                Err(_) if wanted == Some(tag) => differs(
                    about,
                    "not known".into(),
                    "finality is counted in blocks instead, or not at all on a chain with a parent; name another endpoint",
                ),
                Err(_) => fits(about, "not known, and not needed".into()),
            });
        }
    }

    fn methods(&mut self, one: &Rpc, head: &Block) {
        for (about, has, without) in probes::forms(one, head.at) {
            self.push(match has {
                Ok(true) => fits(about, "there".into()),
                Ok(false) => fits(about, format!("missing; {without}")),
                Err(error) => unknown(about, &error),
            });
        }
        let wanted = u64::from(one.profile().log_range);
        let about = "log range";
        self.push(match probes::log_range(one, head.at.number, wanted) {
            Ok(range) if range >= wanted => fits(about, format!("{wanted} blocks")),
            Ok(0) => differs(
                about,
                "no logs at all".into(),
                "events can't be followed here: name another endpoint",
            ),
            Ok(range) => differs(
                about,
                format!("{range} blocks, not {wanted}"),
                "set log_range to that, so that no question is asked in vain",
            ),
            Err(error) => unknown(about, &error),
        });
    }

    fn depth(&mut self, one: &Rpc, head: &Block) {
        let about = "state";
        self.push(match probes::depth(one, head.at.number) {
            Ok(None) => fits(about, "of every block: an archive".into()),
            Ok(Some(0)) => differs(
                about,
                "of the newest block only".into(),
                "proofs of state can't be captured here: name another endpoint before a task ends",
            ),
            Ok(Some(blocks)) => {
                fits(about, format!("of the last {blocks} blocks: capture proofs of state when tasks end"))
            }
            Err(error) => unknown(about, &error),
        });
    }

    fn contract(&mut self, one: &Rpc) {
        let Some(place) = one.profile().contract else { return };
        let about = "contract";
        self.push(match one.code(place.address) {
            Ok(code) if code == ARTIFACT.runtime => fits(about, format!("{}: this version's", place.address)),
            Ok(code) if code.is_empty() => differs(
                about,
                format!("nothing at {}", place.address),
                "deploy it with `pox contract deploy`, or name where it is with --contract",
            ),
            Ok(_) => differs(
                about,
                format!("other code at {}", place.address),
                "name where this version's contract is with --contract",
            ),
            Err(error) => unknown(about, &error),
        });
    }
}

/// Compares the endpoints that answered.
fn between(rpc: &Rpc, endpoints: &[Examination]) -> Vec<Finding> {
    let heads: Vec<_> = endpoints
        .iter()
        .zip(rpc.each())
        .filter_map(|(one, view)| Some((one.endpoint.as_str(), one.head.as_ref()?.at, view)))
        .collect();
    let (Some(newest), Some(oldest)) =
        (heads.iter().map(|(_, at, _)| at.number).max(), heads.iter().map(|(_, at, _)| at.number).min())
    else {
        return Vec::new();
    };
    if heads.len() < 2 {
        return Vec::new();
    }
    let behind: Vec<_> = heads
        .iter()
        .filter(|(_, at, _)| newest - at.number > MAX_LAG)
        .map(|(endpoint, at, _)| format!("{endpoint} by {}", newest - at.number))
        .collect();
    let lag = if behind.is_empty() {
        fits("lag", format!("{} blocks at most", newest - oldest))
    } else {
        let advice = "name other endpoints: those that lag hold up what has to be agreed on";
        differs("lag", format!("behind the newest block: {}", behind.join(", ")), advice)
    };
    let hashes: Vec<(&str, Option<B256>)> = heads
        .iter()
        .map(|(endpoint, _, view)| {
            let raw = view.raw_block(oldest).ok().flatten();
            (*endpoint, raw.map(|raw| raw.hash))
        })
        .collect();
    let about = "same block";
    let same = if hashes.iter().all(|(_, hash)| hash.is_some() && *hash == hashes[0].1) {
        fits(about, format!("block {oldest} is the same at all"))
    } else {
        let told = hashes.iter().map(|(endpoint, hash)| match hash {
            Some(hash) => format!("{endpoint} has {hash}"),
            None => format!("{endpoint} has none"),
        });
        let found = format!("block {oldest}: {}", told.collect::<Vec<_>>().join("; "));
        differs(
            about,
            found,
            "one of them is on a fork or lies: look again in a minute, and remove it if that stays",
        )
    };
    vec![lag, same]
}

fn fits(about: &'static str, found: String) -> Finding {
    Finding { about, verdict: Fit::Fits, found, advice: None }
}

fn differs(about: &'static str, found: String, advice: &str) -> Finding {
    Finding { about, verdict: Fit::Differs, found, advice: Some(advice.to_owned()) }
}

fn unknown(about: &'static str, error: &ChainError) -> Finding {
    Finding { about, verdict: Fit::Unknown, found: error.to_string(), advice: None }
}

/// Levels that are told apart, for the probes.
pub(crate) const LEVELS: [Hardfork; 8] = [
    Hardfork::Istanbul,
    Hardfork::Berlin,
    Hardfork::London,
    Hardfork::Paris,
    Hardfork::Shanghai,
    Hardfork::Cancun,
    Hardfork::Prague,
    Hardfork::Osaka,
];
