//! Datasets that stay where they are: checked without a key, read in part, disclosed in part, sealed from a stream.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests fail as tests do

use pox_seal::age::Locked;
use pox_seal::dataset::{
    B3Sums, Checked, Comparison, Contents, DatasetCommitment, Digests, DirectorySink, DirectorySource, Entry,
    EntryPath, Invalid, Limits, Meta, Modes, ObjectKeys, ObjectName, ObjectSource, OpenError, Part, PathStep,
    SealError, SealedDataset, Sealing, Sha256Sums, check, file_keys, open, seal_resumable, seal_stream,
};
use pox_seal::engine::Team;
use pox_seal::{Blake3Digest, Identity, IdentityKind, OsRandom};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

struct Owner {
    identity: Identity,
    scratch: TempDir,
}

/// Counts requests, and the bytes that were asked for, of each object, as a storage does that sends all that is asked for.
struct Counting {
    folder: PathBuf,
    given: BTreeMap<String, u64>,
    requests: BTreeMap<String, u64>,
}

impl ObjectSource for Counting {
    fn open(&mut self, name: &ObjectName, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        self.range(name, offset..u64::MAX)
    }

    fn range(&mut self, name: &ObjectName, range: Range<u64>) -> io::Result<Box<dyn Read + '_>> {
        let bytes = fs::read(self.folder.join(name.as_str()))?;
        let end = range.end.min(bytes.len() as u64);
        let given = bytes[range.start as usize..end as usize].to_vec();
        *self.given.entry(name.as_str().to_owned()).or_default() += given.len() as u64;
        *self.requests.entry(name.as_str().to_owned()).or_default() += 1;
        Ok(Box::new(io::Cursor::new(given)))
    }
}

impl Owner {
    fn new() -> Self {
        let identity = Identity::generate(IdentityKind::Hybrid, &mut OsRandom).unwrap();
        Self { identity, scratch: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn seal(&self, input: &str, out: &str, digests: Digests) -> SealedDataset {
        let (input, directory) = (self.path(input), self.path(out));
        let sealing = Sealing {
            inputs: &[&input],
            recipients: &[self.identity.recipient().unwrap()],
            identities: &[],
            directory: &directory,
            digests,
            every: Duration::from_secs(60),
            team: Team::of(2),
        };
        seal_resumable(&sealing, &mut OsRandom, &mut |_| {}, &mut |_| {}).unwrap()
    }

    fn keys(&self, sealed: &str) -> ObjectKeys {
        let mut source = DirectorySource::new(self.path(sealed));
        file_keys(&mut source, std::slice::from_ref(&self.identity)).unwrap()
    }

    fn contents(&self, sealed: &str, made: &SealedDataset) -> (Counting, Contents) {
        let mut source =
            Counting { folder: self.path(sealed), given: BTreeMap::new(), requests: BTreeMap::new() };
        let contents = Contents::read(&mut source, &made.commitment, &self.keys(sealed), Limits::NONE);
        (source, contents.unwrap())
    }

    fn check(&self, sealed: &str) -> Checked {
        check(&mut DirectorySource::new(self.path(sealed)), &mut |_| {}).unwrap()
    }
}

fn named(name: &str) -> impl Fn(&EntryPath) -> bool {
    move |path| path.as_path() == Path::new(name)
}

fn content(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251 + seed) as u8).collect()
}

/// A tree of which one file is far larger than the others.
fn tree(owner: &Owner) -> Vec<(&'static str, Vec<u8>)> {
    let files = vec![
        ("a/first", content(10, 1)),
        ("b/empty", Vec::new()),
        ("b/large", content(20_000_000, 2)),
        ("b/over-a-chunk", content(70_000, 3)),
        ("z/last", content(3, 4)),
    ];
    files.iter().for_each(|(name, content)| owner.write(&format!("tree/{name}"), content));
    files
}

#[test]
fn one_file_costs_its_own_chunks_and_the_manifest() {
    let owner = Owner::new();
    let files = tree(&owner);
    let made = owner.seal("tree", "sealed", Digests::Blake3);
    for (name, content) in files {
        let (mut source, mut contents) = owner.contents("sealed", &made);
        let entry = contents.find(named(name)).unwrap().unwrap();
        let before = source.given.get("data.age").copied().unwrap();
        assert!(before <= 8 * 1024, "{before} bytes for a header");
        let mut out = Vec::new();
        let copied = contents.copy_file(&mut source, &entry, &Part::Whole, &mut out, &mut |_| {}).unwrap();
        assert_eq!((out == content, copied), (true, content.len() as u64), "{name}");
        let given = source.given["data.age"] - before;
        let most = (content.len().div_ceil(65536) as u64 + 1) * 65552;
        assert!(given <= if content.is_empty() { 0 } else { most }, "{name}: {given}");
        assert!(source.given["manifest.age"] < 4096);
    }
}

