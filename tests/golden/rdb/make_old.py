#!/usr/bin/env python3
"""Makes golden RDB files in the encodings of Redis versions that no package has any more, or not yet, from the format's
description (codec/FORMAT.md, "RDB"), by itself, so that no mistake of the reader can be in both:

    tests/golden/rdb/make_old.py OUTPUT_DIRECTORY

Each v<N>/types.rdb has a v<N>/types.txt beside it: its keys in words, as tests/support/rdb_words.h has them, sorted; behind
the database's number and the expiry in ms (0: none).
"""
import os, struct, sys

STRING, LIST, SET, ZSET, HASH, ZSET_2 = range(6)
ZIPMAP, LIST_ZIPLIST, INTSET, ZSET_ZIPLIST, HASH_ZIPLIST, QUICKLIST, STREAM = range(9, 16)
HASH_LISTPACK, ZSET_LISTPACK, QUICKLIST_2, STREAM_2, SET_LISTPACK, STREAM_3 = range(16, 22)
HASH_METADATA, HASH_LISTPACK_EX = 24, 25
FUTURE_S = 4102444800
FUTURE_MS = FUTURE_S * 1000 + 123
LONG = "0123456789" * 30  # longer than what listpacks and ziplists take by default

# ---- Strings and lengths


def length(n):
    if n < 1 << 6:
        return bytes([n])
    if n < 1 << 14:
        return struct.pack(">H", 1 << 14 | n)
    return b"\x80" + struct.pack(">I", n) if n < 1 << 32 else b"\x81" + struct.pack(">Q", n)


def raw(value):
    value = value if isinstance(value, bytes) else str(value).encode()
    return length(len(value)) + value


def integer(n):
    """A string that is an integer's, as one."""
    for code, size in enumerate("bhi"):
        if -(1 << 8 * struct.calcsize(size) - 1) <= n < 1 << 8 * struct.calcsize(size) - 1:
            return bytes([0xC0 | code]) + struct.pack("<" + size, n)
    return raw(n)


def lzf(unit, count):
    """A unit of at most 32 bytes, many times: once as it is, then as references to it."""
    whole = unit.encode() * count
    out, left = bytes([len(unit) - 1]) + unit.encode(), len(whole) - len(unit)
    while left > 2:
        n = min(left, 264)
        out += (bytes([n - 2 << 5]) if n < 9 else bytes([7 << 5, n - 9])) + bytes([len(unit) - 1])
        left -= n
    if left:
        out += bytes([left - 1]) + whole[-left:]
    return b"\xc3" + length(len(out)) + length(len(whole)) + out


def strings(*values):
    return b"".join(raw(v) for v in values)


def text_score(score):
    special = {float("inf"): b"\xfe", float("-inf"): b"\xff"}
    return special.get(score) or bytes([len(str(score))]) + str(score).encode()


# ---- Packed values


def zipmap(pairs):
    def size(n):
        return bytes([n]) if n < 254 else b"\xfe" + struct.pack("<I", n)
    out = bytes([len(pairs)])
    for i, (name, value) in enumerate(pairs):
        free = i % 2  # bytes behind a value that was shortened
        out += size(len(name)) + name.encode() + size(len(value)) + bytes([free]) + value.encode() + b"?" * free
    return raw(out + b"\xff")


def ziplist_entry(value):
    if isinstance(value, int):
        if 0 <= value <= 12:
            return bytes([0xF1 + value])
        for code, bits in ((0xFE, 8), (0xC0, 16), (0xF0, 24), (0xD0, 32), (0xE0, 64)):
            if -(1 << bits - 1) <= value < 1 << bits - 1:
                return bytes([code]) + struct.pack("<q", value)[:bits // 8]
    data = value.encode()
    if len(data) < 1 << 6:
        return bytes([len(data)]) + data
    return struct.pack(">H", 1 << 14 | len(data)) + data


def ziplist(*values):
    body, before, last = b"", 0, 10
    for value in values:
        entry = (bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)) + ziplist_entry(value)
        last, before = 10 + len(body), len(entry)
        body += entry
    return raw(struct.pack("<IIH", 11 + len(body), last, len(values)) + body + b"\xff")


