//! The contract on one chain: its calls as drafts, and what its state says.

use crate::artifact::ARTIFACT;
use crate::error::{ChainError, contradiction};
use crate::prepared::Draft;
use crate::profile::Deployment;
use crate::rpc::{BlockAt, CallParams, Rpc};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use pox_core::abi::IProofOfExecution::{self as wire, creditCall, isOpenCall, taskCall};
use pox_core::signature::Signature;
use pox_core::{
    Amount, Archive, Call, Domain, History, Members, Offer, OfferId, Parties, Party, Phase, Request, TaskId,
    UnixTime, receipt::Receipt,
};

/// The contract at one address, whose code was checked.
#[derive(Debug, Clone)]
pub struct Contract {
    rpc: Rpc,
    domain: Domain,
    since: u64,
}

/// What a task's storage says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskView {
    /// Where it stands.
    pub phase: Phase,
    /// Who asked for it.
    pub owner: Address,
    /// Who matched it; `None` before a match and after an end.
    pub processor: Option<Address>,
    /// The matched enclave; `None` likewise.
    pub enclave: Option<Address>,
    /// Wei in escrow; zero after an end.
    pub price: Amount,
    /// Wei deposited by the processor; likewise.
    pub bond: Amount,
    /// The deadline of the phase; `None` unless it is matched or approved. A request's is its `match_by`.
    pub deadline: Option<UnixTime>,
    /// The running commitment over its steps.
    pub history: History,
    /// Who escrowed the price, if it was not the owner; `None` also after an end.
    pub sponsor: Option<Address>,
    /// Whose release it waits for, where there are several parties.
    pub missing: Parties,
}

impl Contract {
    /// Opens the contract at a place, after comparing the code there with this version's, byte for byte.
    ///
    /// # Errors
    /// Other code or none is there, or the chain can't be asked.
    pub fn open(rpc: &Rpc, place: Deployment) -> Result<Self, ChainError> {
        if rpc.code(place.address)? != ARTIFACT.runtime {
            return Err(ChainError::NotTheContract(place.address));
        }
        let domain = Domain { chain_id: rpc.profile().chain_id, contract: place.address };
        Ok(Self { rpc: rpc.clone(), domain, since: place.block })
    }

    /// The transaction that deploys the contract. Its address is the one that [`crate::Account::creates`] tells.
    pub fn deployment() -> Draft {
        Draft { to: None, value: U256::ZERO, input: ARTIFACT.bytecode.clone() }
    }

    /// Chain and address: what every id is bound to.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The connection that it is read through.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// The first block that can have events of it.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Posts a request and escrows its price. Sender: the owner.
    pub fn request(&self, record: &Request) -> Draft {
        self.draft(&Call::Request(record.to_abi()), record.price.into())
    }

    /// Posts a request that its owner signed, and escrows its price. Sender: the sponsor, who can be anyone.
    pub fn request_for(&self, record: &Request, signature: Bytes) -> Draft {
        self.draft(&Call::RequestFor { record: record.to_abi(), signature }, record.price.into())
    }

    /// Posts an offer. Sender: the processor.
    pub fn offer(&self, record: &Offer) -> Draft {
        self.draft(&Call::Offer(record.to_abi()), U256::ZERO)
    }

    /// Ends an offer. Sender: the processor.
    pub fn withdraw_offer(&self, record: &Offer) -> Draft {
        self.draft(&Call::WithdrawOffer(record.to_abi()), U256::ZERO)
    }

    /// Joins a request and an offer, and deposits the offer's bond. Sender: the processor, by `path` on the request's list if it
    /// has one.
    pub fn match_task(
        &self,
        record: &Request,
        terms: &Offer,
        enclave: Address,
        evidence: Bytes,
        path: Option<Vec<B256>>,
    ) -> Draft {
        let (record, offer) = (record.to_abi(), terms.to_abi());
        let call = match path {
            None => Call::MatchTask { record, terms: offer, enclave, evidence },
            Some(path) => Call::MatchListed { record, terms: offer, enclave, evidence, path },
        };
        self.draft(&call, terms.bond.into())
    }

    /// Refuses the evidence of this enclave for a reason of spec §9.4. Sender: the owner, its delegate, or a co-owner.
    pub fn reject(&self, record: &Request, enclave: Address, reason: u8) -> Draft {
        self.draft(&Call::Reject { record: record.to_abi(), enclave, reason }, U256::ZERO)
    }

    /// Refuses the evidence by a party's signature. Sender: anyone.
    pub fn reject_for(
        &self,
        record: &Request,
        party: Party,
        enclave: Address,
        reason: u8,
        signature: Bytes,
    ) -> Draft {
        let (record, party) = (record.to_abi(), party.0);
        self.draft(&Call::RejectFor { record, party, enclave, reason, signature }, U256::ZERO)
    }

