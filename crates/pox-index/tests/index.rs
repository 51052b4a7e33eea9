//! The index against chains that are reorganised, nodes that fail and lie, crashes and crowds; the same on both databases.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::chain::{Chain, Dice, START, account, domain, image, input};
use common::everything;
use common::server::Server;
use pox_chain::{ChainError, Log};
use pox_core::{DatasetCommitment, Domain, Event, ImageDigest, Phase};
use pox_index::{
    BadTarget, Filter, Header, Index, IndexError, Indexer, Position, Progress, Source, StepDetail, Target,
    TaskRow,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Somewhere to keep indexes: a folder, or a server.
enum Place {
    Folder(tempfile::TempDir),
    Server(Server),
}

impl Place {
    fn folder() -> Self {
        Self::Folder(tempfile::tempdir().unwrap())
    }

    fn target(&self, name: &str) -> Target {
        match self {
            Self::Folder(folder) => Target::File(folder.path().join(format!("{name}.db"))),
            Self::Server(server) => server.database(name).parse().unwrap(),
        }
    }
}

fn follow(target: &Target) -> Index {
    Index::follow(target, domain(), START).unwrap()
}

fn from_scratch(chain: &Chain) -> String {
    let mut index = follow(&Target::Memory);
    Indexer::new(chain, &mut index).catch_up(&mut |_| ()).unwrap();
    everything(&mut index)
}

fn all_tasks(index: &mut Index) -> Vec<TaskRow> {
    let (mut tasks, mut filter) = (Vec::new(), Filter::default());
    loop {
        let mut page = index.tasks(&filter, 17).unwrap().content;
        tasks.append(&mut page.tasks);
        match page.next {
            Some(next) => filter.after = Some(next),
            None => return tasks,
        }
    }
}

/// What happens between two looks.
#[derive(Debug, Clone)]
enum Happens {
    Grow { blocks: u64, events: u64 },
    Fork { depth: u64, blocks: u64 },
    Look,
    LookAndFail { after: u64 },
    Crash,
}

fn happening() -> impl Strategy<Value = Happens> {
    prop_oneof![
        3 => (1..40u64, 0..6u64).prop_map(|(blocks, events)| Happens::Grow { blocks, events }),
        2 => (1..60u64, 1..40u64).prop_map(|(depth, blocks)| Happens::Fork { depth, blocks }),
        3 => Just(Happens::Look),
        2 => (0..40u64).prop_map(|after| Happens::LookAndFail { after }),
        1 => Just(Happens::Crash),
    ]
}

fn live_through(seed: u64, happenings: &[Happens], target: &Target) -> Result<(), TestCaseError> {
    let chain = Chain::new(seed);
    chain.grow(30, 4);
    let mut index = follow(target);
    for (number, happens) in happenings.iter().enumerate() {
        match *happens {
            Happens::Grow { blocks, events } => chain.grow(blocks, events),
            Happens::Fork { depth, blocks } => {
                chain.fork(depth, number as u64 + 1);
                chain.grow(blocks, 5);
            }
            Happens::Look => drop(Indexer::new(&chain, &mut index).step().unwrap()),
            Happens::LookAndFail { after } => {
                chain.answers.store(after, Ordering::Relaxed);
                // What was read before it stays.
                let _ = Indexer::new(&chain, &mut index).catch_up(&mut |_| ());
                chain.answers.store(u64::MAX, Ordering::Relaxed);
            }
            Happens::Crash => index = follow(target),
        }
    }
    // However short the last fork left it, the chain goes on.
    chain.grow(80, 1);
    Indexer::new(&chain, &mut index).catch_up(&mut |_| ()).unwrap();
    prop_assert_eq!(everything(&mut index), from_scratch(&chain));
    prop_assert_eq!(everything(&mut Index::open(target).unwrap()), from_scratch(&chain));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_followed_index_is_the_one_made_from_scratch(
        seed: u64,
        happenings in prop::collection::vec(happening(), 1..25),
    ) {
        let place = Place::folder();
        let target = place.target("followed");
        live_through(seed, &happenings, &target)?;
        // The tables that no answer reads are the same too.
        let (chain, scratch) = (rebuilt(seed, &happenings), place.target("scratch"));
        Indexer::new(&chain, &mut follow(&scratch)).catch_up(&mut |_| ()).unwrap();
        prop_assert_eq!(tables(&target), tables(&scratch));
    }
}

/// The chain that such a life ends with.
fn rebuilt(seed: u64, happenings: &[Happens]) -> Chain {
    let chain = Chain::new(seed);
    chain.grow(30, 4);
    for (number, happens) in happenings.iter().enumerate() {
        match *happens {
            Happens::Grow { blocks, events } => chain.grow(blocks, events),
            Happens::Fork { depth, blocks } => {
                chain.fork(depth, number as u64 + 1);
                chain.grow(blocks, 5);
            }
            _ => {}
        }
    }
    chain.grow(80, 1);
    chain
}

fn tables(target: &Target) -> Vec<String> {
    let Target::File(path) = target else { panic!("a file") };
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut rows = Vec::new();
    for (table, order) in [
        ("blocks WHERE events > 0", "number"),
        ("events", "block, position"),
        ("tasks", "id"),
        ("inputs", "task, place"),
        ("offers", "block, position"),
        ("withdrawn_offers", "block, position"),
        ("matches", "block, position"),
        ("approvals", "block, position"),
        ("receipts", "block, position"),
        ("members", "block, position"),
        ("pox_index", "one"),
    ] {
        let mut ask = connection.prepare(&format!("SELECT * FROM {table} ORDER BY {order}")).unwrap();
        let columns = ask.column_count();
        let found = ask.query_map([], |row| {
            let values = (0..columns).map(|column| format!("{:?}", row.get_ref(column).unwrap()));
            Ok(format!("{table} {}", values.collect::<Vec<_>>().join(" ")))
        });
        rows.extend(found.unwrap().map(Result::unwrap));
    }
    rows
}

/// What holds of an index on any database.
fn holds_everywhere(place: &Place) {
    answers_are_those_of_a_plain_search(place);
    a_task_with_a_hidden_event_is_flagged(place);
    several_can_make_it_at_once(place);
    two_cannot_follow_into_one(place);
    readers_see_whole_batches(place);
    an_index_is_of_one_contract(place);
}

#[test]
fn it_holds_in_a_file() {
    holds_everywhere(&Place::folder());
}

#[test]
#[ignore = "needs postgresql: run by .ci/run"]
fn it_holds_on_a_server() {
    let place = Place::Server(Server::start());
    holds_everywhere(&place);
    let mut dice = Dice(1);
    for life in 0..6 {
        let happenings = [
            Happens::Look,
            Happens::Fork { depth: 1 + dice.below(50), blocks: 1 + dice.below(50) },
            Happens::LookAndFail { after: dice.below(30) },
            Happens::Crash,
            Happens::Fork { depth: 1 + dice.below(25), blocks: 1 + dice.below(50) },
            Happens::Look,
        ];
        live_through(dice.roll(), &happenings, &place.target(&format!("life{life}"))).unwrap();
    }
}

fn answers_are_those_of_a_plain_search(place: &Place) {
    let chain = Chain::new(7);
    chain.grow(400, 6);
    let mut index = follow(&place.target("answers"));
    let last = Indexer::new(&chain, &mut index).with_ranges(3).catch_up(&mut |_| ()).unwrap();
    assert_eq!((last.progress, last.block, last.head), (Progress::CaughtUp, 400, 400));
    let all = all_tasks(&mut index);
    assert!(all.len() > 100 && all.windows(2).all(|two| two[0].requested < two[1].requested));
    let mut search = |filter: &Filter, fits: &dyn Fn(&TaskRow) -> bool| {
        let found = index.tasks(filter, 1000).unwrap().content.tasks;
        let expected: Vec<_> = all.iter().filter(|task| fits(task)).cloned().collect();
        assert!(!expected.is_empty(), "{filter:?}");
        assert_eq!(found, expected, "{filter:?}");
    };
    let none = Filter::default;
    let (owner, processor) = (Some(account(1)), Some(account(2)));
    search(&Filter { owner, ..none() }, &|task| task.owner == owner);
    search(&Filter { processor, ..none() }, &|task| task.processor == processor);
    let (image_1, input_2) = (Some(ImageDigest(image(1))), DatasetCommitment(input(2)));
    search(&Filter { image: image_1, ..none() }, &|task| task.image == image_1);
    search(&Filter { input: Some(input_2), ..none() }, &|task| task.inputs.contains(&input_2));
    let result = all.iter().find_map(|task| task.results);
    search(&Filter { result, ..none() }, &|task| task.results == result);
    let (since, until) = (all[20].requested_at, all[60].requested_at);
    let between = Filter { since: Some(since), until: Some(until), ..none() };
    search(&between, &|task| since <= task.requested_at && task.requested_at <= until);
    for phase in [Phase::Requested, Phase::Matched, Phase::Approved, Phase::Proven, Phase::Cancelled] {
        search(&Filter { phase: Some(phase), ..none() }, &|task| task.phase == phase);
    }
    let after = Some(all[30].requested);
    let many = Filter { image: image_1, input: Some(input_2), after, ..none() };
    search(&many, &|task| {
        task.image == image_1 && task.inputs.contains(&input_2) && Some(task.requested) > after
    });
    priority_is_that_of_a_plain_search(&mut index, &all);
    batches_are_those_that_the_chain_tells(&chain, &all);

    let uses = index.uses(input_2, None, 1000).unwrap().content;
    assert_eq!(uses.next, None);
    assert_eq!(uses.tasks.len(), all.iter().filter(|task| task.inputs.contains(&input_2)).count());
    for used in uses.tasks {
        assert_eq!(used.history.len() as u64, used.task.steps);
        assert!(matches!(used.history[0].detail, StepDetail::Requested { .. }));
        assert!(used.history.windows(2).all(|two| two[0].place < two[1].place));
    }
}

fn batches_are_those_that_the_chain_tells(chain: &Chain, all: &[TaskRow]) {
    let blocks = chain.blocks.read().unwrap();
    let logs = blocks.iter().flat_map(|block| &block.logs);
    let told: BTreeSet<_> = logs
        .filter_map(|log| match Event::parse(&domain(), &log.content) {
            Ok(Event::Members { task, count, .. }) => Some((task, u64::from(count))),
            _ => None,
        })
        .collect();
    let found = all.iter().filter_map(|task| Some((task.task, task.members?))).collect();
    assert!(!told.is_empty());
    assert_eq!(told, found);
}

fn priority_is_that_of_a_plain_search(index: &mut Index, all: &[TaskRow]) {
    for number in 0..4 {
        for wanted in [None, Some(DatasetCommitment(input(number)))] {
            let digest = ImageDigest(image(number));
            let fits = |task: &&TaskRow| {
                task.image == Some(digest) && wanted.is_none_or(|wanted| task.inputs.contains(&wanted))
            };
            let found = index.priority(digest, wanted).unwrap().content;
            let fitting: Vec<&TaskRow> = all.iter().filter(fits).collect();
            let proven: Vec<_> = fitting.iter().filter(|task| task.proven.is_some()).collect();
            let first = |only: &dyn Fn(&TaskRow) -> bool| {
                proven
                    .iter()
                    .filter(|task| only(task))
                    .min_by_key(|task| task.proven)
                    .map(|task| (**task).clone())
            };
            assert_eq!(found.first_proven, first(&|_| true));
            assert_eq!(found.first_completed, first(&|task| task.outcome == Some(0)));
            assert_eq!(found.first_requested.as_ref(), fitting.first().copied());
            assert_eq!((found.tasks, found.proven), (fitting.len() as u64, proven.len() as u64));
        }
    }
}

fn a_task_with_a_hidden_event_is_flagged(place: &Place) {
    let chain = Chain::new(11);
    chain.grow(60, 6);
    // The node keeps the first match back.
    let mut hidden = None;
    for block in chain.blocks.write().unwrap().iter_mut() {
        let found = block
            .logs
            .iter()
            .position(|log| matches!(Event::parse(&domain(), &log.content), Ok(Event::Matched { .. })));
        if let Some(index) = found {
            hidden = Event::parse(&domain(), &block.logs.remove(index).content).unwrap().task();
            break;
        }
    }
    let hidden = hidden.unwrap();
    let mut index = follow(&place.target("hidden"));
    Indexer::new(&chain, &mut index).catch_up(&mut |_| ()).unwrap();
    let flagged: Vec<_> = all_tasks(&mut index).into_iter().filter(|task| task.fault.is_some()).collect();
    assert_eq!(flagged.len(), 1);
    assert_eq!((flagged[0].task, flagged[0].phase), (hidden, Phase::Requested));
    assert_eq!(index.totals().unwrap().flagged, 1);
    assert_eq!(index.task(hidden).unwrap().content.unwrap().history.len(), 1, "nothing is derived after it");
    // What was flagged is not first in anything.
    let image = flagged[0].image.unwrap();
    let first = index.priority(image, None).unwrap().content;
    assert_eq!(first.flagged, 1);
    assert_ne!(first.first_requested.map(|task| task.task), Some(hidden));
}

fn several_can_make_it_at_once(place: &Place) {
    let target = place.target("at_once");
    let makers: Vec<_> = (0..4)
        .map(|_| {
            let target = target.clone();
            std::thread::spawn(move || Index::follow(&target, domain(), START).map(|index| index.next()))
        })
        .collect();
    for maker in makers {
        assert_eq!(maker.join().unwrap().unwrap(), START);
    }
}

fn two_cannot_follow_into_one(place: &Place) {
    let chain = Chain::new(3);
    chain.grow(60, 3);
    let target = place.target("two");
    let (mut one, mut other) = (follow(&target), follow(&target));
    Indexer::new(&chain, &mut one).catch_up(&mut |_| ()).unwrap();
    let refused = Indexer::new(&chain, &mut other).step();
    assert!(matches!(refused, Err(IndexError::OtherWriter)), "{refused:?}");
    assert_eq!(everything(&mut one), from_scratch(&chain));
}

fn readers_see_whole_batches(place: &Place) {
    let chain = Arc::new(Chain::new(5));
    chain.grow(400, 3);
    let target = place.target("readers");
    drop(follow(&target));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let target = target.clone();
            std::thread::spawn(move || {
                let mut index = Index::open(&target).unwrap();
                let mut seen = BTreeSet::new();
                while seen.last().is_none_or(|block| *block < 400) {
                    let status = index.status().unwrap();
                    if let Some(newest) = status.as_of {
                        seen.insert(newest.number);
                    }
                    // Each task has all its steps, whatever is being written, and none that is younger than the answer says.
                    let shared = DatasetCommitment(input(2));
                    let used = index.uses(shared, None, 1_000).unwrap();
                    for task in used.content.tasks {
                        assert_eq!(task.history.len() as u64, task.task.steps);
                        let newest = used.index.as_of.unwrap().number;
                        assert!(task.history.iter().all(|step| step.place.block <= newest));
                    }
                }
            })
        })
        .collect();
    let mut index = follow(&target);
    Indexer::new(chain.as_ref(), &mut index).with_ranges(1).catch_up(&mut |_| ()).unwrap();
    for reader in readers {
        reader.join().unwrap();
    }
}

