// Proves with halmos what the files beside this one say of each call, and writes RESULT.md.
//
// The last part breaks the contract on purpose, in ways that a proof has to notice: a proof that can't fail proves nothing.
import { execFileSync, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { keccak256 } from 'ethers';

const solc = createRequire(import.meta.url)('solc');
const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.dirname(here);
const RESULT = path.join(here, 'RESULT.md');
const OUT = path.join(root, 'out-proofs');
const venv = path.join(root, 'venv-proofs', 'bin');
const env = { ...process.env, FOUNDRY_PROFILE: 'proofs', PATH: [path.join(root, 'node_modules', '.bin'), venv, process.env.PATH].join(path.delimiter) };
const committed = JSON.parse(readFileSync(path.join(root, 'abi', 'ProofOfExecution.json'), 'utf8'));
const codeHash = keccak256(committed.deployedBytecode);

// What is changed, in which file, and which proof has to fail for it.
const MUTANTS = JSON.parse(readFileSync(path.join(here, 'mutants.json'), 'utf8'));

prove();

function prove() {
  execFileSync('forge', ['build'], { cwd: root, env, stdio: 'inherit' });
  const started = Date.now();
  useCode(committed.bytecode);
  const says = said();
  const proofs = Object.entries(says).map(([name, { contract }]) => {
    const [proof] = halmos(contract, `^${name}\\(`);
    console.log(`${proof.proven ? 'proven' : 'NOT PROVEN'}  ${name}, ${proof.paths} paths, ${proof.seconds} s`);
    // A proof of nothing: every path was refused.
    if (proof.accepted === 0) fail(`${name}: no path reaches the end`);
    if (proof.bounded) fail(`${name}: a loop was cut short`);
    return proof;
  });
  const mutants = MUTANTS.map((mutant) => {
    useCode(compile(mutant));
    const [proof] = halmos(mutant.contract, `^${mutant.proof}\\(`, ['--early-exit']);
    console.log(`${proof.refuted ? 'noticed' : 'NOT NOTICED'}  ${mutant.change}`);
    return { ...mutant, noticed: proof.refuted };
  });
  writeFileSync(RESULT, report(says, proofs, mutants, Math.round((Date.now() - started) / 1000)));
  if (!proofs.every(({ proven }) => proven)) fail('not everything is proven');
  if (!mutants.every(({ noticed }) => noticed)) fail('a broken contract was not noticed');
}

function useCode(bytecode) {
  mkdirSync(OUT, { recursive: true });
  writeFileSync(path.join(OUT, 'committed.json'), JSON.stringify({ bytecode: { object: bytecode } }));
}

function halmos(contract, functions, more = []) {
  const file = path.join(OUT, 'result.json');
  writeFileSync(file, '{}');
  const config = path.join(here, 'halmos.toml');
  spawnSync('halmos', ['--config', config, '--contract', contract, '--match-test', functions, '--json-output', file, ...more], { cwd: root, env, stdio: ['ignore', 'ignore', 'ignore'] });
  const results = Object.values(JSON.parse(readFileSync(file, 'utf8')).test_results ?? {}).flat();
  if (results.length === 0) fail(`halmos ran no ${functions} of ${contract}`);
  return results.map(({ name, exitcode, num_models, num_paths, time, num_bounded_loops }) => ({
    name: name.slice(0, name.indexOf('(')),
    contract,
    proven: exitcode === 0,
    // With a counterexample, not because the prover gave up.
    refuted: exitcode === 1 && num_models > 0,
    paths: num_paths[0],
    accepted: num_paths[1],
    bounded: num_bounded_loops > 0,
    seconds: Math.round(time[0]),
  }));
}

function compile({ file, from, to }) {
  const input = JSON.parse(readFileSync(path.join(root, 'abi', 'standard-input.json'), 'utf8'));
  const source = input.sources[file];
  if (source.content.split(from).length !== 2) fail(`not exactly one place to change in ${file}: ${from}`);
  source.content = source.content.replace(from, to);
  const { contracts, errors } = JSON.parse(solc.compile(JSON.stringify(input)));
  const code = contracts?.['src/ProofOfExecution.sol']?.ProofOfExecution?.evm.bytecode.object;
  if (!code) fail(`a changed contract does not compile: ${errors[0]?.formattedMessage}`);
  return `0x${code}`;
}

function report(says, proofs, mutants, seconds) {
  const version = (program) => spawnSync(program, ['--version'], { env, encoding: 'utf8' }).stdout.trim().split('\n')[0];
  const row = (cells) => `| ${cells.join(' | ')} |`;
  return `${[
    '# What is proven of the contract',
    '',
    '`contracts/prove.sh` wrote this page. The statements are in `proofs/*.sol`, and proven by induction: from any sound storage, for any',
    'sender, time, money and arguments, one call of the committed bytecode.',
    '',
    `* bytecode: keccak256 of the deployed code \`${codeHash}\``,
    `* ${version('halmos')}, ${version('yices-smt2')}, solc ${solc.version()}`,
    `* ${new Date().toISOString().slice(0, 10)}, ${Math.round(seconds / 60)} minutes on ${cpus().length} shared cores`,
    '',
    '| proof | says, if the call is accepted | result | paths | s |',
    '|---|---|---|---:|---:|',
    ...proofs.map(({ name, proven, paths, seconds: time }) => row([`\`${name}\``, says[name].words, proven ? 'proven' : '**not proven**', paths, time])),
    '',
    'And of each: the storage is sound again; an ended task is as it was; the balance changed by what was paid in or out, and each credit and the task by exactly what the statement says; the task and the',
    'credit of anyone else are as they were; no arithmetic of the contract overflows.',
    '',
    '## What is assumed',
    '',
    '* keccak256 has no collisions, and ecrecover is some function of its arguments: what a signature is worth is not in question here.',
    '* Balances and credits are below 2^120 wei, times below 2^40 less a year.',
    '* A request has one input and one co-owner (requested and matched also none), a list two members, a secret 32 bytes behind its signature. The fuzz tests and the differential have others.',
    '* Offers are free in the proofs of matches: products of two unknowns are beyond the prover.',
    '* Accounts have no code. Receivers that have are for `Attacks.t.sol` and `Hostile.t.sol`, wallets that judge signatures for `Consent.t.sol`.',
    '* A task in storage had its request accepted, so what `check_request` and `check_requestFor` prove of the record holds of it later.',
    '',
    '## That a proof can fail',
    '',
    'The same proofs against contracts that were broken on purpose:',
    '',
    '| broken | noticed by | result |',
    '|---|---|---|',
    ...mutants.map(({ change, proof, noticed }) => row([change, `\`${proof}\``, noticed ? 'refuted, with a counterexample' : '**not noticed**'])),
  ].join('\n')}\n`;
}

// Every proof, with the sentence above it.
function said() {
  const found = {};
  for (const [file, contract] of [['Lifecycle.sol', 'LifecycleProofs'], ['Accounts.sol', 'AccountProofs']]) {
    const text = readFileSync(path.join(here, file), 'utf8');
    for (const [, words, proof] of text.matchAll(/((?: *\/\/\/ .*\n)+) *function (check_\w+)/g)) {
      found[proof] = { contract, words: words.replace(/ *\/\/\/ @custom.*\n/g, '').replace(/ *\/\/\/ (@dev )?/g, ' ').replace(/\s+/g, ' ').trim() };
    }
    const all = [...text.matchAll(/function check_/g)].length;
    if (Object.values(found).filter((proof) => proof.contract === contract).length !== all) fail(`a proof in ${file} says nothing`);
  }
  return found;
}

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}