def listpack_entry(value):
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        if -4096 <= value < 4096:
            return struct.pack(">H", 0xC000 | value & 0x1FFF)
        for code, bits in ((0xF1, 16), (0xF2, 24), (0xF3, 32), (0xF4, 64)):
            if -(1 << bits - 1) <= value < 1 << bits - 1:
                return bytes([code]) + struct.pack("<q", value)[:bits // 8]
    data = value.encode()
    if len(data) < 64:
        return bytes([0x80 | len(data)]) + data
    if len(data) < 4096:
        return struct.pack(">H", 0xE000 | len(data)) + data
    return b"\xf0" + struct.pack("<I", len(data)) + data


def listpack(*values):
    body = b""
    for value in values:
        entry = listpack_entry(value)
        n = len(entry)
        body += entry + (bytes([n]) if n < 128 else bytes([n >> 7, n & 127 | 128]))
    return raw(struct.pack("<IH", 7 + len(body), len(values)) + body + b"\xff")


def intset(width, *values):
    return raw(struct.pack("<II", width, len(values)) + b"".join(struct.pack("<q", v)[:width] for v in sorted(values)))


# ---- Streams: 1-1 {a: 1, b: 2}, 1-3 {a: 3, b: x} and 500-0 {other: y}; 1-2 was deleted.


def stream_id(ms, seq):
    return struct.pack(">QQ", ms, seq)


def stream(kind):
    out = length(2) + raw(stream_id(1, 1)) + listpack(
        2, 1, 2, "a", "b", 0, 2, 0, 0, 1, 2, 5, 3, 0, 1, "d", "d", 5, 2, 0, 2, 3, "x", 5)
    out += raw(stream_id(500, 0)) + listpack(1, 0, 1, "a", 0, 0, 0, 0, 1, "other", "y", 6)
    out += length(3) + length(500) + length(0)
    if kind != STREAM:
        out += length(1) + length(1) + length(1) + length(2) + length(4)
    out += length(2)
    for name, last, read, pending in (("all", (500, 0), 4, ((1, 3), (500, 0))), ("none", (0, 0), 0, ())):
        out += raw(name) + length(last[0]) + length(last[1]) + (length(read) if kind != STREAM else b"")
        out += length(len(pending))
        for n, at in enumerate(pending):
            out += stream_id(*at) + struct.pack("<Q", 1700000000000 + n) + length(n + 1)
        out += length(2) + raw("alice") + struct.pack("<Q", 1700000000500)
        out += (struct.pack("<Q", 1700000000400) if kind == STREAM_3 else b"")
        out += length(len(pending)) + b"".join(stream_id(*at) for at in pending)
        out += raw("idle") + struct.pack("<Q", 1700000000600) + (struct.pack("<q", -1) if kind == STREAM_3 else b"")
        out += length(0)
    return out


def stream_words(kind):
    idle = {STREAM_3: -1}.get(kind, 1700000000600)
    active = {STREAM_3: 1700000000400}.get(kind, 1700000000500)
    history = "deleted 0-0 added 3" if kind == STREAM else "deleted 1-2 added 4"
    consumers = f"consumer alice 1700000000500 {active}%s consumer idle 1700000000600 {idle}"
    return ("stream: 1-1 a=1 b=2 1-3 a=3 b=x 500-0 other=y length 3 last 500-0 " + history +
            f" group all 500-0 read {3 if kind == STREAM else 4} " +
            consumers % " pending 1-3 1700000000000 1 pending 500-0 1700000000001 2" +
            " group none 0-0 read 0 " + consumers % "")


# ---- Files


def crc64(data):
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
    return crc


class File:
    def __init__(self, version):
        self.version, self.lines, self.db = version, [], 0
        self.data = b"REDIS%04d" % version
        if version >= 7:
            self.data += b"\xfa" + strings("redis-bits") + integer(64)

    def select(self, db, hint=None):
        self.db = db
        self.data += b"\xfe" + length(db)
        if hint and self.version >= 7:
            self.data += b"\xfb" + length(hint[0]) + length(hint[1])

    def add(self, name, kind, value, words, expire_ms=0, extra=b""):
        if expire_ms and self.version < 3:
            self.data += b"\xfd" + struct.pack("<i", expire_ms // 1000)
            expire_ms -= expire_ms % 1000
        elif expire_ms:
            self.data += b"\xfc" + struct.pack("<q", expire_ms)
        self.data += extra + bytes([kind]) + raw(name) + value
        self.lines.append(f"{self.db} {expire_ms} {name} {words}")

    def unordered(self, name, kind, value, what, words, **more):
        self.add(name, kind, value, what + ":" + "".join(sorted(" " + w for w in words)), **more)

    def library(self, code):
        self.data += b"\xf5" + raw(code)

    def write(self, root):
        data = self.data + b"\xff"
        if self.version >= 5:
            data += struct.pack("<Q", crc64(data))
        folder = os.path.join(root, f"v{self.version}")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "types.rdb"), "wb") as f:
            f.write(data)
        with open(os.path.join(folder, "types.txt"), "w") as f:
            f.write("".join(line + "\n" for line in sorted(self.lines)))


