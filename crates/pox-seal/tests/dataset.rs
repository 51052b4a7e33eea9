//! Datasets: what is sealed comes back, what was changed does not, and nobody but the culprit is blamed.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests fail as tests do

use pox_seal::dataset::{
    B3Sums, DatasetCommitment, DirectorySink, DirectorySource, Invalid, Kind, Limits, Modes, ObjectKeys,
    ObjectName, ObjectSink, ObjectSource, OpenError, Opened, SealError, SealedDataset, file_keys, open, seal,
};
use pox_seal::{FileKey, Identity, IdentityKind, OsRandom};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

struct Owner {
    identity: Identity,
    scratch: TempDir,
}

impl Owner {
    fn new() -> Self {
        let identity = Identity::generate(IdentityKind::X25519, &mut OsRandom).unwrap();
        Self { identity, scratch: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn try_seal(&self, inputs: &[&Path], out: &str) -> Result<SealedDataset, SealError> {
        let mut sink = DirectorySink::create(self.path(out)).unwrap();
        seal(inputs, &[self.identity.recipient().unwrap()], &mut sink, &mut OsRandom, &mut |_| ())
    }

    fn seal(&self, input: &str, out: &str) -> SealedDataset {
        self.try_seal(&[&self.path(input)], out).unwrap()
    }

    fn keys(&self, sealed: &str) -> ObjectKeys {
        let mut source = DirectorySource::new(self.path(sealed));
        file_keys(&mut source, std::slice::from_ref(&self.identity)).unwrap()
    }

    fn open_with(
        &self,
        sealed: &str,
        commitment: &DatasetCommitment,
        keys: &ObjectKeys,
        limits: Limits,
        modes: Modes,
    ) -> Result<Opened, OpenError> {
        let mut source = DirectorySource::new(self.path(sealed));
        let dest = self.path("opened");
        let result = open(&mut source, commitment, keys, &dest, limits, modes, &mut |_| ());
        assert_eq!(dest.exists(), result.is_ok());
        let left: Vec<_> =
            fs::read_dir(self.scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("partial")), "{left:?}");
        result
    }

    fn open(&self, sealed: &str, commitment: &DatasetCommitment) -> Result<Opened, OpenError> {
        self.open_with(sealed, commitment, &self.keys(sealed), Limits::NONE, Modes::AsSealed)
    }
}

/// A tree with everything that is allowed and most of what is odd.
fn odd_tree(base: &Path) {
    fs::create_dir(base).unwrap();
    let long = "n".repeat(255);
    let deep = ["deep"; 60].join("/");
    for folder in ["empty", "a", "a/b", "-rf", " ", "ümlaut", &deep, "a-b"] {
        fs::create_dir_all(base.join(folder)).unwrap();
    }
    let files: [(&[u8], usize); 13] = [
        (b"zero", 0),
        (b"a/one", 1),
        (b"a/block", 512),
        (b"a/b/chunk", 65536),
        (b"a/b/chunk+", 65537),
        (b"large", 9_000_001),
        (b"-rf/--help", 10),
        (b" / ", 3),
        ("ümlaut/日本語".as_bytes(), 5),
        (b"new\nline", 7),
        (b"not-utf8-\xff\xfe", 9),
        (b"a.b", 4),
        (long.as_bytes(), 6),
    ];
    for (index, (name, len)) in files.into_iter().enumerate() {
        let path = base.join(OsStr::from_bytes(name));
        fs::write(&path, (0..len).map(|at| (at * 7 + index) as u8).collect::<Vec<_>>()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600 | index as u32)).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000 + index as u64, 123_456_789);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    fs::write(base.join(&deep).join("bottom"), "bottom").unwrap();
    let old = File::options().write(true).open(base.join("zero")).unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH - Duration::from_secs(86_400)).unwrap();
    symlink("a/one", base.join("link")).unwrap();
    symlink("../zero", base.join("a/up")).unwrap();
    symlink("../../a/b", base.join("a/b/loop")).unwrap();
    symlink("nowhere", base.join("dangling")).unwrap();
    symlink("x/".repeat(60) + "y", base.join("long-link")).unwrap();
    fs::set_permissions(base.join("empty"), Permissions::from_mode(0o500)).unwrap();
}

