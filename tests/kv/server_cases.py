"""What a server must bear: clients that do not read, that leave, that are too many, and data that are too much."""

import re
import time

from harness import PORT, SOAK, STACK, THREADED, expect, in_namespace
import resp

MB = 1_000_000


def connect(bench, timeout=20):
    return in_namespace(bench.peer, lambda: resp.Connection(STACK, PORT, timeout))


def info(connection, name):
    return int(re.search(rb"^%s:(\d+)" % name, connection.call("INFO"), re.MULTILINE)[1])


def slow_reader(bench, kernel):
    """A client that asks without end and reads nothing costs a bound; the others are served; then it gets all its answers."""
    bench.connect()
    bench.start_server(kernel=kernel)
    with connect(bench) as reader, connect(bench) as other:
        reader.call("SET", "short", b"s" * 1000)
        reader.call("SET", "large", b"l" * 100_000)
        asked = 3000
        question = resp.encode("GET", "short") + resp.encode("GET", "large") + resp.encode("INCR", "counter")
        sent = reader.send_some(question * asked)
        deadline, before = time.monotonic() + 10, None
        while (now := other.call("GET", "counter")) != before:  # until it is not listened to any more
            expect(time.monotonic() < deadline, "it is listened to without end")
            before = now
            time.sleep(0.2)
        waiting = max(int(amount) for amount in re.findall(rb"omem=(\d+)", other.call("CLIENT", "LIST")))
        expect(waiting < 500_000, f"{waiting} bytes wait for it")
        carried_out = int(before.split(b"\r\n")[1])
        expect(carried_out < asked / 2, f"{carried_out} of its commands are carried out")
        expect(info(other, b"used_memory") < 3 * MB, "used memory")
        other.call("SET", "large", "overwritten")
        answers = reader.exchange_rest((question * asked)[sent:] + resp.encode("ECHO", "end"), b"$3\r\nend\r\n")
        counted = [answer for answer in resp.split(answers) if answer[:1] == b":"]
        expect(counted == [b":%d\r\n" % number for number in range(1, asked + 1)], f"{len(counted)} of {asked} answers")
        expect(answers.count(b"$1000\r\n" + b"s" * 1000 + b"\r\n") == asked, "other short values")


def limits(bench):
    """maxclients, maxmemory with both policies, CLIENT KILL, the time for the silent."""
    bench.connect()
    bench.start_server("--maxclients", "3", "--maxmemory", "3mb")
    with connect(bench) as first, connect(bench) as second:
        with connect(bench) as third, connect(bench) as fourth:
            third.call("PING")
            expect(fourth.receive_all() == b"-ERR max number of clients reached\r\n", "a fourth client")
        bench.until("the third has left", lambda: info(first, b"connected_clients") == 2, 10)

        answers = [first.call("SET", f"key{number}", b"x" * 10_000) for number in range(1000)]
        full = answers.index(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n")
        expect(290 < full < 330 and answers[-1][:4] == b"-OOM", f"full after {full} keys")
        expect(first.call("GET", "key0")[:8] == b"$10000\r\n" and first.call("DEL", "key0") == b":1\r\n", "reading and deleting")
        first.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        expect(all(first.call("SET", f"key{number}", b"x" * 10_000) == b"+OK\r\n" for number in range(1000)), "SET that evicts")
        expect(info(first, b"evicted_keys") > 600 and info(first, b"used_memory_dataset") < 3.2 * MB, first.call("INFO"))

        address = re.search(rb"addr=(\S+) laddr", second.call("CLIENT", "INFO"))[1]
        expect(first.call("CLIENT", "KILL", address) == b"+OK\r\n" and second.receive_all() == b"", "CLIENT KILL")
        first.call("CONFIG", "SET", "timeout", "1")
        expect(first.receive_all() == b"", "silence")


def many(bench, kernel, *options):
    """Connections that come, ask and go, some of them rudely; in the end nothing is left of them."""
    bench.connect()
    bench.start_server(*options, kernel=kernel)
    with connect(bench) as watcher:
        for number in range(2000 if SOAK else 200):
            with connect(bench) as client:
                if number % 3 == 0:
                    client.reset_on_close()
                client.send((resp.encode("SET", f"key{number}", b"x" * (number * 100)) * 3)[:-(number % 50) or None])
                if number % 2 == 0:
                    expect(client.receive_one() == b"+OK\r\n", "SET")
        bench.until("they are gone", lambda: info(watcher, b"connected_clients") == 1, 10)
        expect(info(watcher, b"mem_clients_normal") < 100_000, "memory of clients")


def expires_by_itself(bench, *options):
    """Nobody says anything more, and the memory comes back: of one key, and of many that end together."""
    bench.connect()
    bench.start_server(*options)
    with connect(bench) as client:
        time.sleep(0.2)
        client.call("SET", "key", b"x" * MB, "PX", "100")
        bench.until("it has expired", lambda: info(client, b"expired_keys") == 1, 10)
        expect(info(client, b"used_memory") < MB / 2, client.call("INFO"))
        for start in range(0, 50_000, 1000):
            for number in range(start, start + 1000):
                client.send(resp.encode("SET", f"key{number}", "value", "PX", 1000))
            for _ in range(1000):
                client.receive_one()
        bench.until("all have expired", lambda: client.call("DBSIZE") == b":0\r\n", 20)


def idle(bench, *options):
    """Without traffic, no CPU: also with keys that expire one day."""
    bench.connect()
    server = bench.start_server(*options)
    with connect(bench) as client:
        client.call("SET", "key", "value")
        time.sleep(0.5)
        before = server.cpu_seconds()
        time.sleep(1.5)
        spent = round(server.cpu_seconds() - before, 2)  # in whole hundredths, of which a difference of floats may be a little more
        expect(spent <= 0.03, f"{spent} s of CPU in 1.5 s")


def add_cases(add):
    for kernel, where in ((False, "on the stack"), (True, "on the kernel's sockets")):
        add(f"a client that does not read, {where}", slow_reader, kernel)
        for options, threads in THREADED:
            add(f"clients that come and go, {where}, {threads}", many, kernel, *options)
    add("maxclients, maxmemory, CLIENT KILL, timeout", limits)
    for options, threads in THREADED:
        add(f"keys expire when nobody speaks, {threads}", expires_by_itself, *options)
        add(f"no CPU when idle, {threads}", idle, *options)
