// Measures the gas of every call on ganache at the Istanbul level, and writes, or with --check compares, snapshots/gas.json.
//
// Not on anvil or forge: below Berlin they charge a storage write 2,100 too little. Everything that a call's gas depends on is
// fixed here (accounts, salts, times in records), so equality is exact; a fall must be committed as well as a rise.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Interface, TypedDataEncoder, Wallet, concat, id as keccakText, keccak256 } from 'ethers';
import ganache from 'ganache';

const here = path.dirname(fileURLToPath(import.meta.url));
const SNAPSHOT = path.join(here, 'snapshots', 'gas.json');
const artifact = JSON.parse(readFileSync(path.join(here, 'abi', 'ProofOfExecution.json'), 'utf8'));
const abi = new Interface(artifact.abi);

const CHAIN_ID = 8995;
const START = 1_800_000_000;
const PRICE = 10n ** 18n;
const BOND = 10n ** 17n;
// A TDX quote, and a sealed secret with a post-quantum recipient.
const EVIDENCE_BYTES = 5_000;
const SEALED_BYTES = 1_535;
// The contract takes no secret without a sealed part.
const LEAST_SEALED_BYTES = 1;

const [OWNER, PROCESSOR, SECOND] = ['owner', 'processor', 'second processor'].map((name) => new Wallet(keccakText(name)));
const ENCLAVE = new Wallet(keccakText('enclave'));

// The record types of the specification, written out a second time: the contract must agree with them to accept a call.
const TYPES = {
  Request:
    'address owner,bytes32 processors,uint96 price,bytes32 image,bytes32[] inputs,bytes32 terms,bytes32 metadata,bytes32 policy,' +
    'uint16 kinds,uint32 cpuMillis,uint32 memoryMib,uint32 diskMib,uint32 timeLimit,uint64 matchBy,uint32 approveWithin,' +
    'uint32 proveWithin,bytes32 salt,address delegate,CoOwner[] coOwners',
  CoOwner: 'address account,uint32 inputs',
  Receipt:
    'bytes32 task,address enclave,uint8 outcome,uint32 exitCode,bytes32 results,bytes32 report,uint64 cpuMicros,' +
    'uint64 wallMicros,uint64 memoryPeak',
  ArchivedReceipt: 'bytes32 receipt,bytes32 archive',
  ArchivedBatch: 'bytes32 receipt,bytes32 archive,bytes32 members,uint16 count',
  Release: 'bytes32 task,address enclave,bytes32 secretHash',
  Refusal: 'bytes32 task,address enclave,uint8 reason',
  Cancellation: 'bytes32 task',
};

const chain = ganache.provider({
  chain: { chainId: CHAIN_ID, hardfork: 'istanbul', time: new Date(START * 1000) },
  logging: { quiet: true },
  miner: { defaultGasPrice: 0 },
  wallet: { accounts: [OWNER, PROCESSOR, SECOND].map(({ privateKey }) => ({ secretKey: privateKey, balance: `0x${(10n ** 21n).toString(16)}` })) },
});

try {
  await main();
} finally {
  await chain.disconnect();
}

async function main() {
  const measured = await measure();
  const text = `${JSON.stringify(measured, null, 2)}\n`;
  console.log(text);
  if (!process.argv.slice(2).includes('--check')) {
    mkdirSync(path.dirname(SNAPSHOT), { recursive: true });
    writeFileSync(SNAPSHOT, text);
  } else if (!existsSync(SNAPSHOT) || readFileSync(SNAPSHOT, 'utf8') !== text) {
    fail('snapshots/gas.json differs from what was measured; if the change is meant, run: npm run gas');
  }
}

async function measure() {
  const deployed = await send(OWNER, { data: artifact.bytecode });
  const to = deployed.contractAddress;
  const call = async (from, name, args, value = 0n) =>
    Number((await send(from, { to, value: hex(value), data: abi.encodeFunctionData(name, args) })).gasUsed);

  const bare = await lifecycle(to, call, PROCESSOR, 'bare', 0, LEAST_SEALED_BYTES);
  const again = await lifecycle(to, call, PROCESSOR, 'credit not zero before', 0, LEAST_SEALED_BYTES);
  const full = await lifecycle(to, call, SECOND, 'full', EVIDENCE_BYTES, SEALED_BYTES);
  const bytes = { evidence: EVIDENCE_BYTES, sealed: SEALED_BYTES };
  return {
    about: 'gas used by each transaction, refunds taken off, at Istanbul prices; one input per request',
    deployment: Number(deployed.gasUsed),
    deployedBytes: artifact.deployedBytecode.length / 2 - 1,
    lifecycle: { bare, bareWithEarlierCredit: again, full: { bytes, ...full } },
    otherCalls: await otherCalls(to, call),
    special: await special(to, call),
  };
}

