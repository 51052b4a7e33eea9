//! The owner's task file, `task.yaml`.

use crate::error::{Failure, Hint as _};
use crate::quantity::{Bytes, Seconds};
use pox_core::evidence::EvidenceKind;
use pox_core::tree::list_root;
use pox_core::{Address, Amount, DatasetCommitment, Kinds, Processors, Resources};
use pox_node::owner::PlannedRuns;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Largest task file: a page of text, not a program.
const MAX_FILE_BYTES: usize = 64 * 1024;

/// What the owner wants run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskFile {
    /// Where the image is.
    pub(crate) image: String,
    /// Program and arguments, instead of the image's own.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// The runs of a batch.
    #[serde(default)]
    pub(crate) runs: Option<RunsSection>,
    /// Environment, added to the image's own.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Folder name under `/in`, and where that sealed dataset is, or whose.
    #[serde(default)]
    pub(crate) inputs: BTreeMap<String, Input>,
    /// Where the sealed results go: a folder or URL that the processor can write to.
    pub(crate) results: String,
    /// What the task may use.
    #[serde(default)]
    pub(crate) resources: ResourcesSection,
    /// What it costs; the cheapest fitting offer's price if left out.
    #[serde(default)]
    pub(crate) price: Option<Amount>,
    /// Who owns the task, if not this home's account: a contract, or a key kept elsewhere. This home's account is then its delegate.
    #[serde(default)]
    pub(crate) owner: Option<Address>,
    /// Whose key approves in the owner's stead.
    #[serde(default)]
    pub(crate) delegate: Option<Address>,
    /// The only processor that may run it.
    #[serde(default)]
    pub(crate) processor: Option<Address>,
    /// The processors that may run it.
    #[serde(default)]
    pub(crate) processors: BTreeSet<Address>,
    /// Accepted kinds of TEE; hardware kinds if left out.
    #[serde(default)]
    pub(crate) kinds: Vec<EvidenceKind>,
    /// Evidence policy file, instead of the default for these kinds.
    #[serde(default)]
    pub(crate) policy: Option<PathBuf>,
    /// Deadlines.
    #[serde(default)]
    pub(crate) deadlines: DeadlinesSection,
    /// Protections of the sandbox that the task does without, if the processor's machine lacks them.
    #[serde(default)]
    pub(crate) accept_missing: Vec<String>,
    /// Further age recipients of the results.
    #[serde(default)]
    pub(crate) recipients: Vec<String>,
    /// Catalogue metadata; only a salted commitment is published.
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
}

/// The runs of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunsSection {
    /// So many.
    Count(u64),
    /// One for each list of arguments.
    Lists(Vec<Vec<String>>),
    /// One for each line of this file.
    File(PathBuf),
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(untagged)]
pub(crate) enum Input {
    /// The owner's own, in this place.
    Own(String),
    /// Somebody else's, who has to release it.
    Theirs(Theirs),
}

/// An input of a co-owner, who alone knows where it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Theirs {
    /// Whose it is.
    pub(crate) owner: Address,
    /// Which sealed dataset it is.
    pub(crate) commitment: DatasetCommitment,
}

/// What a task may use.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ResourcesSection {
    /// Cores, with up to three decimals.
    cpus: Cpus,
    memory: Bytes,
    disk: Bytes,
    time: Seconds,
}

/// Deadlines, from one step to the next.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DeadlinesSection {
    /// From the request to the match.
    pub(crate) r#match: Seconds,
    /// From the match to the approval.
    pub(crate) approve: Seconds,
    /// From the approval to the receipt, on top of the time limit.
    pub(crate) prove: Seconds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cpus(u32);

/// Largest file of runs: far more than a secret has room for.
const MAX_RUNS_FILE_BYTES: usize = 1024 * 1024;

impl Default for ResourcesSection {
    fn default() -> Self {
        Self { cpus: Cpus(1000), memory: Bytes::mib(512), disk: Bytes::mib(256), time: Seconds(600) }
    }
}

impl Default for DeadlinesSection {
    fn default() -> Self {
        Self { r#match: Seconds(24 * 3600), approve: Seconds(24 * 3600), prove: Seconds(3600) }
    }
}

impl<'de> serde::Deserialize<'de> for Cpus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let cores = <f64 as serde::Deserialize>::deserialize(deserializer)?;
        cpu_millis(cores)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("expected cores between 0.01 and 65536"))
    }
}

impl<'de> serde::Deserialize<'de> for RunsSection {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RunsVisitor)
    }
}

struct RunsVisitor;

