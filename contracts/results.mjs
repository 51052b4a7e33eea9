// The results of what takes too long for check.sh are of the committed bytecode, or they are of no worth.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { keccak256 } from 'ethers';

const here = path.dirname(fileURLToPath(import.meta.url));
const RESULTS = { 'proofs/RESULT.md': 'prove.sh', 'DIFFERENTIAL.md': 'differential.sh' };

const { deployedBytecode } = JSON.parse(readFileSync(path.join(here, 'abi', 'ProofOfExecution.json'), 'utf8'));
const stale = Object.entries(RESULTS).filter(([name]) => {
  const file = path.join(here, name);
  return !existsSync(file) || !readFileSync(file, 'utf8').includes(keccak256(deployedBytecode));
});
for (const [name, script] of stale) console.error(`error: contracts/${name} is not of the committed bytecode; run: contracts/${script}`);
process.exit(stale.length === 0 ? 0 : 1);
