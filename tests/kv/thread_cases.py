"""Several threads that have the keys between them: counts are exact, commands over several threads' keys are one step, answers
keep their order, and an end at any time is an end."""

import random
import re
import shutil
import signal
import tempfile
import threading
import time

from durability_cases import with_store
from harness import PORT, SOAK, STACK, THREADS, expect, in_namespace
import resp

CLIENTS = 24
ROUNDS = 400 if SOAK else 60
PIPELINE = 25


def start(bench, *options, kernel=True):
    if not bench.peer:
        bench.connect()
    return bench.start_server("--queues", THREADS, *options, kernel=kernel)


def connect(bench, count):
    return in_namespace(bench.peer, lambda: [resp.Connection(STACK, PORT) for _ in range(count)])


class Worker(threading.Thread):
    """Does something with a connection of its own; what went wrong is told by end()."""

    def __init__(self, work, connection, *arguments):
        super().__init__(daemon=True)
        self._work, self._connection, self._arguments = work, connection, arguments
        self._problem = None
        self.start()

    def run(self):
        try:
            self._work(self._connection, *self._arguments)
        except Exception as problem:  # noqa: BLE001: told by end()
            self._problem = problem

    def end(self):
        self.join(100)
        expect(not self.is_alive(), "a client gets no answer")
        if self._problem:
            raise self._problem


def all_work(work, connections):
    for worker in [Worker(work, connection, number) for number, connection in enumerate(connections)]:
        worker.end()


def number_of(answer):
    """An integer, or a bulk string that is one."""
    return int(answer.split(b"\r\n")[answer[:1] == b"$" and answer[:3] != b"$-1"].lstrip(b":$"))


def counters(bench, kernel):
    """Clients of all threads increment the same counters, in pipelines and one by one; none is lost, and each client sees them grow."""
    start(bench, kernel=kernel)
    names = [b"counter:%d" % number for number in range(20)]

    def count(connection, number):
        rng = random.Random(number)
        seen = {}
        for _ in range(ROUNDS):
            keys = [rng.choice(names) for _ in range(rng.choice((1, PIPELINE)))]
            connection.send(b"".join(resp.encode("INCR", key) for key in keys))
            for key in keys:
                now = number_of(connection.receive_one())
                expect(now > seen.get(key, 0), f"{key} was {seen.get(key)}, is {now}")
                seen[key] = now
            asked.append(len(keys))

    asked = []
    connections = connect(bench, CLIENTS)
    all_work(count, connections)
    there = sum(map(number_of, resp.elements(connections[0].call("MGET", *names))))
    expect(there == sum(asked), f"{there} of {sum(asked)} increments")
    stats = connections[0].call("INFO")
    expect(b"\r\nthreads:%d\r\n" % THREADS in stats and b"connected_clients:%d\r\n" % CLIENTS in stats, stats)


