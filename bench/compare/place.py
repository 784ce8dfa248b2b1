"""The place where both stacks are measured: two namespaces and a veth, a TAP or a wire in shared memory, and the programs at its ends.

    server [ server0 ]======( veth )======[ client0 ] client         198.18.0.2 the stack's server, 198.18.0.3 the kernel's,
    server [ net_vhost ]==( shared memory )==[ net_virtio_user ] client    198.18.0.1 the kernel's client, 198.18.0.4 the stack's
    server [ ]=========( TAP )=======[ tap0 ] client                 in the client's namespace

A kernel has an address on the veth only while it takes part: else it would answer in the stack's place.
"""

import json
import math
import os
import re
import resource
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tests", "support"))

import testbed  # noqa: E402
from row import sysctl  # noqa: E402
from testbed import expect, run  # noqa: E402
from turns import Client  # noqa: E402

STACK_SERVER, KERNEL_SERVER = "198.18.0.2", "198.18.0.3"
KERNEL_CLIENT, STACK_CLIENT = "198.18.0.1", "198.18.0.4"
# So many more connections a second than one address has ports can be opened from these; the first is the client's.
SOURCES = [f"198.18.0.{number}" for number in range(4, 12)]
CROWD_RATE = 100_000  # a second
SECONDS_TO_START = 15
# Of a client: with all turns of a round, and at the very most.
SECONDS_OF_TURNS, SECONDS_TO_END = 600, 1200
HUGEPAGES = 1024  # of 2 MB
ALLOWED_CONGESTION = "net.ipv4.tcp_allowed_congestion_control"


