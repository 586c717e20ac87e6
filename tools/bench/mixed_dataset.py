#!/usr/bin/env python3
"""A dataset of all types on its way from redis-server to Basalt and back, with times, rates and memory of each step.

    mixed_dataset.py --keys 300000 [--build build] [--redis redis-server] [--maxmemory 256mb] [--dir DIRECTORY] [--json FILE]

redis-server is filled (all types and encodings, small and large, expiry, several databases, functions) and saves. Then
redis-server and `basalt rdb import` load the file; Basalt serves it with little memory, and each key of it is compared with
redis-server's: its value (DEBUG DIGEST-VALUE), its expiry, groups of streams, functions, DEBUG DIGEST of the whole. Basalt
is stopped, `basalt rdb export` writes a file, and another redis-server that has loaded it must have the same DEBUG DIGEST.
Exit status 1 if anything differs.
"""
import argparse, json, os, re, shutil, socket, subprocess, sys, tempfile, time

MIB = 1 << 20
KINDS = 16              # of keys, in turn
HUGE_ELEMENTS = 100000  # of one more key of each kind
GENERATE_KEYS = 1000    # in one script
SCAN_KEYS = 1000        # in one request
STREAMS_MAX = 20000     # whose groups are compared
DATABASES = (0, 0, 0, 0, 0, 1, 5, 9)
FUTURE_MS = 4102444800000

# Makes keys number ARGV[1] to ARGV[2] - 1 in database ARGV[3]; every fifth has an expiry, every thousandth is large, or all
# of them, with ARGV[4] more elements.
FILL = """
local call, pad = redis.call, string.rep('0123456789abcdef', 24)
local kinds = {}
local function text(i, n) return string.sub(pad, i % 16 + 1, i % 16 + n) end
local function many(command, key, count, make)
    local args = {}
    for j = 1, count do
        make(args, j)
        if #args >= 1000 then call(command, key, unpack(args)) args = {} end
    end
    if #args > 0 then call(command, key, unpack(args)) end
end
local function add(name, make) kinds[#kinds + 1] = {name, make} end
add('int', function(k, i) call('SET', k, i * 7919 - 5) end)
add('short', function(k, i) call('SET', k, 'value:' .. i) end)
add('text', function(k, i, n) call('SET', k, i .. ':' .. text(i, 60 + i % 240) .. string.rep(tostring(i), n)) end)
add('raw', function(k, i) call('SET', k, redis.sha1hex(i) .. redis.sha1hex(-i)) end)
add('hash', function(k, i, n) many('HSET', k, 3 + i % 5 + n,
    function(a, j) a[#a + 1] = 'field:' .. j a[#a + 1] = i + j end) end)
add('wide', function(k, i) call('HSET', k, 'a', i, 'b', text(i, 80)) end)
add('ints', function(k, i, n) many('SADD', k, 4 + i % 6 + n, function(a, j) a[#a + 1] = i * 3 + j * j end) end)
add('set', function(k, i, n) many('SADD', k, 3 + i % 6 + n, function(a, j) a[#a + 1] = 'member:' .. i + j end) end)
add('zset', function(k, i, n) many('ZADD', k, 3 + i % 6 + n,
    function(a, j) a[#a + 1] = (i * j % 1000) / 8 a[#a + 1] = 'member:' .. j end) end)
add('tree', function(k, i) call('ZADD', k, i / 7, text(i, 70), -i, 'b', 'inf', 'c', '1e-300', 'd') end)
add('list', function(k, i, n) many('RPUSH', k, 2 + i % 9 + n,
    function(a, j) a[#a + 1] = j % 3 == 0 and j or text(i + j, 12) end) end)
add('nodes', function(k, i) many('RPUSH', k, i % 64 == 11 and 120 or 3, function(a, j) a[#a + 1] = text(i + j, 90) end) end)
add('stream', function(k, i, n)
    for j = 1, 3 + n / 4 do call('XADD', k, i + j .. '-' .. j, 'temperature', j % 40, 'state', text(j, 5)) end
    if i % 2 == 0 then call('XADD', k, i * 2 + n .. '-1', 'other', 'fields', 'than', 'before', 'at', 'all') end
    if i % 3 == 0 then call('XDEL', k, i + 2 .. '-2') end
end)
add('groups', function(k, i, n)
    for j = 1, 4 + n / 4 do call('XADD', k, i + j .. '-0', 'f', j) end
    call('XGROUP', 'CREATE', k, 'readers', '0')
    call('XGROUP', 'CREATE', k, 'late', '$')
    call('XREADGROUP', 'GROUP', 'readers', 'alice', 'COUNT', 2 + n / 8, 'STREAMS', k, '>')
    call('XREADGROUP', 'GROUP', 'readers', 'bob', 'COUNT', 1, 'STREAMS', k, '>')
    call('XACK', k, 'readers', i + 1 .. '-0')
    call('XGROUP', 'CREATECONSUMER', k, 'late', 'carol')
end)
add('hll', function(k, i, n) many('PFADD', k, 3 + n, function(a, j) a[#a + 1] = i * j end) end)
add('bits', function(k, i, n) call('SETBIT', k, i % 500 + n * 100, 1) end)
call('SELECT', ARGV[3])
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) - 1 do
    local kind = kinds[i % #kinds + 1]
    local key = kind[1] .. ':' .. i
    kind[2](key, i, tonumber(ARGV[4]) or i % 1000 == 0 and 600 + i / 1000 % 3000 or 0)
    if i % 5 == 0 then call('PEXPIREAT', key, FUTURE_MS + i) end
end
""".replace("FUTURE_MS", str(FUTURE_MS))

