"""A device with several queues, each with a stack and a thread of its own."""

import signal

from harness import PEER, STACK, expect

MB = 1_000_000
QUEUES = 2


def echo(bench):
    """A server with so many queues, on the driver's device."""
    bench.connect()
    if bench.driver != "tap":
        return bench.echo("--queues", QUEUES)
    # The one that is there has one queue.
    bench.in_peer("ip", "link", "del", "peer0")
    return bench.echo("--queues", QUEUES, device=f"tap(peer_address={PEER}/24):peer0")


def serves_from_all(bench):
    """What the kernel's clients send comes back whole, whichever queue it came in by."""
    server = echo(bench)
    bench.load("rr", "--connections", 200, "--count", 20000).succeed()
    bench.load("bulk", "--connections", 8, "--bytes", 200 * MB).succeed()
    bench.load("udp", "--connections", 20, "--count", 2000).succeed()
    bench.in_peer("ping", "-c", 5, "-i", 0.05, "-W", 2, STACK)
    bench.in_peer("ping", "-c", 5, "-i", 0.05, "-W", 2, "-s", 5000, STACK)
    counters = bench.counters(server)
    expect(counters["echo.Errors"] == 0, str(counters))
    expect(counters["ip.IcmpOutEchoReps"] == 10, "each ping is answered once")
    expect(counters["neighbour.ArpRepliesSent"] <= 3, "ARP is answered once")
    expect(counters["tcp.TcpOutRsts"] == 0, "nothing went to a queue that does not know it")
    if bench.driver == "af_packet":
        # ARP alone is handed over: the kernel's program steers the rest.
        expect(counters["device.HandedOver"] <= 20, f"{counters['device.HandedOver']} frames came in by the wrong queue")


def comes_and_goes(bench):
    server = echo(bench)
    for _ in range(3):
        bench.load("hold", "--connections", 200, "--seconds", 0).succeed()
    bench.until("all are gone", lambda: bench.counters(server)["echo.Open"] == 0, 5)
    expect(bench.counters(server)["echo.Accepted"] == 600, "not every connection was accepted")
    victims = [bench.load("bulk", "--bytes", 2000 * MB) for _ in range(3)]
    bench.until("the load is on", lambda: bench.counters(server)["echo.Open"] == 3, 5)
    for victim in victims:
        victim.signal(signal.SIGKILL)
    bench.until("the dead are gone", lambda: bench.counters(server)["echo.Open"] == 0, 10)
    server.signal(signal.SIGTERM)
    expect(server.wait(12) == 0, server.output())


def too_many(bench):
    """One line, and nothing else, where there is one queue."""
    server = bench.connect().start([bench.programs.echo, "--dev", "pcap:out=/dev/null", "--addr", f"{STACK}/24",
                                    "--queues", QUEUES], bench.stack)
    expect(server.wait(10) != 0 and "has one queue, not 2" in server.output(), server.output())


def add_cases(add):
    add("several queues: all of them serve", serves_from_all)
    add("several queues: connections come and go", comes_and_goes)
    add("several queues: a device that has one", too_many)
