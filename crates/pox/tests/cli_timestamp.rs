//! `pox timestamp`, against services on loopback.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stand_in;
mod support;

use stand_in::{Calendar, serve};
use std::fs;
use std::path::{Path, PathBuf};
use support::Scratch;

fn stamps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pox-verify/tests/data/timestamp")
}

#[test]
fn a_calendar_s_promise_becomes_a_block() {
    let scratch = Scratch::new();
    let calendar = Calendar::start();
    scratch.write("proof.pox", b"a proof");
    scratch.json(&["timestamp", "create", "proof.pox", "--calendar", &calendar.url]);
    let again = scratch.fails(&["timestamp", "create", "proof.pox", "--calendar", &calendar.url]);
    assert!(again.contains("nothing is overwritten"), "{again}");

    let verify = ["timestamp", "verify", "proof.pox", "--ots", "proof.pox.ots"];
    let pending = scratch.run(&verify);
    assert_eq!(pending.code, Some(1), "{pending:?}");
    assert!(pending.out.contains("NOT BELIEVED: no Bitcoin block attests it yet"), "{pending:?}");
    let waits = scratch.json(&["timestamp", "upgrade", "proof.pox.ots", "--calendar", &calendar.url]);
    assert_eq!((&waits["asked"], &waits["upgraded"]), (&1.into(), &0.into()), "{waits}");
    // Who wrote the file does not choose who is asked.
    let other = scratch.fails(&["timestamp", "upgrade", "proof.pox.ots", "--calendar", "http://127.0.0.1:1"]);
    assert!(other.contains(&calendar.url), "{other}");

    calendar.confirm(77);
    let done = scratch.json(&["timestamp", "upgrade", "proof.pox.ots", "--calendar", &calendar.url]);
    assert_eq!(done["blocks"], serde_json::json!([77]));
    let unknown = scratch.run(&verify);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.out.contains("Bitcoin block 77 attests it, and was not given"), "{unknown:?}");
    let block = calendar.block(1_700_000_000);
    let known = scratch.run(&[&verify[..], &["--bitcoin-header", &block]].concat());
    assert_eq!(known.code, Some(0), "{known:?}");
    assert!(
        known.out.contains("existed not after 2023-11-15T00:13:20Z, according to Bitcoin block 77"),
        "{known:?}"
    );
    scratch.write("blocks", &block);
    assert_eq!(scratch.run(&[&verify[..], &["--bitcoin-headers", "blocks"]].concat()).code, Some(0));
    scratch.write("proof.pox", b"another proof");
    let another = scratch.run(&[&verify[..], &["--bitcoin-header", &block]].concat());
    assert!(another.out.contains("about another file"), "{another:?}");
}

#[test]
fn a_calendar_that_is_gone_keeps_nobody_from_the_others() {
    let scratch = Scratch::new();
    let (gone, there) = (Calendar::start(), Calendar::start());
    scratch.write("proof.pox", b"a proof");
    let both = ["--calendar", &gone.url, "--calendar", &there.url];
    scratch.json(&[&["timestamp", "create", "proof.pox"][..], &both].concat());
    gone.break_down();
    there.confirm(77);
    let upgrade = ["timestamp", "upgrade", "proof.pox.ots"];
    let upgraded = scratch.json(&[&upgrade[..], &both].concat());
    assert_eq!((&upgraded["upgraded"], &upgraded["blocks"]), (&1.into(), &serde_json::json!([77])));
    let alone = scratch.fails(&[&upgrade[..], &both[..2]].concat());
    assert!(alone.contains("HTTP status 503"), "{alone}");
}

