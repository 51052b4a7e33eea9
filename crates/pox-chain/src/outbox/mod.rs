//! Sends an account's transactions: once in effect, whatever gets lost, repeated or restarted.
//!
//! Each is written to the journal before any node hears of it, and stays there until the chain has it for good. Whoever comes
//! after a crash sends the same bytes again, which take effect once, since a nonce is used once.

mod journal;
mod over;
mod shelf;
mod tend;

pub use shelf::{Edit, FileShelf, Shelf};
pub use tend::{Waiting, WaitsFor};

use crate::account::Account;
use crate::error::{ChainError, Revert, plain};
use crate::fees::{affordable, current_price};
use crate::prepared::{Draft, Prepared};
use crate::receipts::Established;
use crate::rpc::{BlockAt, CallParams, NotTaken, Receipt, Rpc, Succeeded};
use alloy_primitives::{Address, B256, U256};
use journal::{Journal, Used};
use shelf::MemoryShelf;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Most gas that is ever offered, whatever a node estimates: three blocks of bloxberg.
const MAX_GAS: u64 = 30_000_000;
/// Most replacements of one transaction, each a quarter dearer: the last offers six times the first.
const MAX_REPLACEMENTS: usize = 8;
/// How often to look for a transaction whose nonce is used before it counts as another's: replicas lag by some blocks.
const LOOKS: u32 = 5;
/// How often to begin anew when another transaction takes the nonce: several programs can share an account by mistake.
const MAX_STARTS: u32 = 5;

/// The transactions of one account on one chain. Several can share an account if they share its journal: it hands out the nonces.
#[derive(Debug)]
pub struct Outbox {
    rpc: Rpc,
    account: Account,
    journal: Journal,
    /// Most wei that a transaction may cost, its value included; the profile bounds the price of gas all the same.
    most: Option<U256>,
    /// The transaction and block whose receipt was checked last.
    checked: Mutex<Option<(B256, B256)>>,
    /// Since when the newest attempt of each nonce is waited for: many short waits come to a replacement as one long one does.
    since: Mutex<BTreeMap<u64, (B256, Instant)>>,
}

/// How long to wait, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Most time to wait for the transaction to be in the chain as deep as asked.
    pub timeout: Duration,
    /// Blocks that have to stand on it, its own included; 1 for "in a block".
    pub confirmations: u64,
    /// How long it can wait before it is replaced by a dearer one; `None` never replaces.
    pub replace_after: Option<Duration>,
}

/// Where a prepared transaction stands.
#[derive(Debug, Clone)]
pub enum Standing {
    /// The endpoint does not know it: never sent, dropped, or the endpoint lags.
    Unknown,
    /// It waits, or its block was just reorganised.
    Pending,
    /// It is in a block of the chain.
    Mined {
        /// What became of it.
        receipt: Box<Receipt>,
        /// Blocks that stand on it, its own included.
        confirmations: u64,
    },
}

/// A transaction in the chain, that took effect.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The one that was mined: the prepared one, or a replacement.
    pub prepared: Prepared,
    /// What became of it.
    pub receipt: Receipt,
}

/// How something came to be.
#[derive(Debug, Clone)]
pub enum Effect {
    /// By a transaction that was sent now.
    Sent(Box<Sent>),
    /// It was there already, by an earlier transaction or somebody else's.
    AlreadyThere,
}

impl Default for Patience {
    fn default() -> Self {
        let timeout = Duration::from_secs(180);
        Self { timeout, confirmations: 1, replace_after: Some(Duration::from_secs(60)) }
    }
}

impl Patience {
    /// For a loop that has others to look after: what is not there in time is waited for in the next turn, by [`Outbox::ensure`]
    /// of the same draft.
    pub fn for_a_turn() -> Self {
        Self { timeout: Duration::from_secs(20), ..Self::default() }
    }
}

impl Outbox {
    /// An outbox whose journal ends with this program: for accounts of which nothing has to survive.
    pub fn new(rpc: &Rpc, account: Account) -> Self {
        Self::open(rpc, account, Box::<MemoryShelf>::default())
    }

    /// An outbox with its journal on a shelf. What is on it from before goes on with [`Self::tend`], or when the same is to be
    /// brought about again.
    pub fn open(rpc: &Rpc, account: Account, shelf: Box<dyn Shelf>) -> Self {
        let journal = Journal::new(shelf, rpc.profile().chain_id);
        Self {
            rpc: rpc.clone(),
            account,
            journal,
            most: None,
            checked: Mutex::default(),
            since: Mutex::default(),
        }
    }

