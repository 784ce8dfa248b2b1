"""Bytes as no library sends them: inline commands, protocol errors, limits, quotes, and commands in pieces."""

import os
import random
import time

import differential
from differential import SENTINEL, Pair, compare
from harness import SOAK, THREADED, expect
from random_commands import Generator
import resp

END = resp.encode("ECHO", SENTINEL)
KB = 1024

# What a line may be.
INLINE = [b"PING", b"PING\r", b"  PING  hello ", b"ECHO 'a b'", b"ECHO \"a\\x41\\n\\t\\\\ \\q\"", b"ECHO 'it\\'s'", b"ECHO \"x\"y", b"ECHO 'open",
          b"ECHO \"open", b"ECHO \"\"", b"ECHO ''", b"ECHO a\"b c\"", b"SET a 1", b"GET a", b"nonsense a b", b"", b"\r", b"   ", b"ECHO \"\\xZZ\"",
          b"ECHO \"\\x4\"", b"GET", b"\"PING\"", b"ECHO 'a'b", b"-1", b"$5", b"ECHO \"a\\\"b\"", b"echo a\tb", b"ECHO \"tail\\\\\""]

# After these the server hangs up, or goes on.
STREAMS = [
    b"*1\r\n$4\r\nPING\r\n", b"*0\r\n", b"*-1\r\n", b"*-10\r\n", b"*x\r\n", b"*\r\n", b"* 1\r\n", b"*1 \r\n", b"*+1\r\n$4\r\nPING\r\n",
    b"*01\r\n$4\r\nPING\r\n", b"*2147483648\r\n", b"*99999999999999999999\r\n", b"*1\r\n+PING\r\n", b"*1\r\nPING\r\n", b"*1\r\n:4\r\n",
    b"*1\r\n\r\n", b"*1\r\n$x\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$\r\n", b"*1\r\n$ 4\r\nPING\r\n", b"*1\r\n$536870913\r\n",
    b"*1\r\n$99999999999999999999\r\n", b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n", b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
    b"*1\r\n$0\r\n\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$-5\r\n", b"*" + b"1" * (64 * KB + 10), b"*1\r\n$" + b"1" * (64 * KB + 10),
    b"a" * (64 * KB + 10), b"PING\r\nPING\r\n*1\r\n$4\r\nPING\r\nPING\r\n", b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n",
    b"QUIT\r\n", b"*1\r\n$4\r\nPI\r\n\r\n", b"*1\r\n\n\r\n", b"*1\r\n$4\r\nPING\r\n*x\r\n", b"*2\r\n$4\r\nPING\r\n$3\r\nabc\r\n$", b"*5\r\n" * 3,
]

STRANGERS = [
    b"PING\r\n", b"GET a\r\n", b"AUTH wrong\r\n", b"AUTH secret\r\nPING\r\n", b"AUTH default secret\r\nGET a\r\n", b"AUTH other secret\r\n",
    b"HELLO 3\r\n", b"HELLO 2 AUTH default secret\r\nGET a\r\n", b"HELLO 3 AUTH default wrong\r\nGET a\r\n", b"nonsense\r\n", b"QUIT\r\n",
    b"*10\r\n" + b"$1\r\na\r\n" * 10, b"*11\r\n" + b"$1\r\na\r\n" * 11, b"*1\r\n$16384\r\n" + b"a" * 16384 + b"\r\n", b"*1\r\n$16385\r\n",
    b"HELLO\r\n", b"HELLO x\r\n", b"AUTH\r\n", b"RESET\r\nPING\r\n", b"AUTH secret\r\nRESET\r\nPING\r\n", b"GET\r\n", b"COMMAND COUNT x\r\n",
    b"HELLO 3 SETNAME x\r\n", b"ECHO a\r\n", b"SELECT 0\r\n", b"CONFIG GET save\r\n",
]

REPLIES = [
    [["CLIENT", "REPLY", "OFF"], ["PING"], ["CLIENT", "REPLY", "ON"], ["PING"]],
    [["CLIENT", "REPLY", "SKIP"], ["PING"], ["PING"]],
    [["CLIENT", "REPLY", "SKIP"], ["CLIENT", "REPLY", "SKIP"], ["ECHO", "1"], ["ECHO", "2"]],
    [["CLIENT", "REPLY", "OFF"], ["CLIENT", "REPLY", "SKIP"], ["PING"], ["CLIENT", "REPLY", "ON"]],
    [["CLIENT", "REPLY", "OFF"], ["nonsense"], ["GET"], ["CLIENT", "REPLY", "x"], ["CLIENT", "REPLY", "ON"]],
    [["CLIENT", "REPLY", "SKIP"], ["nonsense"], ["PING"], ["SET", "a", "b"]],
    [["CLIENT", "REPLY", "OFF"], ["RESET"], ["PING"]],
]


def exchange(pair, data):
    """What each server says to these bytes until it closes; a PING shows whether it goes on."""
    said = []
    for connection in pair.connect():
        with connection:
            connection.send(data)
            connection.end()
            said.append(connection.receive_all())
    return said


