// node-redis (the package `redis`), over RESP2 and RESP3, with its client-side cache.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient, WatchError } from "redis";
import { runChecks, Server } from "./server.mjs";

const server = await Server.start();

async function connect(options) {
    const client = createClient({ socket: { port: server.port, host: "127.0.0.1" }, ...options });
    client.on("error", () => {});
    return client.connect();
}

const checks = {};
for (const RESP of [2, 3]) {
    const r = await connect({ RESP });
    const add = (name, check) => (checks[`${name}, RESP${RESP}`] = check);
    add("types", async () => {
        await r.flushAll();
        assert.equal(await r.set("s", "v", { EX: 100 }), "OK");
        assert.equal(await r.get("s"), "v");
        assert.equal(await r.hSet("h", { a: "1", b: "2" }), 2);
        assert.deepEqual({ ...(await r.hGetAll("h")) }, { a: "1", b: "2" });
        assert.equal(await r.zAdd("z", [{ score: 1, value: "a" }, { score: 2.5, value: "b" }]), 2);
        assert.deepEqual((await r.zRangeWithScores("z", 0, -1)).map(({ value, score }) => [value, score]),
            [["a", 1], ["b", 2.5]]);
        assert.equal(await r.sAdd("set", ["x", "y"]), 2);
        assert.deepEqual([...(await r.sMembers("set"))].sort(), ["x", "y"]);
    });
    add("many at once", async () => {
        await Promise.all(Array.from({ length: 5000 }, (_, i) => r.set(`p:${i}`, String(i))));
        let found = 0;
        for await (const keys of r.scanIterator({ MATCH: "p:*", COUNT: 500 }))
            found += Array.isArray(keys) ? keys.length : 1;
        assert.equal(found, 5000);
    });
    add("transactions", async () => {
        assert.deepEqual(await r.multi().set("t", "1").incr("t").exec(), ["OK", 2]);
        await r.watch("t");
        const other = await connect({ RESP });
        await other.set("t", "9");
        await other.close();
        await assert.rejects(r.multi().incr("t").exec(), WatchError);
    });
    add("scripts and functions", async () => {
        assert.equal(await r.eval("return redis.call('INCRBY', KEYS[1], ARGV[1])",
            { keys: ["sum"], arguments: ["5"] }), 5);
        await r.functionLoad("#!lua name=l\nredis.register_function('f', function(k, a) return a[1] end)",
            { REPLACE: true });
        assert.equal(await r.fCall("f", { keys: [], arguments: ["x"] }), "x");
    });
    add("messages", async () => {
        const subscriber = await connect({ RESP });
        const messages = [];
        await subscriber.subscribe("news", (text, channel) => messages.push([channel, text]));
        await subscriber.pSubscribe("w*", (text, channel) => messages.push([channel, text]));
        await r.publish("news", "1");
        await r.publish("weather", "2");
        for (let i = 0; i < 1000 && messages.length < 2; i++) await sleep(20);
        assert.deepEqual(messages, [["news", "1"], ["weather", "2"]]);
        subscriber.destroy();
    });
    add("what operators ask", async () => {
        assert.match(await r.info(), /redis_version:7\.2/);
        assert.ok((await r.clientList()).length >= 1);
        assert.ok((await r.configGet("maxmemory"))["maxmemory"] !== undefined);
        assert.ok((await r.memoryUsage("s")) > 0);
        assert.ok(Array.isArray(await r.role()) || (await r.role()).role === "master");
        assert.deepEqual(await r.latencyLatest(), []);
    });
}

checks["the client-side cache is invalidated"] = async () => {
    const reader = await connect({ RESP: 3, clientSideCache: { ttl: 0, maxEntries: 0 } });
    const writer = await connect({ RESP: 3 });
    await writer.set("cached", "1");
    assert.equal(await reader.get("cached"), "1");
    assert.equal(await reader.get("cached"), "1");
    await writer.set("cached", "2");
    let value;
    for (let i = 0; i < 1000 && (value = await reader.get("cached")) !== "2"; i++) await sleep(20);
    assert.equal(value, "2");
    reader.destroy();
    writer.destroy();
};

await runChecks(checks);