LIBRARIES = [f"#!lua name=library{n}\nredis.register_function('answer{n}', function(keys, args) return {n} end)\n"
             for n in range(3)]


def request(*args):
    out = [b"*%d\r\n" % len(args)]
    for a in args:
        a = a if isinstance(a, bytes) else str(a).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(a), a))
    return b"".join(out)


class Failed(RuntimeError):
    """An error reply."""


class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb", 1 << 18)

    def send(self, *args):
        self.sock.sendall(request(*args))

    def reply(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if int(rest) < 0 else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b"-":
            raise Failed(rest.decode())
        if not line:
            raise SystemExit("a server has closed the connection")
        return int(rest) if kind == b":" else rest

    def call(self, *args):
        self.send(*args)
        return self.reply()

    def info(self):
        lines = self.call("INFO", "everything").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


class Server:
    """A server process with a directory of its own."""

    def __init__(self, root, name, program, *args):
        self.dir = os.path.join(root, name)
        os.makedirs(self.dir, exist_ok=True)
        self.log = os.path.join(root, name + ".log")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        started = time.time()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir,
                                             "--enable-debug-command", "yes", "--save", "", *args], stdout=log, stderr=log)
        self.client = self.connect()
        self.start_s = time.time() - started

    def connect(self):
        while self.process.poll() is None:
            try:
                client = Client(self.port)
                client.call("PING")
                return client
            except (OSError, Failed):  # not there yet, or loading
                time.sleep(0.02)
        raise SystemExit("a server did not start: see " + self.log)

    def rss_max(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)) * 1024

    def stop(self):
        """Orderly; the time that it took."""
        if self.process.poll() is not None:
            return 0
        started = time.time()
        self.process.terminate()
        self.process.wait(600)
        return time.time() - started


def run_tool(*args):
    """Seconds, largest RSS and output of a program that must succeed."""
    started = time.time()
    process = subprocess.Popen(args, stdout=subprocess.PIPE)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(args)} ended with {process.returncode}")
    return time.time() - started, usage.ru_maxrss * 1024, output


def fill(client, keys):
    script = client.call("SCRIPT", "LOAD", FILL)
    for n, first in enumerate(range(0, keys, GENERATE_KEYS)):
        db = DATABASES[n % len(DATABASES)]
        client.call("EVALSHA", script, 0, first, min(first + GENERATE_KEYS, keys), db)
    for i in range(keys, keys + KINDS):
        client.call("EVALSHA", script, 0, i, i + 1, 0, HUGE_ELEMENTS)
    client.call("SELECT", 0)
    for code in LIBRARIES:
        client.call("FUNCTION", "LOAD", code)


# ---- Comparing


class Differences:
    def __init__(self):
        self.count = 0

    def note(self, *what):
        self.count += 1
        if self.count <= 20:
            print("differs:", *what, flush=True)

    def expect(self, what, a, b):
        if a != b:
            self.note(what, a if len(str(a)) < 200 else "...", b if len(str(b)) < 200 else "...")


def read_array(client):
    """An array of texts without line ends, or an error: quicker than Client.reply()."""
    read = client.file.readline
    head = read()
    if head[:1] != b"*":
        return head
    count = int(head[1:-2])
    if count == 0:
        return []
    first = read()
    if first[:1] == b"+":
        return [first] + [read() for _ in range(count - 1)]
    return [read() for _ in range(2 * count - 1)][::2]


