"""The rows of the comparison: each runs once on a column and returns its figures."""

import dataclasses
import re
import time

from place import SOURCES, run
from testbed import expect


@dataclasses.dataclass(frozen=True)
class Column:
    """Whose TCP serves, over which wire."""

    name: str
    server: str  # "kernel" or "millrace"
    wire: str  # "veth" or "dpdk"


KERNEL = Column("kernel", "kernel", "veth")
AF_PACKET = Column("af_packet", "millrace", "veth")
DPDK = Column("dpdk", "millrace", "dpdk")
VETH = (KERNEL, AF_PACKET)
ALL = (KERNEL, AF_PACKET, DPDK)


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number of a row. `aims`: for a column, the ratio to the kernel's that we want."""

    key: str
    title: str
    unit: str
    less_is_better: bool = True
    aims: dict = dataclasses.field(default_factory=dict)
    floor: str = ""  # which of the device's own figures it cannot be better than

    def holds(self, column, ratio):
        aim = self.aims.get(column)
        return None if aim is None else ratio <= aim if self.less_is_better else ratio >= aim


@dataclasses.dataclass
class Row:
    name: str
    columns: tuple
    figures: tuple
    seconds: float

    def client(self, column):
        """Whose TCP the client uses: on the shared-memory wire there is no kernel."""
        return "millrace" if column.wire == "dpdk" else "kernel"

    def run(self, place, column):
        raise NotImplementedError


@dataclasses.dataclass
class RoundTrips(Row):
    """A request of 64 bytes at a time on each connection."""

    connections: int = 1
    busy: bool = False
    clients: str = "kernel"  # on the veth; "same": the server's kind

    def client(self, column):
        if column.wire == "dpdk":
            return "millrace"
        return column.server if self.clients == "same" else self.clients

    def work(self):
        """The mode of millrace-load, and its options."""
        return ["rr"]

    def run(self, place, column):
        client = self.client(column)
        place.echo(column, client, self.busy)
        return place.load(column, client, *self.work(), "--connections", self.connections, "--seconds", self.seconds,
                          *(["--busy"] if self.busy else []))


@dataclasses.dataclass
class OpenLoop(RoundTrips):
    """So many requests a second, whatever the answers."""

    rate: float = 1000

    def work(self):
        return ["rr", "--rate", self.rate]


@dataclasses.dataclass
class Connections(Row):
    """Connect, a request, its answer, close: 64 of them at a time. A client that closes first keeps the port for a second
    at least (RFC 6191), so that it needs several addresses."""

    def client(self, column):
        return "millrace"

    def run(self, place, column):
        place.echo(column, self.client(column))
        return place.load(column, self.client(column), "connect", "--connections", 64, "--seconds", self.seconds, "--tcp",
                          "ip_local_port_range=1024 65535", "--source", ",".join(SOURCES), addresses=SOURCES)


@dataclasses.dataclass
class Bulk(Row):
    """Streams in one direction, of 128 kB calls: seen from the server, which sends or receives."""

    sends: bool = True
    streams: int = 1

    def run(self, place, column):
        client = self.client(column)
        place.echo(column, client)
        options = ["--port", 19, "--direction", "receive"] if self.sends else ["--port", 9, "--direction", "send"]
        loads = [place.start_load(column, client, "bulk", *options, "--seconds", self.seconds) for _ in range(self.streams)]
        results = [place.result_of(load) for load in loads]
        total = sum(result["bytes"] for result in results)
        cpu = sum(result["cpu_s_gigabyte"] * result["bytes"] / 1e9 for result in results) / len(results)
        return {"gbps": sum(result["gbps"] for result in results), "cpu_s_gigabyte": cpu * 1e9 / total}


@dataclasses.dataclass
class Idle(Row):
    """Connections that say nothing: what they keep in the server, and what of a core it takes."""

    connections: int = 10000

    def run(self, place, column):
        server = place.echo(column)
        time.sleep(0.3)
        before, slab_before = server.resident_bytes(), kernel_slab()
        load = place.start_load(column, "kernel", "hold", "--connections", self.connections, "--seconds", self.seconds + 0.5)
        deadline = time.monotonic() + 30
        while established(place) < self.connections:
            expect(time.monotonic() < deadline and load.running(), f"not all connections came: {load.output()}")
            time.sleep(0.1)
        # What the kernel has for a connection lies in its slabs: two ends of it, where it is the server's kernel, too.
        kernel_bytes = (kernel_slab() - slab_before) / 2 if column.server == "kernel" else 0
        used = server.resident_bytes() - before + kernel_bytes
        share = core_percent(server, self.seconds)
        load.wait(60)
        return {"bytes_each": used / self.connections, "core_percent": share}


@dataclasses.dataclass
class NoTraffic(Row):
    """A server nobody speaks to."""

    def run(self, place, column):
        server = place.echo(column)
        time.sleep(0.5)
        return {"core_percent": core_percent(server, self.seconds)}


