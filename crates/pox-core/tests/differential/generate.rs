//! Calls that are nearly right: each is built to succeed in the ledger's state, and then often spoiled in one place.

use crate::common::{Dice, account, key, offer, request};
use crate::evm::FUNDS;
use alloy_primitives::{Address, B256, U256, Uint};
use pox_core::consent::{cancellation, refusal};
use pox_core::history::At;
use pox_core::ledger::Ledger;
use pox_core::receipt::{archived, archived_batch};
use pox_core::secret::{MAX_SEALED_SECRET_BYTES, SignedSecret};
use pox_core::signature::Signature;
use pox_core::{
    Archive, Call, Domain, MembersRoot, OfferId, Origin, Phase, ReceiptId, Sent, Task, TaskId, UnixTime, abi,
    tree,
};

/// Accounts 6 to 8 are enclaves.
const ENCLAVES: [u8; 3] = [6, 7, 8];
/// Keys that sign for owners; accounts 1 to 5 are everybody else, of which 4 and 5 are contracts.
const DELEGATES: [u8; 2] = [9, 10];
/// A signature: r, s, v.
const SIGNATURE_BYTES: usize = 65;
/// How often a call is spoiled, percent.
const SPOILED: u64 = 30;

pub(crate) struct Generator {
    dice: Dice,
    at: At,
    accounts: Vec<Address>,
    requests: Vec<abi::Request>,
    offers: Vec<abi::Offer>,
}

/// A call with what it is sent with.
type Draft = (Address, U256, Call);

impl Generator {
    pub(crate) fn new(dice: Dice, accounts: Vec<Address>) -> Self {
        let at = At { number: 2, time: UnixTime(1_600_000_000) };
        Self { dice, at, accounts, requests: Vec::new(), offers: Vec::new() }
    }

    pub(crate) fn offer_ids(&self, domain: &Domain) -> Vec<OfferId> {
        self.offers.iter().map(|offer| OfferId(domain.digest(offer))).collect()
    }

    pub(crate) fn next(&mut self, ledger: &Ledger) -> (Sent, Call) {
        self.pass_time();
        let (mut sender, mut value, call) = self.draft(ledger);
        if self.dice.percent(4) {
            sender = self.anyone();
        }
        if self.dice.percent(3) {
            value += U256::from(1);
        }
        // An account with code that sends transactions is one of EIP-7702.
        let origin = if ledger.has_code(sender) { Origin::Code } else { Origin::Transaction };
        (Sent { sender, origin, value, at: self.at }, call)
    }

    fn pass_time(&mut self) {
        self.at.number += self.dice.below(3);
        self.at.time.0 += match self.dice.below(50) {
            0..=39 => self.dice.below(3),
            40..=48 => self.dice.below(30),
            _ => self.dice.below(300),
        };
    }

    /// Mostly what some live task is waiting for, now and then anything.
    fn draft(&mut self, ledger: &Ledger) -> Draft {
        let live = ledger.tasks().map(Task::phase).filter(|phase| !phase.is_end());
        let live: Vec<_> = live.collect();
        let phase = self.dice.pick(&live).filter(|_| self.dice.percent(65));
        match (phase, self.dice.below(100)) {
            (Some(Phase::Requested), 0..=84) => self.match_task(ledger),
            (Some(Phase::Requested), 85..=86) => self.cancel(ledger),
            (Some(Phase::Requested), 87..=88) => self.cancel_for(ledger),
            (Some(Phase::Matched), 0..=34) => self.approve(ledger),
            (Some(Phase::Matched), 35..=79) => self.release(ledger),
            (Some(Phase::Matched), 80..=84) => self.reject(ledger),
            (Some(Phase::Matched), 85..=89) => self.reject_for(ledger),
            (Some(Phase::Approved), 0..=84) => self.prove(ledger),
            (Some(_), _) => self.expire(ledger),
            (None, 0..=14) => self.request(),
            (None, 15..=24) => self.request_for(ledger),
            (None, 25..=49) => self.offer(),
            (None, 50..=54) => self.withdraw_offer(),
            (None, 55..=62) => self.match_task(ledger),
            (None, 63..=65) => self.reject(ledger),
            (None, 66..=68) => self.reject_for(ledger),
            (None, 69..=71) => self.approve(ledger),
            (None, 72..=74) => self.release(ledger),
            (None, 75..=80) => self.prove(ledger),
            (None, 81..=82) => self.cancel(ledger),
            (None, 83..=84) => self.cancel_for(ledger),
            (None, 85..=89) => self.expire(ledger),
            (None, _) => (self.anyone(), U256::ZERO, Call::Withdraw),
        }
    }

