"""SYN floods against millrace-echo, while a client of the kernel connects again and again."""

import os
import re
import signal
import sys

import harness
from harness import PEER, SOAK, STACK, expect, field

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "connect_again.py")
MEMORY = 64 << 20  # bytes: how much a flood may add to the server's resident memory


def address_of_stack(bench):
    bench.in_peer("ping", "-c", 1, "-W", 5, STACK)
    return re.search(r"lladdr (\S+)", bench.in_peer("ip", "neigh", "show", STACK)).group(1)


def syn_flood(bench, network, count, clients, **options):
    """`network`: where the false sources are from. Behind the gateway nobody answers for them, as in the world."""
    server = bench.connect().echo("--gw", PEER)
    mac = address_of_stack(bench)
    honest = [bench.start([sys.executable, CLIENT, "--host", STACK], bench.peer) for _ in range(clients)]
    for client in honest:
        client.wait_for("^ready")
    before = server.resident_bytes()
    counters = bench.counters(server)
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    flood = bench.start([bench.programs.flood, "--device", "peer0", "--target", STACK, "--mac", mac,
                         "--network", network, "--count", count, *arguments], bench.peer)
    flood.wait_for("^flooding")
    for client in honest:
        client.signal(signal.SIGUSR1)
    said = flood.succeed(100).strip().splitlines()[-1]
    for client in honest:
        client.signal(signal.SIGTERM)
    reports = [client.succeed(20) for client in honest]
    tries = sum(int(field(report, "tries")) for report in reports)
    failed = sum(int(field(report, "failed")) for report in reports)
    grown = server.resident_bytes() - before
    after = bench.counters(server)
    told = {name: after[name] - counters.get(name, 0) for name in after if after[name] != counters.get(name, 0)}
    story = f"{said}; {tries} honest tries, {failed} failed; {grown >> 10} kB more; {reports}; {told}"
    if os.environ.get("MILLRACE_TEST_VERBOSE"):
        print(f"# {story}", flush=True)
    expect(tries >= 20, f"too few tries to judge: {story}")
    expect(failed * 100 <= tries, f"honest clients were kept out: {story}")
    expect(grown < MEMORY, f"the server grew: {story}")
    expect(told.get("tcp.TcpExtSyncookiesSent", 0) > 0, f"no cookies were sent: {story}")
    expect(after["tcp.SynReceived"] <= 4096, f"too many half-open: {story}")
    expect(server.running(), "the server is gone")
    # The flood leaves nothing that would hurt whoever comes afterwards.
    bench.load("rr", "--count", 500).succeed()


def add_cases(add):
    # At full speed most honest SYNs are answered when they come again, after a second, and whoever else uses the processors
    # decides how much of the flood gets into the device's ring. That is for the long run; the short one floods at a rate
    # at which all are answered at once.
    count, options = (1_000_000, {"clients": 16}) if SOAK else (200_000, {"clients": 8, "rate": 50_000})
    add(f"a flood of {count:,} SYNs from behind the gateway", syn_flood, "198.19.0.0/16", count, **options)
    add("a SYN flood from neighbours that are not there", syn_flood, "198.18.0.128/25", count // 2, **options)
    add("a SYN flood from one address", syn_flood, "198.19.7.7/32", count // 2, **options)