fn an_index_is_of_one_contract(place: &Place) {
    let target = place.target("one");
    assert!(matches!(Index::open(&target), Err(IndexError::Missing)));
    drop(follow(&target));
    let other = Domain { chain_id: 1, ..domain() };
    let refused = Index::follow(&target, other, START).err().unwrap();
    assert!(matches!(refused, IndexError::OtherContract { chain: 8995, .. }), "{refused}");
    assert!(Index::open(&target).unwrap().of(other).is_err());
}

#[test]
fn a_newer_index_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    let target = Target::File(path.clone());
    drop(follow(&target));
    rusqlite::Connection::open(&path).unwrap().execute("UPDATE pox_index SET version = 99", []).unwrap();
    for refused in [Index::open(&target).err(), Index::follow(&target, domain(), START).err()] {
        assert!(matches!(refused, Some(IndexError::Newer { found: 99, .. })), "{refused:?}");
    }
}

#[test]
fn a_source_that_lags_takes_nothing_back() {
    let chain = Chain::new(2);
    chain.grow(60, 3);
    let mut index = follow(&Target::Memory);
    Indexer::new(&chain, &mut index).catch_up(&mut |_| ()).unwrap();
    let before = everything(&mut index);
    let held_back = chain.blocks.write().unwrap().split_off(50);
    let step = Indexer::new(&chain, &mut index).step().unwrap();
    assert_eq!((step.progress, step.taken_back), (Progress::SourceLags, 0));
    assert_eq!(everything(&mut index), before);
    chain.blocks.write().unwrap().extend(held_back);
    assert_eq!(Indexer::new(&chain, &mut index).step().unwrap().progress, Progress::CaughtUp);
}

