//! Batches: one task of many runs, from its file to a proof of a single member, and through a crash.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use world::{POX, Running, World, free_port, text, wait_until};

/// A line for each of twenty runs; the seventh reads what is not there.
fn write_runs(world: &World) {
    let line = |number: u32| match number {
        7 => "/in/penguins/nothing.csv".to_owned(),
        _ => format!("/in/penguins/penguins.csv /out/of-{number}.json"),
    };
    let lines: Vec<_> = (1..=20).map(line).collect();
    fs::write(world.path("runs.txt"), format!("# file and output\n{}\n", lines.join("\n"))).unwrap();
}

fn verified(world: &World, proof: &str) -> (Option<i32>, Value, String) {
    let args = ["verify", proof, "--require", "simulated", "--rpc", "http://127.0.0.1:1"];
    let page = text(&world.try_pox("nobody", &args).stdout);
    let verdict = world.try_pox("nobody", &[&args[..], &["--json"]].concat());
    (verdict.status.code(), serde_json::from_slice(&verdict.stdout).unwrap(), page)
}

#[test]
fn anyone_verifies_member_n_of_twenty_offline() {
    let world = World::embedded();
    write_runs(&world);
    world.penguins("args: [/penguins]\nruns: runs.txt\nenv: {POX_RUN: nobody's}\n");
    let _node = world.node(&[]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    let run = world.try_pox("owner", &["run", "task.yaml", "--to", "results", "--json"]);
    assert_eq!(run.status.code(), Some(1), "{}\n{}", text(&run.stderr), world.node_log());
    let run: Value = serde_json::from_slice(&run.stdout).unwrap();
    let task = run["task"].as_str().unwrap();
    assert_eq!(run["outcome"], "failed");
    let members = run["members"].as_array().unwrap();
    assert_eq!(members.len(), 20);
    for (number, member) in (1..).zip(members) {
        let outcome = if number == 7 { "failed" } else { "completed" };
        assert_eq!((&member["number"], &member["outcome"]), (&json!(number), &json!(outcome)));
    }
    // Each has its own folder, and only its own output.
    for number in [1, 20] {
        let folder = world.path(&format!("results/{number}"));
        assert!(fs::read_to_string(folder.join("stdout.txt")).unwrap().contains("342 penguins"));
        assert!(folder.join(format!("out/of-{number}.json")).exists());
        assert_eq!(fs::read_dir(folder.join("out")).unwrap().count(), 1);
    }
    assert!(fs::read_to_string(world.path("results/7/stderr.txt")).unwrap().contains("nothing.csv"));

    shows_the_count(&world, task);
    opens_members(&world, task, members);
    proves_members(&world, task, members);
}

fn shows_the_count(world: &World, task: &str) {
    let status = world.json("owner", &["status", task]);
    assert_eq!(status["batch"], json!({ "members": 20, "completed": 19 }));
    assert_eq!(status["steps"][3]["step"], "prove many");
    assert!(world.pox("owner", &["status", task]).contains("batch of 20 members, 19 of them completed"));
    let history = world.json("nobody", &["history", "--task", task]);
    assert_eq!(history["tasks"][0]["members"], 20, "{history}");
    assert!(world.pox("nobody", &["tasks"]).contains("failed, batch of 20"));
}

fn opens_members(world: &World, task: &str, members: &[Value]) {
    let alone = world.json("owner", &["open", "sealed-results-task.yaml/3", "--to", "three"]);
    assert_eq!(alone["commitment"], members[2]["results"], "a member's results are a dataset of their own");
    world.pox("owner", &["open", task, "--member", "3", "--to", "three-again"]);
    let read = |folder: &str| fs::read(world.path(folder).join("out/of-3.json")).unwrap();
    assert!(read("three") == read("three-again") && read("three") == read("results/3"));
    let all = world.pox("owner", &["open", task, "--to", "all"]);
    assert!(
        all.contains("member 7 of 20: failed, exit code 1") && all.contains("opened 20 members"),
        "{all}"
    );
    assert!(world.path("all/20/out/of-20.json").exists());
    for (args, said) in [
        (vec!["open", task, "--member", "21", "--to", "none"], "members 1 to 20"),
        (vec!["open", "sealed-results-task.yaml", "--member", "1", "--to", "none"], "--member is for tasks"),
        (vec!["proof", task, "--member", "0", "-o", "none.pox"], "members 1 to 20"),
    ] {
        let failed = world.try_pox("owner", &args);
        assert_eq!(failed.status.code(), Some(2));
        assert!(text(&failed.stderr).contains(said), "{}", text(&failed.stderr));
    }
}

fn proves_members(world: &World, task: &str, members: &[Value]) {
    // The proof of the batch, which `pox run` wrote, shows no member and says how many there are.
    let (code, verdict, page) = verified(world, "proof.pox");
    assert_eq!((code, &verdict["facts"]["members"]["count"]), (Some(0), &json!(20)), "{verdict}");
    assert!(verdict["facts"]["members"].get("member").is_none());
    assert!(
        page.contains("1 of 20 members did not complete") && page.contains("none of them shown"),
        "{page}"
    );

    world.pox("owner", &["proof", task, "--member", "3", "--open-args", "-o", "three.pox"]);
    let (code, verdict, page) = verified(world, "three.pox");
    let member = &verdict["facts"]["members"]["member"];
    assert_eq!((code, &member["number"], &member["outcome"]), (Some(0), &json!(3), &json!("completed")));
    assert_eq!(member["results"], members[2]["results"]);
    let arguments = json!(["/penguins", "/in/penguins/penguins.csv", "/out/of-3.json"]);
    assert_eq!(member["run"]["arguments"], arguments);
    assert!(page.contains("3 of 20: completed, exit code 0"), "{page}");
    assert!(page.contains("arguments       /penguins /in/penguins/penguins.csv /out/of-3.json"), "{page}");

    // Nothing of the other runs is in it; and without being asked for, nothing of its own.
    let holds = |file: &str, needle: &str| {
        fs::read(world.path(file)).unwrap().windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    assert!(holds("three.pox", "of-3.json") && !holds("three.pox", "of-4.json"));
    world.pox("owner", &["proof", task, "--member", "7", "--disclose", "none", "-o", "seven.pox"]);
    let (code, verdict, _) = verified(world, "seven.pox");
    let member = &verdict["facts"]["members"]["member"];
    assert_eq!((code, &member["outcome"], &member["exit_code"]), (Some(0), &json!("failed"), &json!(1)));
    assert_eq!((&member["run"], &verdict["facts"]["terms"]), (&Value::Null, &Value::Null));
    assert!(!holds("seven.pox", "nothing.csv") && !holds("seven.pox", "penguins"));
}

/// The chain of a world, that can be taken away and given back.
fn chain(folder: &Path, port: u16) -> Running {
    let (data, listen) = (folder.join("chain").display().to_string(), format!("127.0.0.1:{port}"));
    let mut command = Command::new(POX);
    command.args(["devnet", "--data", &data, "--listen", &listen]);
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

#[test]
fn a_node_that_is_killed_between_receipt_and_chain_posts_the_batch() {
    let port = free_port();
    let world = World::at(format!("http://127.0.0.1:{port}"), &[]);
    let first = chain(world.folder.path(), port);
    wait_until("the chain answers", || world.try_pox("nobody", &["offers"]).status.success());
    for who in ["owner", "processor"] {
        world.pox(who, &["key", "new"]);
        world.pox(who, &["fund"]);
    }
    world.penguins("args: [/penguins, /in/penguins/penguins.csv, \"/out/{run}.json\"]\nruns: 5\n");
    let mut node = world.node(&[]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    let task = world.json("owner", &["request", "task.yaml"])["task"].as_str().unwrap().to_owned();
    world.json("owner", &["approve", &task, "--wait", "1m"]);
    // Without a chain, what the enclave signs can only go to the journal.
    wait_until("the members run", || world.path("sealed-results-task.yaml/1").exists());
    drop(first);
    wait_until("the batch is closed", || world.path("sealed-results-task.yaml/ARCHIVE").exists());
    sleep(Duration::from_secs(6));
    node.0.kill().unwrap();
    node.0.wait().unwrap();
    let _second = chain(world.folder.path(), port);
    wait_until("the chain answers", || world.try_pox("nobody", &["offers"]).status.success());
    assert_eq!(world.json("owner", &["status", &task])["phase"], "approved");
    let _node = world.node(&[]);
    world.wait_for(&task, "proven");
    assert_eq!(world.json("owner", &["status", &task])["batch"], json!({ "members": 5, "completed": 5 }));
    world.pox("owner", &["proof", &task, "--member", "5", "-o", "five.pox"]);
    assert_eq!(verified(&world, "five.pox").0, Some(0));
    world.pox("owner", &["open", &task, "--to", "results"]);
    assert!(world.path("results/5/out/5.json").exists());
}

#[test]
fn a_batch_ends_with_its_time_and_too_much_is_refused_before_anything_is_sent() {
    let world = World::embedded();
    // The program writes its result for any arguments; the time is over after some of the runs.
    world.penguins("args: [/penguins]\nruns: 60000\nprice: \"1000000000\"\n");
    let task = fs::read_to_string(world.path("task.yaml")).unwrap();
    let short = task.replace("runs: 60000", "runs: 200").replace("time: 60s", "time: 1s");
    fs::write(world.path("short.yaml"), short).unwrap();
    let _node = world.node(&[]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    let run = world.try_pox("owner", &["run", "short.yaml", "--to", "results", "--json"]);
    let run: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(run["outcome"], "time-limit");
    let members = run["members"].as_array().unwrap();
    assert_eq!((members.len(), &members[199]["outcome"]), (200, &json!("time-limit")));
    assert_eq!(
        (&members[199]["reason"], &members[199]["wall_micros"]),
        (&json!("it was not begun"), &json!(0))
    );
    world.pox("owner", &["proof", run["task"].as_str().unwrap(), "--member", "200", "-o", "last.pox"]);
    assert_eq!(verified(&world, "last.pox").0, Some(0));

    let lines: Vec<_> = (1..=3000).map(|number| format!("--a-long-argument={number}")).collect();
    fs::write(world.path("many.txt"), lines.join("\n")).unwrap();
    for (runs, said) in [("many.txt", "POX_RUN"), ("0", "1 to 65535 runs"), ("70000", "split them")] {
        fs::write(world.path("bad.yaml"), task.replace("runs: 60000", &format!("runs: {runs}"))).unwrap();
        let refused = world.try_pox("owner", &["request", "bad.yaml"]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains(said), "{}", text(&refused.stderr));
    }
}
