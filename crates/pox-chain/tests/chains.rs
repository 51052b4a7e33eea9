//! The client against real chains: the embedded one always, others from npm where `POX_NODE_MODULES` names them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

mod support;

use pox_chain::{
    Carried, ChainError, Contract, Cursor, Deployment, Draft, Effect, Fees, FileShelf, Followed, Follower,
    Outbox, Patience, Progress, Revert, Rpc, Standing, Transactions,
};
use pox_core::consent::cancellation;
use pox_core::{Address, Bytes, Event, Party, Phase, Refusal, U256, keccak256};
use serde_json::json;
use std::time::Duration;
use support::{EVIDENCE, Lifecycle, Node, QUICK, patience, send};

/// Everything that a follower sees until it has caught up.
fn drain(follower: &mut Follower) -> Vec<Followed> {
    let mut seen = Vec::new();
    loop {
        let batch = follower.poll().unwrap();
        seen.extend(batch.events);
        if batch.progress != Progress::Behind {
            return seen;
        }
    }
}

fn lifecycle(node: &Node) {
    let rpc = node.rpc();
    let contract = node.contract(&rpc);
    let life = Lifecycle::new(node, &contract, 1);
    let task = life.request.id(contract.domain());
    assert_eq!(contract.task(task).unwrap(), None);
    assert!(matches!(contract.history(task), Err(ChainError::NoSuchTask(_))));

    life.offer_and_match(&contract);
    let view = contract.task(task).unwrap().unwrap();
    assert_eq!((view.phase, view.owner), (Phase::Matched, life.owner.address()));
    assert_eq!(view.processor, Some(life.processor.address()));
    assert_eq!(view.enclave, Some(life.enclave.address()));
    assert_eq!((view.price, view.bond), (life.request.price, life.offer.bond));
    assert!(contract.is_open(life.offer.id(contract.domain())).unwrap());
    life.approve_and_prove(&contract);

    let history = contract.history(task).unwrap();
    assert_eq!(history.view.phase, Phase::Proven);
    assert_eq!(history.request, life.request);
    let carried: Vec<_> = history.steps.iter().map(|step| step.carried.clone()).collect();
    let statement = life.receipt.archived(contract.domain(), life.archive);
    assert_eq!(
        carried,
        [
            Carried::Nothing,
            Carried::Match {
                offer: Box::new(life.offer.clone()),
                evidence: Bytes::from_static(EVIDENCE),
                path: Vec::new()
            },
            Carried::Secret { party: Party::OWNER, secret: life.secret(&contract) },
            Carried::Prove { signature: life.enclave.sign(statement.0), members: None },
        ]
    );

    let head = rpc.head().unwrap().at;
    let proven = contract.prove_state(task, head.number).unwrap();
    assert_eq!(proven.history, history.view.history);
    assert_eq!((proven.hash, keccak256(&proven.header)), (head.hash, head.hash));
    let unknown = contract.prove_state(pox_core::TaskId::from([7; 32]), head.number);
    assert!(matches!(unknown, Err(ChainError::NoSuchTask(_))), "{unknown:?}");
    let (at, header) = rpc.header(head.number).unwrap().unwrap();
    assert_eq!((at, header), (head, proven.header));
    assert_eq!(rpc.header(head.number + 9).unwrap(), None);
    for step in &history.steps {
        let place = step.place;
        let proven = rpc.prove_log(place.block, place.transaction, place.index).unwrap();
        let (first, last) = (&proven.proof.nodes[0], proven.proof.nodes.last().unwrap());
        let holds = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(holds(&proven.header, keccak256(first).as_slice()), "the root is the header's");
        assert!(holds(last, task.0.as_slice()), "the receipt has the task's event");
    }
    let (request, approval) = (history.steps[0].place, history.steps[2].place);
    assert!(matches!(
        rpc.prove_log(request.block, approval.transaction, request.index),
        Err(ChainError::Contradiction(_))
    ));
    assert!(matches!(
        rpc.prove_log(request.block, request.transaction, request.index + 9),
        Err(ChainError::Contradiction(_))
    ));

    let paid = contract.credit(life.processor.address()).unwrap();
    assert_eq!(paid, U256::from(60_500));
    let before = rpc.balance(contract.domain().contract).unwrap();
    send(&life.processor, &contract.withdraw());
    assert_eq!(before - rpc.balance(contract.domain().contract).unwrap(), paid);

    refusals(&contract, &life);
    let mut follower = Follower::new(&contract, Cursor::before(0));
    let events: Vec<_> = drain(&mut follower)
        .into_iter()
        .map(|followed| match followed {
            Followed::Event { event, .. } => event,
            Followed::Reverted { .. } => panic!("nothing was reorganised"),
        })
        .collect();
    let kinds: Vec<_> = events.iter().map(|event| event.to_log().topics()[0]).collect();
    assert_eq!(
        kinds.len(),
        8,
        "a request with two inputs, an offer, a match, an approval, a receipt, a payment"
    );
    assert!(matches!(&events[..], [Event::Requested { .. }, Event::Uses { .. }, Event::Uses { .. }, ..]));
    assert!(matches!(events.last(), Some(Event::Withdrawn { .. })));
}

