//! What runs for long: the embedded chain, the processor, the agent.

use super::Trust;
use clap::{Args, Subcommand, ValueEnum};
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
    /// Authorities that seal its blocks; another number than before is announced on the chain, as public chains do. Several need --block-time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) authorities: Option<u32>,
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
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Node {
    #[command(subcommand)]
    pub(crate) command: Option<NodeCommand>,
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
    /// Inputs, and again scratch and results, that one task can have
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
    #[command(flatten)]
    pub(crate) machine: NodeMachine,
    /// End when so many tasks have ended
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) stop_after: Option<u64>,
}

/// In what tasks run, if not in a process.
#[derive(Debug, Args, Default)]
pub(crate) struct NodeMachine {
    /// Run each task in a virtual machine of its own, from a folder that `pox guest build` made
    #[arg(long, value_name = "DIR")]
    pub(crate) guest: Option<PathBuf>,
    /// What such machines run on; a host that does not have it is refused
    #[arg(long, value_enum, default_value_t = GuestTee::VmSim, requires = "guest")]
    pub(crate) tee: GuestTee,
    /// Firmware of such machines: TDVF for `tdx`, OVMF's AmdSev build for `snp`
    #[arg(long, value_name = "FILE", requires = "guest")]
    pub(crate) firmware: Option<PathBuf>,
    /// QEMU, instead of `qemu-system-x86_64` in PATH
    #[arg(long, value_name = "FILE", requires = "guest")]
    pub(crate) qemu: Option<PathBuf>,
    /// Processor model of such machines on `snp`, which is measured
    #[arg(long, value_name = "MODEL", default_value = "EPYC-v4", requires = "guest")]
    pub(crate) snp_cpu: String,
    /// Place of the encryption bit on `snp`: bits 0 to 5 of EBX of CPUID 0x8000001f
    #[arg(long, value_name = "BIT", default_value_t = 51, requires = "guest")]
    pub(crate) snp_encryption_bit: u8,
    /// vsock port of the quote generation service on `tdx`
    #[arg(long, value_name = "PORT", default_value_t = 4050, requires = "guest")]
    pub(crate) tdx_quote_port: u32,
    /// Memory that such a machine has for a task's image and inputs, beside what the task asks for
    #[arg(long, value_name = "SIZE", default_value = "2GiB")]
    pub(crate) guest_room: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Say which TEEs this machine has, which it lacks and why, and what to do about it
    Doctor,
    /// Write the archive of a task that this node has proven, for an owner who has lost it; the node must not run meanwhile
    Archive(NodeArchive),
}

#[derive(Debug, Args)]
pub(crate) struct NodeArchive {
    /// The task
    pub(crate) task: String,
    /// Folder that gets the file `ARCHIVE`; `pox proof --archive` takes it
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
}

/// What a task's virtual machine runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum GuestTee {
    /// Intel TDX
    Tdx,
    /// AMD SEV-SNP
    Snp,
    /// Software emulation, which protects nothing
    #[default]
    VmSim,
}

#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// End when no task of the owner's is open any more
    #[arg(long)]
    pub(crate) until_idle: bool,
    /// A policy of this account's own: evidence has to pass each task's and this one
    #[arg(long, value_name = "FILE")]
    pub(crate) own_policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: Trust,
}