    fn request(&mut self) -> Draft {
        let (value, record) = self.a_request();
        (record.owner, value, Call::Request(record))
    }

    fn request_for(&mut self, ledger: &Ledger) -> Draft {
        let (value, mut record) = self.a_request();
        if self.dice.percent(3) {
            record.owner = Address::ZERO;
        }
        let digest = ledger.domain().digest(&record);
        let signature = self.sign(record.owner, digest);
        (self.anyone(), value, Call::RequestFor { record, signature })
    }

    /// A signature by the account's key, if it is one that the test has; now and then another, or one that is spoiled.
    fn sign(&mut self, account: Address, digest: B256) -> alloy_primitives::Bytes {
        let mut signer = self.key_of(account);
        if self.dice.percent(8) {
            signer = self.enclave();
        }
        let mut signature = Signature::sign(&key(signer), digest).to_bytes().to_vec();
        if self.dice.percent(8) {
            self.spoil_signature(&mut signature);
        }
        signature.into()
    }

    fn key_of(&self, wanted: Address) -> u8 {
        (1..=DELEGATES[1]).find(|number| account(*number) == wanted).unwrap_or_default()
    }

    /// Puts the fields in that a plain request does without.
    fn furnish(&mut self, record: &mut abi::Request) {
        if self.dice.percent(20) {
            record.delegate = account(DELEGATES[self.dice.below(2) as usize]);
        }
        if self.dice.percent(40) {
            let others = self.accounts.iter().filter(|other| **other != record.owner).copied();
            let mut others: Vec<_> = others.collect();
            others.sort_unstable();
            let count = 1 + self.dice.below(3) as usize;
            while record.inputs.len() < count {
                record.inputs.push(self.dice.word());
            }
            others.truncate(count);
            let co_owner = |(place, account)| abi::CoOwner { account, inputs: 1u32 << place };
            record.coOwners = others.into_iter().enumerate().map(co_owner).collect();
        }
        match self.dice.below(10) {
            0 => record.processors = self.anyone().into_word(),
            1 => record.processors = tree::root(&self.list()).unwrap(),
            _ => {}
        }
    }

    /// The leaves of a list of some accounts.
    fn list(&self) -> Vec<B256> {
        self.accounts[..3].iter().map(|account| tree::account_leaf(*account)).collect()
    }

    fn a_request(&mut self) -> (U256, abi::Request) {
        let owner = self.anyone();
        let mut record = match self.dice.pick(&self.requests) {
            Some(used) if self.dice.percent(10) => used,
            _ => request(owner, self.at.time.0, &mut self.dice),
        };
        if !self.requests.contains(&record) {
            self.furnish(&mut record);
        }
        if self.dice.percent(SPOILED) {
            self.spoil_request(&mut record);
        }
        self.requests.push(record.clone());
        // Nobody has the highest price; without it, the bound and then the value are what is refused.
        let value = Some(U256::from(record.price)).filter(|price| *price <= U256::from(FUNDS));
        (value.unwrap_or_default(), record)
    }

