//! The steps of a task.

use super::Trust;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Task file, YAML
    pub(crate) task: PathBuf,
    /// New folder for the opened results
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub(crate) to: PathBuf,
    /// Proof file
    #[arg(long, value_name = "FILE", default_value = "proof.pox")]
    pub(crate) proof: PathBuf,
    /// Confirmations before a step counts
    #[arg(long, value_name = "BLOCKS")]
    pub(crate) confirmations: Option<u64>,
    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// Signing a call for others to send.
#[derive(Debug, Args)]
pub(crate) struct SignOnly {
    /// Sign, and send nothing: `pox relay` sends it, from any account
    #[arg(long, requires = "out")]
    pub(crate) sign_only: bool,
    /// File for the signed call
    #[arg(long, value_name = "FILE", requires = "sign_only")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Request {
    /// Task file, YAML
    pub(crate) task: PathBuf,
    /// File for the task file's delegate: what it has to know to approve, salts and places, but no keys
    #[arg(long, value_name = "FILE")]
    pub(crate) handover: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) sign: SignOnly,
}

#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// File with a call that the owner has to sign; the signature goes into it
    pub(crate) file: PathBuf,
    /// The owner's signature from elsewhere, in hexadecimal, instead of one by this home's account: a wallet's over --typed-data,
    /// or what an owner that is a contract takes for one (ERC-1271)
    #[arg(long, value_name = "HEX")]
    pub(crate) signature: Option<String>,
    /// Sign nothing, and write what has to be signed (- for standard output), as wallets take it: eth_signTypedData_v4
    #[arg(long, value_name = "FILE", conflicts_with = "signature")]
    pub(crate) typed_data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Relay {
    /// File with a signed call
    pub(crate) file: PathBuf,
    /// The most that this account pays, in wei: the task's price and gas together. Needed where the call has a price
    #[arg(long, value_name = "WEI")]
    pub(crate) max_price: Option<u128>,
}

#[derive(Debug, Args)]
pub(crate) struct Review {
    /// Task id
    pub(crate) task: String,
    /// Where this account's sealed data is, one for each of its inputs: from then on it can approve; may be repeated
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) data: Vec<String>,
    /// The owner's evidence policy, where it is not a usual one
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// A policy of this account's own, kept with the task: evidence has to pass both; needs --data
    #[arg(long, value_name = "FILE", requires = "data")]
    pub(crate) own_policy: Option<PathBuf>,
    /// What the owner handed over to this account, its delegate: from then on it can approve
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "policy"])]
    pub(crate) handover: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// Task id
    pub(crate) task: String,
    #[command(flatten)]
    pub(crate) sign: SignOnly,
}

#[derive(Debug, Args)]
pub(crate) struct Offers {
    /// Only offers that fit this task file
    #[arg(long, value_name = "FILE")]
    pub(crate) r#for: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TaskArg {
    /// Task id
    pub(crate) task: String,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// Task id
    pub(crate) task: String,
    /// Wait for the match, at most so long
    #[arg(long, value_name = "TIME")]
    pub(crate) wait: Option<String>,
    /// A policy of this account's own: evidence has to pass the task's and this one
    #[arg(long, value_name = "FILE")]
    pub(crate) own_policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: Trust,
    #[command(flatten)]
    pub(crate) sign: SignOnly,
}

#[derive(Debug, Args)]
pub(crate) struct Reject {
    /// Task id
    pub(crate) task: String,
    /// The enclave that is refused, as `pox approve` or `pox status` named it; the one that is matched now if left out
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) enclave: Option<String>,
    /// Reason code of spec §9.4
    #[arg(long, value_name = "CODE", default_value_t = 5)]
    pub(crate) reason: u8,
    #[command(flatten)]
    pub(crate) sign: SignOnly,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Task id; all of this home's tasks if left out
    pub(crate) task: Option<String>,
    /// Wait until the task has ended, at most so long
    #[arg(long, value_name = "TIME")]
    pub(crate) wait: Option<String>,
}