async function lifecycle(to, call, processor, name, evidenceBytes, sealedBytes) {
  const record = request(name);
  const terms = offer(processor, name);
  const task = idOf(to, 'Request', record);
  const receipt = receiptOf(task, name);
  const archive = digest(name, 'archive');
  const signed = idOf(to, 'ArchivedReceipt', { receipt: idOf(to, 'Receipt', receipt), archive });
  const signature = ENCLAVE.signingKey.sign(signed).serialized;

  const used = {
    request: await call(OWNER, 'request', [record], PRICE),
    offer: await call(processor, 'offer', [terms]),
    matchTask: await call(processor, 'matchTask', [record, terms, ENCLAVE.address, noise(name, evidenceBytes)], BOND),
    approve: await call(OWNER, 'approve', [task, ENCLAVE.address, secret(to, task, noise(name, sealedBytes))]),
    prove: await call(OWNER, 'prove', [receipt, archive, signature]),
  };
  return { ...used, total: Object.values(used).reduce((sum, gas) => sum + gas) };
}

async function otherCalls(to, call) {
  const terms = offer(PROCESSOR, 'others');
  await call(PROCESSOR, 'offer', [terms]);
  const post = async (name) => {
    const record = request(name);
    await call(OWNER, 'request', [record], PRICE);
    return { record, task: idOf(to, 'Request', record) };
  };
  const match = ({ record }) => call(PROCESSOR, 'matchTask', [record, terms, ENCLAVE.address, '0x'], BOND);

  const rejected = await post('rejected');
  await match(rejected);
  const reject = await call(OWNER, 'reject', [rejected.record, ENCLAVE.address, 1]);
  const cancel = await call(OWNER, 'cancel', [rejected.task]);
  const [requested, matched, approved] = [await post('late request'), await post('late approval'), await post('late receipt')];
  await match(matched);
  await match(approved);
  await call(OWNER, 'approve', [approved.task, ENCLAVE.address, secret(to, approved.task, '0x01')]);
  await chain.request({ method: 'evm_increaseTime', params: [2 * 86_400] });
  return {
    reject,
    cancel,
    expireRequested: await call(OWNER, 'expire', [requested.record]),
    expireMatched: await call(OWNER, 'expire', [matched.record]),
    expireApproved: await call(OWNER, 'expire', [approved.record]),
    withdraw: await call(PROCESSOR, 'withdraw', []),
    withdrawOffer: await call(PROCESSOR, 'withdrawOffer', [terms]),
  };
}

// What the calls cost that a plain task does not use.
async function special(to, call) {
  const terms = offer(PROCESSOR, 'special');
  const matched = async (record, name = 'matchTask', more = []) => {
    const used = await call(PROCESSOR, name, [record, terms, ENCLAVE.address, '0x', ...more], BOND);
    return { used, task: idOf(to, 'Request', record) };
  };
  const late = { matchBy: START + 30 * 86_400 };

  const sponsored = { ...request('sponsored'), ...late };
  const requestFor = await call(SECOND, 'requestFor', [sponsored, signature(to, OWNER, 'Request', sponsored)], PRICE);
  const { task: toRefuse } = await matched(sponsored);
  const refusal = signature(to, OWNER, 'Refusal', { task: toRefuse, enclave: ENCLAVE.address, reason: 1 });
  const rejectFor = await call(SECOND, 'rejectFor', [sponsored, 0, ENCLAVE.address, 1, refusal]);
  const cancelFor = await call(SECOND, 'cancelFor', [toRefuse, signature(to, OWNER, 'Cancellation', { task: toRefuse })]);

  const list = listOf([PROCESSOR, OWNER, SECOND, ENCLAVE].map(({ address }) => address));
  const listed = { ...request('listed'), ...late, processors: list.root };
  await call(OWNER, 'request', [listed], PRICE);
  const matchListed = (await matched(listed, 'matchListed', [list.path])).used;

  const shared = { ...request('shared'), ...late, coOwners: [{ account: SECOND.address, inputs: 1 }] };
  const requestWithCoOwner = await call(OWNER, 'request', [shared], PRICE);
  const { used: matchWithCoOwner, task } = await matched(shared);
  const released = (party, signer) => call(signer, 'release', [shared, party, ENCLAVE.address, secret(to, task, '0x01', signer)]);
  const releaseFirst = await released(1, SECOND);
  const releaseLast = await released(0, OWNER);

  const receipt = receiptOf(task, 'shared');
  const [archive, members, count] = [digest('shared', 'archive'), digest('shared', 'members'), 1_000];
  const batch = { receipt: idOf(to, 'Receipt', receipt), archive, members, count };
  const proveMany = await call(SECOND, 'proveMany', [receipt, archive, members, count, signature(to, ENCLAVE, 'ArchivedBatch', batch)]);
  return {
    requestFor, rejectFor, cancelFor, matchListed, requestWithCoOwner, matchWithCoOwner, releaseFirst, releaseLast, proveMany,
    proveManyPerMember: proveMany / count,
  };
}

