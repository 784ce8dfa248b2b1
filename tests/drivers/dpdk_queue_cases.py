"""Several queues of a dpdk: device at both ends of a wire in shared memory, with a program of several threads as client."""

import os
import re
import signal
import time

import testbed  # of tests/support, where dpdk_pairs has us look
from testbed import PEER, PREFIX, STACK, expect

QUEUES = 2
THREADS, EACH = 4, 15
CONNECTIONS = THREADS * EACH
# Threads get queues in turn, and their connections are where they are. Argument: how often each connection is used.
CROWD = f"""
import os, socket, sys, threading, time
host, rounds = sys.argv[1], int(sys.argv[2])
right = []
connected = threading.Barrier({THREADS}, lambda: print("connected", os.getpid(), flush=True))
def connect():
    for _ in range(100):
        try:
            return socket.create_connection((host, 7), 10)
        except OSError:
            time.sleep(0.1)
def talk():
    peers = [connect() for _ in range({EACH})]
    connected.wait()
    for _ in range(rounds):
        data = os.urandom(3000)
        for peer in peers: peer.sendall(data)
        for peer in peers:
            got = b""
            while len(got) < len(data):
                more = peer.recv(1 << 16)
                if not more: return
                got += more
            if got != data: return
    right.append(True)
threads = [threading.Thread(target=talk) for _ in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("same" if len(right) == {THREADS} else "differs")
"""
ENDLESS = 1_000_000


def serve(bench, device, address):
    return bench.echo(device, address, options=["--queues", QUEUES])


def crowd(bench, device, address, host, rounds):
    return bench.start([bench.programs.millrace, "run", "--queues", QUEUES, "--dev", device, "--addr", f"{address}/{PREFIX}", "--",
                        "/usr/bin/python3", "-c", CROWD, host, rounds])


def same(program, seconds=90):
    expect("same" in program.succeed(seconds), f"wrong: {program.output().strip()}")


def connections(bench):
    """{(local, remote): queue} of all that is established at either end."""
    said = testbed.run([bench.programs.millrace, "ss", "-tne"])
    return {found[:2]: int(found[2]) for found in re.findall(r"ESTAB +\d+ +\d+ +(\S+) +(\S+) .*queue:(\d)", said)}


def stays_in_its_queue(bench, kind):
    """Both ends have a connection in the same queue, from its first frame to its last, and its frames come in there."""
    wire = bench.wire(kind)
    server = serve(bench, wire.first, PEER)
    wire.wait(bench)
    client = crowd(bench, wire.second, STACK, PEER, 400)
    client.wait_for("^connected", 30)
    seen = {}
    while client.running():
        for ends, queue in connections(bench).items():
            seen.setdefault(ends, set()).add(queue)
        time.sleep(0.05)
    same(client)
    served = {ends: queues for ends, queues in seen.items() if ends[0] == f"{PEER}:7"}
    expect(len(served) == CONNECTIONS, f"{len(served)} connections were seen")
    for (local, remote), queues in served.items():
        expect(len(queues) == 1 and seen.get((remote, local)) == queues, f"{remote} is in {queues}, {seen.get((remote, local))}")
    for queue in range(QUEUES):
        count = sum(queue in queues for queues in served.values())
        expect(CONNECTIONS / QUEUES / 2 <= count, f"{count} of {CONNECTIONS} connections are in queue {queue}")
    counters = bench.counters(server)
    frames, handed_over = counters["device.RxPackets"], counters["device.HandedOver"]
    # ARP is for both.
    expect(frames > 1000 and handed_over <= 20, f"{handed_over} of {frames} frames came in by the wrong queue")


def lost_client(bench, kind):
    """A client that is killed while both queues are in use: the next one is served."""
    wire = bench.wire(kind)
    server = serve(bench, wire.first, PEER)
    wire.wait(bench)
    for _ in range(2):
        kill_in_traffic(crowd(bench, wire.second, STACK, PEER, ENDLESS))
    same(crowd(bench, wire.second, STACK, PEER, 20))
    expect(server.running(), "the server ended")


def lost_listener(bench, kind):
    """The end that listens is killed while both queues are in use: the other closes its port under all of them, and opens it again."""
    wire = bench.wire(kind)

    def start(rounds=ENDLESS):
        return crowd(bench, wire.first, PEER, STACK, rounds)
    first = start()
    wire.wait(bench)
    server = serve(bench, wire.second, STACK)
    for _ in range(2):
        kill_in_traffic(first)
        first = start()
    kill_in_traffic(first)
    same(start(20))
    expect(server.running(), "the server ended")
    counters = bench.counters(server)
    expect(counters["device.PortReopened"] >= 3, f"the port was opened again {counters['device.PortReopened']} times")
    expect(counters["device.HandedOver"] < counters["device.RxPackets"] / 20, f"frames came in by the wrong queue: {counters}")


def kill_in_traffic(client):
    # Not `millrace run`, which starts it.
    pid = int(client.wait_for(r"^connected (\d+)", 30).group(1))
    time.sleep(0.5)
    expect(client.running(), f"the client ended: {client.output()}")
    os.kill(pid, signal.SIGKILL)
    client.wait()


def too_many(bench):
    """One line where the device has fewer."""
    device = bench.wire().vhost + ",queues=1"
    server = bench.start([bench.programs.echo, "--dev", device, "--addr", f"{PEER}/{PREFIX}", "--queues", QUEUES])
    expect(server.wait(20) != 0 and "has 1 queue, not 2" in server.output(), server.output())
    expect(server.output().count("\n") == 1, server.output())


def all_cases():
    cases = [("queues: too many", too_many)]
    for kind, case in (("vhost", stays_in_its_queue), ("memif", stays_in_its_queue), ("vhost", lost_client), ("vhost", lost_listener)):
        cases.append((f"queues: {case.__name__}-{kind}", lambda bench, case=case, kind=kind: case(bench, kind)))
    return cases
