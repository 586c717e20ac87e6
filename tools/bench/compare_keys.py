#!/usr/bin/env python3
"""Compares every key of two servers: values (strings) and deadlines. Walks the first one with SCAN, so it also checks
that SCAN returns every key and that DBSIZE agrees. Prints what differs (at most ten lines) and a summary; exit status 1
if anything does.

    compare_keys.py --a 6379 --b 6380 [--db 0] [--batch 2000]
"""
import argparse, socket, sys, time


class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.file = self.sock.makefile("rb", 1 << 20)

    def send(self, *args):
        out = [b"*%d\r\n" % len(args)]
        for a in args:
            a = a if isinstance(a, bytes) else str(a).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(a), a))
        return b"".join(out)

    def reply(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            n = int(rest)
            if n < 0:
                return None
            data = self.file.read(n + 2)
            return data[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return rest

    def call(self, *args):
        self.sock.sendall(self.send(*args))
        return self.reply()

    def many(self, commands):
        self.sock.sendall(b"".join(self.send(*c) for c in commands))
        return [self.reply() for _ in commands]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--a", type=int, required=True)
    ap.add_argument("--b", type=int, required=True)
    ap.add_argument("--db", type=int, default=0)
    ap.add_argument("--batch", type=int, default=2000)
    o = ap.parse_args()
    a, b = Client(o.a), Client(o.b)
    for c in (a, b):
        c.call("SELECT", o.db)
    seen, differences, cursor, start = set(), 0, b"0", time.time()
    while True:
        cursor, keys = a.call("SCAN", cursor, "COUNT", o.batch)
        fresh = [k for k in keys if k not in seen]
        seen.update(fresh)
        if fresh:
            va, vb = a.call("MGET", *fresh), b.call("MGET", *fresh)
            ta = a.many([("PEXPIRETIME", k) for k in fresh])
            tb = b.many([("PEXPIRETIME", k) for k in fresh])
            for k, x, y, s, t in zip(fresh, va, vb, ta, tb):
                if x != y or s != t:
                    differences += 1
                    if differences <= 10:
                        print("differs:", k, x if x is None else x[:40], y if y is None else y[:40], s, t)
        if cursor == b"0":
            break
    sizes = a.call("DBSIZE"), b.call("DBSIZE")
    print(f"{len(seen)} keys compared, {differences} differ; DBSIZE {sizes[0]} and {sizes[1]}; "
          f"{time.time() - start:.1f} s")
    sys.exit(differences != 0 or sizes[0] != sizes[1] or len(seen) != sizes[0])


if __name__ == "__main__":
    main()
