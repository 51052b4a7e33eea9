//! Running code without a transaction.

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use revm::{
    context::{
        TxEnv,
        result::{ExecutionResult, HaltReason, InvalidTransaction, ResultAndState},
    },
    primitives::hardfork::SpecId,
};
use serde_json::{Map, Value, json};

use super::{
    Answer,
    error::RpcError,
    params::{At, FromParam, Params},
};
use crate::{
    block::Block,
    chain::Inner,
    exec::{self, Refused, block_env},
    state::{Overlay, State},
};

/// Gas that a call may use at most, whatever it asks for; go-ethereum's default.
pub(super) const CALL_GAS: u64 = 50_000_000;

/// Selectors of `Error(string)` and `Panic(uint256)`, with which Solidity explains reverts.
const ERROR_SELECTOR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
const PANIC_SELECTOR: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];

pub(super) fn call(chain: &Inner, mut params: Params) -> Answer {
    let request: CallRequest = params.required()?;
    let at: At = params.optional()?.unwrap_or_default();
    no_overrides(params)?;
    let block = at.block(chain)?;
    let gas = request.gas.map_or(CALL_GAS, |gas| gas.min(CALL_GAS));
    let result = run(chain, &block, &request, gas)?.result;
    output(result).map(|output| json!(output))
}

/// Runs the call on the state after `block`, in its environment.
pub(super) fn run(
    chain: &Inner,
    block: &Block,
    request: &CallRequest,
    gas: u64,
) -> Result<ResultAndState, RpcError> {
    let rules = chain.rules_of(block);
    let state = State::new(chain.store(), block.header.state_root);
    let nonce = state.account_or_empty(&request.from)?.nonce;
    let tx = request.to_tx(gas, nonce, chain.schedule.chain_id, rules.spec);
    let mut overlay = Overlay::new(chain.store(), block.header.state_root, rules.spec);
    let env = block_env(&block.header, &rules);
    exec::call(&mut overlay, chain.schedule.chain_id, &rules, env, tx)
        .map_err(|refused| explain(refused, request))
}

/// The overrides of state and block that some nodes know are refused, not ignored.
pub(super) fn no_overrides(mut params: Params) -> Result<(), RpcError> {
    for _ in 0..2 {
        let overrides: Option<Fields> = params.optional()?;
        if overrides.is_some_and(|Fields(fields)| !fields.is_empty()) {
            return Err(RpcError::params("state and block overrides are not supported"));
        }
    }
    params.end()
}

/// What code returned, or the error that tells how it ended.
pub(super) fn output(result: ExecutionResult) -> Result<Bytes, RpcError> {
    match result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(RpcError::reverted(revert_message(&output), output)),
        ExecutionResult::Halt { reason, .. } => Err(RpcError::server(halt_message(&reason))),
    }
}

/// `execution reverted`, with the reason where the output has one in a form that Solidity uses.
pub(super) fn revert_message(output: &[u8]) -> String {
    match revert_reason(output) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".into(),
    }
}

fn revert_reason(output: &[u8]) -> Option<String> {
    let (selector, rest) = output.split_first_chunk::<4>()?;
    let word = |at: usize| rest.get(at..at.checked_add(32)?).map(U256::from_be_slice);
    match *selector {
        ERROR_SELECTOR => {
            let offset = usize::try_from(word(0)?).ok()?;
            let length = usize::try_from(word(offset)?).ok()?;
            let start = offset.checked_add(32)?;
            let text = rest.get(start..start.checked_add(length)?)?;
            Some(String::from_utf8_lossy(text).into_owned())
        }
        PANIC_SELECTOR => {
            let code = word(0)?;
            let known = u8::try_from(code).ok().and_then(panic_reason);
            Some(known.map_or_else(|| format!("unknown panic code: {code:#x}"), str::to_owned))
        }
        _ => None,
    }
}

/// Solidity's panic codes.
const fn panic_reason(code: u8) -> Option<&'static str> {
    Some(match code {
        0x00 => "generic panic",
        0x01 => "assert(false)",
        0x11 => "arithmetic underflow or overflow",
        0x12 => "division or modulo by zero",
        0x21 => "enum overflow",
        0x22 => "invalid encoded storage byte array accessed",
        0x31 => "out-of-bounds array access; popping on an empty array",
        0x32 => "out-of-bounds access of an array or bytesN",
        0x41 => "out of memory",
        0x51 => "uninitialized function",
        _ => return None,
    })
}

pub(super) fn halt_message(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".into(),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode | HaltReason::NotActivated => {
            "invalid opcode".into()
        }
        HaltReason::InvalidJump => "invalid jump destination".into(),
        HaltReason::StackUnderflow => "stack underflow".into(),
        HaltReason::StackOverflow => "stack limit reached".into(),
        HaltReason::OutOfOffset => "return data out of bounds".into(),
        HaltReason::CreateCollision => "contract address collision".into(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".into(),
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef".into(),
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded".into(),
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection".into()
        }
        HaltReason::OutOfFunds => "insufficient balance for transfer".into(),
        HaltReason::CallTooDeep => "max call depth exceeded".into(),
        other => format!("execution failed: {other:?}"),
    }
}

