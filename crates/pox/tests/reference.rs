//! The committed reference is what the program prints. `UPDATE=1` writes it anew.

mod support;

use std::fs;
use std::path::Path;
use support::Scratch;

#[test]
fn the_reference_is_the_programs() {
    let printed = Scratch::new().run(&["reference"]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &printed.out).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert!(committed == printed.out, "docs/cli.md is out of date; run this test with UPDATE=1");
}
