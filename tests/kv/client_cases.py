"""Clients that everybody has, at the other end of a wire: redis-cli, redis-benchmark, hiredis, python3-redis."""

import os
import re

from harness import PORT, PYTHON, SOAK, STACK, THREADED, expect

SIDES = ((False, "on the stack"), (True, "on the kernel's sockets"))


def talk(bench, kernel, *options):
    """A conversation with redis-cli in RESP2 and RESP3, and an end by SHUTDOWN."""
    bench.connect()
    server = bench.start_server(*options, kernel=kernel)
    for protocol in ((), ("-3",)):
        def said(*words):
            return bench.redis_cli(*protocol, *words).strip()
        for words, answer in ((("ping",), "PONG"), (("set", "key", "value"), "OK"), (("get", "key"), "value"),
                              (("del", "key", "other"), "1"), (("get", "key"), ""),
                              (("nonsense", "a"), "ERR unknown command 'nonsense', with args beginning with: 'a'")):
            expect(said(*words) == answer, f"{protocol} {words}: {said(*words)!r}")
    for number in range(3):
        bench.redis_cli("set", f"key{number}", number)
    expect(sorted(bench.redis_cli("--scan").split()) == ["key0", "key1", "key2"], "redis-cli --scan")
    expect("# Keyspace\ndb0:keys=3,expires=0" in bench.redis_cli("info").replace("\r", ""), "INFO")
    bench.redis_cli("shutdown")
    expect(server.wait(10) == 0, f"status {server.wait()}: {server.output()}")


def typing(bench):
    """redis-cli as people use it asks for the commands' documentation first."""
    bench.connect()
    bench.start_server()
    lines = b"set a 1\nincr a\nhelp get\nclient setname me\nclient getname\nselect 1\nselect 0\nget a\n"
    source, end = os.pipe()
    os.write(end, lines)
    os.close(end)
    with os.fdopen(source, "rb") as stdin:
        said = bench.redis_cli(stdin=stdin)
    expect("Returns the value of a key" in said, said)
    answers = [line for line in said.splitlines() if line.strip() and "\x1b" not in line]
    expect(answers == ["OK", "2", "OK", "me", "ERR DB index is out of range", "OK", "2"], said)


def benchmark(bench, kernel, pipeline, *options):
    bench.connect()
    bench.start_server(*options, kernel=kernel)
    count = 200_000 if SOAK else 20_000
    said = bench.on_kernel("redis-benchmark", "-h", STACK, "-p", PORT, "-t", "ping,set,get,incr,mset", "-n", count, "-P", pipeline, "-c", 50,
                           "-r", 1000, "-d", 100, "--csv").succeed(100)
    names = re.findall(r'^"([A-Z_]+)[^"]*","(\d+\.\d+)"', said, re.MULTILINE)
    expect([name for name, _ in names] == ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET"], said)
    expect("rror" not in said, said)
    # All were carried out: INCR of a thousand counters.
    counters = bench.redis_cli("mget", *(f"counter:{number:012}" for number in range(1000))).split()
    expect(sum(map(int, counters)) == count, f"{sum(map(int, counters))} of {count} INCR")


def hiredis(bench, kernel):
    bench.connect()
    bench.start_server(kernel=kernel)
    expect("checks" in bench.on_kernel(bench.programs.hiredis, STACK, PORT).succeed(60), "")


def redis_py(bench, kernel, *options):
    bench.connect()
    bench.start_server(*options, kernel=kernel)
    expect("all is well" in bench.on_kernel(PYTHON, bench.script("redis_py.py"), STACK, PORT).succeed(60), "")


def add_cases(add):
    for kernel, where in SIDES:
        for options, threads in THREADED:
            add(f"redis-cli, {where}, {threads}", talk, kernel, *options)
            add(f"redis-benchmark with a pipeline of 16, {where}, {threads}", benchmark, kernel, 16, *options)
            add(f"python3-redis, {where}, {threads}", redis_py, kernel, *options)
        add(f"redis-benchmark with a pipeline of 1, {where}", benchmark, kernel, 1)
        add(f"hiredis, {where}", hiredis, kernel)
    add("redis-cli with commands typed in", typing)