/// Everything that a dataset keeps of a tree.
fn listing(base: &Path) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    let mut out = BTreeMap::new();
    let mut todo = vec![base.to_path_buf()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let content = if meta.is_symlink() {
                fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
            } else if meta.is_dir() {
                todo.push(path.clone());
                Vec::new()
            } else {
                fs::read(&path).unwrap()
            };
            let time = if meta.is_symlink() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
            out.insert(path.strip_prefix(base).unwrap().into(), (meta.mode(), time.0, time.1, content));
        }
    }
    out
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let owner = Owner::new();
    odd_tree(&owner.path("tree"));
    let sealed = owner.seal("tree", "sealed");
    let opened = owner.open("sealed", &sealed.commitment).unwrap();
    let (before, after) = (listing(&owner.path("tree")), listing(&owner.path("opened")));
    assert!(before == after);
    assert_eq!(opened.kind, Kind::Tree);
    assert_eq!((opened.entries, opened.bytes), (sealed.entries, sealed.bytes));
    assert_eq!(opened.entries, before.len() as u64);
    for object in &sealed.objects {
        let len = fs::metadata(owner.path("sealed").join(object.name.as_str())).unwrap().len();
        assert_eq!(len, object.len);
    }
}

#[test]
fn a_file_comes_back_as_it_was() {
    let owner = Owner::new();
    for len in [0, 1, 65535, 65536, 65537, 5_000_000] {
        let text: Vec<u8> = (0..len).map(|at| at as u8).collect();
        fs::write(owner.path("data.csv"), &text).unwrap();
        let sealed = owner.seal("data.csv", "sealed");
        let opened = owner.open("sealed", &sealed.commitment).unwrap();
        assert_eq!((opened.kind, opened.entries, opened.bytes), (Kind::File, 1, len));
        assert!(fs::read(owner.path("opened/data.csv")).unwrap() == text);
        fs::remove_dir_all(owner.path("opened")).unwrap();
        fs::remove_dir_all(owner.path("sealed")).unwrap();
    }
}

#[test]
fn an_empty_tree_and_several_inputs() {
    let owner = Owner::new();
    fs::create_dir(owner.path("none")).unwrap();
    let sealed = owner.seal("none", "sealed");
    assert_eq!(owner.open("sealed", &sealed.commitment).unwrap().entries, 0);

    fs::write(owner.path("file"), "file").unwrap();
    fs::create_dir(owner.path("folder")).unwrap();
    fs::write(owner.path("folder/x"), "x").unwrap();
    let (file, folder) = (owner.path("file"), owner.path("folder"));
    let sealed = owner.try_seal(&[&folder, &file], "several").unwrap();
    fs::remove_dir(owner.path("opened")).unwrap();
    owner.open("several", &sealed.commitment).unwrap();
    assert_eq!(fs::read(owner.path("opened/folder/x")).unwrap(), b"x");
    assert_eq!(fs::read(owner.path("opened/file")).unwrap(), b"file");
    let twice = owner.try_seal(&[&file, &file], "twice");
    assert!(matches!(twice, Err(SealError::Twice { .. })));
}

