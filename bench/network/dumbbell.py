"""A bottleneck between two senders and two receivers, one of each on the stack and one on the kernel.

    sender of the stack   [ veth ]==+                           +==[ veth ]   receiver of the stack
                                  bridge ==[ relay ]== bridge
    sender of the kernel  [ veth ]==+                           +==[ veth ]   receiver of the kernel

The relay (tests/support/relay.cc) delays, has a rate with a queue that drops at its end, and loses full-sized segments by
chance from a seed. Senders put single segments on the wire, both of them: their veths have no segmentation offload.
"""

import dataclasses
import json
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tests", "support"))

import testbed  # noqa: E402
from testbed import expect, run  # noqa: E402

KINDS = ("millrace", "kernel")
SENDERS = {"millrace": "198.18.0.11", "kernel": "198.18.0.12"}
RECEIVERS = {"millrace": "198.18.0.21", "kernel": "198.18.0.22"}
MSS = 1448
# The relay preempts what it carries frames for, and that what else the machine does: the kernel's TCP works in interrupts, and
# a stack in a program should not be measured by how long the scheduler lets it wait.
RELAY_PRIORITY = ["chrt", "-f", "10"]
PRIORITY = ["chrt", "-f", "5"]


@dataclasses.dataclass
class Path:
    """What the relay makes of the path; the same both ways, but that ACKs are not lost by chance."""

    rate_mbit: float = 50
    rtt_ms: float = 20
    queue_bdp: float = 1
    loss_percent: float = 0

    @property
    def queue_bytes(self):
        return max(int(self.rate_mbit * 1e6 / 8 * self.rtt_ms / 1e3 * self.queue_bdp), 10 * 1514)

    @property
    def segment_ms(self):
        """The time of a full segment: by up to so much the delay varies, in order. Where all times are the same, a queue
        that drops at its end takes the phase of a flow's packets for a reason to drop them (Floyd and Jacobson 1992)."""
        return 1514 * 8 / self.rate_mbit / 1e3

    def options(self, seed):
        return ["--segment", "--rate", self.rate_mbit, "--delay", self.rtt_ms / 2, "--spread", self.segment_ms, "--queue", 100000,
                "--queue-bytes", self.queue_bytes, "--loss", self.loss_percent / 100, "--loss-from", MSS,
                "--seed", seed]


@dataclasses.dataclass
class Flow:
    """One transfer: who sends to whom."""

    sender: str
    receiver: str = "kernel"
    congestion: str = "cubic"


class Dumbbell(testbed.Bench):
    """The namespaces, and two discard servers that run until the end. The relay is started anew for each run."""

    def build(self, mtu=1500):
        self.middle = self._namespace("middle")
        for side in ("left", "right"):
            self._in(self.middle, "ip", "link", "add", f"{side}-br", "type", "bridge", "forward_delay", 0, "mcast_snooping", 0)
            self._in(self.middle, "ip", "link", "set", f"{side}-br", "up")
            self._cable(self.middle, f"{side}-in", self.middle, side, mtu)
            self._join(f"{side}-in", side)
        self._ends = {}
        for side, addresses in (("left", SENDERS), ("right", RECEIVERS)):
            for kind in KINDS:
                name = f"{side}-{kind[0]}"
                self._ends[side, kind] = space = self._namespace(name)
                self._cable(self.middle, name, space, "eth0", mtu)
                self._join(name, side)
                run(["ip", "netns", "exec", space, "ethtool", "-K", "eth0", "tso", "off", "gso", "off"])
                if kind == "kernel":
                    self._in(space, "ip", "addr", "add", f"{addresses[kind]}/24", "dev", "eth0")
        for kind in KINDS:
            where = ["--kernel"] if kind == "kernel" else ["--dev", "af_packet:eth0"]
            server = self.start([*PRIORITY, self.programs.echo, *where, "--addr", RECEIVERS[kind] + ("" if kind == "kernel" else "/24"),
                                 "--port", 7, "--discard-port", 9], self._ends["right", kind])
            server.wait_for("serving on")
        return self

    @staticmethod
    def _in(space, *command):
        return run(["ip", "netns", "exec", space, *map(str, command)])

    def _join(self, name, side):
        self._in(self.middle, "ip", "link", "set", name, "master", f"{side}-br")

    def _load(self, flow, *options):
        where = [] if flow.sender == "kernel" else ["--dev", "af_packet:eth0", "--addr", SENDERS[flow.sender] + "/24"]
        return self.start([*PRIORITY, self.programs.load, "bulk", "--host", RECEIVERS[flow.receiver], *where, "--congestion",
                           flow.congestion, "--json", *options], self._ends["left", flow.sender])

    def transfer(self, path, flows, seed, *options, limit=120):
        """Runs the flows at once over a fresh bottleneck. Returns (a dictionary for each of them, that of the relay)."""
        relay = self.start([*RELAY_PRIORITY, self.programs.relay, *path.options(seed), "left", "right"], self.middle)
        relay.wait_for("ready")
        programs = [self._load(flow, "--timeout", limit, *options) for flow in flows]
        results = [json.loads(program.succeed(limit + 10).splitlines()[-1]) for program in programs]
        relay.signal(signal.SIGTERM)
        counts = counts_of(relay.succeed())
        for program in (*programs, relay):
            program.end()
            self._started.remove(program)
        return results, counts


def counts_of(text):
    """The relay's lines: {"left -> right": {"frames": 123, ...}, ...}."""
    found = {}
    for way, counts in re.findall(r"^(\S+ -> \S+):(.*)$", text, re.MULTILINE):
        found[way] = {name: int(value) for name, value in re.findall(r"(\S+) (\d+)", counts)}
    expect(len(found) == 2, f"the relay did not say what it did: {text}")
    return found
