//! What a call that fails answers.

use alloy_primitives::Bytes;
use serde_json::{Value, json};

use crate::{
    error::{ChainError, SubmitError},
    exec::Refused,
    store::StoreError,
};

/// Codes of JSON-RPC 2.0, and of Ethereum's for what happens in the EVM.
pub(super) const PARSE_ERROR: i64 = -32700;
pub(super) const INVALID_REQUEST: i64 = -32600;
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
pub(super) const INVALID_PARAMS: i64 = -32602;
pub(super) const INTERNAL: i64 = -32603;
pub(super) const SERVER: i64 = -32000;
pub(super) const LIMIT_EXCEEDED: i64 = -32005;
pub(super) const REVERTED: i64 = 3;

/// An error answer.
#[derive(Clone, Debug)]
pub(super) struct RpcError {
    code: i64,
    message: String,
    data: Option<Bytes>,
}

impl RpcError {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// What was asked for isn't possible.
    pub(super) fn server(message: impl Into<String>) -> Self {
        Self::new(SERVER, message)
    }

    /// The parameters are not those of the method.
    pub(super) fn params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    /// Code reverted, with that output.
    pub(super) fn reverted(message: String, output: Bytes) -> Self {
        Self { code: REVERTED, message, data: Some(output) }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(data) = &self.data {
            error["data"] = json!(data);
        }
        error
    }
}

impl From<StoreError> for RpcError {
    fn from(error: StoreError) -> Self {
        Self::new(INTERNAL, error.to_string())
    }
}

impl From<Refused> for RpcError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Store(error) => error.into(),
            Refused::Evm(_) => Self::new(INTERNAL, refused.to_string()),
            Refused::Full | Refused::Invalid(_) => Self::server(refused.to_string()),
        }
    }
}

impl From<SubmitError> for RpcError {
    fn from(error: SubmitError) -> Self {
        let code = if error.is_internal() { INTERNAL } else { SERVER };
        Self::new(code, error.to_string())
    }
}

impl From<ChainError> for RpcError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Store(error) => error.into(),
            ChainError::Evm(_) | ChainError::Seal(_) => Self::new(INTERNAL, error.to_string()),
            ChainError::TooEarly { .. } | ChainError::TimeRange => Self::params(error.to_string()),
            ChainError::ReadOnly
            | ChainError::TooDeep { .. }
            | ChainError::Durable
            | ChainError::NoSealer => Self::server(error.to_string()),
        }
    }
}