fn refusals(contract: &Contract, life: &Lifecycle) {
    let task = life.request.id(contract.domain());
    let refused = |outbox: &Outbox, draft: &Draft| outbox.prepare(draft).unwrap_err().refusal();
    let wrong = Some(Refusal::WrongPhase(Phase::Proven));
    assert_eq!(refused(&life.owner, &contract.cancel(task)), wrong);
    assert_eq!(refused(&life.owner, &contract.request(&life.request)), Some(Refusal::AlreadyUsed));
    assert_eq!(refused(&life.owner, &contract.offer(&life.offer)), Some(Refusal::NotYours));
    assert_eq!(refused(&life.processor, &contract.withdraw()), Some(Refusal::NothingToWithdraw));
    let nobody = Deployment { address: Address::repeat_byte(1), block: 0 };
    assert!(matches!(Contract::open(contract.rpc(), nobody), Err(ChainError::NotTheContract(_))));
}

/// An outbox of another program: its transactions offer another price, so equal calls are other transactions.
fn other_program(node: &Node, account: pox_chain::Account) -> Outbox {
    let mut profile = node.profile();
    profile.fees = Fees::Fixed { gas_price: 3_000_000_000 };
    Outbox::new(&Rpc::connect(profile, QUICK).unwrap(), account)
}

fn resends(node: &Node) {
    let rpc = node.rpc();
    let contract = node.contract(&rpc);
    let life = Lifecycle::new(node, &contract, 2);
    let owner = life.owner.address();
    let draft = contract.request(&life.request);
    let task = life.request.id(contract.domain());
    let started = rpc.nonce(owner).unwrap();

    // A crash after the broadcast: the journal has the bytes, the restarted program sends them again.
    let folder = tempfile::tempdir().unwrap();
    let owner_key = || pox_chain::Account::from_bytes(&[1; 32]).unwrap();
    let open =
        || Outbox::open(&rpc, owner_key(), Box::new(FileShelf::new(&folder.path().join("outbox.json"))));
    let crashed = open();
    let prepared = crashed.prepare(&draft).unwrap();
    crashed.broadcast(&prepared).unwrap();
    crashed.broadcast(&prepared).unwrap();
    drop(crashed);
    let restarted = open();
    let mut is_there = || Ok(contract.task(task)?.is_some());
    // Whether the node has mined it meanwhile or not.
    if let Effect::Sent(sent) = restarted.ensure(&draft, &patience(), &mut is_there).unwrap() {
        assert_eq!(sent.prepared.hash(), prepared.hash());
    }
    assert!(matches!(restarted.standing(&prepared).unwrap(), Standing::Mined { .. }));
    assert_eq!(rpc.nonce(owner).unwrap(), started + 1);

    // The nonce was used by another program; the effect is there: nothing is sent.
    let cancel = contract.cancel(task);
    let lost = restarted.prepare(&cancel).unwrap();
    let other = other_program(node, owner_key());
    send(&other, &cancel);
    let mut done = || Ok(contract.task(task)?.is_some_and(|view| view.phase == Phase::Cancelled));
    let effect = restarted.ensure(&cancel, &patience(), &mut done).unwrap();
    assert!(matches!(effect, Effect::AlreadyThere));
    assert!(matches!(restarted.wait(lost, &patience()), Err(ChainError::Superseded { .. })));
    assert_eq!(rpc.nonce(owner).unwrap(), started + 2);

    // The nonce was used for something else: the effect is brought about by another transaction.
    let second = support::request(owner, rpc.head().unwrap().time, 3);
    let draft = contract.request(&second);
    let lost = restarted.prepare(&draft).unwrap();
    send(&other, &Draft { to: Some(owner), value: U256::ZERO, input: Bytes::new() });
    let mut done = || Ok(contract.task(second.id(contract.domain()))?.is_some());
    let effect = open().ensure(&draft, &patience(), &mut done).unwrap();
    let Effect::Sent(sent) = effect else { panic!("it was sent") };
    assert_eq!(sent.prepared.nonce(), lost.nonce() + 1);
    assert!(done().unwrap());
}

