"""A device with several queues, each with a stack and a thread of its own."""

import re
import signal
import subprocess
import sys
import time

import pcapng  # of tests/support, where harness has us look
from capture_cases import carried, read, with_folder
from command_cases import with_tools
from harness import PEER, STACK, expect

MB = 1_000_000
QUEUES = 2


def several(bench):
    """A device with several queues; none: the driver's own will do. A TAP or a cable that is there has one queue."""
    if bench.driver == "xdp":
        bench.connect_anew(QUEUES)
    if bench.driver != "tap":
        return None
    bench.in_peer("ip", "link", "del", "peer0")
    return f"tap(peer_address={PEER}/24):peer0"


def echo(bench):
    """A server with so many queues, on the driver's device."""
    bench.connect()
    return bench.echo("--queues", QUEUES, device=several(bench))


def serves_from_all(bench):
    """What the kernel's clients send comes back whole, whichever queue it came in by."""
    server = echo(bench)
    bench.load("rr", "--connections", 200, "--count", 20000).succeed()
    bench.load("bulk", "--connections", 8, "--bytes", 200 * MB).succeed()
    bench.load("udp", "--connections", 20, "--count", 2000).succeed()
    bench.in_peer("ping", "-c", 5, "-i", 0.05, "-W", 2, STACK)
    # What the kernel has put together is more than net_af_packet takes.
    large = 1000 if bench.driver == "dpdk" else 5000
    bench.in_peer("ping", "-c", 5, "-i", 0.05, "-W", 2, "-s", large, STACK)
    counters = bench.counters(server)
    expect(counters["echo.Errors"] == 0, str(counters))
    expect(counters["ip.IcmpOutEchoReps"] == 10, "each ping is answered once")
    expect(counters["neighbour.ArpRepliesSent"] <= 3, "ARP is answered once")
    # The kernel gives what one of DPDK's rings has no room for to another: a frame may come when its connection is over.
    if bench.driver != "dpdk":
        expect(counters["tcp.TcpOutRsts"] == 0, "nothing went to a queue that does not know it")
    if bench.driver == "af_packet":
        # ARP alone is handed over: the kernel's program steers the rest.
        expect(counters["device.HandedOver"] <= 20, f"{counters['device.HandedOver']} frames came in by the wrong queue")
    if bench.driver == "xdp":
        # A kernel's end of a veth picks a queue for each of its sockets as it likes.
        expect(counters["device.HandedOver"] > 1000, f"{counters['device.HandedOver']} frames came in by the wrong queue")
    expect_none_lost(bench, server)


def expect_none_lost(bench, server):
    """What one queue handed over, another one takes, also the last of a connection, which may be on their way still."""
    deadline = time.monotonic() + 10
    while True:
        counters = bench.counters(server)
        handed_over, taken = counters["device.HandedOver"], counters["device.TakenOver"]
        if handed_over == taken:
            return
        expect(time.monotonic() < deadline, f"{handed_over} frames were handed over, {taken} taken")
        time.sleep(0.1)


@with_tools
def stays_in_its_queue(bench, tools):
    """A connection is in one queue from its first frame to its last, and its frames come in there."""
    connections = 60
    server = tools.echo("--queues", QUEUES, device=several(bench))
    load = bench.load("rr", "--connections", connections, "--seconds", 3)
    queues = {}
    while load.running():
        for line in tools.say("ss", "-tne").splitlines():
            found = re.search(r"ESTAB +\d+ +\d+ +(\S+) +(\S+) .*queue:(\d)", line)
            if found:
                queues.setdefault(found.groups()[:2], set()).add(int(found[3]))
    load.succeed()
    expect(len(queues) >= connections, f"{len(queues)} connections were seen")
    expect(all(len(seen) == 1 for seen in queues.values()), f"a connection changed its queue: {queues}")
    expect({queue for seen in queues.values() for queue in seen} == set(range(QUEUES)), f"all are used: {queues}")
    counters = bench.counters(server)
    frames, handed_over = counters["device.RxPackets"], counters["device.HandedOver"]
    if bench.driver == "dpdk":
        # DPDK's sockets get what the kernel's own hash says: each frame that comes in by the wrong queue is handed over.
        expect(handed_over > 0, "no frame was handed over")
        expect_none_lost(bench, server)
        return
    # The kernel steers by a program of ours; on a TAP to where it last heard of a flow from, after the first frame.
    strangers = connections + 20 if bench.driver == "tap" else 20
    expect(frames > 50 * strangers, f"{frames} frames are too few to tell")
    if bench.driver != "xdp":
        expect(handed_over <= strangers, f"{handed_over} of {frames} frames came in by the wrong queue")
    expect_none_lost(bench, server)


