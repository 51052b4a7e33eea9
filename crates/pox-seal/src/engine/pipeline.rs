//! Segments go by: claimed in order, worked on by all cores, committed in order.

use super::segment::Segment;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many workers share the work, and how much memory they have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Team {
    workers: usize,
    /// Chunks of a segment, if it isn't the team's to choose.
    chunks: Option<usize>,
}

impl Team {
    /// As many workers as this process may use cores.
    pub fn of_machine() -> Self {
        Self::of(thread::available_parallelism().map_or(1, usize::from))
    }

    /// So many workers; at least one, and no more than [`MAX_WORKERS`].
    pub fn of(workers: usize) -> Self {
        Self { workers: workers.clamp(1, MAX_WORKERS), chunks: None }
    }

    /// Number of workers.
    pub fn workers(self) -> usize {
        self.workers
    }

    /// Segments in memory: one for each worker, and two more that wait for their turn.
    fn segments(self) -> usize {
        if self.workers == 1 { 1 } else { self.workers + 2 }
    }

    /// The same workers on segments of another size, as a work that was begun with it needs; at most [`MAX_CHUNKS`].
    pub(crate) fn on_segments_of(self, chunks: usize) -> Self {
        Self { chunks: Some(chunks.clamp(1, MAX_CHUNKS)), ..self }
    }

    /// The same workers on segments half as long, where each has beside it what it holds: paths and headers of small files, which
    /// take up to twice their segment.
    pub(crate) fn on_trees(self) -> Self {
        self.on_segments_of(self.chunks() / 2)
    }

    /// Chunks of a segment, so that all segments together stay within [`MAX_MEMORY`].
    pub(crate) fn chunks(self) -> usize {
        if let Some(chunks) = self.chunks {
            return chunks;
        }
        let most = MAX_MEMORY / self.segments() / super::segment::MAX_STRIDE;
        // Rounded down to a power of two: segments then start at even places of large pages.
        (1 << most.max(1).ilog2()).min(MAX_CHUNKS)
    }
}

/// Most workers; beyond, one segment of one chunk each would exceed the memory.
pub const MAX_WORKERS: usize = 256;
/// Most bytes of all segments together.
const MAX_MEMORY: usize = 24 << 20;
/// Most chunks of a segment: 4 MiB. Larger ones gain nothing.
pub(crate) const MAX_CHUNKS: usize = 64;

/// Runs every job that `next` claims through `work`, on all workers, and hands the results to `commit`, on the calling
/// thread, in the order of the claims.
///
/// `next` is called by one worker at a time. The first error in the order of the claims ends everything; later jobs may
/// have been worked on by then, and none of them is committed.
pub(crate) fn run<J, D, E>(
    team: Team,
    mut next: impl FnMut() -> Result<Option<J>, E> + Send,
    work: impl Fn(J, &mut Segment) -> Result<D, E> + Sync,
    mut commit: impl FnMut(D, &mut Segment) -> Result<(), E>,
) -> Result<(), E>
where
    J: Send,
    D: Send,
    E: Send,
{
    if team.workers == 1 {
        let mut segment = Segment::new(team.chunks());
        while let Some(job) = next()? {
            let done = work(job, &mut segment)?;
            commit(done, &mut segment)?;
        }
        return Ok(());
    }
    let (free, segments) = channel::<Segment>();
    for _ in 0..team.segments() {
        // Can't fail: the other end is below.
        let _ = free.send(Segment::new(team.chunks()));
    }
    let source = Mutex::new(Source { next: &mut next, count: 0, is_over: false });
    let segments = Mutex::new(segments);
    let (finished, results) = channel();
    thread::scope(|scope| {
        for _ in 0..team.workers {
            let finished = finished.clone();
            scope.spawn(|| labour(&source, &segments, &work, finished));
        }
        drop(finished);
        let outcome = collect(&results, &free, &mut commit);
        // Nobody waits for a segment any more.
        drop(free);
        outcome
    })
}

