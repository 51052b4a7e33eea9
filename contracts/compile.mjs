// Compiles the contract and writes, or with --check compares, what stands in abi/: the contract itself, what explorers need to
// verify its source (the compiler's standard input, and the metadata that it made of it), and where it is deployed.
//
// Either way it fails if the two EVM levels give different code, or if the code holds an instruction that the Istanbul
// level lacks, so the same bytes run on bloxberg and on every later chain. --same-as-forge compares with forge's own build.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { deployment } from './deployment.mjs';

const solc = createRequire(import.meta.url)('solc');
const here = path.dirname(fileURLToPath(import.meta.url));
const NAME = 'ProofOfExecution';
const SOURCE = `src/${NAME}.sol`;
const ABI = path.join(here, 'abi');
const ARTIFACT = path.join(ABI, `${NAME}.json`);
// Chosen by gas.mjs: 15,000 gas less for a task than the older pipeline at 200 runs, which can't compile the contract any more.
const VIA_IR = true;
const OPTIMIZER = { enabled: true, runs: 1_000_000 };
// No hash of comments in the code: it is compared byte for byte.
const METADATA = { appendCBOR: false, bytecodeHash: 'none' };
const OUTPUT = ['abi', 'metadata', 'evm.bytecode.object', 'evm.deployedBytecode.object', 'evm.deployedBytecode.immutableReferences', 'storageLayout'];
// EIP-170 and EIP-3860 bound what a chain accepts.
const MAX_DEPLOYED_BYTES = 24_576;

// Every instruction of the Istanbul level. 0xfe is INVALID on purpose.
const ISTANBUL = new Set([
  ...range(0x00, 0x0b), ...range(0x10, 0x1d), 0x20, ...range(0x30, 0x3f), ...range(0x40, 0x47), ...range(0x50, 0x5b),
  ...range(0x60, 0x7f), ...range(0x80, 0x8f), ...range(0x90, 0x9f), ...range(0xa0, 0xa4), ...range(0xf0, 0xf5), 0xfa, 0xfd,
  0xfe, 0xff,
]);
// These exist at Istanbul, but would break the promise that nothing changes or destroys the contract.
const FORBIDDEN = new Map([[0xf0, 'CREATE'], [0xf2, 'CALLCODE'], [0xf4, 'DELEGATECALL'], [0xf5, 'CREATE2'], [0xff, 'SELFDESTRUCT']]);

main();

function main() {
  const check = process.argv.slice(2).includes('--check');
  if (process.argv.slice(2).includes('--same-as-forge')) return compareWithForge();
  const london = compile('london');
  const istanbul = compile('istanbul');
  if (london.evm.bytecode.object !== istanbul.evm.bytecode.object) fail('london and istanbul give different bytecode');
  // The creation code ends with the deployed code, so both are covered; the constructor's part is told apart for the message.
  checkInstructions(istanbul.evm.deployedBytecode.object, 'deployed code');
  const constructor = istanbul.evm.bytecode.object.slice(0, -istanbul.evm.deployedBytecode.object.length);
  if (constructor + istanbul.evm.deployedBytecode.object !== istanbul.evm.bytecode.object) fail('the deployed code is not the end of the creation code');
  checkInstructions(constructor, 'constructor');
  const size = istanbul.evm.deployedBytecode.object.length / 2;
  if (size > MAX_DEPLOYED_BYTES) fail(`deployed code has ${size} bytes, the limit is ${MAX_DEPLOYED_BYTES}`);

  const files = {
    [`${NAME}.json`]: pretty(artifact(istanbul)),
    'standard-input.json': pretty(standardInput('istanbul')),
    'metadata.json': istanbul.metadata,
    'deployment.json': pretty(deployment(`0x${istanbul.evm.bytecode.object}`)),
  };
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(ABI, name);
    if (check) {
      const committed = existsSync(file) ? readFileSync(file, 'utf8') : '';
      if (committed !== text) fail(`abi/${name} is not what the sources compile to; run: npm run compile`);
    } else {
      mkdirSync(ABI, { recursive: true });
      writeFileSync(file, text);
    }
  }
  console.log(`${NAME}: ${size} bytes deployed, Istanbul instructions only${check ? ', as committed' : ''}`);
}

