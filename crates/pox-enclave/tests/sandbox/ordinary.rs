//! The same tests, by an ordinary user.

use std::{fs, os::unix::fs::PermissionsExt, os::unix::process::CommandExt, process::Command};

use pox_enclave::sandbox::{Protection, Required, Sandbox, SandboxError};

use crate::support::{PROBE, copy, probe};

/// A user that no machine has.
const USER: u32 = 54_321;

#[test]
fn an_ordinary_user_is_confined_as_well() {
    if !rustix::process::geteuid().is_root() {
        // Then the other tests have just shown it. What is weaker must be refused by name.
        let refused = Sandbox::new(&Required::all());
        assert!(
            matches!(refused, Err(SandboxError::Unavailable { missing }) if missing.contains(&Protection::OtherUser))
        );
        return;
    }
    // The target folder may be closed to others.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (tests, probe_copy) = (folder.path().join("tests"), folder.path().join("probe"));
    copy(&std::env::current_exe().unwrap(), &tests);
    copy(&probe(), &probe_copy);
    let output =
        Command::new(&tests).env(PROBE, &probe_copy).current_dir("/").uid(USER).gid(USER).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("test result: ok"));
}
