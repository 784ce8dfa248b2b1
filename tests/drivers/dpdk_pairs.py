"""The dpdk: driver between two processes, and against the kernel: prints TAP. --case picks by regular expression.

    server  [ net_vhost ]====( shared memory )====[ net_virtio_user ]  client        also memif, and with the roles changed
    198.18.0.1                                              198.18.0.2
"""

import argparse
import os
import re
import signal
import struct
import sys
import tempfile
import time
import tty

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

import dpdk_queue_cases  # noqa: E402
import pcapng  # noqa: E402
import testbed  # noqa: E402
import vhost_user  # noqa: E402
from testbed import PEER, PREFIX, STACK, SOAK, Failure, Skip, end_on_signals, expect, run  # noqa: E402

MEGABYTE = 1 << 20
HUGEPAGES = "vm.nr_hugepages"
MUCH = 10_000 * MEGABYTE if SOAK else 100 * MEGABYTE


class Wire:
    """The two ends of a wire in shared memory: device specs."""

    def __init__(self, kind, folder):
        self.socket = os.path.join(folder, "wire.sock")
        self.vhost = f"dpdk:net_vhost0,iface={self.socket}"
        self.virtio = f"dpdk:net_virtio_user0,path={self.socket}"
        memif = f"socket={self.socket},socket-abstract=no"
        self.first, self.second = {
            "vhost": (self.vhost, self.virtio),
            "memif": (f"dpdk:net_memif0,role=server,{memif}", f"dpdk:net_memif0,role=client,{memif}"),
        }[kind]

    def wait(self, bench):
        bench.until("the socket is there", lambda: os.path.exists(self.socket), 10)


class Bench(testbed.Bench):
    def __init__(self, programs):
        super().__init__(programs)
        self._folder = tempfile.TemporaryDirectory(prefix="millrace-dpdk-")

    def wire(self, kind="vhost"):
        return Wire(kind, self._folder.name)

    def path(self, name):
        return os.path.join(self._folder.name, name)

    def echo(self, device, address=PEER, namespace=None, options=()):
        server = self.start([self.programs.echo, "--dev", device, "--addr", f"{address}/{PREFIX}", "--discard-port", 9,
                             "--chargen-port", 19, *options], namespace)
        server.wait_for("serving on")
        return server

    def load(self, device, mode, *options, host=PEER, address=STACK, namespace=None, timeout=100):
        return self.start([self.programs.load, mode, "--host", host, "--dev", device, "--addr", f"{address}/{PREFIX}",
                           "--timeout", timeout, *options], namespace)

    def reserve_hugepages(self, count):
        """Of the whole machine, until clean_up(); none are taken away."""
        if int(run(["sysctl", "-n", HUGEPAGES])) < count:
            self.tell_machine(HUGEPAGES, count)
        if int(run(["sysctl", "-n", HUGEPAGES])) < count:
            raise Skip("the machine has no room for hugepages")

    def clean_up(self):
        super().clean_up()
        self._folder.cleanup()


def intact(program, seconds=90):
    expect('intact="yes"' in program.succeed(seconds), f"not intact: {program.output().strip()}")


# ---- two processes

def transfers(bench, kind):
    """Every byte of streams in both directions at once, on one connection and on many, comes back as it was sent."""
    wire = bench.wire(kind)
    server = bench.echo(wire.first)
    wire.wait(bench)
    intact(bench.load(wire.second, "bulk", "--direction", "echo", "--bytes", MUCH))
    intact(bench.load(wire.second, "many", "--connections", 50, "--bytes", MEGABYTE))
    intact(bench.load(wire.second, "udp", "--count", 2000, "--size", 1000))
    expect(server.running(), "the server ended")


def other_roles(bench, kind):
    """The server at the end that connects: it waits for nobody, and serves one client after the other."""
    wire = bench.wire(kind)
    def say():
        return bench.load(wire.first, "say", "--text", "hello", host=STACK, address=PEER)
    first = say()
    wire.wait(bench)
    server = bench.echo(wire.second, STACK)
    # On a slow machine the server may need longer than the client asks for its hardware address.
    if first.wait() != 0 and "No route to host" in first.output():
        first = say()
    intact(first)
    for _ in range(2):
        intact(bench.load(wire.first, "bulk", "--direction", "echo", "--bytes", 20 * MEGABYTE, host=STACK, address=PEER))
    expect(server.running(), "the server ended")


