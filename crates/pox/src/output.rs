//! Where output goes: data to standard output, talk to standard error.

use crate::cli::Global;
use crate::error::Failure;
use crate::page::plain;
use std::io::{self, IsTerminal, Write};

/// How this run prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    quiet: bool,
    indent: &'static str,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet, indent: "" }
    }

    /// The command's result: a JSON document, or its text for people.
    pub(crate) fn result<T: serde::Serialize>(
        &self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let document = if self.json {
            serde_json::to_string_pretty(value).map_err(Failure::machine)?
        } else {
            text().trim_end().to_owned()
        };
        write_out(&document)
    }

    /// The same, with its talk set in.
    pub(crate) fn indented(self) -> Self {
        Self { indent: "   ", ..self }
    }

    /// A few words about what is happening. What others wrote can be among them.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            let lines = text.as_ref().split('\n').map(plain);
            lines.for_each(|line| remark(format!("{}{line}", self.indent).trim_end()));
        }
    }

    /// Whether a person watches, so that a line may be redrawn.
    pub(crate) fn is_watched(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// The failure, and what to do about it.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.json {
            let document = serde_json::json!({ "failure": failure });
            let _ = write_out(&document.to_string());
        }
        self.complain(failure);
    }

    /// The failure of a part, and what to do about it, beside the result.
    pub(crate) fn complain(&self, failure: &Failure) {
        remark(&format!("error: {}", plain_lines(&failure.error)));
        if let Some(hint) = &failure.hint {
            remark(&format!("hint: {}", plain_lines(hint)));
        }
    }
}

/// Writes a line to standard error. Nobody may be left to read it, which must not end what goes on.
fn remark(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// Writes a text and a line end to standard output.
pub(crate) fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // Whoever reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::machine(format!("cannot write the result: {error}"))),
    }
}