def one_step(bench, kernel):
    """Who reads several keys sees all of an MSET or nothing; RENAME, too, has no middle, and MSETNX sets all or none."""
    start(bench, kernel=kernel)
    keys = [b"key:%d" % number for number in range(200)]
    ending = threading.Event()

    def write(connection, number):
        for turn in range(ROUNDS):
            value = b"%d:%d" % (number, turn) * random.choice((1, 1, 1, 500))  # sent by reference, too
            write_all = resp.encode("MSET", *(word for key in keys for word in (key, value)))
            connection.send((write_all + resp.encode("GET", keys[turn % len(keys)])) * 5)
            for _ in range(5):
                expect(connection.receive_one() == b"+OK\r\n", "MSET")
                connection.receive_one()

    def move(connection, _):
        connection.call("SET", "here", "x")
        for _ in range(ROUNDS):
            for words in (("RENAME", "here", "there"), ("RENAMENX", "there", "here")):
                answer = connection.call(*words)
                expect(answer[:1] != b"-" and answer != b":0\r\n", f"{words}: {answer}")

    def claim(connection, number):
        for turn in range(ROUNDS):
            pair = (b"claim:%d" % turn, b"%d" % number, b"also:%d" % turn, b"%d" % number)
            claimed.append(number_of(connection.call("MSETNX", *pair)))

    def look(connection, _):
        moved = False
        while not ending.is_set():
            values = resp.elements(connection.call("MGET", *keys))
            expect(len(set(values)) == 1, f"half an MSET: {[value[:40] for value in values]}")
            found = number_of(connection.call("EXISTS", "here", "there"))
            expect(found == 1 or not moved, f"{found} of the two names are there")
            moved = moved or found == 1

    claimed = []
    connections = connect(bench, 12)
    lookers = [Worker(look, connection, 0) for connection in connections[9:]]
    workers = [Worker(work, connection, number) for number, (work, connection) in
               enumerate(zip([write] * 4 + [claim] * 4 + [move], connections))]
    for worker in workers:
        worker.end()
    ending.set()
    for looker in lookers:
        looker.end()
    expect(sum(claimed) == ROUNDS, f"{sum(claimed)} of {ROUNDS} names were claimed")
    for turn in range(ROUNDS):
        first, second = resp.elements(connections[0].call("MGET", b"claim:%d" % turn, b"also:%d" % turn))
        expect(first == second, f"claim {turn}: {first} and {second}")


def order(bench, kernel):
    """Pipelines of commands for all threads: each answer is the answer of its command, whatever its size and whichever thread's keys."""
    start(bench, kernel=kernel)

    def converse(connection, number):
        rng = random.Random(number)
        own = {}
        for _ in range(ROUNDS):
            commands, answers = [], []
            for _ in range(rng.randrange(1, 200)):
                key = b"%d:%d" % (number, rng.randrange(30))
                kind = rng.randrange(7)
                value = own.get(key)
                bulk = b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)
                if kind == 0:
                    own[key] = b"%d" % rng.randrange(10**9) * rng.choice((1, 1, 200, 3000))
                    commands.append(("SET", key, own[key]))
                    answers.append(b"+OK\r\n")
                elif kind == 1:
                    commands.append(("ECHO", key))
                    answers.append(b"$%d\r\n%s\r\n" % (len(key), key))
                elif kind == 2:
                    own.pop(key, None)
                    commands.append(("DEL", key))
                    answers.append(b":%d\r\n" % (value is not None))
                elif kind == 3 and rng.random() < 0.2:
                    other = b"%d:%d" % (number, rng.randrange(30))
                    commands.append(("MSET", key, b"1", other, b"2"))
                    own[key] = b"1"
                    own[other] = b"2"
                    answers.append(b"+OK\r\n")
                elif kind == 4:
                    commands.append(("nonsense",))
                    answers.append(None)
                else:
                    commands.append(("GET", key))
                    answers.append(bulk)
            connection.send(b"".join(resp.encode(*words) for words in commands))
            for words, wanted in zip(commands, answers):
                answer = connection.receive_one()
                right = answer[:12] == b"-ERR unknown" if wanted is None else answer == wanted
                expect(right, f"{[word[:30] for word in words]}: {answer[:60]}, not {wanted and wanted[:60]}")

    all_work(converse, connect(bench, 8))


