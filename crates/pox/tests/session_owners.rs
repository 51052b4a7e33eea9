//! Owners that don't approve by themselves, as users run them: a contract's wallet, a key kept elsewhere, a delegate.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use std::fs;
use world::{World, text, wait_until};

/// A contract whose signatures are those of one key's account: `isValidSignature(digest, r ‖ s ‖ v)` (ERC-1271).
fn wallet_code(signer: &str) -> Vec<u8> {
    let signer = signer.trim_start_matches("0x");
    // Lays digest, v, r and s out for the recovering precompile, asks it, compares, and answers the selector or zero.
    let runtime = format!(
        "600435600052 60a43560f81c602052 60406064604037 602060006080600060015afa50 \
         60005173{signer}14 631626ba7e02 60e01b 60005260206000f3"
    );
    hex::decode(runtime.replace(' ', "")).unwrap()
}

fn address(world: &World, who: &str) -> String {
    world.json(who, &["key", "show"])["address"].as_str().unwrap().to_owned()
}

fn task(result: &serde_json::Value) -> String {
    result["task"].as_str().unwrap().to_owned()
}

fn offered(world: &World) {
    wait_until("the offer stands", || !world.json("owner", &["offers"]).as_array().unwrap().is_empty());
}

/// The most that a sponsor pays: the price, and far more than the gas of these chains.
const MOST: &str = "1000000000000000000";

/// The task file with more keys.
fn task_file(world: &World, name: &str, more: &str) {
    let text_of = fs::read_to_string(world.path("task.yaml")).unwrap();
    fs::write(
        world.path(name),
        text_of.replace("sealed-results-task.yaml", &format!("results-{name}")) + more,
    )
    .unwrap();
}

#[test]
fn a_contract_owns_a_task_and_its_delegate_approves_it() {
    let world = World::embedded();
    world.penguins("price: \"1000000\"\n");
    for args in [&["key", "new"][..], &["fund"]] {
        world.pox("signer", args);
    }
    let wallet = world.deploy("signer", wallet_code(&address(&world, "signer")));
    task_file(&world, "institute.yaml", &format!("owner: \"{wallet}\"\n"));
    // The home that has the data prepares; it is the delegate. It can't post what the wallet has not signed.
    let alone = world.try_pox("owner", &["request", "institute.yaml"]);
    assert!(text(&alone.stderr).contains("--sign-only"), "{}", text(&alone.stderr));
    assert!(!world.try_pox("owner", &["run", "institute.yaml"]).status.success());
    let request = ["request", "institute.yaml", "--sign-only", "--out", "request.json"];
    let written = world.json("owner", &request);
    assert_eq!(written["unsigned"], "request.json");
    let id = task(&written);
    let unsigned = world.try_pox("signer", &["relay", "request.json"]);
    assert!(text(&unsigned.stderr).contains("pox sign"), "{}", text(&unsigned.stderr));
    // Only what the wallet takes for its signature gets in.
    let wrong = world.try_pox("owner", &["sign", "request.json"]);
    assert!(text(&wrong.stderr).contains("--signature"), "{}", text(&wrong.stderr));
    let junk = world.try_pox("signer", &["sign", "request.json", "--signature", &"11".repeat(65)]);
    assert!(!junk.status.success());
    assert_eq!(world.json("signer", &["sign", "request.json"])["signed"], "request.json");

    let _node = world.node(&["--price", "1"]);
    offered(&world);
    world.pox("signer", &["relay", "request.json", "--max-price", MOST]);
    world.json("owner", &["approve", &id, "--wait", "1m"]);
    world.wait_for(&id, "proven");
    let status = world.json("owner", &["status", &id]);
    let steps: Vec<_> = status["steps"].as_array().unwrap().iter().map(|step| step["step"].clone()).collect();
    assert_eq!(steps, ["request", "match", "release", "prove"]);
    world.pox("owner", &["open", &id, "--to", "results"]);
    assert!(fs::read_to_string(world.path("results/stdout.txt")).unwrap().contains("342 penguins"));
    world.pox("owner", &["proof", &id, "-o", "proof.pox"]);
    let verdict = world.json("nobody", &["verify", "proof.pox", "--require", "simulated"]);
    assert_eq!(verdict["facts"]["owner"].as_str().unwrap().to_lowercase(), wallet.to_lowercase());

    // And takes one back, by the wallet's signature again: whoever paid has the price back.
    let later = ["request", "institute.yaml", "--sign-only", "--out", "later.json"];
    drop(_node);
    let later = task(&world.json("owner", &later));
    world.pox("signer", &["sign", "later.json"]);
    world.pox("signer", &["relay", "later.json", "--max-price", MOST]);
    assert!(!world.try_pox("owner", &["cancel", &later]).status.success());
    let cancel = ["cancel", &later, "--sign-only", "--out", "cancel.json"];
    assert_eq!(world.json("owner", &cancel)["unsigned"], "cancel.json");
    world.pox("signer", &["sign", "cancel.json"]);
    world.pox("signer", &["relay", "cancel.json"]);
    assert_eq!(world.json("owner", &["status", &later])["phase"], "cancelled");
    assert_eq!(world.json("signer", &["withdraw"])["wei"], "1000000");
}

