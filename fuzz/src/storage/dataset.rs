//! Sealed datasets.

use crate::sealed::{Same, identity, recipient};
use pox_seal::age::{Sealer, open_bytes};
use pox_seal::dataset::{
    B3Sums, Contents, DatasetCommitment, DirectorySink, EntryPath, KeyCommitments, Limits, Modes, ObjectKeys,
    ObjectName, ObjectSource, Sealing, Sha256Sums, decode_item, decode_record, open, read_journal, seal,
    seal_resumable,
};
use pox_seal::engine::Team;
use pox_seal::{Blake3Digest, FileKey, KeyCommitment};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// What a run may write.
const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 200 };

pub(crate) fn b3sums(input: &[u8]) {
    if let Ok(sums) = B3Sums::parse(input) {
        assert_eq!(sums.to_string().as_bytes(), input);
    }
    if let Ok(sums) = Sha256Sums::parse(input) {
        assert_eq!(sums.to_string().as_bytes(), input);
    }
}

pub(crate) fn key_commitments(input: &[u8]) {
    if let Ok(commitments) = KeyCommitments::parse(input) {
        assert_eq!(commitments.to_string().as_bytes(), input);
    }
}

pub(crate) fn manifest_item(input: &[u8]) {
    if let Some(encoded) = decode_item(input) {
        assert_eq!(encoded, input);
    }
}

pub(crate) fn entry_path(input: &[u8]) {
    if let Ok(path) = EntryPath::new(input.to_vec()) {
        assert_eq!(path.as_bytes(), input);
        let parts: Vec<_> = path.as_path().components().collect();
        assert_eq!(parts.len(), path.depth());
        assert!(parts.iter().all(|part| matches!(part, std::path::Component::Normal(_))));
    }
}

pub(crate) fn journal_record(input: &[u8]) {
    if let Some(encoded) = decode_record(input) {
        assert_eq!(encoded, input);
    }
}

/// What an interrupted sealing left, after somebody had their hands on it.
pub(crate) fn journal(input: &[u8]) {
    let mut file = tempfile::tempfile().expect("a file for this run");
    file.write_all(input).expect("it takes the input");
    for record in read_journal(file, &[identity()]).expect("the file can be read").unwrap_or_default() {
        assert_eq!(decode_record(&record), Some(record));
    }
}

/// The input is the root, the manifest and the archive that an owner with bad intentions sealed: no mutation gets past the
/// digests, keys and chunks that are checked before them, so they are made to fit.
pub(crate) fn dataset(mut input: &[u8]) {
    let root: String = pox_fuzz::take(&mut input, 32).iter().map(|byte| format!("{byte:02x}")).collect();
    let manifest = pox_fuzz::part(&mut input);
    let (manifest, manifest_key) = sealed(manifest);
    let (data, data_key) = sealed(input);
    let keys = format!("{data_key}  data.age\n{manifest_key}  manifest.age\n");
    let mut objects = BTreeMap::from([
        ("KEYS", keys.into_bytes()),
        ("ROOT", format!("{root}\n").into_bytes()),
        ("data.age", data),
        ("manifest.age", manifest),
    ]);
    let sums: String =
        objects.iter().map(|(name, bytes)| format!("{}  {name}\n", Blake3Digest::of(bytes))).collect();
    let commitment = DatasetCommitment::of(sums.as_bytes());
    objects.insert("B3SUMS", sums.into_bytes());

    let file_key = || FileKey::from_bytes(&[7; 16]).expect("16 bytes are a key");
    let keys: ObjectKeys =
        ["data.age", "manifest.age"].map(|name| (object(name), file_key())).into_iter().collect();
    let folder = tempfile::tempdir().expect("a folder for this run");
    let dest = folder.path().join("opened");
    // Once as a stream and once as a file: both must come to the same.
    let outcomes = [false, true].map(|as_files| {
        let mut source = Objects { objects: &objects, as_files };
        let opened = open(&mut source, &commitment, &keys, &dest, LIMITS, Modes::ReadOnly, &mut |_| {});
        let left: Vec<_> = fs::read_dir(folder.path()).expect("it is there").collect();
        match &opened {
            Ok(opened) => {
                assert!(dest.is_dir() && left.len() == 1);
                assert!(opened.bytes <= LIMITS.bytes && opened.entries <= LIMITS.entries);
                fs::remove_dir_all(&dest).expect("root may remove it");
            }
            Err(_) => assert!(left.is_empty(), "a failure leaves something behind"),
        }
        opened.ok()
    });
    assert_eq!(outcomes[0], outcomes[1]);

    // File by file: whatever opens whole, does so too.
    let mut source = Objects { objects: &objects, as_files: false };
    let parts = Contents::read(&mut source, &commitment, &keys, LIMITS)
        .and_then(|mut contents| contents.extract(&mut source, |_| true, &dest, &mut |_| {}));
    assert!(parts.is_ok() == dest.is_dir() && (parts.is_ok() || outcomes[0].is_none()), "{parts:?}");
}

