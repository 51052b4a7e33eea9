//! What a transaction offers for gas, by the profile's rule.

use crate::error::ChainError;
use crate::prepared::Price;
use crate::profile::{Fees, Profile, Transactions};
use crate::rpc::Rpc;

/// The price of a transaction now, and with it its type.
pub(crate) fn current_price(rpc: &Rpc) -> Result<Price, ChainError> {
    let profile = rpc.profile();
    let base = match profile.transactions {
        Transactions::Legacy => None,
        Transactions::Dynamic | Transactions::Detect => rpc.head()?.base_fee,
    };
    if profile.transactions == Transactions::Dynamic && base.is_none() {
        return Err(rpc.malformed("eth_getBlockByNumber", "the newest block has no base fee"));
    }
    let price = match base {
        None => legacy(rpc, profile.fees)?,
        // A fee beyond 128 bits is beyond every profile's bound too.
        Some(base) => dynamic(rpc, profile.fees, u128::try_from(base).unwrap_or(u128::MAX))?,
    };
    affordable(profile, price)
}

/// The price, if the profile allows it: no node makes an account pay more.
pub(crate) fn affordable(profile: &Profile, price: Price) -> Result<Price, ChainError> {
    let (wanted, most) = (price.most(), profile.max_gas_price);
    if wanted > most.into() { Err(ChainError::TooDear { wanted, most }) } else { Ok(price) }
}

fn legacy(rpc: &Rpc, fees: Fees) -> Result<Price, ChainError> {
    let gas_price = match fees {
        Fees::Zero => 0,
        Fees::Fixed { gas_price } => gas_price.into(),
        Fees::Node { percent, min, max } => {
            let most = max.map_or(u128::MAX, u128::from);
            scaled(rpc.gas_price()?, percent).max(min.into()).min(most)
        }
        Fees::Tip { tip } => rpc.gas_price()?.saturating_add(tip.into()),
        Fees::History { min_tip, .. } => rpc.gas_price()?.max(min_tip.into()),
    };
    Ok(Price::Legacy { gas_price })
}

/// The base fee can rise by an eighth with each block; twice of it lasts for six blocks that are full.
fn dynamic(rpc: &Rpc, fees: Fees, base: u128) -> Result<Price, ChainError> {
    let tip = match fees {
        Fees::Zero => return Ok(Price::Dynamic { max_fee: base, tip: 0 }),
        Fees::Fixed { gas_price } => {
            return Ok(Price::Dynamic { max_fee: gas_price.into(), tip: gas_price.into() });
        }
        Fees::Node { percent, min, max } => {
            let tip = scaled(rpc.gas_price()?.saturating_sub(base).max(1), percent);
            let most = max.map_or(u128::MAX, u128::from);
            let max_fee = base.saturating_mul(2).saturating_add(tip).max(min.into()).min(most);
            return Ok(Price::Dynamic { max_fee, tip: tip.min(max_fee) });
        }
        Fees::Tip { tip } => tip.into(),
        Fees::History { blocks, percentile, min_tip } => {
            let usual = match rpc.usual_tip(blocks, percentile)? {
                Some(tip) => tip,
                None => rpc.gas_price()?.saturating_sub(base),
            };
            usual.max(min_tip.into())
        }
    };
    Ok(Price::Dynamic { max_fee: base.saturating_mul(2).saturating_add(tip), tip })
}

fn scaled(price: u128, percent: u32) -> u128 {
    price.saturating_mul(percent.into()) / 100
}
