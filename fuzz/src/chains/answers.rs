//! What nodes answer: a node on the loopback address says what the input tells it to.

use alloy_primitives::{Address, B256, U256};
use pox_chain::{
    ARTIFACT, Account, BlockAt, Contract, Cursor, Deployment, Draft, Endpoint, Follower, Outbox, Pace,
    Profile, Rpc,
};
use pox_core::TaskId;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

const CHAIN_ID: u64 = 8995;
/// Most answers of one run; a client that asks on gets `null`.
const MOST_ANSWERS: usize = 64;

static ANSWERS: Mutex<VecDeque<Vec<u8>>> = Mutex::new(VecDeque::new());
static CONTRACT: LazyLock<Contract> = LazyLock::new(open);

/// The input is what to do, and results, one a line, of the questions that this leads to. A line that begins with `!` is a
/// whole answer instead of a result.
pub(crate) fn answers(mut input: &[u8]) {
    let contract = &*CONTRACT;
    let what = pox_fuzz::byte(&mut input);
    let lines = input.split(|byte| *byte == b'\n').take(MOST_ANSWERS);
    *ANSWERS.lock().expect("no run holds it") = lines.map(<[u8]>::to_vec).collect();
    ask(contract, what);
    ANSWERS.lock().expect("no run holds it").clear();
}

/// Asks one question, or a chain of them. Errors are what most inputs lead to.
fn ask(contract: &Contract, what: u8) {
    let rpc = contract.rpc();
    let (task, hash) = (TaskId::from([7; 32]), B256::repeat_byte(7));
    let account = Account::from_bytes(&[7; 32]).expect("a key");
    match what % 14 {
        0 => drop(rpc.head()),
        1 => drop(rpc.block(7)),
        2 => drop(rpc.receipt(hash)),
        3 => drop(rpc.transaction(hash)),
        4 => drop((rpc.balance(Address::ZERO), rpc.nonce(Address::ZERO), rpc.code(Address::ZERO))),
        5 => drop(contract.task(task)),
        6 => drop(contract.history(task)),
        7 => drop(contract.prove_state(task, 7)),
        8 => drop(rpc.header(6)),
        11 => drop(rpc.prove_log(BlockAt { number: 6, hash }, hash, 1)),
        12 => drop(rpc.announcements(Address::ZERO, 3, 9)),
        9 => drop(Follower::new(contract, Cursor::before(0)).poll()),
        10 => {
            let outbox = Outbox::new(rpc, account);
            let draft = Draft { to: Some(Address::ZERO), value: U256::from(1), input: Default::default() };
            if let Ok(prepared) = outbox.prepare(&draft) {
                drop((outbox.broadcast(&prepared), outbox.standing(&prepared)));
            }
        }
        _ => drop((contract.credit(Address::ZERO), contract.is_open(pox_core::OfferId::from([7; 32])))),
    }
}

fn open() -> Contract {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    let endpoint: Endpoint = url.parse().expect("an endpoint");
    let pace = Pace { rounds: 1, first_pause: Duration::ZERO, deadline: Duration::from_secs(5), seed: 0 };
    let rpc = Rpc::connect(Profile::generic(CHAIN_ID, endpoint), pace).expect("the node answers");
    let code = format!("\"{}\"", ARTIFACT.runtime);
    ANSWERS.lock().expect("no run holds it").push_back(code.into_bytes());
    Contract::open(&rpc, Deployment { address: Address::repeat_byte(9), block: 0 })
        .expect("the code is right")
}

/// Answers the questions of one connection, until its client is gone.
fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer = answer(&serde_json::from_slice(&body)?);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        reader.get_mut().write_all(&[head.as_bytes(), &answer].concat())?;
    }
}

fn answer(question: &serde_json::Value) -> Vec<u8> {
    let line = if question["method"] == "eth_chainId" {
        format!("\"{CHAIN_ID:#x}\"").into_bytes()
    } else {
        ANSWERS.lock().expect("no run holds it").pop_front().unwrap_or_else(|| b"null".to_vec())
    };
    match line.strip_prefix(b"!") {
        Some(whole) => whole.to_vec(),
        None => {
            let start = format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":", question["id"]);
            [start.as_bytes(), &line, b"}"].concat()
        }
    }
}

/// Results that real nodes gave, by the method that they fit.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let results = |method: &str| -> Vec<String> {
        let vectors = format!("crates/pox-devchain/tests/vectors/execution-apis/{method}");
        pox_fuzz::files(&vectors)
            .into_iter()
            .filter_map(|file| {
                let text = String::from_utf8(file).ok()?;
                let answer = text.lines().find_map(|line| line.strip_prefix("<< "))?;
                let answer: serde_json::Value = serde_json::from_str(answer).ok()?;
                Some(answer.get("result")?.to_string())
            })
            .filter(|result| result.len() < 16 * 1024)
            .collect()
    };
    let blocks = results("eth_getBlockByNumber");
    let mut seeds = Vec::new();
    for block in &blocks {
        seeds.push(format!("\0{block}"));
        seeds.push(format!("\x01{block}"));
        seeds.extend(results("eth_getProof").iter().map(|proof| format!("\x07{block}\n{proof}")));
        seeds.extend(results("eth_getLogs").iter().map(|logs| format!("\x09{block}\n{logs}\n{block}")));
    }
    seeds.push(format!("\x08{}", blocks.join("\n")));
    seeds.extend(results("eth_getTransactionReceipt").iter().map(|receipt| format!("\x02{receipt}")));
    seeds.extend(results("eth_getTransactionByHash").iter().map(|transaction| format!("\x03{transaction}")));
    seeds.extend(results("eth_getCode").iter().map(|code| format!("\x04\"0x7\"\n\"0x7\"\n{code}")));
    seeds.push("\x0a\"0x1\"\nnull\n\"0x1\"\n\"0x5208\"\n\"0x3b9aca00\"".into());
    seeds.push("\x05!{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32015,\"message\":\"VM execution error.\"}}".into());
    seeds.push(format!("\x06{}\n\"0x{}\"", blocks[0], "00".repeat(8 * 32)));
    seeds.push(format!("\x0b\"0x{}\"\n\"0x{:064}\"", "00".repeat(32), 1));
    seeds.into_iter().map(String::into_bytes).collect()
}