def add_strings(f):
    """What all versions have."""
    f.select(0, (5, 1))
    f.add("text", STRING, raw("hello"), "string: hello")
    for n in (0, -128, 128, -32769, 2147483647, 9223372036854775807):
        f.add(f"integer{n}", STRING, integer(n), f"string: {n}")
    f.add("packed", STRING, lzf("abc", 100), "string: " + "abc" * 100)
    f.add("long", STRING, raw(LONG), "string: " + LONG)
    f.add("expiring", STRING, raw("soon"), "string: soon", expire_ms=min(FUTURE_MS, (1 << 31) * 1000 - 1)
          if f.version < 3 else FUTURE_MS)


def add_plain(f):
    """One element after the other."""
    f.add("list plain", LIST, length(3) + strings("one", "") + integer(-7), "list: one  -7")
    f.unordered("set plain", SET, length(3) + strings("x", LONG) + integer(12), "set", ["x", LONG, "12"])
    f.unordered("set of integers", SET, length(2) + integer(5) + integer(-300), "set", ["5", "-300"])
    f.unordered("hash plain", HASH, length(2) + strings("f", LONG, "g", ""), "hash", ["f=" + LONG, "g="])
    scores = (("low", float("-inf")), ("mid", 2.5), ("high", float("inf")), (LONG, -0.125))
    value = length(4) + b"".join(raw(m) + text_score(s) for m, s in scores)
    f.unordered("zset plain", ZSET, value, "zset", [f"{m}={s:g}" for m, s in scores])
    f.select(15)
    f.add("last", STRING, raw("database"), "string: database")


def add_packed_2(f):
    """Of Redis 2.4."""
    f.select(1)
    f.unordered("hash zipmap", ZIPMAP, zipmap([("f", "val"), ("gg", ""), ("long", LONG[:260])]), "hash",
                ["f=val", "gg=", "long=" + LONG[:260]])
    values = ["abc", 0, 12, 13, -128, -32768, 8388607, -2147483648, 1 << 40, LONG, "behind", ""]
    f.add("list ziplist", LIST_ZIPLIST, ziplist(*values), "list: " + " ".join(str(v) for v in values))
    f.unordered("set intset 16", INTSET, intset(2, 5, -300), "set", ["5", "-300"])
    f.unordered("set intset 32", INTSET, intset(4, 7, -40000), "set", ["7", "-40000"])
    f.unordered("set intset 64", INTSET, intset(8, 1 << 40, -1), "set", [str(1 << 40), "-1"])
    f.unordered("zset ziplist", ZSET_ZIPLIST, ziplist("m", 2, 5, "3.25"), "zset", ["m=2", "5=3.25"])


