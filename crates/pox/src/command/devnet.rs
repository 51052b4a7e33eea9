//! `pox devnet`: the embedded chain, kept on disk, with the contract on it.

use super::fund::faucet;
use crate::cli::{Devnet, Hardfork};
use crate::context::{Context, pace};
use crate::error::{Culprit, Failure, Hint as _};
use crate::locate;
use pox_chain::{ARTIFACT, Contract, Deployment, Draft, Outbox, Profile, Rpc, Transactions};
use pox_core::{Address, U256};
use pox_devchain::{ANNOUNCER_ADDRESS, AccountKey, Chain, Config, FAUCET_ADDRESS, Mining, Server};
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

/// What clients need.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Serving {
    url: String,
    chain_id: u64,
    contract: Address,
    faucet: Address,
    block: u64,
    authorities: usize,
}

pub(crate) fn run(context: &Context, args: &Devnet) -> Result<(), Failure> {
    if args.authorities.is_some_and(|count| count > 1) && args.block_time == 0 {
        return Err(Failure::usage("several authorities make nothing final if no blocks follow"))
            .hint("let blocks come by themselves with --block-time 1");
    }
    // Before anything is opened, so that no signal finds it half-way.
    let stop = stop_signal()?;
    let config = Config {
        hardfork: args.hardfork.into(),
        mining: match args.block_time {
            0 => Mining::Instant,
            seconds => Mining::Interval(Duration::from_secs(seconds)),
        },
        data_dir: Some(data_dir(&args.data)?),
        ..Config::default()
    };
    let chain = Chain::open(config)?;
    let contract = deploy(&chain)?;
    if let Some(count) = args.authorities {
        announce(&chain, count)?;
    }
    let server = Server::start(&chain, args.listen)?;
    let serving = Serving {
        url: server.url(),
        chain_id: chain.chain_id(),
        contract,
        faucet: FAUCET_ADDRESS,
        block: chain.head().number,
        authorities: chain.authorities(chain.head().number.saturating_add(1)).len(),
    };
    context.output.result(&serving, || text(&serving))?;
    if !args.listen.ip().is_loopback() {
        context.output.say("anyone who reaches this address can use the chain");
    }
    context
        .output
        .say("next: `pox key new` and `pox fund` in another terminal; Ctrl-C stops the chain, and keeps it");
    // It ends with the first signal; a sender that is gone would mean that none can come any more.
    let _ = stop.recv();
    server.stop();
    context.output.say(format!("stopped at block {}", chain.head().number));
    Ok(())
}

/// Puts the contract on a chain that has none yet, as the faucet's first transaction, so that its address is always the same.
///
/// Nobody else reaches the chain meanwhile: it is served on a port of its own.
pub(crate) fn deploy(chain: &Chain) -> Result<Address, Failure> {
    let server = Server::start(chain, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let account = faucet()?;
    let place = Deployment { address: account.creates(0), block: 0 };
    let rpc = Rpc::connect(profile(&server.url(), chain.chain_id())?, pace()?)?;
    if rpc.code(place.address)? == ARTIFACT.runtime {
        return Ok(place.address);
    }
    if rpc.nonce(account.address())? != 0 {
        return Err(Failure::usage(
            "this chain has no contract of this version, and its faucet was used already",
        ))
        .hint("name another folder with --data, or deploy with `pox contract deploy`");
    }
    let deployment = Outbox::new(&rpc, account).prepare(&Contract::deployment())?;
    chain.submit(deployment.raw()).map_err(|error| Failure::chained(Culprit::Machine, &error))?;
    if rpc.code(place.address)?.is_empty() {
        // With an interval between blocks, nobody need wait for the first.
        chain.mine().map_err(|error| Failure::chained(Culprit::Machine, &error))?;
    }
    Ok(Contract::open(&rpc, place)?.domain().contract)
}

/// Announces the first so many development authorities, if others seal now, and makes blocks until these do: as on any Aura
/// chain, by a contract's event and the seals of more than half of those before.
fn announce(chain: &Chain, count: u32) -> Result<(), Failure> {
    let set: Vec<Address> = (0..count).map(|index| AccountKey::dev_authority(index).address()).collect();
    let next = || chain.head().number.saturating_add(1);
    if chain.authorities(next()) == set {
        return Ok(());
    }
    let number = |number: usize| U256::from(number).to_be_bytes::<32>();
    let mut input = [number(32), number(set.len())].concat();
    set.iter().for_each(|authority| input.extend(authority.into_word()));
    let server = Server::start(chain, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let rpc = Rpc::connect(profile(&server.url(), chain.chain_id())?, pace()?)?;
    let draft = Draft { to: Some(ANNOUNCER_ADDRESS), value: U256::ZERO, input: input.into() };
    let announcement = Outbox::new(&rpc, faucet()?).prepare(&draft)?;
    chain.submit(announcement.raw()).map_err(|error| Failure::chained(Culprit::Machine, &error))?;
    for _ in 0..=chain.authorities(next()).len().saturating_mul(2) {
        if chain.authorities(next()) == set {
            return Ok(());
        }
        chain.mine().map_err(|error| Failure::chained(Culprit::Machine, &error))?;
    }
    Err(Failure::machine("the announced authorities do not seal"))
}

/// The built-in profile, for whatever rules the chain has.
fn profile(url: &str, chain_id: u64) -> Result<Profile, Failure> {
    let endpoint = url.parse().map_err(Failure::machine)?;
    let generic = Profile::generic(chain_id, endpoint);
    Ok(Profile { transactions: Transactions::Detect, ..generic })
}

fn data_dir(text: &str) -> Result<PathBuf, Failure> {
    let path = locate::home(text)?;
    std::fs::create_dir_all(&path)
        .map_err(|error| Failure::machine(format!("cannot make {}: {error}", path.display())))
        .hint("name a folder that you can write to with --data")?;
    Ok(path)
}

/// Gets a word for each signal that asks this program to stop.
pub(crate) fn stop_signal() -> Result<mpsc::Receiver<()>, Failure> {
    let (sender, receiver) = mpsc::channel();
    ctrlc::set_handler(move || {
        // Nobody waits any more when the program is ending anyway.
        let _ = sender.send(());
    })
    .map_err(|error| Failure::machine(format!("cannot listen for signals: {error}")))?;
    Ok(receiver)
}

fn text(serving: &Serving) -> String {
    format!(
        "JSON-RPC  {}\nchain     {} (embedded), at block {}\nsealed by {} development authorities\ncontract  {}\nfaucet    {}\n\n\
         This chain is simulated: it protects nothing.",
        serving.url, serving.chain_id, serving.block, serving.authorities, serving.contract, serving.faucet
    )
}

impl From<Hardfork> for pox_devchain::Hardfork {
    fn from(hardfork: Hardfork) -> Self {
        match hardfork {
            Hardfork::Istanbul => Self::Istanbul,
            Hardfork::Berlin => Self::Berlin,
            Hardfork::London => Self::London,
            Hardfork::Paris => Self::Paris,
            Hardfork::Shanghai => Self::Shanghai,
            Hardfork::Cancun => Self::Cancun,
            Hardfork::Prague => Self::Prague,
            Hardfork::Osaka => Self::Osaka,
        }
    }
}