def everywhere(bench, kernel):
    """What is of all threads is seen and done from each: clients, settings, counts, walks."""
    start(bench, kernel=kernel)
    connections = connect(bench, 12)
    first = connections[0]
    for number in range(500):
        first.call("SET", b"key:%d" % number, "x")
    for connection in connections:
        expect(connection.call("DBSIZE") == b":500\r\n", "DBSIZE")
        expect(len(resp.elements(connection.call("KEYS", "key:*"))) == 500, "KEYS")
        cursor, found = b"0", []
        while not found or cursor != b"0":
            answer = resp.elements(connection.call("SCAN", cursor, "COUNT", 7))
            cursor = answer[0].split(b"\r\n")[1]
            found += resp.elements(answer[1])
        expect(len(set(found)) == 500, f"SCAN found {len(set(found))}")
        expect(connection.call("RANDOMKEY")[:1] == b"$", "RANDOMKEY")
    ids = [number_of(connection.call("CLIENT", "ID")) for connection in connections]
    expect(len(set(ids)) == len(connections), f"{ids}")
    lines = first.call("CLIENT", "LIST")
    expect(sorted(map(int, re.findall(rb"^(?:\$\d+\r\n)?id=(\d+)", lines, re.MULTILINE))) == sorted(ids), lines)
    for number in ids[6:]:
        expect(first.call("CLIENT", "KILL", "ID", number) == b":1\r\n", f"CLIENT KILL of {number}")
    for connection in connections[6:]:
        expect(connection.receive_all() == b"", "a client that was killed")
    first.call("CONFIG", "SET", "maxmemory-samples", "7", "requirepass", "secret")
    for connection in connections[:6]:
        expect(connection.call("CONFIG", "GET", "maxmemory-samples") == b"*2\r\n$17\r\nmaxmemory-samples\r\n$1\r\n7\r\n", "CONFIG SET")
    for connection in connect(bench, 6):
        expect(connection.call("GET", "key:1")[:7] == b"-NOAUTH", "a stranger")
    expect(first.call("FLUSHALL") == b"+OK\r\n" and connections[1].call("DBSIZE") == b":0\r\n", "FLUSHALL")
    first.call("CONFIG", "SET", "timeout", "1")
    for connection in connections[:6]:
        expect(connection.receive_all() == b"", "a silent client")


