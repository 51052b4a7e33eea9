//! Crypt4GH files on the command line, without a chain.

// Clippy takes helpers of tests for production code.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use support::Scratch;

const SEGMENT: usize = 65_564;

fn content() -> Vec<u8> {
    (0..200_000u32).map(|at| (at / 7) as u8).collect()
}

/// Two homes with keys, and one's key files.
fn with_keys() -> Scratch {
    let scratch = Scratch::new();
    scratch.json(&["key", "new"]);
    scratch.json(&["key", "new", "--home", "bob"]);
    scratch.write("g.bam", content());
    let bob = scratch.json(&["key", "crypt4gh", "--home", "bob", "--secret-to", "bob.sec"]);
    scratch.write("bob.pub", bob["file"].as_str().unwrap());
    scratch
}

#[test]
fn files_are_sealed_for_their_readers_and_open_again() {
    let scratch = with_keys();
    let args = ["seal", "g.bam", "--format", "crypt4gh", "--recipient-c4gh", "bob.pub", "--to", "sealed"];
    let sealed = scratch.json(&args);
    assert_eq!((&sealed["entries"], &sealed["bytes"]), (&1.into(), &200_000.into()));
    assert_eq!(scratch.names("sealed"), ["B3SUMS", "KEYS", "access.age", "g.bam.c4gh"]);
    let opened = scratch.json(&[
        "open",
        "sealed",
        "--to",
        "opened",
        "--commitment",
        sealed["commitment"].as_str().unwrap(),
    ]);
    assert_eq!(opened["bytes"], 200_000);
    assert!(fs::read(scratch.path("opened/g.bam")).unwrap() == content());
    // A reader of the file opens the dataset too, by the file's own header.
    scratch.json(&["open", "sealed", "--to", "bobs", "--home", "bob"]);
    assert!(fs::read(scratch.path("bobs/g.bam")).unwrap() == content());
    let error = scratch.fails(&["seal", "g.bam", "--recipient-c4gh", "bob.pub", "--to", "other"]);
    assert!(error.contains("--format crypt4gh"), "{error}");
    scratch.write("folder/x", "x");
    let error = scratch.fails(&["seal", "folder", "--format", "crypt4gh", "--to", "other"]);
    assert!(error.contains("has no folders"), "{error}");
    let error = scratch.fails(&[
        "seal",
        "g.bam",
        "--format",
        "crypt4gh",
        "--recipient-c4gh",
        "folder/x",
        "--to",
        "other",
    ]);
    assert!(error.contains("no Crypt4GH key file"), "{error}");
    assert!(!scratch.path("other").exists() && !scratch.path(".other.pox-partial").exists());
}

