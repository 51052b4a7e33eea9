//! Control over blocks, time and history, under the names that development nodes share.

use serde_json::{Value, json};

use super::{
    Answer,
    params::{FromParam, Params},
    render::quantity,
};
use crate::{Chain, SnapshotId};

/// Makes a block, at the given time if there is one.
pub(super) fn mine(chain: &Chain, mut params: Params) -> Answer {
    let time: Option<Seconds> = params.optional()?;
    params.end()?;
    if let Some(Seconds(time)) = time {
        chain.set_next_time(time)?;
    }
    chain.mine()?;
    Ok(json!("0x0"))
}

pub(super) fn increase_time(chain: &Chain, params: Params) -> Answer {
    let Seconds(seconds) = params.one()?;
    Ok(json!(chain.increase_time(seconds)?))
}

pub(super) fn set_next_time(chain: &Chain, params: Params) -> Answer {
    let Seconds(time) = params.one()?;
    chain.set_next_time(time)?;
    Ok(Value::Null)
}

pub(super) fn snapshot(chain: &Chain, params: Params) -> Answer {
    params.none()?;
    let SnapshotId(id) = chain.snapshot()?;
    Ok(quantity(id))
}

pub(super) fn revert(chain: &Chain, params: Params) -> Answer {
    let id: u64 = params.one()?;
    Ok(json!(chain.revert(SnapshotId(id))?))
}

/// Seconds, which development nodes take as numbers, decimal text, and hexadecimal text.
struct Seconds(u64);

impl FromParam for Seconds {
    fn from_param(value: &Value) -> Result<Self, String> {
        let read = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) if text.starts_with("0x") => u64::from_param(value).ok(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        read.map(Self).ok_or_else(|| "not a number of seconds".into())
    }
}
