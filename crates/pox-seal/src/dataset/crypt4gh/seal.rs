//! Making a dataset of Crypt4GH files, or taking existing ones as they are.

use super::{Access, SUFFIX, is_file};
use crate::age::Sealer;
use crate::crypt4gh::{self, ContentKeys, Crypt4ghError, Header, Identity, check_file, seal_file};
use crate::dataset::b3sums::{B3Sums, DatasetCommitment, KeyCommitments, ObjectName};
use crate::dataset::seal::{SealError, SealedDataset, SealedObject, copy};
use crate::dataset::tree::single_file;
use crate::dataset::{ObjectSink, Progress};
use crate::engine::Team;
use crate::hashing::Blake3Digest;
use crate::keys::Recipient;
use crate::random::Randomness;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

/// Seals files, each into a Crypt4GH file `<name>.c4gh`, as one dataset.
///
/// `readers` can open the files with any Crypt4GH tool; `recipients` can open the dataset, and give enclaves access to it. The
/// sink must give files ([`ObjectSink::file`]). On an error it isn't finished, and nothing may go on with it: nonces are random,
/// and never used a second time.
///
/// # Errors
/// An input is no file or has a name that the dataset can't have, or sealing fails.
pub fn seal_files(
    inputs: &[&Path],
    readers: &[crypt4gh::Recipient],
    recipients: &[Recipient],
    sink: &mut dyn ObjectSink,
    random: &mut dyn Randomness,
    progress: Progress<'_>,
) -> Result<SealedDataset, SealError> {
    let mut plan = Vec::new();
    for path in inputs {
        let file = single_file(path)?.ok_or_else(|| SealError::Folder { path: path.into() })?;
        let name = file.path.as_path().to_string_lossy().into_owned() + SUFFIX;
        let name = ObjectName::new(&name).map_err(|reason| SealError::Name { path: path.into(), reason })?;
        if plan.iter().any(|(other, _, _)| *other == name) {
            return Err(SealError::Twice { path: path.into() });
        }
        plan.push((name, file, *path));
    }
    check_count(plan.len())?;
    let (mut dataset, mut before) = (Making::default(), 0);
    for (name, file, path) in plan {
        let failed = |error| SealError::Crypt4gh { path: path.into(), error };
        sink.create(&name).map_err(SealError::Sink)?;
        let to = sink.file().map(File::try_clone).transpose().map_err(SealError::Sink)?;
        let to = to.ok_or_else(|| SealError::Sink(io::ErrorKind::Unsupported.into()))?;
        let from = file.open()?;
        let sealed =
            seal_file(&from, &to, readers, random, Team::of_machine(), &mut |done| progress(before + done));
        let sealed = sealed.map_err(|error| match error {
            Crypt4ghError::Write(error) => SealError::Sink(error),
            error => failed(error),
        })?;
        file.check(&from)?;
        sink.close().map_err(SealError::Sink)?;
        before += sealed.content_len;
        dataset.add(name, sealed.content, sealed.digest, sealed.len, sealed.content_len);
    }
    dataset.publish(recipients, sink, random)
}

/// Existing Crypt4GH files that become a dataset where they lie.
#[derive(Clone, Copy, Debug)]
pub struct Adoption<'a> {
    /// The files.
    pub files: &'a [PathBuf],
    /// Keys of their readers, of which one opens each.
    pub identities: &'a [Identity],
    /// Whoever may open the dataset, and give enclaves access to it.
    pub recipients: &'a [Recipient],
}