/// Why a call couldn't even start.
fn explain(refused: Refused, request: &CallRequest) -> RpcError {
    let Refused::Invalid(invalid) = refused else { return refused.into() };
    let message = match invalid {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => format!(
            "insufficient funds for gas * price + value: address {} have {balance} want {fee}",
            request.from
        ),
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
        }
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            format!("insufficient gas for floor data gas cost: have {gas_limit}, want {gas_floor}")
        }
        InvalidTransaction::GasPriceLessThanBasefee => {
            format!("max fee per gas less than block base fee: address {}", request.from)
        }
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => {
            format!("max priority fee per gas higher than max fee per gas: address {}", request.from)
        }
        InvalidTransaction::BlobGasPriceGreaterThanMax { .. } => {
            "max fee per blob gas less than block blob gas fee".into()
        }
        InvalidTransaction::CreateInitCodeSizeLimit => "max initcode size exceeded".into(),
        InvalidTransaction::InvalidChainId => "chainId does not match node's".into(),
        InvalidTransaction::Eip2930NotSupported
        | InvalidTransaction::Eip1559NotSupported
        | InvalidTransaction::Eip4844NotSupported
        | InvalidTransaction::Eip7702NotSupported => "transaction type not supported".into(),
        other => other.to_string(),
    };
    RpcError::server(message)
}

/// What is to run.
#[derive(Clone, Debug)]
pub(super) struct CallRequest {
    pub(super) from: Address,
    pub(super) to: Option<Address>,
    pub(super) gas: Option<u64>,
    /// The gas price, or the most that is paid for gas, in wei.
    pub(super) price: u128,
    tip: Option<u128>,
    pub(super) value: U256,
    pub(super) input: Bytes,
    pub(super) access_list: Option<AccessList>,
    blob_hashes: Vec<B256>,
    blob_price: u128,
    chain_id: Option<u64>,
}

impl CallRequest {
    fn to_tx(&self, gas: u64, nonce: u64, chain_id: u64, spec: SpecId) -> TxEnv {
        let dynamic = self.tip.is_some() && spec.is_enabled_in(SpecId::LONDON);
        let tx_type = match (self.blob_hashes.is_empty(), dynamic, &self.access_list) {
            (false, ..) => 3,
            (true, true, _) => 2,
            (true, false, Some(_)) => 1,
            (true, false, None) => 0,
        };
        TxEnv {
            tx_type,
            caller: self.from,
            gas_limit: gas,
            gas_price: self.price,
            kind: self.to.map_or(TxKind::Create, TxKind::Call),
            value: self.value,
            data: self.input.clone(),
            nonce,
            // Typed transactions need one.
            chain_id: Some(self.chain_id.unwrap_or(chain_id)),
            access_list: self.access_list.clone().unwrap_or_default(),
            gas_priority_fee: if tx_type >= 2 { Some(self.tip.unwrap_or(0)) } else { None },
            blob_hashes: self.blob_hashes.clone(),
            max_fee_per_blob_gas: self.blob_price,
            authorization_list: Vec::new(),
        }
    }
}

impl FromParam for CallRequest {
    fn from_param(value: &Value) -> Result<Self, String> {
        let Value::Object(fields) = value else { return Err("a call is an object".into()) };
        let (data, input): (Option<Bytes>, Option<Bytes>) = (field(fields, "data")?, field(fields, "input")?);
        if data.is_some() && input.is_some() && data != input {
            return Err("both \"data\" and \"input\" are set and not equal".into());
        }
        let gas_price: Option<u128> = field(fields, "gasPrice")?;
        let max_fee: Option<u128> = field(fields, "maxFeePerGas")?;
        let tip: Option<u128> = field(fields, "maxPriorityFeePerGas")?;
        if gas_price.is_some() && (max_fee.is_some() || tip.is_some()) {
            return Err("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified".into());
        }
        if field::<Vec<Fields>>(fields, "authorizationList")?.is_some_and(|list| !list.is_empty()) {
            return Err("calls with authorizations are not supported".into());
        }
        Ok(Self {
            from: field(fields, "from")?.unwrap_or_default(),
            to: field(fields, "to")?,
            gas: field(fields, "gas")?,
            price: gas_price.or(max_fee).unwrap_or(0),
            // A call that names any fee of London's is of its type.
            tip: tip.or(max_fee.map(|_| 0)),
            value: field(fields, "value")?.unwrap_or_default(),
            input: input.or(data).unwrap_or_default(),
            access_list: field(fields, "accessList")?,
            blob_hashes: field(fields, "blobVersionedHashes")?.unwrap_or_default(),
            blob_price: field(fields, "maxFeePerBlobGas")?.unwrap_or(0),
            chain_id: field(fields, "chainId")?,
        })
    }
}

/// An object that is looked into elsewhere.
pub(super) struct Fields(pub(super) Map<String, Value>);

impl FromParam for Fields {
    fn from_param(value: &Value) -> Result<Self, String> {
        value.as_object().cloned().map(Self).ok_or_else(|| "not an object".into())
    }
}

impl FromParam for AccessList {
    fn from_param(value: &Value) -> Result<Self, String> {
        let items = value.as_array().ok_or("an access list is an array")?;
        let item = |item: &Value| {
            let Fields(fields) = Fields::from_param(item)?;
            Ok(AccessListItem {
                address: field(&fields, "address")?.ok_or("an access list entry has an address")?,
                storage_keys: field(&fields, "storageKeys")?.unwrap_or_default(),
            })
        };
        items.iter().map(item).collect::<Result<_, String>>().map(AccessList)
    }
}

/// A field that may be missing or null.
pub(super) fn field<T: FromParam>(fields: &Map<String, Value>, name: &str) -> Result<Option<T>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => T::from_param(value).map(Some).map_err(|reason| format!("{name}: {reason}")),
    }
}
