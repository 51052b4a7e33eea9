//! What runs for long: the embedded chain, the processor, the agent.

use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keep everything in this folder, instead of a temporary one
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Devnet {
    /// Folder that keeps the chain
    #[arg(long, value_name = "DIR", default_value = "~/.pox/devnet")]
    pub(crate) data: String,
    /// Address that takes JSON-RPC; anyone who can reach it can use the chain
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8545")]
    pub(crate) listen: SocketAddr,
    /// Seconds between blocks; 0 makes one for each transaction
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) block_time: u64,
    /// Rules of the chain
    #[arg(long, value_enum, default_value_t = Hardfork::Istanbul)]
    pub(crate) hardfork: Hardfork,
}

/// Rules of the embedded chain.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Hardfork {
    Istanbul,
    Berlin,
    London,
    Paris,
    Shanghai,
    Cancun,
    Prague,
    Osaka,
}

#[derive(Debug, Args)]
pub(crate) struct Node {
    /// Folder of this machine that tasks may read from and store into; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) allow_dir: Vec<PathBuf>,
    /// Host on a private network that tasks may read from and store into, as `host:port`; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) allow_host: Vec<String>,
    /// File with a list of processors, one account per line, that this one is on: requests for that list are served too; may be
    /// repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) list: Vec<PathBuf>,
    /// Processor cores that one task can have
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub(crate) cpus: f64,
    /// Memory that one task can have
    #[arg(long, value_name = "SIZE", default_value = "2GiB")]
    pub(crate) memory: String,
    /// Scratch and results that one task can have
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    pub(crate) disk: String,
    /// Time that one task can have
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub(crate) time: String,
    /// Least price, wei per second of a task's time limit
    #[arg(long, value_name = "WEI", default_value_t = 1000)]
    pub(crate) price: u128,
    /// Bond deposited with each match, wei
    #[arg(long, value_name = "WEI", default_value_t = 0)]
    pub(crate) bond: u128,
    /// How long the offer stands
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub(crate) valid: String,
    /// Tasks at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) tasks: usize,
    /// Run each task in a virtual machine of its own, from a folder that `pox guest build` made; emulated, so kind `vm-sim`
    #[arg(long, value_name = "DIR")]
    pub(crate) guest: Option<PathBuf>,
    /// Memory that such a machine has for a task's image and inputs, beside what the task asks for
    #[arg(long, value_name = "SIZE", default_value = "2GiB")]
    pub(crate) guest_room: String,
    /// End when so many tasks have ended
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) stop_after: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// End when no task of the owner's is open any more
    #[arg(long)]
    pub(crate) until_idle: bool,
}