#[test]
fn a_range_costs_the_chunks_that_hold_it() {
    let owner = Owner::new();
    let files = tree(&owner);
    let made = owner.seal("tree", "sealed", Digests::Blake3);
    let (mut source, mut contents) = owner.contents("sealed", &made);
    let entry = contents.find(named("b/large")).unwrap().unwrap();
    let whole = &files[2].1;
    for range in [0..1, 65_000..66_000, 9_999_999..13_000_000, 19_999_999..20_000_000, 19_999_990..u64::MAX] {
        let before = source.given["data.age"];
        let mut out = Vec::new();
        let part = Part::Range(range.clone());
        contents.copy_file(&mut source, &entry, &part, &mut out, &mut |_| {}).unwrap();
        let range = range.start as usize..range.end.min(whole.len() as u64) as usize;
        assert!(out == whole[range.clone()], "{range:?}");
        assert!(source.given["data.age"] - before <= (range.len() as u64 / 65536 + 2) * 65552);
    }
    let mut out = Vec::new();
    let beyond = Part::Range(u64::MAX - 1..u64::MAX);
    assert_eq!(contents.copy_file(&mut source, &entry, &beyond, &mut out, &mut |_| {}).unwrap(), 0);
}

#[test]
fn what_was_changed_is_never_given_out() {
    let owner = Owner::new();
    tree(&owner);
    let made = owner.seal("tree", "sealed", Digests::Blake3);
    let data = owner.path("sealed/data.age");
    let sound = fs::read(&data).unwrap();
    let (mut source, mut contents) = owner.contents("sealed", &made);
    let entry = contents.find(named("b/over-a-chunk")).unwrap().unwrap();
    let Entry::File { offset, .. } = &entry else { panic!("a file") };
    let start = Locked::read(&sound[..]).unwrap().chunk_offset(0) as usize;
    let chunk = start + (*offset as usize / 65536) * 65552;
    // A flipped bit, a chunk of another place, and a cut.
    let changes: [fn(&mut Vec<u8>, usize); 3] = [
        |bytes, at| bytes[at + 65_551] ^= 1,
        |bytes, at| bytes.copy_within(at - 65552..at, at),
        |bytes, at| bytes.truncate(at),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = sound.clone();
        change(&mut changed, chunk);
        fs::write(&data, changed).unwrap();
        let outcome = contents.copy_file(&mut source, &entry, &Part::Whole, &mut Vec::new(), &mut |_| {});
        assert!(matches!(outcome, Err(OpenError::Mismatch { .. })), "change {number}: {outcome:?}");
        let outcome = contents.extract(&mut source, |_| true, &owner.path("out"), &mut |_| {});
        assert!(matches!(outcome, Err(OpenError::Mismatch { .. })), "change {number}: {outcome:?}");
        assert!(!owner.path("out").exists() && !owner.path(".out.pox-partial").exists());
    }
    fs::write(&data, &sound).unwrap();
    assert_eq!(contents.extract(&mut source, |_| true, &owner.path("out"), &mut |_| {}).unwrap().0, 5);
    assert_eq!(fs::read(owner.path("out/z/last")).unwrap(), content(3, 4));

    // The manifest is the committed one, or nothing is read of the data.
    let manifest = owner.path("sealed/manifest.age");
    let mut bytes = fs::read(&manifest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&manifest, bytes).unwrap();
    let keys = owner.keys("sealed");
    let read = Contents::read(&mut source, &made.commitment, &keys, Limits::NONE);
    assert!(matches!(read.err(), Some(OpenError::Mismatch { .. })));
}

#[test]
fn a_range_sealed_by_another_key_is_not_taken() {
    let owner = Owner::new();
    tree(&owner);
    let made = owner.seal("tree", "sealed", Digests::Blake3);
    owner.seal("tree", "other", Digests::Blake3);
    fs::copy(owner.path("other/data.age"), owner.path("sealed/data.age")).unwrap();
    let mut source = DirectorySource::new(owner.path("sealed"));
    let keys = owner.keys("sealed");
    let read = Contents::read(&mut source, &made.commitment, &keys, Limits::NONE);
    assert!(matches!(read.err(), Some(OpenError::Invalid { reason: Invalid::Key, .. })));
}

