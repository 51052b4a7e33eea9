//! The owner's desk at a terminal: what must be remembered goes to the home, what happens to standard error.

use crate::context::Context;
use crate::output::Output;
use crate::quantity::entries;
use pox_core::TaskId;
use pox_core::receipt::Outcome;
use pox_core::role::owner::Entry;
use pox_node::owner::{Desk, Note};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

/// Most kinds of trouble that are remembered as said.
const MAX_TROUBLES: usize = 64;

/// Keeps entries in the home, and says each thing once.
pub(crate) struct TerminalDesk<'a> {
    context: &'a Context,
    results: Option<PathBuf>,
    /// What was told of passing trouble since something went on: it is said once, not at every try of every task.
    troubles: BTreeSet<String>,
    /// Gas of all transactions that were sent.
    pub(crate) gas: u64,
}

impl<'a> TerminalDesk<'a> {
    /// `results` is a new folder for what comes out, if it is to be opened.
    pub(crate) fn new(context: &'a Context, results: Option<PathBuf>) -> Self {
        Self { context, results, troubles: BTreeSet::new(), gas: 0 }
    }

    /// Says what failed in passing, unless that was said already since something went on.
    pub(crate) fn trouble(&mut self, text: String) {
        if self.troubles.contains(&text) {
            return;
        }
        self.output().say(format!("waiting: {text}"));
        if self.troubles.len() == MAX_TROUBLES {
            self.troubles.clear();
        }
        self.troubles.insert(text);
    }

    fn output(&self) -> &Output {
        &self.context.output
    }
}

impl Desk for TerminalDesk<'_> {
    fn save(&mut self, task: TaskId, entry: &Entry) -> io::Result<()> {
        let home = self.context.home().map_err(|failure| io::Error::other(failure.to_string()))?;
        home.save_entry(task, entry).map_err(|failure| io::Error::other(failure.to_string()))
    }

    fn results_folder(&self, _: TaskId) -> Option<PathBuf> {
        self.results.clone()
    }

    fn note(&mut self, _: TaskId, note: Note) {
        self.troubles.clear();
        let text = match note {
            Note::Sent { call, hash, block, gas } => {
                self.gas += gas;
                format!("{call:<9}{hash} in block {block}, {gas} gas")
            }
            Note::Matched { processor, enclave, transaction } => {
                format!("matched  {transaction}\n         by processor {processor} with enclave {enclave}")
            }
            Note::Accepted { kind, measurement } if kind.is_simulated() => {
                format!(
                    "evidence accepted by the policy: {kind}, measurement {measurement}; NO HARDWARE PROTECTS THIS ENCLAVE"
                )
            }
            Note::Accepted { kind, measurement } => {
                format!("evidence accepted by the policy: {kind}, measurement {measurement}")
            }
            Note::Refused(error) => format!("evidence refused: {error}"),
            Note::Proven { outcome, transaction } => {
                let outcome = Outcome::try_from(outcome)
                    .map_or_else(|error| error.to_string(), |outcome| outcome.to_string());
                format!("proven   {transaction}\n         outcome: {outcome}")
            }
            Note::Fetched { entries: count, bytes } => {
                format!("results  {}, {bytes} bytes, checked and opened", entries(count))
            }
            Note::Trouble(text) => return self.trouble(text),
        };
        self.output().say(text);
    }
}
