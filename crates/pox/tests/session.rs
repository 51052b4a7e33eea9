//! Whole tasks, as a user runs them: the README's session, each step on its own, crashes, other chains, a Python image.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use world::{PENGUINS, POX, Running, World, free_port, text, wait_until};

#[test]
fn the_readmes_session_works_as_written() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = fs::read_to_string(repository.join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir_all(folder.path().join("target/enclave/x86_64-unknown-linux-gnu")).unwrap();
    fs::create_dir(&bin).unwrap();
    symlink(POX, bin.join("pox")).unwrap();
    symlink(repository.join("examples"), folder.path().join("examples")).unwrap();
    let built = Path::new(PENGUINS).parent().unwrap();
    symlink(built, folder.path().join("target/enclave/x86_64-unknown-linux-gnu/release")).unwrap();
    // Another port than the one in the text: something else may use that.
    let port = free_port();
    let shell = |name: &str| {
        let block =
            block(&readme, name).replace("pox devnet", &format!("pox devnet --listen 127.0.0.1:{port}"));
        let block = block.replace("pox node", "exec pox node").replace("pox devnet", "exec pox devnet");
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &block]).current_dir(folder.path()).stdin(Stdio::null());
        shell.env("HOME", folder.path()).env("POX_RPC", format!("http://127.0.0.1:{port}"));
        shell.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
        shell
    };
    let _chain = Running(shell("chain").stdout(Stdio::null()).spawn().unwrap());
    wait_until("the chain answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let _processor = Running(shell("processor").stdout(Stdio::null()).spawn().unwrap());
    wait_until("the processor offers", || {
        let mut offers = Command::new(POX);
        offers.args(["offers", "--json", "--rpc", &format!("http://127.0.0.1:{port}")]);
        offers.env("POX_HOME", folder.path().join("nobody"));
        text(&offers.output().unwrap().stdout).contains("0x")
    });
    let owner = shell("owner").output().unwrap();
    let (out, err) = (text(&owner.stdout), text(&owner.stderr));
    assert!(owner.status.success(), "{out}\n{err}");
    assert!(out.contains("342 penguins of 3 species"), "{out}");
    assert!(out.to_lowercase().contains("simulated"), "{out}");
}

