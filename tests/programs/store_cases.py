"""Servers that keep something: redis, memcached, mosquitto."""

import contextlib
import os
import random
import re
import signal
import socket
import struct
import time

from harness import (MB, PYTHON, ROLES, SOAK, STACK, child_of, descriptors, expect, expect_back, expect_same, run, watched)

PORT = 6379


def start_redis(bench, on_stack, *options):
    host = bench.host(on_stack)
    server = bench.server(on_stack, "redis-server", "--bind", host, "--protected-mode", "no", "--dir", bench.scratch,
                          "--save", "", *options)
    bench.wait_for_port(server, host, PORT)
    return server


def redis_cli(bench, on_stack, *words, **options):
    """What redis-cli, on the other side than the server, says."""
    return bench.client(on_stack, "redis-cli", "-h", bench.host(on_stack), *words, **options).succeed(30)


def calls_of(bench, on_stack, command):
    found = re.search(rf"cmdstat_{command}:calls=(\d+)", redis_cli(bench, on_stack, "info", "commandstats"))
    return int(found[1]) if found else 0


@watched(carries=10 * MB)
def redis(bench, on_stack, *options, count=100_000 if SOAK else 20_000):
    server = start_redis(bench, on_stack, *options)
    expect(redis_cli(bench, on_stack, "ping").strip() == "PONG", "no PONG")
    source = bench.random_file("value", 4 * MB)
    with open(source, "rb") as value:
        redis_cli(bench, on_stack, "-x", "set", "value", stdin=value)
    with open(bench.path("back"), "wb") as back:
        redis_cli(bench, on_stack, "--raw", "get", "value", stdout=back)
    with open(bench.path("back"), "rb+") as back:
        back.truncate(os.path.getsize(bench.path("back")) - 1)  # redis-cli's own end of line
    expect_same(source, bench.path("back"))

    for pipeline in (1, 16):
        before = calls_of(bench, on_stack, "set")
        out = bench.client(on_stack, "redis-benchmark", "-h", bench.host(on_stack), "-c", 50, "-n", count, "-P", pipeline,
                           "-d", 100, "-t", "set,get", "--csv").succeed(60)
        expect(out.count("\n") >= 3 and "rror" not in out, out)
        expect(calls_of(bench, on_stack, "set") - before == count, "the server counts other numbers of SET")
    redis_cli(bench, on_stack, "shutdown", "nosave")
    expect(server.wait(10) == 0, f"status {server.wait()}: {server.output()}")


@watched(carries=1 * MB)
def redis_saves(bench, on_stack):
    """A child writes the data to disk while its parent serves on."""
    start_redis(bench, on_stack, "--enable-debug-command", "yes")
    redis_cli(bench, on_stack, "debug", "populate", 300_000, "key", 50)
    load = bench.client(on_stack, "redis-benchmark", "-h", bench.host(on_stack), "-c", 50, "-n", 50_000, "-t", "set")
    # From this process: on the stack's side only one program at a time.
    with bench.connect_from_kernel(bench.host(on_stack), PORT) as connection:
        for _ in range(3):
            connection.sendall(b"BGSAVE\r\n")
            expect(b"started" in connection.recv(1000), "BGSAVE is refused")
            deadline = time.monotonic() + 20
            while True:
                connection.sendall(b"INFO persistence\r\n")
                said = connection.recv(10_000).decode()
                if "rdb_bgsave_in_progress:0" in said:
                    break
                expect(time.monotonic() < deadline, said)
                time.sleep(0.05)
            expect("rdb_last_bgsave_status:ok" in said, said)
    load.succeed(60)
    expect("RDB looks OK" in run(["redis-check-rdb", bench.path("dump.rdb")]), "the dump is damaged")


def leave_rudely(bench, rng):
    """A client that goes away in the midst of something: of a command, of an answer, by FIN or by RST."""
    with bench.connect_from_kernel(STACK, PORT) as connection:
        if rng.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(rng.choice([b"", b"*2\r\n$3\r\nGET\r\n$5\r\nval", b"GET value\r\n" * 20, b"PING\r\n"]))
        with contextlib.suppress(TimeoutError):
            connection.settimeout(0.001)
            connection.recv(1 + rng.randrange(100_000))


