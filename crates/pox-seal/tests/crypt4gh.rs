//! Crypt4GH files and datasets of them: round trips at every boundary, and everything that an attacker may do to them.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests fail as tests do

use pox_seal::crypt4gh::{
    self, BodyError, ContentKeys, Crypt4ghError, EditList, Header, MAX_SEALED_SEGMENT, SEGMENT, SealedFile,
    check_file, open_file, seal_file, sealed_body_len,
};
use pox_seal::dataset::{
    Adoption, DatasetCommitment, DirectorySink, DirectorySource, Invalid, Limits, Modes, ObjectKeys,
    ObjectName, ObjectSource, OpenError, Opened, SealError, SealedDataset, adopt, file_keys, open,
    seal_files,
};
use pox_seal::engine::Team;
use pox_seal::{Blake3Digest, Identity, IdentityKind, OsRandom};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SIZES: [usize; 9] = [0, 1, 65_535, 65_536, 65_537, 131_072, 4_194_303, 4_194_304, 5_000_001];

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 7) as u8 ^ (at >> 11) as u8).collect()
}

fn reader(byte: u8) -> crypt4gh::Identity {
    crypt4gh::Identity::from_bytes(&[byte; 32])
}

fn new_file(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap()
}

fn sealed(dir: &Path, content: &[u8], team: usize) -> (PathBuf, SealedFile) {
    let (plain, path) = (dir.join("plain"), dir.join("plain.c4gh"));
    fs::write(&plain, content).unwrap();
    let (from, to) = (File::open(&plain).unwrap(), new_file(&path));
    let made =
        seal_file(&from, &to, &[reader(1).recipient()], &mut OsRandom, Team::of(team), &mut |_| ()).unwrap();
    (path, made)
}

fn opened(path: &Path, content: &ContentKeys, team: usize) -> Result<Vec<u8>, Crypt4ghError> {
    let to = path.with_extension("opened");
    let file = new_file(&to);
    let from = File::open(path).unwrap();
    let checked = open_file(&from, &file, content, u64::MAX, Team::of(team), &mut |_| ())?;
    assert_eq!(checked, check_file(&from, content, Team::of(team), &mut |_| ()).unwrap());
    let text = fs::read(&to).unwrap();
    assert_eq!(checked.digest, Blake3Digest::of(&fs::read(path).unwrap()));
    assert_eq!(checked.content_len, text.len() as u64);
    Ok(text)
}

#[test]
fn files_open_to_what_was_sealed_at_every_boundary() {
    let dir = TempDir::new().unwrap();
    for (index, len) in SIZES.into_iter().enumerate() {
        let text = bytes(len);
        let (path, made) = sealed(dir.path(), &text, 1 + index % 3);
        let file = fs::read(&path).unwrap();
        assert_eq!((made.len, made.digest), (file.len() as u64, Blake3Digest::of(&file)), "{len}");
        assert_eq!(made.len, 124 + sealed_body_len(len as u64));
        let told = Header::read(&mut &file[..]).unwrap().unlock(&[reader(1)]).unwrap();
        assert_eq!(told, made.content);
        assert_eq!(told.commitment(&made.digest), made.key_commitment);
        assert!(opened(&path, &told, 1 + (index + 1) % 3).unwrap() == text, "{len}");
    }
}

#[test]
fn no_nonce_and_no_key_comes_twice() {
    let dir = TempDir::new().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let (path, made) = sealed(dir.path(), &bytes(5_000_001), 2);
        let file = fs::read(path).unwrap();
        let segments = file[124..].chunks(MAX_SEALED_SEGMENT);
        segments.for_each(|segment| assert!(seen.insert(segment[..12].to_vec()), "a nonce came twice"));
        keys.push(made.content.keys()[0].dangerous_bytes().to_vec());
    }
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn every_flipped_or_cut_segment_is_noticed_without_any_commitment() {
    let dir = TempDir::new().unwrap();
    let (path, made) = sealed(dir.path(), &bytes(200_000), 2);
    let good = fs::read(&path).unwrap();
    for at in [124, 124 + 11, 124 + 12, 124 + 70_000, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        let error = opened(&path, &made.content, 2).unwrap_err();
        assert!(matches!(error, Crypt4ghError::Body(BodyError::Segment(_))), "{at}: {error}");
    }
    for cut in [1, 27, good.len() - 124 - 3 * MAX_SEALED_SEGMENT - 5] {
        fs::write(&path, &good[..good.len() - cut]).unwrap();
        assert!(matches!(opened(&path, &made.content, 1), Err(Crypt4ghError::Body(_))), "{cut}");
    }
}

