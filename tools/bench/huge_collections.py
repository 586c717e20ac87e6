#!/usr/bin/env python3
"""Loads huge collections into a server with little memory, and measures: elements per second, the largest RSS, latencies
of single requests for random elements (most of which are on disk), DEL, and the time until the disk space is back.

    huge_collections.py --server build/basalt-server --elements 20000000 [--kinds hash,set,zset,list,stream]
                        [--maxmemory 128mb] [--pipeline 500] [--samples 2000] [--dir DIRECTORY] [--json FILE]
    huge_collections.py --port 6379 --elements 1000000       a server that is there already (of this machine)

Requests are one element each, `--pipeline` of them in a batch and a few batches under way.
"""
import argparse, json, os, random, shutil, socket, subprocess, tempfile, threading, time

WINDOW = 4          # batches under way
RECLAIM_S = 120     # to wait for the disk, at most
TABLE_MIB = 64      # what is less than a table goes with the next merge
SCORES = 1 << 31


def request(*args):
    out = [b"*%d\r\n" % len(args)]
    for a in args:
        a = a if isinstance(a, bytes) else str(a).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(a), a))
    return b"".join(out)


class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb", 1 << 16)

    def reply(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if int(rest) < 0 else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return int(rest) if kind == b":" else rest

    def call(self, *args):
        self.sock.sendall(request(*args))
        return self.reply()

    def info(self, name):
        for line in self.call("INFO", "everything").decode().splitlines():
            if line.startswith(name + ":"):
                return line.split(":", 1)[1]
        return None


def score(i):
    return i * 2654435761 % SCORES


def template(*args):
    """A request with numbers of fixed width (%012d) to be filled in."""
    lens = [len(a % 0 if "%" in a else a) for a in args]
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (n, a.encode()) for n, a in zip(lens, args))


# A kind: the request that adds an element, what goes into it, lines per reply, and what is measured afterwards, of
# element i where n were loaded.
class Kind:
    def __init__(self, name, template, values, lines, samples):
        self.name, self.template, self.values, self.lines, self.samples = name, template, values, lines, samples


def single(i):
    return (i,)


KINDS = {k.name: k for k in (
    Kind("hash", template("HSET", "huge:hash", "field:%012d", "value:%012d"), lambda i: (i, i), 1,
         {"HGET": lambda i, n: ("HGET", "huge:hash", "field:%012d" % i),
          "HSET": lambda i, n: ("HSET", "huge:hash", "field:%012d" % i, "value:%012d" % i)}),
    Kind("set", template("SADD", "huge:set", "member:%012d"), single, 1,
         {"SISMEMBER": lambda i, n: ("SISMEMBER", "huge:set", "member:%012d" % i),
          "SRANDMEMBER": lambda i, n: ("SRANDMEMBER", "huge:set")}),
    Kind("zset", template("ZADD", "huge:zset", "%010d", "member:%012d"), lambda i: (score(i), i), 1,
         {"ZSCORE": lambda i, n: ("ZSCORE", "huge:zset", "member:%012d" % i),
          "ZRANK": lambda i, n: ("ZRANK", "huge:zset", "member:%012d" % i),
          "ZRANGE of 10": lambda i, n: ("ZRANGE", "huge:zset", i, i + 9),
          "ZADD": lambda i, n: ("ZADD", "huge:zset", score(i + 1), "member:%012d" % i)}),
    Kind("list", template("RPUSH", "huge:list", "element:%012d"), single, 1,
         {"LINDEX": lambda i, n: ("LINDEX", "huge:list", i),
          "LPOP": lambda i, n: ("LPOP", "huge:list"),
          "RPUSH": lambda i, n: ("RPUSH", "huge:list", "element:%012d" % i),
          "LRANGE of 10": lambda i, n: ("LRANGE", "huge:list", i, i + 9)}),
    Kind("stream", template("XADD", "huge:stream", "%012d-1", "field", "value:%012d"), lambda i: (i + 1, i), 2,
         {"XRANGE": lambda i, n: ("XRANGE", "huge:stream", "%d-1" % (i + 1), "%d-1" % (i + 1)),
          "XRANGE of 10": lambda i, n: ("XRANGE", "huge:stream", i, "+", "COUNT", 10),
          "XADD": lambda i, n: ("XADD", "huge:stream", "%d-*" % (n + 1), "field", "value:%012d" % i)}),
)}
COUNT = {"hash": "HLEN", "set": "SCARD", "zset": "ZCARD", "list": "LLEN", "stream": "XLEN"}


