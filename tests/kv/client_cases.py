"""Clients that everybody has: redis-cli."""

from harness import expect

SIDES = ((False, "on the stack"), (True, "on the kernel's sockets"))


def talk(bench, kernel):
    """A conversation with redis-cli in RESP2 and RESP3, and an end by SHUTDOWN."""
    bench.connect()
    server = bench.start_server(kernel=kernel)
    for protocol in ((), ("-3",)):
        def said(*words):
            return bench.redis_cli(*protocol, *words).strip()
        for words, answer in ((("ping",), "PONG"), (("set", "key", "value"), "OK"), (("get", "key"), "value"),
                              (("del", "key", "other"), "1"), (("get", "key"), ""),
                              (("nonsense", "a"), "ERR unknown command 'nonsense', with args beginning with: 'a'")):
            expect(said(*words) == answer, f"{protocol} {words}: {said(*words)!r}")
    bench.redis_cli("shutdown")
    expect(server.wait(10) == 0, f"status {server.wait()}: {server.output()}")


def add_cases(add):
    for kernel, where in SIDES:
        add(f"redis-cli, {where}", talk, kernel)
