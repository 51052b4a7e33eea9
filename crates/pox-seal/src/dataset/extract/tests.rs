//! Extraction of archives and manifests that an owner may have put together by hand.

use super::super::archive::{self, Member};
use super::super::manifest::{Entry, Item, Kind, Root, RootBuilder, Trailer, write_item};
use super::super::open::{Limits, Modes};
use super::*;
use crate::engine::Position;

const META: Meta = Meta { mode: 0o644, seconds: 0, nanoseconds: 0 };

fn path(text: &str) -> EntryPath {
    EntryPath::new(text.into()).unwrap()
}

fn header(path: &EntryPath, member: Member<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    archive::write_header(path, member, &mut out);
    out
}

fn file(name: &str, content: &str) -> (Entry, Vec<u8>) {
    let (path, size, digest) = (path(name), content.len() as u64, Blake3Digest::of(content.as_bytes()));
    let mut bytes = header(&path, Member::File { meta: &META, size });
    bytes.extend_from_slice(content.as_bytes());
    bytes.extend_from_slice(&archive::END[..archive::padding(size)]);
    (Entry::File { path, meta: META, size, offset: 0, digest, salt: [0; 32] }, bytes)
}

fn folder(name: &str) -> (Entry, Vec<u8>) {
    let bytes = header(&path(name), Member::Folder { meta: &META });
    (Entry::Folder { path: path(name), meta: META, salt: [0; 32] }, bytes)
}

fn link(name: &str, target: &str) -> (Entry, Vec<u8>) {
    let target = target.as_bytes();
    let bytes = header(&path(name), Member::Link { target });
    (Entry::Link { path: path(name), target: target.to_vec(), salt: [0; 32] }, bytes)
}

/// Extracts what an owner may have put together by hand.
fn extract(
    entries: Vec<(Entry, Vec<u8>)>,
    change: impl Fn(&mut Trailer, &mut Vec<u8>),
) -> Result<Opened, OpenError> {
    let (manifest, data) = build(entries, change);
    extract_sealed(&manifest, &seal(&data), Team::of(2))
}

/// A manifest and the archive beside it.
fn build(entries: Vec<(Entry, Vec<u8>)>, change: impl Fn(&mut Trailer, &mut Vec<u8>)) -> (Vec<u8>, Vec<u8>) {
    let (mut manifest, mut data, mut root) = (Vec::new(), Vec::new(), RootBuilder::default());
    let mut trailer = Trailer { entries: 0, bytes: 0, root: Root([0; 32]) };
    for (mut entry, bytes) in entries {
        if let Entry::File { offset, path, meta, size, .. } = &mut entry {
            *offset = (data.len() + header(path, Member::File { meta, size: *size }).len()) as u64;
            trailer.bytes += *size;
        }
        let item = Item::Entry(entry).encode();
        write_item(&mut manifest, &item).unwrap();
        root.push(&item);
        trailer.entries += 1;
        data.extend_from_slice(&bytes);
    }
    trailer.root = root.finish();
    data.extend_from_slice(&archive::END);
    change(&mut trailer, &mut data);
    write_item(&mut manifest, &Item::Trailer(trailer).encode()).unwrap();
    (manifest, data)
}

fn key() -> PayloadKey {
    PayloadKey::new(&crate::FileKey::from_bytes(&[7; 16]).unwrap(), &[0; 16])
}

fn seal(data: &[u8]) -> Vec<u8> {
    let chunks: Vec<_> = if data.is_empty() { vec![data] } else { data.chunks(CHUNK).collect() };
    let mut out = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        let mut slot = [chunk, &[0; 16][..]].concat();
        let position = if index + 1 == chunks.len() { Position::Last } else { Position::Inner };
        key().seal(index as u64, position, &mut slot);
        out.extend_from_slice(&slot);
    }
    out
}

/// From a stream and from a file, which must come to the same.
fn extract_sealed(manifest: &[u8], sealed: &[u8], team: Team) -> Result<Opened, OpenError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(sealed).unwrap();
    let [one, other] = [Feed::File(file), Feed::Stream(Box::new(sealed))].map(|feed| {
        let folder = tempfile::TempDir::new().unwrap();
        let base = Base::new(folder.path(), Modes::AsSealed).unwrap();
        let (mut manifest, mut progress, mut hash) = (manifest, |_| (), TreeHash::default());
        let layout = Layout::new(Kind::Tree, &mut manifest, &base, Limits::NONE);
        let (cipher, most) = (&key(), u64::MAX);
        let sealed_data = Sealed { feed, cipher, start: 0, most };
        let opened = sealed_data.extract(layout, &base, &mut hash, team, &mut progress).unwrap();
        assert_eq!(hash.digest(), Blake3Digest::of(sealed), "whatever is wrong, everything is hashed");
        opened
    });
    assert_eq!(one.as_ref().ok(), other.as_ref().ok());
    assert_eq!(one.as_ref().err().map(ToString::to_string), other.as_ref().err().map(ToString::to_string));
    one
}

#[test]
fn a_tree_put_together_well_is_taken() {
    let entries = vec![folder("a"), file("a/x", "x"), link("a/y", "../b"), file("b", "b")];
    assert_eq!(extract(entries, |_, _| ()).unwrap().entries, 4);
}