def one_copy(bench):
    """What is sent is attached, what is received is lent: the only copies are those of send() and recv()."""
    wire = bench.wire()
    server = bench.echo(wire.vhost)
    wire.wait(bench)
    client = bench.load(wire.virtio, "bulk", "--port", 19, "--direction", "receive", "--bytes", 200 * MEGABYTE, "--stats")
    intact(client)
    sent = bench.counters(server)
    received = {name: int(value) for name, value in re.findall(r"^stats (\S+) (\d+)$", client.output(), re.MULTILINE)}
    attached, copied = sent["device.TxBytesAttached"], sent["device.TxBytesCopied"]
    expect(attached >= 190 * MEGABYTE, f"only {attached} bytes were sent from where they lay")
    expect(copied < attached / 100, f"{copied} bytes were copied on sending, {attached} were not")
    expect(received["device.RxCopiedOut"] == 0, f"{received['device.RxCopiedOut']} frames were copied out of the mbufs")


def asked_ahead(bench):
    """The bytes of small frames are asked for before vhost comes to them, however often the client's memory grew and
    whichever client it is; not of rings of another kind."""
    wire = bench.wire()
    server = bench.echo(wire.vhost)
    wire.wait(bench)
    asked_before, frames_before = (0, 0), (0, 0)
    for _ in range(2):
        intact(bench.load(wire.virtio, "bulk", "--direction", "echo", "--bytes", 20 * MEGABYTE))
        intact(bench.load(wire.virtio, "rr", "--connections", 20, "--seconds", 1))
        seen = bench.counters(server)
        asked = seen["device.RxAskedAhead"], seen["device.TxAskedAhead"]
        frames = seen["device.RxPackets"], seen["device.TxPackets"]
        for now, earlier, came, came_earlier in zip(asked, asked_before, frames, frames_before):
            expect(now - earlier > (came - came_earlier) / 4,
                   f"of {came - came_earlier} frames only {now - earlier} were asked for")
        asked_before, frames_before = asked, frames
    intact(bench.load(f"{wire.virtio},packed_vq=1", "rr", "--connections", 20, "--seconds", 1))
    seen = bench.counters(server)
    expect((seen["device.RxAskedAhead"], seen["device.TxAskedAhead"]) == asked_before, "a packed ring was taken for a split one")


def external_buffers(bench):
    """A long frame in a buffer that the driver had to allocate for it is copied out of there."""
    wire = bench.wire()
    server = bench.echo(f"{wire.vhost},linear-buffer=1,ext-buffer=1")
    wire.wait(bench)
    intact(bench.load(wire.virtio, "bulk", "--direction", "echo", "--bytes", 20 * MEGABYTE))
    expect(bench.counters(server)["device.RxCopiedOut"] > 0, "no frame came in such a buffer")


def captured(bench):
    """Both directions are recorded, super-frames of many mbufs whole."""
    wire, path = bench.wire(), bench.path("out.pcapng")
    server = bench.echo(wire.vhost, options=["--capture", f"{path},tcp"])
    wire.wait(bench)
    intact(bench.load(wire.virtio, "bulk", "--direction", "echo", "--bytes", 5 * MEGABYTE))
    expect(bench.counters(server)["device.CaptureFramesLost"] == 0, "frames were not recorded")
    segments = pcapng.tcp_segments(pcapng.read(path))
    for source, direction in ((STACK, pcapng.INBOUND), (PEER, pcapng.OUTBOUND)):
        found = [(frame, segment) for frame, segment in segments if segment.source[0] == source]
        expect(all(frame.direction == direction for frame, _ in found), f"directions of {source}'s frames")
        expect(sum(segment.payload for _, segment in found) >= 5 * MEGABYTE, f"bytes of {source}'s are missing")
        expect(max(frame.length for frame, _ in found) > 3000, f"no super-frame from {source}")


