//! The embedded chain as users run it: served, funded from, killed and started again.

// Clippy takes helpers of tests for production code.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use support::Scratch;

/// A running chain, killed when dropped.
struct Devnet {
    child: Child,
    serving: Value,
}

impl Devnet {
    fn start(scratch: &Scratch, further: &[&str]) -> Self {
        let arguments = [&["devnet", "--listen", "127.0.0.1:0", "--json", "--quiet"][..], further].concat();
        let mut child = scratch.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut document = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            document.push_str(&line.unwrap());
            if document.ends_with('}') {
                break;
            }
        }
        let serving = serde_json::from_str(&document).unwrap();
        Self { child, serving }
    }

    fn url(&self) -> &str {
        self.serving["url"].as_str().unwrap()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_keeps_everything_when_it_is_killed() {
    let scratch = Scratch::new();
    let address = scratch.json(&["key", "new"])["address"].clone();
    let devnet = Devnet::start(&scratch, &[]);
    let contract = devnet.serving["contract"].clone();
    let checked = scratch.json(&["contract", "check", "--rpc", devnet.url()]);
    assert_eq!(checked["contract"], contract);
    let funded = scratch.json(&["fund", "--wei", "1234", "--rpc", devnet.url()]);
    assert_eq!((&funded["address"], &funded["balance"]), (&address, &"1234".into()));
    drop(devnet);

    let mut devnet = Devnet::start(&scratch, &[]);
    assert_eq!(devnet.serving["contract"], contract);
    let funded = scratch.json(&["fund", "--wei", "1", "--rpc", devnet.url()]);
    assert_eq!(funded["balance"], "1235");
    let second = scratch.fails(&["devnet", "--listen", "127.0.0.1:0"]);
    assert!(second.contains("in use by another process") && second.contains("--data"), "{second}");
    devnet.signal("-TERM");
    assert_eq!(devnet.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_contract_is_deployed_where_there_is_none() {
    let scratch = Scratch::new();
    scratch.json(&["key", "new"]);
    let devnet = Devnet::start(&scratch, &[]);
    let there = scratch.fails(&["contract", "deploy", "--rpc", devnet.url()]);
    assert!(there.contains("there already"), "{there}");
    scratch.json(&["fund", "--rpc", devnet.url()]);
    let elsewhere = "0x1111111111111111111111111111111111111111";
    let missing = scratch.fails(&["offers", "--rpc", devnet.url(), "--contract", elsewhere]);
    assert!(
        missing.contains("not this version's contract") && missing.contains("pox contract deploy"),
        "{missing}"
    );

    let deployed = scratch.json(&["contract", "deploy", "--rpc", devnet.url(), "--contract", elsewhere]);
    assert_ne!(deployed["contract"], devnet.serving["contract"]);
    let remembered = scratch.json(&["contract", "check", "--rpc", devnet.url()]);
    assert_eq!(remembered["contract"], deployed["contract"]);
    let other = scratch.json(&["contract", "check", "--rpc", devnet.url(), "--home", "other"]);
    assert_eq!(other["contract"], devnet.serving["contract"]);
}

#[test]
fn blocks_come_at_an_interval_and_by_later_rules() {
    for further in [&["--block-time", "1"][..], &["--hardfork", "london"], &["--hardfork", "osaka"]] {
        let scratch = Scratch::new();
        scratch.json(&["key", "new"]);
        let devnet = Devnet::start(&scratch, further);
        let funded = scratch.json(&["fund", "--rpc", devnet.url()]);
        assert_eq!(funded["balance"], "1000000000000000000", "{further:?}");
    }
}
