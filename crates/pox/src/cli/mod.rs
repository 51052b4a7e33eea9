//! The command line as it is typed, a file for each area. The reference in `docs/cli.md` is generated from here.

mod account;
mod chain;
mod dataset;
mod evidence;
mod image;
mod index;
mod proof;
mod service;
mod task;
mod timestamp;

pub(crate) use account::*;
pub(crate) use chain::*;
pub(crate) use dataset::*;
pub(crate) use evidence::*;
pub(crate) use image::*;
pub(crate) use index::*;
pub(crate) use proof::*;
pub(crate) use service::*;
pub(crate) use task::*;
pub(crate) use timestamp::*;

use clap::{Args, Parser, Subcommand};
use pox_store::Access;

/// Runs a container on confidential data on somebody else's machine, and proves it to anyone.
#[derive(Debug, Parser)]
#[command(
    name = "pox",
    version,
    propagate_version = true,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct Global {
    /// Folder with the keys and the journal of tasks
    #[arg(long, global = true, env = "POX_HOME", value_name = "DIR", default_value = "~/.pox")]
    pub(crate) home: String,
    /// Chain profile: `embedded`, `bloxberg`, or a file; `pox chain profiles` lists them
    #[arg(long, global = true, env = "POX_CHAIN", value_name = "NAME|FILE", default_value = "embedded")]
    pub(crate) chain: String,
    /// JSON-RPC endpoint, instead of the profile's; may be repeated, and several are compared
    #[arg(long, global = true, env = "POX_RPC", value_name = "URL", value_delimiter = ',')]
    pub(crate) rpc: Vec<String>,
    /// Contract address, instead of the profile's
    #[arg(long, global = true, env = "POX_CONTRACT", value_name = "ADDRESS")]
    pub(crate) contract: Option<String>,
    /// IPFS gateway that `ipfs://` is read from; what it delivers is checked
    #[arg(long, global = true, env = "POX_IPFS_GATEWAY", value_name = "URL", value_parser = server)]
    pub(crate) ipfs_gateway: Option<String>,
    /// Interface of an IPFS node of your own, which data can be added to
    #[arg(long, global = true, env = "POX_IPFS_API", value_name = "URL", value_parser = server)]
    pub(crate) ipfs_api: Option<String>,
    /// Print one JSON document on standard output, and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress on standard error
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Walk through a whole task on this machine, and show what a proof catches
    Demo(Demo),
    /// Run the embedded chain
    Devnet(Devnet),
    /// Run a processor: offer resources, run tasks in enclaves, post receipts
    Node(Node),
    /// Approve matched tasks by policy while the owner is away
    Agent(Agent),
    /// Make and show keys
    #[command(subcommand)]
    Key(Key),
    /// Give an account coins of the embedded chain
    Fund(Fund),
    /// Pack, copy and look at container images
    #[command(subcommand)]
    Image(Image),
    /// Build and measure the guest in which the runtime is the only program
    #[command(subcommand)]
    Guest(Guest),
    /// Write and check evidence policies
    #[command(subcommand)]
    Policy(Policy),
    /// Explain and verify evidence of TEEs by itself, and fetch what endorses it
    #[command(subcommand)]
    Evidence(Evidence),
    /// Show chain profiles, and examine endpoints against them
    #[command(subcommand)]
    Chain(Chain),
    /// Deploy and check the contract
    #[command(subcommand)]
    Contract(Contract),
    /// Seal a file or folder into a dataset
    Seal(Seal),
    /// Check and open a sealed dataset, or a task's results
    Open(Open),
    /// Make existing Crypt4GH files a sealed dataset, as they are
    Adopt(Adopt),
    /// Write a Crypt4GH file's header again for other readers; the body stays as it is
    Rekey(Rekey),
    /// Check a sealed dataset's public files against its commitment; needs no key
    VerifyData(VerifyData),
    /// Write a file that shows that some files belong to a sealed dataset, and shows nothing of the others
    Disclose(Disclose),
    /// Check that disclosed files belong to a dataset, or to the results or inputs of a proven task; needs no key and no network
    VerifyDisclosure(VerifyDisclosure),
    /// Explain a file or sealed dataset; needs no key for what is public
    Inspect(Inspect),
    /// Copy a sealed dataset to another place, checking every byte
    Copy(Copy),
    /// Request a task, approve it, wait, and open and verify its results
    Run(Run),
    /// Post a request and return
    Request(Request),
    /// List the offers that stand
    Offers(Offers),
    /// Show what a task asks for, and say where this account's part of its data is
    Review(Review),
    /// Check a matched task's evidence, and release the secret to its enclave
    Approve(Approve),
    /// Refuse a matched task's evidence: the task is open again
    Reject(Reject),
    /// Take back a request that is not matched
    Cancel(Cancel),
    /// End a task whose deadline has passed
    Expire(TaskArg),
    /// Send a call that somebody else signed; for a request, pay its price
    Relay(Relay),
    /// Sign as the owner what its delegate wrote: a request, or taking it back
    Sign(Sign),
    /// Show where a task stands
    Status(Status),
    /// Write a proven task's proof file
    Proof(Proof),
    /// Verify a proof file or a task; needs no account and, for a file, no network
    Verify(Verify),
    /// Time stamps of proof files by others than the chain: authorities (RFC 3161) and Bitcoin (OpenTimestamps)
    #[command(subcommand)]
    Timestamp(Timestamp),
    /// Bring an index of the contract's whole history forward
    Index(Index),
    /// List tasks, by owner, processor, image, input, results, time or phase
    Tasks(Tasks),
    /// Show who ran a program first, on an input if one is named
    Priority(Priority),
    /// Show everything that was done with a dataset, or in a task
    History(History),
    /// Pay the account's credit out of the contract
    Withdraw,
    /// Print completions for a shell
    Completions(Completions),
    /// Print this reference as Markdown
    #[command(hide = true)]
    Reference,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Shell
    pub(crate) shell: clap_complete::Shell,
}

impl Global {
    /// Lets content-addressed data be asked for where the options say.
    pub(crate) fn ask_ipfs(&self, access: Access) -> Access {
        let asking = access.clone().ask_ipfs(self.ipfs_gateway.as_deref(), self.ipfs_api.as_deref());
        // The addresses were checked when they were parsed.
        asking.unwrap_or(access)
    }
}

/// The address of a server.
fn server(text: &str) -> Result<String, String> {
    let checked = Access::default().ask_ipfs(Some(text), None).map_err(|error| error.to_string());
    checked.map(|_| text.to_owned())
}
