//! What `Replay` makes of events is what `Task::apply` made of the calls behind them; events that are held back do not pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "common/mod.rs"]
mod common;
#[path = "differential/generate.rs"]
#[allow(dead_code, reason = "the other test uses more of it")]
mod generate;

/// What the generator knows of the other side of the differential test.
mod evm {
    pub(crate) const FUNDS: u64 = 1_000_000_000;
}

use common::{Dice, account, domain};
use generate::Generator;
use pox_core::history::At;
use pox_core::ledger::Ledger;
use pox_core::replay::{Contradiction, Replay};
use pox_core::{Event, Phase, TaskId, UnixTime};
use std::collections::{BTreeMap, BTreeSet};

const SEQUENCES: u64 = 300;
const CALLS: u64 = 60;

type Told = BTreeMap<TaskId, Vec<(Event, At)>>;

/// Runs random calls on a ledger, and gives it with the events that it emitted.
fn run(seed: u64) -> (Ledger, Told) {
    let accounts: Vec<_> = (1..=5).map(account).collect();
    let mut ledger = Ledger::new(domain());
    let mut generator = Generator::new(Dice::new(seed), accounts);
    let mut told = Told::new();
    for _ in 0..CALLS {
        let (sent, call) = generator.next(&ledger);
        for event in ledger.call(&sent, call).unwrap_or_default() {
            if let Some(task) = event.task() {
                told.entry(task).or_default().push((event, sent.at));
            }
        }
    }
    (ledger, told)
}

fn replayed(events: &[(Event, At)]) -> Result<Replay, Contradiction> {
    let (first, rest) = events.split_first().unwrap();
    let (mut replay, step) = Replay::begin(&first.0, first.1)?;
    let mut steps = vec![step];
    for (index, (event, at)) in rest.iter().enumerate() {
        let next = rest.get(index + 1).map(|(event, _)| event);
        steps.extend(replay.then(event, next, *at, &domain())?);
    }
    assert_eq!(pox_core::History::over(&steps), replay.history);
    Ok(replay)
}

#[test]
fn events_alone_give_what_the_contract_says() {
    let mut phases = BTreeSet::new();
    for seed in 0..SEQUENCES {
        let (ledger, told) = run(seed);
        for (task, events) in &told {
            let replay = replayed(events).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(replay.view(), ledger.view(*task), "seed {seed}");
            assert_eq!(replay.deadline(), ledger.task(*task).unwrap().deadline(), "seed {seed}");
            phases.insert(replay.phase());
        }
    }
    let all =
        [Phase::Requested, Phase::Matched, Phase::Approved, Phase::Proven, Phase::Cancelled, Phase::Expired];
    assert_eq!(phases, BTreeSet::from(all), "the sequences reach every phase");
}

#[test]
fn what_is_held_back_repeated_or_swapped_never_passes_for_the_whole() {
    let (mut refused, mut other) = (0, 0);
    for seed in 0..SEQUENCES {
        let (ledger, told) = run(seed);
        let mut dice = Dice::new(seed);
        for (task, events) in &told {
            let mut lie = events.clone();
            let index = dice.below(lie.len() as u64) as usize;
            match dice.below(4) {
                // Without its inputs announced, a request is only found out by its next step; who paid, no step tells.
                0 if !matches!(lie[index].0, Event::Uses { .. } | Event::Sponsored { .. }) => {
                    drop(lie.remove(index));
                }
                1 => lie.insert(index, lie[index].clone()),
                2 if index > 0 => lie.swap(index - 1, index),
                3 => lie[index].1.time = UnixTime(lie[index].1.time.0 + 1),
                _ => continue,
            }
            if lie == *events || lie.is_empty() {
                continue;
            }
            match replayed(&lie) {
                Err(_) => refused += 1,
                Ok(replay) => {
                    assert_ne!(replay.history, ledger.view(*task).history, "seed {seed}: {lie:?}");
                    other += 1;
                }
            }
        }
    }
    assert!(refused > 100 && other > 100, "{refused} refused, {other} with another history");
}
