//! Tasks with more than an owner and a processor, as users run them: other owners' data, lists of processors, sponsors.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use std::fs;
use world::{World, text, wait_until};

/// A world in which a hospital has sealed data of its own, and a task that reads it beside the owner's.
fn with_hospital(more: &str) -> World {
    let world = World::embedded();
    world.penguins("");
    for args in [&["key", "new"][..], &["fund"]] {
        world.pox("hospital", args);
    }
    fs::write(world.path("cohort.csv"), "patient,age\n1,40\n").unwrap();
    let sealed = world.json("hospital", &["seal", "cohort.csv", "--to", "sealed-cohort"]);
    let hospital = address(&world, "hospital");
    let commitment = sealed["commitment"].as_str().unwrap();
    let theirs = format!("{{owner: \"{hospital}\", commitment: \"{commitment}\"}}");
    let text = fs::read_to_string(world.path("task.yaml")).unwrap();
    let text = text.replace("{penguins: sealed}", &format!("{{cohort: {theirs}, penguins: sealed}}"));
    fs::write(world.path("shared.yaml"), format!("{text}{more}")).unwrap();
    world
}

fn address(world: &World, who: &str) -> String {
    world.json(who, &["key", "show"])["address"].as_str().unwrap().to_owned()
}

fn offered(world: &World) {
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
}

fn task(result: &serde_json::Value) -> String {
    result["task"].as_str().unwrap().to_owned()
}

#[test]
fn two_owners_release_to_one_enclave_of_a_listed_processor() {
    let world = with_hospital("");
    let (hospital, processor) = (address(&world, "hospital"), address(&world, "processor"));
    let other = format!("0x{}", "11".repeat(20));
    fs::write(world.path("list.txt"), format!("# approved centres\n{other}\n{processor}\n")).unwrap();
    let shared = fs::read_to_string(world.path("shared.yaml")).unwrap();
    let shared = format!("{shared}processors: [\"{processor}\", \"{other}\"]\n");
    fs::write(world.path("shared.yaml"), shared).unwrap();
    let list = world.path("list.txt").display().to_string();
    let _node = world.node(&["--list", &list]);
    offered(&world);
    let task = task(&world.json("owner", &["request", "shared.yaml"]));

    let review = world.json("hospital", &["review", &task]);
    assert_eq!(review["inputs"][0]["owner"], hospital.as_str());
    assert!(review["policy_text"].as_str().unwrap().contains("simulated"), "{review}");
    let early = world.try_pox("hospital", &["approve", &task]);
    assert!(!early.status.success(), "nobody knows yet where the hospital's data is");
    let wrong = world.try_pox("hospital", &["review", &task, "--data", "sealed"]);
    assert!(text(&wrong.stderr).contains("hint: "), "{}", text(&wrong.stderr));
    world.pox("hospital", &["review", &task, "--data", "sealed-cohort"]);

    world.json("hospital", &["approve", &task, "--wait", "1m"]);
    assert_eq!(world.json("owner", &["status", &task])["phase"], "matched", "the owner has not released yet");
    world.json("owner", &["approve", &task, "--wait", "1m"]);
    world.wait_for(&task, "proven");
    let status = world.json("owner", &["status", &task]);
    let steps: Vec<_> = status["steps"].as_array().unwrap().iter().map(|step| step["step"].clone()).collect();
    assert_eq!(steps, ["request", "match", "release", "release", "prove"]);

    world.pox("owner", &["open", &task, "--to", "results"]);
    assert!(fs::read_to_string(world.path("results/stdout.txt")).unwrap().contains("342 penguins"));
    world.pox("owner", &["proof", &task, "-o", "proof.pox"]);
    let verdict = world.json("nobody", &["verify", "proof.pox", "--require", "simulated"]);
    let owners = verdict["facts"]["owners"].as_array().unwrap();
    assert_eq!(owners.len(), 2, "{verdict}");
    assert_eq!(owners[1]["account"].as_str().unwrap().to_lowercase(), hospital.to_lowercase());
    assert_eq!(owners[1]["inputs"], serde_json::json!([0]));
}

#[test]
fn one_of_two_owners_refuses() {
    let world = with_hospital("");
    let _node = world.node(&[]);
    offered(&world);
    let task = task(&world.json("owner", &["request", "shared.yaml"]));
    world.json("owner", &["approve", &task, "--wait", "1m"]);
    world.wait_for(&task, "matched");
    let stranger = world.try_pox("processor", &["reject", &task]);
    assert!(!stranger.status.success(), "a processor is no party");
    // A refusal is of the enclave that was looked at: it hits no other match.
    let enclave = world.json("hospital", &["status", &task])["enclave"].as_str().unwrap().to_owned();
    let another = "0x00000000000000000000000000000000000000e2";
    let mistaken = world.try_pox("hospital", &["reject", &task, "--enclave", another]);
    let said = text(&mistaken.stderr).to_lowercase();
    assert!(said.contains(&format!("is matched with enclave {enclave}, not {another}")), "{said}");
    world.pox("hospital", &["reject", &task, "--enclave", &enclave]);
    world.wait_for(&task, "requested");
    wait_until("the node has done with it", || world.node_log().contains("done: "));
    world.pox("owner", &["cancel", &task]);
}

