"""What only a TAP interface does: it is made and removed, and may vanish under load."""

import os
import signal
import sys

from harness import PEER, STACK, expect, field, run

MB = 1_000_000


def link(bench, *words):
    run(["ip", "-n", bench.peer, *words])


def made_for_the_run(bench):
    """The program makes the interface, and its end removes it."""
    bench.connect()
    link(bench, "link", "del", "peer0")
    server = bench.echo(device=f"tap(mtu=9000,peer_address={PEER}/24):peer0")
    expect("mtu 9000" in bench.in_peer("ip", "link", "show", "peer0"), "another MTU")
    bench.load("rr", "--count", 100).succeed()
    bench.load("bulk", "--bytes", 50 * MB).succeed()
    server.signal(signal.SIGTERM)
    expect(server.wait(12) == 0, server.output())
    expect("peer0" not in bench.in_peer("ip", "link", "show"), "the interface is still there")


def make_again(bench):
    link(bench, "tuntap", "add", "dev", "peer0", "mode", "tap")
    link(bench, "link", "set", "peer0", "up")
    link(bench, "addr", "add", f"{PEER}/24", "dev", "peer0")


def removed_under_load(bench):
    """The connections go on when the interface is there again within their patience."""
    server = bench.connect().echo()
    bench.load("rr", "--count", 100).succeed()
    for _ in range(3):
        flood = bench.load("bulk", "--bytes", 1000 * MB, timeout=60)
        asked = bench.load("rr", "--seconds", 4)
        bench.until("the load is on", lambda: bench.counters(server)["echo.Open"] >= 2, 10)
        link(bench, "link", "del", "peer0")
        expect(server.running(), server.output())
        before = server.cpu_seconds()
        bench.until("it has noticed", lambda: bench.counters(server)["link.LinkDownEvents"] > 0, 5)
        expect(server.cpu_seconds() - before < 1, "it spins without an interface")
        make_again(bench)
        flood.succeed()
        asked.succeed()
    counters = bench.counters(server)
    expect(counters["link.LinkDownEvents"] >= 3 and counters["link.LinkUpEvents"] >= 3, str(counters))
    bench.in_peer("ping", "-c", 3, "-i", 0.05, "-W", 2, STACK)


def bulk_both_ways(bench):
    """Both ends check every byte."""
    bench.connect()
    for stack_is_server in (True, False):
        bench.talk("both-ways", stack_is_server, "--bytes", 200 * MB)


def no_loss(bench):
    """Nothing is lost between the two, so nothing is sent again."""
    server = bench.connect().echo()
    out = bench.load("rr", "--connections", 64, "--count", 20000).succeed()
    expect(int(field(out, "round_trips")) >= 20000, out)
    counters = bench.counters(server)
    expect(counters["tcp.TcpRetransSegs"] == 0, "segments were sent again")


SERVER = f"""
import os, socket
listener = socket.create_server(("{STACK}", 8080))
print("ready", os.getpid(), flush=True)
client, _ = listener.accept()
while True: client.sendall(client.recv(1 << 16) or exit())
"""
CLIENT = f"""
import os, socket, sys
s = socket.create_connection(("{STACK}", 8080))
s.sendall(b"x" * 1000)
left = 1000
while left: left -= len(s.recv(left))
print("echoed", flush=True)
try: print("end", s.recv(1))
except ConnectionResetError: print("reset")
"""


def handed_over(bench):
    """The launcher makes the interface and hands its queue over; it resets what a killed program leaves behind."""
    bench.connect()
    link(bench, "link", "del", "peer0")
    launcher = bench.start([bench.programs.millrace, "run", *bench.stack_options(f"tap(peer_address={PEER}/24):peer0"), "--",
                            sys.executable, "-c", SERVER], bench.stack)
    server = int(launcher.wait_for(r"^ready (\d+)").group(1))
    client = bench.start([sys.executable, "-c", CLIENT], bench.peer)
    client.wait_for("^echoed")
    os.kill(server, signal.SIGKILL)
    expect("reset" in client.succeed(10), client.output())
    launcher.wait(10)
    expect("peer0" not in bench.in_peer("ip", "link", "show"), "the interface is still there")


def add_cases(add):
    add("an interface for the time of the run", made_for_the_run)
    add("the interface is removed under load", removed_under_load)
    add("200 MB each way", bulk_both_ways)
    add("nothing is lost", no_loss)
    add("handed over by millrace run", handed_over)
