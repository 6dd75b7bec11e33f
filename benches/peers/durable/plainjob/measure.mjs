// plainjob: one worker, which processes one job after the other, as its own measurement has it.
//
// measure.mjs MEASUREMENT normal FOLDER SIZE

import Database from "better-sqlite3";
import { better, defineQueue, defineWorker } from "plainjob";
import { join } from "node:path";

const [measurement, durability, folder, size] = process.argv.slice(2);
if (durability !== "normal") throw new Error("plainjob sets it itself");
const quiet = { error: console.error, warn: console.error, info() {}, debug() {} };
const database = new Database(join(folder, "jobs.db"));
const queue = defineQueue({ connection: better(database), logger: quiet });
const text = { text: "x".repeat(100) };
const enqueue = () => queue.add("noop", text);
const fill = (count) => queue.addMany("noop", Array(count).fill(text));

function answer(figure) {
  const look = (name) => database.pragma(name, { simple: true });
  console.log(JSON.stringify({ figure, synchronous: look("synchronous"), journal_mode: look("journal_mode") }));
}

function rate(each, step) {
  step();
  const start = performance.now();
  let steps = 0;
  while (performance.now() - start < size) {
    step();
    steps += 1;
  }
  answer((steps * each * 1000) / (performance.now() - start));
}

if (measurement === "enqueue") rate(1, enqueue);
else if (measurement === "enqueue-1000") rate(1000, () => fill(1000));
else if (measurement === "syncs") for (let i = 0; i < size; i += 1) enqueue();
else if (measurement === "process") {
  fill(Number(size));
  let left = size;
  const start = performance.now();
  const ended = () => {
    left -= 1;
    if (left === 0) {
      answer((size * 1000) / (performance.now() - start));
      process.exit(0);
    }
  };
  defineWorker("noop", async () => {}, { queue, logger: quiet, onCompleted: ended }).start();
} else throw new Error(`no measurement ${measurement}`);
if (measurement !== "process") process.exit(0);
