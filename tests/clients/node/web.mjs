// What web applications keep in Redis: sessions (express-session, connect-redis), rate limits
// (rate-limiter-flexible), locks over three servers (redlock).
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import express from "express";
import session from "express-session";
import { RedisStore } from "connect-redis";
import { Redis } from "ioredis";
import { RateLimiterRedis } from "rate-limiter-flexible";
import { createRequire } from "node:module";
import { createClient } from "redis";
import { runChecks, Server } from "./server.mjs";

// Its package.json offers no types of module that node's `import` accepts.
const redlock = createRequire(import.meta.url)("redlock");
const Redlock = redlock.default ?? redlock;

const DURABLE = ["--appendfsync", "always"]; // nothing acknowledged is lost with a server
const server = await Server.start();

async function startApp(client) {
    const app = express();
    app.use(session({ store: new RedisStore({ client, prefix: "sess:", ttl: 100 }), secret: "s",
        resave: false, saveUninitialized: false }));
    app.get("/count", (request, response) => {
        request.session.count = (request.session.count ?? 0) + 1;
        response.json({ count: request.session.count });
    });
    app.get("/leave", (request, response) => request.session.destroy(() => response.json({})));
    const listener = app.listen(0, "127.0.0.1");
    await new Promise((resolve) => listener.on("listening", resolve));
    return listener;
}

await runChecks({
    async sessions() {
        const client = createClient({ socket: { port: server.port, host: "127.0.0.1" } });
        client.on("error", () => {});
        await client.connect();
        const app = await startApp(client);
        const url = `http://127.0.0.1:${app.address().port}`;
        const first = await fetch(`${url}/count`);
        const cookie = first.headers.get("set-cookie").split(";")[0];
        assert.deepEqual(await first.json(), { count: 1 });
        const again = async () => (await fetch(`${url}/count`, { headers: { cookie } })).json();
        assert.deepEqual(await again(), { count: 2 });
        const [key] = await client.keys("sess:*");
        assert.ok((await client.ttl(key)) > 0);
        assert.deepEqual(await client.sendCommand(["WAITAOF", "1", "0", "20000"]), [1, 0]);
        await server.kill(); // the session outlives the server
        await server.run();
        for (let i = 0; i < 600 && !client.isReady; i++) await sleep(50);
        assert.deepEqual(await again(), { count: 3 });
        await fetch(`${url}/leave`, { headers: { cookie } });
        assert.equal(await client.exists(key), 0);
        app.close();
        client.destroy();
    },
    async rateLimits() {
        const storeClient = new Redis({ port: server.port, host: "127.0.0.1", enableOfflineQueue: false });
        await new Promise((resolve) => storeClient.on("ready", resolve));
        const limiter = new RateLimiterRedis({ storeClient, points: 100, duration: 60, keyPrefix: "rl" });
        const results = await Promise.allSettled(
            Array.from({ length: 250 }, () => limiter.consume("user")));
        assert.equal(results.filter(({ status }) => status === "fulfilled").length, 100);
        const refused = results.find(({ status }) => status === "rejected").reason;
        assert.ok(refused.msBeforeNext > 0 && refused.msBeforeNext <= 60000);
        await limiter.delete("user");
        assert.equal((await limiter.consume("user")).remainingPoints, 99);
        storeClient.disconnect();
    },
    // Each server counts for users of its own. One is killed (kill -9) with the points half consumed:
    // it must go on where it was, the others must not notice.
    async rateLimitsOverThreeServers() {
        const servers = await Promise.all([1, 2, 3].map(() => Server.start(DURABLE)));
        const clients = servers.map(({ port }) => new Redis({ port, host: "127.0.0.1" }));
        for (const client of clients) client.on("error", () => {});
        const limiters = clients.map((storeClient) =>
            new RateLimiterRedis({ storeClient, points: 100, duration: 600, keyPrefix: "rl" }));
        const consume = async (limiter, count) => (await Promise.allSettled(
            Array.from({ length: count }, () => limiter.consume("user")))
        ).filter(({ status }) => status === "fulfilled").length;
        assert.deepEqual(await Promise.all(limiters.map((limiter) => consume(limiter, 60))), [60, 60, 60]);
        await servers[1].kill();
        assert.deepEqual(await Promise.all([consume(limiters[0], 10), consume(limiters[2], 10)]), [10, 10]);
        await servers[1].run();
        assert.deepEqual(await Promise.all(limiters.map((limiter) => consume(limiter, 100))), [30, 40, 30]);
        console.log("        after a kill -9 of one of three: 30, 40 and 30 points were left, as they must");
        for (const client of clients) client.disconnect();
        await Promise.all(servers.map((one) => one.destroy()));
    },
    async locksOverThreeServers() {
        const servers = await Promise.all([1, 2, 3].map(() => Server.start(DURABLE)));
        const clients = servers.map(({ port }) => {
            const client = new Redis({ port, host: "127.0.0.1", maxRetriesPerRequest: 1 });
            client.on("error", () => {});
            return client;
        });
        const locks = new Redlock(clients, { retryCount: 4000, retryDelay: 10, retryJitter: 10 });
        locks.on("error", () => {}); // told of single servers; what counts is the quorum
        let inside = 0, most = 0, done = 0;
        const work = () => locks.using(["resource"], 5000, async () => {
            most = Math.max(most, ++inside);
            await sleep(2);
            inside--;
            done++;
        });
        await Promise.all(Array.from({ length: 20 }, work));
        assert.deepEqual([most, done], [1, 20]);
        // One is killed while locks are being taken, and comes back: two of three are a quorum, and
        // what it has granted it still knows.
        const working = Promise.all(Array.from({ length: 100 }, work));
        while (done < 50) await sleep(1);
        await servers[0].kill();
        const at = done;
        while (done < 80) await sleep(1);
        await servers[0].run();
        await working;
        assert.deepEqual([most, done], [1, 120]);
        console.log(`        120 locks, never two at once; one of three servers killed (kill -9) after ${at}, back after 80`);
        await servers[2].kill(); // for good
        await work();
        assert.equal(done, 121);
        await servers[1].kill(); // one is none
        const once = new Redlock(clients, { retryCount: 0 });
        once.on("error", () => {});
        await assert.rejects(once.acquire(["other"], 1000));
        for (const client of clients) client.disconnect();
        await Promise.all(servers.map((one) => one.destroy()));
    },
});
