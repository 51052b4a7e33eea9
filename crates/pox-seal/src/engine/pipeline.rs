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

/// Runs every job that `feed` gives through `work`, on all workers, and hands the results to `commit` in the order of the jobs.
///
/// `feed` and `commit` are called on the calling thread, while the workers work; `feed` may fill the segment that its job will be
/// worked on in. The first error in the order of the jobs ends everything; later jobs may have been worked on by then, and none
/// of them is committed.
pub(crate) fn run<J, D, E>(
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
                Some(None) => return Ok(()),
                Some(Some((index, result))) => {
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
        let mut lost = Lost { finished: &finished, is_lost: true };
        let result = work(job, &mut segment).map(|done| (done, segment));
        lost.is_lost = false;
        if finished.send(Some((index, result))).is_err() {
            return;
        }
    }
}

/// A job's number and result; none if the worker panicked at it, which arrives by itself when the scope ends.
type Message<D, E> = Option<(u64, Result<(D, Segment), E>)>;

/// Tells that a job is lost, when the worker leaves it by a panic.
struct Lost<'a, D, E> {
    finished: &'a Sender<Message<D, E>>,
    is_lost: bool,
}

impl<D, E> Drop for Lost<'_, D, E> {
    fn drop(&mut self) {
        if self.is_lost {
            let _ = self.finished.send(None);
        }
    }
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

    fn count_to(end: u64) -> impl FnMut(&mut Segment) -> Result<Option<u64>, u64> {
        let mut at = 0;
        move |_| {
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
                    let job = next(segment)?;
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
                assert_eq!(run(Team::of(workers), feed, work, commit), Err(error));
                assert_eq!(seen, (0..error).collect::<Vec<_>>());
            }
        }
        let mut commits = 0;
        let commit = |_, _: &mut Segment| {
            commits += 1;
            Ok(())
        };
        assert_eq!(run(Team::of(3), count_to(9), |job, _| Ok(job), commit), Ok(()));
        assert_eq!(commits, 9);
    }

    #[test]
    fn an_error_of_the_source_or_the_account_ends_it() {
        let mut next = count_to(100);
        let source = move |segment: &mut Segment| -> Result<Option<u64>, u64> {
            match next(segment)? {
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
