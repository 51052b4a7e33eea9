//! A batch: the same program again and again, each time with what its run has of its own (spec §6.3).

use super::outside::Outside;
use super::stop::Stop;
use super::work::{Prepared, Work, end, micros, recipients, seal, step};
use crate::sandbox::{Ended, Task};
use pox_core::channel::{ChannelError, Stage};
use pox_core::members::{MEMBERS_NAME, member_location};
use pox_core::receipt::{Doing, Outcome};
use pox_core::role::enclave::{End, Failure};
use pox_core::secret::{Secret, Terms};
use pox_core::{MemberReceipt, MemberReceipts, ResultsCommitment, Run, Runs};
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// A batch that came to its end.
pub(crate) struct Closed {
    /// What came of every run.
    pub(crate) members: MemberReceipts,
    /// Where the list of that went, or why it went nowhere.
    pub(crate) list: Result<ResultsCommitment, Failure>,
    /// Why the batch ended before its last run; safe to publish.
    pub(crate) reason: String,
    /// The channel is gone: there is nobody to give a receipt to.
    pub(crate) broken: Option<ChannelError>,
}

impl Work<'_> {
    /// Runs every member that time and machine let run, and makes the list of what came of all.
    pub(crate) fn run_batch<R: Read, W: Write>(
        &mut self,
        runs: &Runs,
        secret: &Secret,
        terms: &Terms,
        outside: &mut Outside<R, W>,
    ) -> Closed {
        let mut members = Vec::with_capacity(runs.count.into());
        let stop = self.try_batch(runs, secret, terms, outside, &mut members).err();
        let (outcome, mut reason, broken) = match stop {
            None => (Outcome::TimeLimit, String::new(), None),
            Some(stop) => (stop.end.outcome(), stop.reason, stop.broken),
        };
        let left_over = runs.iter().skip(members.len());
        if reason.is_empty() && members.len() < usize::from(runs.count) {
            reason = format!("the time was over before run {} began", members.len() + 1);
        }
        members.extend(left_over.map(|run| MemberReceipt::not_begun(&run, outcome)));
        let members = MemberReceipts::new(members).expect("one for each run, in their order");
        if broken.is_some() {
            return Closed { members, list: Err(Failure::ResultsUndeliverable), reason, broken };
        }
        match self.deliver_list(&members, secret, outside) {
            Ok(results) => Closed { members, list: Ok(results), reason, broken },
            Err(stop) => {
                let failure = match stop.end {
                    End::Failed(failure) => failure,
                    _ => Failure::RuntimeFailed,
                };
                let reason = if reason.is_empty() { stop.reason } else { reason };
                Closed { members, list: Err(failure), reason, broken: stop.broken }
            }
        }
    }

    /// Adds a receipt for each run that came to an end; what is an error keeps all others from running.
    fn try_batch<R: Read, W: Write>(
        &mut self,
        runs: &Runs,
        secret: &Secret,
        terms: &Terms,
        outside: &mut Outside<R, W>,
        members: &mut Vec<MemberReceipt>,
    ) -> Result<(), Stop> {
        let Prepared { plan, sandbox, task } = self.prepare(secret, terms, outside)?;
        let (first, limit) = (Instant::now(), task.limits.wall);
        for run in runs.iter() {
            let at = first.elapsed();
            let Some(left) = limit.checked_sub(at).filter(|left| !left.is_zero()) else { break };
            let task = of_run(&task, &plan.args, &run, runs.count, left);
            let ended = sandbox.run(&task).map_err(|error| Stop::sandbox(&error))?;
            self.account(&ended);
            let place = member_location(&secret.results, run.number);
            let delivered = self.deliver(&ended, &plan.recipients, &place, outside);
            self.usage.wall_micros = micros(first.elapsed());
            let (end, reason, stop) = match delivered {
                Ok(results) => (end(ended.end, results), String::new(), None),
                Err(stop) => (stop.end.clone(), stop.reason.clone(), Some(stop)),
            };
            members.push(receipt(&run, at, &ended, &end, reason));
            if let Some(stop) = stop.filter(|stop| stop.end.outcome().doing() != Doing::Task) {
                return Err(stop);
            }
        }
        Ok(())
    }

    fn deliver_list<R: Read, W: Write>(
        &mut self,
        members: &MemberReceipts,
        secret: &Secret,
        outside: &mut Outside<R, W>,
    ) -> Result<ResultsCommitment, Stop> {
        step(outside, Stage::Results)?;
        let recipients = recipients(secret)?;
        let staging = self.workspace.fresh_staging();
        let list = staging.map(|staging| staging.join(MEMBERS_NAME));
        let list = list.and_then(|list| fs::write(&list, members.to_bytes()).map(|()| list));
        let list = list.map_err(|error| Stop::runtime("the list of members", &error))?;
        seal(&list, &recipients, &secret.results, outside)
    }
}

