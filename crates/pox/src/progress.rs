//! Progress of long work, on a terminal that a person watches.

use crate::output::Output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// How many bytes went by, and how fast; shows nothing where nobody watches, and leaves no line behind.
#[derive(Debug)]
pub(crate) struct ByteProgress(ProgressBar);

impl ByteProgress {
    /// Starts at zero; a total of zero stands for one that isn't known.
    pub(crate) fn start(output: &Output, verb: &'static str, total: u64) -> Self {
        if !output.is_watched() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(
            Some(total).filter(|total| *total > 0),
            ProgressDrawTarget::stderr(),
        );
        let template = if total > 0 { KNOWN } else { UNKNOWN };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_message(verb);
        Self(bar)
    }

    /// So many bytes were done before: the rate and the time left don't count them.
    pub(crate) fn starts_at(&self, bytes: u64) {
        self.0.set_position(bytes);
        self.0.reset_eta();
    }

    /// So many bytes went by so far.
    pub(crate) fn at(&self, bytes: u64) {
        self.0.set_position(bytes);
    }
}

impl Drop for ByteProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How far a chain was read, and how fast; like [`ByteProgress`].
#[derive(Debug)]
pub(crate) struct BlockProgress(ProgressBar);

impl BlockProgress {
    /// Starts at no block.
    pub(crate) fn start(output: &Output, verb: &'static str) -> Self {
        if !output.is_watched() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(BLOCKS).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_prefix(verb);
        Self(bar)
    }

    /// This block of the chain was read, and so many events in so much time.
    pub(crate) fn at(&self, block: u64, head: u64, events: u64, took: Duration) {
        self.0.set_length(head);
        self.0.set_position(block);
        let rate = events as f64 / took.as_secs_f64().max(0.001);
        self.0.set_message(format!("{events} events, {rate:.0} a second"));
    }
}

impl Drop for BlockProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

const BLOCKS: &str = "{prefix} block {pos} of {len}, {msg}, {eta} left";
const KNOWN: &str = "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
const UNKNOWN: &str = "{msg} {spinner} {bytes}, {bytes_per_sec}";