    /// Puts one field just outside its bound, or just inside.
    fn spoil_request(&mut self, record: &mut abi::Request) {
        let (now, beyond) = (self.at.time.0, self.dice.below(2));
        let over = beyond as u32;
        match self.dice.below(24) {
            0 => record.image = B256::ZERO,
            1 => record.inputs = vec![self.dice.word(); 32 + beyond as usize],
            2 => record.inputs.push(B256::ZERO),
            3 => record.terms = B256::ZERO,
            4 => record.policy = B256::ZERO,
            5 => record.kinds = 0,
            6 => record.cpuMillis = 0,
            7 => record.memoryMib = 0,
            8 => record.diskMib = 0,
            9 => record.timeLimit = 0,
            10 => {
                record.timeLimit = 2_592_000 + over;
                record.proveWithin = 2_592_001;
            }
            11 => record.matchBy = now - beyond,
            12 => record.matchBy = now + 31_536_000 + beyond,
            13 => record.approveWithin = [0, 2_592_000, 2_592_001][self.dice.below(3) as usize],
            14 => record.proveWithin = record.timeLimit.saturating_sub(over),
            15 => record.price = Uint::from((1u128 << 94) - 1 + u128::from(beyond)),
            16 => record.delegate = record.owner,
            17 => record.coOwners = vec![abi::CoOwner { account: record.owner, inputs: 1 }],
            18 => record.coOwners.iter_mut().for_each(|other| other.inputs = over),
            19 => record.coOwners.iter_mut().for_each(|other| other.account = record.delegate),
            20 => record.coOwners.reverse(),
            21 => {
                let others = (1..=7 + beyond).map(|n| (Address::with_last_byte(n as u8), 1 << n));
                record.inputs = vec![self.dice.word(); 9];
                record.coOwners = others.map(|(account, inputs)| abi::CoOwner { account, inputs }).collect();
            }
            22 => {
                let inputs = 1u32.checked_shl(record.inputs.len() as u32).unwrap_or(1);
                record.coOwners = vec![abi::CoOwner { account: account(DELEGATES[0]), inputs }];
            }
            _ => record.proveWithin = 31_536_000 + over,
        }
    }

    fn offer(&mut self) -> Draft {
        let processor = self.anyone();
        let mut record = match self.dice.pick(&self.offers) {
            Some(used) if self.dice.percent(15) => used,
            _ => offer(processor, self.at.time.0, &mut self.dice),
        };
        match self.dice.below(20) {
            0 => record.kinds = 0,
            1 => record.validUntil = self.at.time.0 - 1,
            2 => record.validUntil = u64::MAX,
            3 => record.pricePerSecond = Uint::MAX,
            _ => {}
        }
        self.offers.push(record.clone());
        (record.processor, U256::ZERO, Call::Offer(record))
    }

    fn withdraw_offer(&mut self) -> Draft {
        let record = self.any_offer();
        (record.processor, U256::ZERO, Call::WithdrawOffer(record))
    }

    fn match_task(&mut self, ledger: &Ledger) -> Draft {
        let record = self.any_request(ledger, Phase::Requested);
        let mut terms = self.any_offer();
        if self.dice.percent(70) {
            let domain = *ledger.domain();
            let open = |offer: &&abi::Offer| ledger.is_open(OfferId(domain.digest(*offer)));
            let open: Vec<_> = self.offers.iter().filter(open).cloned().collect();
            terms = self.dice.pick(&open).unwrap_or(terms);
        }
        let mut enclave = account(self.enclave());
        if self.dice.percent(5) {
            enclave = Address::ZERO;
        }
        let length = self.dice.below(80) as usize;
        let evidence = vec![self.dice.roll() as u8; length].into();
        let (sender, bond) = (terms.processor, U256::from(terms.bond));
        let list = self.list();
        let listed = tree::root(&list) == Some(record.processors);
        if listed != self.dice.percent(8) {
            let place = list.iter().position(|leaf| *leaf == tree::account_leaf(sender));
            let mut path = place.and_then(|place| tree::path(&list, place)).unwrap_or_default();
            match self.dice.below(20) {
                0 => path.reverse(),
                1 => path.push(B256::ZERO),
                2 => path = vec![B256::ZERO; 33],
                _ => {}
            }
            return (sender, bond, Call::MatchListed { record, terms, enclave, evidence, path });
        }
        (sender, bond, Call::MatchTask { record, terms, enclave, evidence })
    }

    fn reject(&mut self, ledger: &Ledger) -> Draft {
        let (record, task) = self.any_task(ledger, Phase::Matched);
        let enclave = self.matched_enclave(ledger, task);
        (record.owner, U256::ZERO, Call::Reject { record, enclave, reason: self.dice.roll() as u8 })
    }