/// What the format can't tell, and the reason for our commitments.
#[test]
fn whole_segments_that_are_dropped_or_swapped_change_the_digest_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let text = bytes(200_000);
    let (path, made) = sealed(dir.path(), &text, 2);
    let good = fs::read(&path).unwrap();
    let (head, body) = good.split_at(124);
    let segments: Vec<&[u8]> = body.chunks(MAX_SEALED_SEGMENT).collect();
    let dropped = [head, segments[0], segments[1], segments[2]].concat();
    let swapped = [head, segments[1], segments[0], segments[2], segments[3]].concat();
    for bad in [dropped, swapped] {
        fs::write(&path, bad).unwrap();
        let from = File::open(&path).unwrap();
        let checked = check_file(&from, &made.content, Team::of(2), &mut |_| ()).unwrap();
        assert_ne!(checked.digest, made.digest);
    }
}

#[test]
fn several_keys_open_segments_in_the_headers_order() {
    let dir = TempDir::new().unwrap();
    let mut parts = Vec::new();
    for len in [SEGMENT, 2 * SEGMENT, 100] {
        let (path, made) = sealed(dir.path(), &bytes(len), 1);
        parts.push((fs::read(path).unwrap()[124..].to_vec(), made.content.keys()[0].clone(), bytes(len)));
    }
    let keys = parts.iter().map(|(_, key, _)| key.clone()).collect();
    let content = ContentKeys::new(keys, None).unwrap();
    let header = Header::seal(&content, &[reader(1).recipient()], &mut OsRandom).unwrap();
    let mut file = header.to_bytes();
    parts.iter().for_each(|(body, _, _)| file.extend_from_slice(body));
    let path = dir.path().join("spliced.c4gh");
    fs::write(&path, file).unwrap();
    let text: Vec<u8> = parts.iter().flat_map(|(_, _, text)| text.clone()).collect();
    assert!(opened(&path, &content, 2).unwrap() == text);
    // Without the key of a segment the file doesn't open, unless the edits keep nothing of it.
    let first = ContentKeys::new(vec![content.keys()[0].clone()], None).unwrap();
    assert!(matches!(opened(&path, &first, 2), Err(Crypt4ghError::Body(BodyError::Segment(1)))));
    let edits = EditList::new(vec![10, 20, SEGMENT as u64 * 4, 0]).unwrap();
    let first = ContentKeys::new(vec![content.keys()[0].clone()], Some(edits)).unwrap();
    assert!(opened(&path, &first, 2).unwrap() == text[10..30]);
}

#[test]
fn order_edits_and_keys_are_all_committed_to() {
    let key = |byte| crypt4gh::DataKey::from_bytes(&[byte; 32]).unwrap();
    let edits = |lengths: &[u64]| Some(EditList::new(lengths.to_vec()).unwrap());
    let all = [
        ContentKeys::new(vec![key(1)], None),
        ContentKeys::new(vec![key(2)], None),
        ContentKeys::new(vec![key(1), key(2)], None),
        ContentKeys::new(vec![key(2), key(1)], None),
        ContentKeys::new(vec![key(1)], edits(&[0])),
        ContentKeys::new(vec![key(1)], edits(&[0, 0])),
        ContentKeys::new(vec![key(1)], edits(&[1])),
    ];
    let commitments: std::collections::BTreeSet<_> = all
        .iter()
        .flat_map(|content| {
            [b"a", b"b"].map(|file| *content.as_ref().unwrap().commitment(&Blake3Digest::of(file)).as_bytes())
        })
        .collect();
    assert_eq!(commitments.len(), 2 * all.len());
}

/// Both values were computed apart from this code, with another implementation of HMAC.
#[test]
fn the_commitment_is_what_the_spec_says() {
    let keys = [7, 8].map(|byte| crypt4gh::DataKey::from_bytes(&[byte; 32]).unwrap()).to_vec();
    let content = ContentKeys::from_parts(keys, Some(vec![0, 7_853, 71_721])).unwrap().unwrap();
    let commitment = content.commitment(&Blake3Digest::of(b"abc")).to_string();
    assert_eq!(commitment, "862a3b572faf3c380470ca5ff895052059ebcf357df796e2bab6e9864008c2b4");

    // The identity of 32 bytes 09.
    let identity: Identity =
        "AGE-SECRET-KEY-1PYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSTFVYXW".parse().unwrap();
    let derived = crypt4gh::Identity::of(&identity).unwrap().dangerous_file();
    let body = derived.lines().nth(1).unwrap();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap();
    assert_eq!(
        hex::encode(&bytes[bytes.len() - 32..]),
        "38b453b8843c4701d9efaa6ef3ba702199cc9b304df380e2362668bce806f656"
    );
}