/// The fenced block of the session with this name.
fn block(readme: &str, name: &str) -> String {
    let start = format!("```sh session={name}\n");
    let (_, rest) = readme.split_once(&start).unwrap_or_else(|| panic!("the README has no session {name}"));
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn each_step_on_its_own() {
    let world = World::embedded();
    world.penguins("metadata: {title: Penguins}\n");
    let _node = world.node(&[]);
    wait_until("the offer stands", || {
        !world.json("owner", &["offers", "--for", "task.yaml"]).as_array().unwrap().is_empty()
    });
    let request = world.json("owner", &["request", "task.yaml"]);
    let task = request["task"].as_str().unwrap();
    world.json("owner", &["approve", task, "--wait", "1m"]);
    let status = world.json("owner", &["status", task, "--wait", "1m"]);
    assert_eq!(status["phase"], "proven");
    let steps: Vec<_> = status["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(steps, ["request", "match", "approve", "prove"]);
    world.pox("owner", &["open", task, "--to", "results"]);
    assert!(fs::read_to_string(world.path("results/stdout.txt")).unwrap().contains("342 penguins"));
    assert!(world.path("results/out/result.json").exists());

    // What is not opened is not in the proof; anybody verifies it, offline.
    world.pox("owner", &["proof", task, "-o", "proof.pox", "--disclose", "none"]);
    let verdict = world.try_pox(
        "nobody",
        &["verify", "proof.pox", "--require", "simulated", "--json", "--rpc", "http://127.0.0.1:1"],
    );
    assert!(verdict.status.success(), "{}", text(&verdict.stderr));
    assert!(!text(&verdict.stdout).contains("Penguins"));
    assert_eq!(
        world.try_pox("nobody", &["verify", "proof.pox"]).status.code(),
        Some(1),
        "simulated is not hardware"
    );
    let today = world.try_pox(
        "nobody",
        &["verify", "proof.pox", "--require", "simulated", "--json", "--deny-advisory", "INTEL-SA-00615"],
    );
    let today: serde_json::Value = serde_json::from_slice(&today.stdout).unwrap();
    assert_eq!((&today["today"]["grade"], &today["meets"]), (&"simulated".into(), &true.into()), "{today}");
    let by_id = world.try_pox(
        "nobody",
        &["verify", task, "--archive", "sealed-results-task.yaml", "--require", "simulated"],
    );
    assert!(by_id.status.success(), "{}", text(&by_id.stderr));

    // One file of the results, and one of the input, are shown to belong to that task; one of another dataset is not.
    let sealed = ["sealed-results-task.yaml", "sealed", "stranger"];
    world.pox("owner", &["seal", "results", "--to", "stranger"]);
    for (place, role) in sealed.into_iter().zip(["\"result\"", "{\"input\":0}", "null"]) {
        let listed = world.json("owner", &["inspect", place, "--list"]);
        let listed = listed["contents"]["listed"].as_array().unwrap();
        let file = listed.iter().find(|entry| entry["kind"] == "file").unwrap()["path"].as_str().unwrap();
        let shown = format!("{place}.disclosure");
        world.pox("owner", &["disclose", place, "--file", file, "--to", &shown]);
        let arguments = ["verify-disclosure", &shown, "--proof", "proof.pox", "--json", "--require"];
        let judged = world.try_pox("nobody", &[&arguments[..], &["simulated"]].concat());
        let answer: serde_json::Value = serde_json::from_slice(&judged.stdout).unwrap();
        assert_eq!(answer["task"]["role"].to_string(), role, "{answer}");
        assert_eq!(judged.status.code(), Some(i32::from(place == "stranger")), "{answer}");
        assert_eq!(answer["files"][0]["path"], file);
        let judged = world.try_pox("nobody", &[&arguments[..], &["hardware"]].concat());
        assert_eq!(judged.status.code(), Some(1), "simulated is not hardware");
    }

    // The processor is paid, and takes its money out.
    assert!(world.json("processor", &["withdraw"])["wei"].as_str().unwrap().parse::<u128>().unwrap() > 0);
}

/// The change to three authorities is announced on the chain; every proof after it shows the change, and more than half of the
/// three on top of the task.
#[test]
fn proofs_show_changed_authorities_by_state_and_by_receipts() {
    let world = World::embedded_with(&["--authorities", "3", "--block-time", "1"]);
    world.penguins("");
    let _node = world.node(&[]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    let run = world.json("owner", &["run", "task.yaml", "--to", "results"]);
    let task = run["task"].as_str().unwrap();
    let mut sizes = Vec::new();
    for form in ["state", "receipts"] {
        let file = format!("{form}.pox");
        wait_until("the block is final", || {
            let made = world.try_pox("owner", &["proof", task, "-o", &file, "--chain-proof", form]);
            assert!(made.status.success(), "{}", text(&made.stderr));
            !text(&made.stderr).contains("not final yet")
        });
        let offline = ["verify", &file, "--require", "simulated", "--json", "--rpc", "http://127.0.0.1:1"];
        let verdict = world.try_pox("nobody", &offline);
        let (out, err) = (text(&verdict.stdout), text(&verdict.stderr));
        assert!(verdict.status.success(), "{form}: {out}{err}");
        let verdict: serde_json::Value = serde_json::from_str(&out).unwrap();
        let reasons = verdict["components"][1]["reasons"].as_array().unwrap();
        let codes: Vec<&str> = reasons.iter().map(|reason| reason["code"].as_str().unwrap()).collect();
        assert!(codes.contains(&"authorities-proven"), "{codes:?}");
        assert_eq!(codes.contains(&"by-receipts"), form == "receipts");
        let state = &verdict["facts"]["state"];
        assert_eq!(state["authorities"], 3);
        assert!(state["built"].as_array().unwrap().len() >= 2, "{state}");
        sizes.push(fs::metadata(world.path(&file)).unwrap().len());
    }
    println!("a proof by state has {} bytes, one by receipts {}", sizes[0], sizes[1]);
    let one = world.try_pox("nobody", &["devnet", "--data", "other", "--authorities", "3"]);
    assert_eq!(one.status.code(), Some(2), "{}", text(&one.stderr));
}

#[test]
fn a_task_can_be_taken_back_and_expires() {
    let world = World::embedded();
    world.penguins("price: \"1000000\"\ndeadlines: {match: 30s, approve: 30s, prove: 30s}\n");
    let first = world.json("owner", &["request", "task.yaml"]);
    world.pox("owner", &["cancel", first["task"].as_str().unwrap()]);
    let second = world.json("owner", &["request", "task.yaml"]);
    let task = second["task"].as_str().unwrap();
    let early = world.try_pox("owner", &["expire", task]);
    assert_eq!(early.status.code(), Some(2), "{}", text(&early.stderr));
    increase_time(&world, 60);
    world.pox("owner", &["expire", task]);
    assert_eq!(world.json("owner", &["status", task])["phase"], "expired");
    assert_eq!(world.json("owner", &["withdraw"])["wei"], "2000000");
}

#[test]
fn a_killed_node_goes_on() {
    let world = World::embedded();
    world.penguins("");
    let mut node = world.node(&[]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    let task = world.json("owner", &["request", "task.yaml"])["task"].as_str().unwrap().to_owned();
    world.wait_for(&task, "matched");
    // With the node, the enclave and its keys are gone: this match can't be proven any more.
    node.0.kill().unwrap();
    node.0.wait().unwrap();
    let _node = world.node(&[]);
    world.pox("owner", &["reject", &task]);
    wait_until("the node has done with it", || world.node_log().contains("done: the owner rejected"));
    world.pox("owner", &["cancel", &task]);
    let run = world.json("owner", &["run", "task.yaml", "--to", "results"]);
    assert_eq!(run["outcome"], "completed");
    assert_eq!(
        world.json("owner", &["offers"]).as_array().unwrap().len(),
        1,
        "the offer was not posted twice"
    );
}

#[test]
fn the_agent_approves_while_the_owner_is_away() {
    let world = World::embedded();
    world.penguins("");
    let _node = world.node(&["--bond", "1000000"]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    let task = world.json("owner", &["request", "task.yaml"])["task"].as_str().unwrap().to_owned();
    // What is damaged is named and left alone, and keeps nobody from the others.
    let damaged = world.path(&format!("home-owner/tasks/0x{}.json", "11".repeat(32)));
    fs::write(&damaged, "{").unwrap();
    let of_another = damaged.with_file_name(format!("0x{}.json", "22".repeat(32)));
    fs::copy(damaged.with_file_name(format!("{task}.json")), &of_another).unwrap();
    let agent = world.try_pox("owner", &["--json", "agent", "--until-idle"]);
    let said = text(&agent.stderr);
    assert_eq!(agent.status.code(), Some(2), "{said}");
    let result: serde_json::Value = serde_json::from_slice(&agent.stdout).unwrap();
    assert_eq!(result["ended"], serde_json::json!([task]));
    for (place, file) in [&damaged, &of_another].into_iter().enumerate() {
        let file = file.to_str().unwrap();
        assert!(result["damaged"][place]["error"].as_str().unwrap().contains(file), "{result}");
        assert!(said.contains(file) && said.contains("hint: restore these files"), "{said}");
    }
    fs::remove_file(damaged).unwrap();
    fs::remove_file(of_another).unwrap();
    assert_eq!(world.json("owner", &["status", &task])["phase"], "proven");
}

#[test]
fn the_default_policy_gives_no_secret_to_a_simulated_enclave() {
    let world = World::embedded();
    world.penguins("price: \"1000000000\"\n");
    // Nobody offers hardware, so nobody matches a request for it.
    let text_of = fs::read_to_string(world.path("task.yaml")).unwrap();
    fs::write(world.path("hardware.yaml"), text_of.replace("kinds: [simulated]\n", "")).unwrap();
    let _node = world.node(&[]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    assert!(world.json("owner", &["offers", "--for", "hardware.yaml"]).as_array().unwrap().is_empty());
    // A policy of hardware under a request for simulation is refused before anything is sent.
    fs::write(world.path("policy.json"), r#"{"version": 1}"#).unwrap();
    fs::write(world.path("mixed.yaml"), format!("{text_of}policy: policy.json\n")).unwrap();
    let mixed = world.try_pox("owner", &["request", "mixed.yaml"]);
    assert_eq!(mixed.status.code(), Some(2));
    assert!(text(&mixed.stderr).contains("simulated"), "{}", text(&mixed.stderr));
}

#[test]
fn failures_become_signed_receipts() {
    let world = World::embedded();
    world.penguins("");
    let _node = world.node(&[]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    // A program that fails, one that the image lacks, and one that runs too long.
    // And inputs that are larger than the disk that the request asks for.
    fs::write(world.path("large.csv"), vec![b'x'; 17 << 20]).unwrap();
    world.pox("owner", &["seal", "large.csv", "--to", "large"]);
    let cases = [
        ("failed", "args: [/penguins, /in/penguins/nothing.csv]\n", "sealed"),
        ("image-invalid", "args: [/no-such-program]\n", "sealed"),
        ("disk-limit", "", "large"),
    ];
    for (outcome, more, input) in cases {
        let name = format!("{outcome}.yaml");
        world.task_file(&name, "oci:image", more);
        let file = fs::read_to_string(world.path(&name)).unwrap();
        fs::write(world.path(&name), file.replace("penguins: sealed", &format!("penguins: {input}")))
            .unwrap();
        let run = world.try_pox(
            "owner",
            &[
                "run",
                &name,
                "--to",
                &format!("results-{outcome}"),
                "--proof",
                &format!("{outcome}.pox"),
                "--json",
            ],
        );
        assert_eq!(run.status.code(), Some(1), "{}", text(&run.stderr));
        let result: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        assert_eq!(result["outcome"], outcome, "{result}");
        let verdict =
            world.try_pox("nobody", &["verify", &format!("{outcome}.pox"), "--require", "simulated"]);
        assert!(verdict.status.success(), "a failure is proven as well: {}", text(&verdict.stdout));
    }
}

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn the_same_commands_work_on_anvil_as_on_bloxberg() {
    let modules = PathBuf::from(
        std::env::var_os("POX_NODE_MODULES").expect("POX_NODE_MODULES names a node_modules folder"),
    );
    let port = free_port();
    let mnemonic = "test test test test test test test test test test test junk";
    let anvil = Command::new(modules.join(".bin/anvil"))
        .args([
            "--port",
            &port.to_string(),
            "--hardfork",
            "istanbul",
            "--chain-id",
            "8995",
            "--gas-limit",
            "10000000",
        ])
        .args(["--gas-price", "1000000", "--mnemonic", mnemonic, "--silent"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _anvil = Running(anvil);
    wait_until("anvil answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let world = World::at(format!("http://127.0.0.1:{port}"), &["--chain", "bloxberg"]);
    for who in ["owner", "processor"] {
        world.pox(who, &["key", "new"]);
        let address = world.json(who, &["key", "show"])["address"].as_str().unwrap().to_owned();
        rpc(&world, "anvil_setBalance", serde_json::json!([address, "0xde0b6b3a7640000"]));
    }
    // The profile knows who sealed bloxberg's first hundred blocks, and anvil seals nothing.
    rpc(&world, "anvil_mine", serde_json::json!(["0x80"]));
    let contract = world.json("processor", &["contract", "deploy"])["contract"].as_str().unwrap().to_owned();
    let world = world.with_contract(contract);
    world.penguins("");
    let _node = world.node(&[]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    let result = world.json("owner", &["run", "task.yaml", "--to", "results", "--proof", "proof.pox"]);
    assert_eq!(result["outcome"], "completed");
    // Nobody is known to have sealed anvil's blocks: offline the chain is an assertion, asked live it is the endpoint's word.
    let offline = world.try_pox("nobody", &["verify", "proof.pox", "--require", "simulated", "--json"]);
    let verdict: serde_json::Value = serde_json::from_slice(&offline.stdout).unwrap();
    assert_eq!(
        (offline.status.code(), &verdict["grade"]),
        (Some(1), &serde_json::json!("asserted")),
        "{verdict}"
    );
}

#[test]
#[ignore = "needs docker-registry, skopeo, mmdebstrap and python3-numpy: run by .ci/run"]
fn a_python_image_from_a_registry_computes_what_python_computes_natively() {
    assert!(std::env::var_os("POX_APT_TOOLS").is_some(), "set POX_APT_TOOLS=1 where the tools are");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/images");
    let world = World::embedded();
    world.penguins("");
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    };
    run(Command::new("bash").arg(scripts.join("python-numpy.sh")).arg(world.path("python")).env("POX", POX));
    let (port, folder) = (free_port(), world.path("registry"));
    run(Command::new("bash")
        .arg(scripts.join("registry.sh"))
        .arg("start")
        .arg(&folder)
        .arg(port.to_string()));
    let layout = format!("oci:{}", world.path("python/layout").display());
    let reference = format!("docker://127.0.0.1:{port}/pox/python");
    let pushed = world.json("owner", &["image", "copy", &layout, &format!("{reference}:1")]);
    let image = format!("{reference}@{}", pushed["digest"].as_str().unwrap());
    world.task_file("python.yaml", &image, "env: {OPENBLAS_NUM_THREADS: \"1\"}\n");
    let big =
        fs::read_to_string(world.path("python.yaml")).unwrap().replace("memory: 256MiB", "memory: 1GiB");
    fs::write(world.path("python.yaml"), big).unwrap();
    let _node = world.node(&["--allow-host", &format!("127.0.0.1:{port}")]);
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
    let result = world.try_pox("owner", &["run", "python.yaml", "--to", "results", "--json"]);
    run(Command::new("bash").arg(scripts.join("registry.sh")).arg("stop").arg(&folder));
    assert!(
        result.status.success(),
        "{}\n{}\n{}",
        text(&result.stdout),
        text(&result.stderr),
        world.node_log()
    );
    let native = world.path("native.json");
    run(Command::new("/usr/bin/python3")
        .arg(scripts.join("analysis.py"))
        .arg(world.path("penguins.csv"))
        .arg(&native)
        .env("OPENBLAS_NUM_THREADS", "1"));
    assert_eq!(
        fs::read_to_string(world.path("results/out/result.json")).unwrap(),
        fs::read_to_string(native).unwrap()
    );
}

fn increase_time(world: &World, seconds: u64) {
    rpc(world, "evm_increaseTime", serde_json::json!([seconds]));
    rpc(world, "evm_mine", serde_json::json!([]));
}

/// One JSON-RPC call by hand, for what no command of ours does.
fn rpc(world: &World, method: &str, params: serde_json::Value) {
    use std::io::{Read, Write};
    let body =
        serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let address = world.rpc.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(!answer.contains("\"error\""), "{method}: {answer}");
}
