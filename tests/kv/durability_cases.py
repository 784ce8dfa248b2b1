"""What --store keeps: everything that was answered under --fsync always, whenever the process is killed."""

import itertools
import os
import random
import shutil
import signal
import tempfile
import threading
import time

from harness import SOAK, THREADED, THREADS, Skip, expect, in_namespace
import resp

LOOPBACK = "127.0.0.1"
PORT = 7003
KILLS = 200 if SOAK else 15
WRITERS = 6
KEYS = 8  # of each writer
PIPELINE = 12


class Writer(threading.Thread):
    """Changes keys of its own, several at a time, and knows for each key what it may be: what it was at the last answer, or
    any of what it became since."""

    def __init__(self, number, rng, states):
        super().__init__(daemon=True)
        self._rng = random.Random(rng.randrange(1 << 32))
        self._name = b"w%d" % number
        self.states = states  # key: [acknowledged, later, ...]; None: no such key
        self.answered = 0
        self.problem = None
        self._connection = None

    def connect(self):
        self._connection = resp.Connection(LOOPBACK, PORT)

    def _change(self):
        """A command, and what it makes of its key."""
        key = b"%s:%d" % (self._name, self._rng.randrange(KEYS))
        before = self.states.setdefault(key, [None])[-1]
        number = b"%d" % self._rng.randrange(10**9)
        kind = self._rng.randrange(7)
        if kind == 0:
            return key, (b"DEL", key), None
        if kind == 1:
            more = b"+" + number
            return key, (b"APPEND", key, more), (before or b"") + more
        if kind == 2 and before is not None:
            return key, (b"GETDEL", key), None
        if kind == 3:
            large = number * 4000
            return key, (b"SET", key, large), large
        if kind == 4:
            return key, (b"SET", key, number, b"EX", b"100000"), number
        if kind == 5:
            return key, (b"MSET", key, number), number
        return key, (b"SET", key, number), number

    def run(self):
        try:
            while True:
                batch = []
                for _ in range(self._rng.randrange(1, PIPELINE)):
                    key, words, after = self._change()
                    self.states[key].append(after)
                    batch.append((key, words))
                self._connection.send(b"".join(resp.encode(*words) for _, words in batch))
                for key, words in batch:
                    answer = self._connection.receive_one()
                    if answer[:1] == b"-":
                        self.problem = f"{words[:2]}: {answer}"
                        return
                    del self.states[key][0]
                    self.answered += 1
        except (EOFError, OSError):
            pass  # killed

    def close(self):
        self._connection.close()


def start(bench, directory, *options):
    server = bench.start([bench.programs.kv, "--kernel", "--addr", LOOPBACK, "--port", PORT, "--store", directory, *options], bench.peer)
    server.wait_for(r"^millrace-kv: serving on ", 30)
    return server


def in_peer(bench, function):
    return in_namespace(bench.peer, function)


def check(bench, states, round_text):
    """Each key is one of what it may be; that is what it was, from now on."""
    def look():
        with resp.Connection(LOOPBACK, PORT) as connection:
            for key, allowed in states.items():
                answer = connection.call(b"GET", key)
                value = None if answer == b"$-1\r\n" else answer.split(b"\r\n", 1)[1][:-2]
                expect(value in allowed, f"{round_text}: {key} is {value and value[:60]}, not one of "
                                         f"{[state and state[:60] for state in allowed]}")
                states[key] = [value]
    in_peer(bench, look)


def kills(bench, *options, count=KILLS):
    bench.connect()
    directory = tempfile.mkdtemp(prefix="millrace-kv-")
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    states = [{} for _ in range(WRITERS)]
    answered = 0
    try:
        server = start(bench, directory, "--fsync", "always", *options)
        # On a slow disk more often, until enough was answered.
        for number in itertools.takewhile(lambda number: number < count or answered <= 50 * count, range(4 * count)):
            where = f"seed {seed}, kill {number}"
            writers = [Writer(index, rng, states[index]) for index in range(WRITERS)]
            in_peer(bench, lambda writers=writers: [writer.connect() for writer in writers])
            for writer in writers:
                writer.start()
            time.sleep(rng.uniform(0.01, 0.35))
            server.signal(signal.SIGKILL)
            server.wait(10)
            for writer in writers:
                writer.join(10)
                writer.close()
                expect(not writer.is_alive() and writer.problem is None, f"{where}: {writer.problem}")
            answered += sum(writer.answered for writer in writers)
            if rng.random() < 0.3:  # while it opens the store, too
                opening = bench.start([bench.programs.kv, "--kernel", "--addr", LOOPBACK, "--port", PORT, "--store", directory], bench.peer)
                time.sleep(rng.uniform(0, 0.1))
                opening.signal(signal.SIGKILL)
                opening.wait(10)
            server = start(bench, directory, "--fsync", "always", *options)
            for own in states:
                check(bench, own, where)
        expect(answered > 50 * count, f"only {answered} writes were answered between {count} kills")
    finally:
        bench.end_programs()
        shutil.rmtree(directory, ignore_errors=True)


