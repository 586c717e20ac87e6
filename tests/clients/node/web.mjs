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
        await sleep(500);
        await server.kill(); // the session outlives the server
        await server.run();
        for (let i = 0; i < 200 && !client.isReady; i++) await sleep(50);
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
    async locksOverThreeServers() {
        const servers = [server, await Server.start(), await Server.start()];
        const clients = servers.map(({ port }) => {
            const client = new Redis({ port, host: "127.0.0.1", maxRetriesPerRequest: 1 });
            client.on("error", () => {});
            return client;
        });
        const locks = new Redlock(clients, { retryCount: 400, retryDelay: 10, retryJitter: 10 });
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
        await servers[2].kill(); // two of three are a quorum
        await work();
        assert.equal(done, 21);
        await servers[1].kill(); // one is none
        const once = new Redlock(clients, { retryCount: 0 });
        once.on("error", () => {});
        await assert.rejects(once.acquire(["other"], 1000));
        for (const client of clients) client.disconnect();
    },
});
