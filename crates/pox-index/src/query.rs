//! What an index answers. Every answer is of one state of it, and in an order that the chain alone decides.

use crate::engine::{Engine, Row, Value};
use crate::entry::{phase_name, phase_of};
use crate::error::IndexError;
use crate::index::{Index, Status, Totals};
use crate::rows::{EVENT_COLUMNS, read_event};
use alloy_primitives::{Address, B256};
use pox_chain::BlockAt;
use pox_core::{
    Amount, Archive, DatasetCommitment, Domain, Event, History, ImageDigest, OfferId, Phase,
    ResultsCommitment, TaskId, UnixTime,
};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// Most tasks of one page.
pub const MAX_PAGE: u32 = 1_000;

/// Where an event stands: block and log index. Orders tasks by when they were requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Block number.
    pub block: u64,
    /// The log's place in the block.
    pub index: u64,
}

/// Which tasks; what is left out admits all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Requested by this account.
    pub owner: Option<Address>,
    /// Matched by this account, now or when the task ended.
    pub processor: Option<Address>,
    /// Of this program.
    pub image: Option<ImageDigest>,
    /// With this among its inputs.
    pub input: Option<DatasetCommitment>,
    /// With these results.
    pub result: Option<ResultsCommitment>,
    /// Requested in a block not before this time.
    pub since: Option<UnixTime>,
    /// Requested in a block not after this time.
    pub until: Option<UnixTime>,
    /// In this phase.
    pub phase: Option<Phase>,
    /// Requested after this place.
    pub after: Option<Position>,
}

/// A task, as it stands at the index's newest block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskRow {
    /// The task.
    pub task: TaskId,
    /// Where it stands.
    pub phase: Phase,
    /// Who asked for it.
    pub owner: Option<Address>,
    /// The program.
    pub image: Option<ImageDigest>,
    /// The sealed datasets that it reads.
    pub inputs: Vec<DatasetCommitment>,
    /// Who matched it, now or when it ended.
    pub processor: Option<Address>,
    /// The matched enclave.
    pub enclave: Option<Address>,
    /// Where it was requested.
    pub requested: Position,
    /// When.
    pub requested_at: UnixTime,
    /// Where its receipt was posted.
    pub proven: Option<Position>,
    /// When.
    pub proven_at: Option<UnixTime>,
    /// What the run came to: the code of spec §6.1.
    pub outcome: Option<u8>,
    /// Commitment to the sealed results.
    pub results: Option<ResultsCommitment>,
    /// How many members its receipt closes, if it was a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<u64>,
    /// Last second of its phase.
    pub deadline: Option<UnixTime>,
    /// How many steps it has.
    pub steps: u64,
    /// The running commitment over them, to compare with the contract's.
    pub history: History,
    /// Why its events can't be those of one task.
    pub fault: Option<String>,
}

/// Some tasks, in the order of their requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The tasks.
    pub tasks: Vec<TaskRow>,
    /// Where the next page begins, if there is one.
    pub next: Option<Position>,
}

/// One step of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepRow {
    /// Which.
    pub step: u64,
    /// The word that the history hashes.
    pub payload: B256,
    /// Where it stands.
    pub place: Position,
    /// The block's hash.
    pub block_hash: B256,
    /// The block's time.
    pub time: UnixTime,
    /// The transaction.
    pub transaction: B256,
    /// What it says.
    #[serde(flatten)]
    pub detail: StepDetail,
}