def comes_back(bench, how, written=(), read_by=()):
    """After an orderly end all is there: values, ends, what was renamed and deleted, and nothing of what was flushed; also when
    another number of threads reads it."""
    bench.connect()
    directory = tempfile.mkdtemp(prefix="millrace-kv-")
    try:
        server = start(bench, directory, "--fsync", how, *written)

        def write():
            with resp.Connection(LOOPBACK, PORT) as connection:
                for words in (("SET", "gone", "x"), ("FLUSHALL",), ("SET", "a", "1"), ("SET", "soon", "x", "PX", "50"), ("SET", "b", "2", "EX", "1000"),
                              ("RENAME", "a", "c"), ("APPEND", "c", "2"), ("SET", "deleted", "x"), ("DEL", "deleted"), ("SET", "", "empty key"),
                              ("SET", "large", b"\x00large\r\n" * 100_000), ("PERSIST", "b"), ("EXPIREAT", "c", "4000000000")):
                    expect(connection.call(*words)[:1] != b"-", words)
        in_peer(bench, write)
        if how == "always":
            server.signal(signal.SIGTERM)
        else:
            in_peer(bench, lambda: resp.Connection(LOOPBACK, PORT).send(resp.encode("SHUTDOWN")))
        expect(server.wait(20) == 0, f"status {server.wait()}: {server.output()}")
        time.sleep(0.1)
        start(bench, directory, "--fsync", how, *read_by)

        def read():
            with resp.Connection(LOOPBACK, PORT) as connection:
                for words, wanted in ((("DBSIZE",), b":4\r\n"), (("GET", "c"), b"$2\r\n12\r\n"), (("EXPIRETIME", "c"), b":4000000000\r\n"),
                                      (("TTL", "b"), b":-1\r\n"), (("GET", ""), b"$9\r\nempty key\r\n"), (("EXISTS", "gone", "a", "soon", "deleted"), b":0\r\n"),
                                      (("STRLEN", "large"), b":800000\r\n")):
                    expect(connection.call(*words) == wanted, f"{words}: {connection.call(*words)}")
        in_peer(bench, read)
    finally:
        bench.end_programs()
        shutil.rmtree(directory, ignore_errors=True)


def synced_before_answer(bench):
    """What kill -9 cannot show: the disk has it before the client hears of it."""
    bench.connect()
    directory = tempfile.mkdtemp(prefix="millrace-kv-")
    trace = os.path.join(directory, "trace")
    try:
        server = bench.start(["strace", "-f", "-o", trace, "-e", "trace=fdatasync,recvfrom,sendto", bench.programs.kv, "--kernel", "--addr",
                              LOOPBACK, "--port", PORT, "--store", os.path.join(directory, "store"), "--fsync", "always"], bench.peer)
        server.wait_for(r"^millrace-kv: serving on ", 30)

        def write():
            with resp.Connection(LOOPBACK, PORT) as connection:
                connection.call("SET", "key", "value")
                connection.call("GET", "key")
                connection.send(resp.encode("SHUTDOWN"))
                connection.receive_all()
        in_peer(bench, write)
        server.wait(20)
        with open(trace, encoding="utf-8", errors="replace") as lines:
            told = [line for line in lines if " resumed>" not in line]
        asked, answered, read = (next(index for index, line in enumerate(told) if text in line) for text in ("nSET", "+OK", "nGET"))
        expect(any("fdatasync(" in line and line.endswith("= 0\n") for line in told[asked:answered]), "".join(told[asked:answered + 1]))
        expect(not any("fdatasync(" in line for line in told[answered:read + 2]), "a GET is synced")
    finally:
        bench.end_programs()
        shutil.rmtree(directory, ignore_errors=True)


def need_store(bench):
    server = bench.start([bench.programs.kv, "--kernel", "--store", "/proc/nowhere"])
    expect(server.wait(10) == 1, "a store in /proc")
    if "without RocksDB" in server.output():
        raise Skip("built without RocksDB")
    expect("cannot open the store" in server.output(), server.output())


def with_store(case):
    def wrapped(bench, *arguments):
        need_store(bench)
        case(bench, *arguments)
    return wrapped


def add_cases(add):
    for how in ("always", "everysec", "no"):
        add(f"--fsync {how}: all is there after an orderly end", with_store(comes_back), how)
    add("--fsync always: the disk has a write before it is answered", with_store(synced_before_answer))
    for options, threads in THREADED:
        add(f"--fsync always: {KILLS} times kill -9 lose nothing that was answered, {threads}", with_store(kills), *options)
    counts = (), ("--queues", THREADS), ("--queues", 2)
    for written, read_by in ((0, 1), (1, 0), (1, 2), (1, 1)):
        add(f"a store of {' '.join(map(str, counts[written])) or 'one thread'}, read by {' '.join(map(str, counts[read_by])) or 'one thread'}",
            with_store(comes_back), "always", counts[written], counts[read_by])