fn receipt(run: &Run, at: Duration, ended: &Ended, end: &End, reason: String) -> MemberReceipt {
    MemberReceipt {
        exit_code: end.exit_code(),
        results: end.results(),
        begun_micros: micros(at),
        wall_micros: micros(ended.usage.wall),
        cpu_micros: micros(ended.usage.cpu_total),
        memory_peak: ended.usage.memory_peak_bytes,
        reason,
        ..MemberReceipt::not_begun(run, end.outcome())
    }
}

/// The batch's task with what one run has of its own.
fn of_run(batch: &Task, terms: &[String], run: &Run, count: u16, left: Duration) -> Task {
    let mut task = batch.clone();
    let own = run.arguments(terms).into_iter().map(OsString::from);
    if terms.is_empty() {
        // The image's own stay in front.
        task.args.extend(own);
    } else {
        task.args = own.collect();
    }
    task.env.retain(|(name, _)| name != RUN && name != RUNS);
    task.env.extend([(RUN.into(), run.number.to_string().into()), (RUNS.into(), count.to_string().into())]);
    task.limits.wall = left;
    task
}

/// The run's number, in the program's environment.
const RUN: &str = "POX_RUN";
/// How many runs there are.
const RUNS: &str = "POX_RUNS";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{InsidePath, Limits, Network};
    use pox_core::B256;

    fn batch(args: &[&str], env: &[(&str, &str)]) -> Task {
        Task {
            root: "/image".into(),
            args: args.iter().map(OsString::from).collect(),
            env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            cwd: InsidePath::new("/").unwrap(),
            inputs: Vec::new(),
            output: InsidePath::new("/out").unwrap(),
            limits: Limits {
                memory_bytes: 1 << 20,
                cpu_millis: 1000,
                pids: 1,
                disk_bytes: 1 << 20,
                wall: Duration::from_secs(60),
                stdout_bytes: 0,
                stderr_bytes: 0,
            },
            network: Network::None,
        }
    }

    #[test]
    fn a_run_is_the_batch_with_its_own_number_arguments_and_time() {
        let run = Run { number: 7, salt: B256::ZERO, args: vec!["--seed".into(), "1".into()] };
        let terms = ["/task".to_owned(), "--out=/out/{run}.csv".to_owned()];
        let env = [("A", "b"), ("POX_RUN", "a lie"), ("POX_RUNS", "another")];
        let left = Duration::from_secs(3);
        let task = of_run(&batch(&["/task", "--out=/out/{run}.csv"], &env), &terms, &run, 1000, left);
        assert_eq!(task.args, ["/task", "--out=/out/7.csv", "--seed", "1"].map(OsString::from));
        let expected = [("A", "b"), ("POX_RUN", "7"), ("POX_RUNS", "1000")];
        assert_eq!(task.env, expected.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(task.limits.wall, left);
        // The image's own arguments are nobody's text to replace in.
        let task = of_run(&batch(&["/entry", "{run}"], &[]), &[], &run, 1000, left);
        assert_eq!(task.args, ["/entry", "{run}", "--seed", "1"].map(OsString::from));
    }
}
