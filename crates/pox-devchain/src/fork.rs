//! Which rules hold at which block.

use std::collections::BTreeMap;

use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{Address, B64, B256, Bytes, U256};
use revm::primitives::hardfork::SpecId;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::config::{GenesisAccount, Hardfork};

/// The rules of one block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) spec: SpecId,
    /// Numbers of blobs and their price, since Cancun.
    pub(crate) blobs: Option<BlobParams>,
    /// What the author of a block is given, in wei.
    pub(crate) reward: U256,
}

impl Rules {
    pub(crate) const fn has(&self, spec: SpecId) -> bool {
        self.spec.is_enabled_in(spec)
    }
}

/// The rules of all blocks of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) chain_id: u64,
    /// First block of each set of EVM rules that starts by number.
    by_number: BTreeMap<u64, SpecId>,
    /// First second of each set of EVM rules that starts by time.
    by_time: BTreeMap<u64, SpecId>,
    /// First second of each set of blob parameters.
    blobs: BTreeMap<u64, BlobParams>,
    /// First block of each reward.
    rewards: BTreeMap<u64, U256>,
}

impl Schedule {
    /// One hardfork from genesis on, without rewards.
    pub(crate) fn fixed(chain_id: u64, hardfork: Hardfork) -> Self {
        let blobs = match hardfork {
            Hardfork::Cancun => Some(BlobParams::cancun()),
            Hardfork::Prague => Some(BlobParams::prague()),
            Hardfork::Osaka => Some(BlobParams::osaka()),
            _ => None,
        };
        Self {
            chain_id,
            by_number: BTreeMap::from([(0, hardfork.spec())]),
            by_time: BTreeMap::new(),
            blobs: blobs.map(|params| (0, params)).into_iter().collect(),
            rewards: BTreeMap::new(),
        }
    }

    pub(crate) fn rules(&self, number: u64, timestamp: u64) -> Rules {
        fn last<T: Copy>(starts: &BTreeMap<u64, T>, at: u64) -> Option<T> {
            starts.range(..=at).next_back().map(|(_, value)| *value)
        }
        let by_number = last(&self.by_number, number).unwrap_or(SpecId::FRONTIER);
        let spec = last(&self.by_time, timestamp).map_or(by_number, |by_time| by_time.max(by_number));
        Rules {
            spec,
            blobs: last(&self.blobs, timestamp),
            reward: last(&self.rewards, number).unwrap_or_default(),
        }
    }
}

/// A genesis file in the format that go-ethereum made common.
#[derive(Clone, Debug)]
pub(crate) struct GenesisFile {
    pub(crate) schedule: Schedule,
    pub(crate) accounts: BTreeMap<Address, GenesisAccount>,
    pub(crate) deposit_contract: Option<Address>,
    pub(crate) timestamp: u64,
    pub(crate) gas_limit: u64,
    pub(crate) difficulty: U256,
    pub(crate) author: Address,
    pub(crate) extra: Bytes,
    pub(crate) mix_hash: B256,
    pub(crate) nonce: B64,
}

/// A genesis file is malformed: the field of that name is missing or out of range.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("bad `{0}` in the genesis file")]
pub struct GenesisError(pub String);

/// Block rewards of Ethereum's proof of work, in wei.
const REWARD_FRONTIER: u64 = 5_000_000_000_000_000_000;
const REWARD_BYZANTIUM: u64 = 3_000_000_000_000_000_000;
const REWARD_CONSTANTINOPLE: u64 = 2_000_000_000_000_000_000;

impl GenesisFile {
    pub(crate) fn parse(text: &str) -> Result<Self, GenesisError> {
        let file: Value = serde_json::from_str(text).map_err(|_| bad("JSON"))?;
        let config = file.get("config").and_then(Value::as_object).ok_or_else(|| bad("config"))?;
        let alloc = file.get("alloc").and_then(Value::as_object).ok_or_else(|| bad("alloc"))?;
        let accounts = alloc.iter().map(|(address, account)| {
            let address = parse_text(address).ok_or_else(|| bad(address))?;
            Ok((address, account_of(account)?))
        });
        Ok(Self {
            schedule: schedule_of(config)?,
            accounts: accounts.collect::<Result<_, GenesisError>>()?,
            deposit_contract: config.get("depositContractAddress").and_then(parse),
            timestamp: number(&file, "timestamp")?,
            gas_limit: number(&file, "gasLimit")?,
            difficulty: parse(&file["difficulty"]).ok_or_else(|| bad("difficulty"))?,
            author: parse(&file["coinbase"]).unwrap_or_default(),
            extra: parse(&file["extraData"]).unwrap_or_default(),
            mix_hash: parse(&file["mixHash"]).unwrap_or_default(),
            nonce: B64::from(number(&file, "nonce")?),
        })
    }
}

