//! What a proof shows, as far as its grade carries it.

use crate::evidence::Hardware;
use crate::evidence::launch::{LaunchBinding, PlatformId, PlatformTrait, Register, Tcb, Window};
use crate::evidence::roots::RootStanding;
use crate::grade::Grade;
use crate::policy::Measurement;
use alloy_primitives::{Address, B256};
use pox_core::evidence::EvidenceKind;
use pox_core::history::At;
use pox_core::receipt::Outcome;
use pox_core::{
    Amount, DatasetCommitment, ImageDigest, MembersRoot, PolicyHash, ResultsCommitment, TaskId, UnixTime,
    record::Resources,
};
use std::collections::BTreeSet;

/// Who asked for what, who ran it, when, and what came out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Facts {
    /// The task.
    pub task: TaskId,
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// What the anchors call the chain.
    pub chain: Option<String>,
    /// The contract.
    pub contract: Address,
    /// Who asked for the task.
    pub owner: Address,
    /// Whose data it used, and where each of them released a secret to the enclave; the owner first.
    pub owners: Vec<DataOwner>,
    /// Who matched and is paid.
    pub processor: Address,
    /// Where the request stands in the chain.
    pub requested: At,
    /// Where the match does.
    pub matched: At,
    /// Where the approval does, or the last party's release: the task can't have begun before it.
    pub approved: At,
    /// Where the receipt does: the task can't have ended after it.
    pub proven: At,
    /// SHA-256 of the OCI image manifest.
    pub image: ImageDigest,
    /// Commitments to the sealed inputs.
    pub inputs: Vec<DatasetCommitment>,
    /// What the task could use.
    pub resources: Resources,
    /// What the owner paid, or would have paid.
    pub price: Amount,
    /// The owner's evidence policy.
    pub policy: PolicyHash,
    /// The enclave's account.
    pub enclave: Address,
    /// What vouches for the enclave.
    pub evidence: EvidenceFacts,
    /// What the run came to.
    pub outcome: Outcome,
    /// The task's exit code, or 128 + signal; of a batch that failed, how many members did not complete.
    pub exit_code: u32,
    /// Commitment to the sealed results, or zero; of a batch, to the list of its members.
    pub results: ResultsCommitment,
    /// The root over the receipts of a batch's members, if it was one.
    pub members: Option<MembersFacts>,
    /// What the run used.
    pub usage: Usage,
    /// How it was confined.
    pub report: ReportFacts,
    /// The terms, as far as they are opened.
    pub terms: Option<Opened<Vec<String>>>,
    /// The catalogue metadata, as far as it is opened.
    pub metadata: Option<Opened<String>>,
    /// The block whose state shows all this.
    pub state: StateFacts,
}

/// One of those whose data a task used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DataOwner {
    /// The account.
    pub account: Address,
    /// Which of the inputs are its, by their positions.
    pub inputs: Vec<usize>,
    /// Where its consent stands in the chain.
    pub released: At,
}

/// The receipts of a batch's members.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MembersFacts {
    /// Root over them.
    pub root: MembersRoot,
    /// How many there are.
    pub count: u16,
    /// The one that the proof shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberFacts>,
}

/// What came of one run of a batch.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MemberFacts {
    /// Its number, from 1.
    pub number: u16,
    /// What the run came to.
    pub outcome: Outcome,
    /// The program's exit code, or 128 + signal.
    pub exit_code: u32,
    /// Commitment to its sealed results, or zero.
    pub results: ResultsCommitment,
    /// When it began, microseconds after the batch's first run.
    pub begun_micros: u64,
    /// Wall-clock time, microseconds.
    pub wall_micros: u64,
    /// Processor time, microseconds.
    pub cpu_micros: u64,
    /// Most memory at once, bytes.
    pub memory_peak: u64,
    /// Why it did not complete, where the program did not end by itself.
    pub reason: String,
    /// Its run, if the owner opened it.
    pub run: Option<RunFacts>,
}

/// What one run of a batch was started with.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RunFacts {
    /// Its own arguments.
    pub args: Vec<String>,
    /// All of them, the terms' first; unknown where the terms' stay hidden.
    pub arguments: Option<Vec<String>>,
}