/// A folder, and the owner's identity.
struct World {
    dir: TempDir,
    identity: Identity,
}

impl World {
    fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            identity: Identity::generate(IdentityKind::Hybrid, &mut OsRandom).unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn seal(&self, names: &[&str], to: &str) -> Result<SealedDataset, SealError> {
        let inputs: Vec<_> = names.iter().map(|name| self.path(name)).collect();
        let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
        let own = crypt4gh::Identity::of(&self.identity).unwrap();
        let mut sink = DirectorySink::create(self.path(to)).unwrap();
        let recipients = [self.identity.recipient().unwrap()];
        seal_files(&inputs, &[own.recipient()], &recipients, &mut sink, &mut OsRandom, &mut |_| ())
    }

    fn keys(&self, dataset: &str) -> ObjectKeys {
        file_keys(&mut DirectorySource::new(self.path(dataset)), std::slice::from_ref(&self.identity))
            .unwrap()
    }

    /// Opens a dataset as files and as streams, which must come to the same.
    fn open(
        &self,
        dataset: &str,
        commitment: &DatasetCommitment,
        keys: &ObjectKeys,
    ) -> Result<Opened, OpenError> {
        self.open_within(dataset, commitment, keys, Limits::NONE)
    }

    fn open_within(
        &self,
        dataset: &str,
        commitment: &DatasetCommitment,
        keys: &ObjectKeys,
        limits: Limits,
    ) -> Result<Opened, OpenError> {
        let mut files = DirectorySource::new(self.path(dataset));
        let outcome =
            open(&mut files, commitment, keys, &self.path("out"), limits, Modes::ReadOnly, &mut |_| ());
        let mut streams = Streams(DirectorySource::new(self.path(dataset)));
        let other =
            open(&mut streams, commitment, keys, &self.path("out2"), limits, Modes::ReadOnly, &mut |_| ());
        match (&outcome, &other) {
            (Ok(one), Ok(two)) => assert_eq!(one, two),
            (Err(one), Err(two)) => assert_eq!(one.to_string(), two.to_string()),
            (one, two) => panic!("{one:?}, {two:?}"),
        }
        for name in ["out", "out2"] {
            assert_eq!(self.path(name).exists(), outcome.is_ok());
        }
        let left = fs::read_dir(self.dir.path()).unwrap();
        let left =
            left.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
        assert_eq!(left.count(), 0, "something of an opening is left");
        outcome
    }
}

struct Streams(DirectorySource);

impl ObjectSource for Streams {
    fn open(&mut self, name: &ObjectName, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        self.0.open(name, offset)
    }
}

#[test]
fn a_dataset_of_crypt4gh_files_opens_to_the_files() {
    let world = World::new();
    for (name, len) in [("a.bam", 5_000_000), ("b.vcf", 0), ("KEYS", 70_000)] {
        fs::write(world.path(name), bytes(len)).unwrap();
    }
    let made = world.seal(&["a.bam", "b.vcf", "KEYS"], "sealed").unwrap();
    assert_eq!((made.entries, made.bytes, made.objects.len()), (3, 5_070_000, 4));
    let names: Vec<_> = made.b3sums.names().map(ObjectName::as_str).collect();
    assert_eq!(names, ["KEYS", "KEYS.c4gh", "a.bam.c4gh", "access.age", "b.vcf.c4gh"]);
    let opened = world.open("sealed", &made.commitment, &world.keys("sealed")).unwrap();
    assert_eq!((opened.entries, opened.bytes, opened.root), (3, 5_070_000, None));
    for name in ["a.bam", "b.vcf", "KEYS"] {
        assert!(
            fs::read(world.path("out").join(name)).unwrap() == fs::read(world.path(name)).unwrap(),
            "{name}"
        );
        assert!(
            fs::read(world.path("out2").join(name)).unwrap() == fs::read(world.path(name)).unwrap(),
            "{name}"
        );
        assert!(fs::metadata(world.path("out").join(name)).unwrap().permissions().readonly());
    }
}