/// A wallet that is not ours, made by ethers: its address, and its signature of typed data from standard input, parity 0 or 1.
const WALLET: &str = r#"
const { Wallet } = require('ethers');
const wallet = new Wallet('0x' + '5e'.repeat(32));
const sign = async ({ domain, types, primaryType, message }) => {
  delete types.EIP712Domain;
  const signature = await wallet.signTypedData(domain, types, message);
  const parity = { '1b': '00', '1c': '01' }[signature.slice(-2)];
  console.log(JSON.stringify({ primaryType, signature, bare: signature.slice(0, -2) + parity }));
};
if (process.argv[1] === 'address') console.log(wallet.address);
else sign(JSON.parse(require('fs').readFileSync(0, 'utf8')));
"#;

fn wallet(world: &World, args: &[&str], input: &[u8]) -> String {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let modules = std::env::var("POX_NODE_MODULES").expect("POX_NODE_MODULES names a node_modules folder");
    let mut node = Command::new("node");
    node.args(["-e", WALLET]).args(args).env("NODE_PATH", modules).current_dir(world.path("."));
    let mut node = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    node.stdin.take().unwrap().write_all(input).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    text(&output.stdout).trim().to_owned()
}

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn a_wallet_that_is_not_ours_signs_requests_and_cancellations() {
    let world = World::embedded();
    world.penguins("price: \"1000000\"\n");
    for args in [&["key", "new"][..], &["fund"]] {
        world.pox("sponsor", args);
    }
    task_file(&world, "wallet.yaml", &format!("owner: \"{}\"\n", wallet(&world, &["address"], b"")));
    let id = task(&world.json("owner", &["request", "wallet.yaml", "--sign-only", "--out", "request.json"]));
    let signed = |file: &str| {
        let shown = world.try_pox("owner", &["sign", file, "--typed-data", "-"]).stdout;
        serde_json::from_str::<serde_json::Value>(&wallet(&world, &["sign"], &shown)).unwrap()
    };
    let by_wallet = signed("request.json");
    assert_eq!(by_wallet["primaryType"], "Request");
    let other = world.try_pox("owner", &["sign", "request.json", "--signature", &"11".repeat(65)]);
    assert!(text(&other.stderr).contains("--typed-data"), "{}", text(&other.stderr));
    world.pox("owner", &["sign", "request.json", "--signature", by_wallet["signature"].as_str().unwrap()]);
    world.pox("sponsor", &["relay", "request.json", "--max-price", MOST]);
    assert_eq!(world.json("owner", &["status", &id])["phase"], "requested");

    world.pox("owner", &["cancel", &id, "--sign-only", "--out", "cancel.json"]);
    let by_wallet = signed("cancel.json");
    assert_eq!(by_wallet["primaryType"], "Cancellation");
    // As some devices give it.
    world.pox("owner", &["sign", "cancel.json", "--signature", by_wallet["bare"].as_str().unwrap()]);
    world.pox("sponsor", &["relay", "cancel.json"]);
    assert_eq!(world.json("owner", &["status", &id])["phase"], "cancelled");
}

#[test]
fn an_owner_hands_a_task_over_to_its_delegate() {
    let world = World::embedded();
    for args in [&["key", "new"][..], &["fund"]] {
        world.pox("delegate", args);
    }
    let shown = world.json("delegate", &["key", "show"]);
    world.penguins("");
    // The delegate has to be able to open the data: it is sealed to it too.
    let recipient = shown["recipient"].as_str().unwrap();
    world.pox("owner", &["seal", "penguins.csv", "--to", "shared", "--recipient", recipient]);
    let delegate = address(&world, "delegate");
    task_file(&world, "delegated.yaml", &format!("delegate: \"{delegate}\"\n"));
    let text_of = fs::read_to_string(world.path("delegated.yaml")).unwrap();
    fs::write(world.path("delegated.yaml"), text_of.replace("penguins: sealed", "penguins: shared")).unwrap();
    let _node = world.node(&[]);
    offered(&world);
    let id = task(&world.json("owner", &["request", "delegated.yaml", "--handover", "handover.json"]));
    // The owner's own key releases nothing here.
    let own = world.try_pox("owner", &["approve", &id, "--wait", "1m"]);
    let said = text(&own.stderr).to_lowercase();
    assert!(said.contains(&delegate.to_lowercase()), "{said}");
    let other = world.try_pox("processor", &["review", &id, "--handover", "handover.json"]);
    assert!(text(&other.stderr).contains("not the delegate"), "{}", text(&other.stderr));
    world.pox("delegate", &["review", &id, "--handover", "handover.json"]);
    world.json("delegate", &["agent", "--until-idle"]);
    assert_eq!(world.json("owner", &["status", &id])["phase"], "proven");
    world.pox("owner", &["open", &id, "--to", "results"]);
    assert!(fs::read_to_string(world.path("results/stdout.txt")).unwrap().contains("342 penguins"));
}
