//! Sends an account's transactions: once in effect, whatever gets lost, repeated or restarted.

use crate::account::Account;
use crate::error::{ChainError, Revert, plain};
use crate::fees::{affordable, current_price};
use crate::nonces::Nonces;
use crate::prepared::{Draft, Prepared};
use crate::rpc::{CallParams, NotTaken, Receipt, Rpc, Succeeded};
use alloy_primitives::Address;
use std::io;
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

/// The transactions of one account on one chain. One outbox per account: it hands out the nonces.
#[derive(Debug)]
pub struct Outbox {
    rpc: Rpc,
    account: Account,
    nonces: Nonces,
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

impl Outbox {
    /// An outbox of this account. Nonces of earlier transactions that can still be sent come back with [`Self::adopt`].
    pub fn new(rpc: &Rpc, account: Account) -> Self {
        Self { rpc: rpc.clone(), account, nonces: Nonces::default() }
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The address that pays and signs.
    pub fn address(&self) -> Address {
        self.account.address()
    }

    /// Signs a transaction without sending it, and holds its nonce until it has ended or is forgotten. Journal it before
    /// [`Self::broadcast`], and a restart can't send twice.
    ///
    /// # Errors
    /// The call would be reverted, is too dear, or the chain can't be asked.
    pub fn prepare(&self, draft: &Draft) -> Result<Prepared, ChainError> {
        let from = self.address();
        let call = CallParams { from: Some(from), to: draft.to, value: draft.value, data: &draft.input };
        let estimate = self.rpc.estimate_gas(&call)?;
        // The state can change before the block: a quarter is what the dearest paths of the contract differ by.
        let gas = estimate.saturating_add(estimate / 4);
        if gas > MAX_GAS {
            return Err(self.rpc.malformed("eth_estimateGas", "more gas than any block has"));
        }
        let price = current_price(&self.rpc)?;
        let waiting = self.rpc.pending_nonce(from)?;
        let nonce = self.nonces.take(waiting).ok_or(ChainError::BadPrepared("no nonce is left"))?;
        let chain_id = self.rpc.profile().chain_id;
        Prepared::sign(&self.account, chain_id, nonce, gas, price, draft.clone())
            .inspect_err(|_| self.nonces.put_back(nonce))
    }

    /// Takes a transaction from the journal back, so that its nonce is not given to another.
    ///
    /// # Errors
    /// Another account signed it.
    pub fn adopt(&self, prepared: &Prepared) -> Result<(), ChainError> {
        if prepared.from() != self.address() {
            return Err(ChainError::BadPrepared("signed by another account"));
        }
        self.nonces.hold(prepared.nonce());
        Ok(())
    }

    /// Gives the nonce of a transaction that was never broadcast, or has ended, free.
    pub fn forget(&self, prepared: &Prepared) {
        self.nonces.put_back(prepared.nonce());
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

    /// Where a prepared transaction stands now. A receipt counts only if its block is in the chain.
    ///
    /// # Errors
    /// The chain can't be asked.
    pub fn standing(&self, prepared: &Prepared) -> Result<Standing, ChainError> {
        let Some(receipt) = self.rpc.receipt(prepared.hash())? else {
            let known = self.rpc.transaction(prepared.hash())?.is_some();
            return Ok(if known { Standing::Pending } else { Standing::Unknown });
        };
        match self.rpc.block(receipt.block.number)? {
            Some(block) if block.at == receipt.block => {
                let head = self.rpc.head()?.at.number;
                let confirmations = head.saturating_sub(receipt.block.number).saturating_add(1);
                Ok(Standing::Mined { receipt: Box::new(receipt), confirmations })
            }
            _ => Ok(Standing::Pending),
        }
    }

    /// Waits until the transaction is in the chain; sends it again when it gets lost, and a dearer one when it waits too long.
    ///
    /// `journal` gets each replacement before it is broadcast.
    ///
    /// # Errors
    /// It was reverted, superseded, can't be paid, or is not there in time; then it can still come.
    pub fn wait(
        &self,
        prepared: Prepared,
        patience: &Patience,
        journal: &mut dyn FnMut(&Prepared) -> io::Result<()>,
    ) -> Result<Sent, ChainError> {
        let nonce = prepared.nonce();
        let ended = self.wait_on(prepared, patience, journal);
        if let Err(error) = &ended
            && !error.is_transient()
        {
            // It was declined for good, so the next transaction can have its nonce.
            self.nonces.put_back(nonce);
        }
        ended
    }

    fn wait_on(
        &self,
        prepared: Prepared,
        patience: &Patience,
        journal: &mut dyn FnMut(&Prepared) -> io::Result<()>,
    ) -> Result<Sent, ChainError> {
        let deadline = Instant::now() + patience.timeout;
        let mut attempts = vec![prepared];
        let mut latest_at = Instant::now();
        let mut lost = None;
        loop {
            let too_long = patience.replace_after.is_some_and(|after| latest_at.elapsed() >= after);
            let next = match self.look(&attempts, patience.confirmations) {
                Ok(Look::There(sent)) => return self.ended(*sent),
                Ok(Look::Waits) if too_long => Ok(Next::Replace),
                Ok(Look::Mined | Look::Waits) => Ok(Next::Rest),
                Ok(Look::Nowhere) => self.push(&attempts),
                Err(error) => Err(error),
            };
            match next {
                Ok(Next::Rest) => lost = None,
                Ok(Next::Replace) => {
                    if attempts.len() <= MAX_REPLACEMENTS
                        && let Some(dearer) = self.dearer(&attempts, too_long)?
                    {
                        journal(&dearer).map_err(ChainError::Journal)?;
                        attempts.push(dearer);
                        lost = self.push(&attempts).err().filter(ChainError::is_transient);
                    }
                    latest_at = Instant::now();
                }
                Err(error) if error.is_transient() => lost = Some(error),
                Err(error) => return Err(error),
            }
            if Instant::now() >= deadline {
                let waited = format!("transaction {} in the chain", attempts[0].hash());
                return Err(lost.unwrap_or(ChainError::TimedOut(waited)));
            }
            sleep(self.rpc.poll_interval());
        }
    }

    /// Prepares, journals, sends and waits.
    ///
    /// # Errors
    /// As [`Self::prepare`], [`Self::broadcast`] and [`Self::wait`].
    pub fn send(
        &self,
        draft: &Draft,
        patience: &Patience,
        journal: &mut dyn FnMut(&Prepared) -> io::Result<()>,
    ) -> Result<Sent, ChainError> {
        let prepared = self.prepare(draft)?;
        if let Err(error) = journal(&prepared) {
            self.forget(&prepared);
            return Err(ChainError::Journal(error));
        }
        self.wait(prepared, patience, journal)
    }

    /// Brings something about exactly once: sends the draft unless `done` says that it is there, also when an earlier
    /// transaction did it whose hash nobody remembers, or another used the nonce.
    ///
    /// # Errors
    /// As [`Self::send`], and those of `done`.
    pub fn ensure(
        &self,
        draft: &Draft,
        patience: &Patience,
        done: &mut dyn FnMut() -> Result<bool, ChainError>,
        journal: &mut dyn FnMut(&Prepared) -> io::Result<()>,
    ) -> Result<Effect, ChainError> {
        let mut starts = 1;
        loop {
            if done()? {
                return Ok(Effect::AlreadyThere);
            }
            match self.send(draft, patience, journal) {
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

    /// Continues after a restart with a transaction from the journal: sends the same again, and a new one only if another
    /// transaction used its nonce and `done` says that the effect is missing.
    ///
    /// # Errors
    /// As [`Self::ensure`]; another account signed it.
    pub fn resume(
        &self,
        prepared: Prepared,
        patience: &Patience,
        done: &mut dyn FnMut() -> Result<bool, ChainError>,
        journal: &mut dyn FnMut(&Prepared) -> io::Result<()>,
    ) -> Result<Effect, ChainError> {
        self.adopt(&prepared)?;
        let draft = prepared.draft().clone();
        match self.wait(prepared, patience, journal) {
            Ok(sent) => Ok(Effect::Sent(Box::new(sent))),
            Err(ChainError::Superseded { .. }) => self.ensure(&draft, patience, done, journal),
            Err(error @ ChainError::Reverted(_)) => {
                if done()? {
                    Ok(Effect::AlreadyThere)
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }

    fn look(&self, attempts: &[Prepared], confirmations: u64) -> Result<Look, ChainError> {
        let mut best = Look::Nowhere;
        for prepared in attempts {
            match self.standing(prepared)? {
                Standing::Mined { receipt, confirmations: found } if found >= confirmations => {
                    let sent = Sent { prepared: prepared.clone(), receipt: *receipt };
                    return Ok(Look::There(Box::new(sent)));
                }
                Standing::Mined { .. } => best = Look::Mined,
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
                Look::There(_) | Look::Mined => Ok(Next::Rest),
                Look::Waits | Look::Nowhere => {
                    self.nonces.use_up(latest.nonce());
                    Err(error)
                }
            },
            Err(error) => Err(error),
        }
    }

    fn ended(&self, sent: Sent) -> Result<Sent, ChainError> {
        self.nonces.use_up(sent.prepared.nonce());
        match sent.receipt.succeeded {
            Succeeded::Yes => Ok(sent),
            Succeeded::No => Err(ChainError::Reverted(self.why_reverted(&sent))),
        }
    }

    /// Runs the call again on the state before its block, which old nodes need to tell why it was reverted.
    fn why_reverted(&self, sent: &Sent) -> Revert {
        let Draft { to, value, input } = sent.prepared.draft();
        let call = CallParams { from: Some(sent.prepared.from()), to: *to, value: *value, data: input };
        match self.rpc.call(&call, Some(sent.receipt.block.number.saturating_sub(1))) {
            Err(ChainError::Reverted(why)) => why,
            Ok(_) if sent.receipt.gas_used >= sent.prepared.gas_limit() => Revert::Text(plain("out of gas")),
            _ => Revert::Silent,
        }
    }

    fn look_after_used_nonce(&self, prepared: &Prepared) -> Result<Standing, ChainError> {
        for _ in 0..LOOKS {
            match self.standing(prepared)? {
                Standing::Unknown => sleep(self.rpc.poll_interval()),
                found => return Ok(found),
            }
        }
        Err(ChainError::Superseded { from: prepared.from(), nonce: prepared.nonce() })
    }

    /// The newest attempt at a higher price; `None` if the profile's bound is reached and it can wait as it is.
    fn dearer(&self, attempts: &[Prepared], waits: bool) -> Result<Option<Prepared>, ChainError> {
        let Some(latest) = attempts.last() else { return Ok(None) };
        let profile = self.rpc.profile();
        let price = match affordable(profile, latest.price().raised()) {
            Err(ChainError::TooDear { .. }) if waits => return Ok(None),
            price => price?,
        };
        let draft = latest.draft().clone();
        Prepared::sign(&self.account, profile.chain_id, latest.nonce(), latest.gas_limit(), price, draft)
            .map(Some)
    }
}

enum Look {
    There(Box<Sent>),
    Mined,
    Waits,
    Nowhere,
}

enum Next {
    Rest,
    Replace,
}