#[test]
fn inputs_can_be_made_read_only() {
    let owner = Owner::new();
    odd_tree(&owner.path("tree"));
    let sealed = owner.seal("tree", "sealed");
    let keys = owner.keys("sealed");
    owner.open_with("sealed", &sealed.commitment, &keys, Limits::NONE, Modes::ReadOnly).unwrap();
    for (path, (mode, ..)) in listing(&owner.path("opened")) {
        assert!([0o555, 0o444, 0o777].contains(&(mode & 0o7777)), "{path:?} {mode:o}");
        assert!(mode & 0o222 == 0 || mode & 0o170_000 == 0o120_000, "{path:?}");
    }
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let owner = Owner::new();
    let cases: [(&str, &str); 4] =
        [("absolute", "/etc/passwd"), ("up", "../x"), ("hidden", "a/../../x"), ("climb", "a/..")];
    for (name, target) in cases {
        fs::create_dir(owner.path(name)).unwrap();
        symlink(target, owner.path(name).join("link")).unwrap();
        let refused = owner.try_seal(&[&owner.path(name)], "sealed");
        assert!(matches!(refused, Err(SealError::Path { .. })), "{name}");
        assert!(!owner.path("sealed").exists());
    }
    fs::create_dir(owner.path("special")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(owner.path("special/socket")).unwrap();
    assert!(matches!(owner.try_seal(&[&owner.path("special")], "s"), Err(SealError::Special { .. })));
    assert!(matches!(owner.try_seal(&[], "s"), Err(SealError::Nothing)));
    assert!(matches!(owner.try_seal(&[&owner.path("missing")], "s"), Err(SealError::Io { .. })));
    assert!(DirectorySink::create(owner.path("special")).is_err());
}

#[test]
#[ignore = "needs b3sum: run by .ci/run"]
fn standard_tools_agree() {
    assert_eq!(
        std::env::var("POX_APT_TOOLS").as_deref(),
        Ok("1"),
        "set POX_APT_TOOLS=1 where b3sum is installed"
    );
    let owner = Owner::new();
    odd_tree(&owner.path("tree"));
    let sealed = owner.seal("tree", "sealed");
    let folder = owner.path("sealed");
    let b3sum = Command::new("b3sum").args(["--check", "B3SUMS"]).current_dir(&folder).output().unwrap();
    assert!(b3sum.status.success(), "{}", String::from_utf8_lossy(&b3sum.stderr));
    let sha256 = Command::new("sha256sum").arg("B3SUMS").current_dir(&folder).output().unwrap();
    let printed = String::from_utf8(sha256.stdout).unwrap();
    assert_eq!(printed.split(' ').next().unwrap().parse(), Ok(sealed.commitment));
    let text = fs::read(folder.join("B3SUMS")).unwrap();
    assert_eq!(B3Sums::parse(&text).unwrap(), sealed.b3sums);
    let names: Vec<_> = sealed.b3sums.names().map(ObjectName::as_str).collect();
    assert_eq!(names, ["KEYS", "ROOT", "data.age", "manifest.age"]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), names.len() + 1);
}

#[test]
fn changed_bytes_are_a_mismatch() {
    let owner = Owner::new();
    fs::create_dir(owner.path("tree")).unwrap();
    fs::write(owner.path("tree/secret"), "secret").unwrap();
    let sealed = owner.seal("tree", "sealed");
    let keys = owner.keys("sealed");
    for name in ["B3SUMS", "KEYS", "ROOT", "data.age", "manifest.age"] {
        let path = owner.path("sealed").join(name);
        let good = fs::read(&path).unwrap();
        let mut cases: Vec<Vec<u8>> = (0..good.len())
            .step_by(1 + good.len() / 200)
            .map(|at| {
                let mut bad = good.clone();
                bad[at] ^= 1;
                bad
            })
            .collect();
        cases.push(good[..good.len() - 1].to_vec());
        cases.push([good.as_slice(), b"x"].concat());
        cases.push(Vec::new());
        for bad in cases {
            fs::write(&path, bad).unwrap();
            let result = owner.open_with("sealed", &sealed.commitment, &keys, Limits::NONE, Modes::AsSealed);
            match result {
                Err(OpenError::Mismatch { object }) => assert_eq!(object.as_str(), name),
                other => panic!("{name}: {other:?}"),
            }
        }
        fs::write(&path, good).unwrap();
    }
    assert!(owner.open("sealed", &[0; 32].into()).is_err());
    assert!(owner.open("sealed", &sealed.commitment).is_ok());
}