    /// A party of a request, and whose key signs for it; now and then one that is not there.
    fn party(&mut self, record: &abi::Request) -> (u8, Address) {
        let party = self.dice.below(record.coOwners.len() as u64 + 1) as usize;
        if self.dice.percent(3) {
            return ([8, 255, record.coOwners.len() as u8 + 1][self.dice.below(3) as usize], record.owner);
        }
        let signer = match party.checked_sub(1) {
            Some(other) => record.coOwners[other].account,
            None if record.delegate.is_zero() => record.owner,
            None => record.delegate,
        };
        (party as u8, signer)
    }

    fn matched_enclave(&mut self, ledger: &Ledger, task: TaskId) -> Address {
        let matched = ledger.task(task).and_then(Task::pairing).map(|pairing| pairing.enclave);
        matched.filter(|_| self.dice.percent(93)).unwrap_or_else(|| account(self.enclave()))
    }

    fn reject_for(&mut self, ledger: &Ledger) -> Draft {
        let (record, task) = self.any_task(ledger, Phase::Matched);
        let enclave = self.matched_enclave(ledger, task);
        let ((party, signer), reason) = (self.party(&record), self.dice.roll() as u8);
        let signature = self.sign(signer, refusal(ledger.domain(), task, enclave, reason));
        let call = Call::RejectFor { record, party, enclave, reason, signature };
        (self.anyone(), U256::ZERO, call)
    }

    fn cancel_for(&mut self, ledger: &Ledger) -> Draft {
        let (record, task) = self.any_task(ledger, Phase::Requested);
        let signature = self.sign(record.owner, cancellation(ledger.domain(), task));
        (self.anyone(), U256::ZERO, Call::CancelFor { task, signature })
    }

    fn release(&mut self, ledger: &Ledger) -> Draft {
        let (record, task) = self.any_task(ledger, Phase::Matched);
        let enclave = self.matched_enclave(ledger, task);
        let (party, signer) = self.party(&record);
        let secret = self.secret(ledger, task, enclave, signer);
        (self.anyone(), U256::ZERO, Call::Release { record, party, enclave, secret })
    }

    fn approve(&mut self, ledger: &Ledger) -> Draft {
        let (record, task) = self.any_task(ledger, Phase::Matched);
        let enclave = self.matched_enclave(ledger, task);
        let secret = self.secret(ledger, task, enclave, record.owner);
        (self.anyone(), U256::ZERO, Call::Approve { task, enclave, secret })
    }

    fn secret(
        &mut self,
        ledger: &Ledger,
        task: TaskId,
        enclave: Address,
        signer: Address,
    ) -> alloy_primitives::Bytes {
        let mut signer = self.key_of(signer);
        if self.dice.percent(3) {
            signer = self.enclave();
        }
        let named = if self.dice.percent(3) { Address::ZERO } else { enclave };
        let sealed = vec![self.dice.roll() as u8; 1 + self.dice.below(80) as usize];
        let signed = SignedSecret::sign(ledger.domain(), task, named, sealed, &key(signer)).to_bytes();
        let mut signature = signed[..SIGNATURE_BYTES].to_vec();
        let mut sealed = signed[SIGNATURE_BYTES..].to_vec();
        match self.dice.below(100) {
            0..=5 => self.spoil_signature(&mut signature),
            6 => sealed.clear(),
            7 => sealed.push(0),
            8 => sealed[0] ^= 1,
            9 => sealed = vec![0; MAX_SEALED_SECRET_BYTES],
            _ => {}
        }
        [signature, sealed].concat().into()
    }

    fn prove(&mut self, ledger: &Ledger) -> Draft {
        let (_, task) = self.any_task(ledger, Phase::Approved);
        let matched = ledger.task(task).and_then(Task::pairing).map(|pairing| pairing.enclave);
        let enclave = ENCLAVES.into_iter().find(|number| Some(account(*number)) == matched);
        let mut signer = enclave.unwrap_or_else(|| self.enclave());
        let mut receipt = self.receipt(task, account(signer));
        if self.dice.percent(5) {
            receipt.enclave = self.anyone();
        }
        if self.dice.percent(8) {
            signer = self.enclave();
        }
        let archive = Archive(self.dice.word());
        let id = ReceiptId(ledger.domain().digest(&receipt));
        let (members, count) = (MembersRoot(self.dice.word()), self.dice.roll() as u16);
        let (many, mistaken) = (self.dice.percent(40), self.dice.percent(4));
        let statement = if many != mistaken {
            archived_batch(ledger.domain(), id, archive, members, count).0
        } else {
            archived(ledger.domain(), id, archive).0
        };
        let mut signature = Signature::sign(&key(signer), statement).to_bytes().to_vec();
        if self.dice.percent(15) {
            self.spoil_signature(&mut signature);
        }
        let signature = signature.into();
        let call = if many {
            Call::ProveMany { receipt, archive, members, count, signature }
        } else {
            Call::Prove { receipt, archive, signature }
        };
        (self.anyone(), U256::ZERO, call)
    }