#[test]
fn anybody_checks_the_public_files() {
    let owner = Owner::new();
    tree(&owner);
    for digests in [Digests::Blake3, Digests::Sha256Beside] {
        let out = format!("{digests:?}");
        let made = owner.seal("tree", &out, digests);
        let checked = owner.check(&out);
        assert_eq!(checked.commitment, made.commitment);
        assert!(
            checked.is_dataset && checked.objects.iter().all(|object| object.comparison == Comparison::Same)
        );
        assert_eq!(checked.objects.len(), if digests == Digests::Blake3 { 4 } else { 5 });
        for object in &checked.objects {
            let path = owner.path(&out).join(object.name.as_str());
            let sound = fs::read(&path).unwrap();
            let mut bytes = sound.clone();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, bytes).unwrap();
            let changed = owner.check(&out);
            let comparison = |checked: &Checked| {
                checked.objects.iter().find(|other| other.name == object.name).unwrap().comparison
            };
            assert!(matches!(comparison(&changed), Comparison::Blake3Differs(_)), "{}", object.name);
            fs::remove_file(&path).unwrap();
            assert_eq!(comparison(&owner.check(&out)), Comparison::Missing);
            fs::write(&path, sound).unwrap();
        }
    }
}

#[test]
fn sha256_is_of_the_same_bytes_and_covered_by_the_commitment() {
    let owner = Owner::new();
    tree(&owner);
    let made = owner.seal("tree", "sealed", Digests::Sha256Beside);
    let ran = Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(owner.path("sealed"))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(String::from_utf8(ran.stdout).unwrap().lines().count(), 4);
    let mut source = DirectorySource::new(owner.path("sealed"));
    let (keys, dest) = (owner.keys("sealed"), owner.path("out"));
    open(&mut source, &made.commitment, &keys, &dest, Limits::NONE, Modes::AsSealed, &mut |_| {}).unwrap();

    // A wrong digest in it, committed to by whoever sealed it, is found too.
    let text = fs::read_to_string(owner.path("sealed/SHA256SUMS")).unwrap();
    let sums = Sha256Sums::parse(text.as_bytes()).unwrap();
    let data = ObjectName::new("data.age").unwrap();
    assert_eq!(sums.digest(&data), made.objects[0].sha256);
    let wrong = text.replace(&hex(&sums.digest(&data).unwrap()), &"ab".repeat(32));
    let index = fs::read_to_string(owner.path("sealed/B3SUMS")).unwrap();
    let index = index.replace(
        &Blake3Digest::of(text.as_bytes()).to_string(),
        &Blake3Digest::of(wrong.as_bytes()).to_string(),
    );
    fs::write(owner.path("sealed/SHA256SUMS"), wrong).unwrap();
    fs::write(owner.path("sealed/B3SUMS"), index).unwrap();
    let checked = owner.check("sealed");
    let object = checked.objects.iter().find(|object| object.name == data).unwrap();
    assert!(matches!(object.comparison, Comparison::Sha256Differs(_)));

    // And one that leaves a file out is no dataset's.
    let short: String = text.lines().skip(1).map(|line| format!("{line}\n")).collect();
    let index = fs::read_to_string(owner.path("sealed/B3SUMS")).unwrap();
    let lines = index.lines().map(|line| match line.ends_with("SHA256SUMS") {
        true => format!("{}  SHA256SUMS\n", Blake3Digest::of(short.as_bytes())),
        false => format!("{line}\n"),
    });
    fs::write(owner.path("sealed/B3SUMS"), lines.collect::<String>()).unwrap();
    fs::write(owner.path("sealed/SHA256SUMS"), short).unwrap();
    assert!(!owner.check("sealed").is_dataset);
}

#[test]
fn a_disclosed_entry_leads_to_the_public_root() {
    let owner = Owner::new();
    tree(&owner);
    let made = owner.seal("tree", "sealed", Digests::Blake3);
    let (_, mut contents) = owner.contents("sealed", &made);
    let root = fs::read_to_string(owner.path("sealed/ROOT")).unwrap();
    let disclosed = contents.disclose(|path| path.as_path().starts_with("b")).unwrap().unwrap();
    assert_eq!(disclosed.len(), 3);
    for disclosed in disclosed {
        let leaf = blake3::derive_key("pox dataset entry v1", &disclosed.entry);
        let join = |left: [u8; 32], right: [u8; 32]| {
            blake3::derive_key("pox dataset node v1", &[left, right].concat())
        };
        let reached = disclosed.path.iter().fold(leaf, |node, step| match step {
            PathStep::Left(left) => join(*left, node),
            PathStep::Right(right) => join(node, *right),
        });
        assert_eq!(hex(&reached), root.trim());
    }
    let sums = B3Sums::parse(contents.b3sums().as_bytes()).unwrap();
    assert_eq!(DatasetCommitment::of(sums.to_string().as_bytes()), made.commitment);
}

