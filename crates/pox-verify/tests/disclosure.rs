//! Disclosures: what belongs to a dataset is shown, and every forgery is refused by name.
#![allow(clippy::disallowed_methods, reason = "vectors are files")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use alloy_primitives::B256;
use minicbor::Encoder;
use pox_core::DatasetCommitment;
use pox_verify::disclosure::{
    BadDisclosure, ContentHasher, Disclosure, Entry, MAGIC, MAX_BYTES, MAX_FILES, OtherContent, Side, Step,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Entries of a dataset, the hashes of their tree, and its `B3SUMS`.
struct Dataset {
    entries: Vec<Vec<u8>>,
    index: String,
}

fn content(name: &str) -> Vec<u8> {
    format!("what is in {name}\n").into_bytes()
}

fn entry(name: &[u8], content: &[u8], salt: u8) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    e.array(9).unwrap().u8(0).unwrap().bytes(name).unwrap().u16(0o644).unwrap();
    e.i64(1_700_000_000).unwrap().u32(5).unwrap().u64(content.len() as u64).unwrap().u64(512).unwrap();
    e.bytes(blake3::hash(content).as_bytes()).unwrap().bytes(&[salt; 32]).unwrap();
    e.into_writer()
}

fn leaf(entry: &[u8]) -> [u8; 32] {
    blake3::derive_key("pox dataset entry v1", entry)
}

fn node(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    blake3::derive_key("pox dataset node v1", &[left, right].concat())
}

/// The root over some leaves, by the definition of RFC 6962.
fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
            node(root(left), root(right))
        }
    }
}

/// The way from a leaf to the root, by the same.
fn path(leaves: &[[u8; 32]], at: usize) -> Vec<Step> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut steps, side, sibling) = match at < left.len() {
        true => (path(left, at), Side::Right, root(right)),
        false => (path(right, at - left.len()), Side::Left, root(left)),
    };
    steps.push(Step { side, hash: B256::from(sibling) });
    steps
}

impl Dataset {
    fn new(count: usize, salt: u8) -> Self {
        let name = |at: usize| format!("data/{at:02}.csv");
        let made = (0..count).map(|at| entry(name(at).as_bytes(), &content(&name(at)), salt + at as u8));
        Self::of(made.collect())
    }

    fn of(entries: Vec<Vec<u8>>) -> Self {
        let leaves: Vec<_> = entries.iter().map(|entry| leaf(entry)).collect();
        let root = format!("{}\n", hex::encode(root(&leaves)));
        let other = "ab".repeat(32);
        let index = format!(
            "{other}  KEYS\n{}  ROOT\n{other}  data.age\n{other}  manifest.age\n",
            blake3::hash(root.as_bytes()).to_hex()
        );
        Self { entries, index }
    }

    fn disclose(&self, which: &[usize]) -> Disclosure {
        let leaves: Vec<_> = self.entries.iter().map(|entry| leaf(entry)).collect();
        let entry = |at: &usize| Entry { entry: self.entries[*at].clone(), path: path(&leaves, *at) };
        Disclosure { index: self.index.clone().into_bytes(), entries: which.iter().map(entry).collect() }
    }

    fn commitment(&self) -> DatasetCommitment {
        DatasetCommitment::from(<[u8; 32]>::from(Sha256::digest(&self.index)))
    }
}

type Forgery = (&'static str, fn(&mut Disclosure), &'static str);

