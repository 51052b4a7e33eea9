//! Objects in directories.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::fs::symlink;
use std::path::Path;

use pox_store::{Access, Error, Location, Pending, PutMode, Range, Refused, Store};
use support::{name, object};

fn open(path: &Path, root: &Path) -> Result<Store, Error> {
    Store::open(&Location::from_path(path).unwrap(), &Access::default().allow_root(root))
}

fn put(store: &Store, to: &str, bytes: &[u8], mode: PutMode) -> Result<(), Error> {
    store.put(&name(to), &mut Cursor::new(bytes), bytes.len() as u64, mode)
}

fn get(store: &Store, from: &str, range: Range) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![];
    store.get(&name(from), range)?.read_to_end(&mut bytes).map_err(Error::from_read)?;
    Ok(bytes)
}

#[test]
fn stores_reads_and_lists() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("new/set"), dir.path()).unwrap();
    put(&store, "b", &object(1000), PutMode::Create).unwrap();
    put(&store, "a/b/c", b"deep", PutMode::Create).unwrap();
    assert!(matches!(put(&store, "b", b"x", PutMode::Create), Err(Error::Exists(_))));
    put(&store, "a/b/c", b"replaced", PutMode::Replace).unwrap();
    assert_eq!(get(&store, "b", Range { start: 10, end: Some(20) }).unwrap(), object(1000)[10..20]);
    assert_eq!(get(&store, "a/b/c", Range::ALL).unwrap(), b"replaced");
    assert!(matches!(get(&store, "b", Range { start: 0, end: Some(1001) }), Err(Error::OutOfRange { .. })));
    assert!(matches!(get(&store, "none", Range::ALL), Err(Error::NotFound(_))));
    assert!(matches!(get(&store, "a", Range::ALL), Err(Error::NotFound(_))));
    let listed: Vec<_> =
        store.list().unwrap().into_iter().map(|entry| (entry.name.to_string(), entry.size)).collect();
    assert_eq!(listed, [("a/b/c".to_owned(), 8), ("b".to_owned(), 1000)]);
    assert_eq!((store.size(&name("b")).unwrap(), store.contains(&name("none")).unwrap()), (1000, false));
}

#[test]
fn a_failed_write_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), dir.path()).unwrap();
    for len in [9, 11] {
        let result = store.put(&name("x"), &mut Cursor::new([0; 10]), len, PutMode::Create);
        assert!(matches!(result, Err(Error::Source(_))));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_a_killed_process_left_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    // Of this process's number, as the first process of a container has the same each time.
    for count in 0..1000 {
        fs::write(dir.path().join(format!(".pox-tmp.x.{}.{count}", std::process::id())), "half").unwrap();
    }
    let store = open(dir.path(), dir.path()).unwrap();
    put(&store, "x", b"whole", PutMode::Create).unwrap();
    assert_eq!(get(&store, "x", Range::ALL).unwrap(), b"whole");
}

#[test]
fn a_folder_whose_name_is_no_text_is_not_taken_for_the_root() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    fs::create_dir(&odd).unwrap();
    symlink(&odd, dir.path().join("link")).unwrap();
    let opened = open(&dir.path().join("link"), dir.path());
    assert!(matches!(opened, Err(Error::Refused(Refused::Path(_)))));
}

#[test]
fn only_allowed_directories_are_touched() {
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    symlink(&outside, root.join("link")).unwrap();
    symlink("../outside/secret", root.join("file")).unwrap();
    let refused = |result: Result<Store, Error>| matches!(result, Err(Error::Refused(Refused::Path(_))));
    assert!(refused(open(&outside, &root)));
    assert!(refused(open(&root.join("link"), &root)));
    assert!(refused(open(&root.join("link/new"), &root)));
    assert!(refused(open(dir.path(), &root)));
    assert!(refused(Store::open(&Location::from_path(&root).unwrap(), &Access::default())));
    assert!(!outside.join("new").exists());

    let store = open(&root, &root).unwrap();
    for from in ["file", "link/secret"] {
        assert!(matches!(get(&store, from, Range::ALL), Err(Error::Refused(_))), "{from}");
    }
    assert!(put(&store, "link/x", b"x", PutMode::Create).is_err());
    // The link is replaced, not what it leads to.
    put(&store, "file", b"mine", PutMode::Replace).unwrap();
    assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "secret");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn only_files_are_objects() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let store = open(dir.path(), dir.path()).unwrap();
    assert!(matches!(get(&store, "fifo", Range::ALL), Err(Error::NotFound(_))));
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn a_file_that_shrinks_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), dir.path()).unwrap();
    put(&store, "x", &object(1000), PutMode::Create).unwrap();
    let mut reader = store.get(&name("x"), Range::ALL).unwrap();
    fs::OpenOptions::new().write(true).open(dir.path().join("x")).unwrap().set_len(500).unwrap();
    let error = reader.read_to_end(&mut vec![]).unwrap_err();
    assert!(matches!(Error::from_read(error), Error::Changed(_)));
}

#[test]
fn a_missing_directory_is_not_created_for_reading() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none");
    let access = Access::default().allow_root(dir.path());
    let result = Store::open_existing(&Location::from_path(&path).unwrap(), &access);
    assert!(matches!(result, Err(Error::NotFound(_))));
    assert!(!path.exists());
}

#[test]
fn pending_objects_appear_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let access = Access::default().allow_root(folder.path());
    let store =
        |name: &str| Store::open(&Location::from_path(&folder.path().join(name)).unwrap(), &access).unwrap();
    let (one, two) = (store("one"), store("two"));
    one.put(&name("a"), &mut Cursor::new(b"before"), 6, PutMode::Create).unwrap();
    let read = |path: &str| fs::read(folder.path().join(path)).ok();
    let write = |pending: &mut Pending| {
        for (store, object, bytes) in
            [(&one, "a", b"first."), (&one, "deep/b", b"second"), (&two, "a", b"third.")]
        {
            store.put_pending(&name(object), &mut Cursor::new(bytes), 6, pending).unwrap();
        }
        // One that fails leaves nothing.
        assert!(two.put_pending(&name("c"), &mut Cursor::new(b"x"), 2, pending).is_err());
        assert_eq!(
            (read("one/a").unwrap(), read("one/deep/b"), read("two/a")),
            (b"before".to_vec(), None, None)
        );
        assert_eq!((one.list().unwrap().len(), two.list().unwrap().len()), (1, 0));
    };
    let files =
        || ["one", "one/deep", "two"].map(|path| fs::read_dir(folder.path().join(path)).unwrap().count());
    let mut dropped = Pending::new(&access);
    write(&mut dropped);
    drop(dropped);
    assert_eq!(files(), [2, 0, 0], "what is not published is removed");

    let mut pending = Pending::new(&access);
    write(&mut pending);
    pending.publish().unwrap();
    drop(pending);
    let all = ["one/a", "one/deep/b", "two/a"].map(|path| read(path).unwrap());
    assert_eq!(all, [b"first.", b"second", b"third."]);
    assert_eq!(files(), [2, 1, 1]);

    // Where a folder has become a link that leads out, nothing follows it.
    let (outside, mut pending) = (tempfile::tempdir().unwrap(), Pending::new(&access));
    two.put_pending(&name("d"), &mut Cursor::new(b"x"), 1, &mut pending).unwrap();
    fs::rename(folder.path().join("two"), folder.path().join("moved")).unwrap();
    symlink(outside.path(), folder.path().join("two")).unwrap();
    assert!(matches!(pending.publish(), Err(Error::Refused(_))));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}