#[test]
fn what_no_dataset_of_crypt4gh_files_can_hold_is_refused() {
    let world = World::new();
    fs::create_dir(world.path("folder")).unwrap();
    let long = "x".repeat(60);
    for name in ["a", "b c", &long] {
        fs::write(world.path(name), "content").unwrap();
    }
    for (index, names) in [&["folder"][..], &["b c"], &[&long], &["a", "a"], &[]].into_iter().enumerate() {
        assert!(world.seal(names, "sealed").is_err(), "case {index}");
        assert!(
            !world.path("sealed").exists() && !world.path(".sealed.pox-partial").exists(),
            "case {index}"
        );
    }
}

#[test]
fn nothing_but_the_committed_bytes_is_opened() {
    let world = World::new();
    fs::write(world.path("a"), bytes(300_000)).unwrap();
    fs::write(world.path("b"), bytes(300_000)).unwrap();
    let made = world.seal(&["a", "b"], "sealed").unwrap();
    let keys = world.keys("sealed");
    let file = world.path("sealed/a.c4gh");
    let good = fs::read(&file).unwrap();
    let other = fs::read(world.path("sealed/b.c4gh")).unwrap();
    let (head, body) = good.split_at(124);
    let segments: Vec<&[u8]> = body.chunks(MAX_SEALED_SEGMENT).collect();
    let mut flipped = good.clone();
    flipped[200_000] ^= 1;
    let mut header = good.clone();
    header[20] ^= 1;
    let attacks = [
        ("swapped", [head, segments[1], segments[0], &segments[2..].concat()].concat()),
        ("dropped", [head, segments[0], &segments[2..].concat()].concat()),
        ("repeated", [head, segments[0], segments[0], &segments[1..].concat()].concat()),
        ("cut between segments", [head, segments[0]].concat()),
        ("cut within a segment", good[..good.len() - 9].to_vec()),
        ("extended", [&good[..], segments[0]].concat()),
        ("without a body", head.to_vec()),
        ("flipped", flipped),
        ("header flipped", header),
        ("of another file", [head, &other[124..]].concat()),
        ("empty", Vec::new()),
    ];
    for (what, bad) in attacks {
        fs::write(&file, bad).unwrap();
        let error = world.open("sealed", &made.commitment, &keys).unwrap_err();
        assert!(
            matches!(&error, OpenError::Mismatch { object } if object.as_str() == "a.c4gh"),
            "{what}: {error}"
        );
    }
    fs::write(&file, &good).unwrap();
    for text in ["KEYS", "B3SUMS"] {
        let good = fs::read(world.path("sealed").join(text)).unwrap();
        fs::write(world.path("sealed").join(text), [&good[..], b"\n"].concat()).unwrap();
        assert!(matches!(world.open("sealed", &made.commitment, &keys), Err(OpenError::Mismatch { .. })));
        fs::write(world.path("sealed").join(text), good).unwrap();
    }
    assert!(world.open("sealed", &made.commitment, &keys).is_ok());
}

#[test]
fn only_the_committed_keys_open_and_only_within_the_limits() {
    let world = World::new();
    fs::write(world.path("a"), bytes(100_000)).unwrap();
    let made = world.seal(&["a"], "sealed").unwrap();
    let object = ObjectName::new("a.c4gh").unwrap();
    let right = world.keys("sealed").content(&object).unwrap().clone();
    let check = |content: Option<ContentKeys>, wanted: Invalid| {
        let mut keys = ObjectKeys::default();
        content.into_iter().for_each(|content| keys.insert_content(object.clone(), content));
        let error = world.open("sealed", &made.commitment, &keys).unwrap_err();
        assert!(matches!(error, OpenError::Invalid { reason, .. } if reason == wanted), "{error}");
    };
    check(None, Invalid::NoKey);
    check(Some(ContentKeys::generate(&mut OsRandom).unwrap()), Invalid::Key);
    // Another edit list, or one more key, would show another content.
    let edits = EditList::new(vec![5, 10]).unwrap();
    check(ContentKeys::new(right.keys().to_vec(), Some(edits)), Invalid::Key);
    let more = ContentKeys::generate(&mut OsRandom).unwrap().keys()[0].clone();
    check(ContentKeys::new(vec![right.keys()[0].clone(), more], None), Invalid::Key);

    let keys = world.keys("sealed");
    let within =
        |bytes, entries| world.open_within("sealed", &made.commitment, &keys, Limits { bytes, entries });
    for limits in [(99_999, 1), (100_000, 0), (0, 1)] {
        let error = within(limits.0, limits.1).unwrap_err();
        assert!(matches!(error, OpenError::Invalid { reason: Invalid::TooLarge, .. }), "{error}");
    }
    assert!(within(100_000, 1).is_ok());
}