/// What vouches for the enclave.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EvidenceFacts {
    /// Which TEE.
    pub kind: EvidenceKind,
    /// What it launched; unknown where this version can't verify the kind.
    pub measurement: Option<Measurement>,
    /// The release with that measurement, if the verifier knows one.
    pub release: Option<String>,
    /// How much it showed at the time of the receipt.
    pub when_it_ran: Grade,
    /// How much it shows today; unknown without current collateral.
    pub today: Option<Grade>,
    /// What the hardware says; `None` for simulated kinds, and where nothing vouches for the evidence.
    pub hardware: Option<HardwareFacts>,
}

/// What hardware says of launch and machine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct HardwareFacts {
    /// Whose roots it leads to.
    pub roots: RootStanding,
    /// The measurement registers, in the spec's order.
    pub registers: Vec<Register>,
    /// How well patched the platform was: the worse of both evidences.
    pub tcb: Tcb,
    /// Which machine, if it says.
    pub platform: Option<PlatformId>,
    /// What else the hardware says of itself.
    pub traits: BTreeSet<PlatformTrait>,
    /// Whether the launch itself was made for the task.
    pub launch_binding: LaunchBinding,
    /// When the endorsements that were used are all in force.
    pub endorsed: Option<Window>,
}

impl HardwareFacts {
    /// What two evidences of one launch say together: where they differ, the worse.
    pub(crate) fn of_both(key: &Hardware, result: &Hardware) -> Self {
        let (first, last) = (&key.launch, &result.launch);
        let worse = if first.tcb.status > last.tcb.status { &first.tcb } else { &last.tcb };
        Self {
            roots: result.roots,
            registers: last.registers.clone(),
            tcb: Tcb {
                advisories: first.tcb.advisories.union(&last.tcb.advisories).cloned().collect(),
                ..worse.clone()
            },
            platform: last.platform.clone(),
            traits: first.traits.union(&last.traits).copied().collect(),
            launch_binding: result.binding,
            endorsed: match (first.endorsed, last.endorsed) {
                (Some(first), Some(last)) => first.and(last),
                (first, last) => first.or(last),
            },
        }
    }
}

/// What a run used, as the runtime measured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Processor time, microseconds.
    pub cpu_micros: u64,
    /// Wall-clock time, microseconds.
    pub wall_micros: u64,
    /// Most memory at once, bytes.
    pub memory_peak: u64,
}

/// The run report (spec §6.2).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReportFacts {
    /// Protections that were in force.
    pub protections: Vec<String>,
    /// Protections that the machine could not give, and the terms did without.
    pub missing: Vec<String>,
    /// Where the usage figures come from.
    pub accounting: String,
    /// Processor time in user mode, microseconds.
    pub user_micros: u64,
    /// Processor time in the kernel, microseconds.
    pub system_micros: u64,
    /// SHA-256 of the image's configuration, as 0x-hex; absent where the image was not read.
    pub image_config: Option<String>,
    /// Files, folders and links in the image.
    pub image_entries: u64,
    /// Bytes of input that were opened.
    pub input_bytes: u64,
    /// Bytes of result before sealing.
    pub result_bytes: u64,
    /// Why a run that did not complete ended.
    pub reason: String,
}

/// Some leaves of a commitment, opened.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Opened<T> {
    /// The opened ones, in order.
    pub leaves: Vec<OpenedLeaf<T>>,
    /// How many stay hidden.
    pub hidden: usize,
}

/// One opened leaf; values of metadata that are not UTF-8 are given as 0x-hex.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OpenedLeaf<T> {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: T,
}

/// The block that shows the history, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StateFacts {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its time.
    pub time: UnixTime,
    /// The blocks that the history rests on: this one alone where state shows it, each step's where receipts do.
    pub rests_on: Vec<u64>,
    /// The authority that sealed it, or the one of those blocks that fewest built on, where the authorities are known.
    pub sealer: Option<AuthorityFacts>,
    /// The distinct authorities that sealed that block or one after it, where they are known.
    pub built: Option<Vec<AuthorityFacts>>,
    /// How many authorities there are, where they are known.
    pub authorities: Option<usize>,
}

/// An authority of a chain.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AuthorityFacts {
    /// Its account.
    pub address: Address,
    /// What people call it, if the verifier knows.
    pub name: Option<String>,
}
