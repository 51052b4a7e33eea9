//! The run itself: image, inputs, task, results (spec §9.3, steps 3 to 6).

use super::outside::Outside;
use super::stop::Stop;
use super::workspace::Workspace;
use crate::image::{self, Digest, RunConfig, Unpacked};
use crate::sandbox::{
    self, Ended, InsidePath, Limits, Network, OutputError, Protection, ReadOnlyInput, Required, Sandbox, Task,
};
use pox_core::channel::Stage;
use pox_core::receipt::RunReport;
use pox_core::role::enclave::{End, Failure, Limit, Usage};
use pox_core::secret::{InputAccess, Keyring, Secret, Terms};
use pox_core::{Party, Request, ResultsCommitment};
use pox_seal::crypt4gh::{ContentKeys, DataKey};
use pox_seal::dataset::{
    self, DatasetCommitment, Invalid, Modes, ObjectKeys, ObjectName, OpenError, SealError, SealedDataset,
};
use pox_seal::{FileKey, OsRandom, Recipient};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// One run, and what is known of it so far.
pub(crate) struct Work<'a> {
    request: &'a Request,
    pub(super) workspace: &'a Workspace,
    keyring: &'a Keyring,
    report: RunReport,
    pub(super) usage: Usage,
}

impl<'a> Work<'a> {
    pub(crate) fn new(request: &'a Request, workspace: &'a Workspace, keyring: &'a Keyring) -> Self {
        Self { request, workspace, keyring, report: RunReport::default(), usage: Usage::default() }
    }