@with_tools
def is_listed_once(bench, tools):
    """What the server has in each queue: listeners and the UDP socket of each of its threads, a line each."""
    tools.echo("--queues", QUEUES, device=several(bench))
    for flags, port in (("-tln", 7), ("-tln", 9), ("-uln", 7)):
        lines = [line for line in tools.say("ss", flags).splitlines() if f"0.0.0.0:{port} " in line]
        expect(len(lines) == QUEUES, f"one a thread: {lines}")
    summary = tools.say("ss", "-s")
    expect(re.search(rf"^TCP: +{3 * QUEUES} ", summary, re.MULTILINE), summary)
    expect(re.search(rf"^UDP\s+{QUEUES} ", summary, re.MULTILINE), summary)


@with_folder
def is_captured(bench, path):
    """All queues record into one file: each frame once, whichever queue it came in by."""
    server = bench.echo("--queues", QUEUES, "--capture", path, device=several(bench))
    before = bench.counters(server)["tcp.Connections"]
    bench.load("rr", "--connections", 40, "--count", 4000).succeed()
    bench.until("all are gone", lambda: bench.counters(server)["tcp.Connections"] == before, 10)
    counters = bench.counters(server)
    expect(counters["device.CaptureFramesLost"] == 0, f"lost: {counters}")
    server.signal(signal.SIGTERM)
    server.wait(10)
    capture = read(path)
    inbound = sum(frame.direction == pcapng.INBOUND for frame in capture.frames)
    outbound = len(capture.frames) - inbound
    # The counters were told before the server ended, which had little to say after that.
    for recorded, passed in ((inbound, counters["device.RxPackets"]), (outbound, counters["device.TxPackets"])):
        expect(passed <= recorded <= passed + 5, f"{recorded} frames of {passed} are recorded")
    segments = pcapng.tcp_segments(capture)
    for ends, counter in (((PEER, STACK), "echo.BytesIn"), ((STACK, PEER), "echo.BytesOut")):
        expect(carried(segments, *ends) == counters[counter], f"{carried(segments, *ends)} bytes of {ends}: {counters}")


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


def under_load(bench, disturb):
    """Connections that are under way go on afterwards, to their end."""
    server = echo(bench)
    loads = [bench.load("rr", "--connections", 40, "--count", 200_000), bench.load("bulk", "--bytes", 1000 * MB)]
    bench.until("the load is on", lambda: bench.counters(server)["echo.BytesIn"] > 20 * MB, 10)
    disturb()
    expect(all(load.running() for load in loads), "they have ended before")
    for load in loads:
        load.succeed()
    counters = bench.counters(server)
    expect(counters["tcp.TcpOutRsts"] == 0, "nothing went to a queue that does not know it")
    expect_none_lost(bench, server)


def loses_its_link(bench):
    def pull_and_plug():
        for up in (False, True) * 2:
            bench.set_link(up)
            time.sleep(0.3)
    under_load(bench, pull_and_plug)


def outlives_its_interface(bench):
    """Each queue finds the new one."""
    under_load(bench, lambda: bench.connect_anew(QUEUES))


# Echoes, a thread a connection.
SERVER = """
import socket, threading
listener = socket.create_server(("0.0.0.0", 8080), backlog=50)
def serve(connection):
    while data := connection.recv(100): connection.sendall(data)
print("ready", flush=True)
while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""

CLIENT = f"""
import socket
connections = []
def exchange_all():
    connections.extend(socket.create_connection(("{STACK}", 8080), 30) for _ in range(8))
    for connection in connections:
        connection.sendall(b"echo")
        if connection.recv(4) != b"echo": raise EOFError
exchange_all()
print("before", flush=True)
input()
exchange_all()
print("after", flush=True)
"""


def outlives_it_with_a_program(bench):
    """A program that knows of nothing goes on."""
    bench.connect()
    several(bench)
    bench.start([bench.programs.millrace, "run", "--queues", QUEUES, *bench.stack_options(), "--", sys.executable, "-c", SERVER],
                bench.stack).wait_for("^ready")
    client = bench.start([sys.executable, "-c", CLIENT], bench.peer, stdin=subprocess.PIPE)
    client.wait_for("^before")
    bench.connect_anew(QUEUES)
    client.write("\n")
    expect("after" in client.succeed(40), client.output())


def too_many(bench):
    """One line, and nothing else, where there is one queue."""
    server = bench.connect().start([bench.programs.echo, "--dev", "pcap:out=/dev/null", "--addr", f"{STACK}/24",
                                    "--queues", QUEUES], bench.stack)
    expect(server.wait(10) != 0 and "has one queue, not 2" in server.output(), server.output())


def add_cases(add):
    add("several queues: all of them serve", serves_from_all)
    add("several queues: a connection stays in its own", stays_in_its_queue)
    add("several queues: millrace ss lists a socket once", is_listed_once)
    add("several queues: a capture of all of them", is_captured)
    add("several queues: connections come and go", comes_and_goes)
    add("several queues: a device that has one", too_many)


def add_cases_of_cables(add):
    add("several queues: the link goes down and up under load", loses_its_link)
    add("several queues: the interface is made anew under load", outlives_its_interface)
    add("several queues: a program's interface is made anew", outlives_it_with_a_program)
