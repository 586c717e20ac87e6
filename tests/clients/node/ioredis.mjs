// ioredis: types, pipelines, transactions, scripts, pub/sub, streams, blocking, reconnecting.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { runChecks, Server } from "./server.mjs";

const server = await Server.start();
function connect() {
    const client = new Redis({ port: server.port, host: "127.0.0.1" });
    client.on("error", () => {}); // it reconnects by itself
    return client;
}
const r = connect();

await runChecks({
    async types() {
        assert.equal(await r.set("s", "v", "EX", 100), "OK");
        assert.equal(await r.get("s"), "v");
        assert.deepEqual(await r.getBuffer("s"), Buffer.from("v"));
        assert.equal(await r.hset("h", { a: 1, b: 2 }), 2);
        assert.deepEqual(await r.hgetall("h"), { a: "1", b: "2" });
        assert.equal(await r.zadd("z", 1, "a", 2, "b"), 2);
        assert.deepEqual(await r.zrange("z", 0, -1, "WITHSCORES"), ["a", "1", "b", "2"]);
    },
    async pipelines() {
        const pipeline = r.pipeline();
        for (let i = 0; i < 5000; i++) pipeline.set(`p:${i}`, i);
        const results = await pipeline.exec();
        assert.ok(results.every(([error, value]) => error === null && value === "OK"));
        let found = 0;
        for await (const keys of r.scanStream({ match: "p:*", count: 500 })) found += keys.length;
        assert.equal(found, 5000);
    },
    async transactions() {
        assert.deepEqual(await r.multi().set("t", 1).incr("t").exec(), [[null, "OK"], [null, 2]]);
        await r.watch("t");
        const other = connect();
        await other.set("t", 9);
        await other.quit();
        assert.equal(await r.multi().incr("t").exec(), null);
    },
    async scripts() {
        r.defineCommand("addAll", { numberOfKeys: 1, lua: `
            local sum = 0
            for _, v in ipairs(ARGV) do sum = sum + v end
            return redis.call('INCRBY', KEYS[1], sum)` });
        assert.equal(await r.addAll("sum", 1, 2, 3), 6);
        await r.script("FLUSH");
        assert.equal(await r.addAll("sum", 4), 10);
    },
    async messages() {
        const subscriber = connect();
        const messages = [];
        subscriber.on("message", (channel, text) => messages.push([channel, text]));
        subscriber.on("pmessage", (pattern, channel, text) => messages.push([pattern, channel, text]));
        await subscriber.subscribe("news");
        await subscriber.psubscribe("w*");
        assert.equal(await r.publish("news", "1"), 1);
        assert.equal(await r.publish("weather", "2"), 1);
        for (let i = 0; i < 1000 && messages.length < 2; i++) await sleep(20);
        assert.deepEqual(messages, [["news", "1"], ["w*", "weather", "2"]]);
        await subscriber.quit();
    },
    async streamsWithGroups() {
        await r.xgroup("CREATE", "x", "g", "$", "MKSTREAM");
        const id = await r.xadd("x", "*", "k", "v");
        const read = await r.xreadgroup("GROUP", "g", "me", "COUNT", 5, "STREAMS", "x", ">");
        assert.deepEqual(read, [["x", [[id, ["k", "v"]]]]]);
        assert.equal(await r.xack("x", "g", id), 1);
    },
    async blocking() {
        const blocked = connect();
        const popped = blocked.blpop("queue", 20);
        await sleep(50);
        await r.rpush("queue", "job");
        assert.deepEqual(await popped, ["queue", "job"]);
        await blocked.quit();
    },
    async theMonitor() {
        const plain = connect();
        const monitor = await plain.monitor();
        const seen = new Promise((resolve) => monitor.on("monitor", (_, args) => resolve(args)));
        await sleep(50);
        await r.get("watched");
        assert.deepEqual(await seen, ["get", "watched"]);
        monitor.disconnect();
        plain.disconnect();
    },
    async reconnectingAfterAKill() {
        await r.set("kept", "yes");
        assert.deepEqual(await r.call("WAITAOF", 1, 0, 20000), [1, 0]);
        await server.kill();
        const pending = r.get("kept");
        await server.run();
        assert.equal(await pending, "yes");
    },
});