#[test]
fn a_shorter_chain_is_noticed_where_nothing_of_its_newest_block_was_kept() {
    let chain = Chain::new(6);
    chain.grow(60, 3);
    chain.grow(2_000, 0);
    let mut index = follow(&Target::Memory);
    Indexer::new(&chain, &mut index).catch_up(&mut |_| ()).unwrap();
    chain.fork(2_020, 1);
    chain.grow(100, 1);
    let step = Indexer::new(&chain, &mut index).catch_up(&mut |_| ()).unwrap();
    assert_eq!((step.progress, step.block), (Progress::CaughtUp, chain.head().unwrap().at.number));
    assert_eq!(everything(&mut index), from_scratch(&chain));
}

/// A pool of replicas: one knows the newest block, and of others some have not come so far.
struct Pool<'a> {
    chain: &'a Chain,
    unknown: std::ops::Range<u64>,
}

impl Source for Pool<'_> {
    fn head(&self) -> Result<Header, ChainError> {
        self.chain.head()
    }

    fn block(&self, number: u64) -> Result<Option<Header>, ChainError> {
        if self.unknown.contains(&number) { Ok(None) } else { self.chain.block(number) }
    }

    fn logs(&self, from: u64, to: u64) -> Result<Vec<Log>, ChainError> {
        self.chain.logs(from, to)
    }

    fn range(&self) -> u64 {
        self.chain.range
    }

    fn unsettled(&self) -> u64 {
        self.chain.unsettled
    }
}

