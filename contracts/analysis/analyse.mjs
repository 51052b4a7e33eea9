// Runs slither and solhint on the contract, and compares what they find with TRIAGE.md.
//
// A finding that is not there fails, and so does a row that is found no more or another number of times: the file says of each
// why it stays, and of nothing else. Rules of solhint about style are off in solhint.json; forge and gas.mjs judge style and gas.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.dirname(here);
const venv = path.join(root, 'venv-analysis', 'bin');
// slither compiles with forge, and removes what was compiled before: not what the tests use.
const env = {
  ...process.env,
  PATH: [path.join(root, 'node_modules', '.bin'), venv, process.env.PATH].join(path.delimiter),
  FOUNDRY_OUT: 'out-analysis',
  FOUNDRY_CACHE_PATH: 'cache-analysis',
};

const found = count([...slither(), ...solhint()]);
const triaged = new Map(rows(readFileSync(path.join(here, 'TRIAGE.md'), 'utf8')));
const problems = [];
for (const [key, times] of found) {
  if (!triaged.has(key)) problems.push(`not triaged: ${key} (${times} times)`);
  else if (triaged.get(key) !== times) problems.push(`found ${times} times, triaged ${triaged.get(key)} times: ${key}`);
}
for (const key of triaged.keys()) if (!found.has(key)) problems.push(`triaged, but not found any more: ${key}`);
for (const problem of problems) console.error(`error: ${problem}`);
if (problems.length > 0) process.exit(1);
console.log(`${[...found.values()].reduce((sum, times) => sum + times, 0)} findings of slither and solhint, each triaged in analysis/TRIAGE.md`);

function slither() {
  const ran = spawnSync('slither', ['.', '--filter-paths', 'test/|proofs/', '--foundry-out-directory', 'out-analysis', '--json', '-'], {
    cwd: root,
    env,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const report = ran.stdout ? JSON.parse(ran.stdout) : { error: ran.error ?? ran.stderr };
  if (!report.success) throw new Error(`slither failed: ${report.error}`);
  return (report.results.detectors ?? []).map(({ check, elements: [element] }) => ['slither', check, place(element)]);
}

// The function or contract, not the line: lines move.
function place({ name, type, type_specific_fields: { parent } = {} }) {
  const scope = parent && parent.type !== 'file' ? place(parent) : '';
  return type === 'node' ? scope : [scope, name].filter(Boolean).join('.');
}

function solhint() {
  const args = ['--disc', '--noPoster', '--config', path.join(here, 'solhint.json'), '--formatter', 'json', 'src/*.sol'];
  let text;
  try {
    text = execFileSync('solhint', args, { cwd: root, env, encoding: 'utf8' });
  } catch (error) {
    // It exits with 1 for findings.
    text = error.stdout;
  }
  const report = JSON.parse(text).filter((entry) => entry.ruleId !== undefined);
  return report.map(({ ruleId, filePath }) => ['solhint', ruleId, path.basename(filePath)]);
}

function count(findings) {
  const times = new Map();
  for (const finding of findings) {
    const key = finding.join(' | ');
    times.set(key, (times.get(key) ?? 0) + 1);
  }
  return times;
}

// The rows of the table: tool, finding, place, times, reason.
function rows(text) {
  const cells = text.split('\n').filter((line) => line.startsWith('| ')).map((line) => line.slice(1, -1).split('|').map((cell) => cell.trim()));
  const body = cells.filter(([tool]) => tool === 'slither' || tool === 'solhint');
  return body.map(([tool, finding, where, times, reason]) => {
    if (!reason) throw new Error(`no reason for ${finding} in ${where}`);
    return [[tool, finding, where].join(' | '), Number(times)];
  });
}