    /// The same outbox, that signs nothing which can cost more than this, value and gas together. The journal keeps the bound
    /// with each transaction, so whoever replaces one later stays below it.
    pub fn paying_at_most(self, most: U256) -> Self {
        Self { most: Some(most), ..self }
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The address that pays and signs.
    pub fn address(&self) -> Address {
        self.account.address()
    }

    /// Signs a transaction without sending it, and writes it to the journal, which holds its nonce from now on: whether or not
    /// it is broadcast here, whoever tends the outbox sends it.
    ///
    /// # Errors
    /// The call would be reverted, is too dear, the chain can't be asked, or the journal fails; then nothing was written.
    pub fn prepare(&self, draft: &Draft) -> Result<Prepared, ChainError> {
        let gas = self.gas_for(draft)?;
        let price = current_price(&self.rpc)?;
        let waiting = self.rpc.pending_nonce(self.address())?;
        let chain_id = self.rpc.profile().chain_id;
        self.journal.enter(waiting, self.most, |nonce| {
            let prepared = Prepared::sign(&self.account, chain_id, nonce, gas, price, draft.clone())?;
            within(self.most, prepared)
        })
    }

    fn gas_for(&self, draft: &Draft) -> Result<u64, ChainError> {
        let call =
            CallParams { from: Some(self.address()), to: draft.to, value: draft.value, data: &draft.input };
        let estimate = self.rpc.estimate_gas(&call)?;
        // The state can change before the block: a quarter is what the dearest paths of the contract differ by.
        let gas = estimate.saturating_add(estimate / 4);
        if gas > MAX_GAS {
            return Err(self.rpc.malformed("eth_estimateGas", "more gas than any block has"));
        }
        Ok(gas)
    }

    /// Takes a transaction of this account into the journal that was signed by another outbox.
    ///
    /// # Errors
    /// Another account signed it, or the journal fails.
    pub fn adopt(&self, prepared: &Prepared) -> Result<(), ChainError> {
        if prepared.from() != self.address() {
            return Err(ChainError::BadPrepared("signed by another account"));
        }
        self.journal.add(prepared)
    }

    /// Hands the transaction to the chain. Doing it again is harmless.
    ///
    /// # Errors
    /// Another transaction used the nonce; the node wants a higher price; the account can't pay; or the chain can't be asked.
    pub fn broadcast(&self, prepared: &Prepared) -> Result<Standing, ChainError> {
        match self.rpc.send_raw(prepared.raw(), prepared.hash())? {
            None | Some(NotTaken::Known) => Ok(Standing::Pending),
            Some(NotTaken::Underpriced) => Err(ChainError::Underpriced(prepared.price().most())),
            Some(NotTaken::InsufficientFunds) => Err(ChainError::InsufficientFunds(prepared.from())),
            Some(NotTaken::NonceUsed) => self.look_after_used_nonce(prepared),
        }
    }

    /// Where a prepared transaction stands now. A receipt counts only if its block is in the chain and commits to it.
    ///
    /// # Errors
    /// The chain can't be asked, or its answers contradict each other.
    pub fn standing(&self, prepared: &Prepared) -> Result<Standing, ChainError> {
        let Some(receipt) = self.rpc.receipt(prepared.hash())? else {
            let known = self.rpc.transaction(prepared.hash())?.is_some();
            return Ok(if known { Standing::Pending } else { Standing::Unknown });
        };
        match self.rpc.block(receipt.block.number)? {
            Some(block) if block.at == receipt.block => {
                let this = (prepared.hash(), block.at.hash);
                let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
                if *checked != Some(this)
                    && self.rpc.check_receipt(prepared, &receipt, &block)? != Established::Nothing
                {
                    *checked = Some(this);
                }
                drop(checked);
                let head = self.rpc.head()?.at.number;
                let confirmations = head.saturating_sub(receipt.block.number).saturating_add(1);
                Ok(Standing::Mined { receipt: Box::new(receipt), confirmations })
            }
            _ => Ok(Standing::Pending),
        }
    }

    /// Waits until the transaction is in the chain; sends it again when it gets lost, and a dearer one when it waits too long.
    /// It stays in the journal until it is final, so that a later reorganisation loses nothing.
    ///
    /// # Errors
    /// It was reverted, superseded, can't be paid, or is not there in time; then it can still come.
    pub fn wait(&self, prepared: Prepared, patience: &Patience) -> Result<Sent, ChainError> {
        self.adopt(&prepared)?;
        self.wait_on(vec![prepared], patience, Heard::Perhaps)
    }

    /// Prepares, sends and waits.
    ///
    /// # Errors
    /// As [`Self::prepare`], [`Self::broadcast`] and [`Self::wait`].
    pub fn send(&self, draft: &Draft, patience: &Patience) -> Result<Sent, ChainError> {
        let prepared = self.prepare(draft)?;
        // Of several endpoints, one can take what another declines.
        let heard = if self.rpc.is_alone() { Heard::No } else { Heard::Perhaps };
        self.wait_on(vec![prepared], patience, heard)
    }

    /// Brings something about exactly once: sends the draft unless `done` says that it is there, also when an earlier
    /// transaction did it whose hash nobody remembers, or another used the nonce. Where the journal has a transaction for the
    /// same draft, from before a restart for example, that one is waited for instead of a new one.
    ///
    /// # Errors
    /// As [`Self::send`], and those of `done`.
    pub fn ensure(
        &self,
        draft: &Draft,
        patience: &Patience,
        done: &mut dyn FnMut() -> Result<bool, ChainError>,
    ) -> Result<Effect, ChainError> {
        let mut starts = 1;
        loop {
            if done()? {
                return Ok(Effect::AlreadyThere);
            }
            let ended = match self.journal.of(draft)? {
                Some(entry) => {
                    self.journal.bound(entry.nonce(), self.most)?;
                    self.wait_on(entry.attempts, patience, Heard::Perhaps)
                }
                None => self.send(draft, patience),
            };
            match ended {
                Ok(sent) => return Ok(Effect::Sent(Box::new(sent))),
                Err(ChainError::Superseded { .. }) if starts < MAX_STARTS => starts += 1,
                // What refuses the call can be that its effect is there.
                Err(error @ ChainError::Reverted(_)) => {
                    return if done()? { Ok(Effect::AlreadyThere) } else { Err(error) };
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn wait_on(
        &self,
        mut attempts: Vec<Prepared>,
        patience: &Patience,
        mut heard: Heard,
    ) -> Result<Sent, ChainError> {
        let Some(first) = attempts.first() else {
            return Err(ChainError::BadPrepared("nothing to wait for"));
        };
        let (nonce, hash) = (first.nonce(), first.hash());
        let deadline = Instant::now() + patience.timeout;
        loop {
            let waited = attempts.last().map(|latest| self.waited_for(latest)).unwrap_or_default();
            let too_long = patience.replace_after.is_some_and(|after| waited >= after);
            let next = match self.look(&attempts, patience.confirmations) {
                Ok(Look::There(sent)) => return self.ended(*sent),
                Ok(Look::Waits) if too_long => Ok(Next::Replace),
                Ok(Look::Mined { .. }) => Ok(Next::Rest),
                Ok(Look::Waits) => self.tend_earlier(nonce).map(|()| Next::Rest),
                Ok(Look::Nowhere) => self.tend_earlier(nonce).and_then(|()| self.push(&attempts)),
                Err(error) => Err(error),
            };
            let next = match next {
                Ok(Next::Replace) => {
                    self.forget_wait(nonce);
                    heard = Heard::Perhaps;
                    self.replace(&attempts, too_long).and_then(|dearer| match dearer {
                        Some(dearer) => {
                            attempts.push(dearer);
                            self.push(&attempts).map(|_| ())
                        }
                        None => Ok(()),
                    })
                }
                Ok(Next::Rest) => Ok(()),
                Err(error) => Err(error),
            };
            let lost = match next {
                Ok(()) => None,
                Err(error) if error.is_transient() => Some(error),
                Err(error) => return Err(self.gave_up(nonce, heard, error)),
            };
            // What got no answer may have arrived all the same.
            heard = Heard::Perhaps;
            if Instant::now() >= deadline {
                let waited = format!("transaction {hash} in the chain");
                return Err(lost.unwrap_or(ChainError::TimedOut(waited)));
            }
            sleep(self.rpc.poll_interval());
        }
    }

    /// How long this outbox has waited for an attempt, since it was first asked to.
    fn waited_for(&self, latest: &Prepared) -> Duration {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = since.entry(latest.nonce()).or_insert_with(|| (latest.hash(), Instant::now()));
        if begun.0 != latest.hash() {
            *begun = (latest.hash(), Instant::now());
        }
        begun.1.elapsed()
    }

    fn forget_wait(&self, nonce: u64) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(&nonce);
    }

    /// Notes what can't take effect any more: its nonce is used, or no node ever took it.
    fn gave_up(&self, nonce: u64, heard: Heard, error: ChainError) -> ChainError {
        self.forget_wait(nonce);
        let noted = match (&error, heard) {
            (ChainError::Superseded { .. }, _) => self.journal.note_over(nonce, None),
            (_, Heard::No) => self.journal.strike(nonce, Used::No),
            (_, Heard::Perhaps) => Ok(()),
        };
        noted.err().unwrap_or(error)
    }

    fn look(&self, attempts: &[Prepared], confirmations: u64) -> Result<Look, ChainError> {
        let mut best = Look::Nowhere;
        for prepared in attempts {
            match self.standing(prepared)? {
                Standing::Mined { receipt, confirmations: found } if found >= confirmations => {
                    let sent = Sent { prepared: prepared.clone(), receipt: *receipt };
                    return Ok(Look::There(Box::new(sent)));
                }
                Standing::Mined { receipt, confirmations } => {
                    best = Look::Mined { block: receipt.block, confirmations };
                }
                Standing::Pending if matches!(best, Look::Nowhere) => best = Look::Waits,
                Standing::Pending | Standing::Unknown => {}
            }
        }
        Ok(best)
    }

    /// Broadcasts the newest attempt. That an older one took the nonce is no failure: it is looked for.
    fn push(&self, attempts: &[Prepared]) -> Result<Next, ChainError> {
        let Some(latest) = attempts.last() else { return Ok(Next::Rest) };
        match self.broadcast(latest) {
            Ok(_) => Ok(Next::Rest),
            Err(ChainError::Underpriced(_)) => Ok(Next::Replace),
            Err(error @ ChainError::Superseded { .. }) => match self.look(attempts, 1)? {
                Look::There(_) | Look::Mined { .. } => Ok(Next::Rest),
                Look::Waits | Look::Nowhere => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn ended(&self, sent: Sent) -> Result<Sent, ChainError> {
        let nonce = sent.prepared.nonce();
        self.forget_wait(nonce);
        match sent.receipt.succeeded {
            Succeeded::Yes => {
                self.journal.note_seen(nonce, Some(sent.receipt.block))?;
                Ok(sent)
            }
            Succeeded::No => {
                self.journal.note_over(nonce, Some(sent.receipt.block))?;
                Err(ChainError::Reverted(self.why_reverted(&sent)))
            }
        }
    }

    /// Runs the call again on the state before its block, which old nodes need to tell why it was reverted.
    fn why_reverted(&self, sent: &Sent) -> Revert {
        let Draft { to, value, input } = sent.prepared.draft();
        let call = CallParams { from: Some(sent.prepared.from()), to: *to, value: *value, data: input };
        match self.rpc.call_at_number(&call, sent.receipt.block.number.saturating_sub(1)) {
            Err(ChainError::Reverted(why)) => why,
            Ok(_) if sent.receipt.gas_used >= sent.prepared.gas_limit() => Revert::Text(plain("out of gas")),
            _ => Revert::Silent,
        }
    }

    fn look_after_used_nonce(&self, prepared: &Prepared) -> Result<Standing, ChainError> {
        let (from, nonce) = (prepared.from(), prepared.nonce());
        for _ in 0..LOOKS {
            match self.standing(prepared)? {
                Standing::Unknown => sleep(self.rpc.poll_interval()),
                found => return Ok(found),
            }
        }
        if self.rpc.nonce(from)? <= nonce {
            // One says that it was used, another that it was not.
            return Err(ChainError::Lagging(format!("which transactions {from} has sent")));
        }
        Err(ChainError::Superseded { from, nonce })
    }

    /// The newest attempt at a higher price, in the journal; `None` if the profile's bound, or its own, is reached and it can
    /// wait as it is.
    fn replace(&self, attempts: &[Prepared], waits: bool) -> Result<Option<Prepared>, ChainError> {
        let Some(latest) = attempts.last().filter(|_| attempts.len() <= MAX_REPLACEMENTS) else {
            return Ok(None);
        };
        let (profile, nonce) = (self.rpc.profile(), latest.nonce());
        let most = self.journal.most(nonce)?;
        let dearer = affordable(profile, latest.price().raised()).and_then(|price| {
            let (gas, draft) = (latest.gas_limit(), latest.draft().clone());
            within(most, Prepared::sign(&self.account, profile.chain_id, nonce, gas, price, draft)?)
        });
        match dearer {
            Err(ChainError::TooDear { .. } | ChainError::OverBudget { .. }) if waits => Ok(None),
            Err(error) => Err(error),
            Ok(dearer) => {
                self.journal.attempt(&dearer)?;
                Ok(Some(dearer))
            }
        }
    }
}

/// The transaction, if it can't cost more than this.
fn within(most: Option<U256>, prepared: Prepared) -> Result<Prepared, ChainError> {
    let costs = prepared.max_cost();
    match most.filter(|most| costs > *most) {
        None => Ok(prepared),
        Some(most) => Err(ChainError::OverBudget { costs, most }),
    }
}

enum Look {
    There(Box<Sent>),
    Mined { block: BlockAt, confirmations: u64 },
    Waits,
    Nowhere,
}

enum Next {
    Rest,
    Replace,
}

/// Whether a node may have a transaction of this entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Perhaps,
    No,
}