fn takes_back(node: &Node) {
    let rpc = node.rpc();
    let contract = node.contract(&rpc);
    let life = Lifecycle::new(node, &contract, 4);
    let mut follower = Follower::new(&contract, Cursor::before(0));
    drain(&mut follower);
    let snapshot = node.control("evm_snapshot", json!([]));
    send(&life.owner, &contract.request(&life.request));
    let seen = drain(&mut follower);
    assert_eq!(seen.len(), 3, "{seen:?}");

    // A restart from the kept cursor, in the middle of which the chain goes another way.
    let kept = serde_json::to_string(follower.cursor()).unwrap();
    let mut follower = Follower::new(&contract, serde_json::from_str(&kept).unwrap());
    node.control("evm_revert", json!([snapshot]));
    let batch = follower.poll().unwrap();
    assert_eq!(
        (batch.progress, batch.events.len()),
        (Progress::EndpointLags, 0),
        "no evidence, nothing taken back"
    );
    for _ in 0..3 {
        node.control("evm_mine", json!([]));
    }
    let reverted = drain(&mut follower);
    let expected: Vec<_> = seen
        .iter()
        .rev()
        .map(|followed| match followed {
            Followed::Event { place, event } => Followed::Reverted { place: *place, task: event.task() },
            Followed::Reverted { .. } => panic!("nothing was taken back before"),
        })
        .collect();
    assert_eq!(reverted, expected);
    assert_eq!(drain(&mut follower), []);
}

/// A contract whose signatures are those of one key's account (ERC-1271), and that can do nothing else.
fn wallet(outbox: &Outbox, signer: Address) -> Address {
    // Lays digest, v, r and s out for the recovering precompile, asks it, compares, and answers the selector or zero.
    let signer = signer.to_string();
    let runtime = format!(
        "60043560005260a43560f81c60205260406064604037602060006080600060015afa5060005173{}14631626ba7e0260e01b60005260206000f3",
        &signer[2..]
    );
    let runtime: Bytes = runtime.parse().unwrap();
    // Copies what follows these 11 bytes to memory, and returns it.
    let length = u8::try_from(runtime.len()).unwrap();
    let init = [&[0x60, length, 0x80, 0x60, 11, 0x60, 0, 0x39, 0x60, 0, 0xf3], &runtime[..]].concat();
    let sent = send(outbox, &Draft { to: None, value: U256::ZERO, input: init.into() });
    sent.receipt.created.unwrap()
}