#[test]
fn wrong_keys_and_recommitted_lies_are_invalid() {
    let owner = Owner::new();
    fs::create_dir(owner.path("tree")).unwrap();
    fs::write(owner.path("tree/secret"), vec![7; 200_000]).unwrap();
    let sealed = owner.seal("tree", "sealed");
    let data = ObjectName::new("data.age").unwrap();

    let check = |keys: &ObjectKeys, commitment: &DatasetCommitment, expected: Invalid| {
        let result = owner.open_with("sealed", commitment, keys, Limits::NONE, Modes::AsSealed);
        match result {
            Err(OpenError::Invalid { reason, .. }) => assert_eq!(reason, expected),
            other => panic!("{other:?} instead of {expected:?}"),
        }
    };
    let mut keys = owner.keys("sealed");
    keys.insert(data.clone(), FileKey::from_bytes(&[7; 16]).unwrap());
    check(&keys, &sealed.commitment, Invalid::Key);
    check(&ObjectKeys::default(), &sealed.commitment, Invalid::NoKey);

    // An owner who commits to damaged files can't blame storage.
    let keys = owner.keys("sealed");
    let recommit = |name: &str, bytes: &[u8]| {
        fs::write(owner.path("sealed").join(name), bytes).unwrap();
        let sums: String = ["KEYS", "ROOT", "data.age", "manifest.age"]
            .iter()
            .map(|name| {
                let bytes = fs::read(owner.path("sealed").join(name)).unwrap();
                format!("{}  {name}\n", pox_seal::Blake3Digest::of(&bytes))
            })
            .collect();
        fs::write(owner.path("sealed/B3SUMS"), &sums).unwrap();
        DatasetCommitment::of(sums.as_bytes())
    };
    let good = fs::read(owner.path("sealed/data.age")).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    check(&keys, &recommit("data.age", &bad), Invalid::Age);
    let commitment = recommit("data.age", &good);
    assert_eq!(commitment, sealed.commitment);
    check(&keys, &recommit("ROOT", format!("{}\n", "0".repeat(64)).as_bytes()), Invalid::Content);
}

#[test]
fn a_manifest_of_other_data_is_refused() {
    let owner = Owner::new();
    for (tree, text) in [("one", "first"), ("two", "other")] {
        fs::create_dir(owner.path(tree)).unwrap();
        fs::write(owner.path(tree).join("file"), text).unwrap();
    }
    owner.seal("one", "sealed-one");
    owner.seal("two", "sealed-two");
    fs::create_dir(owner.path("mixed")).unwrap();
    for (name, from) in [("data.age", "sealed-one"), ("manifest.age", "sealed-two"), ("ROOT", "sealed-two")] {
        fs::copy(owner.path(from).join(name), owner.path("mixed").join(name)).unwrap();
    }
    let line = |from: &str, at: usize| {
        let text = fs::read_to_string(owner.path(from).join("KEYS")).unwrap();
        text.lines().nth(at).unwrap().to_owned() + "\n"
    };
    fs::write(owner.path("mixed/KEYS"), line("sealed-one", 0) + &line("sealed-two", 1)).unwrap();
    let sums: String = ["KEYS", "ROOT", "data.age", "manifest.age"]
        .iter()
        .map(|name| {
            let bytes = fs::read(owner.path("mixed").join(name)).unwrap();
            format!("{}  {name}\n", pox_seal::Blake3Digest::of(&bytes))
        })
        .collect();
    fs::write(owner.path("mixed/B3SUMS"), &sums).unwrap();
    let result = owner.open("mixed", &DatasetCommitment::of(sums.as_bytes()));
    // Size and name agree, times may differ: either the header or the digest tells.
    assert!(
        matches!(result, Err(OpenError::Invalid { reason: Invalid::File | Invalid::Content, .. })),
        "{result:?}"
    );
}

#[test]
fn limits_hold() {
    let owner = Owner::new();
    odd_tree(&owner.path("tree"));
    let sealed = owner.seal("tree", "sealed");
    let keys = owner.keys("sealed");
    let limits = [
        Limits { bytes: 1_000_000, ..Limits::NONE },
        Limits { bytes: 0, ..Limits::NONE },
        Limits { entries: 10, ..Limits::NONE },
        Limits { entries: 0, ..Limits::NONE },
    ];
    for limits in limits {
        let result = owner.open_with("sealed", &sealed.commitment, &keys, limits, Modes::ReadOnly);
        assert!(matches!(result, Err(OpenError::Invalid { reason: Invalid::TooLarge, .. })), "{result:?}");
    }
}