/// A change of a disclosure of files 2 and 5 of 7, and what it is refused as.
const FORGERIES: &[Forgery] = &[
    ("wrong-salt", |d| *d.entries[0].entry.last_mut().unwrap() ^= 1, "other-root"),
    ("other-path", |d| replace(&mut d.entries[0].entry, b"02.csv", b"03.csv"), "other-root"),
    ("other-file", |d| d.entries[0].entry = entry(b"data/02.csv", b"forged", 3), "other-root"),
    ("wrong-size", |d| d.entries[0].entry[23] ^= 1, "other-root"),
    (
        "wrong-mode",
        |d| replace(&mut d.entries[0].entry, &[0x19, 0x01, 0xa4], &[0x19, 0x01, 0xb4]),
        "other-root",
    ),
    ("reordered-path", |d| d.entries[0].path.swap(0, 1), "other-root"),
    ("other-side", |d| d.entries[0].path[0].side = Side::Left, "other-root"),
    ("shortened-path", |d| d.entries[0].path.truncate(2), "other-root"),
    (
        "lengthened-path",
        |d| {
            let step = d.entries[0].path[0];
            d.entries[0].path.push(step)
        },
        "other-root",
    ),
    ("path-of-another", |d| d.entries[0].path = d.entries[1].path.clone(), "other-root"),
    ("root-as-entry", |d| d.entries[0].path.clear(), "other-root"),
    ("other-dataset", |d| d.index = Dataset::new(7, 100).index.into_bytes(), "other-root"),
    ("second-forged", |d| *d.entries[1].entry.last_mut().unwrap() ^= 1, "other-root"),
    ("index-without-root", |d| replace(&mut d.index, b"ROOT", b"ROOF"), "index"),
    (
        "index-with-two-roots",
        |d| d.index = [&d.index[..69], &d.index[69..138], &d.index[69..]].concat(),
        "index",
    ),
    ("index-cut", |d| d.index.truncate(d.index.len() - 1), "index"),
    ("no-files", |d| d.entries.clear(), "order"),
    ("files-twice", |d| d.entries[1] = d.entries[0].clone(), "order"),
    ("files-out-of-order", |d| d.entries.swap(0, 1), "order"),
    ("entry-of-a-folder", |d| d.entries[0].entry[1] = 1, "entry"),
    ("entry-not-canonical", |d| d.entries[0].entry.push(0), "entry"),
    ("entry-climbs", |d| replace(&mut d.entries[0].entry, b"data/", b"../a/"), "entry"),
    ("entry-absolute", |d| replace(&mut d.entries[0].entry, b"data/", b"/ata/"), "entry"),
    (
        "entry-with-odd-mode",
        |d| replace(&mut d.entries[0].entry, &[0x19, 0x01, 0xa4], &[0x19, 0x09, 0xa4]),
        "entry",
    ),
];

fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    bytes[at..at + new.len()].copy_from_slice(new);
}

fn name(error: &BadDisclosure) -> &'static str {
    match error {
        BadDisclosure::NotADisclosure => "not-a-disclosure",
        BadDisclosure::TooLarge => "too-large",
        BadDisclosure::Malformed(_) => "malformed",
        BadDisclosure::Index => "index",
        BadDisclosure::Order => "order",
        BadDisclosure::Entry(_) => "entry",
        BadDisclosure::OtherRoot(_) => "other-root",
    }
}

fn cases() -> BTreeMap<String, Value> {
    let dataset = Dataset::new(7, 1);
    let mut cases = BTreeMap::new();
    let mut good = |name: &str, dataset: &Dataset, which: &[usize]| {
        let made = dataset.disclose(which);
        let shown = made.verify().unwrap();
        let file = format!("0x{}", hex::encode(made.to_bytes()));
        cases.insert(name.to_owned(), json!({ "file": file, "shows": shown }));
    };
    good("two-of-seven", &dataset, &[2, 5]);
    good("last-of-seven", &dataset, &[6]);
    good("only-file", &Dataset::new(1, 1), &[0]);
    for (name, forge, refused) in FORGERIES {
        let mut made = dataset.disclose(&[2, 5]);
        forge(&mut made);
        let file = format!("0x{}", hex::encode(made.to_bytes()));
        cases.insert((*name).to_owned(), json!({ "file": file, "refused": refused }));
    }
    let sound = dataset.disclose(&[2]).to_bytes();
    let forms = [
        ("bytes-follow", [&sound[..], &[0]].concat(), "malformed"),
        ("cut", sound[..sound.len() - 1].to_vec(), "malformed"),
        ("long-key", [MAGIC, &[0xa2, 0x18, 0x00][..], &sound[MAGIC.len() + 2..]].concat(), "malformed"),
        ("other-version", [b"pox-disclosure-v2\n", &sound[MAGIC.len()..]].concat(), "not-a-disclosure"),
    ];
    for (name, file, refused) in forms {
        let file = format!("0x{}", hex::encode(file));
        cases.insert(name.to_owned(), json!({ "file": file, "refused": refused }));
    }
    cases
}

#[test]
fn the_vectors_are_those_that_the_code_makes_and_hold() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/disclosure");
    let made = cases();
    if std::env::var_os("POX_WRITE_VECTORS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, case) in &made {
            let text = serde_json::to_string_pretty(case).unwrap() + "\n";
            fs::write(folder.join(name).with_extension("json"), text).unwrap();
        }
    }
    let mut read = 0;
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let case: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert_eq!(made.get(stem), Some(&case), "{stem}");
        let bytes = hex::decode(&case["file"].as_str().unwrap()[2..]).unwrap();
        match Disclosure::parse(&bytes).and_then(|disclosure| disclosure.verify()) {
            Ok(shown) => assert_eq!(serde_json::to_value(shown).unwrap(), case["shows"], "{stem}"),
            Err(error) => assert_eq!(name(&error), case["refused"].as_str().unwrap(), "{stem}: {error}"),
        }
        read += 1;
    }
    assert_eq!(read, made.len(), "a vector is missing");
}