def scan(client, cursor):
    """The next cursor, and keys."""
    client.send("SCAN", cursor, "COUNT", SCAN_KEYS)
    if client.file.readline() != b"*2\r\n":
        raise SystemExit("SCAN has failed")
    return client.reply(), [key[:-2] for key in read_array(client)]


def compare_values(keys, a, b, db, found):
    out = request("DEBUG", "DIGEST-VALUE", *keys)
    for client in (a, b):
        client.sock.sendall(out)
    va, vb = read_array(a), read_array(b)
    if len(va) != len(keys) or [v[-42:] for v in va] != [v[-42:] for v in vb]:
        for key, x, y in zip(keys, va, vb):
            if x[-42:] != y[-42:]:
                found.note("the value of", db, key, x, y)
        found.expect(f"digests of database {db} from {keys[0]} on", len(va), len(vb))


def compare_expiry(keys, a, b, db, found):
    """Of those that have one by their numbers; INFO tells how many have one."""
    timed = [k for k in keys if k[-1:] in b"05"]
    out = b"".join([request("PEXPIRETIME", k) for k in timed])
    for client in (a, b):
        client.sock.sendall(out)
    ta, tb = ([client.file.readline() for _ in timed] for client in (a, b))
    if ta != tb:
        for key, x, y in zip(timed, ta, tb):
            if x != y:
                found.note("the expiry of", db, key, x, y)


def as_map(reply):
    return {reply[i]: reply[i + 1] for i in range(0, len(reply), 2)}


def groups_of(client, key):
    """What XINFO STREAM tells of groups in redis-server 7.0 and in Redis 7.2."""
    groups = []
    for group in as_map(client.reply())[b"groups"]:
        group = as_map(group)
        consumers = [as_map(c) for c in group[b"consumers"]]
        groups.append(([group.get(n) for n in (b"name", b"last-delivered-id", b"entries-read", b"lag", b"pel-count", b"pel")],
                       [[c.get(n) for n in (b"name", b"seen-time", b"pel-count", b"pel")] for c in consumers]))
    return groups


def compare_groups(keys, a, b, db, found):
    for client in (a, b):
        client.sock.sendall(b"".join(request("XINFO", "STREAM", k, "FULL", "COUNT", 0) for k in keys))
    for key in keys:
        x, y = groups_of(a, key), groups_of(b, key)
        if x != y:
            found.note("groups of", db, key, x, y)


def compare(walked, other, found, values=True):
    """All keys of two servers, in the order of SCAN of the first; returns their number. Without `values` only what DEBUG
    DIGEST does not tell: the times at which keys expire, groups of streams, functions."""
    a, b = Client(walked.port), Client(other.port)
    total, streams = 0, 0
    for db in sorted(set(DATABASES)):
        for client in (a, b):
            client.call("SELECT", db)
        cursor, seen = b"0", 0
        while True:
            cursor, keys = scan(a, cursor)
            seen += len(keys)
            if keys and values:
                compare_values(keys, a, b, db, found)
            compare_expiry(keys, a, b, db, found)
            grouped = [k for k in keys if k.startswith(b"groups:")][:max(0, STREAMS_MAX - streams)]
            streams += len(grouped)
            compare_groups(grouped, a, b, db, found)
            if cursor == b"0":
                break
        sizes = a.call("DBSIZE"), b.call("DBSIZE")
        found.expect(f"DBSIZE of database {db}", *sizes)
        found.expect(f"keys that SCAN saw in database {db}", seen, sizes[0])
        total += seen
    found.expect("functions", *(sorted(str(library) for library in c.call("FUNCTION", "LIST", "WITHCODE")) for c in (a, b)))
    keyspaces = [{k: v.split(",avg")[0] for k, v in c.info().items() if re.fullmatch(r"db\d+", k)} for c in (a, b)]
    found.expect("INFO keyspace", *keyspaces)
    return total


# ---- The journey


class Report:
    def __init__(self, keys):
        self.keys, self.steps = keys, []

    def add(self, name, seconds, size=None, rss=None):
        step = {"step": name, "seconds": round(seconds, 3), "keys_per_second": round(self.keys / seconds)}
        line = f"{name:44} {seconds:8.2f} s {self.keys / seconds / 1000:8.0f} k keys/s"
        if size is not None:
            step |= {"bytes": size, "mib_per_second": round(size / seconds / MIB, 1)}
            line += f" {size / seconds / MIB:7.0f} MiB/s of {size / MIB:.0f} MiB"
        if rss is not None:
            step["rss_max_mib"] = round(rss / MIB)
            line += f"  RSS at most {rss / MIB:.0f} MiB"
        self.steps.append(step)
        print(line, flush=True)