/// A contract owns a task by the signature of its key, a delegate approves it, and a sponsor pays.
fn contracts_that_own_tasks(node: &Node) {
    let rpc = node.rpc();
    let contract = node.contract(&rpc);
    let domain = contract.domain();
    let mut life = Lifecycle::new(node, &contract, 5);
    let (sponsor, key) = (node.outbox(&rpc, 6), pox_chain::Account::from_bytes(&[7; 32]).unwrap());
    let sign = |digest| Bytes::from(key.sign(digest).to_bytes().to_vec());
    life.request.owner = wallet(&sponsor, key.address());
    life.request.delegate = Some(life.owner.address());
    let task = life.request.id(domain);
    life.receipt.task = task;

    let other = contract.request_for(&life.request, sign(keccak256("something else")));
    assert_eq!(sponsor.prepare(&other).unwrap_err().refusal(), Some(Refusal::BadSignature));
    assert!(contract.consents(life.request.owner, task.0, &sign(task.0)).unwrap());
    send(&sponsor, &contract.request_for(&life.request, sign(task.0)));
    assert_eq!(contract.task(task).unwrap().unwrap().sponsor, Some(sponsor.address()));
    let matched = contract.match_task(
        &life.request,
        &life.offer,
        life.enclave.address(),
        Bytes::from_static(EVIDENCE),
        None,
    );
    send(&life.processor, &matched);
    life.approve_and_prove(&contract);
    let history = contract.history(task).unwrap();
    assert_eq!((history.view.phase, history.view.owner), (Phase::Proven, life.request.owner));

    // And takes the next one back, for which its sponsor has the price again.
    life.request.salt = pox_core::Salt::from([9; 32]);
    let task = life.request.id(domain);
    send(&sponsor, &contract.request_for(&life.request, sign(task.0)));
    send(&life.processor, &contract.cancel_for(task, sign(cancellation(domain, task))));
    assert_eq!(contract.task(task).unwrap().unwrap().phase, Phase::Cancelled);
    assert_eq!(contract.credit(sponsor.address()).unwrap(), U256::from(life.request.price.wei()));
}

/// A refusal is of the enclave that was looked at: one that comes late fails by name, and the later match stands.
fn refusals_that_come_late(node: &Node) {
    let rpc = node.rpc();
    let contract = node.contract(&rpc);
    let life = Lifecycle::new(node, &contract, 6);
    life.offer_and_match(&contract);
    let late = contract.reject(&life.request, life.enclave.address(), 3);
    send(&life.owner, &late);
    let next = Address::repeat_byte(0xe2);
    let matched = contract.match_task(&life.request, &life.offer, next, Bytes::from_static(EVIDENCE), None);
    send(&life.processor, &matched);
    assert_eq!(life.owner.prepare(&late).unwrap_err().refusal(), Some(Refusal::WrongEnclave));
    let view = contract.task(life.request.id(contract.domain())).unwrap().unwrap();
    assert_eq!((view.phase, view.enclave), (Phase::Matched, Some(next)));
}

#[test]
fn contracts_own_tasks_on_the_embedded_chain() {
    contracts_that_own_tasks(&Node::embedded());
}

#[test]
fn refusals_that_come_late_on_the_embedded_chain() {
    refusals_that_come_late(&Node::embedded());
}

#[test]
fn lifecycle_on_the_embedded_chain() {
    lifecycle(&Node::embedded());
}

#[test]
fn resends_on_the_embedded_chain() {
    resends(&Node::embedded());
}

#[test]
fn takes_back_on_the_embedded_chain() {
    takes_back(&Node::embedded());
}

#[test]
fn everything_through_a_proxy_as_strict_as_openethereum() {
    let node = Node::embedded().strict();
    lifecycle(&node);
    resends(&node);
    takes_back(&node);
}

#[test]
fn far_history_is_read_in_ranges_and_searched_backwards() {
    let node = Node::embedded();
    let mut profile = node.profile();
    profile.log_range = 7;
    let rpc = Rpc::connect(profile, QUICK).unwrap();
    let contract = node.contract(&rpc);
    let life = Lifecycle::new(&node, &contract, 5);
    life.offer_and_match(&contract);
    for _ in 0..300 {
        node.chain().mine().unwrap();
    }
    life.approve_and_prove(&contract);
    let mut follower = Follower::new(&contract, Cursor::before(contract.since()));
    assert_eq!(drain(&mut follower).len(), 7);
    let task = life.request.id(contract.domain());
    assert_eq!(contract.history(task).unwrap().steps.len(), 4);
}

#[test]
fn a_reverted_transaction_tells_why() {
    let node = Node::embedded();
    let rpc = node.rpc();
    let contract = node.contract(&rpc);
    let life = Lifecycle::new(&node, &contract, 6);
    let task = life.request.id(contract.domain());
    send(&life.owner, &contract.request(&life.request));
    // Both are fine when they are prepared; the second is mined after the first has taken effect.
    let [first, second] = [(); 2].map(|()| life.owner.prepare(&contract.cancel(task)).unwrap());
    life.owner.wait(first, &patience()).unwrap();
    let error = life.owner.wait(second, &patience()).unwrap_err();
    assert!(
        matches!(error, ChainError::Reverted(Revert::Contract(Refusal::WrongPhase(Phase::Cancelled)))),
        "{error:?}"
    );
}