class Place(testbed.Bench):
    """The namespaces, and what runs in them. Each program has a core of its own, where there are two."""

    def __init__(self, build, congestion="cubic", name=""):
        """`name`: tells its namespaces from another's."""
        super().__init__(None)
        self._name = name
        self.programs = {"echo": f"{build}/apps/echo/millrace-echo", "load": f"{build}/bench/load/millrace-load",
                         "floor": f"{build}/bench/raw-floor", "preload": f"{build}/apps/preload/libmillrace-preload.so",
                         "kv": f"{build}/apps/kv/millrace-kv", "crowd": f"{build}/bench/millrace-crowd",
                         "lwip": f"{build}/bench/lwip-echo"}
        self.plugins = f"{build}/drivers/dpdk"
        self._folder = tempfile.TemporaryDirectory(prefix="millrace-compare-")
        self.server_ns = self.client_ns = None
        cores = sorted(os.sched_getaffinity(0))
        self.server_core = ["taskset", "-c", str(cores[1])] if len(cores) > 1 else []
        self.client_core = ["taskset", "-c", str(cores[0])] if len(cores) > 1 else []
        self.congestion = congestion
        self._addresses = None
        self.capacity, self.capacity_at = 0, 0  # what its kernel answers a second, and when it was asked

    def build(self):
        self.server_ns, self.client_ns = self._namespace(f"server{self._name}"), self._namespace(f"client{self._name}")
        self._cable(self.server_ns, "server0", self.client_ns, "client0", 1500)
        self._allow_congestion()
        self._reserve_hugepages()
        for namespace in (self.server_ns, self.client_ns):
            for name, value in self.settings().items():
                run(["ip", "netns", "exec", namespace, "sysctl", "-qw", f"{name}={value}"])
        return self

    def _allow_congestion(self):
        """A namespace may have only what the machine allows all users."""
        allowed = sysctl(ALLOWED_CONGESTION)
        if self.congestion not in allowed.split():
            self.tell_machine(ALLOWED_CONGESTION, f"{allowed} {self.congestion}")

    def _reserve_hugepages(self):
        """For the packets of the dpdk column, as DPDK's users have them; the kernel gives what it can."""
        if int(sysctl("vm.nr_hugepages")) < HUGEPAGES:
            self.tell_machine("vm.nr_hugepages", HUGEPAGES)

    def settings(self):
        """What the kernels at both ends are told; ports are there again at once for connections of one request."""
        return {"net.ipv4.tcp_congestion_control": self.congestion, "net.ipv4.tcp_tw_reuse": 1,
                "net.ipv4.ip_local_port_range": "1024 65535", "net.core.somaxconn": 4096, "net.ipv4.tcp_max_syn_backlog": 8192,
                "net.ipv4.tcp_rmem": "4096 131072 16777216", "net.ipv4.tcp_wmem": "4096 65536 16777216"}

    @staticmethod
    def descriptors():
        """That a process may have: as many as the kernel lets any, if this one may say so."""
        most = int(sysctl("fs.nr_open"))
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        except (ValueError, PermissionError):
            pass
        return resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def limits(self):
        """What else bounds both sides, of the machine and not of a namespace."""
        return {"descriptors a process (nofile)": self.descriptors(), "net.ipv4.tcp_mem": sysctl("net.ipv4.tcp_mem"),
                "vm.nr_hugepages": sysctl("vm.nr_hugepages")}

    def offload(self, yes):
        """GRO, TSO and GSO of both ends of the veth."""
        for namespace, name in ((self.server_ns, "server0"), (self.client_ns, "client0")):
            state = "on" if yes else "off"
            run(["ip", "netns", "exec", namespace, "ethtool", "-K", name, "gro", state, "tso", state, "gso", state])

    def threaded_napi(self, yes):
        for namespace, name in ((self.server_ns, "server0"), (self.client_ns, "client0")):
            run(["ip", "netns", "exec", namespace, "sh", "-c", f"echo {int(yes)} >/sys/class/net/{name}/threaded"])

    def missing(self, column):
        """What is not built that the column needs."""
        if column.wire == "dpdk" and not os.path.exists(f"{self.plugins}/libmillrace-dpdk.so"):
            return "built without DPDK (libdpdk-dev)"
        if column.server == "lwip" and not os.path.exists(self.programs["lwip"]):
            return "built without lwIP (liblwip-dev)"
        return None

    def clean_up(self):
        super().clean_up()
        self._folder.cleanup()

    # ---- who is where

    def _kernel_addresses(self, server, client):
        if self._addresses == (server, client):
            return
        for namespace, device, address, wanted in ((self.server_ns, "server0", KERNEL_SERVER, server),
                                                   (self.client_ns, "client0", KERNEL_CLIENT, client)):
            run(["ip", "-n", namespace, "addr", "flush", "dev", device])
            if wanted:
                run(["ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", device])
        self._addresses = (server, client)

    def arrange(self, column, client):
        """The kernels' addresses for a run of this column with this client."""
        on_veth = column.wire == "veth"
        self._kernel_addresses(on_veth and column.server == "kernel", on_veth and client == "kernel")

    def _socket(self):
        return os.path.join(self._folder.name, "wire.sock")

    def server_device(self, column, tso=True):
        """`tso`: super-frames, in both directions, where the wire is shared memory."""
        return {"veth": "af_packet:server0", "tap": f"tap(peer_address={KERNEL_CLIENT}/24):tap0",
                "dpdk": f"dpdk:net_vhost0,iface={self._socket()},tso={int(tso)}"}[column.wire]

    def client_device(self, column):
        return "af_packet:client0" if column.wire == "veth" else f"dpdk:net_virtio_user0,path={self._socket()}"

    @staticmethod
    def address_of(column):
        return KERNEL_SERVER if column.server == "kernel" else STACK_SERVER

    # ---- programs

    def start_server(self, column, command, environment=None, ready=None, client="kernel"):
        self.arrange(column, client)
        if column.wire == "dpdk" and os.path.exists(self._socket()):
            os.unlink(self._socket())
        server = self.start([*self.server_core, *command], self.client_ns if column.wire == "tap" else self.server_ns,
                            {"MILLRACE_RUN_DIR": self._folder.name, "MILLRACE_PLUGINS": self.plugins, **(environment or {})})
        if ready:
            server.wait_for(ready, SECONDS_TO_START)
        return server

    def echo(self, column, client="kernel", busy=False, port=7, options=(), tso=True):
        if column.server == "lwip":
            command = [self.programs["lwip"], "--dev", self.server_device(column), "--addr", f"{STACK_SERVER}/24", "--port", port]
            return self.start_server(column, command, ready="serving on", client=client)
        where = ["--kernel", "--addr", KERNEL_SERVER] if column.server == "kernel" else \
            ["--dev", self.server_device(column, tso), "--addr", f"{STACK_SERVER}/24"]
        services = ["--discard-port", 9, "--chargen-port", 19] if port == 7 else []
        command = [self.programs["echo"], *where, "--port", port, *services, *(["--busy-poll"] if busy else []), *options]
        return self.start_server(column, command, ready="serving on", client=client)

    def start_load(self, column, client, seconds, mode, *options, addresses=(STACK_CLIENT,)):
        """`seconds`: None for turns. `addresses`: that the client has, where it is the stack's."""
        where = [] if client == "kernel" else ["--dev", self.client_device(column), "--addr",
                                               ",".join(f"{address}/24" for address in addresses)]
        duration = ["--turns", "--timeout", SECONDS_OF_TURNS] if seconds is None else ["--seconds", seconds, "--timeout", 60 + math.ceil(seconds)]
        command = [*self.client_core, self.programs["load"], mode, "--host", self.address_of(column), *where, "--json", *options, *duration]
        pipes = Client.pipes() if seconds is None else {}
        return self.start(command, self.client_ns, {"MILLRACE_RUN_DIR": self._folder.name, "MILLRACE_PLUGINS": self.plugins}, **pipes)

    def start_crowd(self, column, *options):
        """The clients that only seem to be there, on the other end of the veth."""
        return self.start([*self.client_core, self.programs["crowd"], "--dev", self.client_device(column), "--host",
                           self.address_of(column), "--rate", CROWD_RATE, *options], self.client_ns)

    @staticmethod
    def result_of(program):
        out = program.succeed(SECONDS_TO_END)
        found = re.search(r"^\{.*\}$", out, re.MULTILINE)
        expect(found, f"no result: {out}")
        result = json.loads(found.group(0))
        expect(result["intact"] == "yes", f"wrong answers: {out}")
        return result

    def floor_program(self, end, wire, *mode):
        device = {("server", "veth"): "af_packet:server0", ("client", "veth"): "af_packet:client0",
                  ("server", "dpdk"): f"dpdk:net_vhost0,iface={self._socket()}",
                  ("client", "dpdk"): f"dpdk:net_virtio_user0,path={self._socket()}"}[(end, wire)]
        core, namespace = (self.server_core, self.server_ns) if end == "server" else (self.client_core, self.client_ns)
        return self.start([*core, self.programs["floor"], *mode, "--dev", device], namespace,
                          {"MILLRACE_PLUGINS": self.plugins})

    def floor(self, wire, seconds):
        """What the device itself can do: the round trip of a frame in us, round trips a second when 64 are out at once, and what
        one costs, and Gb/s of the largest frames one way."""
        self._kernel_addresses(False, False)
        result = {}
        for far, near, keys in (("echo", ["ask"], ["p50_us"]), ("echo", ["ask", "--window", 64], ["rate", "cpu_us_each"]),
                                ("sink", ["flood"], ["gbps"])):
            if wire == "dpdk" and os.path.exists(self._socket()):
                os.unlink(self._socket())
            limit = ["--seconds", seconds + 2.5] if far == "sink" else []
            server = self.floor_program("server", wire, far, *limit)
            server.wait_for("ready", SECONDS_TO_START)
            client = self.floor_program("client", wire, *near, "--seconds", seconds)
            out = client.succeed(30)
            if far == "sink":
                out = server.succeed(30)
            for key in keys:
                result[key] = float(re.search(rf"{key}=([\d.]+)", out).group(1))
            self.end_programs()
        return result