    pub(crate) fn report(&self, reason: &str) -> RunReport {
        RunReport { reason: reason.to_owned(), ..self.report.clone() }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Runs the task to whatever end it comes to.
    pub(crate) fn run<R: Read, W: Write>(
        &mut self,
        secret: &Secret,
        terms: &Terms,
        outside: &mut Outside<R, W>,
    ) -> Stop {
        self.try_run(secret, terms, outside).map_or_else(|stop| stop, Stop::ended)
    }

    fn try_run<R: Read, W: Write>(
        &mut self,
        secret: &Secret,
        terms: &Terms,
        outside: &mut Outside<R, W>,
    ) -> Result<End, Stop> {
        let Prepared { plan, sandbox, task } = self.prepare(secret, terms, outside)?;
        let ended = sandbox.run(&task).map_err(|error| Stop::sandbox(&error))?;
        self.account(&ended);
        step(outside, Stage::Results)?;
        let results = self.deliver(&ended, &plan.recipients, &secret.results, outside)?;
        Ok(end(ended.end, results))
    }

    /// Everything that comes before the program: sandbox, image, inputs.
    pub(super) fn prepare<R: Read, W: Write>(
        &mut self,
        secret: &Secret,
        terms: &Terms,
        outside: &mut Outside<R, W>,
    ) -> Result<Prepared, Stop> {
        let plan = Plan::new(terms, secret)?;
        let inputs = secret.inputs.iter().enumerate();
        let inputs = inputs.map(|(index, input)| (self.request.owner_of(index), input.location.as_str()));
        check_buckets(inputs.chain([(Party::OWNER, secret.results.as_str())]), self.keyring)?;
        let sandbox = self.sandbox(&plan)?;
        step(outside, Stage::Image)?;
        let image = self.unpack(secret, outside)?;
        step(outside, Stage::Inputs)?;
        let mut room = self.disk_bytes();
        for (index, input) in secret.inputs.iter().enumerate() {
            outside.sign_with(self.keyring.of(self.request.owner_of(index)));
            room -= self.open_input(index, input, room, outside)?;
        }
        outside.sign_with(self.keyring.of(Party::OWNER));
        step(outside, Stage::Running)?;
        let task = plan.task(self.request, self.workspace, image.config)?;
        Ok(Prepared { plan, sandbox, task })
    }

    fn sandbox(&mut self, plan: &Plan) -> Result<Sandbox, Stop> {
        let sandbox = Sandbox::new(&plan.required).map_err(|error| Stop::sandbox(&error))?;
        self.report.protections = sandbox.protections().names();
        self.report.missing =
            sandbox.protections().missing().into_iter().map(|missing| missing.to_string()).collect();
        Ok(sandbox)
    }

    fn unpack<R: Read, W: Write>(
        &mut self,
        secret: &Secret,
        outside: &mut Outside<R, W>,
    ) -> Result<Unpacked, Stop> {
        let folder =
            File::open(self.workspace.image()).map_err(|error| Stop::runtime("the image folder", &error))?;
        let digest = Digest::from_bytes(*self.request.image.as_bytes());
        let limits = image::Limits { unpacked_bytes: MAX_IMAGE_BYTES, ..image::Limits::default() };
        let image = image::unpack(&digest, &mut outside.blobs(&secret.image), &limits, folder.as_fd())
            .map_err(Stop::image)?;
        self.report.image_config = image.config_digest.as_bytes().to_vec();
        self.report.image_entries = image.stats.entries;
        Ok(image)
    }

    /// What the request allows for the inputs, and again for scratch and results: all of it is memory here.
    fn disk_bytes(&self) -> u64 {
        u64::from(self.request.resources.disk_mib) << 20
    }

    /// Opens an input that may have so many bytes, and says how many it has.
    fn open_input<R: Read, W: Write>(
        &mut self,
        index: usize,
        input: &InputAccess,
        room: u64,
        outside: &mut Outside<R, W>,
    ) -> Result<u64, Stop> {
        let commitment = DatasetCommitment::from(*self.request.inputs[index].as_bytes());
        let limits = dataset::Limits { bytes: room, entries: MAX_INPUT_ENTRIES };
        let opened = dataset::open(
            &mut outside.source(&input.location, u64::MAX),
            &commitment,
            &object_keys(input)?,
            &self.workspace.input(index),
            limits,
            Modes::ReadOnly,
            &mut |_| (),
        );
        let opened = opened.map_err(|error| input_stop(index, error))?;
        self.report.input_bytes = self.report.input_bytes.saturating_add(opened.bytes);
        // Never more than the room, which the dataset was opened with as its limit.
        Ok(opened.bytes.min(room))
    }

    /// Counts a run: a batch has used what all of its runs have.
    pub(super) fn account(&mut self, ended: &Ended) {
        let (usage, report) = (&ended.usage, &mut self.report);
        self.usage = Usage {
            cpu_micros: self.usage.cpu_micros.saturating_add(micros(usage.cpu_total)),
            wall_micros: self.usage.wall_micros.saturating_add(micros(usage.wall)),
            memory_peak: self.usage.memory_peak.max(usage.memory_peak_bytes),
        };
        report.accounting = usage.cpu_source.name().to_owned();
        report.user_micros = report.user_micros.saturating_add(micros(usage.cpu_user));
        report.system_micros = report.system_micros.saturating_add(micros(usage.cpu_system));
    }

    /// Seals what the task left, together with what it printed, and hands it to the host.
    pub(super) fn deliver<R: Read, W: Write>(
        &mut self,
        ended: &Ended,
        recipients: &[Recipient],
        location: &str,
        outside: &mut Outside<R, W>,
    ) -> Result<ResultsCommitment, Stop> {
        let local = |error: io::Error| Stop::runtime("the results", &error);
        let output = ended.output.check(self.disk_bytes()).map_err(output_stop)?;
        self.report.result_bytes = self.report.result_bytes.saturating_add(output.bytes());
        let staging = self.workspace.fresh_staging().map_err(local)?;
        let printed = [("stdout.txt", &ended.stdout), ("stderr.txt", &ended.stderr)];
        let printed = printed.map(|(name, captured)| (staging.join(name), &captured.bytes));
        for (path, bytes) in &printed {
            fs::write(path, bytes).map_err(local)?;
        }
        let folder = ("out", output.folder().map_err(local)?);
        let beside = printed.each_ref().map(|(path, _)| path.as_path());
        let mut sink = outside.sink(location);
        commitment(dataset::seal_open_folder(folder, &beside, &staging, recipients, &mut sink, &mut OsRandom))
    }
}

/// Seals a file and hands it to the host.
pub(super) fn seal<R: Read, W: Write>(
    file: &Path,
    recipients: &[Recipient],
    location: &str,
    outside: &mut Outside<R, W>,
) -> Result<ResultsCommitment, Stop> {
    let mut sink = outside.sink(location);
    commitment(dataset::seal(&[file], recipients, &mut sink, &mut OsRandom, &mut |_| ()))
}

fn commitment(sealed: Result<SealedDataset, SealError>) -> Result<ResultsCommitment, Stop> {
    let sealed = sealed.map_err(|error| match error {
        SealError::Sink(error) => {
            Stop::host(Failure::ResultsUndeliverable, "the host did not store the results", &error)
        }
        SealError::Path { .. } => Stop::results("the results have a name that a dataset can't have"),
        _ => Stop::failed(Failure::RuntimeFailed, "the results could not be sealed"),
    })?;
    Ok(ResultsCommitment::from(*sealed.commitment.as_bytes()))
}

/// What a program is run with.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) sandbox: Sandbox,
    pub(super) task: Task,
}

