//! The embedded chain of PoX: an EVM chain for demonstrations, tests and offline use.
//!
//! By default it is what bloxberg is: Istanbul rules, legacy transactions, headers sealed as Aura does. It runs in
//! memory or durably on disk, answers JSON-RPC that ordinary clients use unchanged, keeps the state of every block,
//! and makes a block at a cost that doesn't grow with the state. Time and history are under a test's control.
//!
//! It never joins a network, follows other nodes, or protects anything of value: its authorities' and faucet keys are
//! public, and whoever runs it decides what its blocks say. Its server listens where it is told, which should be the
//! loopback interface only.
//!
//! ```
//! use pox_devchain::{Chain, Config, Server};
//!
//! let chain = Chain::open(Config::default())?;
//! let server = Server::start(&chain, ([127, 0, 0, 1], 0).into())?;
//! println!("JSON-RPC at {}", server.url());
//! server.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod block;
mod chain;
mod config;
mod error;
mod exec;
mod fork;
mod header;
mod pool;
mod rpc;
mod server;
mod state;
mod store;
mod trie;

pub use self::{
    chain::{BlockId, Chain, Returned, SnapshotId},
    config::{
        ANNOUNCER_ADDRESS, AccountKey, Authorities, Clock, Config, DEFAULT_GAS_LIMIT, DEFAULT_MIN_GAS_PRICE,
        DEFAULT_STEP, EMBEDDED_CHAIN_ID, FAUCET_ADDRESS, FAUCET_BALANCE, GenesisAccount, Hardfork,
        InvalidKey, MAX_DEV_AUTHORITIES, Mining,
    },
    error::{ChainError, ImportError, OpenError, SubmitError},
    fork::GenesisError,
    server::{Server, ServerError},
    store::StoreError,
};
