//! The vectors under `spec/vectors`: every file is read by a reader that knows its folder, and says what the code must say.
//!
//! The files are made by `make.rs`; `POX_WRITE_VECTORS=1` writes them. Otherwise they have to be what is committed: a change
//! of a digest or an encoding shows as a changed file, and no file is left that nobody reads.
#![allow(clippy::disallowed_methods, reason = "vectors are files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod batches;
mod cast;
#[path = "../common/mod.rs"]
mod common;
mod cover;
mod histories;
mod json;
mod make;
mod malformed;
mod parties;
mod read;

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Cases by folder and name.
pub(crate) type Cases = BTreeMap<(String, String), Value>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors")
}

/// Every file below `spec/vectors` but its README.
fn committed() -> Cases {
    let mut cases = Cases::new();
    for folder in fs::read_dir(root()).unwrap() {
        let folder = folder.unwrap();
        if !folder.file_type().unwrap().is_dir() {
            assert_eq!(folder.file_name(), "README.md", "a file outside the folders");
            continue;
        }
        // Made and read by `crates/pox-verify/tests/disclosure.rs`, which has what they need.
        if folder.file_name() == "disclosure" {
            continue;
        }
        for file in fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap().path();
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(name.ends_with(".json"), "{name} is no vector");
            let value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            cases.insert((folder.file_name().into_string().unwrap(), name), value);
        }
    }
    cases
}

#[test]
fn the_committed_vectors_are_those_that_the_code_makes() {
    let made = make::cases();
    if std::env::var_os("POX_WRITE_VECTORS").is_some() {
        for ((folder, name), value) in &made {
            fs::create_dir_all(root().join(folder)).unwrap();
            let text = serde_json::to_string_pretty(value).unwrap() + "\n";
            fs::write(root().join(folder).join(name), text).unwrap();
        }
    }
    let committed = committed();
    for (key, value) in &made {
        assert_eq!(committed.get(key), Some(value), "{key:?}");
    }
    let strays: Vec<_> = committed.keys().filter(|key| !made.contains_key(*key)).collect();
    assert!(strays.is_empty(), "nothing makes {strays:?}");
}

#[test]
fn every_vector_is_read_and_holds() {
    let cases = committed();
    assert!(cases.len() > 100, "{} vectors", cases.len());
    for ((folder, name), value) in &cases {
        read::check(folder, name, value);
    }
}

#[test]
fn every_must_has_a_vector_or_a_test() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let spec = fs::read_to_string(root().join("../pox.md")).unwrap();
    cover::check(&spec, &readme, &root());
}