fn sealed(plain: &[u8]) -> (Vec<u8>, KeyCommitment) {
    let mut sealer = Sealer::with_randomness(&[recipient()], Vec::new(), &mut Same).expect("memory takes it");
    sealer.write_all(plain).expect("memory takes it");
    let commitment = sealer.key_commitment();
    (sealer.finish().expect("memory takes it"), commitment)
}

fn object(name: &str) -> ObjectName {
    ObjectName::new(name).expect("a good name")
}

struct Objects<'a> {
    objects: &'a BTreeMap<&'static str, Vec<u8>>,
    as_files: bool,
}

impl ObjectSource for Objects<'_> {
    fn open(&mut self, name: &ObjectName, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        let bytes = self.objects.get(name.as_str()).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(&bytes[bytes.len().min(offset as usize)..]))
    }

    fn file(&mut self, name: &ObjectName) -> io::Result<Option<File>> {
        if !self.as_files {
            return Ok(None);
        }
        let mut file = tempfile::tempfile()?;
        file.write_all(self.objects.get(name.as_str()).ok_or(io::ErrorKind::NotFound)?)?;
        file.rewind()?;
        Ok(Some(file))
    }
}

/// Seals a small tree, or a single file, and gives the folder with the public files.
fn example(single: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("sub/empty")).expect("a tree");
    fs::write(tree.join("a.csv"), "a,b\n1,2\n").expect("a file");
    fs::write(tree.join("sub/b.bin"), [0; 700]).expect("a file");
    std::os::unix::fs::symlink("sub/b.bin", tree.join("link")).expect("a link");
    let input = if single { tree.join("a.csv") } else { tree };
    let mut sink = DirectorySink::create(folder.path().join("sealed")).expect("a sink");
    seal(&[&input], &[recipient()], &mut sink, &mut Same, &mut |_| {}).expect("it can be sealed");
    folder
}

fn opened(folder: &Path, name: &str) -> Vec<u8> {
    let sealed = fs::read(folder.join("sealed").join(name)).expect("it was sealed");
    open_bytes(&[identity()], &sealed, 1 << 20).expect("it opens").to_vec()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let seeds = [false, true].map(|single| {
        let folder = example(single);
        let root = fs::read_to_string(folder.path().join("sealed/ROOT")).expect("it was sealed");
        let root: Vec<u8> = (0..32)
            .map(|at| u8::from_str_radix(&root[2 * at..2 * at + 2], 16).expect("hexadecimal digits"))
            .collect();
        let manifest = pox_fuzz::parts(&[&opened(folder.path(), "manifest.age")]);
        [root, manifest, opened(folder.path(), "data.age")].concat()
    });
    seeds.into()
}

pub(crate) fn text_seeds() -> Vec<Vec<u8>> {
    let folder = example(false);
    ["B3SUMS", "KEYS"]
        .map(|name| fs::read(folder.path().join("sealed").join(name)).expect("it was sealed"))
        .into()
}

/// The manifest is a sequence of byte strings, each of them an item of fewer than 64 KiB.
pub(crate) fn item_seeds() -> Vec<Vec<u8>> {
    let manifest = opened(example(false).path(), "manifest.age");
    let mut rest = manifest.as_slice();
    let mut items = Vec::new();
    while !rest.is_empty() {
        let length = match pox_fuzz::byte(&mut rest) {
            short @ 0x40..=0x57 => usize::from(short - 0x40),
            0x58 => usize::from(pox_fuzz::byte(&mut rest)),
            0x59 => usize::from(pox_fuzz::byte(&mut rest)) << 8 | usize::from(pox_fuzz::byte(&mut rest)),
            other => panic!("{other:#x} starts no item"),
        };
        items.push(pox_fuzz::take(&mut rest, length).to_vec());
    }
    assert!(items.iter().all(|item| decode_item(item).is_some()));
    items
}

pub(crate) fn path_seeds() -> Vec<Vec<u8>> {
    vec![b"a".to_vec(), b"a/b c/.d".to_vec(), b"../a".to_vec()]
}

/// The journal of a sealing, while it goes on.
fn journal_example() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let (tree, directory) = (folder.path().join("tree"), folder.path().join("sealed"));
    fs::create_dir_all(tree.join("sub")).expect("a tree");
    fs::write(tree.join("small"), "content").expect("a file");
    fs::write(tree.join("zlarge"), vec![7; 700_000]).expect("a file");
    let sealing = Sealing {
        inputs: &[&tree],
        recipients: &[recipient()],
        identities: &[],
        directory: &directory,
        digests: pox_seal::dataset::Digests::Blake3,
        every: std::time::Duration::ZERO,
        team: Team::of(64),
    };
    let mut last = Vec::new();
    let journal = folder.path().join(".sealed.pox-partial/journal");
    let mut keep = |_| last = fs::read(&journal).expect("there is a journal");
    seal_resumable(&sealing, &mut Same, &mut |_| {}, &mut keep).expect("it can be sealed");
    last
}

pub(crate) fn journal_seeds() -> Vec<Vec<u8>> {
    vec![journal_example()]
}

pub(crate) fn record_seeds() -> Vec<Vec<u8>> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&journal_example()).expect("it takes the journal");
    read_journal(file, &[identity()]).expect("it can be read").expect("it has a checkpoint")
}
