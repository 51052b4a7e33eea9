//! `pox demo`, as the user who runs the tests and as an ordinary one.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

const POX: &str = env!("CARGO_BIN_EXE_pox");
/// `nobody`: a user without rights, which every system has.
const ORDINARY: u32 = 65_534;

#[test]
fn the_demo_works() {
    demo(|_, _| {});
}

#[test]
fn the_demo_works_for_an_ordinary_user() {
    demo(|command, folder| {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            // The tests run as one already.
            return;
        }
        chown(folder, Some(ORDINARY), Some(ORDINARY)).unwrap();
        command.uid(ORDINARY).gid(ORDINARY);
    });
}

/// One test at a time: a child of another one would hold this one's copy of the program open for writing, and the kernel would
/// not run it.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs the demo with nothing around it, and looks at what it said and what it left.
fn demo(prepare: impl Fn(&mut Command, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // A user who may not enter the build's folder needs a program elsewhere.
    let program = tempfile::tempdir().unwrap();
    fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let pox = program.path().join("pox");
    fs::copy(POX, &pox).unwrap();
    let mut command = Command::new(&pox);
    command.arg("demo").current_dir(folder.path()).env_clear();
    command.env("HOME", folder.path()).env("TMPDIR", folder.path());
    prepare(&mut command, folder.path());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.success(), "{text}");
    let expected = [
        "342 penguins of 3 species",
        "a byte of the proof changed:   inconsistent: ",
        "a byte of the data changed:    the enclave refused it before the task saw anything",
        "a byte of the program changed: the enclave refused to run it",
        "The TEE was SIMULATED",
    ];
    for line in expected {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert!(!text.contains("warning"), "{text}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