#[test]
fn every_set_of_files_of_every_tree_is_shown() {
    for count in 1..12 {
        let dataset = Dataset::new(count, 1);
        for mask in 1u32..1 << count.min(8) {
            let which: Vec<usize> = (0..count).filter(|at| mask >> at & 1 == 1).collect();
            let disclosure = dataset.disclose(&which);
            let parsed = Disclosure::parse(&disclosure.to_bytes()).unwrap();
            assert_eq!(parsed, disclosure);
            let shown = parsed.verify().unwrap();
            assert_eq!(shown.commitment, dataset.commitment());
            let names: Vec<_> = shown.files.iter().map(|file| file.shown_path()).collect();
            assert_eq!(names, which.iter().map(|at| format!("data/{at:02}.csv")).collect::<Vec<_>>());
        }
    }
}

#[test]
fn no_changed_byte_shows_anything_else() {
    let dataset = Dataset::new(7, 1);
    let (sound, which) = (dataset.disclose(&[2, 5]), dataset.disclose(&[2, 5]).verify().unwrap());
    let bytes = sound.to_bytes();
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            if let Ok(shown) = Disclosure::parse(&changed).and_then(|disclosure| disclosure.verify()) {
                // Lines of the index about other files can change; it is another dataset's then.
                assert!(shown.commitment != which.commitment && shown.files == which.files, "byte {at}");
            }
        }
    }
}

#[test]
fn nothing_of_the_hidden_files_is_in_it() {
    let mut dataset = Dataset::new(7, 1);
    dataset.entries[3] = entry(b"data/03.csv", b"secret", 99);
    let dataset = Dataset::of(dataset.entries);
    let bytes = dataset.disclose(&[2]).to_bytes();
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(has(&[3; 32]) && has(b"02.csv"));
    for hidden in [&[99; 32][..], b"03.csv", blake3::hash(b"secret").as_bytes()] {
        assert!(!has(hidden));
    }
}

#[test]
fn content_is_compared_by_length_and_digest() {
    let shown = Dataset::new(3, 1).disclose(&[1]).verify().unwrap();
    let compare = |bytes: &[u8]| {
        let mut hasher = ContentHasher::default();
        bytes.chunks(3).for_each(|piece| hasher.update(piece));
        hasher.compare(&shown.files[0])
    };
    let right = content("data/01.csv");
    assert_eq!(compare(&right), Ok(()));
    assert!(matches!(compare(&right[1..]), Err(OtherContent::Size(..))));
    let mut other = right;
    other[0] ^= 1;
    assert_eq!(compare(&other), Err(OtherContent::Digest));
}

#[test]
fn bounds_hold() {
    let dataset = Dataset::new(7, 1);
    let mut many = dataset.disclose(&[2]);
    many.entries = vec![many.entries[0].clone(); MAX_FILES + 1];
    let mut deep = dataset.disclose(&[2]);
    deep.entries[0].path = vec![deep.entries[0].path[0]; 65];
    let mut wide = dataset.disclose(&[2]);
    wide.index = vec![b'a'; 8385];
    let mut long = dataset.disclose(&[2]);
    long.entries[0].entry = vec![0; 9 * 1024 + 1];
    for disclosure in [many, deep, wide, long] {
        assert_eq!(Disclosure::parse(&disclosure.to_bytes()), Err(BadDisclosure::TooLarge));
    }
    let mut huge = MAGIC.to_vec();
    huge.resize(MAX_BYTES + 1, 0);
    assert_eq!(Disclosure::parse(&huge), Err(BadDisclosure::TooLarge));
    // A length that lies allocates nothing.
    let lying = [&MAGIC[..], &[0xa2, 0x00, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat();
    assert!(matches!(Disclosure::parse(&lying), Err(BadDisclosure::Malformed(_))));
    let lying = [&MAGIC[..], &[0xa2, 0x00, 0x40, 0x01, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
        .concat();
    assert!(matches!(Disclosure::parse(&lying), Err(BadDisclosure::Malformed(_))));
}
