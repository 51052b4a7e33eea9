//! `pox index`, `tasks`, `priority` and `history`, on the embedded chain.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stand_in;
mod world;

use serde_json::{Value, json};
use stand_in::Calendar;
use world::{World, text, wait_until};

/// An endpoint where nobody answers: what works with it needs no chain.
const NOWHERE: [&str; 2] = ["--rpc", "http://127.0.0.1:1"];

#[test]
fn who_was_first_and_what_was_done_with_the_data() {
    let world = World::embedded();
    world.penguins("");
    let node = world.node(&[]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    let first = world.json("owner", &["run", "task.yaml", "--to", "results", "--proof", "proof.pox"]);
    assert_eq!(first["outcome"], "completed");
    drop(node);
    let second = world.json("owner", &["request", "task.yaml"])["task"].clone();
    world.pox("owner", &["cancel", second.as_str().unwrap()]);

    let missing = world.try_pox("nobody", &["tasks", "--db", "index.db"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("there is no index there"), "{}", text(&missing.stderr));
    let made = world.json("nobody", &["index", "--db", "index.db"]);
    assert_eq!((&made["totals"]["tasks"], &made["totals"]["flagged"]), (&json!(2), &json!(0)), "{made}");
    assert_eq!(world.json("nobody", &["index", "--db", "index.db", "--once"])["added"], 0);

    // With an index nobody is asked; without one, the chain gives the same.
    let asked = |args: &[&str]| world.json("nobody", &[args, &["--db", "index.db"], &NOWHERE].concat());
    let tasks = asked(&["tasks"]);
    assert_eq!(tasks["tasks"], world.json("nobody", &["tasks"])["tasks"]);
    let task = &tasks["tasks"][0];
    let (id, image) = (task["task"].as_str().unwrap(), task["image"].as_str().unwrap());
    let (input, owner) = (task["inputs"][0].as_str().unwrap(), task["owner"].as_str().unwrap());
    assert_eq!((&task["phase"], &task["outcome"]), (&json!("proven"), &json!(0)));
    assert_eq!(tasks["tasks"][1]["task"], second);
    let count = |args: &[&str]| asked(args)["tasks"].as_array().unwrap().len();
    assert_eq!(count(&["tasks", "--owner", owner, "--image", image, "--input", input]), 2);
    assert_eq!(count(&["tasks", "--phase", "cancelled"]), 1);
    assert_eq!(count(&["tasks", "--result", task["results"].as_str().unwrap()]), 1);
    assert_eq!(count(&["tasks", "--until", "2001-01-01"]), 0);
    let page = asked(&["tasks", "--limit", "1"]);
    let rest = asked(&["tasks", "--limit", "1", "--after", page["next"].as_str().unwrap()]);
    assert_eq!((&rest["tasks"][0]["task"], &rest["next"]), (&second, &Value::Null));

    // Who was first, and the way to its proof; what the index can't know it does not say.
    let priority = asked(&["priority", image, input]);
    assert_eq!(priority["first_proven"]["task"], id);
    assert_eq!((&priority["tasks"], &priority["proven"]), (&json!(2), &json!(1)));
    assert!(priority["index"]["as_of"]["number"].as_u64().unwrap() > 0 && priority.get("grade").is_none());
    // What is gone from beside the results, the processor still has.
    world.pox("processor", &["node", "archive", id, "--to", "kept"]);
    let never = world.try_pox("processor", &["node", "archive", second.as_str().unwrap(), "--to", "kept"]);
    assert!(text(&never.stderr).contains("has proven no task"), "{}", text(&never.stderr));
    let hex = format!("sha256:{}", image.trim_start_matches("0x"));
    let shown = world.pox("nobody", &["priority", &hex, "--db", "index.db"]);
    assert!(shown.contains("first: the task whose receipt stands first in the chain"), "{shown}");
    assert!(shown.contains("only its proof shows") && shown.contains("as of block "), "{shown}");
    let proven = world.json(
        "nobody",
        &["priority", image, "--db", "index.db", "--proof", "first.pox", "--archive", "kept"],
    );
    assert_eq!(proven["proof"]["grade"], "simulated");
    let other = format!("0x{}", "77".repeat(32));
    assert_eq!(asked(&["priority", &other])["first_proven"], Value::Null);

    // Everything that was done with the data; the contract itself says that nothing is missing.
    let history = world.json("nobody", &["history", "--input", input, "--db", "index.db", "--check"]);
    assert_eq!(history["checked"], true);
    let steps = |task: &Value| -> Vec<String> {
        let steps = task["history"].as_array().unwrap();
        steps.iter().map(|step| step["event"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(steps(&history["tasks"][0]), ["requested", "matched", "approved", "proven"]);
    assert_eq!(steps(&history["tasks"][1]), ["requested", "cancelled"]);
    let one = asked(&["history", "--task", second.as_str().unwrap()]);
    assert_eq!(one["tasks"], json!([history["tasks"][1]]));

    the_proof_with_a_time_stamp(&world);
}

/// A time stamp adds a sentence to the verdict, and changes no grade.
fn the_proof_with_a_time_stamp(world: &World) {
    let calendar = Calendar::start();
    world.json("nobody", &["timestamp", "create", "first.pox", "--calendar", &calendar.url]);
    calendar.confirm(9);
    world.json("nobody", &["timestamp", "upgrade", "first.pox.ots", "--calendar", &calendar.url]);
    let verify = ["verify", "first.pox", "--require", "simulated", "--timestamp", "first.pox.ots", "--json"];
    let plain = world.json("nobody", &verify[..4]);
    let known =
        world.json("nobody", &[&verify[..6], &["--bitcoin-header", &calendar.block(1_800_000_000)]].concat());
    assert_eq!(known["timestamps"][0]["anchored"]["not_after"], 1_800_007_200u64);
    assert_eq!((&known["grade"], &known["components"]), (&plain["grade"], &plain["components"]));
    // One that does not hold is said, and is not passed over in silence.
    let unknown = world.try_pox("nobody", &verify);
    assert_eq!(unknown.status.code(), Some(1));
    let unknown: Value = serde_json::from_slice(&unknown.stdout).unwrap();
    assert_eq!((&unknown["grade"], &unknown["meets"]), (&plain["grade"], &json!(true)));
    assert_eq!(unknown["timestamps"][0]["rejected"]["rejection"]["rejection"], "unknown-block");
}

#[test]
fn a_database_is_named_without_its_password() {
    let world = World::at("http://127.0.0.1:1".into(), &[]);
    let refused = world.try_pox("nobody", &["tasks", "--db", "postgres://reader:hidden@127.0.0.1:1/pox"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("password") && said.contains("PGPASSWORD") && !said.contains("hidden"), "{said}");
    let unreachable = world.try_pox("nobody", &["tasks", "--db", "postgres://reader@127.0.0.1:1/pox"]);
    assert_eq!(unreachable.status.code(), Some(2), "{}", text(&unreachable.stderr));
    let both = world.try_pox("nobody", &["history"]);
    assert_eq!(both.status.code(), Some(2));
    let unnamed = world.try_pox("nobody", &["index"]);
    assert!(text(&unnamed.stderr).contains("hint: name one with --db"), "{}", text(&unnamed.stderr));
}