#[test]
fn what_the_format_does_not_show_is_said_and_what_it_shows_is_refused() {
    let scratch = with_keys();
    scratch.json(&["seal", "g.bam", "--format", "crypt4gh", "--to", "sealed"]);
    let good = fs::read(scratch.path("sealed/g.bam.c4gh")).unwrap();
    let cut = scratch.write("cut.c4gh", &good[..124 + 2 * SEGMENT]);
    let ran = scratch.run(&["open", "cut.c4gh", "--to", "cut"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("does not show whether segments were removed"), "{ran:?}");
    assert_eq!(fs::metadata(scratch.path("cut/cut")).unwrap().len(), 131_072);
    assert_eq!(fs::metadata(scratch.path("cut/cut")).unwrap().permissions().mode() & 0o777, 0o600);
    fs::rename(cut, scratch.path("sealed/g.bam.c4gh")).unwrap();
    let error = scratch.fails(&["open", "sealed", "--to", "opened"]);
    assert!(error.contains("g.bam.c4gh isn't what the commitment says"), "{error}");

    let mut flipped = good.clone();
    flipped[100_000] ^= 1;
    scratch.write("flipped.c4gh", flipped);
    let error = scratch.fails(&["open", "flipped.c4gh", "--to", "opened"]);
    assert!(error.contains("segment 1 isn't authentic"), "{error}");
    let error = scratch.fails(&["open", "flipped.c4gh", "--to", "opened", "--home", "bob"]);
    assert!(error.contains("other readers") && error.contains("hint: "), "{error}");
    assert!(!scratch.path("opened").exists() && !scratch.path(".opened.pox-partial").exists());
}

#[test]
fn existing_files_are_adopted_as_they_are() {
    let scratch = with_keys();
    scratch.json(&["seal", "g.bam", "--format", "crypt4gh", "--to", "made", "--home", "bob"]);
    let file = fs::read(scratch.path("made/g.bam.c4gh")).unwrap();
    for name in ["a.c4gh", "b.c4gh", "notes.txt"] {
        scratch.write(&format!("theirs/{name}"), &file);
    }
    let error = scratch.fails(&["adopt", "theirs"]);
    assert!(error.contains("a.c4gh") && error.contains("--identity"), "{error}");
    assert_eq!(scratch.names("theirs"), ["a.c4gh", "b.c4gh", "notes.txt"], "nothing is left");
    let adopted = scratch.json(&["adopt", "theirs", "--identity", "bob.sec"]);
    assert_eq!((&adopted["entries"], &adopted["bytes"]), (&2.into(), &400_000.into()));
    assert_eq!(scratch.names("theirs"), ["B3SUMS", "KEYS", "a.c4gh", "access.age", "b.c4gh", "notes.txt"]);
    assert!(fs::read(scratch.path("theirs/a.c4gh")).unwrap() == file);
    // Without the secret key file from now on.
    scratch.json(&["open", "theirs", "--to", "opened"]);
    assert!(fs::read(scratch.path("opened/b")).unwrap() == content());
    let error = scratch.fails(&["adopt", "theirs", "--identity", "bob.sec"]);
    assert!(error.contains("is there already") && error.contains("--to"), "{error}");

    let error = scratch.fails(&["adopt", "theirs/notes.txt", "--to", "dataset"]);
    assert!(error.contains("does not end in .c4gh"), "{error}");
    let other = scratch.json(&["adopt", "theirs/a.c4gh", "--to", "dataset", "--identity", "bob.sec"]);
    assert_ne!(other["commitment"], adopted["commitment"]);
    let inode = |name: &str| fs::metadata(scratch.path(name)).unwrap().ino();
    assert_eq!(inode("dataset/a.c4gh"), inode("theirs/a.c4gh"), "no byte was copied");
    scratch.json(&["copy", "dataset", "copied"]);
    scratch.json(&["open", "copied", "--to", "again"]);
    assert!(fs::read(scratch.path("again/a")).unwrap() == content());
}

#[test]
fn rekeying_changes_the_readers_and_not_the_body() {
    let scratch = with_keys();
    scratch.json(&["seal", "g.bam", "--format", "crypt4gh", "--to", "made", "--home", "bob"]);
    let old = fs::read(scratch.path("made/g.bam.c4gh")).unwrap();
    let error = scratch.fails(&["rekey", "made/g.bam.c4gh", "--to", "mine.c4gh"]);
    assert!(error.contains("other readers"), "{error}");
    let rekeyed = scratch.json(&["rekey", "made/g.bam.c4gh", "--to", "mine.c4gh", "--identity", "bob.sec"]);
    assert_eq!(rekeyed["readers"].as_array().unwrap().len(), 1);
    let new = fs::read(scratch.path("mine.c4gh")).unwrap();
    assert!(new[124..] == old[124..] && new[16..124] != old[16..124]);
    scratch.json(&["open", "mine.c4gh", "--to", "opened"]);
    assert!(fs::read(scratch.path("opened/mine")).unwrap() == content());
    scratch.fails(&["open", "mine.c4gh", "--to", "bobs", "--home", "bob"]);
    let error = scratch.fails(&["rekey", "mine.c4gh", "--to", "mine.c4gh"]);
    assert!(error.contains("cannot write"), "{error}");
    assert!(fs::read(scratch.path("mine.c4gh")).unwrap() == new);
}

#[test]
fn anybody_checks_and_inspects_them() {
    let scratch = with_keys();
    let sealed = scratch.json(&["seal", "g.bam", "--format", "crypt4gh", "--to", "sealed"]);
    let commitment = sealed["commitment"].as_str().unwrap();
    scratch.json(&["verify-data", "sealed", "--commitment", commitment, "--home", "nobody"]);
    let dataset = scratch.json(&["inspect", "sealed", "--home", "nobody"]);
    assert_eq!((&dataset["format"], &dataset["commitment"]), (&"crypt4gh-1.0".into(), &commitment.into()));
    let ours = scratch.json(&["inspect", "sealed/g.bam.c4gh"]);
    let told = (&ours["what"], &ours["packets"], &ours["ours"], &ours["data_keys"]);
    assert_eq!(told, (&"crypt4gh-file".into(), &1.into(), &true.into(), &1.into()));
    assert_eq!(scratch.json(&["inspect", "sealed/g.bam.c4gh", "--home", "bob"])["ours"], false);
    let mut cut = fs::read(scratch.path("sealed/g.bam.c4gh")).unwrap();
    cut.truncate(40);
    scratch.write("cut.c4gh", cut);
    assert!(scratch.json(&["inspect", "cut.c4gh"])["malformed"].is_string());
    for wrong in [
        &["seal", "g.bam", "--format", "crypt4gh", "--sha256", "--to", "other"][..],
        &["open", "sealed/g.bam.c4gh", "--to", "-"],
        &["open", "sealed/g.bam.c4gh", "--file", "g.bam", "--to", "other"],
    ] {
        let error = scratch.fails(wrong);
        assert!(error.contains("Crypt4GH"), "{error}");
        assert!(!scratch.path("other").exists() && !scratch.path("-").exists());
    }
}
