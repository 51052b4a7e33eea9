//! Commands that need no chain, as users run them.

// Clippy takes helpers of tests for production code.
#![allow(clippy::unwrap_used)]

mod support;

use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use support::{Scratch, damage, http};

fn with_keys() -> Scratch {
    let scratch = Scratch::new();
    scratch.json(&["key", "new"]);
    scratch
}

fn with_dataset() -> (Scratch, String) {
    let scratch = with_keys();
    scratch.write("data/a.csv", "x,y\n1,2\n");
    scratch.write("data/deep/b.bin", vec![7; 200_000]);
    let sealed = scratch.json(&["seal", "data", "--to", "sealed"]);
    let commitment = sealed["commitment"].as_str().unwrap().to_owned();
    (scratch, commitment)
}

#[test]
fn what_others_wrote_moves_nothing_on_the_terminal() {
    let scratch = Scratch::new();
    let entry = |tag: &str| {
        let digest = "0".repeat(64);
        let tag = format!(r#""annotations":{{"org.opencontainers.image.ref.name":"{tag}"}}"#);
        format!(r#"{{"mediaType":"x","digest":"sha256:{digest}","size":1,{tag}}}"#)
    };
    let images = format!("{},{}", entry("one"), entry("\\u001b[2J\\u202etwo"));
    scratch.write("image/index.json", format!(r#"{{"schemaVersion":2,"manifests":[{images}]}}"#));
    let several = scratch.fails(&["image", "digest", "oci:image"]);
    assert!(several.contains("name one of: one, \u{fffd}[2J\u{fffd}two\n"), "{several:?}");
}

#[test]
fn keys_are_made_once_and_for_their_user_only() {
    let scratch = Scratch::new();
    assert!(scratch.fails(&["key", "show"]).contains("hint: make keys with `pox key new`"));
    let made = scratch.json(&["key", "new"]);
    assert!(made["recipient"].as_str().unwrap().starts_with("age1pq1"));
    assert_eq!(made["address"].as_str().unwrap().len(), 42);
    for name in ["account.key", "identity.txt"] {
        let mode = fs::metadata(scratch.path(".pox").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let before = fs::read(scratch.path(".pox/account.key")).unwrap();
    assert!(scratch.fails(&["key", "new"]).contains("exists already"));
    assert_eq!(fs::read(scratch.path(".pox/account.key")).unwrap(), before);
    assert_eq!(scratch.json(&["key", "show"]), made);
    let shown = scratch.run(&["key", "show"]);
    let secret = String::from_utf8(before).unwrap();
    assert!(!format!("{shown:?}").contains(secret.trim()));
}

#[test]
fn another_home_has_other_keys() {
    let scratch = with_keys();
    let other = scratch.json(&["key", "new", "--x25519", "--home", "other"]);
    assert!(other["recipient"].as_str().unwrap().starts_with("age1"));
    assert_ne!(other["address"], scratch.json(&["key", "show"])["address"]);
}

#[test]
fn what_is_sealed_opens_as_it_was() {
    let (scratch, commitment) = with_dataset();
    let index = fs::read(scratch.path("sealed/B3SUMS")).unwrap();
    assert_eq!(commitment, format!("0x{}", hex::encode(Sha256::digest(index))));
    let opened = scratch.json(&["open", "sealed", "--to", "out", "--commitment", &commitment]);
    assert_eq!(opened["commitment"], commitment.as_str());
    assert_eq!(fs::read(scratch.path("out/a.csv")).unwrap(), b"x,y\n1,2\n");
    assert_eq!(fs::read(scratch.path("out/deep/b.bin")).unwrap(), vec![7; 200_000]);

    // Without a commitment it says that it compared none.
    let ran = scratch.run(&["open", "sealed", "--to", "again"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("compared with nothing"), "{ran:?}");
    assert!(scratch.fails(&["open", "sealed", "--to", "again"]).contains("exists already"));
}

#[test]
fn one_file_is_sealed_for_others_too() {
    let scratch = with_keys();
    let friend = scratch.json(&["key", "new", "--x25519", "--home", "friend"]);
    scratch.write("one.txt", "hello");
    let ran =
        scratch.run(&["seal", "one.txt", "--to", "sealed", "-r", friend["recipient"].as_str().unwrap()]);
    assert!(ran.code == Some(0) && ran.err.contains("X25519 alone"), "{ran:?}");
    scratch.json(&["open", "sealed", "--to", "out", "--home", "friend"]);
    assert_eq!(fs::read(scratch.path("out/one.txt")).unwrap(), b"hello");
}

#[test]
fn what_cannot_be_opened_leaves_nothing() {
    let (scratch, commitment) = with_dataset();
    let open = ["open", "sealed", "--to", "out", "--commitment", &commitment];
    let before = scratch.names(".");

    let wrong = format!("0x{}", "11".repeat(32));
    assert!(scratch.fails(&["open", "sealed", "--to", "out", "--commitment", &wrong]).contains("commitment"));
    assert!(scratch.fails(&["open", "sealed", "--to", "out", "--commitment", "0x11"]).contains("hint: "));
    assert!(scratch.fails(&["open", "nowhere", "--to", "out"]).contains("nowhere"));
    scratch.json(&["key", "new", "--home", ".stranger"]);
    let denied = scratch.fails(&[&open[..], &["--home", ".stranger"]].concat());
    assert!(denied.contains("no key") && denied.contains("--home"), "{denied}");
    fs::remove_dir_all(scratch.path(".stranger")).unwrap();

    for object in ["data.age", "manifest.age", "KEYS", "ROOT", "B3SUMS"] {
        let path = scratch.path("sealed").join(object);
        let whole = fs::read(&path).unwrap();
        damage(&path);
        scratch.fails(&open);
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(scratch.names("."), before);
    scratch.json(&open);
}

#[test]
fn what_cannot_be_sealed_leaves_nothing() {
    let (scratch, _) = with_dataset();
    let before = scratch.names(".");
    assert!(scratch.fails(&["seal", "nothing", "--to", "new"]).contains("nothing"));
    assert!(scratch.fails(&["seal", "data", "--to", "sealed"]).contains("exists already"));
    assert!(scratch.fails(&["seal", "data", "--to", "no/such/parent"]).contains("hint: "));
    assert!(scratch.fails(&["seal", "data", "--to", "new", "-r", "age1nonsense"]).contains("hint: "));
    assert_eq!(scratch.names("."), before);
}

#[test]
fn a_server_gets_the_index_last_and_once() {
    let (scratch, _) = with_dataset();
    let (url, objects) = http::serve();
    let place = format!("{url}/sets/one");
    let sealed = scratch.json(&["seal", "data", "--to", &place]);
    let order = objects.lock().unwrap().order.clone();
    assert_eq!(order.len(), 5);
    assert_eq!(order.last().unwrap(), "/sets/one/B3SUMS");

    scratch.json(&["open", &place, "--to", "out", "--commitment", sealed["commitment"].as_str().unwrap()]);
    assert_eq!(fs::read(scratch.path("out/a.csv")).unwrap(), b"x,y\n1,2\n");
    assert!(scratch.fails(&["seal", "data", "--to", &place]).contains("already"));
    assert_eq!(objects.lock().unwrap().order.len(), 5, "nothing was put again");

    // Without its index it is the rest of an upload that broke off.
    objects.lock().unwrap().by_path.remove("/sets/one/B3SUMS");
    assert!(scratch.fails(&["open", &place, "--to", "again"]).contains("no B3SUMS"));
    scratch.json(&["seal", "data", "--to", &place]);
    scratch.json(&["open", &place, "--to", "again"]);
}

#[test]
fn images_are_packed_named_and_copied() {
    let scratch = Scratch::new();
    let program = scratch.write("task", "#!/bin/true\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let first = scratch.json(&["image", "pack", "task", "oci:one"]);
    let second = scratch.json(&["image", "pack", "task", "oci-archive:two.tar"]);
    assert_eq!(first["digest"], second["digest"]);
    assert!(first["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(scratch.json(&["image", "digest", "oci:one"])["digest"], first["digest"]);
    scratch.json(&["image", "copy", "oci-archive:two.tar", "oci:three:v1"]);
    assert_eq!(scratch.json(&["image", "digest", "oci:three:v1"])["digest"], first["digest"]);

    let other = scratch.json(&["image", "pack", "task", "oci:four", "--env", "A=b", "--entrypoint", "/task"]);
    assert_ne!(other["digest"], first["digest"]);
    assert!(scratch.fails(&["image", "pack", "task", "oci-archive:two.tar"]).contains("exists already"));
    assert!(scratch.fails(&["image", "pack", "task", "somewhere"]).contains("hint: write docker://"));
    assert!(scratch.fails(&["image", "pack", "nothing", "oci:five"]).contains("nothing"));
    assert!(scratch.fails(&["image", "digest", "oci:nowhere"]).contains("nowhere"));
    assert!(!scratch.path("five").exists() && !scratch.path("nowhere").exists());
}

#[test]
fn policies_are_printed_and_checked() {
    let scratch = Scratch::new();
    let canonical = scratch.run(&["policy", "default"]);
    scratch.write("policy.json", &canonical.out);
    let checked = scratch.json(&["policy", "check", "policy.json"]);
    assert_eq!(checked["canonical"], canonical.out.trim());
    let hash = format!("0x{}", hex::encode(Sha256::digest(canonical.out.trim())));
    assert_eq!(checked["hash"], hash.as_str());

    scratch.write("loose.json", r#"{"version": 1, "kinds": ["simulated"], "allow_simulated": true}"#);
    let warned = scratch.run(&["policy", "check", "loose.json"]);
    assert!(warned.code == Some(0) && warned.err.contains("can read and alter everything"), "{warned:?}");
    for bad in [
        "",
        "{}",
        r#"{"version":2}"#,
        r#"{"version":1,"alow_simulated":true}"#,
        r#"{"version":1,"kinds":[]}"#,
    ] {
        scratch.write("bad.json", bad);
        assert!(scratch.fails(&["policy", "check", "bad.json"]).contains("hint: "), "{bad}");
    }
}

#[test]
fn garbage_is_no_proof_and_a_missing_file_no_verdict() {
    let scratch = Scratch::new();
    for garbage in [vec![], b"pox-proof-v1\n".to_vec(), vec![0; 5000], vec![b'x'; 2_000_000]] {
        scratch.write("proof.pox", &garbage);
        let ran = scratch.run(&["verify", "proof.pox", "--require", "asserted"]);
        assert_eq!(ran.code, Some(1), "{} bytes: {ran:?}", garbage.len());
        assert!(ran.out.starts_with("INCONSISTENT: this proof is rejected"), "{ran:?}");
        let ran = scratch.run(&["verify", "proof.pox", "--live", "--json"]);
        let verdict: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(
            (ran.code, &verdict["grade"], &verdict["meets"]),
            (Some(1), &"inconsistent".into(), &false.into())
        );
        assert_eq!(verdict["rejection"]["code"], "malformed");
    }
    assert!(scratch.fails(&["verify", "missing.pox"]).contains("hint: name a proof file"));
    assert!(!scratch.path(".pox").exists(), "verifying needs no home");
}

#[test]
fn failures_have_one_form_for_machines() {
    let scratch = Scratch::new();
    let ran = scratch.run(&["key", "show", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(ran.code, Some(2));
    assert_eq!(document["failure"]["culprit"], "usage");
    assert!(document["failure"]["hint"].as_str().unwrap().contains("pox key new"));
    for wrong in [&["sael"][..], &["seal"], &["verify", "x", "--require", "best"], &["key", "new", "--fast"]]
    {
        assert_eq!(scratch.run(wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn nobody_has_to_be_left_who_reads_what_is_said() {
    let scratch = with_keys();
    scratch.write("data.csv", "x,y\n1,2\n");
    for (args, code) in
        [(&["seal", "data.csv", "--to", "sealed"], 0), (&["open", "nothing", "--to", "opened"], 2)]
    {
        // Every write to it fails.
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = scratch.command(args).stdout(Stdio::null()).stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn shells_get_their_completions() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = scratch.run(&["completions", shell]);
        assert!(ran.code == Some(0) && ran.out.contains("devnet"), "{shell}");
    }
}

#[test]
fn a_chain_that_cannot_be_used_is_said_so() {
    let scratch = with_keys();
    let unreachable = scratch.fails(&["contract", "check", "--rpc", "http://127.0.0.1:1"]);
    assert!(
        unreachable.contains("cannot reach the chain") && unreachable.contains("pox devnet"),
        "{unreachable}"
    );
    assert!(scratch.fails(&["fund", "--chain", "bloxberg"]).contains("no faucet"));
    assert!(scratch.fails(&["fund", "0x00", "--chain", "embedded"]).contains("not an address"));
    assert!(scratch.fails(&["contract", "check", "--chain", "nowhere.toml"]).contains("nowhere.toml"));
    assert!(scratch.fails(&["contract", "check", "--rpc", "localhost"]).contains("--rpc"));
}