class Watch(threading.Thread):
    """The largest RSS of a process, in bytes."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path, self.max, self.done = f"/proc/{pid}/statm", 0, False

    def rss(self):
        with open(self.path) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def run(self):
        while not self.done:
            try:
                self.max = max(self.max, self.rss())
            except OSError:
                return
            time.sleep(0.02)

    def take(self):
        most, self.max = self.max, 0
        return most


def read_lines(sock, want):
    """Reads replies of so many lines; none may be an error."""
    while want > 0:
        data = sock.recv(1 << 20)
        if not data:
            raise SystemExit("the server has closed the connection")
        if b"-" in data and (data[:1] == b"-" or b"\n-" in data):
            raise SystemExit("an error: " + data[max(0, data.find(b"\n-")):][:200].decode(errors="replace"))
        want -= data.count(b"\n")
    return want


def batches(kind, elements, pipeline):
    whole = kind.template * pipeline
    for start in range(0, elements, pipeline):
        count = min(pipeline, elements - start)
        values = [v for i in range(start, start + count) for v in kind.values(i)]
        yield count, (whole if count == pipeline else kind.template * count) % tuple(values)


def load(port, kind, elements, pipeline):
    client = Client(port)
    started, under_way, ahead = time.time(), [], 0
    for count, batch in batches(kind, elements, pipeline):
        client.sock.sendall(batch)
        under_way.append(count * kind.lines)
        if len(under_way) == WINDOW:
            ahead = read_lines(client.sock, under_way.pop(0) + ahead)
    read_lines(client.sock, sum(under_way) + ahead)
    return elements / (time.time() - started)


def latencies(client, make, elements, samples):
    times = []
    for _ in range(samples):
        out = request(*make(random.randrange(elements), elements))
        started = time.perf_counter()
        client.sock.sendall(out)
        client.reply()
        times.append((time.perf_counter() - started) * 1000)
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100], times[-1]


def disk_bytes(directory):
    """Of the tables; journal and logs have limits of their own."""
    total = 0
    for path, _, files in os.walk(directory):
        for name in files:
            if not name.endswith(".sst"):
                continue
            try:
                total += os.stat(os.path.join(path, name)).st_blocks * 512
            except OSError:
                pass
    return total


def run_kind(o, client, watch, directory, kind):
    mib = 1 << 20
    empty = disk_bytes(directory)
    watch.take()
    rate = load(o.port, kind, o.elements, o.pipeline)
    load_rss = watch.take()
    key = "huge:" + kind.name
    if client.call(COUNT[kind.name], key) != o.elements:
        raise SystemExit(f"{key} has not as many elements as were loaded")
    full = disk_bytes(directory)
    result = {"kind": kind.name, "elements": o.elements, "per_second": round(rate), "rss_max_mib": load_rss / mib,
              "disk_mib": (full - empty) / mib, "latency_ms": {}}
    print(f"{kind.name:8} {o.elements} elements, {rate / 1000:.0f} k/s, RSS at most {load_rss / mib:.0f} MiB, "
          f"disk {(full - empty) / mib:.0f} MiB", flush=True)
    for name, make in kind.samples.items():
        p50, p99, most = latencies(client, make, o.elements, o.samples)
        result["latency_ms"][name] = {"p50": p50, "p99": p99, "max": most}
        print(f"         {name:12} p50 {p50:7.3f}  p99 {p99:7.3f}  max {most:7.3f} ms", flush=True)
    full = max(full, disk_bytes(directory))
    started = time.time()
    client.call("DEL", key)
    delete = time.time() - started
    while disk_bytes(directory) - empty > max((full - empty) / 10, TABLE_MIB * mib) and time.time() - started < RECLAIM_S:
        time.sleep(0.2)
    reclaimed = time.time() - started
    left = (disk_bytes(directory) - empty) / mib
    use_rss = watch.take()
    result |= {"del_ms": delete * 1000, "reclaim_s": reclaimed, "disk_left_mib": left, "rss_use_max_mib": use_rss / mib}
    print(f"         DEL {delete * 1000:.2f} ms; the disk space is back after {reclaimed:.1f} s "
          f"({left:.0f} MiB left); RSS at most {use_rss / mib:.0f} MiB meanwhile", flush=True)
    return result


def start_server(o):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        o.port = s.getsockname()[1]
    directory = o.dir or tempfile.mkdtemp(prefix="huge_collections")
    log = open(os.path.join(directory, "log"), "wb")
    server = subprocess.Popen([o.server, "--port", str(o.port), "--bind", "127.0.0.1", "--dir", directory,
                               "--maxmemory", o.maxmemory, *o.arg], stdout=log, stderr=log)
    for _ in range(200):
        try:
            Client(o.port)
            return server, directory
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the server did not start: see " + log.name)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--server", help="starts it, in a directory of its own")
    ap.add_argument("--port", type=int, help="of a server that runs")
    ap.add_argument("--maxmemory", default="128mb")
    ap.add_argument("--arg", action="append", default=[], help="another argument of the server")
    ap.add_argument("--dir", help="for the data; the default is a new one under $TMPDIR")
    ap.add_argument("--elements", type=int, default=1000000)
    ap.add_argument("--kinds", default=",".join(KINDS))
    ap.add_argument("--pipeline", type=int, default=500)
    ap.add_argument("--samples", type=int, default=2000)
    ap.add_argument("--json", help="writes the figures to this file, too")
    o = ap.parse_args()
    if (o.server is None) == (o.port is None):
        ap.error("one of --server and --port")
    server, made = start_server(o) if o.server else (None, None)
    results = []
    try:
        client = Client(o.port)
        directory = client.call("CONFIG", "GET", "dir")[1].decode()
        watch = Watch(server.pid if server else int(client.info("process_id")))
        watch.start()
        print(f"RSS {watch.rss() / (1 << 20):.0f} MiB when empty, maxmemory {client.call('CONFIG', 'GET', 'maxmemory')[1].decode()}")
        for name in o.kinds.split(","):
            results.append(run_kind(o, client, watch, directory, KINDS[name]))
        watch.done = True
    finally:
        if server:
            server.terminate()
            server.wait(120)
        if made and not o.dir:
            shutil.rmtree(made, ignore_errors=True)
    if o.json:
        with open(o.json, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