fn schedule_of(config: &Map<String, Value>) -> Result<Schedule, GenesisError> {
    let start = |name: &str| config.get(name).and_then(Value::as_u64);
    let by_number = [
        ("homesteadBlock", SpecId::HOMESTEAD),
        ("eip150Block", SpecId::TANGERINE),
        ("eip158Block", SpecId::SPURIOUS_DRAGON),
        ("byzantiumBlock", SpecId::BYZANTIUM),
        // The EVM has no rules of its own for Constantinople, which nobody ran before Petersburg mended it.
        ("constantinopleBlock", SpecId::PETERSBURG),
        ("istanbulBlock", SpecId::ISTANBUL),
        ("berlinBlock", SpecId::BERLIN),
        ("londonBlock", SpecId::LONDON),
        ("mergeNetsplitBlock", SpecId::MERGE),
    ];
    let by_time = [
        ("shanghaiTime", SpecId::SHANGHAI),
        ("cancunTime", SpecId::CANCUN),
        ("pragueTime", SpecId::PRAGUE),
        ("osakaTime", SpecId::OSAKA),
    ];
    let rewards = [
        ("byzantiumBlock", U256::from(REWARD_BYZANTIUM)),
        ("constantinopleBlock", U256::from(REWARD_CONSTANTINOPLE)),
        ("mergeNetsplitBlock", U256::ZERO),
    ];
    let started = rewards.into_iter().filter_map(|(name, reward)| Some((start(name)?, reward)));
    Ok(Schedule {
        chain_id: start("chainId").ok_or_else(|| bad("chainId"))?,
        by_number: by_number.into_iter().filter_map(|(name, spec)| Some((start(name)?, spec))).collect(),
        by_time: by_time.into_iter().filter_map(|(name, spec)| Some((start(name)?, spec))).collect(),
        blobs: blobs_of(config)?,
        rewards: std::iter::once((0, U256::from(REWARD_FRONTIER))).chain(started).collect(),
    })
}

fn blobs_of(config: &Map<String, Value>) -> Result<BTreeMap<u64, BlobParams>, GenesisError> {
    let known = [
        ("cancun", BlobParams::cancun()),
        ("prague", BlobParams::prague()),
        ("osaka", BlobParams::osaka()),
        ("bpo1", BlobParams::bpo1()),
        ("bpo2", BlobParams::bpo2()),
    ];
    let mut blobs = BTreeMap::new();
    for (name, standard) in known {
        let Some(time) = config.get(&format!("{name}Time")).and_then(Value::as_u64) else { continue };
        let mut params = standard;
        if let Some(own) = config.get("blobSchedule").and_then(|schedule| schedule.get(name)) {
            params.target_blob_count = number(own, "target")?;
            params.max_blob_count = number(own, "max")?;
            params.update_fraction = number(own, "baseFeeUpdateFraction")?.into();
        }
        blobs.insert(time, params);
    }
    Ok(blobs)
}

fn account_of(value: &Value) -> Result<GenesisAccount, GenesisError> {
    let mut account = GenesisAccount {
        balance: parse(&value["balance"]).ok_or_else(|| bad("balance"))?,
        nonce: if value["nonce"].is_null() { 0 } else { number(value, "nonce")? },
        code: parse(&value["code"]).unwrap_or_default(),
        ..GenesisAccount::default()
    };
    for (slot, word) in value["storage"].as_object().into_iter().flatten() {
        let slot: B256 = parse_text(slot).ok_or_else(|| bad("storage"))?;
        let word: B256 = parse(word).ok_or_else(|| bad("storage"))?;
        account.storage.insert(slot.into(), word.into());
    }
    Ok(account)
}

fn number(value: &Value, name: &str) -> Result<u64, GenesisError> {
    let field = &value[name];
    let read = field.as_u64().or_else(|| parse::<U256>(field)?.try_into().ok());
    read.ok_or_else(|| bad(name))
}

fn parse<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str().and_then(parse_text)
}

fn parse_text<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn bad(name: &str) -> GenesisError {
    GenesisError(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_start_at_their_block_or_second() {
        let config = serde_json::json!({
            "chainId": 1, "homesteadBlock": 0, "byzantiumBlock": 9, "constantinopleBlock": 12, "londonBlock": 27,
            "mergeNetsplitBlock": 36, "shanghaiTime": 390, "cancunTime": 420,
            "blobSchedule": { "cancun": { "target": 1, "max": 2, "baseFeeUpdateFraction": 3 } },
        });
        let schedule = schedule_of(config.as_object().unwrap()).unwrap();
        let spec = |number, time| schedule.rules(number, time).spec;
        assert_eq!(spec(8, 0), SpecId::HOMESTEAD);
        assert_eq!(spec(9, 0), SpecId::BYZANTIUM);
        assert_eq!([spec(36, 389), spec(37, 390)], [SpecId::MERGE, SpecId::SHANGHAI]);
        assert_eq!(schedule.rules(11, 0).reward, U256::from(REWARD_BYZANTIUM));
        assert_eq!(schedule.rules(36, 0).reward, U256::ZERO);
        assert!(schedule.rules(40, 419).blobs.is_none());
        assert_eq!(schedule.rules(40, 420).blobs.unwrap().max_blob_count, 2);
    }

    #[test]
    fn the_bad_field_is_named() {
        assert_eq!(GenesisFile::parse("{}").unwrap_err(), bad("config"));
        assert_eq!(
            GenesisFile::parse(r#"{"config":{"chainId":1},"alloc":{}}"#).unwrap_err(),
            bad("timestamp")
        );
    }
}