/// What a step says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum StepDetail {
    /// The owner asked for it.
    Requested {
        /// The owner.
        owner: Address,
        /// What is paid.
        price: Amount,
    },
    /// A processor named an enclave.
    Matched {
        /// The offer.
        offer: OfferId,
        /// Who.
        processor: Address,
        /// The enclave's account.
        enclave: Address,
        /// keccak256 of the evidence.
        evidence: B256,
    },
    /// The owner or a co-owner refused the evidence.
    Rejected {
        /// Whose enclave it was.
        processor: Address,
        /// Who refused.
        account: Address,
        /// The enclave that was refused.
        enclave: Address,
        /// Why, by spec §9.4.
        reason: u8,
    },
    /// One of several owners released its secret.
    Released {
        /// Who.
        account: Address,
        /// To this enclave.
        enclave: Address,
        /// keccak256 of the signed and sealed secret.
        secret: B256,
    },
    /// The owner released the secret.
    Approved {
        /// To this enclave.
        enclave: Address,
        /// keccak256 of the signed and sealed secret.
        secret: B256,
    },
    /// The receipt was posted.
    Proven {
        /// Who ran it.
        processor: Address,
        /// The enclave that signed.
        enclave: Address,
        /// The code of spec §6.1.
        outcome: u8,
        /// The task's exit code.
        exit_code: u32,
        /// Commitment to the sealed results.
        results: ResultsCommitment,
        /// SHA-256 of the archive.
        archive: Archive,
    },
    /// The owner took it back.
    Cancelled,
    /// A deadline passed.
    Expired {
        /// The phase that it ended from.
        from: Phase,
    },
}

/// A task that uses an input, with all its steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputUse {
    /// The task.
    #[serde(flatten)]
    pub task: TaskRow,
    /// Its steps.
    pub history: Vec<StepRow>,
}

/// An answer, and the one state of the index that it was taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer<T> {
    /// What the index was of, and how far it had come.
    pub index: Status,
    /// What it answers.
    #[serde(flatten)]
    pub content: T,
}

/// Tasks that use an input, in the order of their requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Uses {
    /// The tasks, each with every step.
    pub tasks: Vec<InputUse>,
    /// Where the next page begins, if there is one.
    pub next: Option<Position>,
}

/// Who was first to run a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Priority {
    /// The earliest receipt: of all proven tasks, the one whose prove step stands first in the chain.
    pub first_proven: Option<TaskRow>,
    /// The earliest receipt of a run that completed.
    pub first_completed: Option<TaskRow>,
    /// The earliest request, proven or not.
    pub first_requested: Option<TaskRow>,
    /// Tasks of the program, with the input, whose events do not contradict each other.
    pub tasks: u64,
    /// Those among them that are proven.
    pub proven: u64,
    /// Tasks whose events contradict each other, and that are of the program, or whose request was never told: one of these can
    /// have been first, and they count for nothing else here.
    pub flagged: u64,
}

impl Index {
    /// How far the index has come.
    ///
    /// # Errors
    /// The database fails.
    pub fn status(&mut self) -> Result<Status, IndexError> {
        self.reading(status)
    }

    /// Asks, and says of which state of the index the answer is.
    fn answer<T>(
        &mut self,
        ask: impl FnOnce(&mut dyn Engine, &Domain) -> Result<T, IndexError>,
    ) -> Result<Answer<T>, IndexError> {
        self.reading(|engine, domain| {
            Ok(Answer { index: status(engine, domain)?, content: ask(engine, domain)? })
        })
    }

    /// What the index holds.
    ///
    /// # Errors
    /// The database fails.
    pub fn totals(&mut self) -> Result<Totals, IndexError> {
        self.reading(|engine, _| {
            let mut count = |ask: &str| count(engine, ask, &[]);
            Ok(Totals {
                tasks: count("SELECT COUNT(*) FROM tasks")?,
                events: count("SELECT COUNT(*) FROM events")?,
                flagged: count("SELECT COUNT(*) FROM tasks WHERE fault IS NOT NULL")?,
            })
        })
    }

    /// Tasks in the order of their requests.
    ///
    /// # Errors
    /// The database fails.
    pub fn tasks(&mut self, filter: &Filter, limit: u32) -> Result<Answer<Page>, IndexError> {
        self.answer(|engine, _| page(engine, filter, limit))
    }

