#!/usr/bin/env python3
"""Latencies of a steady load while BGSAVE runs, against those without it, for Basalt with more data than memory and for
redis-server with the same data in RAM.

    bgsave_latency.py --keys 2000000 [--size 400] [--maxmemory 256mb] [--rate 20000] [--mode mixed] [--hot 100000]
                      [--seconds 15] [--rounds 3] [--build build] [--redis redis-server] [--dir DIRECTORY] [--json FILE]

Requests (half GET, half SET, of all keys, or of a hot set with --mode hotmixed) are due at fixed moments, and a latency
begins when its request was due. In each round each server is measured for --seconds without and for --seconds with BGSAVE,
one save after the other. Both log their writes (appendfsync everysec).
"""
import argparse, json, os, re, shutil, signal, statistics, subprocess, tempfile, time

from mixed_dataset import Server

FIGURES = ("p50", "p99", "p99.9", "max")


def load(o, port, *args):
    command = [os.path.join(o.build, "bench_load"), "--port", port, "--keys", o.keys, "--size", o.size, *args]
    return subprocess.Popen([str(a) for a in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def figures(line):
    found = re.search(r": (\d+)/s +p50 ([\d.]+) p99 ([\d.]+) p99.9 ([\d.]+) max ([\d.]+) ms +nil (\d+) errors (\d+)", line)
    if not found or int(found.group(7)) != 0:
        raise SystemExit("the load failed: " + line)
    return {"per_second": int(found.group(1)), **{n: float(v) for n, v in zip(FIGURES, found.groups()[1:5])}}


def save_once(client):
    """Waits for a BGSAVE; False: it failed."""
    client.call("BGSAVE")
    while True:
        info = client.info()
        if info["rdb_bgsave_in_progress"] == "0":
            return info["rdb_last_bgsave_status"] == "ok"
        time.sleep(0.05)


def measure(o, server, saving):
    """The load's figures, and seconds that one BGSAVE took."""
    process = load(o, server.port, "--mode", o.mode, "--rate", o.rate, "--hot", min(o.hot, o.keys), "--clients", o.clients,
                   "--seed", time.time_ns() % 1000000007)
    started, saves = time.time(), 0
    while time.time() - started < o.seconds:
        if saving:
            if not save_once(server.client):
                raise SystemExit("BGSAVE failed: see " + server.log)
            saves += 1
        else:
            time.sleep(0.1)
    took = time.time() - started
    process.send_signal(signal.SIGINT)
    result = figures(process.communicate()[0])
    return result | {"bgsave_s": took / saves} if saving else result


def start(o, root):
    servers = [Server(root, "basalt", os.path.join(o.build, "basalt-server"), "--maxmemory", o.maxmemory)]
    if shutil.which(o.redis):
        servers.append(Server(root, "redis", o.redis, "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"))
    return servers


def fill(o, server):
    process = load(o, server.port, "--mode", "load", "--pipeline", 16, "--clients", 16)
    figures(process.communicate()[0])
    used = server.client.info()["used_memory_human"]
    print(f"{os.path.basename(server.dir):7} {o.keys} keys of {o.size} bytes, used_memory {used}", flush=True)


def summary(rounds):
    return {n: statistics.median(r[n] for r in rounds) for n in rounds[0]}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--keys", type=int, default=2000000)
    ap.add_argument("--size", type=int, default=400, help="of values")
    ap.add_argument("--maxmemory", default="256mb", help="of Basalt")
    ap.add_argument("--rate", type=int, default=20000)
    ap.add_argument("--mode", choices=("mixed", "hotmixed", "get", "hot"), default="mixed")
    ap.add_argument("--hot", type=int, default=100000)
    ap.add_argument("--clients", type=int, default=50)
    ap.add_argument("--seconds", type=float, default=15)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--build", default="build", help="where basalt-server and bench_load are")
    ap.add_argument("--redis", default="redis-server", help="left out where it is not installed")
    ap.add_argument("--dir", help="parent of the scratch directory; default $TMPDIR")
    ap.add_argument("--json", help="writes the figures to this file, too")
    o = ap.parse_args()
    root = tempfile.mkdtemp(prefix="bgsave_latency", dir=o.dir)
    servers, results = [], {}
    try:
        servers = start(o, root)
        for server in servers:
            fill(o, server)
        for _ in range(o.rounds):
            for server in servers:
                for saving in (False, True):
                    name = (os.path.basename(server.dir), "BGSAVE" if saving else "quiet")
                    results.setdefault(name, []).append(measure(o, server, saving))
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(root, ignore_errors=True)
    print(f"{o.rate} requests/s, {o.mode}; medians of {o.rounds} rounds, ms")
    print(f"{'server':7} {'':7}" + "".join(f"{n:>10}" for n in FIGURES) + f"{'BGSAVE s':>10}{'done/s':>9}")
    for (server, when), rounds in results.items():
        s = summary(rounds)
        print(f"{server:7} {when:7}" + "".join(f"{s[n]:10.3f}" for n in FIGURES) +
              (f"{s['bgsave_s']:10.2f}" if "bgsave_s" in s else " " * 10) + f"{s['per_second']:9.0f}")
    if o.json:
        with open(o.json, "w") as f:
            json.dump([{"server": n[0], "when": n[1], "median": summary(r), "rounds": r} for n, r in results.items()], f, indent=1)


if __name__ == "__main__":
    main()