    /// Releases a party's signed and sealed secret to the matched enclave: `approve` where the owner's is the only one, otherwise
    /// `release`. Sender: anyone.
    pub fn approve(&self, record: &Request, party: Party, enclave: Address, secret: Bytes) -> Draft {
        let call = if record.releases().is_empty() {
            Call::Approve { task: record.id(&self.domain), enclave, secret }
        } else {
            Call::Release { record: record.to_abi(), party: party.0, enclave, secret }
        };
        self.draft(&call, U256::ZERO)
    }

    /// Posts a receipt, by `proveMany` if it closes a batch of these members. Sender: anyone.
    pub fn prove(
        &self,
        receipt: &Receipt,
        archive: Archive,
        members: Option<Members>,
        signature: &Signature,
    ) -> Draft {
        let (receipt, signature) = (receipt.to_abi(), signature.to_bytes().to_vec().into());
        let call = match members {
            None => Call::Prove { receipt, archive, signature },
            Some(Members { root, count }) => {
                Call::ProveMany { receipt, archive, members: root, count, signature }
            }
        };
        self.draft(&call, U256::ZERO)
    }

    /// Takes a request back. Sender: the owner.
    pub fn cancel(&self, task: TaskId) -> Draft {
        self.draft(&Call::Cancel(task), U256::ZERO)
    }

    /// Takes a request back by its owner's signature. Sender: anyone.
    pub fn cancel_for(&self, task: TaskId, signature: Bytes) -> Draft {
        self.draft(&Call::CancelFor { task, signature }, U256::ZERO)
    }

    /// Ends a task whose deadline has passed. Sender: anyone.
    pub fn expire(&self, record: &Request) -> Draft {
        self.draft(&Call::Expire(record.to_abi()), U256::ZERO)
    }

    /// Pays the sender's credit out.
    pub fn withdraw(&self) -> Draft {
        self.draft(&Call::Withdraw, U256::ZERO)
    }

    /// What the contract says of a task at the newest block; `None` if there is no such task.
    ///
    /// # Errors
    /// The chain can't be asked, or answers what the contract can't.
    pub fn task(&self, id: TaskId) -> Result<Option<TaskView>, ChainError> {
        self.task_at(id, None)
    }

    /// The same at a block's end.
    ///
    /// # Errors
    /// As [`Self::task`]; also where the node has forgotten the state of that block.
    pub fn task_at(&self, id: TaskId, block: Option<BlockAt>) -> Result<Option<TaskView>, ChainError> {
        let view = self.view(&taskCall { id: id.0 }, block)?;
        let phase = phase(&view.phase).ok_or_else(|| contradiction("a task in no known phase"))?;
        if phase == Phase::None {
            return Ok(None);
        }
        let amount = |wei| Amount::from_wei(wei).ok_or_else(|| contradiction("an amount beyond its type"));
        Ok(Some(TaskView {
            phase,
            owner: view.owner,
            processor: Some(view.processor).filter(|address| !address.is_zero()),
            enclave: Some(view.enclave).filter(|address| !address.is_zero()),
            price: amount(view.price.to())?,
            bond: amount(view.bond.to())?,
            deadline: Some(UnixTime(view.deadline)).filter(|deadline| deadline.0 != 0),
            history: History(view.history),
            sponsor: Some(view.sponsor).filter(|address| !address.is_zero()),
            missing: Parties(view.missing),
        }))
    }

    /// Whether an offer can be matched, its time apart: whether it is not withdrawn, posted or not.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub fn is_open(&self, offer: OfferId) -> Result<bool, ChainError> {
        self.view(&isOpenCall { offerId: offer.0 }, None)
    }

    /// Wei that an account can withdraw.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub fn credit(&self, account: Address) -> Result<U256, ChainError> {
        self.view(&creditCall { account }, None)
    }

    fn view<C: SolCall>(&self, call: &C, at: Option<BlockAt>) -> Result<C::Return, ChainError> {
        let data: Bytes = call.abi_encode().into();
        let call = CallParams { from: None, to: Some(self.domain.contract), value: U256::ZERO, data: &data };
        let answer = match at {
            Some(block) => self.rpc.call_at(&call, block)?,
            None => self.rpc.call(&call)?,
        };
        // Where the contract is not deployed yet, nothing runs and nothing comes back; its code was there when it was opened.
        if answer.is_empty() {
            return Err(ChainError::Lagging(format!("the contract at {}", self.domain.contract)));
        }
        C::abi_decode_returns_validate(&answer)
            .map_err(|_| self.rpc.malformed("eth_call", "not what this function returns"))
    }

    fn draft(&self, call: &Call, value: U256) -> Draft {
        Draft { to: Some(self.domain.contract), value, input: call.to_calldata().into() }
    }
}

fn phase(told: &wire::Phase) -> Option<Phase> {
    Some(match told {
        wire::Phase::None => Phase::None,
        wire::Phase::Requested => Phase::Requested,
        wire::Phase::Matched => Phase::Matched,
        wire::Phase::Approved => Phase::Approved,
        wire::Phase::Proven => Phase::Proven,
        wire::Phase::Cancelled => Phase::Cancelled,
        wire::Phase::Expired => Phase::Expired,
        wire::Phase::__Invalid => return None,
    })
}