impl<'de> serde::de::Visitor<'de> for RunsVisitor {
    type Value = RunsSection;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number of runs, a list of argument lists, or a file with one run on each line")
    }

    fn visit_u64<E>(self, count: u64) -> Result<RunsSection, E> {
        Ok(RunsSection::Count(count))
    }

    fn visit_i64<E: serde::de::Error>(self, count: i64) -> Result<RunsSection, E> {
        u64::try_from(count).map(RunsSection::Count).map_err(|_| E::custom("a batch has 1 run or more"))
    }

    fn visit_str<E>(self, path: &str) -> Result<RunsSection, E> {
        Ok(RunsSection::File(path.into()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut lists: A) -> Result<RunsSection, A::Error> {
        let mut all = Vec::new();
        while let Some(list) = lists.next_element()? {
            all.push(list);
        }
        Ok(RunsSection::Lists(all))
    }
}

/// Thousandths of a core, if there are that many.
pub(crate) fn cpu_millis(cores: f64) -> Option<u32> {
    (0.01..=65_536.0).contains(&cores).then(|| (cores * 1000.0).round() as u32)
}

impl TaskFile {
    /// Reads a task file; relative folders in it are relative to the file.
    ///
    /// # Errors
    /// It can't be read, or is not what the documentation says.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let bytes = crate::locate::read_bounded(path, MAX_FILE_BYTES)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Failure::usage(format!("{shown} is not a text file")))
            .hint("docs/task.md describes every key")?;
        let mut file: Self = serde_saphyr::from_str(text)
            .map_err(|error| Failure::usage(format!("{shown} is not a task file: {error}")))
            .hint("docs/task.md describes every key")?;
        let base = path.parent().unwrap_or(Path::new("."));
        file.image = crate::locate::image(&file.image, base)?;
        file.results = crate::locate::folder(&file.results, base)?;
        for input in file.inputs.values_mut() {
            if let Input::Own(location) = input {
                *location = crate::locate::folder(location, base)?;
            }
        }
        if file.processor.is_some() && !file.processors.is_empty() {
            return Err(Failure::usage(format!("{shown} has both `processor` and `processors`")))
                .hint("a list may have one processor");
        }
        file.policy = file.policy.map(|policy| base.join(policy));
        if let Some(RunsSection::File(path)) = &mut file.runs {
            *path = base.join(&path);
        }
        Ok(file)
    }

    /// The runs, if the task is a batch.
    pub(crate) fn runs(&self) -> Result<Option<PlannedRuns>, Failure> {
        let planned = match &self.runs {
            None => return Ok(None),
            Some(RunsSection::Count(count)) => PlannedRuns::Count(u16::try_from(*count).unwrap_or(0)),
            Some(RunsSection::Lists(lists)) => PlannedRuns::Lists(lists.clone()),
            Some(RunsSection::File(path)) => PlannedRuns::Lists(runs_of(path)?),
        };
        let count = match &planned {
            PlannedRuns::Count(count) => usize::from(*count),
            PlannedRuns::Lists(lists) => lists.len(),
        };
        if (1..=usize::from(u16::MAX)).contains(&count) {
            return Ok(Some(planned));
        }
        Err(Failure::usage(format!("a batch has 1 to {} runs", u16::MAX)))
            .hint("split them into several batches")
    }

    /// Owner and delegate, as this home's account sees them: whoever it is for, it owns the task or approves for its owner.
    pub(crate) fn owner(&self, own: Address) -> Result<(Address, Option<Address>), Failure> {
        let owner = self.owner.unwrap_or(own);
        let delegate = self.delegate.or((owner != own).then_some(own));
        if owner != own && delegate != Some(own) {
            return Err(Failure::usage(format!(
                "this home's account {own} is neither the owner nor its delegate"
            )))
            .hint("prepare the request in the home of one of them: it keeps what approving takes");
        }
        if delegate == Some(owner) {
            return Err(Failure::usage(format!("{owner} can't be its own delegate")))
                .hint("leave `delegate` out: an owner with a key approves by itself");
        }
        Ok((owner, delegate))
    }

    /// The accepted kinds.
    pub(crate) fn kinds(&self) -> Kinds {
        if self.kinds.is_empty() {
            EvidenceKind::ALL.into_iter().filter(|kind| !kind.is_simulated()).collect()
        } else {
            self.kinds.iter().copied().collect()
        }
    }

    /// Who may run the task.
    pub(crate) fn processors(&self) -> Processors {
        match (self.processor, list_root(&self.processors)) {
            (Some(only), _) => Processors::Only(only),
            (None, Some(root)) => Processors::Listed(root),
            (None, None) => Processors::Any,
        }
    }

    /// What the task may use, in the record's units.
    pub(crate) fn resources(&self) -> Result<Resources, Failure> {
        let section = &self.resources;
        Ok(Resources {
            cpu_millis: section.cpus.0,
            memory_mib: section.memory.to_mib()?,
            disk_mib: section.disk.to_mib()?,
            time_limit: section.time.to_u32()?,
        })
    }
}