/// The same with a source that only the calling thread can ask: `feed` may fill the segment that its job will be worked on in,
/// and does so while the workers work on earlier ones.
pub(crate) fn run_fed<J, D, E>(
    team: Team,
    mut feed: impl FnMut(&mut Segment) -> Result<Option<J>, E>,
    work: impl Fn(J, &mut Segment) -> Result<D, E> + Sync,
    mut commit: impl FnMut(D, &mut Segment) -> Result<(), E>,
) -> Result<(), E>
where
    J: Send,
    D: Send,
    E: Send,
{
    if team.workers == 1 {
        let mut segment = Segment::new(team.chunks());
        while let Some(job) = feed(&mut segment)? {
            let done = work(job, &mut segment)?;
            commit(done, &mut segment)?;
        }
        return Ok(());
    }
    let (jobs, claims) = channel::<(u64, J, Segment)>();
    let claims = Mutex::new(claims);
    let (finished, results) = channel();
    thread::scope(|scope| {
        for _ in 0..team.workers {
            let finished = finished.clone();
            scope.spawn(|| serve(&claims, &work, finished));
        }
        drop(finished);
        // Dropped when this returns, which lets the workers go.
        let jobs = jobs;
        let mut free: Vec<Segment> = (0..team.segments()).map(|_| Segment::new(team.chunks())).collect();
        let (mut early, mut turn, mut fed, mut over) = (BTreeMap::new(), 0, 0, None);
        loop {
            // What is done is taken whenever it is there, and waited for if there is nothing else to do.
            let is_idle = free.is_empty() || over.is_some();
            if is_idle && turn == fed {
                break;
            }
            let result = if is_idle { results.recv().ok() } else { results.try_recv().ok() };
            match result {
                // A worker panicked: leave, so that the scope can end and say so.
                Some((_, None)) => return Ok(()),
                Some((index, Some(result))) => {
                    early.insert(index, result);
                    while let Some(result) = early.remove(&turn) {
                        let (done, mut segment) = result?;
                        commit(done, &mut segment)?;
                        free.push(segment);
                        turn += 1;
                    }
                }
                None if is_idle => return Ok(()),
                None => {
                    let mut segment = free.pop().expect("there is a free one, or this would wait");
                    match feed(&mut segment) {
                        Ok(Some(job)) => {
                            // Fails only if every worker panicked, which is heard of above.
                            let _ = jobs.send((fed, job, segment));
                            fed += 1;
                        }
                        Ok(None) => over = Some(Ok(())),
                        Err(error) => over = Some(Err(error)),
                    }
                }
            }
        }
        over.unwrap_or(Ok(()))
    })
}

fn serve<J, D, E>(
    claims: &Mutex<Receiver<(u64, J, Segment)>>,
    work: &impl Fn(J, &mut Segment) -> Result<D, E>,
    finished: Sender<Message<D, E>>,
) {
    loop {
        let Ok((index, job, mut segment)) = lock(claims).recv() else { return };
        let mut lost = Lost(index, finished.clone(), false);
        let result = work(job, &mut segment).map(|done| (done, segment));
        lost.2 = true;
        if finished.send((index, Some(result))).is_err() {
            return;
        }
    }
}

struct Source<F> {
    next: F,
    count: u64,
    is_over: bool,
}

type Message<D, E> = (u64, Option<Result<(D, Segment), E>>);

/// Tells that a job is lost if the worker panics; the panic itself arrives when the scope ends.
struct Lost<D, E>(u64, Sender<Message<D, E>>, bool);

impl<D, E> Drop for Lost<D, E> {
    fn drop(&mut self) {
        if !self.2 {
            let _ = self.1.send((self.0, None));
        }
    }
}

fn labour<J, D, E, F: FnMut() -> Result<Option<J>, E>>(
    source: &Mutex<Source<F>>,
    segments: &Mutex<Receiver<Segment>>,
    work: &impl Fn(J, &mut Segment) -> Result<D, E>,
    finished: Sender<Message<D, E>>,
) {
    loop {
        // The segment first: so a claimed job always has one, and the earliest job never waits for later ones.
        let Ok(mut segment) = lock(segments).recv() else { return };
        let mut lost = Lost(0, finished.clone(), false);
        let claimed = {
            let mut source = lock(source);
            if source.is_over {
                lost.2 = true;
                return;
            }
            lost.0 = source.count;
            let claimed = (source.next)();
            source.count += 1;
            source.is_over = !matches!(claimed, Ok(Some(_)));
            claimed
        };
        let result = match claimed {
            Ok(Some(job)) => work(job, &mut segment).map(|done| (done, segment)),
            Ok(None) => {
                lost.2 = true;
                return;
            }
            Err(error) => Err(error),
        };
        lost.2 = true;
        if finished.send((lost.0, Some(result))).is_err() {
            return;
        }
    }
}

fn collect<D, E>(
    results: &Receiver<Message<D, E>>,
    free: &Sender<Segment>,
    commit: &mut impl FnMut(D, &mut Segment) -> Result<(), E>,
) -> Result<(), E> {
    let (mut early, mut turn) = (BTreeMap::new(), 0);
    while let Ok((index, result)) = results.recv() {
        // A worker panicked: leave, so that the scope can end and say so.
        let Some(result) = result else { return Ok(()) };
        early.insert(index, result);
        while let Some(result) = early.remove(&turn) {
            let (done, mut segment) = result?;
            commit(done, &mut segment)?;
            let _ = free.send(segment);
            turn += 1;
        }
    }
    Ok(())
}

