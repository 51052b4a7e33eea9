//! The command line as it is typed. The reference in `docs/cli.md` is generated from here.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// Chain profile: `embedded`, `bloxberg`, or a TOML file
    #[arg(long, global = true, env = "POX_CHAIN", value_name = "NAME|FILE", default_value = "embedded")]
    pub(crate) chain: String,
    /// JSON-RPC endpoint, instead of the profile's
    #[arg(long, global = true, env = "POX_RPC", value_name = "URL")]
    pub(crate) rpc: Option<String>,
    /// Contract address, instead of the profile's
    #[arg(long, global = true, env = "POX_CONTRACT", value_name = "ADDRESS")]
    pub(crate) contract: Option<String>,
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
    /// Write and check evidence policies
    #[command(subcommand)]
    Policy(Policy),
    /// Explain and verify evidence of TEEs by itself, and fetch what endorses it
    #[command(subcommand)]
    Evidence(Evidence),
    /// Deploy and check the contract
    #[command(subcommand)]
    Contract(Contract),
    /// Seal a file or folder into a dataset
    Seal(Seal),
    /// Check and open a sealed dataset, or a task's results
    Open(Open),
    /// Request a task, approve it, wait, and open and verify its results
    Run(Run),
    /// Post a request and return
    Request(Request),
    /// List the offers that stand
    Offers(Offers),
    /// Check a matched task's evidence, and release the secret to its enclave
    Approve(Approve),
    /// Refuse a matched task's evidence: the task is open again
    Reject(Reject),
    /// Take back a request that is not matched
    Cancel(TaskArg),
    /// End a task whose deadline has passed
    Expire(TaskArg),
    /// Show where a task stands
    Status(Status),
    /// Write a proven task's proof file
    Proof(Proof),
    /// Verify a proof file or a task; needs no account and, for a file, no network
    Verify(Verify),
    /// Pay the account's credit out of the contract
    Withdraw,
    /// Print completions for a shell
    Completions(Completions),
    /// Print this reference as Markdown
    #[command(hide = true)]
    Reference,
}

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

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make an account key and a data identity
    New(KeyNew),
    /// Show the account's address and the data recipient
    Show,
}