// forge has its own settings file; the two must not drift apart.
function compareWithForge() {
  const built = JSON.parse(readFileSync(path.join(here, 'out', `${NAME}.sol`, `${NAME}.json`), 'utf8'));
  const committed = JSON.parse(readFileSync(ARTIFACT, 'utf8'));
  if (built.bytecode.object !== committed.bytecode) fail('forge builds other bytecode than the committed');
  if (built.deployedBytecode.object !== committed.deployedBytecode) fail('forge builds other deployed bytecode than the committed');
  console.log(`${NAME}: forge builds the committed bytecode`);
}

function compile(evmVersion) {
  const output = JSON.parse(solc.compile(JSON.stringify(standardInput(evmVersion))));
  const problems = (output.errors ?? []).filter((problem) => !deprecatedLevel(problem));
  if (problems.length > 0) fail(problems.map((problem) => problem.formattedMessage).join('\n'));
  return output.contracts[SOURCE][NAME];
}

// Whole: whoever has it and the compiler of this version needs nothing else.
function standardInput(evmVersion) {
  const names = readdirSync(path.join(here, 'src')).filter((name) => name.endsWith('.sol')).sort();
  const source = (name) => [`src/${name}`, { content: readFileSync(path.join(here, 'src', name), 'utf8') }];
  return {
    language: 'Solidity',
    sources: Object.fromEntries(names.map(source)),
    settings: {
      evmVersion,
      viaIR: VIA_IR,
      optimizer: OPTIMIZER,
      metadata: METADATA,
      outputSelection: { [SOURCE]: { [NAME]: OUTPUT } },
    },
  };
}

// The compiler warns that it will drop old levels one day; its version is pinned.
function deprecatedLevel(problem) {
  return problem.severity === 'warning' && /deprecated/.test(problem.message) && /EVM version/i.test(problem.message);
}

function artifact(contract) {
  if (Object.keys(contract.evm.deployedBytecode.immutableReferences ?? {}).length > 0) fail('deployed code would differ between chains');
  return {
    contractName: NAME,
    sourceName: SOURCE,
    compiler: solc.version(),
    settings: { evmVersion: 'istanbul', viaIR: VIA_IR, optimizer: OPTIMIZER, metadata: METADATA },
    abi: contract.abi,
    bytecode: `0x${contract.evm.bytecode.object}`,
    deployedBytecode: `0x${contract.evm.deployedBytecode.object}`,
    storageLayout: stableLayout(contract.storageLayout),
  };
}

// The compiler's layout without its syntax-tree numbers, which change with any edit of the sources.
function stableLayout(layout) {
  const type = (name) => name.replace(/\)\d+/g, ')');
  const member = ({ label, slot, offset, type: name }) => ({ label, slot, offset, type: type(name) });
  const types = Object.entries(layout.types).map(([name, { encoding, numberOfBytes, key, value, members }]) => [
    type(name),
    {
      encoding,
      numberOfBytes,
      ...(key && { key: type(key), value: type(value) }),
      ...(members && { members: members.map(member) }),
    },
  ]);
  return { storage: layout.storage.map(member), types: Object.fromEntries(types.sort(([a], [b]) => (a < b ? -1 : 1))) };
}

function checkInstructions(hex, part) {
  const code = Buffer.from(hex, 'hex');
  for (let at = 0; at < code.length; at += 1) {
    const instruction = code[at];
    const where = `at byte ${at} of the ${part}`;
    if (!ISTANBUL.has(instruction)) fail(`instruction 0x${instruction.toString(16)} ${where} is newer than Istanbul`);
    if (FORBIDDEN.has(instruction)) fail(`${FORBIDDEN.get(instruction)} ${where}`);
    if (instruction >= 0x60 && instruction <= 0x7f) at += instruction - 0x5f;
  }
}

function range(first, last) {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function pretty(value) {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}
