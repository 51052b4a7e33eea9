//! The chain: its head, its pool, its time, and everything that changes them.

mod admit;
mod control;
mod import;
mod produce;
mod sets;

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use alloy_primitives::{Address, B256, keccak256};
use redb::DatabaseError;

pub use self::control::{Returned, SnapshotId};
use self::control::{Snapshot, Time};
pub(crate) use self::produce::{next_base_fee, next_excess_blob_gas};
pub(crate) use self::sets::ANNOUNCEMENT;
use self::sets::Sets;
use crate::{
    block::Block,
    config::{Authorities, Clock, Config, Hardfork, Mining},
    error::{ChainError, OpenError, SubmitError},
    fork::{Rules, Schedule},
    pool::Pool,
    rpc::Filters,
    store::{DiskStore, Identity, MemoryStore, Store, StoreError},
};

/// Blocks that are looked at to find the last final one. With fewer authors among them than more than half of the
/// authorities, only genesis is final.
const MAX_FINALITY_WALK: u64 = 1024;

/// A running chain. Clones are handles to the same chain; it ends with the last one.
#[derive(Clone)]
pub struct Chain {
    inner: Arc<Inner>,
}

/// A block, by what names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId {
    /// Blocks before it.
    pub number: u64,
    /// Keccak-256 of its header.
    pub hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
}

pub(crate) struct Inner {
    pub(crate) schedule: Schedule,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) min_gas_price: u128,
    pub(crate) filters: Mutex<Filters>,
    kind: Kind,
    live: Mutex<Live>,
    /// Dropped with the chain, which ends the thread that makes blocks.
    _alive: mpsc::Sender<()>,
}

/// Where blocks come from.
enum Kind {
    /// From here.
    Own(Rota),
    /// They were recorded elsewhere; no more are made.
    Recorded,
}

/// What making blocks needs.
struct Rota {
    hardfork: Hardfork,
    gas_limit: u64,
    authorities: Authorities,
    /// Whole seconds, at least one.
    step: u64,
    mining: Mining,
    durable: bool,
}

/// What changes.
struct Live {
    head: Arc<Block>,
    pool: Pool,
    time: Time,
    snapshots: Vec<Snapshot>,
    sets: Sets,
}

impl Chain {
    /// Opens the chain: a new one in memory, or the one in the data folder, which is made if it isn't there.
    ///
    /// A durable chain is where its last block left it, whatever happened to the process before: each block is on
    /// disk before the call that made it returns. The states of all its blocks stay readable; waiting transactions are
    /// not kept.
    ///
    /// # Errors
    /// [`OpenError`], nothing having been changed.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let step = config.step.as_secs();
        if step == 0 || config.step.subsec_nanos() != 0 {
            return Err(OpenError::Config("a step is a whole number of seconds, at least one"));
        }
        if matches!(config.mining, Mining::Interval(interval) if interval.is_zero()) {
            return Err(OpenError::Config("the block interval is zero"));
        }
        let schedule = Schedule::fixed(config.chain_id, config.hardfork);
        let (genesis, changes) = produce::genesis(&config, &schedule)?;
        let store: Arc<dyn Store> = match &config.data_dir {
            Some(folder) => {
                fs::create_dir_all(folder).map_err(OpenError::Folder)?;
                let store = DiskStore::open(folder).map_err(open_error)?;
                let identity = identity(&config, step, genesis.hash);
                match store.identify(&identity)? {
                    Identity::OtherFormat => return Err(OpenError::OtherVersion),
                    Identity::Differs => return Err(OpenError::OtherChain),
                    Identity::Written | Identity::Matches => {}
                }
                Arc::new(store)
            }
            None => Arc::new(MemoryStore::default()),
        };
        if store.head()?.is_none() {
            store.append(Arc::new(genesis), changes)?;
        }
        let rota = Rota {
            hardfork: config.hardfork,
            gas_limit: config.gas_limit,
            authorities: config.authorities,
            step,
            mining: config.mining,
            durable: config.data_dir.is_some(),
        };
        Ok(Self::start(schedule, store, config.min_gas_price, Kind::Own(rota), config.clock)?)
    }

    fn start(
        schedule: Schedule,
        store: Arc<dyn Store>,
        min_gas_price: u128,
        kind: Kind,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let head = store.head()?.unwrap_or(0);
        let head = store.block(head)?.ok_or(StoreError::Damaged("head"))?;
        let interval = match &kind {
            Kind::Own(Rota { mining: Mining::Interval(interval), .. }) => Some(*interval),
            _ => None,
        };
        let sets = match &kind {
            Kind::Own(rota) => Sets::replay(rota.authorities.sets().clone(), &*store, head.header.number)?,
            Kind::Recorded => Sets::new(BTreeMap::new()),
        };
        let (alive, ended) = mpsc::channel();
        let live = Live { head, pool: Pool::default(), time: Time::new(clock), snapshots: Vec::new(), sets };
        let inner = Inner {
            schedule,
            store,
            min_gas_price,
            filters: Mutex::default(),
            kind,
            live: Mutex::new(live),
            _alive: alive,
        };
        let chain = Self { inner: Arc::new(inner) };
        if let Some(interval) = interval {
            chain.mine_every(interval, ended);
        }
        Ok(chain)
    }

    /// Makes blocks until the chain is dropped. A block that can't be made is tried again at the next beat.
    fn mine_every(&self, interval: Duration, ended: mpsc::Receiver<()>) {
        let inner = Arc::downgrade(&self.inner);
        thread::spawn(move || {
            while ended.recv_timeout(interval) == Err(mpsc::RecvTimeoutError::Timeout) {
                let Some(inner) = inner.upgrade() else { break };
                // The failure is the store's, and the next call from outside reports it to somebody.
                let _ = Self { inner }.mine();
            }
        });
    }

    /// The chain id that transactions are signed for.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.inner.schedule.chain_id
    }

    /// The authorities that seal block `number`, in the order of their steps, as far as the chain knows now.
    #[must_use]
    pub fn authorities(&self, number: u64) -> Vec<Address> {
        self.inner.live().sets.at(number).1.to_vec()
    }

    /// The last block.
    #[must_use]
    pub fn head(&self) -> BlockId {
        block_id(&self.inner.live().head)
    }

    /// Takes a signed transaction, in the bytes of `eth_sendRawTransaction`, and gives its hash.
    ///
    /// With instant mining a transaction that can run is in a block on return; one whose nonce is ahead waits. Blobs
    /// are compared with the hashes in their transaction; their polynomial proofs are not checked, and they are not
    /// kept.
    ///
    /// # Errors
    /// [`SubmitError`]; the pool is as it was, except for [`SubmitError::NotMined`].
    pub fn submit(&self, raw: &[u8]) -> Result<B256, SubmitError> {
        let transaction = self.inner.decode(raw)?;
        let hash = transaction.hash();
        let mut live = self.inner.live();
        self.inner.admit(&mut live, transaction)?;
        if let Kind::Own(Rota { mining: Mining::Instant, .. }) = self.inner.kind {
            self.inner.mine_ready(&mut live).map_err(|reason| SubmitError::NotMined { hash, reason })?;
        }
        Ok(hash)
    }

    /// Makes one block of the transactions that can run, or an empty one.
    ///
    /// # Errors
    /// [`ChainError`], no block having been made.
    pub fn mine(&self) -> Result<BlockId, ChainError> {
        let mut live = self.inner.live();
        self.inner.mine_one(&mut live).map(|block| block_id(&block))
    }

    /// Answers JSON-RPC: a request or a batch, in and out as JSON text.
    #[must_use]
    pub fn rpc(&self, request: &[u8]) -> Vec<u8> {
        crate::rpc::answer(self, request)
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }
}