#[test]
fn a_replica_that_is_behind_is_said_to_be_and_not_asked_without_end() {
    let chain = Chain::new(8);
    chain.grow(60, 3);
    let mut index = follow(&Target::Memory);
    Indexer::new(&chain, &mut index).catch_up(&mut |_| ()).unwrap();
    chain.grow(5, 3);
    let behind = Pool { chain: &chain, unknown: 61..100 };
    let refused = Indexer::new(&behind, &mut index).catch_up(&mut |_| ());
    assert!(matches!(refused, Err(IndexError::Chain(ChainError::Lagging(_)))), "{refused:?}");
    // A fork is shown, and then nobody has the blocks below it: nothing is taken back for that.
    let before = everything(&mut index);
    chain.fork(10, 1);
    chain.grow(20, 3);
    let silent = Pool { chain: &chain, unknown: 31..60 };
    let step = Indexer::new(&silent, &mut index).step().unwrap();
    assert_eq!((step.progress, step.taken_back), (Progress::SourceLags, 0));
    assert_eq!(everything(&mut index), before);
}

#[test]
fn a_task_whose_request_is_held_back_may_be_of_any_program() {
    let chain = Chain::new(12);
    chain.grow(60, 6);
    for block in chain.blocks.write().unwrap().iter_mut() {
        let requested =
            |log: &Log| matches!(Event::parse(&domain(), &log.content), Ok(Event::Requested { .. }));
        if let Some(place) = block.logs.iter().position(requested) {
            block.logs.remove(place);
            break;
        }
    }
    let mut index = follow(&Target::Memory);
    Indexer::new(&chain, &mut index).catch_up(&mut |_| ()).unwrap();
    let all = all_tasks(&mut index);
    assert_eq!(all.iter().filter(|task| task.image.is_none() && task.fault.is_some()).count(), 1);
    for number in 0..4 {
        let (program, used) = (ImageDigest(image(number)), DatasetCommitment(input(number)));
        for wanted in [None, Some(used)] {
            let found = index.priority(program, wanted).unwrap().content;
            assert_eq!(found.flagged, 1, "it can have been first");
            let of = all.iter().filter(|task| {
                task.image == Some(program) && wanted.is_none_or(|wanted| task.inputs.contains(&wanted))
            });
            assert_eq!(found.tasks, of.count() as u64);
        }
    }
}

