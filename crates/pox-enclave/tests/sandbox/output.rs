//! Taking results out of a task's hands.

use std::{io::Read, path::Path};

use pox_enclave::sandbox::{End, Output, OutputError};

use crate::support::Trial;

fn output(args: &[&str]) -> Output {
    let ended = Trial::new(args).run();
    assert_eq!(ended.end, End::Exited(0), "{}", String::from_utf8_lossy(&ended.stderr.bytes));
    ended.output
}

#[test]
fn results_outlive_the_task() {
    let ended = Trial::new(&["results"]).run();
    assert_eq!(ended.end, End::Exited(0), "{}", String::from_utf8_lossy(&ended.stderr.bytes));
    assert_eq!(ended.stdout.bytes, b"to stdout\n");
    let files = ended.output.files(1 << 20).unwrap();
    let listed: Vec<_> = files.iter().map(|f| (f.path.to_str().unwrap(), f.bytes)).collect();
    assert_eq!(listed, [("a/b/deep", 4), ("copy", 5), ("flat", 5)]);
    let mut text = String::new();
    ended.output.open(&files[1].path).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "given");
}

#[test]
fn links_and_pipes_are_refused() {
    for kind in ["link", "pipe"] {
        let output = output(&["hostile-results", kind]);
        assert!(matches!(output.files(1 << 20), Err(OutputError::Unusual(p)) if p == Path::new(kind)));
        assert!(matches!(output.open(Path::new(kind)), Err(OutputError::Unusual(_))));
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let holes = output(&["hostile-results", "holes"]);
    assert!(matches!(holes.files((1 << 22) - 1), Err(OutputError::TooLong(_))));
    assert_eq!(holes.files(1 << 22).unwrap().len(), 1);
    assert!(matches!(output(&["hostile-results", "deep"]).files(1 << 20), Err(OutputError::TooDeep)));
}

#[test]
fn nothing_outside_can_be_named() {
    let output = output(&["results"]);
    for path in ["/etc/passwd", "../etc/passwd", "a/../flat", "nothing", "", "a"] {
        assert!(output.open(Path::new(path)).is_err(), "{path}");
    }
}
