// BullMQ: one worker of 100 jobs at once. `enqueue-16` has 16 calls under way at once, on one
// thread.
//
// measure.mjs MEASUREMENT DURABILITY ADDRESS SIZE

import { Queue, QueueEvents, Worker } from "bullmq";
import { spawn } from "node:child_process";
import { once } from "node:events";

const [measurement, durability, address, text] = process.argv.slice(2);
const size = Number(text);
const { hostname: host, port } = new URL(address);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const data = { text: "x".repeat(100) };
const removed = { removeOnComplete: true, removeOnFail: true };
const queue = () => new Queue("jobs", { connection });
const now = () => performance.timeOrigin + performance.now();
const answer = (figures) => console.log(JSON.stringify(figures));
const consume = (handler) => new Worker("jobs", handler, { connection, concurrency: 100 });

async function fill(jobs, count) {
  for (let begun = 0; begun < count; begun += 1000) {
    const batch = Array(Math.min(1000, count - begun)).fill({ name: "noop", data, opts: removed });
    await jobs.addBulk(batch);
  }
}

async function rate(callers, each, step) {
  await step();
  const start = performance.now();
  let steps = 0;
  const produce = async () => {
    while (performance.now() - start < size) {
      await step();
      steps += 1;
    }
  };
  await Promise.all(Array.from({ length: callers }, produce));
  answer({ figure: (steps * each * 1000) / (performance.now() - start) });
}

async function trips(jobs) {
  const events = new QueueEvents("jobs", { connection });
  await events.waitUntilReady();
  const command = [process.argv[1], "handle", ...process.argv.slice(3)];
  const other = spawn(process.argv[0], command, { stdio: ["pipe", "pipe", "inherit"] });
  await once(other.stdout, "data");
  const [wakes, whole] = [[], []];
  for (let number = 0; number < size + 5; number += 1) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    const began = now();
    const job = await jobs.add("clock", data, { removeOnComplete: 100 });
    const enqueued = now();
    const handled = await job.waitUntilFinished(events);
    const back = now();
    if (number < 5) continue;
    wakes.push(handled - enqueued);
    whole.push(back - began);
  }
  other.kill();
  const at = (of, share) => of.toSorted((a, b) => a - b)[Math.min(Math.floor((of.length * share) / 100), of.length - 1)];
  answer({ "wake-50": at(wakes, 50), "wake-99": at(wakes, 99), "trip-50": at(whole, 50), "trip-99": at(whole, 99) });
}

async function handler(job) {
  if (job.data.text.length !== 100) throw new Error("another job");
  return job.name === "clock" ? now() : undefined;
}

if (measurement === "process") {
  let left = size;
  const start = performance.now();
  await new Promise((resolve) => {
    consume(handler).on("completed", () => {
      left -= 1;
      if (left === 0) resolve();
    });
  });
  answer({ figure: (size * 1000) / (performance.now() - start) });
} else if (measurement === "handle") {
  await consume(handler).waitUntilReady();
  console.log("ready");
  await once(process.stdin, "close");
} else {
  const jobs = queue();
  const enqueue = () => jobs.add("noop", data, removed);
  if (measurement === "enqueue") await rate(1, 1, enqueue);
  else if (measurement === "enqueue-16") await rate(16, 1, enqueue);
  else if (measurement === "enqueue-1000") await rate(1, 1000, () => fill(jobs, 1000));
  else if (measurement === "fill") await fill(jobs, size);
  else if (measurement === "round-trip") await trips(jobs);
  else throw new Error(`no measurement ${measurement}`);
}
process.exit(0);
