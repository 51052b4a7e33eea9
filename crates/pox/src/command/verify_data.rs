//! `pox verify-data`: whether a sealed dataset is what its commitment says, as anybody can check it.

use super::open::commitment;
use crate::cli::VerifyData;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::progress::ByteProgress;
use crate::{locate, sealed};
use pox_core::DatasetCommitment;
use pox_seal::dataset::{Checked, CheckedObject, Comparison, check};
use pox_store::Location;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

#[derive(Serialize)]
struct Shown {
    /// Whether everything is as it has to be.
    holds: bool,
    /// What `B3SUMS` comes to.
    commitment: DatasetCommitment,
    /// What it must come to, if that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<DatasetCommitment>,
    /// Whether the files are those of a dataset.
    is_dataset: bool,
    objects: Vec<Object>,
}

#[derive(Serialize)]
struct Object {
    name: String,
    bytes: u64,
    /// What `B3SUMS` says.
    blake3: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Same,
    Differs,
    Sha256Differs,
    Missing,
}

pub(crate) fn run(context: &Context, args: &VerifyData) -> Result<ExitCode, Failure> {
    let expected = args.commitment.as_deref().map(commitment).transpose()?;
    let location: Location =
        locate::folder(&args.dataset, Path::new("."))?.parse().map_err(Failure::usage)?;
    let mut source = sealed::Source::open(context, &location)?;
    let total = source.sizes().unwrap_or(0);
    let progress = ByteProgress::start(&context.output, "checking", total);
    let checked = check(&mut source, &mut |bytes| progress.at(bytes));
    drop(progress);
    let checked = checked
        .map_err(|error| Failure::from(error).about(&location))
        .hint("is that a sealed dataset? it has a file B3SUMS")?;
    let shown = Shown::new(checked, expected);
    context.output.result(&shown, || shown.text())?;
    if expected.is_none() {
        context.output.say(
            "the commitment was compared with nothing: name the one that it must have with --commitment",
        );
    }
    Ok(if shown.holds { ExitCode::SUCCESS } else { ExitCode::from(FALLS_SHORT) })
}

impl Shown {
    fn new(checked: Checked, expected: Option<DatasetCommitment>) -> Self {
        let commitment = sealed::to_core(checked.commitment);
        let same = checked.objects.iter().all(|object| object.comparison == Comparison::Same);
        let holds = same && checked.is_dataset && expected.is_none_or(|expected| expected == commitment);
        let objects = checked.objects.iter().map(Object::new).collect();
        Self { holds, commitment, expected, is_dataset: checked.is_dataset, objects }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Object { name, bytes, status, .. } in &self.objects {
            let line = match status {
                Status::Same => format!("{name}: {bytes} bytes, as B3SUMS says"),
                Status::Differs => format!("{name}: NOT what B3SUMS says"),
                Status::Sha256Differs => format!("{name}: as B3SUMS says, but NOT what SHA256SUMS says"),
                Status::Missing => format!("{name}: MISSING"),
            };
            text.push_str(&line);
            text.push('\n');
        }
        if !self.is_dataset {
            text.push_str("B3SUMS: NOT the files of a sealed dataset\n");
        }
        match self.expected {
            Some(expected) if expected != self.commitment => {
                text.push_str(&format!("commitment {} is NOT {expected}\n", self.commitment));
            }
            _ => text.push_str(&format!("commitment {}\n", self.commitment)),
        }
        text
    }
}

impl Object {
    fn new(object: &CheckedObject) -> Self {
        let (status, found) = match object.comparison {
            Comparison::Same => (Status::Same, None),
            Comparison::Blake3Differs(found) => (Status::Differs, Some(found.to_string())),
            Comparison::Sha256Differs(found) => (Status::Sha256Differs, Some(hex::encode(found))),
            Comparison::Missing => (Status::Missing, None),
        };
        let (name, blake3) = (object.name.as_str().to_owned(), object.expected.to_string());
        Self { name, bytes: object.len, blake3, status, found }
    }
}

/// The exit code for what was checked and is not as it has to be.
const FALLS_SHORT: u8 = 1;