    fn receipt(&mut self, task: TaskId, enclave: Address) -> abi::Receipt {
        let outcome = if self.dice.percent(90) { self.dice.below(64) as u8 } else { self.dice.roll() as u8 };
        abi::Receipt {
            task: task.0,
            enclave,
            outcome,
            exitCode: self.dice.roll() as u32,
            results: self.dice.word(),
            report: self.dice.word(),
            cpuMicros: self.dice.roll(),
            wallMicros: self.dice.roll(),
            memoryPeak: self.dice.roll(),
        }
    }

    fn spoil_signature(&mut self, signature: &mut Vec<u8>) {
        match self.dice.below(7) {
            0 => drop(signature.pop()),
            1 => signature.push(0),
            2 => signature.clear(),
            3 => signature[64] = self.dice.pick(&[0, 1, 26, 29, 255]).unwrap_or_default(),
            4 => signature[..32].fill(0),
            5 => signature[..32].fill(0xff),
            _ => {
                // The other valid `s`, which the contract refuses.
                let s = k256::NonZeroScalar::try_from(&signature[32..64]).unwrap();
                signature[32..64].copy_from_slice(&(-s).to_bytes());
                signature[64] = 55 - signature[64];
            }
        }
    }

    fn cancel(&mut self, ledger: &Ledger) -> Draft {
        let (record, task) = self.any_task(ledger, Phase::Requested);
        (record.owner, U256::ZERO, Call::Cancel(task))
    }

    fn expire(&mut self, ledger: &Ledger) -> Draft {
        let phase = [Phase::Requested, Phase::Matched, Phase::Approved][self.dice.below(3) as usize];
        let (mut record, task) = self.any_task(ledger, phase);
        if let Some(deadline) = ledger.task(task).and_then(Task::deadline) {
            // On the deadline, right after it, or wherever the time is.
            let jump = (deadline.0 + self.dice.below(2)).saturating_sub(self.at.time.0);
            if jump < 1_000 && self.dice.percent(50) {
                self.at.time.0 += jump;
            }
        }
        if self.dice.percent(3) {
            // A deadline that is not the task's.
            record.matchBy = self.at.time.0 - 1;
        }
        (self.anyone(), U256::ZERO, Call::Expire(record))
    }

    fn any_task(&mut self, ledger: &Ledger, preferred: Phase) -> (abi::Request, TaskId) {
        let record = self.any_request(ledger, preferred);
        let id = TaskId(ledger.domain().digest(&record));
        (record, id)
    }

    /// A request, mostly of a task in this phase; now and then one that was never posted.
    fn any_request(&mut self, ledger: &Ledger, preferred: Phase) -> abi::Request {
        let domain = *ledger.domain();
        let fits = |record: &&abi::Request| ledger.view(TaskId(domain.digest(*record))).phase == preferred;
        let fitting: Vec<_> = self.requests.iter().filter(fits).cloned().collect();
        let fitting = if self.dice.percent(85) { self.dice.pick(&fitting) } else { None };
        let any = fitting.or_else(|| self.dice.pick(&self.requests)).filter(|_| self.dice.percent(98));
        any.unwrap_or_else(|| request(self.accounts[0], self.at.time.0, &mut self.dice))
    }

    fn any_offer(&mut self) -> abi::Offer {
        let any = self.dice.pick(&self.offers);
        any.unwrap_or_else(|| offer(self.accounts[0], self.at.time.0, &mut self.dice))
    }

    fn anyone(&mut self) -> Address {
        let index = self.dice.below(self.accounts.len() as u64);
        self.accounts[index as usize]
    }

    fn enclave(&mut self) -> u8 {
        ENCLAVES[self.dice.below(3) as usize]
    }
}