/// A panic elsewhere is reported by the scope; what it held is still whole here.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::segment::MAX_STRIDE;
    use super::*;
    use std::time::Duration;

    fn count_to(end: u64) -> impl FnMut() -> Result<Option<u64>, u64> + Send {
        let mut at = 0;
        move || {
            at += 1;
            Ok((at <= end).then_some(at - 1))
        }
    }

    fn dawdle(job: u64) {
        thread::sleep(Duration::from_micros(job * 7919 % 500));
    }

    #[test]
    fn results_come_in_order() {
        for workers in [1, 2, 5, 16] {
            let mut seen = Vec::new();
            let work = |job, _: &mut Segment| {
                dawdle(job);
                Ok(job)
            };
            let commit = |job, _: &mut Segment| {
                seen.push(job);
                Ok(())
            };
            assert_eq!(run(Team::of(workers), count_to(100), work, commit), Ok(()));
            assert_eq!(seen, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_in_order_ends_it() {
        for workers in [1, 2, 5] {
            let mut seen = Vec::new();
            let work = |job, _: &mut Segment| {
                dawdle(1000 - job);
                if job >= 40 && job % 2 == 0 { Err(job) } else { Ok(job) }
            };
            let commit = |job, _: &mut Segment| {
                seen.push(job);
                Ok(())
            };
            assert_eq!(run(Team::of(workers), count_to(100), work, commit), Err(40));
            assert_eq!(seen, (0..40).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_fed_comes_in_order_with_its_segment() {
        for workers in [1, 2, 5] {
            for end in [100, 41] {
                let (mut next, mut seen) = (count_to(end), Vec::new());
                let feed = |segment: &mut Segment| {
                    let job = next()?;
                    segment.place(0, 1);
                    segment[0] = job.unwrap_or(0) as u8;
                    if job == Some(60) { Err(60) } else { Ok(job) }
                };
                let work = |job, segment: &mut Segment| {
                    dawdle(1000 - job);
                    if job >= 40 && end == 41 { Err(job) } else { Ok((job, segment[0])) }
                };
                let commit = |(job, byte): (u64, u8), segment: &mut Segment| {
                    assert_eq!((byte, segment[0]), (job as u8, job as u8));
                    seen.push(job);
                    Ok(())
                };
                let error = if end == 41 { 40 } else { 60 };
                assert_eq!(run_fed(Team::of(workers), feed, work, commit), Err(error));
                assert_eq!(seen, (0..error).collect::<Vec<_>>());
            }
        }
        let mut commits = 0;
        let mut next = count_to(9);
        let commit = |_, _: &mut Segment| {
            commits += 1;
            Ok(())
        };
        assert_eq!(run_fed(Team::of(3), |_| next(), |job, _| Ok(job), commit), Ok(()));
        assert_eq!(commits, 9);
    }

    #[test]
    #[should_panic]
    fn a_worker_that_panics_while_it_is_fed_is_heard_of() {
        let work = |job, _: &mut Segment| {
            assert_ne!(job, 20);
            Ok(job)
        };
        let mut next = count_to(1_000);
        let _ = run_fed(Team::of(3), |_| next(), work, |_, _| Ok(()));
    }

    #[test]
    fn an_error_of_the_source_or_the_account_ends_it() {
        let mut next = count_to(100);
        let source = move || -> Result<Option<u64>, u64> {
            match next()? {
                Some(30) => Err(7),
                other => Ok(other),
            }
        };
        let mut commits = 0;
        let commit = |_, _: &mut Segment| {
            commits += 1;
            Ok(())
        };
        assert_eq!(run(Team::of(3), source, |job, _| Ok(job), commit), Err(7));
        assert_eq!(commits, 30);
        let refuse = |job, _: &mut Segment| if job == 9 { Err(8) } else { Ok(()) };
        assert_eq!(run(Team::of(3), count_to(100), |job, _| Ok(job), refuse), Err(8));
    }

    #[test]
    #[should_panic]
    fn a_worker_that_panics_is_heard_of() {
        let work = |job, _: &mut Segment| {
            assert_ne!(job, 20);
            Ok(job)
        };
        let _ = run(Team::of(3), count_to(1_000), work, |_, _| Ok(()));
    }

    #[test]
    fn memory_does_not_grow_with_the_workers() {
        for workers in 1..=MAX_WORKERS + 1 {
            let team = Team::of(workers);
            assert!((1..=MAX_CHUNKS).contains(&team.chunks()));
            assert!(
                team.segments() * (team.chunks() * MAX_STRIDE + 8192) <= MAX_MEMORY + (3 << 20),
                "{workers}"
            );
        }
    }
}