def sleeps(bench, kind):
    """Idle means asleep, whether frames wake a descriptor or somebody has to look."""
    wire = bench.wire(kind)
    server = bench.echo(wire.first)
    wire.wait(bench)
    client = bench.load(wire.second, "hold", "--connections", 3, "--seconds", 5)
    # A client computes while it starts, on a busy machine for longer than a second.
    bench.until("the connections are there", lambda: bench.counters(server)["echo.Open"] == 3, 30)
    time.sleep(1.5)
    before = server.cpu_seconds(), client.cpu_seconds()
    time.sleep(1.5)
    spent = server.cpu_seconds() - before[0], client.cpu_seconds() - before[1]
    limit = 0.05 if kind == "vhost" else 0.3
    expect(max(spent) <= limit, f"idle for 1.5 s, they computed {spent[0]:.2f} s and {spent[1]:.2f} s")
    client.succeed()


def hugepages(bench):
    """Memory of hugepages is used where there is some, and programs end well with it."""
    bench.reserve_hugepages(256)
    wire = bench.wire()
    server = bench.echo(wire.vhost)
    wire.wait(bench)
    with open(f"/proc/{server.pid}/status", encoding="ascii") as status:
        expect(int(re.search(r"^HugetlbPages:\s+(\d+)", status.read(), re.MULTILINE).group(1)) > 0, "no hugepage is used")
    intact(bench.load(wire.virtio, "bulk", "--direction", "echo", "--bytes", MUCH))
    for _ in range(100 if SOAK else 10):
        intact(bench.load(wire.virtio, "many", "--connections", 5, "--bytes", MEGABYTE))
    expect(server.running(), "the server ended")


# ---- failures

def lost_client(bench, kind):
    """A client that is killed in the middle of a transfer: the next one is served."""
    wire = bench.wire(kind)
    server = bench.echo(wire.first)
    wire.wait(bench)
    for _ in range(3):
        client = bench.load(wire.second, "bulk", "--direction", "echo", "--bytes", 10_000 * MEGABYTE)
        time.sleep(1)
        expect(client.running(), f"the client ended: {client.output()}")
        client.signal(signal.SIGKILL)
        client.wait()
    intact(bench.load(wire.second, "bulk", "--direction", "echo", "--bytes", 20 * MEGABYTE))
    expect(server.running(), "the server ended")
    expect(bench.counters(server)["link.LinkDownEvents"] >= 3, "the link did not go down")


def lost_listener(bench, kind):
    """The end that listens is killed in the middle of a transfer: the other finds it again when it is back."""
    wire = bench.wire(kind)

    def start():
        return bench.load(wire.first, "bulk", "--direction", "echo", "--bytes", 10_000 * MEGABYTE, host=STACK, address=PEER)
    first = start()
    wire.wait(bench)
    server = bench.echo(wire.second, STACK)

    def transfers(served):
        nonlocal first
        # One that did not hear from a slow server while its link came up.
        if not first.running() and "No route to host" in first.output():
            first = start()
        return bench.counters(server)["echo.Accepted"] >= served
    for served in range(1, 4):
        bench.until("a transfer", lambda: transfers(served), 30)  # noqa: B023
        time.sleep(0.3)
        expect(first.running(), f"the client ended: {first.output()}")
        first.signal(signal.SIGKILL)
        first.wait()
        first = start()
    first.signal(signal.SIGKILL)
    first.wait()
    intact(bench.load(wire.first, "bulk", "--direction", "echo", "--bytes", 20 * MEGABYTE, host=STACK, address=PEER))
    expect(server.running(), "the server ended")
    counters = bench.counters(server)
    for counter in ("link.LinkDownEvents", "device.PortReopened"):
        expect(counters[counter] >= 3, f"{counter} is {counters[counter]}")


