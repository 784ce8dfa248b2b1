"""Programs that move bytes: nc, socat, iperf3, sockperf, DNS."""

import time

from harness import MB, ROLES, expect, expect_same, need, watched


@watched(carries=20 * MB)
def nc_file(bench, on_stack):
    """A file each way: first the client sends, then the server."""
    need("nc.openbsd")
    host, source = bench.host(on_stack), bench.random_file("source", 20 * MB)
    for direction in ("up", "down"):
        arrived = bench.path(direction)
        with open(source, "rb") as file, open(arrived, "wb") as target:
            # -d: reads no input; -N: says when its input is at its end.
            sender, receiver = ("-N", {"stdin": file}), ("-d", {"stdout": target})
            at_server, at_client = (receiver, sender) if direction == "up" else (sender, receiver)
            server = bench.server(on_stack, "nc.openbsd", "-n", "-v", at_server[0], "-l", host, 7777, **at_server[1])
            server.wait_for("^Listening")
            client = bench.client(on_stack, "nc.openbsd", "-n", at_client[0], host, 7777, **at_client[1])
            client.succeed(20)
            server.succeed(20)
        expect_same(source, arrived)


@watched(carries=100)
def nc_datagrams(bench, on_stack):
    """nc connects its UDP socket to whoever comes first."""
    need("nc.openbsd")
    host = bench.host(on_stack)
    server = bench.server(on_stack, "nc.openbsd", "-n", "-v", "-u", "-l", host, 7777)
    server.wait_for("^Bound")
    for text in ("first\n", "second\n"):
        with open(bench.file("text", text), "rb") as file:
            client = bench.client(on_stack, "nc.openbsd", "-n", "-u", "-q", 1, host, 7777, stdin=file)
            server.wait_for(text.strip())
            client.succeed(10)
        server.end()
        server = bench.server(on_stack, "nc.openbsd", "-n", "-v", "-u", "-l", host, 7777)
        server.wait_for("^Bound")


def add_cases(add):
    for on_stack, where in ROLES:
        add(f"nc {where}: a file each way", nc_file, on_stack)
        add(f"nc {where}: datagrams", nc_datagrams, on_stack)