#[test]
fn tricks_with_entries_are_refused() {
    let cases = [
        vec![file("b", "b"), file("a", "a")],
        vec![file("a", "a"), file("a", "b")],
        vec![folder("a"), file("a", "a")],
        vec![file("a/x", "x")],
        vec![file("a", "a"), file("a/x", "x")],
        vec![link("a", "."), file("a/x", "x")],
        vec![folder("a"), file("b", "b"), file("a/x", "x")],
        vec![folder("a"), file("ab/x", "x")],
    ];
    for (index, entries) in cases.into_iter().enumerate() {
        assert!(matches!(extract(entries, |_, _| ()), Err(OpenError::Invalid { .. })), "case {index}");
    }
}

#[test]
fn totals_and_archive_must_agree() {
    let entries = || vec![folder("a"), file("a/x", "content")];
    let changes: [fn(&mut Trailer, &mut Vec<u8>); 7] = [
        |trailer, _| trailer.entries += 1,
        |trailer, _| trailer.bytes -= 1,
        |trailer, _| trailer.root.0[0] ^= 1,
        |_, data| data.push(0),
        |_, data| data.truncate(data.len() - 1),
        |_, data| data[0] ^= 1,
        |_, data| data[2 * 512] ^= 1,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert!(matches!(extract(entries(), change), Err(OpenError::Invalid { .. })), "change {index}");
    }
    assert!(extract(entries(), |_, _| ()).is_ok());
}

/// Entries put together well, over many segments of two chunks.
fn long() -> (Vec<u8>, Vec<u8>) {
    let large = "0123456789abcdef".repeat(40_000);
    let mut entries = vec![folder("a"), file("a/empty", ""), file("a/large", &large), link("a/y", "../b")];
    entries.extend((0..900).map(|at| file(&format!("b{at:03}"), &large[..at])));
    entries.push(folder("c"));
    entries.push(file("c/large", &large[1..]));
    build(entries, |_, _| ())
}

#[test]
fn any_team_takes_what_lies_across_segments() {
    let (manifest, data) = long();
    for workers in [1, 2, 5] {
        let opened = extract_sealed(&manifest, &seal(&data), Team::of(workers).on_segments_of(2));
        assert_eq!(opened.unwrap().entries, 906, "{workers}");
    }
}

#[test]
fn whatever_is_wrong_in_any_segment_is_noticed() {
    let (manifest, data) = long();
    let stride = PayloadKey::STRIDE;
    let sealed = seal(&data);
    let cut = |count: usize| sealed[..count].to_vec();
    let mut flipped = sealed.clone();
    flipped[5 * stride + 9] ^= 1;
    let mut swapped = sealed.clone();
    swapped[2 * stride..6 * stride].rotate_left(2 * stride);
    let longer = seal(&[&data[..], &[0; 9]].concat());
    let mut lie = data.clone();
    let at = lie.len() - 4000;
    lie[at] ^= 1;
    let empty_chunk = {
        let whole = &data[..data.len() / (2 * CHUNK) * 2 * CHUNK];
        let mut out = Vec::new();
        for (index, chunk) in whole.chunks(CHUNK).chain([&[][..]]).enumerate() {
            let mut slot = [chunk, &[0; 16][..]].concat();
            let position = if chunk.is_empty() { Position::Last } else { Position::Inner };
            key().seal(index as u64, position, &mut slot);
            out.extend_from_slice(&slot);
        }
        out
    };
    let cases = [
        ("cut in a chunk", cut(sealed.len() - 1), Invalid::Age),
        ("cut at a segment", cut(4 * stride), Invalid::Age),
        ("cut at a chunk", cut(5 * stride), Invalid::Age),
        ("nothing", Vec::new(), Invalid::Age),
        ("flipped", flipped, Invalid::Age),
        ("swapped", swapped, Invalid::Age),
        ("longer", longer, Invalid::Content),
        ("shorter", seal(&data[..4 * CHUNK]), Invalid::File),
        ("an empty chunk", empty_chunk, Invalid::Age),
        ("another byte in a file", seal(&lie), Invalid::File),
    ];
    for (name, sealed, wanted) in cases {
        for workers in [1, 3] {
            let opened = extract_sealed(&manifest, &sealed, Team::of(workers).on_segments_of(2));
            match opened {
                Err(OpenError::Invalid { reason, .. }) => assert_eq!(reason, wanted, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[test]
fn of_several_things_that_are_wrong_the_first_is_told_of() {
    // The archive's end has a segment of its own, so small that its fault is found before the one in the file.
    let (manifest, mut data) = build(vec![file("a", &"x".repeat(8 * CHUNK - 512))], |_, _| ());
    data[7 * CHUNK] ^= 1;
    let mut sealed = seal(&data);
    let end = sealed.len() - 1;
    sealed[end] ^= 1;
    for _ in 0..50 {
        match extract_sealed(&manifest, &sealed, Team::of(4).on_segments_of(1)) {
            Err(OpenError::Invalid { reason: Invalid::File, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}
