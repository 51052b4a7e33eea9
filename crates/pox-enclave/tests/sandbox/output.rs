//! Taking results out of a task's hands, and sealing them where they lie.

use std::{
    ffi::OsStr,
    fs,
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::PermissionsExt},
    },
    path::{Path, PathBuf},
};

use pox_enclave::sandbox::{End, Output, OutputError};
use pox_seal::dataset::{DirectorySink, DirectorySource, Limits, Modes, file_keys, open, seal_open_folder};
use pox_seal::{Identity, IdentityKind, OsRandom};
use tempfile::TempDir;

use crate::support::Trial;

fn output_of(trial: &Trial) -> Output {
    let ended = trial.run();
    assert_eq!(ended.end, End::Exited(0), "{}", String::from_utf8_lossy(&ended.stderr.bytes));
    ended.output
}

fn output(args: &[&str]) -> Output {
    output_of(&Trial::new(args))
}

/// Seals a whole output as the runtime does, and opens it as its owner does.
fn opened(output: &Output, most: u64) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let [beside, sealed, opened] = ["beside", "sealed", "opened"].map(|name| folder.path().join(name));
    fs::write(&beside, "printed").unwrap();
    let identity = Identity::generate(IdentityKind::X25519, &mut OsRandom).unwrap();
    let recipients = [identity.recipient().unwrap()];
    let mut sink = DirectorySink::create(&sealed).unwrap();
    let whole = ("out", output.check(most).unwrap().folder().unwrap());
    let made =
        seal_open_folder(whole, &[&beside], folder.path(), &recipients, &mut sink, &mut OsRandom).unwrap();
    let mut source = DirectorySource::new(&sealed);
    let keys = file_keys(&mut source, &[identity]).unwrap();
    let (commitment, modes) = (made.commitment, Modes::AsSealed);
    open(&mut source, &commitment, &keys, &opened, Limits::NONE, modes, &mut |_| ()).unwrap();
    assert_eq!(fs::read(opened.join("beside")).unwrap(), b"printed");
    let out = opened.join("out");
    (folder, out)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn results_outlive_the_task() {
    let ended = Trial::new(&["results"]).run();
    assert_eq!(ended.end, End::Exited(0), "{}", String::from_utf8_lossy(&ended.stderr.bytes));
    assert_eq!(ended.stdout.bytes, b"to stdout\n");
    assert_eq!(ended.output.check(1 << 20).unwrap().bytes(), 14);
    let (_folder, out) = opened(&ended.output, 14);
    for (name, content) in [("a/b/deep", "deep"), ("copy", "given"), ("flat", "flat!")] {
        assert_eq!(fs::read_to_string(out.join(name)).unwrap(), content);
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
}

#[test]
fn links_and_pipes_are_refused() {
    for kind in ["link", "pipe"] {
        let output = output(&["hostile-results", kind]);
        assert!(matches!(output.check(1 << 20), Err(OutputError::Unusual(p)) if p == Path::new(kind)));
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let holes = output(&["hostile-results", "holes"]);
    assert!(matches!(holes.check((1 << 22) - 1), Err(OutputError::TooLong(_))));
    assert_eq!(holes.check(1 << 22).unwrap().bytes(), 1 << 22);
    assert!(matches!(output(&["hostile-results", "deep"]).check(1 << 20), Err(OutputError::TooDeep)));
}

#[test]
fn a_file_of_two_names_counts_twice_and_is_sealed_twice() {
    let output = output(&["hostile-results", "hard"]);
    assert!(matches!(output.check((2 << 20) - 1), Err(OutputError::TooLong(_))));
    let (_folder, out) = opened(&output, 2 << 20);
    assert!(["one", "two"].iter().all(|name| fs::read(out.join(name)).unwrap() == [7; 1 << 20]));
}

#[test]
fn holes_are_zeros() {
    let (_folder, out) = opened(&output(&["hostile-results", "sparse"]), 64 << 20);
    let bytes = fs::read(out.join("sparse")).unwrap();
    assert_eq!((bytes.len(), &bytes[..5], &bytes[bytes.len() - 3..]), (64 << 20, &b"begin"[..], &b"end"[..]));
    assert!(bytes[5..bytes.len() - 3].iter().all(|byte| *byte == 0));
}

#[test]
fn names_are_any_bytes() {
    let (_folder, out) = opened(&output(&["hostile-results", "names"]), 1 << 20);
    for name in [&b"\xff\xfe"[..], b"a\nb", b".wh.x", b"-rf"] {
        assert_eq!(fs::read(out.join(OsStr::from_bytes(name))).unwrap(), name);
    }
    assert_eq!(fs::read_dir(out.join("empty")).unwrap().count(), 0);
}

#[test]
fn what_the_task_closed_is_sealed_and_nobody_else_may_write_to_it() {
    let (_folder, out) = opened(&output(&["hostile-results", "modes"]), 1 << 20);
    for (name, expected) in [
        ("", 0o700),
        ("closed", 0o600),
        ("open", 0o644),
        ("program", 0o755),
        ("write-only", 0o600),
        ("dark", 0o700),
        ("dark/inner", 0o600),
        ("shared", 0o755),
    ] {
        assert_eq!(mode(&out.join(name)), expected, "{name}");
    }
    assert_eq!(fs::read(out.join("dark/inner")).unwrap(), b"inner");
    assert_eq!(fs::read(out.join("closed")).unwrap(), b"closed");
}

#[test]
fn only_a_folder_that_was_checked_can_be_read_and_nothing_above_it() {
    let output = output(&["results"]);
    let checked = output.check(1 << 20).unwrap();
    let folder = checked.folder().unwrap();
    let names = |path: &str| {
        let entries = fs::read_dir(format!("/proc/self/fd/{}/{path}", folder.as_raw_fd())).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    // The root of its mount: above it is itself.
    assert_eq!(names("."), ["a", "copy", "flat"]);
    assert_eq!(names(".."), names("."));
}