#[test]
fn a_stream_is_sealed_as_one_file() {
    let owner = Owner::new();
    for (number, len) in [0, 1, 65_536, 4 << 20, (4 << 20) + 1, 9_000_000].into_iter().enumerate() {
        let (name, bytes) = (format!("stream-{number}"), content(len, number));
        let mut sink = DirectorySink::create(owner.path(&name)).unwrap();
        let path = EntryPath::new(b"data.tar".to_vec()).unwrap();
        let meta = Meta { mode: 0o640, seconds: 1_700_000_000, nanoseconds: 0 };
        let recipients = [owner.identity.recipient().unwrap()];
        let digests = Digests::Sha256Beside;
        let made = seal_stream(
            &mut &bytes[..],
            (path, meta),
            &recipients,
            digests,
            &mut sink,
            &mut OsRandom,
            &mut |_| {},
        );
        let made = made.unwrap();
        assert_eq!((made.entries, made.bytes), (1, len as u64));
        assert!(owner.check(&name).objects.iter().all(|object| object.comparison == Comparison::Same));
        let mut source = DirectorySource::new(owner.path(&name));
        let (keys, dest) = (owner.keys(&name), owner.path(&format!("out-{number}")));
        open(&mut source, &made.commitment, &keys, &dest, Limits::NONE, Modes::AsSealed, &mut |_| {})
            .unwrap();
        assert!(fs::read(dest.join("data.tar")).unwrap() == bytes, "{len}");

        let (mut source, mut contents) = owner.contents(&name, &made);
        let mut out = Vec::new();
        contents.copy_all(&mut source, &mut out, &mut |_| {}).unwrap();
        assert!(out == bytes, "{len}");
    }
}

#[test]
fn a_stream_that_fails_leaves_nothing() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("the pipe broke"))?;
            out.fill(7);
            Ok(out.len())
        }
    }
    let owner = Owner::new();
    let mut sink = DirectorySink::create(owner.path("sealed")).unwrap();
    let path = EntryPath::new(b"x".to_vec()).unwrap();
    let meta = Meta { mode: 0o640, seconds: 0, nanoseconds: 0 };
    let recipients = [owner.identity.recipient().unwrap()];
    let input = &mut Failing(300);
    let made =
        seal_stream(input, (path, meta), &recipients, Digests::Blake3, &mut sink, &mut OsRandom, &mut |_| {});
    assert!(matches!(made, Err(SealError::Io { .. })), "{made:?}");
    drop(sink);
    assert_eq!(fs::read_dir(owner.scratch.path()).unwrap().count(), 0);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn neighbours_are_fetched_with_one_request() {
    let owner = Owner::new();
    let of = |folder: &str, number: usize| (format!("{folder}/{number:03}"), content(900 + number, number));
    let files: Vec<_> = (0..100).flat_map(|number| [of("a", number), of("c", number)]).collect();
    files.iter().for_each(|(name, content)| owner.write(&format!("tree/{name}"), content));
    owner.write("tree/a/empty", b"");
    owner.write("tree/b", &content(1_000_000, 1));
    let made = owner.seal("tree", "sealed", Digests::Blake3);
    let (mut source, mut contents) = owner.contents("sealed", &made);
    let mut extract = |to: &str, wanted: &dyn Fn(&Path) -> bool| {
        (source.given, source.requests) = Default::default();
        let opened =
            contents.extract(&mut source, |path| wanted(path.as_path()), &owner.path(to), &mut |_| ());
        (opened.unwrap(), source.requests.get("data.age").copied(), source.given.values().sum::<u64>())
    };
    // What lies between the two folders is too much to be fetched for nothing.
    let bytes = files.iter().map(|(_, content)| content.len() as u64).sum();
    let (opened, requests, given) = extract("both", &|path| path.starts_with("a") || path.starts_with("c"));
    assert_eq!((opened, requests), ((201, bytes), Some(2)));
    assert!(given < 700_000, "{given}");
    for (name, content) in &files {
        assert!(fs::read(owner.path("both").join(name)).unwrap() == *content, "{name}");
    }
    assert_eq!(fs::read(owner.path("both/a/empty")).unwrap(), b"");
    // What lies between these is not.
    let third = |path: &Path| path.starts_with("c") && path.to_str().unwrap().ends_with(['0', '3', '6', '9']);
    let (opened, requests, _) = extract("some", &third);
    assert_eq!((opened.0, requests), (40, Some(1)));
    assert!(fs::read(owner.path("some/c/099")).unwrap() == of("c", 99).1);
    // Nothing has to be asked for what is empty.
    let (opened, requests, _) = extract("empty", &|path| path.ends_with("empty"));
    assert_eq!((opened, requests), ((1, 0), None));
}