@dataclasses.dataclass
class Redis(Row):
    """redis-server as Debian has it, and redis-benchmark: 50 connections, values of 64 bytes, 100,000 keys."""

    command: str = "get"
    pipeline: int = 1

    def server(self, place, column, address):
        environment = {} if column.server == "kernel" else {
            "LD_PRELOAD": place.programs["preload"], "MILLRACE_DEV": place.server_device(column), "MILLRACE_ADDR": f"{address}/24"}
        place.start_server(column, ["redis-server", "--bind", address, "--protected-mode", "no", "--save", ""], environment,
                           "Ready to accept connections")

    def run(self, place, column):
        address = place.address_of(column)
        self.server(place, column, address)
        # Enough requests for about as long as the other rows measure.
        requests = int((100_000 if self.pipeline == 1 else 1_000_000) * self.seconds)
        out = run(["ip", "netns", "exec", place.client_ns, *place.client_core, "redis-benchmark", "-h", address, "-t", self.command,
                   "-n", str(requests), "-c", "50", "-P", str(self.pipeline), "-r", "100000", "-d", "64", "--csv"], 60)
        last = [field.strip('"') for field in out.strip().splitlines()[-1].split(",")]
        expect(len(last) >= 8, f"redis-benchmark: {out}")
        return {"rate": float(last[1]), "p50_us": float(last[4]) * 1000, "p99_us": float(last[6]) * 1000}


@dataclasses.dataclass
class Kv(Redis):
    """millrace-kv, the same program on both stacks, and redis-benchmark."""

    def server(self, place, column, address):
        where = ["--kernel"] if column.server == "kernel" else ["--dev", place.server_device(column)]
        place.start_server(column, [place.programs["kv"], *where, "--addr", f"{address}/24"], ready="serving on")


def core_percent(program, seconds):
    """Of a core, that it takes from now on."""
    cpu, began = program.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (program.cpu_seconds() - cpu) / (time.monotonic() - began) * 100


def kernel_slab():
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Slab:"))


def established(place):
    """Connections that the client, which is the kernel's, has."""
    text = run(["ip", "netns", "exec", place.client_ns, "cat", "/proc/net/sockstat"])
    return int(re.search(r"TCP: inuse (\d+)", text).group(1))


def latency(aims=None, p99=None, floor="p50_us"):
    return (Figure("p50_us", "median", "µs", True, aims or {}, floor), Figure("p99_us", "p99", "µs", True, p99 or {}),
            Figure("p999_us", "p99.9", "µs"))


def rates(rate=None, cpu=None):
    return (Figure("rate", "a second", "/s", False, rate or {}), Figure("p99_us", "p99", "µs"),
            Figure("cpu_us_each", "CPU, both ends", "µs", True, cpu or {}))


def bulk(aims):
    return (Figure("gbps", "", "Gb/s", False, aims, "gbps"), Figure("cpu_s_gigabyte", "CPU, both ends", "s/GB"))


def redis(aims):
    return (Figure("rate", "a second", "/s", False, aims), Figure("p50_us", "median", "µs"), Figure("p99_us", "p99", "µs"))


def rows(seconds):
    """All of them; each run of one takes about `seconds`."""
    result = [
        RoundTrips("64 B, 1 connection, busy", ALL, latency({"af_packet": 0.8, "dpdk": 0.22}), seconds, busy=True),
        RoundTrips("64 B, 1 connection, busy, own client", VETH, latency({"af_packet": 0.5}), seconds, busy=True, clients="same"),
        RoundTrips("64 B, 1 connection, blocking", VETH,
                   (*latency({"af_packet": 0.85}), Figure("cpu_us_each", "CPU, both ends", "µs")), seconds),
    ]
    for count in (64, 1000, 10000):
        result.append(RoundTrips(f"64 B, {count:,} connections", ALL,
                                 rates({"af_packet": 1.8, "dpdk": 10}, {"af_packet": 0.6}), seconds, connections=count,
                                 clients="millrace"))
    result.append(RoundTrips("64 B, 64 connections, kernel client", VETH, rates(), seconds, connections=64))
    for kind, name, aims in ((Kv, "millrace-kv", (1.8, 1.2)), (Redis, "redis", (1, 1))):
        for command in ("get", "set"):
            for pipeline, aim in zip((1, 16), aims):
                result.append(kind(f"{name} {command.upper()}, pipeline {pipeline}", VETH, redis({"af_packet": aim}), seconds, command,
                                   pipeline))
    for sends, aim in ((True, 0.6), (False, 0.8)):
        for streams in (1, 8):
            what = f"bulk, server {'sends' if sends else 'receives'}, {streams} stream{'s' if streams > 1 else ''}"
            result.append(Bulk(what, ALL if streams == 1 else VETH,
                               bulk({"af_packet": aim, "dpdk": 0.7} if streams == 1 else {}), seconds, sends, streams))
    result.append(Connections("connect, 64 B, close", ALL, rates({"af_packet": 2, "dpdk": 5}), seconds))
    result.append(OpenLoop("64 B, 1,000 requests a second", VETH,
                           (*latency(floor=""), Figure("cpu_us_each", "CPU, both ends", "µs", True, {"af_packet": 1})), seconds,
                           connections=10, rate=1000))
    result.append(Idle("10,000 idle connections", VETH,
                       (Figure("bytes_each", "a connection", "bytes"), Figure("core_percent", "server", "% core")), seconds))
    result.append(NoTraffic("no traffic", VETH, (Figure("core_percent", "server", "% core"),), 2 * seconds))
    return result


def sweep(capacity, seconds):
    """The open loop from a tenth of the kernel's capacity to more than that."""
    return [OpenLoop(f"64 B at {percent} % of the kernel's capacity", ALL, latency(floor="",
                     p99={"af_packet": 0.7, "dpdk": 0.3} if percent == 70 else {}), seconds, connections=64,
                     rate=capacity * percent / 100, busy=True, clients="millrace") for percent in (10, 30, 50, 70, 80, 90, 100, 110, 120)]