#[test]
fn nothing_is_after_the_last_position_that_there_is() {
    let chain = Chain::new(1);
    chain.grow(30, 3);
    let mut index = follow(&Target::Memory);
    Indexer::new(&chain, &mut index).catch_up(&mut |_| ()).unwrap();
    let after = Some(Position { block: u64::MAX, index: u64::MAX });
    assert!(index.tasks(&Filter { after, ..Filter::default() }, 10).unwrap().content.tasks.is_empty());
}

#[test]
fn a_log_that_is_none_stops_the_index_where_it_is() {
    let chain = Chain::new(9);
    chain.grow(60, 4);
    let number = {
        let mut blocks = chain.blocks.write().unwrap();
        let block = blocks.iter_mut().skip(20).find(|block| !block.logs.is_empty()).unwrap();
        let content = &mut block.logs[0].content;
        content.data = [&[1], &content.data[..]].concat().into();
        block.header.at.number
    };
    let mut index = follow(&Target::Memory);
    let refused = Indexer::new(&chain, &mut index).with_ranges(1).catch_up(&mut |_| ());
    assert!(matches!(refused, Err(IndexError::Chain(ChainError::Contradiction(_)))), "{refused:?}");
    assert!(index.next() <= number);
    assert!(all_tasks(&mut index).iter().all(|task| task.fault.is_none()));
}