def timed(function, *args):
    started = time.time()
    result = function(*args)
    return time.time() - started, result


def load_in_redis(o, root, name, rdb, servers):
    server_dir = os.path.join(root, name)
    os.makedirs(server_dir, exist_ok=True)
    os.link(rdb, os.path.join(server_dir, "dump.rdb"))
    server = Server(root, name, o.redis)
    servers.append(server)
    return server


def journey(o, root, servers, report, found):
    tool, program = os.path.join(o.build, "basalt"), os.path.join(o.build, "basalt-server")
    source = Server(root, "source", o.redis)
    servers.append(source)
    report.add("redis-server is filled", timed(fill, source.client, o.keys)[0])
    seconds, digest = timed(source.client.call, "DEBUG", "DIGEST")
    report.add("redis-server: DEBUG DIGEST", seconds)
    seconds, _ = timed(source.client.call, "SAVE")
    rdb = os.path.join(source.dir, "dump.rdb")
    size = os.path.getsize(rdb)
    report.add("redis-server: SAVE", seconds, size)
    loaded = load_in_redis(o, root, "loaded", rdb, servers)
    report.add("redis-server: load", loaded.start_s, size, loaded.rss_max())
    loaded.stop()

    data = os.path.join(root, "basalt")
    seconds, rss, output = run_tool(tool, "rdb", "import", rdb, "--dir", data, "--json")
    report.add("basalt rdb import", seconds, size, rss)
    report.keys = sum_keys(source)
    found.expect("keys imported", json.loads(output)["keys"], report.keys)
    basalt = Server(root, "basalt", program, "--maxmemory", o.maxmemory)
    servers.append(basalt)
    report.add("basalt-server: start", basalt.start_s)
    seconds, total = timed(compare, basalt, source, found)
    report.add("each key compared", seconds, None, basalt.rss_max())
    seconds, own = timed(basalt.client.call, "DEBUG", "DIGEST")
    report.add("basalt-server: DEBUG DIGEST", seconds, None, basalt.rss_max())
    found.expect("DEBUG DIGEST of Basalt", own, digest)
    report.add("basalt-server: stop", basalt.stop())

    exported = os.path.join(root, "exported.rdb")
    seconds, rss, _ = run_tool(tool, "rdb", "export", "--dir", data, "-o", exported)
    report.add("basalt rdb export", seconds, os.path.getsize(exported), rss)
    back = load_in_redis(o, root, "back", exported, servers)
    report.add("redis-server: load of the export", back.start_s, os.path.getsize(exported), back.rss_max())
    found.expect("DEBUG DIGEST of the export", back.client.call("DEBUG", "DIGEST"), digest)
    report.add("expiry and groups compared with the export's", timed(compare, back, source, found, False)[0])
    return total


def sum_keys(server):
    info = server.client.info()
    return sum(int(re.match(r"keys=(\d+)", v).group(1)) for k, v in info.items() if re.fullmatch(r"db\d+", k))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--keys", type=int, default=300000)
    ap.add_argument("--build", default="build", help="where basalt and basalt-server are")
    ap.add_argument("--redis", default=shutil.which("redis-server") or "redis-server")
    ap.add_argument("--maxmemory", default="256mb", help="of Basalt")
    ap.add_argument("--dir", help="parent of the scratch directory; default $TMPDIR")
    ap.add_argument("--keep", action="store_true", help="leaves the scratch directory")
    ap.add_argument("--json", help="writes the figures to this file, too")
    o = ap.parse_args()
    root = tempfile.mkdtemp(prefix="mixed_dataset", dir=o.dir)
    servers, report, found = [], Report(o.keys), Differences()
    try:
        total = journey(o, root, servers, report, found)
        print(f"{total} keys compared, {found.count} differences")
    finally:
        for server in servers:
            server.stop()
        if not o.keep:
            shutil.rmtree(root, ignore_errors=True)
    if o.json:
        with open(o.json, "w") as f:
            json.dump({"keys": o.keys, "compared": total, "differences": found.count, "steps": report.steps}, f, indent=1)
    sys.exit(found.count != 0)


if __name__ == "__main__":
    main()
