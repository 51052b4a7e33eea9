//! `pox verify-disclosure`: whether disclosed files belong to a dataset, or to a proven task.

use super::open::commitment;
use super::verify::{self, Ask};
use crate::cli::VerifyDisclosure;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::locate;
use pox_core::{DatasetCommitment, TaskId};
use pox_verify::disclosure::{ContentHasher, Disclosure, MAX_BYTES, Role, Shown, ShownFile};
use pox_verify::{Grade, Verdict};
use serde::Serialize;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

#[derive(Serialize)]
struct Answer {
    /// Whether everything that was asked holds.
    holds: bool,
    #[serde(flatten)]
    shown: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Task>,
    /// Whether the content that was given is that of the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<bool>,
    /// Why it doesn't hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

/// The task that a proof shows, and what the dataset was to it.
#[derive(Serialize)]
struct Task {
    id: TaskId,
    grade: Grade,
    role: Option<Role>,
}

pub(crate) fn run(context: &Context, args: &VerifyDisclosure) -> Result<ExitCode, Failure> {
    context.trust(&args.trust)?;
    let expected = args.commitment.as_deref().map(commitment).transpose()?;
    let file = locate::read_bounded(&args.disclosure, MAX_BYTES)?;
    let proof = args.proof.as_deref().map(verify::read).transpose()?;
    let mut answer = Answer { holds: false, shown: None, task: None, content: None, reasons: Vec::new() };
    match Disclosure::parse(&file).and_then(|disclosure| disclosure.verify()) {
        Err(error) => answer.reasons.push(error.to_string()),
        Ok(shown) => {
            answer.compare(&shown, expected);
            if let Some(proof) = proof {
                let verdict = verify::judge(context, &proof, args.require.into(), Ask::Nobody)?;
                answer.find(&shown, &verdict);
            }
            if let Some(place) = &args.content {
                answer.read(&shown, place)?;
            }
            answer.shown = Some(shown);
        }
    }
    answer.holds = answer.reasons.is_empty();
    context.output.result(&answer, || answer.text())?;
    Ok(if answer.holds { ExitCode::SUCCESS } else { ExitCode::from(FALLS_SHORT) })
}

impl Answer {
    fn compare(&mut self, shown: &Shown, expected: Option<DatasetCommitment>) {
        if expected.is_some_and(|expected| expected != shown.commitment) {
            self.reasons.push(format!("it is of another dataset: {}", shown.commitment));
        }
    }

    /// Looks for the dataset in a proof.
    fn find(&mut self, shown: &Shown, verdict: &Verdict) {
        if !verdict.meets {
            self.reasons.push(format!("the proof's grade is {}: see `pox verify`", verdict.grade));
        }
        let Some(facts) = &verdict.facts else { return };
        let role = shown.role(facts);
        if role.is_none() {
            self.reasons.push("the dataset is neither the result nor an input of the proven task".to_owned());
        }
        self.task = Some(Task { id: facts.task, grade: verdict.grade, role });
    }

    fn read(&mut self, shown: &Shown, place: &Path) -> Result<(), Failure> {
        let mut same = true;
        for file in &shown.files {
            let path = match &shown.files[..] {
                [_] if !place.is_dir() => place.to_owned(),
                _ => place.join(Path::new(std::ffi::OsStr::from_bytes(&file.path))),
            };
            if let Some(reason) = compare_content(&path, file)? {
                self.reasons.push(format!("{}: {reason}", file.shown_path()));
                same = false;
            }
        }
        self.content = Some(same);
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = String::from(if self.holds { "holds\n" } else { "DOES NOT HOLD\n" });
        self.reasons.iter().for_each(|reason| text.push_str(&format!("reason      {reason}\n")));
        if let Some(shown) = &self.shown {
            text.push_str(&format!("of dataset  {}\n", shown.commitment));
            for file in &shown.files {
                let line = format!(
                    "file        {}, {} bytes, BLAKE3 {}\n",
                    file.shown_path(),
                    file.size,
                    file.blake3
                );
                text.push_str(&line);
            }
        }
        if let Some(Task { id, grade, role }) = &self.task {
            let role = match role {
                Some(Role::Result) => "the result".to_owned(),
                Some(Role::Input(number)) => format!("input {number}"),
                None => "NO PART".to_owned(),
            };
            text.push_str(&format!("which is    {role} of task {id}, proven with grade {grade}\n"));
        }
        match self.content {
            Some(true) => text.push_str("content     as disclosed\n"),
            Some(false) => text.push_str("content     NOT as disclosed\n"),
            None => {}
        }
        text
    }
}

/// Why a file's content isn't the disclosed one, if it isn't.
fn compare_content(path: &Path, shown: &ShownFile) -> Result<Option<String>, Failure> {
    let cannot = |error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let mut file = File::open(path)
        .map_err(cannot)
        .hint("--content names the file, or for several a folder in which each has its path")?;
    let (mut hasher, mut buffer) = (ContentHasher::default(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).map_err(cannot)? {
            0 => return Ok(hasher.compare(shown).err().map(|error| error.to_string())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// The exit code for what was verified and falls short.
const FALLS_SHORT: u8 = 1;