def add_hash_ziplist(f):
    f.unordered("hash ziplist", HASH_ZIPLIST, ziplist("f", 1, "g", "text"), "hash", ["f=1", "g=text"],
                expire_ms=FUTURE_MS)


def add_quicklist(f):
    value = length(3) + ziplist("a", 1) + lzf_ziplist() + ziplist(LONG)
    f.add("list quicklist", QUICKLIST, value, "list: a 1 " + "ab" * 25 + " " + LONG)


def lzf_ziplist():
    """A ziplist with one element, as a string that was compressed: head and "ab" as they are, references, the end."""
    plain = ziplist("ab" * 25)[1:]
    packed = bytes([13]) + plain[:14] + bytes([7 << 5, len(plain) - 15 - 9, 1]) + b"\x00" + plain[-1:]
    return b"\xc3" + length(len(packed)) + length(len(plain)) + packed


def add_binary_scores(f):
    scores = ((LONG, 0.5), ("b", float("inf")), ("c", -3.0))
    f.unordered("zset 2", ZSET_2, length(3) + b"".join(raw(m) + struct.pack("<d", s) for m, s in scores), "zset",
                [f"{m}={s:g}" for m, s in scores])


def add_listpacks(f):
    f.unordered("hash listpack", HASH_LISTPACK, listpack("f", -1, "g", "text"), "hash", ["f=-1", "g=text"])
    f.unordered("zset listpack", ZSET_LISTPACK, listpack("a", -4097, "b", "0.5", "c", "inf"), "zset",
                ["a=-4097", "b=0.5", "c=inf"])
    values = ["a", 127, 128, -4096, 32767, -8388608, 2147483647, 1 << 62, LONG]
    f.add("list quicklist 2", QUICKLIST_2,
          length(2) + length(1) + raw(LONG) + length(2) + listpack(*values),
          "list: " + LONG + " " + " ".join(str(v) for v in values))


def make(version):
    f = File(version)
    if version >= 11:
        f.library("#!lua name=golden\nredis.register_function('golden', function() return 'golden' end)\n")
    add_strings(f)
    add_plain(f)
    if version >= 2:
        add_packed_2(f)
    if version >= 4:
        add_hash_ziplist(f)
    if version >= 7:
        add_quicklist(f)
    if version >= 8:
        add_binary_scores(f)
    if version >= 9:
        f.add("stream", STREAM, stream(STREAM), stream_words(STREAM))
        f.add("idle", STRING, raw("1"), "string: 1", extra=b"\xf8" + length(1000))
        f.add("frequent", STRING, raw("2"), "string: 2", expire_ms=FUTURE_MS, extra=b"\xf9\xff")
    if version >= 11:
        add_listpacks(f)
        f.unordered("set listpack", SET_LISTPACK, listpack("a", 1, "b"), "set", ["a", "1", "b"])
        f.add("stream 2", STREAM_2, stream(STREAM_2), stream_words(STREAM_2))
        f.add("stream 3", STREAM_3, stream(STREAM_3), stream_words(STREAM_3), expire_ms=FUTURE_MS)
    if version >= 12:
        f.data += b"\xf4" + length(0) + length(4) + length(1)  # a hint about a cluster's slot
        value = struct.pack("<q", FUTURE_MS) + length(3) + length(0) + strings("f", "1") + length(1) + strings("g", LONG)
        value += length(1001) + strings("h", "3")
        f.unordered("hash metadata", HASH_METADATA, value, "hash",
                    ["f=1", f"g={LONG}@{FUTURE_MS}", f"h=3@{FUTURE_MS + 1000}"])
        value = struct.pack("<q", FUTURE_MS) + listpack("g", 2, FUTURE_MS, "f", "one", 0)
        f.unordered("hash listpack ex", HASH_LISTPACK_EX, value, "hash", [f"g=2@{FUTURE_MS}", "f=one"])
    return f


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for number in (1, 2, 6, 7, 8, 9, 11, 12):
        make(number).write(sys.argv[1])