#[test]
fn an_existing_destination_stays() {
    let owner = Owner::new();
    fs::write(owner.path("file"), "file").unwrap();
    let sealed = owner.seal("file", "sealed");
    fs::create_dir(owner.path("opened")).unwrap();
    fs::write(owner.path("opened/mine"), "mine").unwrap();
    let mut source = DirectorySource::new(owner.path("sealed"));
    let keys = owner.keys("sealed");
    let dest = owner.path("opened");
    let result =
        open(&mut source, &sealed.commitment, &keys, &dest, Limits::NONE, Modes::AsSealed, &mut |_| ());
    assert!(matches!(result, Err(OpenError::Io(_))));
    assert_eq!(fs::read(owner.path("opened/mine")).unwrap(), b"mine");
}

/// Takes objects as a network does: one byte after the other, and no file.
struct Stream {
    folder: std::path::PathBuf,
    open: Option<fs::File>,
    is_finished: bool,
}

impl ObjectSink for Stream {
    fn create(&mut self, name: &ObjectName) -> io::Result<()> {
        self.open = Some(fs::File::create_new(self.folder.join(name.as_str()))?);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(self.open.as_mut().unwrap(), bytes)
    }

    fn close(&mut self) -> io::Result<()> {
        self.open = None;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.is_finished = true;
        Ok(())
    }
}

#[test]
fn a_stream_gets_what_a_file_gets() {
    let owner = Owner::new();
    odd_tree(&owner.path("tree"));
    fs::write(owner.path("tree/large"), vec![7; 9_000_000]).unwrap();
    let folder = owner.path("sealed");
    fs::create_dir(&folder).unwrap();
    let mut sink = Stream { folder, open: None, is_finished: false };
    let recipients = [owner.identity.recipient().unwrap()];
    let tree = owner.path("tree");
    let sealed = seal(&[&tree], &recipients, &mut sink, &mut OsRandom, &mut |_| ()).unwrap();
    assert!(sink.is_finished);
    let bytes = fs::read(owner.path("sealed/data.age")).unwrap();
    assert_eq!(sealed.objects[0].digest, pox_seal::Blake3Digest::of(&bytes));
    assert_eq!(sealed.objects[0].len, bytes.len() as u64);
    owner.open("sealed", &sealed.commitment).unwrap();
}

/// Breaks off after some bytes of one object.
struct Flaky {
    inner: DirectorySource,
    object: &'static str,
    after: u64,
}

impl ObjectSource for Flaky {
    fn open(&mut self, name: &ObjectName, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        let breaks = name.as_str() == self.object;
        let good = self.inner.open(name, offset)?;
        Ok(if breaks { Box::new(good.take(self.after).chain(Broken)) } else { good })
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn a_broken_connection_is_nobodys_lie() {
    let owner = Owner::new();
    odd_tree(&owner.path("tree"));
    let sealed = owner.seal("tree", "sealed");
    for object in ["B3SUMS", "KEYS", "ROOT", "data.age", "manifest.age"] {
        for after in [0, 30, 100_000] {
            let len = fs::metadata(owner.path("sealed").join(object)).unwrap().len();
            let inner = DirectorySource::new(owner.path("sealed"));
            let mut source = Flaky { inner, object, after: after.min(len - 1) };
            let keys = owner.keys("sealed");
            let dest = owner.path("opened");
            let result = open(
                &mut source,
                &sealed.commitment,
                &keys,
                &dest,
                Limits::NONE,
                Modes::AsSealed,
                &mut |_| (),
            );
            assert!(matches!(result, Err(OpenError::Source { .. })), "{object} {after}: {result:?}");
            assert!(!dest.exists());
        }
    }
}

#[test]
fn progress_ends_at_the_total() {
    let owner = Owner::new();
    fs::write(owner.path("file"), vec![1; 10_000_000]).unwrap();
    let (mut last, mut calls) = (0, 0);
    let mut sink = DirectorySink::create(owner.path("sealed")).unwrap();
    let recipients = [owner.identity.recipient().unwrap()];
    let file = owner.path("file");
    let sealed = seal(&[&file], &recipients, &mut sink, &mut OsRandom, &mut |bytes| {
        assert!(bytes >= last);
        (last, calls) = (bytes, calls + 1);
    });
    assert_eq!(last, sealed.unwrap().bytes);
    assert!(calls > 2);
}