#[derive(Debug, Args)]
pub(crate) struct KeyNew {
    /// Make an X25519 data identity, for age clients older than 1.3, instead of a post-quantum one
    #[arg(long)]
    pub(crate) x25519: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Fund {
    /// Account; this home's own if left out
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// How much, in wei
    #[arg(long, value_name = "WEI", default_value_t = 1_000_000_000_000_000_000)]
    pub(crate) wei: u128,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Pack a folder, or one program, into an image with one layer; the same bytes each time
    Pack(ImagePack),
    /// Print an image's manifest digest
    Digest(ImageDigest),
    /// Copy an image to a layout folder, an archive or a registry
    Copy(ImageCopy),
}

#[derive(Debug, Args)]
pub(crate) struct ImagePack {
    /// Folder that becomes `/`, or one program that becomes `/<its name>`
    pub(crate) source: PathBuf,
    /// Where the image goes: `oci:DIR` or `oci-archive:FILE`
    pub(crate) destination: String,
    /// The program and its first arguments; a packed program's own path if left out
    #[arg(long, value_name = "ARG", num_args = 1)]
    pub(crate) entrypoint: Vec<String>,
    /// Environment entry `NAME=value`; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImageDigest {
    /// `docker://HOST/NAME[:TAG|@DIGEST]`, `oci:DIR[:TAG]`, `oci-archive:FILE` or `docker-archive:FILE`
    pub(crate) image: String,
}

#[derive(Debug, Args)]
pub(crate) struct ImageCopy {
    /// Where it is; see `pox image digest`
    pub(crate) source: String,
    /// Where it goes: `oci:DIR`, `oci-archive:FILE` or `docker://HOST/NAME:TAG`
    pub(crate) destination: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Print the default policy: hardware only
    Default,
    /// Check a policy, print it in canonical form and its hash
    Check(PolicyCheck),
}

#[derive(Debug, Args)]
pub(crate) struct PolicyCheck {
    /// A JSON file
    pub(crate) file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Evidence {
    /// Explain what a quote, report or document says, and what is wrong with it
    Show(EvidenceFile),
    /// The same, and exit with 1 if it does not hold or the policy refuses it, with 2 if nothing endorses it
    Verify(EvidenceVerify),
    /// Fetch what endorses it from the vendors' services
    FetchCollateral(EvidenceFetch),
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceFile {
    /// An SGX or TDX quote, an SEV-SNP report, a Nitro document, or an evidence of PoX; bytes or hexadecimal digits
    pub(crate) file: PathBuf,
    /// What endorses it: a folder that `fetch-collateral` wrote, or `KIND=FILE` with one of the kinds dcap-collateral, snp-key, snp-issuer, snp-crl, nitro-crl; may be repeated
    #[arg(long, value_name = "DIR|KIND=FILE")]
    pub(crate) endorsements: Vec<String>,
    /// Time at which the endorsements must be in force, such as 2025-06-20T00:00:00Z; now if left out
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceVerify {
    #[command(flatten)]
    pub(crate) file: EvidenceFile,
    /// Evidence policy that must accept it
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceFetch {
    /// See `pox evidence show`
    pub(crate) file: PathBuf,
    /// Folder for what is fetched
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Cache of Intel's certification service (PCCS), instead of Intel itself
    #[arg(long, value_name = "URL")]
    pub(crate) intel: Option<String>,
    /// Cache of AMD's key distribution service, instead of AMD itself
    #[arg(long, value_name = "URL")]
    pub(crate) amd: Option<String>,
    /// Revocation list of a Nitro authority; may be repeated
    #[arg(long, value_name = "URL")]
    pub(crate) nitro_crl: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Contract {
    /// Deploy the contract with this home's account
    Deploy,
    /// Check that the contract's code is the one that this program knows
    Check,
}

#[derive(Debug, Args)]
pub(crate) struct Seal {
    /// File or folder
    pub(crate) path: PathBuf,
    /// New folder for the sealed dataset, or an HTTP(S) folder that takes PUT
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) to: String,
    /// Further age recipient, `age1…`; may be repeated. This home's own is always among them
    #[arg(long, short, value_name = "RECIPIENT")]
    pub(crate) recipient: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Open {
    /// Sealed dataset (folder or URL), or a task id
    pub(crate) source: String,
    /// New folder for what comes out
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Dataset commitment that it must have; a task's results are always checked against its receipt
    #[arg(long, value_name = "0x…")]
    pub(crate) commitment: Option<String>,
}

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
}

#[derive(Debug, Args)]
pub(crate) struct Request {
    /// Task file, YAML
    pub(crate) task: PathBuf,
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
}

#[derive(Debug, Args)]
pub(crate) struct Reject {
    /// Task id
    pub(crate) task: String,
    /// Reason code of spec §9.4
    #[arg(long, value_name = "CODE", default_value_t = 5)]
    pub(crate) reason: u8,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Task id; all of this home's tasks if left out
    pub(crate) task: Option<String>,
    /// Wait until the task has ended, at most so long
    #[arg(long, value_name = "TIME")]
    pub(crate) wait: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Proof {
    /// Task id
    pub(crate) task: String,
    /// Proof file
    #[arg(long, short, value_name = "FILE", default_value = "proof.pox")]
    pub(crate) output: PathBuf,
    /// Leaf of the terms or metadata to open in the proof, by name; may be repeated. `all` opens all, and is the default for the owner; `none` opens none
    #[arg(long, value_name = "LEAF")]
    pub(crate) disclose: Vec<String>,
    /// Where the task's archive is, for whoever is not its owner
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) archive: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Proof file, or a task id
    pub(crate) proof: String,
    /// Least grade that is good enough
    #[arg(long, value_enum, default_value_t = Grade::Hardware)]
    pub(crate) require: Grade,
    /// Ask the chain's endpoint whether the proof's block is in its chain
    #[arg(long)]
    pub(crate) live: bool,
    /// Where the task's archive is, to verify a task by its id
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) archive: Option<String>,
}

/// Grade of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Grade {
    /// Hardware evidence with an up-to-date TCB, and a chain whose authorities are pinned
    Hardware,
    /// Hardware evidence whose TCB was out of date
    HardwareTcbOutdated,
    /// No hardware: a simulated TEE or chain
    Simulated,
    /// Nothing but the endpoint's word
    Asserted,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Shell
    pub(crate) shell: clap_complete::Shell,
}