impl Inner {
    fn live(&self) -> MutexGuard<'_, Live> {
        // Nothing that holds the lock panics, and the head is replaced in one step.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn head(&self) -> Arc<Block> {
        self.live().head.clone()
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The rules of a block that exists.
    pub(crate) fn rules_of(&self, block: &Block) -> Rules {
        self.schedule.rules(block.header.number, block.header.timestamp)
    }

    /// Runs `look` on the pool.
    pub(crate) fn with_pool<T>(&self, look: impl FnOnce(&Pool) -> T) -> T {
        look(&self.live().pool)
    }

    /// Number of the last block that more than half of the authorities have built on (it and those after it); of a recorded
    /// chain it is the head. Only authorities of one set count together, and what is before a final block is final.
    pub(crate) fn final_number(&self) -> Result<u64, StoreError> {
        let live = self.live();
        let head = live.head.header.number;
        if matches!(self.kind, Kind::Recorded) {
            return Ok(head);
        }
        let (mut term, mut seen) = (None, HashSet::new());
        for number in (head.saturating_sub(MAX_FINALITY_WALK)..=head).rev() {
            let Some(header) = self.store.header(number)? else { break };
            let (from, authorities) = live.sets.at(number);
            if term.replace(from).is_some_and(|term| term != from) {
                seen.clear();
            }
            let is_new = authorities.contains(&header.author) && seen.insert(header.author);
            if is_new && seen.len() * 2 > authorities.len() {
                return Ok(number);
            }
        }
        Ok(0)
    }
}

fn block_id(block: &Block) -> BlockId {
    BlockId { number: block.header.number, hash: block.hash, timestamp: block.header.timestamp }
}

/// What a durable chain's blocks depend on.
fn identity(config: &Config, step: u64, genesis: B256) -> B256 {
    let mut bytes = b"pox development chain".to_vec();
    bytes.extend(config.chain_id.to_be_bytes());
    bytes.push(config.hardfork as u8);
    bytes.extend(step.to_be_bytes());
    bytes.extend(genesis);
    keccak256(bytes)
}

fn open_error(error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse,
        DatabaseError::Storage(redb::StorageError::Io(error)) => OpenError::Folder(error),
        error => OpenError::Store(error.into()),
    }
}