def bad_peer(bench):
    """A peer that takes its memory away, or has its rings where there is none: nobody looks there, and whoever comes next is
    served."""
    wire = bench.wire()
    server = bench.echo(wire.vhost)
    wire.wait(bench)

    def takes_memory_away(peer):
        peer.take_memory_away()
        peer.send(vhost_user.GET_FEATURES)

    def moves_a_ring(peer):
        peer.set_ring(1, used=vhost_user.MEMORY - vhost_user.QUEUE - 2, first=peer.used())

    def enlarges_a_ring(peer):
        peer.enable(False)
        peer.set_size(1, 1 << 15)

    def has_a_ring_behind_its_file(peer):
        peer.enable(False)
        expect(peer.set_memory(size=2 * vhost_user.MEMORY) == 0, "memory that is not there was refused")
        peer.set_ring(1, descriptors=vhost_user.MEMORY, first=peer.used())

    for spoil in (takes_memory_away, moves_a_ring, enlarges_a_ring, has_a_ring_behind_its_file):
        taken = bench.counters(server)["device.RxPackets"]
        peer = vhost_user.VhostUser(wire.socket)
        try:
            peer.set_up()
            peer.await_used(peer.offer_frames())
            asked = bench.counters(server)["device.RxAskedAhead"]
            spoil(peer)
            peer.offer_frames(number=(1 << 15) - 1 if spoil is enlarges_a_ring else None)
            for _ in range(3):
                counters = bench.counters(server)  # it looks for frames, too
        finally:
            peer.close()
        new = counters["device.RxPackets"] - taken
        expect(new == 64, f"{spoil.__name__}: {new} frames were taken instead of 64")
        expect(counters["device.RxAskedAhead"] == asked, f"{spoil.__name__}: the ring was looked at")
    intact(bench.load(wire.virtio, "bulk", "--direction", "echo", "--bytes", 20 * MEGABYTE))
    expect(server.running(), "the server ended")


def strange_kicks(bench):
    """A peer that kicks by other descriptors than it said first: it is heard, and a kick that nobody can take off does not
    keep the server from sleep."""
    wire = bench.wire()
    server = bench.echo(wire.vhost)
    wire.wait(bench)

    def kicks_anew(peer):
        peer.set_event(vhost_user.SET_VRING_KICK, 1)

    def kicks_anew_with_other_memory(peer):
        peer.take_memory_away()
        expect(peer.set_memory() == 0, "its memory was refused")
        peer.set_ring(0)
        peer.set_ring(1, first=peer.used())
        kicks_anew(peer)
        peer.enable(True)

    def kicks_the_replaced_one(peer):
        replaced = peer.kick
        kicks_anew(peer)
        os.eventfd_write(replaced, 1)

    def kicks_by_a_file_whose_readers_wait(peer):
        theirs, own = os.openpty()
        tty.setraw(own)
        peer.set_event(vhost_user.SET_VRING_KICK, 1, theirs)
        peer.kick = own

    for change in (kicks_anew, kicks_anew_with_other_memory, kicks_the_replaced_one, kicks_by_a_file_whose_readers_wait):
        peer = vhost_user.VhostUser(wire.socket)
        try:
            peer.set_up()
            peer.await_used(peer.offer_frames())
            change(peer)
            peer.await_used(peer.offer_frames())
            time.sleep(0.3)
            before = server.cpu_seconds()
            time.sleep(1)
            spent = server.cpu_seconds() - before
            expect(spent <= 0.1, f"{change.__name__}: idle for a second, it computed {spent:.2f} s")
            peer.await_used(peer.offer_frames())
        finally:
            peer.close()
    intact(bench.load(wire.virtio, "bulk", "--direction", "echo", "--bytes", 20 * MEGABYTE))
    expect(server.running(), "the server ended")


def few_mbufs(bench):
    """Received data that nobody reads holds mbufs; with few of them frames are copied out, and nothing stops."""
    wire = bench.wire()
    server = bench.echo(wire.vhost.replace("dpdk:", "dpdk(pool=64):"))
    wire.wait(bench)
    intact(bench.load(wire.virtio, "many", "--connections", 50, "--bytes", MEGABYTE))
    # A client that does not read yet keeps the server from it, too.
    intact(bench.load(wire.virtio, "bulk", "--direction", "echo", "--bytes", 20 * MEGABYTE, "--pause", 1))
    counters = bench.counters(server)
    expect(counters["device.RxCopiedOut"] > 0, "no frame was copied out")
    expect(counters["device.RxMbufsLent"] <= 64, "too many mbufs are lent")


# ---- the kernel at the other end

def af_packet(bench):
    """net_af_packet takes no super-frames and no unfinished checksums: the peer must not make them."""
    bench.connect(offloads={"tx": "off", "tso": "off", "gso": "off"})
    server = bench.echo("dpdk:net_af_packet0,iface=stack0", STACK, bench.stack)
    intact(bench.start([bench.programs.load, "bulk", "--host", STACK, "--direction", "echo", "--bytes", 20 * MEGABYTE],
                       bench.peer))
    server.end()
    kernel = bench.start([bench.programs.echo, "--kernel"], bench.peer)
    kernel.wait_for("serving on")
    intact(bench.load("dpdk:net_af_packet0,iface=stack0", "bulk", "--direction", "echo", "--bytes", 20 * MEGABYTE,
                      namespace=bench.stack))


