// How long the judge takes as WebAssembly under node: `node benches/wasm.mjs MODULE CASES`. Called by benches/wasm.sh and .ci/run.
// ROUNDS says how often each case is run; one that is not accepted fails the run.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const [modulePath, cases] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(modulePath), {});
const wasm = instance.exports;

const ROUNDS = Number(process.env.ROUNDS ?? 30);
let failed = false;
for (const name of readdirSync(cases).sort()) {
  const bytes = readFileSync(join(cases, name));
  const run = name.startsWith("proof") ? wasm.judge : wasm.appraise;
  const place = wasm.input(bytes.length);
  new Uint8Array(wasm.memory.buffer, place, bytes.length).set(bytes);
  const times = [];
  const before = process.cpuUsage();
  for (let round = 0; round < ROUNDS; round += 1) {
    const begin = process.hrtime.bigint();
    if (run() !== 1) {
      console.error(`error: ${name} is not accepted`);
      failed = true;
      break;
    }
    times.push(Number(process.hrtime.bigint() - begin) / 1e6);
  }
  // Processor time is less disturbed by a busy machine; it has the compiler's in it, whose work the first round is.
  const { user, system } = process.cpuUsage(before);
  const mean = (user + system) / 1e3 / Math.max(times.length, 1);
  const [first] = times;
  times.sort((one, other) => one - other);
  const shown = [times[0], times[times.length >> 1], first, mean].map((time) => time?.toFixed(2).padStart(8));
  console.log(`${name.padEnd(32)} wasm, ms: least${shown[0]}  median${shown[1]}  first${shown[2]}  mean, of the processor${shown[3]}`);
}
console.log(`module: ${readFileSync(modulePath).length} bytes`);
process.exit(failed ? 1 : 0);