/// What the owner's terms come to.
pub(super) struct Plan {
    pub(super) args: Vec<String>,
    env: Vec<String>,
    inputs: Vec<InsidePath>,
    required: Required,
    pub(super) recipients: Vec<Recipient>,
}

impl Plan {
    fn new(terms: &Terms, secret: &Secret) -> Result<Self, Stop> {
        let distinct: std::collections::BTreeSet<_> = terms.inputs.iter().collect();
        if distinct.len() != terms.inputs.len() {
            return Err(Stop::secret("two of its inputs have the same name"));
        }
        let inputs = terms.inputs.iter().map(|name| input_path(name)).collect::<Option<_>>();
        let waived = terms.accept_missing.iter().map(|name| protection(name)).collect::<Option<Vec<_>>>();
        Ok(Self {
            args: terms.args.clone(),
            env: terms.env.clone(),
            inputs: inputs.ok_or_else(|| Stop::secret("an input has a name that no folder can have"))?,
            required: waived
                .ok_or_else(|| Stop::secret("it does without a protection that is none"))?
                .into_iter()
                .fold(Required::all(), Required::dangerous_accept_missing),
            recipients: recipients(secret)?,
        })
    }

    fn task(&self, request: &Request, workspace: &Workspace, image: RunConfig) -> Result<Task, Stop> {
        let bad_image = |reason: String| Stop::failed(Failure::ImageInvalid, reason);
        let args =
            if self.args.is_empty() { [image.entrypoint, image.cmd].concat() } else { self.args.clone() };
        let inputs = self.inputs.iter().enumerate();
        let inputs = inputs
            .map(|(index, target)| ReadOnlyInput { source: workspace.input(index), target: target.clone() });
        let resources = &request.resources;
        Ok(Task {
            root: workspace.image(),
            args: args.into_iter().map(OsString::from).collect(),
            env: environment(image.env, &self.env),
            cwd: InsidePath::new(&image.working_dir).map_err(|error| bad_image(error.to_string()))?,
            inputs: inputs.collect(),
            output: InsidePath::new("/out").map_err(|error| bad_image(error.to_string()))?,
            limits: Limits {
                memory_bytes: u64::from(resources.memory_mib) << 20,
                cpu_millis: resources.cpu_millis,
                pids: MAX_PROCESSES,
                disk_bytes: u64::from(resources.disk_mib) << 20,
                wall: Duration::from_secs(resources.time_limit.into()),
                stdout_bytes: MAX_PRINTED_BYTES,
                stderr_bytes: MAX_PRINTED_BYTES,
            },
            network: Network::None,
        })
    }
}

/// Who can open the results.
pub(super) fn recipients(secret: &Secret) -> Result<Vec<Recipient>, Stop> {
    let recipients = secret.recipients.iter().map(|text| text.parse().ok()).collect::<Option<_>>();
    recipients.ok_or_else(|| Stop::secret("a recipient of the results is none"))
}

/// The image's entries, then the owner's, where a later one replaces an earlier one of the same name.
fn environment(image: Vec<String>, terms: &[String]) -> Vec<(OsString, OsString)> {
    let mut env = std::collections::BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    for entry in image.iter().chain(terms) {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        env.insert(name.to_owned(), value.to_owned());
    }
    env.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn input_path(name: &str) -> Option<InsidePath> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fine = (1..=64).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain);
    if fine { InsidePath::new(&format!("/in/{name}")).ok() } else { None }
}

fn protection(name: &str) -> Option<Protection> {
    Protection::ALL.into_iter().find(|protection| protection.name() == name)
}

/// What is in a bucket can't be had without keys of the party that named it.
fn check_buckets<'a>(
    mut places: impl Iterator<Item = (Party, &'a str)>,
    keyring: &Keyring,
) -> Result<(), Stop> {
    match places.any(|(party, place)| place.starts_with("s3:") && keyring.access(party, place).is_none()) {
        true => Err(Stop::secret("a location is in a bucket, and the secret has no keys to it")),
        false => Ok(()),
    }
}