    /// A task, and its steps; `None` if the index has none with this id.
    ///
    /// # Errors
    /// The database fails.
    pub fn task(&mut self, task: TaskId) -> Result<Answer<Option<InputUse>>, IndexError> {
        self.answer(|engine, domain| {
            let ask = format!("SELECT {TASK_COLUMNS} FROM tasks t WHERE t.id = $1");
            let found = read_tasks(engine, &ask, &[Value::bytes(task.0)])?.pop();
            found.map(|task| with_steps(engine, domain, task)).transpose()
        })
    }

    /// Every task that uses an input, with every step, in the order of their requests.
    ///
    /// # Errors
    /// The database fails.
    pub fn uses(
        &mut self,
        input: DatasetCommitment,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Answer<Uses>, IndexError> {
        let filter = Filter { input: Some(input), after, ..Filter::default() };
        self.answer(|engine, domain| {
            let Page { tasks, next } = page(engine, &filter, limit)?;
            let tasks = tasks.into_iter().map(|task| with_steps(engine, domain, task));
            Ok(Uses { tasks: tasks.collect::<Result<_, _>>()?, next })
        })
    }

    /// Who was first to run a program, on an input if one is named.
    ///
    /// # Errors
    /// The database fails.
    pub fn priority(
        &mut self,
        image: ImageDigest,
        input: Option<DatasetCommitment>,
    ) -> Result<Answer<Priority>, IndexError> {
        let filter = Filter { image: Some(image), input, ..Filter::default() };
        self.answer(|engine, _| {
            let wanted = Wanted::of(&filter);
            let clause = wanted.clause();
            let mut first = |more: &str, order: &str| {
                let ask = format!(
                    "SELECT {TASK_COLUMNS} FROM tasks t {clause} AND t.fault IS NULL {more} ORDER BY {order} LIMIT 1"
                );
                read_tasks(engine, &ask, &wanted.values).map(|mut tasks| tasks.pop())
            };
            let by_receipt = "t.proven_block, t.proven_position";
            let first_proven = first("AND t.proven_block IS NOT NULL", by_receipt)?;
            let first_completed = first("AND t.proven_block IS NOT NULL AND t.outcome = 0", by_receipt)?;
            let first_requested = first("", "t.block, t.position")?;
            let mut count = |more: &str| {
                count(engine, &format!("SELECT COUNT(*) FROM tasks t {clause} {more}"), &wanted.values)
            };
            Ok(Priority {
                first_proven,
                first_completed,
                first_requested,
                tasks: count("AND t.fault IS NULL")?,
                proven: count("AND t.fault IS NULL AND t.proven_block IS NOT NULL")?,
                // Without its request, nobody knows what program a task is of.
                flagged: count("AND t.fault IS NOT NULL OR t.image IS NULL")?,
            })
        })
    }
}

/// A filter as a clause and its values.
struct Wanted {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Wanted {
    fn of(filter: &Filter) -> Self {
        let mut wanted = Self { conditions: Vec::new(), values: Vec::new() };
        wanted.when("t.owner =", filter.owner.map(Value::bytes));
        wanted.when("t.processor =", filter.processor.map(Value::bytes));
        wanted.when("t.image =", filter.image.map(|image| Value::bytes(image.0)));
        wanted.when("t.results =", filter.result.map(|results| Value::bytes(results.0)));
        wanted.when("t.time >=", filter.since.map(|time| Value::saturating(time.0)));
        wanted.when("t.time <=", filter.until.map(|time| Value::saturating(time.0)));
        wanted.when("t.phase =", filter.phase.map(|phase| Value::Text(phase_name(phase).to_owned())));
        if let Some(input) = filter.input {
            let place = wanted.value(Value::bytes(input.0));
            wanted.conditions.push(format!("t.id IN (SELECT i.task FROM inputs i WHERE i.input = {place})"));
        }
        if let Some(after) = filter.after {
            let block = wanted.value(Value::saturating(after.block));
            let position = wanted.value(Value::saturating(after.index));
            wanted.conditions.push(format!("(t.block, t.position) > ({block}, {position})"));
        }
        wanted
    }

