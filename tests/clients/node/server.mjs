// Basalt servers for the tests here: started on free ports, killed and restarted at will, gone at
// the end. The program is $BASALT_SERVER.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const running = new Set();

process.on("exit", () => {
    for (const server of running) {
        server.process?.kill("SIGKILL");
        rmSync(server.dir, { recursive: true, force: true });
    }
});

async function freePort() {
    const probe = createServer();
    await new Promise((resolve) => probe.listen(0, "127.0.0.1", resolve));
    const { port } = probe.address();
    await new Promise((resolve) => probe.close(resolve));
    return port;
}

// Whether PING is answered with PONG.
function answers(port) {
    return new Promise((resolve) => {
        const socket = createConnection(port, "127.0.0.1");
        socket.setTimeout(2000, () => socket.destroy());
        socket.on("connect", () => socket.write("PING\r\n"));
        socket.on("data", (data) => {
            resolve(String(data).startsWith("+PONG"));
            socket.destroy();
        });
        socket.on("error", () => {});
        socket.on("close", () => resolve(false));
    });
}

export class Server {
    static async start(args = []) {
        const server = new Server();
        server.args = args;
        server.dir = mkdtempSync(join(tmpdir(), "basalt-clients."));
        server.port = await freePort();
        running.add(server);
        await server.run();
        return server;
    }

    async run() {
        const args = ["--port", this.port, "--bind", "127.0.0.1", "--dir", this.dir, ...this.args];
        this.process = spawn(process.env.BASALT_SERVER, args.map(String), { stdio: "ignore" });
        this.exited = new Promise((resolve) => this.process.on("exit", resolve));
        for (let i = 0; i < 600; i++) {
            if (await answers(this.port)) return;
            await sleep(50);
        }
        throw new Error("the server does not start");
    }

    // kill -9
    async kill() {
        this.process.kill("SIGKILL");
        await this.exited;
    }

    async destroy() {
        await this.kill();
        running.delete(this);
        rmSync(this.dir, { recursive: true, force: true });
    }
}

// Runs checks by name, one after the other, and exits with 1 if any failed.
export async function runChecks(checks) {
    let failures = 0;
    for (const [name, check] of Object.entries(checks)) {
        try {
            await check();
            console.log(`ok      ${name}`);
        } catch (error) {
            failures++;
            console.log(`FAILED  ${name}: ${error.stack ?? error}`);
        }
    }
    process.exit(failures === 0 ? 0 : 1);
}