/// Takes existing Crypt4GH files into a dataset, without changing a byte of them: reads each once, opens every segment to see
/// that it is sound, and lets the sink take it; then writes what a dataset has beside them.
///
/// What somebody with write access did to the files before this moment, the format can't tell; after it the dataset's
/// commitment does.
///
/// # Errors
/// A file isn't sound or for other readers, changes while it is read, or has a name that the dataset can't have.
pub fn adopt(
    adoption: &Adoption<'_>,
    sink: &mut dyn ObjectSink,
    random: &mut dyn Randomness,
    progress: Progress<'_>,
) -> Result<SealedDataset, SealError> {
    check_count(adoption.files.len())?;
    let (mut dataset, mut before) = (Making::default(), 0);
    for path in adoption.files {
        let file = single_file(path)?.ok_or_else(|| SealError::Folder { path: path.into() })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = ObjectName::new(&name).map_err(|reason| SealError::Name { path: path.into(), reason })?;
        if !is_file(&name) {
            return Err(SealError::Suffix { path: path.into() });
        }
        if dataset.access.0.contains_key(&name) {
            return Err(SealError::Twice { path: path.into() });
        }
        let failed = |error| SealError::Crypt4gh { path: path.into(), error };
        let from = file.open()?;
        let content =
            Header::read(&mut BufReader::new(&from)).and_then(|header| header.unlock(adoption.identities));
        let content = content.map_err(failed)?;
        let checked = check_file(&from, &content, Team::of_machine(), &mut |done| progress(before + done));
        let checked = checked.map_err(failed)?;
        file.check(&from)?;
        sink.take(&name, path).map_err(SealError::Sink)?;
        before += checked.len;
        dataset.add(name, content, checked.digest, checked.len, checked.content_len);
    }
    dataset.publish(adoption.recipients, sink, random)
}

fn check_count(files: usize) -> Result<(), SealError> {
    match files {
        0 => Err(SealError::Nothing),
        _ if files > super::MAX_FILES => Err(SealError::TooMany),
        _ => Ok(()),
    }
}

/// A dataset of which the Crypt4GH files are known.
#[derive(Default)]
struct Making {
    access: Access,
    objects: Vec<SealedObject>,
    bytes: u64,
}

impl Making {
    fn add(&mut self, name: ObjectName, content: ContentKeys, digest: Blake3Digest, len: u64, bytes: u64) {
        let key_commitment = content.commitment(&digest);
        self.objects.push(SealedObject { name: name.clone(), digest, sha256: None, key_commitment, len });
        self.access.0.insert(name, content);
        self.bytes += bytes;
    }

    /// Writes everything that a dataset has beside its files, `B3SUMS` last.
    fn publish(
        mut self,
        recipients: &[Recipient],
        sink: &mut dyn ObjectSink,
        random: &mut dyn Randomness,
    ) -> Result<SealedDataset, SealError> {
        let access = self.access.encode().ok_or(SealError::TooMany)?;
        let mut sealer = Sealer::with_randomness(recipients, Vec::new(), random).map_err(SealError::Age)?;
        let key_commitment = sealer.key_commitment();
        let sealed = sealer.write_all(&access).and_then(|()| sealer.finish()).map_err(SealError::Sink)?;
        let name = ObjectName::access();
        copy(&mut sealed.as_slice(), &name, false, sink)?;
        let (digest, len) = (Blake3Digest::of(&sealed), sealed.len() as u64);
        self.objects.push(SealedObject { name, digest, sha256: None, key_commitment, len });

        let (mut b3sums, mut keys) = (B3Sums::default(), KeyCommitments::default());
        for object in &self.objects {
            b3sums.insert(object.name.clone(), object.digest);
            keys.insert(object.name.clone(), object.key_commitment);
        }
        let text = keys.to_string();
        copy(&mut text.as_bytes(), &ObjectName::keys(), false, sink)?;
        b3sums.insert(ObjectName::keys(), Blake3Digest::of(text.as_bytes()));
        let text = b3sums.to_string();
        copy(&mut text.as_bytes(), &ObjectName::b3sums(), false, sink)?;
        sink.finish().map_err(SealError::Sink)?;
        let commitment = DatasetCommitment::of(text.as_bytes());
        let entries = self.access.0.len() as u64;
        Ok(SealedDataset { commitment, objects: self.objects, b3sums, entries, bytes: self.bytes })
    }
}