#[test]
fn anyone_ends_a_late_request_by_its_record() {
    let node = Node::embedded();
    let rpc = node.rpc();
    let contract = node.contract(&rpc);
    let life = Lifecycle::new(&node, &contract, 7);
    let task = life.request.id(contract.domain());
    send(&life.owner, &contract.request(&life.request));
    assert_eq!(contract.task(task).unwrap().unwrap().deadline, None, "its deadline is in its record alone");

    node.control("evm_increaseTime", json!([20_000]));
    node.control("evm_mine", json!([]));
    let record = contract.history(task).unwrap().request;
    send(&life.processor, &contract.expire(&record));
    let view = contract.task(task).unwrap().unwrap();
    assert_eq!((view.phase, view.deadline), (Phase::Expired, None));
    assert_eq!(contract.credit(life.owner.address()).unwrap(), U256::from(record.price.wei()));
}

#[test]
fn fees_follow_the_profiles_rule() {
    let node = Node::embedded_at(pox_devchain::Hardfork::London);
    node.outbox(&node.rpc(), 1);
    let base = node.rpc().head().unwrap().base_fee.unwrap();
    let offered = |transactions, fees| {
        let mut profile = node.profile();
        (profile.transactions, profile.fees) = (transactions, fees);
        let rpc = Rpc::connect(profile, QUICK).unwrap();
        let outbox = Outbox::new(&rpc, pox_chain::Account::from_bytes(&[1; 32]).unwrap());
        let draft = Draft { to: Some(Address::ZERO), value: U256::ZERO, input: Bytes::new() };
        // A transfer's gas with the quarter that is added to every estimate.
        outbox.prepare(&draft).unwrap().max_cost() / U256::from(26_250)
    };
    let (legacy, dynamic) = (Transactions::Legacy, Transactions::Dynamic);
    assert_eq!(offered(legacy, Fees::Zero), U256::ZERO);
    assert_eq!(offered(legacy, Fees::Fixed { gas_price: 7 }), U256::from(7));
    assert_eq!(
        offered(legacy, Fees::Node { percent: 100, min: 5_000_000_000, max: None }),
        U256::from(5_000_000_000_u64)
    );
    assert_eq!(offered(legacy, Fees::Node { percent: 1000, min: 0, max: Some(9) }), U256::from(9));
    assert_eq!(offered(dynamic, Fees::Tip { tip: 3 }), base * U256::from(2) + U256::from(3));
    let history = Fees::History { blocks: 10, percentile: 50, min_tip: 99_000_000_000 };
    assert_eq!(offered(dynamic, history), base * U256::from(2) + U256::from(99_000_000_000_u64));
}

#[test]
fn no_node_makes_an_account_pay_more_than_the_profile_allows() {
    let node = Node::embedded();
    let mut profile = node.profile();
    profile.fees = Fees::Node { percent: 100, min: 0, max: None };
    profile.max_gas_price = 1;
    let rpc = Rpc::connect(profile, QUICK).unwrap();
    let outbox = node.outbox(&node.rpc(), 1);
    let poor = Outbox::new(&rpc, pox_chain::Account::from_bytes(&[1; 32]).unwrap());
    let gift = Draft { to: Some(outbox.address()), value: U256::ONE, input: Bytes::new() };
    let error = poor.prepare(&gift).unwrap_err();
    assert!(matches!(error, ChainError::TooDear { most: 1, .. }), "{error:?}");
}

