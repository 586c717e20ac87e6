"""redis-py against a server of its own: python.sh BUILD_DIR python_redis

Exit status 77: redis-py is not installed."""
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

try:
    import redis
except ImportError:
    print("skipped: redis-py is not installed")
    sys.exit(77)


def free_port():
    """Below those of outgoing connections, so that it is still free after a kill."""
    while True:
        port = random.randint(20000, 31999)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Server:
    """A server on a free port, in a directory of its own."""

    def __init__(self, build_dir):
        self.program = os.environ.get("BASALT_SERVER", os.path.join(build_dir, "basalt-server"))
        self.dir = tempfile.mkdtemp(prefix="basalt-clients.")
        self.port = free_port()
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir],
            stdout=subprocess.DEVNULL)
        client = redis.Redis(port=self.port)
        for _ in range(600):
            try:
                client.ping()
                return
            except redis.RedisError:
                time.sleep(0.05)
        raise RuntimeError("the server does not start")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def strings_and_types(r, _):
    assert r.set("s", b"\x00\xff") and r.get("s") == b"\x00\xff"
    assert r.incrby("n", 5) == 5 and r.incrbyfloat("f", 0.5) == 0.5
    assert r.hset("h", mapping={"a": 1, "b": 2}) == 2 and r.hgetall("h") == {b"a": b"1", b"b": b"2"}
    assert r.rpush("l", 1, 2, 3) == 3 and r.lrange("l", 0, -1) == [b"1", b"2", b"3"]
    assert r.sadd("set", "x", "y") == 2 and r.smembers("set") == {b"x", b"y"}
    assert r.zadd("z", {"one": 1, "two": 2.5}) == 2
    assert r.zrange("z", 0, -1, withscores=True) == [(b"one", 1.0), (b"two", 2.5)]
    entry = r.xadd("x", {"k": "v"})
    assert r.xrange("x") == [(entry, {b"k": b"v"})]
    assert r.geoadd("g", (13.361389, 38.115556, "Palermo")) == 1
    assert r.pfadd("p", "a", "b") == 1 and r.pfcount("p") == 2
    assert r.setbit("bits", 7, 1) == 0 and r.bitcount("bits") == 1
    assert sorted(r.scan_iter(count=2)) == sorted(r.keys())


def pipelines_and_transactions(r, _):
    with r.pipeline() as p:
        for i in range(1000):
            p.set("p:%d" % i, i)
        assert all(p.execute())
    with r.pipeline() as p:
        p.watch("p:1")
        p.multi()
        p.incr("p:1")
        r.set("p:1", 50)
        try:
            p.execute()
            raise AssertionError("a watched key had changed")
        except redis.WatchError:
            pass

    def increment(p):
        p.multi()
        p.incr("p:1")

    assert r.transaction(increment, "p:1") == [51]


def scripts_and_locks(r, _):
    add = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert add(keys=["sum"], args=[5]) == 5 and add(keys=["sum"], args=[2]) == 7
    r.script_flush()
    assert add(keys=["sum"], args=[1]) == 8
    with r.lock("mutex", timeout=5, blocking_timeout=5):
        assert not r.lock("mutex", timeout=5).acquire(blocking=False)
    assert r.lock("mutex", timeout=5).acquire(blocking=False)


def messages(r, _):
    p = r.pubsub(ignore_subscribe_messages=True)
    p.subscribe("c")
    p.psubscribe("d*")
    deadline = time.time() + 10
    while (r.publish("c", "1"), r.publish("dx", "2")) != (1, 1):
        assert time.time() < deadline
        p.get_message(timeout=0.1)
    got = set()
    while time.time() < deadline and len(got) < 2:
        message = p.get_message(timeout=0.1)
        if message:
            got.add((message["channel"], message["data"]))
    assert got == {(b"c", b"1"), (b"dx", b"2")}
    p.close()


def a_blocked_client(r, server):
    def push():
        time.sleep(0.2)
        redis.Redis(port=server.port).rpush("queue", "job")

    thread = threading.Thread(target=push)
    thread.start()
    assert r.blpop("queue", timeout=20) == (b"queue", b"job")
    thread.join()
    assert r.blpop("queue", timeout=1) is None


def many_threads(r, _):
    def work():
        for _ in range(500):
            r.incr("threads")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int(r.get("threads")) == 4000


def what_operators_ask(r, _):
    r.set("s", "v")
    info = r.info()
    assert info["redis_version"].startswith("7.2") and info["role"] == "master"
    assert r.info("everything")["cmdstat_set"]["calls"] >= 0
    assert r.client_list(_type="normal")
    assert r.config_get("maxmemory-policy") and r.config_set("timeout", 0)
    assert r.role()[0] == b"master" and r.module_list() == []
    r.config_set("slowlog-log-slower-than", 0)
    r.get("s")
    assert any(entry["command"] == b"GET s" for entry in r.slowlog_get(20))
    assert r.slowlog_reset() and r.config_set("slowlog-log-slower-than", 10000)
    assert r.execute_command("LATENCY LATEST") == []
    assert r.memory_usage("s") > 0 and r.memory_stats()["keys.count"] > 0
    assert r.command_count() > 200 and len(r.command()) == r.command_count()
    with r.monitor() as m:
        r.get("monitored")
        assert m.next_command()["command"] == "GET monitored"
    assert r.object("encoding", "s") == b"embstr"


def nothing_is_lost(r, server):
    for i in range(500):
        r.hset("kept", i, i)
    time.sleep(0.5)
    server.kill()
    server.start()
    assert r.hlen("kept") == 500


def main():
    server = Server(sys.argv[1])
    failures = 0
    try:
        for check in (strings_and_types, pipelines_and_transactions, scripts_and_locks, messages,
                      a_blocked_client, many_threads, what_operators_ask, nothing_is_lost):
            client = redis.Redis(port=server.port)
            try:
                client.flushall()
                check(client, server)
                print("ok      " + check.__name__)
            except Exception as error:  # whatever it is, the others are to run
                failures += 1
                print("FAILED  %s: %r" % (check.__name__, error))
    finally:
        server.close()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
