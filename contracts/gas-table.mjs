// Writes, or with --check compares, GAS.md: snapshots/gas.json for people, beside the systems that PoX is compared with.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const TABLE = path.join(here, 'GAS.md');
const BATCHES = [1, 10, 100, 1_000];

// What the others need for one task, and who says so.
const OTHERS = [
  {
    name: 'Ethernity Cloud, contract V1',
    source: 'measured by us: the published sources, compiled by solc 0.5.17 with 200 runs, Istanbul, texts of a usual length',
    steps: [['request', '_addDORequest', 528_500], ['offer', '_addDPRequest', 235_500], ['match', '_placeOrder', 265_000], ['approve', '_approveOrder', 56_000], ['result', '_addResultToOrder', 490_000]],
    total: 1_630_000,
    rest: 'the middle of what was measured for each; with the former `_addProcessorToOrder` (56,000) the total of the whole session is 1.63 M',
  },
  {
    name: 'iExec PoCo',
    source: "its own published gas report: averages, solc 0.8.21 with 200 runs; orders are signed off the chain",
    steps: [['match', 'matchOrders', 760_843], ['start', 'initialize', 225_506], ['result', 'contributeAndFinalize', 642_656]],
    total: 1_629_005,
    rest: 'the first use of a program and a dataset needs 625,505 (`createApp`) and 554,446 (`createDataset`) more',
  },
];

const gas = JSON.parse(readFileSync(path.join(here, 'snapshots', 'gas.json'), 'utf8'));
const text = `${lines().join('\n')}\n`;
if (!process.argv.slice(2).includes('--check')) writeFileSync(TABLE, text);
else if (!existsSync(TABLE) || readFileSync(TABLE, 'utf8') !== text) {
  console.error('error: GAS.md is not what snapshots/gas.json says; run: npm run gas');
  process.exit(1);
}

function lines() {
  const { bare, bareWithEarlierCredit: again, full } = gas.lifecycle;
  const steps = Object.keys(bare).filter((name) => name !== 'total');
  const { proveMany } = gas.special;
  const before = steps.filter((name) => name !== 'prove').reduce((sum, name) => sum + bare[name], 0);
  return [
    '# Gas',
    '',
    '`gas-table.mjs` makes this page from `snapshots/gas.json`, which `gas.mjs` measures on ganache at the Istanbul level: refunds taken off,',
    'one input per request. Whole transactions, the 21,000 of each included.',
    '',
    '## One task',
    '',
    `| transaction | without the bytes | again for the same processor | all in: ${number(full.bytes.evidence)} B of evidence, ${number(full.bytes.sealed)} B of sealed secret |`,
    '|---|---:|---:|---:|',
    ...[...steps, 'total'].map((name) => row([name, bare[name], again[name], full[name]])),
    '',
    'An offer serves many tasks, so its gas is paid once; it is in each total all the same.',
    '',
    '## The other calls',
    '',
    '| transaction | gas |',
    '|---|---:|',
    ...Object.entries({ ...gas.otherCalls, ...gas.special }).filter(([, used]) => Number.isInteger(used)).map(row),
    row([`deployment (${number(gas.deployedBytes)} B)`, gas.deployment]),
    '',
    '## A batch',
    '',
    'One task, many members: `proveMany` anchors the root over their receipts, and its gas does not depend on how many there are.',
    '',
    '| members | `proveMany`, for each | all five transactions, for each |',
    '|---:|---:|---:|',
    ...BATCHES.map((count) => row([count, each(proveMany, count), each(before + proveMany, count)])),
    '',
    '## Beside others',
    '',
    ...OTHERS.flatMap((other) => beside(other, full.total)),
  ];
}

function beside({ name, source, steps, total, rest }, ours) {
  return [
    `**${name}**: ${number(total)} for each task, ${(total / ours).toFixed(1)} times PoX with all bytes. Source: ${source}.`,
    '',
    '| step | call | gas |',
    '|---|---|---:|',
    ...steps.map(([step, call, used]) => row([step, `\`${call}\``, used])),
    '',
    `${rest[0].toUpperCase()}${rest.slice(1)}.`,
    '',
  ];
}

function row(cells) {
  return `| ${cells.map((cell) => (typeof cell === 'number' ? number(cell) : cell)).join(' | ')} |`;
}

function each(used, count) {
  return number(Math.round(used / count));
}

function number(value) {
  return value.toLocaleString('en-US');
}
