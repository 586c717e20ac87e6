// BullMQ with a server that is killed twice (kill -9): a producer and workers of $JOBS jobs (20000),
// one in ten delayed, one in twenty failing at its first attempt.
//
// No job may be lost, and none may be completed twice beyond what BullMQ itself allows: a job whose
// worker lost its connection while the job was being worked on is stalled and done once more. So
// each job has to be processed, by the count of its successful runs, at least once; more than once
// only as often as workers had jobs in their hands at the kills (twice the concurrency), or were
// told of a completion that was lost with the last moments before a kill (appendfsync always here:
// none). In the end the queue counts $JOBS completed jobs and nothing else.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Queue, Worker } from "bullmq";
import { Server } from "./server.mjs";

const JOBS = Number(process.env.JOBS ?? 20000);
const CONCURRENCY = 20;
const BATCH = 200;
const KILLS_AT = [1 / 3, 2 / 3];
const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 600000);

const server = await Server.start(["--appendfsync", "always", "--maxmemory-policy", "noeviction"]);
const connection = { host: "127.0.0.1", port: server.port, maxRetriesPerRequest: null,
    retryStrategy: () => 100 };
const runs = new Map(); // job number -> successful runs
const attempts = new Map();
let failedRuns = 0;

const queue = new Queue("work", { connection });
queue.on("error", () => {});
const workers = [0, 1].map(() => new Worker("work", async (job) => {
    const { number } = job.data;
    const attempt = (attempts.get(number) ?? 0) + 1;
    attempts.set(number, attempt);
    if (number % 20 === 7 && attempt === 1) {
        failedRuns++;
        throw new Error("the first attempt fails");
    }
    runs.set(number, (runs.get(number) ?? 0) + 1);
    return number;
}, { connection, concurrency: CONCURRENCY, stalledInterval: 2000, lockDuration: 5000, maxStalledCount: 10 }));
for (const worker of workers) worker.on("error", () => {});

// An addition whose reply did not come may have been made or not: it is made again under the same
// id, which BullMQ ignores if the job is there.
async function produce() {
    for (let first = 0; first < JOBS; first += BATCH) {
        const jobs = [];
        for (let number = first; number < Math.min(JOBS, first + BATCH); number++)
            jobs.push({ name: "job", data: { number }, opts: { jobId: `job-${number}`, attempts: 5,
                backoff: { type: "fixed", delay: 100 }, delay: number % 10 === 3 ? 500 : 0 } });
        for (;;) {
            try {
                await queue.addBulk(jobs);
                break;
            } catch {
                await sleep(100);
            }
        }
    }
}

let kills = 0;
const started = Date.now();
const producing = produce();
while (runs.size < JOBS) {
    assert.ok(Date.now() - started < PATIENCE_MS,
        `only ${runs.size} of ${JOBS} jobs were done: ${JSON.stringify(await queue.getJobCounts())}`);
    if (kills < KILLS_AT.length && runs.size >= JOBS * KILLS_AT[kills]) {
        kills++;
        await server.kill();
        console.log(`killed with ${runs.size} jobs done`);
        await sleep(300);
        await server.run();
    }
    await sleep(20);
}
await producing;

// The last completions may still be on their way.
let counts;
for (let i = 0; i < 600; i++) {
    counts = await queue.getJobCounts("completed", "failed", "active", "waiting", "delayed", "prioritized");
    if (counts.completed === JOBS && counts.active === 0) break;
    await sleep(100);
}
const repeated = [...runs.values()].reduce((sum, count) => sum + count - 1, 0);
console.log(`${JOBS} jobs, ${failedRuns} failed first attempts, ${kills} kills, ${repeated} repeated, ` +
    `${Math.round((Date.now() - started) / 1000)} s; ${JSON.stringify(counts)}`);
assert.equal(kills, 2);
assert.equal(counts.completed, JOBS);
for (const state of ["failed", "active", "waiting", "delayed", "prioritized"]) assert.equal(counts[state], 0);
assert.ok(repeated <= kills * workers.length * CONCURRENCY, `${repeated} jobs were done again`);
await server.destroy(); // closing would wait for the blocked workers
console.log("ok      no job was lost");
process.exit(0);
