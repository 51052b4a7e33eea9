//! What this machine can be as a processor: which TEEs are present, which are missing and why, and what the sandbox needs.
//!
//! Everything is read from files under a root folder, so that tests play machines; what a program says of itself is an argument
//! ([`Emulator`]). What is found here shows that a launch can work, never that it does: only evidence shows that.

mod machine;
mod sandbox;
mod tees;

use machine::Machine;
use pox_core::evidence::EvidenceKind;
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What was found out about a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Its kernel's release, such as `6.16.3-amd64`.
    pub kernel: String,
    /// The kind of TEE that it is itself inside of, if it is.
    pub inside: Option<EvidenceKind>,
    /// Every kind, the strongest first.
    pub tees: Vec<Tee>,
    /// What tasks are kept in.
    pub sandbox: Vec<Check>,
}

/// One kind of TEE on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tee {
    /// Which.
    pub kind: EvidenceKind,
    /// Whether it is there.
    pub presence: Presence,
    /// Whether `pox node` starts enclaves of this kind.
    pub is_served: bool,
    /// What it needs, in the order in which to see to it.
    pub checks: Vec<Check>,
}

/// Whether a TEE is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Nothing that it needs was found missing.
    Present,
    /// The hardware has it, and something else is missing.
    Incomplete,
    /// The hardware does not have it, or does not show it.
    Absent,
}

/// One thing that is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// Whether it is there.
    pub finding: Finding,
    /// What was seen, in a few plain words.
    pub seen: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<&'static str>,
}

/// Whether a thing is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It is.
    Good,
    /// It is not.
    Missing,
    /// Files don't tell; it is not counted as missing.
    Unknown,
}

/// What QEMU says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulator {
    /// The program.
    pub program: PathBuf,
    /// The first line of `--version`.
    pub version: String,
    /// What `-object help` lists.
    pub objects: String,
}

impl Emulator {
    /// Asks the emulator in `PATH`; `None` if there is none, or it does not answer.
    pub fn find() -> Option<Self> {
        Self::ask(&crate::vm::emulator().ok()?).ok()
    }

    /// Asks an emulator.
    ///
    /// # Errors
    /// It can't be started.
    pub fn ask(program: &Path) -> io::Result<Self> {
        let said = |arguments: &[&str]| {
            let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
            io::Result::Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let version = said(&["--version"])?.lines().next().unwrap_or_default().to_owned();
        Ok(Self { program: program.to_owned(), version, objects: said(&["-object", "help"])? })
    }

    fn has_object(&self, name: &str) -> bool {
        self.objects.split_whitespace().any(|word| word == name)
    }
}

/// Looks at the machine whose files are under `root`.
pub fn examine(root: &Path, emulator: Option<&Emulator>) -> Diagnosis {
    let machine = Machine::read(root);
    Diagnosis {
        tees: tees::all(&machine, emulator),
        sandbox: sandbox::checks(&machine),
        inside: machine.inside(),
        kernel: machine.kernel,
    }
}

impl Diagnosis {
    /// What was found of one kind.
    pub fn tee(&self, kind: EvidenceKind) -> Option<&Tee> {
        self.tees.iter().find(|tee| tee.kind == kind)
    }
}

impl Tee {
    /// The first thing that is missing.
    pub fn missing(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.finding == Finding::Missing)
    }
}

impl Check {
    fn good(what: &'static str, seen: impl Into<String>) -> Self {
        Self { what, finding: Finding::Good, seen: seen.into(), next: None }
    }

    fn missing(what: &'static str, seen: impl Into<String>, next: &'static str) -> Self {
        Self { what, finding: Finding::Missing, seen: seen.into(), next: Some(next) }
    }

    fn unknown(what: &'static str, seen: impl Into<String>, next: &'static str) -> Self {
        Self { what, finding: Finding::Unknown, seen: seen.into(), next: Some(next) }
    }
}