async function send(from, transaction) {
  const params = [{ from: from.address.toLowerCase(), gas: hex(6_000_000), gasPrice: '0x0', ...transaction }];
  const hash = await chain.request({ method: 'eth_sendTransaction', params });
  const receipt = await chain.request({ method: 'eth_getTransactionReceipt', params: [hash] });
  if (receipt.status !== '0x1') fail('a transaction was reverted');
  return receipt;
}

function request(name) {
  return {
    owner: OWNER.address,
    processors: `0x${'0'.repeat(64)}`,
    price: PRICE,
    image: digest(name, 'image'),
    inputs: [digest(name, 'input')],
    terms: digest(name, 'terms'),
    metadata: digest(name, 'metadata'),
    policy: digest(name, 'policy'),
    kinds: 6,
    cpuMillis: 4_000,
    memoryMib: 16_384,
    diskMib: 65_536,
    timeLimit: 3_600,
    matchBy: START + 86_400,
    approveWithin: 3_600,
    proveWithin: 7_200,
    salt: digest(name, 'request salt'),
    delegate: `0x${'0'.repeat(40)}`,
    coOwners: [],
  };
}

function receiptOf(task, name) {
  return {
    task,
    enclave: ENCLAVE.address,
    outcome: 0,
    exitCode: 0,
    results: digest(name, 'results'),
    report: digest(name, 'report'),
    cpuMicros: 123_456_789,
    wallMicros: 234_567_890,
    memoryPeak: 345_678_901,
  };
}

function offer({ address }, name) {
  return {
    processor: address,
    kinds: 2,
    cpuMillis: 64_000,
    memoryMib: 262_144,
    diskMib: 1_048_576,
    timeLimit: 604_800,
    pricePerSecond: PRICE / 7_200n,
    bond: BOND,
    validUntil: START + 30 * 86_400,
    salt: digest(name, 'offer salt'),
  };
}

// The owner's signature, and the sealed bytes.
function secret(to, task, sealed, signer = OWNER) {
  const release = { task, enclave: ENCLAVE.address, secretHash: keccak256(sealed) };
  return concat([signature(to, signer, 'Release', release), sealed]);
}

function signature(to, signer, type, record) {
  return signer.signingKey.sign(idOf(to, type, record)).serialized;
}

function idOf(verifyingContract, type, record) {
  const domain = { name: 'ProofOfExecution', version: '1', chainId: CHAIN_ID, verifyingContract };
  const members = (name) => TYPES[name].split(',').map((field) => field.split(' ')).map(([kind, label]) => ({ name: label, type: kind }));
  const types = type === 'Request' ? { Request: members(type), CoOwner: members('CoOwner') } : { [type]: members(type) };
  return TypedDataEncoder.hash(domain, types, record);
}

// The tree of spec §3.4 over four leaves: its root, and the path of the first.
function listOf(accounts) {
  const leaves = accounts.map((account) => keccak256(concat(['0x00', account])));
  const node = (a, b) => keccak256(concat(a < b ? ['0x01', a, b] : ['0x01', b, a]));
  const right = node(leaves[2], leaves[3]);
  return { root: node(node(leaves[0], leaves[1]), right), path: [leaves[1], right] };
}

function digest(name, part) {
  return keccakText(`${name}: ${part}`);
}

// Bytes that look like evidence and ciphertext: hardly any is zero.
function noise(name, length) {
  let text = '';
  for (let block = 0; text.length < 2 * length; block += 1) text += digest(name, `noise ${block}`).slice(2);
  return `0x${text.slice(0, 2 * length)}`;
}

function hex(number) {
  return `0x${number.toString(16)}`;
}

function fail(message) {
  throw new Error(message);
}