#[test]
fn nothing_is_signed_that_can_cost_more_than_it_may() {
    let node = Node::embedded();
    let rpc = node.rpc();
    node.outbox(&rpc, 1);
    let open = |most: u64| {
        let account = pox_chain::Account::from_bytes(&[1; 32]).unwrap();
        Outbox::new(&rpc, account).paying_at_most(U256::from(most))
    };
    let gift = Draft { to: Some(Address::repeat_byte(1)), value: U256::from(5), input: Bytes::new() };
    // A transfer's gas with the quarter that is added to every estimate, at the profile's price.
    let costs = 26_250 * 2_000_000_000 + 5;
    let error = open(costs - 1).send(&gift, &patience()).unwrap_err();
    assert!(matches!(error, ChainError::OverBudget { .. }), "{error:?}");
    assert_eq!(rpc.balance(Address::repeat_byte(1)).unwrap(), U256::ZERO);
    open(costs).send(&gift, &patience()).unwrap();
    assert_eq!(rpc.balance(Address::repeat_byte(1)).unwrap(), U256::from(5));
}

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn on_anvil_at_istanbul() {
    let node = Node::anvil("istanbul", &[]);
    lifecycle(&node);
    contracts_that_own_tasks(&node);
    refusals_that_come_late(&node);
    resends(&node);
    takes_back(&node);
}

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn on_anvil_at_its_newest_level_with_dynamic_fees() {
    let node = Node::anvil("osaka", &[]);
    lifecycle(&node);
    contracts_that_own_tasks(&node);
    refusals_that_come_late(&node);
    let mut profile = node.profile();
    profile.transactions = Transactions::Detect;
    profile.fees = Fees::Node { percent: 120, min: 0, max: None };
    let rpc = Rpc::connect(profile, QUICK).unwrap();
    let outbox = node.outbox(&node.rpc(), 1);
    let dynamic = Outbox::new(&rpc, pox_chain::Account::from_bytes(&[1; 32]).unwrap());
    let sent = send(&dynamic, &Draft { to: Some(outbox.address()), value: U256::ONE, input: Bytes::new() });
    assert_eq!(sent.prepared.raw().first(), Some(&2), "type 2");
}

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn on_ganache() {
    let node = Node::ganache();
    lifecycle(&node);
    contracts_that_own_tasks(&node);
    refusals_that_come_late(&node);
    resends(&node);
    takes_back(&node);
}

#[test]
#[ignore = "needs POX_HARDHAT: run by .ci/run"]
fn on_hardhat() {
    let node = Node::hardhat();
    lifecycle(&node);
    contracts_that_own_tasks(&node);
    refusals_that_come_late(&node);
    resends(&node);
    takes_back(&node);
}

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn a_transaction_that_waits_too_long_is_replaced_by_a_dearer_one() {
    let node = Node::anvil("istanbul", &[]);
    let rpc = node.rpc();
    node.outbox(&rpc, 1);
    node.control("evm_setAutomine", json!([false]));
    let draft = Draft { to: Some(Address::repeat_byte(1)), value: U256::ONE, input: Bytes::new() };
    let patience = Patience { replace_after: Some(Duration::from_millis(300)), ..patience() };
    let mined_late = |most: Option<U256>| {
        let outbox = Outbox::new(&rpc, pox_chain::Account::from_bytes(&[1; 32]).unwrap());
        let outbox = if let Some(most) = most { outbox.paying_at_most(most) } else { outbox };
        let first = outbox.prepare(&draft).unwrap();
        let sent = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(1500));
                node.control("evm_mine", json!([]));
            });
            outbox.wait(first.clone(), &patience).unwrap()
        });
        assert_eq!(sent.prepared.nonce(), first.nonce());
        (first.max_cost(), sent.prepared.max_cost())
    };
    let (first, mined) = mined_late(None);
    assert!(mined > first, "the dearest was mined");
    assert_eq!(rpc.balance(Address::repeat_byte(1)).unwrap(), U256::ONE);
    // Each is a quarter dearer than the one before: the second would be above this bound.
    let most = first + first / U256::from(3);
    let (first, mined) = mined_late(Some(most));
    assert!(mined > first && mined <= most, "{first} {mined}");

    // A loop that comes back every now and then waits as long as one that stays.
    let outbox = Outbox::new(&rpc, pox_chain::Account::from_bytes(&[1; 32]).unwrap());
    let turn = Patience { timeout: Duration::from_millis(100), ..patience };
    let first = outbox.prepare(&draft).unwrap();
    let mut turns = 0;
    while outbox.tend().unwrap()[0].transaction == first.hash() {
        let error = outbox.ensure(&draft, &turn, &mut || Ok(false)).unwrap_err();
        assert!(matches!(error, ChainError::TimedOut(_)), "{error:?}");
        turns += 1;
        assert!(turns < 100, "it is never replaced");
    }
    assert!(turns > 1);
}