#[test]
fn existing_files_become_a_dataset_as_they_are() {
    let world = World::new();
    let (folder, text) = (world.path("data"), bytes(200_000));
    fs::create_dir(&folder).unwrap();
    let (path, made) = sealed(world.dir.path(), &text, 2);
    fs::rename(&path, folder.join("one.c4gh")).unwrap();
    // An edit list, as `rearrange` makes it: the same body, another header.
    let edits = EditList::new(vec![1_000, 70_000, 20_000, 5]).unwrap();
    let content = ContentKeys::new(made.content.keys().to_vec(), Some(edits)).unwrap();
    let header = Header::seal(&content, &[reader(1).recipient()], &mut OsRandom).unwrap().to_bytes();
    let one = fs::read(folder.join("one.c4gh")).unwrap();
    fs::write(folder.join("two.c4gh"), [&header[..], &one[124..]].concat()).unwrap();

    let files = ["one.c4gh", "two.c4gh"].map(|name| folder.join(name));
    let recipients = [world.identity.recipient().unwrap()];
    let identities = [reader(9), reader(1)];
    let adoption = Adoption { files: &files, identities: &identities, recipients: &recipients };
    let taken = |to: &str, adoption: &Adoption<'_>| {
        let mut sink = DirectorySink::create(world.path(to)).unwrap();
        adopt(adoption, &mut sink, &mut OsRandom, &mut |_| ())
    };
    let dataset = taken("sealed", &adoption).unwrap();
    assert_eq!((dataset.entries, dataset.bytes), (2, 200_000 + 70_005));
    assert_eq!(fs::read(world.path("sealed/one.c4gh")).unwrap(), one);
    let opened = world.open("sealed", &dataset.commitment, &world.keys("sealed")).unwrap();
    assert_eq!(opened.bytes, 270_005);
    assert!(fs::read(world.path("out/one")).unwrap() == text);
    let kept = [&text[1_000..71_000], &text[91_000..91_005]].concat();
    assert!(fs::read(world.path("out/two")).unwrap() == kept);
    assert!(fs::read(world.path("out2/two")).unwrap() == kept);

    let strangers = [reader(9)];
    let error = taken("other", &Adoption { identities: &strangers, ..adoption }).unwrap_err();
    assert!(matches!(error, SealError::Crypt4gh { error: Crypt4ghError::NoMatch, .. }), "{error}");
    let mut bad = one.clone();
    bad[150_000] ^= 1;
    fs::write(&files[0], bad).unwrap();
    let error = taken("other", &adoption).unwrap_err();
    assert!(
        matches!(error, SealError::Crypt4gh { error: Crypt4ghError::Body(BodyError::Segment(2)), .. }),
        "{error}"
    );
    assert!(!world.path("other").exists());
}

#[test]
fn readers_of_the_files_open_a_dataset_that_was_not_sealed_for_them() {
    let world = World::new();
    fs::write(world.path("a"), bytes(10)).unwrap();
    let colleague = Identity::generate(IdentityKind::X25519, &mut OsRandom).unwrap();
    let readers = [&world.identity, &colleague].map(|who| crypt4gh::Identity::of(who).unwrap().recipient());
    let mut sink = DirectorySink::create(world.path("sealed")).unwrap();
    let recipients = [world.identity.recipient().unwrap()];
    let made = seal_files(&[&world.path("a")], &readers, &recipients, &mut sink, &mut OsRandom, &mut |_| ())
        .unwrap();
    let mut source = DirectorySource::new(world.path("sealed"));
    let keys = file_keys(&mut source, std::slice::from_ref(&colleague)).unwrap();
    assert_eq!(world.open("sealed", &made.commitment, &keys).unwrap().bytes, 10);
    let stranger = Identity::generate(IdentityKind::X25519, &mut OsRandom).unwrap();
    let error = file_keys(&mut source, &[stranger]).unwrap_err();
    assert!(matches!(error, OpenError::Invalid { reason: Invalid::NoKey, .. }), "{error}");
}