fn object_keys(input: &InputAccess) -> Result<ObjectKeys, Stop> {
    let bad = || Stop::secret("an object key is none");
    let keys = input.keys.iter().map(|object| {
        let name = ObjectName::new(&object.object).map_err(|_| bad())?;
        Ok((name, FileKey::from_bytes(&object.key).map_err(|_| bad())?))
    });
    let mut keys = keys.collect::<Result<ObjectKeys, _>>()?;
    for file in input.crypt4gh.iter().flatten() {
        let name = ObjectName::new(&file.object).map_err(|_| bad())?;
        let data_keys = file.keys.iter().map(|key| DataKey::from_bytes(&key.0)).collect::<Option<_>>();
        let content = ContentKeys::from_parts(data_keys.ok_or_else(bad)?, file.edits.clone());
        keys.insert_content(name, content.ok().flatten().ok_or_else(bad)?);
    }
    Ok(keys)
}

fn input_stop(index: usize, error: OpenError) -> Stop {
    match error {
        OpenError::Mismatch { .. } => {
            Stop::failed(Failure::InputUnavailable, format!("input {index} is not what was committed to"))
        }
        OpenError::Source { error, .. } => {
            Stop::host(Failure::InputUnavailable, &format!("input {index} was not delivered"), &error)
        }
        OpenError::Invalid { reason: Invalid::TooLarge, .. } => {
            Stop::disk(format!("the inputs up to {index} have more bytes than the request allows on disk"))
        }
        OpenError::Invalid { .. } => {
            Stop::failed(Failure::InputInvalid, format!("input {index} does not open"))
        }
        _ => Stop::failed(Failure::RuntimeFailed, format!("input {index} could not be written")),
    }
}

pub(super) fn end(end: sandbox::End, results: ResultsCommitment) -> End {
    match end {
        sandbox::End::Exited(code) => End::Exited { code: code.into(), results },
        sandbox::End::Signalled(signal) => End::Exited { code: 128 + signal.unsigned_abs(), results },
        sandbox::End::OutOfMemory => End::Limited { limit: Limit::Memory, results },
        sandbox::End::TimedOut => End::Limited { limit: Limit::Time, results },
    }
}

/// Why the task's output, whose every byte and name is hostile, can't become results.
fn output_stop(error: OutputError) -> Stop {
    match error {
        OutputError::Read { source, .. } => Stop::runtime("the results", &source),
        OutputError::TooMany => Stop::results("the results have too many files"),
        OutputError::TooDeep => Stop::results("the results have folders too deep"),
        OutputError::TooLong(_) => Stop::results("the results are too large"),
        OutputError::Unusual(_) => Stop::results("the results have something other than files and folders"),
    }
}

pub(super) fn step<R: Read, W: Write>(outside: &mut Outside<R, W>, stage: Stage) -> Result<(), Stop> {
    outside
        .progress(stage)
        .map_err(|error| Stop { broken: Some(error), ..Stop::failed(Failure::RuntimeFailed, "") })
}

/// Images live in memory: 16 GiB is more than most machines have.
const MAX_IMAGE_BYTES: u64 = 16 << 30;
/// Files and folders of one input.
const MAX_INPUT_ENTRIES: u64 = 1 << 24;
/// Processes and threads of one task: enough for a numerical library on a large machine.
const MAX_PROCESSES: u32 = 4096;
/// What a task prints is kept up to here, for each of its two streams.
const MAX_PRINTED_BYTES: usize = 4 << 20;
/// What a container has where its image says nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pox_core::s3::{BucketAccess, Style};

    #[test]
    fn a_bucket_without_its_partys_keys_is_an_owners_doing() {
        let mut keyring = Keyring::default();
        let access = BucketAccess {
            bucket: "mine".into(),
            endpoint: "https://s3.example".into(),
            region: "r".into(),
            style: Style::Path,
            key_id: "id".into(),
            secret_key: "key".into(),
            session_token: None,
        };
        keyring.add(Party::OWNER, Some(vec![access]));
        for (party, place, fine) in [
            (Party::OWNER, "/folder", true),
            (Party::OWNER, "https://h/s3://mine", true),
            (Party::OWNER, "s3://mine/set", true),
            (Party(1), "s3://mine/set", false),
            (Party::OWNER, "s3://other/set", false),
            (Party::OWNER, "s3://mine/../set", false),
        ] {
            let checked = check_buckets([(Party::OWNER, "/first"), (party, place)].into_iter(), &keyring);
            assert_eq!(checked.is_ok(), fine, "{place}");
            if let Err(stop) = checked {
                assert_eq!(stop.end, End::Failed(Failure::SecretInvalid));
            }
        }
    }
}