def bounds(bench):
    """maxmemory and maxclients are of all threads together."""
    start(bench, "--maxclients", "5", "--maxmemory", "3mb")
    connections = connect(bench, 5)
    for connection in connections:
        expect(connection.call("PING") == b"+PONG\r\n", "PONG")  # it is counted
    refused = connect(bench, 1)[0]
    expect(refused.receive_all() == b"-ERR max number of clients reached\r\n", "a sixth client")

    def fill():
        answers = []
        for number in range(1000):
            key = b"key:%d" % number
            pair = (b"MSET", key, b"x" * 10_000, b"pair:" + key, b"y") if number % 5 == 0 else (b"SET", key, b"x" * 10_000)
            answers.append(connections[number % 5].call(*pair))
        return answers

    answers = fill()
    taken = answers.count(b"+OK\r\n")
    expect(250 < taken < 330 and set(answers) == {b"+OK\r\n", b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"}, f"{taken} were taken")
    connections[0].call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    expect(set(fill()) == {b"+OK\r\n"}, "SET that evicts")
    stats = connections[0].call("INFO")
    dataset, evicted = (int(re.search(rb"^%s:(\d+)" % name, stats, re.MULTILINE)[1]) for name in (b"used_memory_dataset", b"evicted_keys"))
    expect(evicted > 600 and 2_500_000 < dataset < 3_200_000, stats)


def unanswered(bench):
    """CLIENT REPLY is of the client's commands, whichever thread has their keys."""
    start(bench)
    connection = connect(bench, 1)[0]
    commands, wanted = [], []
    for number in range(60):
        key = b"key:%d" % number
        commands += [("SET", key, key), ("CLIENT", "REPLY", "SKIP"), ("APPEND", key, "+"), ("STRLEN", key), ("CLIENT", "REPLY", "OFF"),
                     ("APPEND", key, "+"), ("MSET", b"1" + key, "x", b"2" + key, "y"), ("GET", key), ("CLIENT", "REPLY", "ON"), ("GET", b"2" + key)]
        wanted += [b"+OK\r\n", b":%d\r\n" % (len(key) + 1), b"+OK\r\n", b"$1\r\ny\r\n"]
    connection.send(b"".join(resp.encode(*words) for words in commands))
    for number, answer in enumerate(wanted):
        told = connection.receive_one()
        expect(told == answer, f"answer {number}: {told}, not {answer}")
    connection.send(resp.encode("GET", "key:1") + resp.encode("GET", "key:2") + resp.encode("QUIT") + resp.encode("GET", "key:3"))
    expect(connection.receive_all() == b"$7\r\nkey:1++\r\n$7\r\nkey:2++\r\n+OK\r\n", "QUIT behind commands for others")


def ends(bench, how):
    """With messages under way, and while all want to stand still."""
    for _ in range(20 if SOAK else 4):
        server = start(bench)

        def press(connection, number):
            words = [("SET", b"%d:%d" % (number, index), b"x" * 100) for index in range(30)] + [("MSET", "a", "1", "b", "2", "c", "3"), ("DBSIZE",)]
            try:
                while True:
                    connection.send(b"".join(resp.encode(*one) for one in words))
                    for _ in words:
                        connection.receive_one()
            except (EOFError, OSError):
                pass  # it has ended

        connections = connect(bench, CLIENTS)
        workers = [Worker(press, connection, number) for number, connection in enumerate(connections[1:])]
        time.sleep(random.uniform(0.01, 0.3))
        if how == "SHUTDOWN":
            connections[0].send(resp.encode("SHUTDOWN"))
        else:
            server.signal(signal.SIGTERM)
        expect(server.wait(20) == 0, f"status {server.wait()}: {server.output()}")
        for worker in workers:
            worker.end()
        bench.end_programs()


def kept_whole(bench):
    """kill -9 leaves all of an MSET over several threads' keys, or nothing of it, and not less than was answered."""
    directory = tempfile.mkdtemp(prefix="millrace-kv-")
    keys = [b"key:%d" % number for number in range(6)]
    try:
        for number in range(20 if SOAK else 5):
            server = start(bench, "--store", directory, "--fsync", "always")
            connections = connect(bench, 7)
            answered = {}

            def write(connection, name, answered=answered, number=number):
                try:
                    for turn in range(1_000_000):
                        value = b"%d:%d" % (number, turn)
                        words = [word for key in keys for word in (b"%d:%s" % (name, key), value)]
                        connection.send(resp.encode("MSET", *words) + resp.encode("SET", b"%d:single" % name, value))
                        expect(connection.receive_one() == b"+OK\r\n" == connection.receive_one(), "MSET, SET")
                        answered[name] = turn
                except (EOFError, OSError):
                    pass  # killed

            workers = [Worker(write, connection, name) for name, connection in enumerate(connections)]
            bench.until("something is answered", lambda: answered, 30)  # noqa: B023
            time.sleep(random.uniform(0.1, 0.4))
            server.signal(signal.SIGKILL)
            server.wait(10)
            for worker in workers:
                worker.end()
            start(bench, "--store", directory, "--fsync", "always")
            look = connect(bench, 1)[0]
            for name, turn in answered.items():
                values = resp.elements(look.call("MGET", *(b"%d:%s" % (name, key) for key in keys)))
                expect(len(set(values)) == 1, f"half an MSET: {values}")
                for value in (values[0], look.call("GET", b"%d:single" % name)):
                    found = value.split(b"\r\n")[1].split(b":")
                    expect(int(found[0]) == number and int(found[1]) in (turn, turn + 1), f"{value} after {number}:{turn} was answered")
            bench.end_programs()
    finally:
        bench.end_programs()
        shutil.rmtree(directory, ignore_errors=True)


def add_cases(add):
    for kernel, where in ((False, "on the stack"), (True, "on the kernel's sockets")):
        add(f"threads: counters that all increment, {where}", counters, kernel)
        add(f"threads: MSET, MGET, RENAME and MSETNX are one step, {where}", one_step, kernel)
        add(f"threads: answers keep their order, {where}", order, kernel)
        add(f"threads: clients, settings and walks are of all, {where}", everywhere, kernel)
    add("threads: maxmemory and maxclients are of all together", bounds)
    add("threads: CLIENT REPLY and QUIT", unanswered)
    for how in ("SHUTDOWN", "SIGTERM"):
        add(f"threads: {how} at any time", ends, how)
    add("threads: kill -9 leaves whole MSETs, and all that were answered", with_store(kept_whole))
