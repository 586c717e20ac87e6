#!/usr/bin/env python3
"""Memory per element of collections that are wholly in RAM, in two servers with the same data: what MEMORY USAGE tells
(of small ones, the mean of a sample), and what the process's RSS has grown by, once nothing is to be written any more
and the allocator has given back what it can. Buffers of the journal and of RocksDB, whose size does not depend on what
is in RAM, are told apart.

    memory_per_element.py --server build/basalt-server [--reference redis-server] [--elements 1000000] [--kinds hash,set]

A server gets a directory of its own under $TMPDIR, and ends afterwards. Exit status 1 if the first one takes more RSS.
"""
import argparse, os, shutil, socket, subprocess, sys, tempfile, time

from huge_collections import Client, Kind, Watch, load, template

FIELDS = 5  # of a small hash
SAMPLE = 1000

SMALL = [x for f in range(FIELDS) for x in ("field%d" % f, "value:%010d")]
KINDS = {k.name: k for k in (
    Kind("small hashes", template("HSET", "user:%010d", *SMALL), lambda i: (i,) + (i,) * FIELDS, 1, {}),
    Kind("set", template("SADD", "key", "member:%010d"), lambda i: (i,), 1, {}),
    Kind("hash", template("HSET", "key", "field:%010d", "value:%010d"), lambda i: (i, i), 1, {}),
    Kind("list", template("RPUSH", "key", "element:%010d"), lambda i: (i,), 1, {}),
    Kind("zset", template("ZADD", "key", "%010d", "member:%010d"), lambda i: (i * 7919 % 10**9, i), 1, {}),
)}


def start(command, directory):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with open(os.path.join(directory, "log"), "wb") as log:
        server = subprocess.Popen(command + ["--port", str(port), "--bind", "127.0.0.1", "--dir", directory], stdout=log,
                                  stderr=log)
    for _ in range(200):
        try:
            return server, port, Client(port)
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the server did not start")


def settled_rss(client, watch):
    """RSS once it has stayed the same for some seconds: cuts are through, and free pages given back."""
    last, since, end = 0, time.time(), time.time() + 90
    while time.time() - since < 6 and time.time() < end:
        client.call("MEMORY", "PURGE")
        time.sleep(0.5)
        now = watch.rss()
        if abs(now - last) > 0.003 * last:
            last, since = now, time.time()
    return last


def buffers(client):
    info = dict(l.split(":", 1) for l in client.call("INFO", "everything").decode().splitlines() if ":" in l)
    return sum(int(info.get(name, 0)) for name in ("rocksdb_memtable_bytes", "journal_memory_bytes"))


def measure(command, kind, elements):
    """Per element: MEMORY USAGE, and RSS but for the buffers; and these, in all."""
    directory = tempfile.mkdtemp(prefix="memory_per_element")
    server, port, client = start(command, directory)
    try:
        watch = Watch(server.pid)
        before = settled_rss(client, watch) - buffers(client)
        load(port, kind, elements, 500)
        if kind.name == "small hashes":
            usage = sum(client.call("MEMORY", "USAGE", "user:%010d" % (i * (elements // SAMPLE))) for i in range(SAMPLE))
            usage *= elements / SAMPLE
        else:
            usage = client.call("MEMORY", "USAGE", "key", "SAMPLES", "0")
        rss, fixed = settled_rss(client, watch), buffers(client)
        return usage / elements, (rss - fixed - before) / elements, fixed
    finally:
        server.terminate()
        server.wait(120)
        shutil.rmtree(directory, ignore_errors=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--server", required=True)
    ap.add_argument("--reference", default="redis-server")
    ap.add_argument("--elements", type=int, default=1000000)
    ap.add_argument("--kinds", default=",".join(KINDS))
    o = ap.parse_args()
    first = [o.server, "--maxmemory", "8gb", "--appendfsync", "no"]
    second = [o.reference, "--save", "", "--appendonly", "no"]
    worse = False
    print(f"bytes per element, of {o.elements}    MEMORY USAGE        RSS   reference: MEMORY USAGE        RSS   ratio   buffers")
    for name in o.kinds.split(","):
        a, b = (measure(command, KINDS[name], o.elements) for command in (first, second))
        worse = worse or a[1] > b[1]
        print(f"{name:32} {a[0]:12.1f} {a[1]:10.1f} {b[0]:25.1f} {b[1]:10.1f} {a[1] / b[1]:7.2f} {a[2] >> 20:5} MiB", flush=True)
    sys.exit(worse)


if __name__ == "__main__":
    main()