def tap(bench):
    """net_tap makes an interface of the kernel's."""
    bench.connect()
    bench.echo("dpdk:net_tap0,iface=mrtap0", STACK, bench.stack)
    for command in (["link", "set", "mrtap0", "up"], ["addr", "add", f"{PEER}/{PREFIX}", "dev", "mrtap0"]):
        run(["ip", "-n", bench.stack, *command])
    intact(bench.start([bench.programs.load, "bulk", "--host", STACK, "--direction", "echo", "--bytes", 20 * MEGABYTE],
                       bench.stack))


# ---- unmodified programs

CLIENT = f"""
import os, select, socket, time
def connect():
    for _ in range(100):
        try:
            return socket.create_connection(("{PEER}", 7))
        except OSError:
            time.sleep(0.1)
peer = connect()
data = os.urandom(300000)
peer.setblocking(False)
sent, got = 0, b""
poll = select.epoll()
poll.register(peer, select.EPOLLIN | select.EPOLLOUT)
while len(got) < len(data):
    for _, events in poll.poll():
        if events & select.EPOLLOUT and sent < len(data): sent += peer.send(data[sent:sent + 50000])
        if events & select.EPOLLIN: got += peer.recv(1 << 16)
    if sent == len(data): poll.modify(peer, select.EPOLLIN)
pair = socket.socketpair()
pair[0].send(b"kernel")
print("same" if got == data and pair[1].recv(9) == b"kernel" else "differs")
"""


def unmodified(bench):
    """`millrace run` with a program that knows nothing of us: DPDK's own calls go to the kernel."""
    wire = bench.wire()
    bench.echo(wire.vhost)
    wire.wait(bench)
    program = run_client(bench, wire.virtio)
    expect(program.succeed(30).startswith("same"), f"wrong: {program.output()}")


def run_client(bench, device, namespace=None):
    return bench.start([bench.programs.millrace, "run", "--dev", device, "--addr", f"{STACK}/{PREFIX}", "--",
                        "/usr/bin/python3", "-c", CLIENT], namespace)


def unmodified_tap(bench):
    """The same where DPDK opens AF_INET sockets in threads of its own."""
    bench.connect()
    program = run_client(bench, "dpdk:net_tap0,iface=mrtap0", bench.stack)
    bench.until("the interface", lambda: "mrtap0" in run(["ip", "-n", bench.stack, "link"]), 10)
    for command in (["link", "set", "mrtap0", "up"], ["addr", "add", f"{PEER}/{PREFIX}", "dev", "mrtap0"]):
        run(["ip", "-n", bench.stack, *command])
    bench.start([bench.programs.echo, "--kernel"], bench.stack)
    expect(program.succeed(30).startswith("same"), f"wrong: {program.output()}")


def all_cases():
    cases = []
    for kind in ("vhost", "memif"):
        for case in (transfers, other_roles, sleeps, lost_client, lost_listener):
            cases.append((f"{case.__name__}-{kind}", lambda bench, case=case, kind=kind: case(bench, kind)))
    for case in (one_copy, asked_ahead, external_buffers, captured, hugepages, bad_peer, strange_kicks, few_mbufs, af_packet, tap, unmodified,
                 unmodified_tap):
        cases.append((case.__name__, case))
    return cases + dpdk_queue_cases.all_cases()


def no_dpdk(programs):
    """Why there is none, in the words that a user reads."""
    said = run([programs.echo, "--dev", "dpdk:net_nonesuch0", "--addr", f"{STACK}/{PREFIX}"], check=False)
    return said.strip() if "has no DPDK" in said else ""


def main():
    parser = argparse.ArgumentParser()
    for program in ("echo", "load", "millrace"):
        parser.add_argument(f"--{program}", required=True, type=os.path.abspath)
    testbed.add_case_options(parser)
    options = parser.parse_args()
    end_on_signals()
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root for network namespaces")
        return 0
    if missing := no_dpdk(options):
        print(f"1..0 # SKIP {missing}")
        return 0
    return testbed.run_cases(options, all_cases(), lambda: Bench(options))


if __name__ == "__main__":
    sys.exit(main())