/// One list of arguments for each line: words between white space. Empty lines and those that begin with `#` are for people.
fn runs_of(path: &Path) -> Result<Vec<Vec<String>>, Failure> {
    let bytes = crate::locate::read_bounded(path, MAX_RUNS_FILE_BYTES)?;
    let shown = path.display();
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Failure::usage(format!("{shown} is not a text file")))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TaskFile, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_short_form_has_defaults() {
        let file = parse("image: oci:image\nresults: results\n").unwrap();
        assert_eq!(file.resources().unwrap().time_limit, 600);
        assert!(file.kinds().iter().all(|kind| !kind.is_simulated()));
    }

    #[test]
    fn the_long_form_is_read() {
        let file = parse(
            "image: oci:image\nresults: out\nkinds: [simulated]\nprice: '1000'\nresources: {cpus: 1.5, memory: 2GiB, disk: 64 MiB, time: 90s}\n\
             inputs: {penguins: sealed}\nmetadata: {title: Penguins}\nenv: {A: b}\nargs: [/task, -v]\n",
        )
        .unwrap();
        let resources = file.resources().unwrap();
        assert_eq!(
            (resources.cpu_millis, resources.memory_mib, resources.disk_mib, resources.time_limit),
            (1500, 2048, 64, 90)
        );
        assert_eq!(file.kinds(), EvidenceKind::Simulated.bit());
    }

    #[test]
    fn others_data_and_lists_are_read() {
        let (account, word) = (format!("0x{}", "11".repeat(20)), format!("0x{}", "22".repeat(32)));
        let text = format!(
            "image: oci:image\nresults: out\nprocessors: [\"{account}\"]\n\
             inputs: {{mine: sealed, theirs: {{owner: \"{account}\", commitment: \"{word}\"}}}}\n"
        );
        let file = parse(&text).unwrap();
        let theirs = Theirs { owner: account.parse().unwrap(), commitment: word.parse().unwrap() };
        assert_eq!(file.inputs["theirs"], Input::Theirs(theirs));
        assert_eq!(file.inputs["mine"], Input::Own("sealed".into()));
        assert!(matches!(file.processors(), Processors::Listed(_)));
    }

    #[test]
    fn batches_are_read() {
        let runs = |text: &str| parse(&format!("image: a\nresults: b\nruns: {text}")).map(|file| file.runs);
        assert_eq!(runs("1000"), Ok(Some(RunsSection::Count(1000))));
        assert_eq!(runs("runs.txt"), Ok(Some(RunsSection::File("runs.txt".into()))));
        let lists =
            [&["--seed", "1"][..], &["a b"], &[]].map(|list| list.iter().map(ToString::to_string).collect());
        assert_eq!(runs("[[--seed, 1], [a b], []]"), Ok(Some(RunsSection::Lists(lists.into()))));
        for text in ["-1", "1.5", "[1]", "{a: b}", "true"] {
            assert!(runs(text).is_err(), "{text}");
        }
        for (text, fine) in [("0", false), ("1", true), ("65535", true), ("65536", false), ("[]", false)] {
            let file = parse(&format!("image: a\nresults: b\nruns: {text}")).unwrap();
            assert_eq!(file.runs().is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn a_home_owns_the_task_or_approves_for_its_owner() {
        let [own, other, third] = [1, 2, 3].map(Address::with_last_byte);
        let file = |owner, delegate| TaskFile {
            owner,
            delegate,
            ..parse("image: oci:image\nresults: out\n").unwrap()
        };
        for (owner, delegate, expected) in [
            (None, None, Some((own, None))),
            (None, Some(other), Some((own, Some(other)))),
            (Some(own), None, Some((own, None))),
            (Some(other), None, Some((other, Some(own)))),
            (Some(other), Some(own), Some((other, Some(own)))),
            (Some(other), Some(third), None),
            (None, Some(own), None),
            (Some(other), Some(other), None),
        ] {
            assert_eq!(file(owner, delegate).owner(own).ok(), expected, "{owner:?} {delegate:?}");
        }
    }

    #[test]
    fn a_file_of_runs_has_one_on_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.txt");
        std::fs::write(&path, "# seed and size\n--seed 1  --size 10\n\n\t--seed 2\n").unwrap();
        let lists = runs_of(&path).unwrap();
        assert_eq!(lists, [vec!["--seed", "1", "--size", "10"], vec!["--seed", "2"]]);
    }

    #[test]
    fn mistakes_are_refused() {
        for text in [
            "",
            "image: a",
            "image: a\nresults: b\nimagee: c",
            "image: a\nresults: b\nresources: {memory: lots}",
            "image: a\nresults: b\nkinds: [toaster]",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
