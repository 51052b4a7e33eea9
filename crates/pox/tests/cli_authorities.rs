//! `pox chain authorities`: who seals a chain, proven from a pinned set or told by a contract, and pinned in a profile.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use std::fs;
use world::{World, text, wait_until};

/// A contract that answers everything with a list of accounts, as `getValidators()` does.
fn keeper(set: &[String]) -> Vec<u8> {
    let word = |hex: &str| hex::decode(format!("{hex:0>64}")).unwrap();
    let mut list = [word("20"), word(&format!("{:x}", set.len()))].concat();
    set.iter().for_each(|account| list.extend(word(account.trim_start_matches("0x"))));
    let length = u8::try_from(list.len()).unwrap();
    // codecopy(0, 12, length); return(0, length)
    let code = [0x60, length, 0x60, 12, 0x60, 0, 0x39, 0x60, length, 0x60, 0, 0xf3];
    [&code[..], &list].concat()
}

#[test]
fn the_set_of_today_is_proven_or_told_and_can_be_pinned() {
    let world = World::embedded_with(&["--authorities", "3", "--block-time", "1"]);
    // Two of three have to have sealed since the change.
    wait_until("the new set seals", || world.try_pox("nobody", &["chain", "authorities"]).status.success());
    let shown = world.json("nobody", &["chain", "authorities"]);
    assert_eq!((shown["known"].as_str(), shown["changes"].as_u64()), (Some("proven"), Some(1)), "{shown}");
    let set: Vec<String> = serde_json::from_value(shown["authorities"].clone()).unwrap();
    assert_eq!(set.len(), 3);

    // A chain of which nothing is pinned: a contract tells, and the seals say whether it is right.
    let embedded = world.pox("nobody", &["chain", "show", "embedded"]);
    let (plain, _) = embedded.split_once("# The first development authority").unwrap();
    fs::write(world.path("plain.toml"), plain).unwrap();
    let ask = |more: &[&str]| {
        world.try_pox("nobody", &[&["chain", "authorities", "--chain", "plain.toml"], more].concat())
    };
    assert!(text(&ask(&[]).stderr).contains("--step"));
    assert!(text(&ask(&["--step", "1"]).stderr).contains("--validators"));
    let contract = world.deploy("owner", keeper(&set));
    let told = ask(&["--step", "1", "--validators", &contract, "--out", "pinned.toml"]);
    assert!(told.status.success(), "{}", text(&told.stderr));
    assert!(text(&told.stdout).contains("getValidators()"), "{}", text(&told.stdout));
    // Under the profile that it wrote, the set is a pinned one, and verdicts say so.
    let again = world.json("nobody", &["chain", "authorities", "--chain", "pinned.toml"]);
    assert_eq!((again["known"].as_str(), again["changes"].as_u64()), (Some("proven"), Some(0)), "{again}");
    assert_eq!(again["authorities"], shown["authorities"]);
    let other = ask(&["--step", "1", "--validators", &contract, "--out", "pinned.toml"]);
    assert!(!other.status.success(), "nothing is overwritten");

    // The same accounts in another order, and some others: neither has sealed.
    let mut turned = set.clone();
    turned.swap(0, 1);
    let strangers: Vec<String> = (1..=3).map(|n| format!("0x{n:040x}")).collect();
    for wrong in [turned, strangers] {
        let contract = world.deploy("owner", keeper(&wrong));
        let refused = ask(&["--step", "1", "--validators", &contract]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains("has not sealed"), "{}", text(&refused.stderr));
        // Where a set is pinned, what a contract tells has to be what its changes came to.
        let differs = world.try_pox("nobody", &["chain", "authorities", "--validators", &contract]);
        assert!(text(&differs.stderr).contains("another set"), "{}", text(&differs.stderr));
    }
    let none = world.deploy("owner", vec![0]);
    assert!(text(&ask(&["--step", "1", "--validators", &none]).stderr).contains("tells no set"));
}

#[test]
fn a_live_verification_counts_authorities_where_the_profile_says_aura() {
    let world = World::embedded_with(&["--authorities", "3", "--block-time", "1"]);
    world.penguins("");
    let _node = world.node(&[]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    world.pox("owner", &["run", "task.yaml", "--to", "results", "--proof", "proof.pox"]);
    // So many blocks never come: what is final is so by seals.
    let embedded = world.pox("nobody", &["chain", "show", "embedded"]);
    let aura = embedded.replace("rule = \"depth\"\nblocks = 1", "rule = \"authorities\"\nblocks = 100000");
    let explorer = r#"[explorer]
transaction = "https://explorer.example/tx/{}"
address = "https://explorer.example/address/{}"
block = "https://explorer.example/block/{}"
"#;
    fs::write(world.path("aura.toml"), format!("{aura}\n{explorer}")).unwrap();
    let live = ["verify", "proof.pox", "--live", "--require", "simulated", "--chain"];
    let verify = |profile: &str| world.try_pox("nobody", &[&live[..], &[profile]].concat());
    wait_until("two of three have built on it", || verify("aura.toml").status.success());
    let said = text(&verify("aura.toml").stderr);
    assert!(said.contains("of 3 authorities have built on it"), "{said}");
    // Where people see the same, if they care to compare.
    let number = said.split_once("block ").and_then(|(_, rest)| rest.split_once(" is final")).unwrap().0;
    assert!(
        said.contains(&format!("https://explorer.example/block/{number} shows block {number}")),
        "{said}"
    );
    let ids = world.json("owner", &["status", "--chain", "aura.toml"]);
    let standing = world.json("owner", &["status", ids[0]["task"].as_str().unwrap(), "--chain", "aura.toml"]);
    let (step, page) = (&standing["steps"][0]["transaction"], &standing["steps"][0]["page"]);
    assert_eq!(page, &format!("https://explorer.example/tx/{}", step.as_str().unwrap()));
    // Without a set there is only the depth, and the program says so.
    let (unpinned, _) = aura.split_once("# The first development authority").unwrap();
    fs::write(world.path("unpinned.toml"), unpinned).unwrap();
    let said = text(&verify("unpinned.toml").stderr);
    assert!(said.contains("no set of authorities is known") && said.contains("not final"), "{said}");
}
