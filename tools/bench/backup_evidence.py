#!/usr/bin/env python3
"""Backups and point-in-time restoration, beside a model: loads a dataset, backs it up while it is written to, writes as
much again, backs that up incrementally, goes on writing, and restores two moments: one between the backups, and one
behind the last, which only the server's own journal has. Each restored dataset is compared with the model, key by key.

    backup_evidence.py --server build/basalt-server --tool build/basalt [--keys 1000000] [--maxmemory 128mb]
                       [--segment-size 8mb] [--dir DIRECTORY] [--json FILE]

Prints seconds and bytes of each step, and how many of RocksDB's tables the two backups share. Exit status 1 if a restored
dataset is not the model's.
"""
import argparse, array, json, os, random, shutil, subprocess, sys, tempfile, threading, time

from huge_collections import Client, request
from memory_per_element import start

BATCH = 500
DELETED = 0
VALUE_BYTES = 100


def key(i):
    return b"key:%010d" % i


def value(i, version):
    text = b"%d-%d-" % (i, version)
    return text + random.Random(i * 1000003 + version).randbytes((VALUE_BYTES - len(text)) // 2).hex().encode()


class Writer:
    """Writes to random keys, and to the model: the version of each key."""

    def __init__(self, port, keys):
        self.client, self.random, self.keys = Client(port), random.Random(1), keys
        self.model = array.array("L", [DELETED]) * keys
        self.version, self.stopping = 0, False

    def batch(self, targets):
        out = []
        for i in targets:
            self.version += 1
            if self.version > self.keys and self.random.random() < 0.05:
                self.model[i] = DELETED
                out.append(request("DEL", key(i)))
            else:
                self.model[i] = self.version
                out.append(request("SET", key(i), value(i, self.version)))
        self.client.sock.sendall(b"".join(out))
        for _ in out:
            self.client.reply()

    def load(self):
        for first in range(0, self.keys, BATCH):
            self.batch(range(first, min(first + BATCH, self.keys)))

    def write(self, count):
        for _ in range(0, count, BATCH):
            self.batch(self.random.randrange(self.keys) for _ in range(BATCH))

    def write_until_stopped(self):
        while not self.stopping:
            self.write(BATCH)

    def moment(self):
        """A second of the wall clock that is over, nothing having been written since, and the model then."""
        self.client.call("WAITAOF", 1, 0, 0)
        second = int(time.time())
        while int(time.time()) == second:
            time.sleep(0.02)
        time.sleep(0.2)
        return second, array.array("L", self.model)


def run(tool, *args):
    began = time.time()
    done = subprocess.run([tool, *args, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit("basalt %s: %s%s" % (" ".join(args), done.stdout, done.stderr))
    return dict(json.loads(done.stdout), seconds=round(time.time() - began, 1))


def back_up_under_load(tool, port, dest, writer, *args):
    writer.stopping = False
    before = writer.version
    thread = threading.Thread(target=writer.write_until_stopped)
    thread.start()
    try:
        result = run(tool, "backup", "--port", str(port), dest, *args)
    finally:
        writer.stopping = True
        thread.join()
    return dict(result, writes_meanwhile=writer.version - before)


def tables(dest, backup):
    with open(os.path.join(dest, "backups", backup + ".manifest")) as f:
        lines = [line.split() for line in f]
    return ({f[3]: f[1] for f in lines if f[0] == "file" and f[3].endswith(".sst")},
            sum(f[0] == "archive" for f in lines))


def compare(server, directory, model):
    """How many keys differ."""
    process, port, client = start([server], directory)
    try:
        while True:
            try:
                client.call("PING")
                break
            except RuntimeError:  # it is loading
                time.sleep(0.1)
        wrong = client.call("DBSIZE") != sum(v != DELETED for v in model)
        for first in range(0, len(model), BATCH):
            last = min(first + BATCH, len(model))
            for i, got in zip(range(first, last), client.call("MGET", *map(key, range(first, last)))):
                wrong += got != (None if model[i] == DELETED else value(i, model[i]))
        return wrong
    finally:
        process.terminate()
        process.wait(300)


def evidence(args, root):
    data, dest, restored = (os.path.join(root, name) for name in ("data", "backups", "restored"))
    os.mkdir(data)
    process, port, client = start([args.server, "--maxmemory", args.maxmemory, "--journal-retention-time", "86400",
                                   "--journal-segment-size", args.segment_size], data)
    out = {"keys": args.keys}
    try:
        writer = Writer(port, args.keys)
        began = time.time()
        writer.load()
        out["load_seconds"] = round(time.time() - began, 1)
        out["backup"] = back_up_under_load(args.tool, port, dest, writer)
        writer.write(args.keys // 2)
        between = writer.moment()
        writer.write(args.keys - args.keys // 2)
        out["incremental"] = back_up_under_load(args.tool, port, dest, writer, "--incremental")
        writer.write(args.keys // 10)
        behind = writer.moment()
        writer.write(args.keys // 10)
        out["archive"] = {name: int(client.info("journal_archived_" + name)) for name in ("segments", "bytes")}
        journal = ("--journal", os.path.join(data, "journal"))
        wrong = 0
        for name, (second, model), more in (("restore_between", between, ()), ("restore_behind", behind, journal)):
            out[name] = run(args.tool, "restore", dest, restored, "--to-time", str(second), *more)
            os.makedirs(restored, exist_ok=True)
            out[name]["keys_that_differ"] = compare(args.server, restored, model)
            wrong += out[name]["keys_that_differ"]
            shutil.rmtree(restored)
    finally:
        process.terminate()
        process.wait(300)
    first, _ = tables(dest, out["backup"]["backup"])
    second, archived = tables(dest, out["incremental"]["backup"])
    out["tables"] = {"first": len(first), "second": len(second),
                     "shared": sum(first.get(name) == checksum for name, checksum in second.items())}
    out["incremental"]["archived_segments"] = archived
    return out, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--keys", type=int, default=1000000)
    parser.add_argument("--maxmemory", default="128mb")
    parser.add_argument("--segment-size", default="8mb", help="of the journal; the server's default is 64mb")
    parser.add_argument("--dir")
    parser.add_argument("--json")
    args = parser.parse_args()
    root = tempfile.mkdtemp(prefix="backup_evidence", dir=args.dir)
    try:
        out, wrong = evidence(args, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    for name, figures in out.items():
        print(name.replace("_", " ") + ": " + (", ".join("%s %s" % (k.replace("_", " "), v) for k, v in figures.items())
                                                 if isinstance(figures, dict) else str(figures)))
    if args.json:
        with open(args.json, "w") as f:
            json.dump(out, f, indent=1)
    print("Both restored datasets are the model's." if wrong == 0 else "%d KEYS DIFFER" % wrong)
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main()
