"""Random sequences of commands to redis-server and to millrace-kv: the answers must be the same, byte for byte.

Where they may differ is said here (`normalize`), and in apps/kv/README.md.
"""

import random
import re

from harness import SOAK, THREADED, expect, in_namespace
from random_commands import Generator
import resp

SEQUENCES = 20_000 if SOAK else 2_000
SENTINEL = b"the end of the sequence"
ENDING = b"$%d\r\n%s\r\n" % (len(SENTINEL), SENTINEL)
LOOPBACK = "127.0.0.1"
REDIS_PORT, KV_PORT = 7001, 7002
UNCERTAIN = {b"ttl": 1, b"pttl": 1500, b"expiretime": 1, b"pexpiretime": 1500}  # what remains of a time, when it was looked at a little later
# Each server draws from its own dice, or has keys in an order of its own.
SORTED = {b"keys"}


def hide_id(answer):
    """Without the client's number, which HELLO tells."""
    return re.sub(rb"(\$2\r\nid\r\n):\d+", rb"\1:0", answer)


def normalize(words, answer):
    name = words[0].lower()
    if name in SORTED and answer[:1] == b"*":
        return sorted(resp.elements(answer))
    if name == b"scan" and answer[:2] == b"*2":
        if words[-1] not in (100_000, b"100000"):
            return answer[:2]  # its COUNT was cut off: where a walk pauses is each server's own affair
        cursor, keys = resp.elements(answer)
        return cursor, sorted(resp.elements(keys))
    if name == b"config" and answer[:1] in b"*%":
        return sorted(resp.elements(answer))
    if name == b"client" and answer[:1] == b":":
        return answer[:1]
    if name == b"client" and b"laddr=" in answer:
        return re.sub(rb"=[\d.:]+ ", b"= ", answer.split(b"\r\n", 1)[1])  # names and words, not amounts
    if name == b"hello":
        return hide_id(answer)
    return answer


def same(words, first, second):
    allowed = UNCERTAIN.get(words[0].lower())
    if allowed and first[:1] == second[:1] == b":":
        ours, theirs = int(first[1:]), int(second[1:])
        return ours == theirs or (min(ours, theirs) >= 0 and abs(ours - theirs) <= allowed)
    return normalize(words, first) == normalize(words, second)


class Pair:
    """Both servers, in one namespace, on its loopback."""

    def __init__(self, bench, *options):
        bench.connect()
        redis = bench.start(["redis-server", "--port", REDIS_PORT, "--bind", LOOPBACK, "--save", "", "--databases", 1,
                             "--appendonly", "no"], bench.peer)
        redis.wait_for("Ready to accept connections")
        kv = bench.start([bench.programs.kv, "--kernel", "--addr", LOOPBACK, "--port", KV_PORT, *options], bench.peer)
        kv.wait_for(r"^millrace-kv: serving on ")
        self._bench = bench

    def connect(self):
        return [in_namespace(self._bench.peer, lambda port=port: resp.Connection(LOOPBACK, port)) for port in (REDIS_PORT, KV_PORT)]


def converse(connections, commands):
    """Sends all at once; the answers of each."""
    data = b"".join(resp.encode(*words) for words in commands) + resp.encode("ECHO", SENTINEL)
    for connection in connections:
        connection.send(data)
    return [resp.split(connection.receive_until(ENDING))[:-1] for connection in connections]


def compare(connections, commands, seed):
    theirs, ours = converse(connections, commands)
    for number, words in enumerate(commands):
        def tell(answers):
            return answers[number][:300] if number < len(answers) else None
        expect(max(len(theirs), len(ours)) > number, f"seed {seed}: no answer to {shorten(words)}")
        expect(min(len(theirs), len(ours)) > number and same(words, theirs[number], ours[number]),
               f"seed {seed}: after {[shorten(before) for before in commands[max(number - 8, 0):number]]}\n"
               f"{shorten(words)}\nredis-server: {tell(theirs)}\nmillrace-kv:  {tell(ours)}")
    expect(len(theirs) == len(ours) == len(commands), f"seed {seed}: {len(theirs)} and {len(ours)} answers to {len(commands)} commands")


def shorten(words):
    return [word if len(word) < 50 else word[:20] + b"... %d bytes" % len(word) for word in words]


def random_sequences(bench, *options):
    pair = Pair(bench, *options)
    first = random.randrange(1 << 32)
    connections = pair.connect()
    fresh = [[b"CONFIG", b"SET", b"maxmemory", b"0", b"timeout", b"0", b"maxmemory-policy", b"noeviction", b"maxmemory-samples", b"5"],
             [b"FLUSHALL"], [b"RESET"]]
    for seed in range(first, first + SEQUENCES):
        converse(connections, fresh)
        compare(connections, Generator(seed).sequence(), seed)


def add_cases(add):
    for options, threads in THREADED:
        add(f"{SEQUENCES:,} random sequences of commands answered as redis-server does, {threads}", random_sequences, *options)