def agree(pair, data):
    theirs, ours = exchange(pair, data)
    expect(differential.hide_id(theirs) == differential.hide_id(ours),
           f"{data[:200]!r}\nredis-server: {theirs[:300]!r}\nmillrace-kv:  {ours[:300]!r}")


def first_difference(theirs, ours):
    at = len(os.path.commonprefix([theirs, ours]))
    around = slice(max(at - 100, 0), at + 100)
    return f"from byte {at} on\nredis-server: {theirs[around]!r}\nmillrace-kv:  {ours[around]!r}"


def streams(bench, *options):
    pair = Pair(bench, *options)
    for line in INLINE:
        agree(pair, line + b"\n" + b"PING\r\n")
    for data in STREAMS:
        agree(pair, data)
        agree(pair, resp.encode("PING") + data + resp.encode("PING"))
    for commands in REPLIES:
        agree(pair, b"".join(resp.encode(*words) for words in commands) + END)


def strangers(bench, *options):
    pair = Pair(bench, *options)
    for connection in pair.connect():
        with connection:
            connection.call("SET", "a", "1")
            connection.call("CONFIG", "SET", "requirepass", "secret")
    for data in STRANGERS:
        agree(pair, data)


def pieces(bench, *options):
    """The same answers, however the bytes arrive."""
    pair = Pair(bench, *options)
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    for number in range(300 if SOAK else 40):
        commands = [words for words in Generator(seed + number).sequence() if words[0].lower() not in (b"client", b"keys", b"scan", b"config")
                    and b"ttl" not in words[0].lower() and b"expiretime" not in words[0].lower()]
        data = b"".join(resp.encode(*words) for words in [[b"FLUSHALL"], *commands]) + END
        cuts = sorted(rng.randrange(len(data)) for _ in range(rng.randrange(1, 20)))
        parts = [data[start:end] for start, end in zip([0] + cuts, cuts + [len(data)])]
        said = []
        for connection in pair.connect():
            with connection:
                for part in parts:
                    connection.send(part)
                # Not to the end of the connection: redis-server drops what is not sent yet when its client is done.
                said.append(differential.hide_id(connection.receive_until(differential.ENDING)))
        theirs, ours = said
        expect(theirs == ours, f"seed {seed}, sequence {number}: {first_difference(theirs, ours)}")


def time_passes(bench, *options):
    """Keys that expire while others look, by themselves and when touched."""
    connections = Pair(bench, *options).connect()
    conditions = [[b"SET", b"a", b"1", b"EXAT", b"4000000000"]]
    for condition in (b"GT", b"LT", b"NX", b"XX"):
        for at in (4_000_000_000, 4_000_000_001, 4_000_000_000, 3_999_999_999):
            conditions += [[b"EXPIREAT", b"a", b"%d" % at, condition], [b"PEXPIRETIME", b"a"], [b"EXPIREAT", b"a", b"4000000000"]]
        conditions += [[b"PERSIST", b"a"], [b"EXPIREAT", b"a", b"4000000000", condition], [b"EXPIREAT", b"a", b"4000000000"]]
    compare(connections, conditions, "conditions")
    for number in range(3):
        set_up = [[b"FLUSHALL"]]
        for index in range(20):
            set_up += [[b"SET", b"short%d" % index, b"v", b"PX", b"%d" % (1 + 3 * index)], [b"SET", b"long%d" % index, b"v", b"EX", b"1000"]]
        compare(connections, set_up, number)
        time.sleep(0.15)
        look = [[b"GET", b"short1"], [b"TTL", b"short2"], [b"EXISTS", b"short3", b"long3"], [b"TYPE", b"short4"], [b"SET", b"short5", b"x", b"XX"],
                [b"SET", b"short6", b"x", b"NX"], [b"INCR", b"short7"], [b"APPEND", b"short8", b"more"], [b"RENAME", b"short9", b"x"], [b"PERSIST", b"short10"],
                [b"EXPIRE", b"short11", b"100"], [b"DEL", b"short12"], [b"GETSET", b"short13", b"x"], [b"COPY", b"short14", b"y"], [b"KEYS", b"*"],
                [b"MSETNX", b"short15", b"1", b"short16", b"2"], [b"SETRANGE", b"short17", b"2", b"x"], [b"GETDEL", b"short18"], [b"SCAN", b"0", b"COUNT", b"1000"],
                [b"SET", b"past", b"x", b"PXAT", b"1"], [b"GET", b"past"], [b"GETEX", b"long1", b"PXAT", b"1"], [b"GET", b"long1"]]
        compare(connections, look, number)


def add_cases(add):
    for options, threads in THREADED:
        add(f"inline commands and protocol errors answered as redis-server does, {threads}", streams, *options)
        add(f"strangers are told the same as by redis-server, {threads}", strangers, *options)
        add(f"commands that arrive in pieces, {threads}", pieces, *options)
        add(f"keys expire as in redis-server, {threads}", time_passes, *options)