#[test]
fn a_co_owners_own_policy_is_one_more_that_evidence_has_to_pass() {
    let world = with_hospital("");
    fs::write(world.path("own.json"), r#"{"version": 1}"#).unwrap();
    let _node = world.node(&[]);
    offered(&world);
    let task = task(&world.json("owner", &["request", "shared.yaml"]));
    world.pox("hospital", &["review", &task, "--data", "sealed-cohort"]);
    world.wait_for(&task, "matched");
    let refused = world.try_pox("hospital", &["approve", &task, "--own-policy", "own.json"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("this account's own policy") && said.contains("--reason 3"), "{said}");
    // Kept with the task, the agent goes by it: the owner's policy accepts what the hospital's does not.
    let review = ["review", &task, "--data", "sealed-cohort", "--own-policy", "own.json"];
    assert!(world.json("hospital", &review)["own_policy"].as_str().unwrap().contains("tdx"));
    let agent = world.agent("hospital");
    world.wait_for(&task, "requested");
    drop(agent);
    let status = world.json("owner", &["status", &task]);
    let steps: Vec<_> = status["steps"].as_array().unwrap().iter().map(|step| step["step"].clone()).collect();
    assert_eq!(&steps[..3], ["request", "match", "reject"]);
}

#[test]
fn the_agents_of_both_owners_release() {
    let world = with_hospital("");
    let _node = world.node(&[]);
    offered(&world);
    let task = task(&world.json("owner", &["request", "shared.yaml"]));
    world.pox("hospital", &["review", &task, "--data", "sealed-cohort"]);
    std::thread::scope(|scope| {
        let agents =
            ["owner", "hospital"].map(|who| scope.spawn(|| world.json(who, &["agent", "--until-idle"])));
        for agent in agents {
            agent.join().unwrap();
        }
    });
    assert_eq!(world.json("owner", &["status", &task])["phase"], "proven");
}

#[test]
fn an_owner_without_coins_has_its_calls_relayed_and_a_sponsor_pays() {
    let world = World::embedded();
    world.penguins("price: \"1000000\"\n");
    world.pox("poor", &["key", "new"]);
    world.pox("poor", &["seal", "penguins.csv", "--to", "sealed-poor"]);
    world.pox("sponsor", &["key", "new"]);
    world.pox("sponsor", &["fund"]);
    let text_of = fs::read_to_string(world.path("task.yaml")).unwrap();
    fs::write(world.path("poor.yaml"), text_of.replace("penguins: sealed", "penguins: sealed-poor")).unwrap();

    // Taken back before anybody matched it: the sponsor gets its money, not the owner.
    let first = task(&world.json("poor", &["request", "poor.yaml", "--sign-only", "--out", "first.json"]));
    // Nobody pays a price that he did not say may be so high, gas included.
    for (most, why) in [
        (&[][..], "has a price of 1000000 wei, which this account would pay"),
        (&["--max-price", "999999"], "more than the 999999 of --max-price"),
        (&["--max-price", "1000000"], "and 1000000 is the most to be paid"),
    ] {
        let refused = world.try_pox("sponsor", &[&["relay", "first.json"], most].concat());
        let said = text(&refused.stderr);
        assert!(said.contains(why) && said.contains("--max-price"), "{said}");
    }
    let relay = ["relay", "first.json", "--max-price", "1000000000000000000"];
    assert_eq!(task(&world.json("sponsor", &relay)), first);
    assert_eq!(world.json("sponsor", &relay)["transaction"], serde_json::Value::Null);
    world.pox("poor", &["cancel", &first, "--sign-only", "--out", "cancel.json"]);
    world.pox("sponsor", &["relay", "cancel.json"]);
    assert_eq!(world.json("sponsor", &["withdraw"])["wei"], "1000000");
    assert!(!world.try_pox("poor", &["withdraw"]).status.success());

    // Run to its end, with not one transaction of the owner's.
    let _node = world.node(&["--price", "1"]);
    offered(&world);
    let second = task(&world.json("poor", &["request", "poor.yaml", "--sign-only", "--out", "second.json"]));
    world.pox("sponsor", &["relay", "second.json", "--max-price", "1000000000000000000"]);
    world.pox("poor", &["approve", &second, "--wait", "1m", "--sign-only", "--out", "approve.json"]);
    world.pox("sponsor", &["relay", "approve.json"]);
    world.wait_for(&second, "proven");
    world.pox("poor", &["open", &second, "--to", "results"]);

    // A file that says something else than its owner signed is refused by the chain.
    world.pox("poor", &["request", "poor.yaml", "--sign-only", "--out", "third.json"]);
    let signed = fs::read_to_string(world.path("third.json")).unwrap();
    let end = signed.rfind('"').unwrap();
    // The last 96 bytes are the 65 of the signature.
    let (before, signature) = signed[..end].split_at(end - 192);
    let digit = if signature.starts_with('1') { "2" } else { "1" };
    fs::write(world.path("third.json"), format!("{before}{digit}{}{}", &signature[1..], &signed[end..]))
        .unwrap();
    let third = world.try_pox("sponsor", &["relay", "third.json", "--max-price", "1000000000000000000"]);
    assert!(text(&third.stderr).contains("the contract refuses"), "{}", text(&third.stderr));
    fs::write(world.path("junk.json"), "{}").unwrap();
    assert!(text(&world.try_pox("sponsor", &["relay", "junk.json"]).stderr).contains("hint: "));
}