@watched(carries=1 * MB)
def redis_reconnects(bench, seconds=600 if SOAK else 6):
    """redis-benchmark again and again, one connection a request or many requests a connection, some of them killed, beside
    clients that leave without a word."""
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    # Else the client's kernel is soon out of ports.
    run(["ip", "netns", "exec", bench.peer, "sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1",
         "net.ipv4.ip_local_port_range=1024 65000"])
    server = start_redis(bench, True)
    program = child_of(server.pid)
    with open(bench.random_file("value", 1 * MB), "rb") as value:
        redis_cli(bench, True, "-x", "set", "value", stdin=value)

    def load(count):
        options = ["-c", rng.randrange(1, 100), "-n", count, "-P", rng.choice([1, 1, 4, 16]), "-k", rng.choice([0, 1])]
        return bench.on_kernel("redis-benchmark", "-h", STACK, *options, "-d", rng.randrange(1, 3000), "-t", "set,get", "--csv")

    def await_no_clients():
        """A client that was killed goes when all that it had sent is read, 16 KB in each turn of redis' loop."""
        expect_back(f"seed {seed}: redis' clients", 1,
                    lambda: int(re.search(r"connected_clients:(\d+)", redis_cli(bench, True, "info", "clients"))[1]))

    load(2000).succeed(60)
    await_no_clients()
    time.sleep(0.5)

    def own_threads():
        """Without jemalloc's, which come as they are needed, one a processor."""
        names = [open(f"/proc/{program}/task/{task}/comm", encoding="ascii").read()
                 for task in os.listdir(f"/proc/{program}/task")]
        return sum(not name.startswith("jemalloc") for name in names)
    before = descriptors(program), own_threads()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client = load(rng.randrange(500, 5000))
        for _ in range(rng.randrange(20)):
            leave_rudely(bench, rng)
        if rng.random() < 0.2:
            client.signal(signal.SIGKILL)
            client.wait(10)
            continue
        out = client.succeed(60)
        expect("rror" not in out and out.count("\n") >= 3, f"seed {seed}: {out}")
        expect(redis_cli(bench, True, "ping").strip() == "PONG", f"seed {seed}: no PONG")
    await_no_clients()
    expect_back("descriptors and threads", before, lambda: (descriptors(program), own_threads()))


@watched(carries=1 * MB)
def memcached(bench, on_stack):
    """Four threads, whose connections the first accepts and hands on."""
    host = bench.host(on_stack)
    server = bench.server(on_stack, "memcached", "-u", "nobody", "-t", 4, "-l", host, "-p", 11211, "-U", 11211)
    bench.wait_for_port(server, host, 11211)
    script = bench.script("memcached_load.py")
    bench.client(on_stack, PYTHON, script, host, 11211, 100, 40).succeed(60)
    bench.client(on_stack, PYTHON, bench.script("memcached_udp.py"), host, 11211).succeed(60)
    for protocol in ("-a", "-b"):
        out = bench.client(on_stack, "memccapable", "-h", host, "-p", 11211, "-t", 5, protocol).succeed(60)
        expect("All tests passed" in out, out)


@watched(carries=2 * MB)
def mosquitto(bench, on_stack):
    host = bench.host(on_stack)
    configuration = bench.file("mosquitto.conf", f"listener 1883 {host}\nallow_anonymous true\nmax_queued_messages 0\nlog_type all\nlog_dest stderr\n")
    server = bench.server(on_stack, "mosquitto", "-c", configuration)
    bench.wait_for_port(server, host, 1883)
    lines = "".join(f"message {number}\n" for number in range(2000))
    source, large = bench.file("lines", lines), bench.random_file("large", 1 * MB)
    kernel, stack = bench.on_kernel, bench.on_stack
    common = ["-h", host, "-q", 1, "-t", "topic"]
    # One program at a time has the stack.
    for subscribe, publish in ((kernel, kernel),) if on_stack else ((stack, kernel), (kernel, stack)):
        def subscriber(*options, start=subscribe, **files):
            before = server.output().count("Sending SUBACK")
            reader = start("mosquitto_sub", *common, *options, **files)
            bench.until("somebody subscribes", lambda: server.output().count("Sending SUBACK") > before, 5)
            return reader
        reader = subscriber("-C", 2000)
        with open(source, "rb") as text:
            publish("mosquitto_pub", *common, "-l", stdin=text).succeed(30)
        said = reader.succeed(30)
        expect(said == lines, f"{said.count('message')} messages, or in another order")
        with open(bench.path("arrived"), "wb") as arrived:
            reader = subscriber("-N", "-C", 1, stdout=arrived)
            publish("mosquitto_pub", *common, "-f", large).succeed(30)
            reader.succeed(30)
        expect_same(large, bench.path("arrived"))


def add_cases(add):
    add("redis: redis-benchmark with random reconnects, and clients that leave rudely", redis_reconnects)
    for on_stack, where in ROLES:
        add(f"redis {where}: a value of 4 MB, redis-benchmark with pipelines of 1 and 16", redis, on_stack)
        if on_stack:
            # They spin: with few cores, each request takes time slices, whichever stack has the sockets.
            add("redis on the stack with two threads", redis, True, "--io-threads", 2, "--io-threads-do-reads", "yes",
                count=4000)
        add(f"redis {where}: BGSAVE while it serves", redis_saves, on_stack)
        add(f"memcached {where}: four threads, 100 connections, UDP, memccapable", memcached, on_stack)
        add(f"mosquitto {where}: 2,000 messages and one of 1 MB", mosquitto, on_stack)