#[test]
fn reading_goes_on_from_what_was_kept() {
    let chain = Chain::new(4);
    chain.grow(3_000, 1);
    let mut index = follow(&Target::Memory);
    Indexer::new(&chain, &mut index).catch_up(&mut |_| ()).unwrap();
    // Only blocks with events and the newest are remembered.
    let remembered = index.remembered(u64::MAX, 10_000).unwrap();
    let empty = |number: u64| chain.blocks.read().unwrap()[number as usize].logs.is_empty();
    assert!(remembered.iter().all(|block| block.at.number > 3_000 - 1_100 || !empty(block.at.number)));
    // A reorganisation deeper than any is taken back all the same.
    chain.fork(2_990, 1);
    chain.grow(3_100, 1);
    let last = Indexer::new(&chain, &mut index).catch_up(&mut |_| ()).unwrap();
    assert_eq!(last.block, chain.head().unwrap().at.number);
    assert_eq!(everything(&mut index), from_scratch(&chain));
}

#[test]
fn positions_have_one_form() {
    assert_eq!("12:3".parse(), Ok(Position { block: 12, index: 3 }));
    assert_eq!(Position { block: 12, index: 3 }.to_string(), "12:3");
    for bad in ["", "12", "12:", ":3", "+1:2", "1:2:3", "1: 2"] {
        assert!(bad.parse::<Position>().is_err(), "{bad}");
    }
    assert!(matches!("".parse::<Target>(), Err(BadTarget::Empty)));
}
