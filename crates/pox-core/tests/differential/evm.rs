//! The contract's bytecode in an EVM at the Istanbul level, in this process.

use alloy_primitives::{Address, B256, Bytes, LogData, U256};
use alloy_sol_types::SolCall;
use pox_core::abi::IProofOfExecution as wire;
use pox_core::{OfferId, Sent, TaskId};
use revm::context::result::{ExecutionResult, Output};
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::database::InMemoryDB;
use revm::primitives::TxKind;
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};
use revm::{Context, Database, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext};

/// More than any call takes.
const GAS: u64 = 10_000_000;
/// What each account starts with.
pub(crate) const FUNDS: u64 = 1_000_000_000;
const CHAIN_ID: u64 = 8995;

/// A chain with the contract on it.
#[derive(Clone)]
pub(crate) struct Evm {
    db: InMemoryDB,
    pub(crate) contract: Address,
}

/// What a call came to.
pub(crate) enum Ran {
    Done(Vec<LogData>),
    Reverted(Bytes),
}

impl Evm {
    /// Deploys the contract and funds accounts; those in `refusing` are contracts that revert on everything,
    /// those in `wallets` take every signature for their own.
    pub(crate) fn deploy(accounts: &[Address], refusing: &[Address], wallets: &[Address]) -> Self {
        let deployer = Address::repeat_byte(0xde);
        let mut db = InMemoryDB::default();
        for account in accounts.iter().chain([&deployer]) {
            db.insert_account_info(*account, funded(None));
        }
        let mut evm = Self { db, contract: Address::ZERO };
        let create = TxEnv {
            caller: deployer,
            gas_limit: GAS,
            kind: TxKind::Create,
            data: bytecode(),
            chain_id: Some(CHAIN_ID),
            ..TxEnv::default()
        };
        let created = evm.context(1, 1).build_mainnet().transact_commit(create).unwrap();
        let ExecutionResult::Success { output: Output::Create(_, Some(contract)), .. } = created else {
            panic!("the contract does not deploy: {created:?}");
        };
        evm.contract = contract;
        let revert = Bytecode::new_raw(Bytes::from_static(&[0x60, 0, 0x60, 0, 0xfd]));
        for account in refusing {
            evm.db.insert_account_info(*account, funded(Some(revert.clone())));
        }
        // Answers everything with the selector of `isValidSignature`, on the left of a word.
        const MAGIC: [u8; 16] =
            [0x63, 0x16, 0x26, 0xba, 0x7e, 0x60, 0xe0, 0x1b, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xf3];
        let magic = Bytecode::new_raw(Bytes::from_static(&MAGIC));
        for account in wallets {
            evm.db.insert_account_info(*account, funded(Some(magic.clone())));
        }
        evm
    }

    pub(crate) fn domain(&self) -> pox_core::Domain {
        pox_core::Domain { chain_id: CHAIN_ID, contract: self.contract }
    }

    pub(crate) fn call(&mut self, sent: &Sent, calldata: Vec<u8>) -> Ran {
        let nonce = self.db.basic(sent.sender).unwrap().map_or(0, |info| info.nonce);
        let tx = TxEnv {
            caller: sent.sender,
            gas_limit: GAS,
            kind: TxKind::Call(self.contract),
            value: sent.value,
            data: calldata.into(),
            nonce,
            chain_id: Some(CHAIN_ID),
            ..TxEnv::default()
        };
        let mut evm = self.context(sent.at.number, sent.at.time.0).build_mainnet();
        match evm.transact_commit(tx).unwrap() {
            ExecutionResult::Success { logs, .. } => {
                Ran::Done(logs.into_iter().map(|log| log.data).collect())
            }
            ExecutionResult::Revert { output, .. } => Ran::Reverted(output),
            ExecutionResult::Halt { reason, .. } => panic!("the contract ran into {reason:?}"),
        }
    }

    pub(crate) fn task(&mut self, id: TaskId) -> wire::taskReturn {
        self.view(wire::taskCall { id: id.0 })
    }

    pub(crate) fn is_open(&mut self, offer: OfferId) -> bool {
        self.view(wire::isOpenCall { offerId: offer.0 })
    }

    pub(crate) fn credit(&mut self, account: Address) -> U256 {
        self.view(wire::creditCall { account })
    }

    pub(crate) fn balance(&mut self, account: Address) -> U256 {
        self.db.basic(account).unwrap().map_or(U256::ZERO, |info| info.balance)
    }

    /// The five words of a task, found by the layout of spec §5.3 and not through the contract's code.
    pub(crate) fn task_words(&mut self, id: TaskId) -> [U256; 5] {
        let base = alloy_primitives::keccak256([id.0, B256::ZERO].concat());
        let base = U256::from_be_bytes(base.0);
        core::array::from_fn(|i| self.db.storage(self.contract, base + U256::from(i)).unwrap())
    }

    fn view<C: SolCall>(&mut self, call: C) -> C::Return {
        let tx = TxEnv {
            caller: Address::repeat_byte(0xee),
            gas_limit: GAS,
            kind: TxKind::Call(self.contract),
            data: call.abi_encode().into(),
            chain_id: Some(CHAIN_ID),
            ..TxEnv::default()
        };
        let ran = self.context(1, 1).build_mainnet().transact(tx).unwrap().result;
        C::abi_decode_returns(ran.output().expect("a view answers")).expect("a view answers in its type")
    }

    fn context(&mut self, number: u64, time: u64) -> revm::handler::MainnetContext<&mut InMemoryDB> {
        let mut cfg = CfgEnv::new().with_chain_id(CHAIN_ID);
        cfg.set_spec_and_mainnet_gas_params(SpecId::ISTANBUL);
        cfg.disable_eip3607 = true;
        let block = BlockEnv {
            number: U256::from(number),
            timestamp: U256::from(time),
            gas_limit: GAS,
            basefee: 0,
            ..BlockEnv::default()
        };
        Context::mainnet().with_db(&mut self.db).with_cfg(cfg).with_block(block)
    }
}

fn funded(code: Option<Bytecode>) -> AccountInfo {
    let info = AccountInfo { balance: U256::from(FUNDS), ..AccountInfo::default() };
    match code {
        Some(code) => AccountInfo { code_hash: code.hash_slow(), code: Some(code), ..info },
        None => info,
    }
}

/// What a deployment leaves at the contract's address.
pub(crate) fn runtime() -> Bytes {
    artifact("deployedBytecode")
}

fn bytecode() -> Bytes {
    artifact("bytecode")
}

/// The committed artifact, which the contract's own tests compare with a fresh compilation.
fn artifact(part: &str) -> Bytes {
    let artifact = include_str!("../../../../contracts/abi/ProofOfExecution.json");
    let artifact: serde_json::Value = serde_json::from_str(artifact).unwrap();
    artifact[part].as_str().unwrap().parse().unwrap()
}