#[test]
fn an_authority_s_stamp_is_verified_offline() {
    let scratch = Scratch::new();
    let from = |name: &str| fs::read(stamps().join(name)).unwrap();
    scratch.write("proof.pox", from("file"));
    scratch.write("root.pem", from("root.pem"));
    for name in ["rsa", "p256", "expired"] {
        scratch.write(&format!("{name}.tsr"), from(&format!("{name}.tsr")));
    }
    let verify = ["timestamp", "verify", "proof.pox", "--ca", "root.pem"];
    let good = scratch
        .run(&[&verify[..], &["--tsr", "rsa.tsr", "--tsr", "p256.tsr", "--at", "2050-01-01"]].concat());
    assert_eq!(good.code, Some(0), "{good:?}");
    assert_eq!(good.out.matches("time-stamping authority CN=tsa-").count(), 2, "{good:?}");
    let late = scratch.run(&[&verify[..], &["--tsr", "expired.tsr", "--at", "2050-01-01"]].concat());
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!(late.out.contains("not in force"), "{late:?}");
    let untrusted = scratch.fails(&["timestamp", "verify", "proof.pox", "--tsr", "rsa.tsr"]);
    assert!(untrusted.contains("--ca"), "{untrusted}");
    let none = scratch.fails(&verify);
    assert!(none.contains("no time stamp"), "{none}");
}

#[test]
fn an_answer_to_another_query_is_not_kept() {
    let scratch = Scratch::new();
    let old = fs::read(stamps().join("rsa.tsr")).unwrap();
    scratch.write("proof.pox", fs::read(stamps().join("file")).unwrap());
    let replays = serve(move |_, _, _| (200, old.clone()));
    let refused = scratch.fails(&["timestamp", "create", "proof.pox", "--rfc3161", &replays]);
    assert!(refused.contains("answers another query"), "{refused}");
    let broken = serve(|_, _, _| (503, Vec::new()));
    let refused = scratch.fails(&["timestamp", "create", "proof.pox", "--rfc3161", &broken]);
    assert!(refused.contains("HTTP status 503") && refused.contains("hint: "), "{refused}");
    let endless = serve(|_, _, _| (200, vec![0x30; 1 << 20]));
    scratch.fails(&["timestamp", "create", "proof.pox", "--rfc3161", &endless]);
    assert_eq!(scratch.names("."), ["proof.pox"]);
    // A query for those who carry it by hand.
    scratch.json(&["timestamp", "create", "proof.pox", "--query-only"]);
    assert_eq!(fs::read(scratch.path("proof.pox.tsq")).unwrap()[..2], [0x30, 0x43]);
    let nobody = scratch.fails(&["timestamp", "create", "proof.pox"]);
    assert!(nobody.contains("--rfc3161"), "{nobody}");
}

#[test]
#[ignore = "needs openssl: run by .ci/run"]
fn an_authority_attests_a_proof() {
    let scratch = Scratch::new();
    scratch.write("proof.pox", b"made just now");
    let folder = scratch.path("authority");
    fs::create_dir(&folder).unwrap();
    let authority = folder.clone();
    let url = serve(move |_, _, query| {
        fs::write(authority.join("query"), query).unwrap();
        fs::write(authority.join("file"), b"made just now").unwrap();
        let made = std::process::Command::new("bash")
            .arg(stamps().join("make.sh"))
            .arg(&authority)
            .env("QUERY", authority.join("query"))
            .env("FILE", authority.join("file"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        (200, fs::read(authority.join("p384.tsr")).unwrap())
    });
    scratch.json(&["timestamp", "create", "proof.pox", "--rfc3161", &url]);
    let trusted =
        ["timestamp", "verify", "proof.pox", "--tsr", "proof.pox.tsr", "--ca", "authority/root.pem"];
    let verified = scratch.run(&trusted);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    // The standard tool says the same of the same files.
    let judged = std::process::Command::new("openssl")
        .args([
            "ts",
            "-verify",
            "-data",
            "proof.pox",
            "-in",
            "proof.pox.tsr",
            "-CAfile",
            "authority/root.pem",
        ])
        .current_dir(scratch.path("."))
        .output()
        .unwrap();
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
}
