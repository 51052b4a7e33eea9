//! What transactions pay.

use alloy_consensus::Transaction as _;
use serde_json::{Value, json};

use super::{
    Answer,
    error::RpcError,
    params::{At, FromParam, Params},
    render::quantity,
};
use crate::{
    block::Block,
    chain::{Inner, next_base_fee, next_excess_blob_gas},
    fork::Rules,
};

/// Blocks that one history covers at most; go-ethereum's limit.
const MAX_HISTORY: u64 = 1024;

/// Percentiles that one history covers at most.
const MAX_PERCENTILES: usize = 100;

pub(super) fn gas_price(chain: &Inner, params: Params) -> Answer {
    params.none()?;
    let head = chain.head();
    let base_fee = next_base_fee(&head.header);
    let price = base_fee.map_or(0, |fee| u128::from(fee) + tip(chain));
    Ok(quantity(price.max(chain.min_gas_price)))
}

pub(super) fn priority_fee(chain: &Inner, params: Params) -> Answer {
    params.none().map(|()| quantity(tip(chain)))
}

pub(super) fn blob_base_fee(chain: &Inner, params: Params) -> Answer {
    params.none()?;
    let head = chain.head();
    Ok(quantity(next_blob_fee(&head, &chain.rules_of(&head))))
}

pub(super) fn history(chain: &Inner, mut params: Params) -> Answer {
    let Count(count) = params.required()?;
    let last = params.required::<At>()?;
    let percentiles: Vec<Percentile> = params.optional()?.unwrap_or_default();
    params.end()?;
    check_percentiles(&percentiles)?;
    let Some(last) = last.find(chain)? else { return Err(RpcError::server("request beyond head block")) };
    let number = last.header.number;
    let count = count.min(MAX_HISTORY).min(number + 1);
    let first = number + 1 - count;
    let (mut base_fees, mut blob_fees) = (Vec::new(), Vec::new());
    let (mut gas_ratios, mut blob_ratios, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
    for number in first..=number {
        let Some(block) = chain.store().block(number)? else { break };
        let rules = chain.rules_of(&block);
        base_fees.push(quantity(block.header.later.base_fee.unwrap_or(0)));
        blob_fees.push(quantity(blob_fee(&block, &rules)));
        gas_ratios.push(json!(ratio(block.header.gas_used, block.header.gas_limit)));
        let blob_limit = rules.blobs.map_or(0, |blobs| blobs.max_blob_gas_per_block());
        blob_ratios.push(json!(ratio(block.header.later.blob_gas_used.unwrap_or(0), blob_limit)));
        rewards.push(tips_at(&block, &percentiles));
    }
    if count > 0 {
        base_fees.push(quantity(next_base_fee(&last.header).unwrap_or(0)));
        blob_fees.push(quantity(next_blob_fee(&last, &chain.rules_of(&last))));
    }
    let mut answer = json!({
        "oldestBlock": quantity(first),
        "baseFeePerGas": base_fees,
        "gasUsedRatio": gas_ratios,
        "baseFeePerBlobGas": blob_fees,
        "blobGasUsedRatio": blob_ratios,
    });
    if !percentiles.is_empty() {
        answer["reward"] = json!(rewards);
    }
    Ok(answer)
}

/// The least tip that the pool accepts is all that a development chain needs.
fn tip(chain: &Inner) -> u128 {
    chain.min_gas_price.max(1)
}

fn blob_fee(block: &Block, rules: &Rules) -> u128 {
    let excess = block.header.later.excess_blob_gas;
    rules.blobs.zip(excess).map_or(0, |(blobs, excess)| blobs.calc_blob_fee(excess))
}

fn next_blob_fee(block: &Block, rules: &Rules) -> u128 {
    rules.blobs.map_or(0, |blobs| blobs.calc_blob_fee(next_excess_blob_gas(&block.header, rules)))
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The tips at the percentiles of the block's gas, in ascending order of tip.
fn tips_at(block: &Block, percentiles: &[Percentile]) -> Value {
    let base_fee = block.header.later.base_fee.unwrap_or(0);
    let tip = |index: usize| block.transactions[index].envelope.effective_tip_per_gas(base_fee).unwrap_or(0);
    let mut tips: Vec<_> =
        (0..block.transactions.len()).map(|index| (tip(index), block.gas_used(index))).collect();
    tips.sort_unstable();
    let at = |percentile: &Percentile| {
        let threshold = (block.header.gas_used as f64 * percentile.0 / 100.0) as u64;
        let mut sum = 0;
        let found = tips.iter().find(|(_, gas)| {
            sum += gas;
            sum >= threshold
        });
        quantity(found.or(tips.last()).map_or(0, |(tip, _)| *tip))
    };
    percentiles.iter().map(at).collect()
}

fn check_percentiles(percentiles: &[Percentile]) -> Result<(), RpcError> {
    if percentiles.len() > MAX_PERCENTILES {
        return Err(RpcError::server("over the query limit 100"));
    }
    let rising = percentiles.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if !rising || percentiles.iter().any(|percentile| !(0.0..=100.0).contains(&percentile.0)) {
        return Err(RpcError::server("invalid reward percentile"));
    }
    Ok(())
}

struct Percentile(f64);

impl FromParam for Percentile {
    fn from_param(value: &Value) -> Result<Self, String> {
        value.as_f64().map(Self).ok_or_else(|| "a percentile is a number".into())
    }
}

/// A number of blocks, which the specification allows as a JSON number too.
struct Count(u64);

impl FromParam for Count {
    fn from_param(value: &Value) -> Result<Self, String> {
        value.as_u64().map_or_else(|| u64::from_param(value), Ok).map(Self)
    }
}