    fn when(&mut self, condition: &str, value: Option<Value>) {
        if let Some(value) = value {
            let place = self.value(value);
            self.conditions.push(format!("{condition} {place}"));
        }
    }

    fn value(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// Never empty, so that conditions can follow.
    fn clause(&self) -> String {
        if self.conditions.is_empty() {
            return "WHERE 1 = 1".to_owned();
        }
        format!("WHERE {}", self.conditions.join(" AND "))
    }
}

fn status(engine: &mut dyn Engine, domain: &Domain) -> Result<Status, IndexError> {
    let newest = engine.query("SELECT number, hash, time FROM blocks ORDER BY number DESC LIMIT 1", &[])?;
    let newest = newest.first().map(|row| {
        let at = BlockAt { number: row.count(0)?, hash: B256::from(row.fixed::<32>(1)?) };
        Ok::<_, IndexError>((at, UnixTime(row.count(2)?)))
    });
    let newest = newest.transpose()?;
    Ok(Status {
        chain_id: domain.chain_id,
        contract: domain.contract,
        as_of: newest.map(|(at, _)| at),
        time: newest.map(|(_, time)| time),
    })
}

fn page(engine: &mut dyn Engine, filter: &Filter, limit: u32) -> Result<Page, IndexError> {
    let limit = limit.clamp(1, MAX_PAGE);
    let mut wanted = Wanted::of(filter);
    // One more than is shown tells whether there are more.
    let more = wanted.value(Value::Int(i64::from(limit) + 1));
    let ask = format!(
        "SELECT {TASK_COLUMNS} FROM tasks t {} ORDER BY t.block, t.position LIMIT {more}",
        wanted.clause()
    );
    let mut tasks = read_tasks(engine, &ask, &wanted.values)?;
    let is_more = tasks.len() > limit as usize;
    tasks.truncate(limit as usize);
    let next = if is_more { tasks.last().map(|task| task.requested) } else { None };
    Ok(Page { tasks, next })
}

const TASK_COLUMNS: &str = "t.id, t.block, t.position, t.time, t.owner, t.image, t.phase, t.deadline, t.processor, \
    t.enclave, t.proven_block, t.proven_position, t.proven_time, t.outcome, t.results, t.steps, t.history, t.fault, \
    (SELECT m.count FROM members m WHERE m.block = t.proven_block AND m.task = t.id LIMIT 1)";

fn read_tasks(engine: &mut dyn Engine, ask: &str, values: &[Value]) -> Result<Vec<TaskRow>, IndexError> {
    let rows = engine.query(ask, values)?;
    let mut tasks = rows.iter().map(read_task).collect::<Result<Vec<_>, _>>()?;
    for task in &mut tasks {
        let ask = "SELECT input FROM inputs WHERE task = $1 ORDER BY place";
        let rows = engine.query(ask, &[Value::bytes(task.task.0)])?;
        let inputs = rows.iter().map(|row| Ok(DatasetCommitment::from(row.fixed::<32>(0)?)));
        task.inputs = inputs.collect::<Result<_, IndexError>>()?;
    }
    Ok(tasks)
}

fn read_task(row: &Row) -> Result<TaskRow, IndexError> {
    let proven = match (row.maybe_count(10)?, row.maybe_count(11)?) {
        (Some(block), Some(index)) => Some(Position { block, index }),
        _ => None,
    };
    let outcome = row.maybe_count(13)?.map(u8::try_from).transpose();
    Ok(TaskRow {
        task: TaskId::from(row.fixed::<32>(0)?),
        phase: phase_of(row.text(6)?)?,
        owner: row.maybe_fixed::<20>(4)?.map(Address::from),
        image: row.maybe_fixed::<32>(5)?.map(ImageDigest::from),
        inputs: Vec::new(),
        processor: row.maybe_fixed::<20>(8)?.map(Address::from),
        enclave: row.maybe_fixed::<20>(9)?.map(Address::from),
        requested: Position { block: row.count(1)?, index: row.count(2)? },
        requested_at: UnixTime(row.count(3)?),
        proven,
        proven_at: row.maybe_count(12)?.map(UnixTime),
        outcome: outcome.map_err(|_| IndexError::Damaged("an outcome is none"))?,
        results: row.maybe_fixed::<32>(14)?.map(ResultsCommitment::from),
        members: row.maybe_count(18)?,
        deadline: row.maybe_count(7)?.map(UnixTime),
        steps: row.count(15)?,
        history: History::from(row.fixed::<32>(16)?),
        fault: row.maybe_text(17)?.map(str::to_owned),
    })
}

fn with_steps(engine: &mut dyn Engine, domain: &Domain, task: TaskRow) -> Result<InputUse, IndexError> {
    let ask = format!(
        "SELECT {EVENT_COLUMNS} FROM events e JOIN blocks b ON b.number = e.block WHERE e.task = $1 AND e.step IS NOT NULL \
         ORDER BY e.block, e.position"
    );
    let rows = engine.query(&ask, &[Value::bytes(task.task.0)])?;
    let history = rows.iter().map(|row| step(row, domain)).collect::<Result<_, _>>()?;
    Ok(InputUse { task, history })
}

fn step(row: &Row, domain: &Domain) -> Result<StepRow, IndexError> {
    let located = read_event(row, domain)?;
    let place = located.place;
    Ok(StepRow {
        step: row.count(7)?,
        payload: B256::from(row.fixed::<32>(8)?),
        place: Position { block: place.block.number, index: place.index },
        block_hash: place.block.hash,
        time: place.time,
        transaction: place.transaction,
        detail: detail(&located.event).ok_or(IndexError::Damaged("a step is none"))?,
    })
}

fn detail(event: &Event) -> Option<StepDetail> {
    Some(match event {
        Event::Requested { request, .. } => {
            StepDetail::Requested { owner: request.owner, price: request.price }
        }
        Event::Matched { offer, processor, enclave, evidence, .. } => StepDetail::Matched {
            offer: *offer,
            processor: *processor,
            enclave: *enclave,
            evidence: *evidence,
        },
        Event::Rejected { processor, account, enclave, reason, .. } => StepDetail::Rejected {
            processor: *processor,
            account: *account,
            enclave: *enclave,
            reason: *reason,
        },
        Event::Released { account, enclave, secret, .. } => {
            StepDetail::Released { account: *account, enclave: *enclave, secret: *secret }
        }
        Event::Approved { enclave, secret, .. } => {
            StepDetail::Approved { enclave: *enclave, secret: *secret }
        }
        Event::Proven { processor, receipt, archive, .. } => StepDetail::Proven {
            processor: *processor,
            enclave: receipt.enclave,
            outcome: receipt.outcome,
            exit_code: receipt.exitCode,
            results: ResultsCommitment(receipt.results),
            archive: *archive,
        },
        Event::Cancelled { .. } => StepDetail::Cancelled,
        Event::Expired { from, .. } => StepDetail::Expired { from: *from },
        Event::Sponsored { .. }
        | Event::Members { .. }
        | Event::Uses { .. }
        | Event::Offered { .. }
        | Event::OfferWithdrawn { .. }
        | Event::Withdrawn { .. } => {
            return None;
        }
    })
}

fn count(engine: &mut dyn Engine, ask: &str, values: &[Value]) -> Result<u64, IndexError> {
    engine.query(ask, values)?.first().ok_or(IndexError::Damaged("a count is none"))?.count(0)
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.block, self.index)
    }
}

/// A text is no position.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a block number and a log index, as in 12:3")]
pub struct BadPosition;

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let (block, index) = text.split_once(':').ok_or(BadPosition)?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if digits { text.parse().map_err(|_| BadPosition) } else { Err(BadPosition) }
        };
        Ok(Self { block: number(block)?, index: number(index)? })
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
