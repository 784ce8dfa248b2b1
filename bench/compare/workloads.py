"""The rows of the comparison."""

import dataclasses
import time

import key_values
from idle import Idle, NoTraffic
from place import SOURCES
from row import ALL, DPDK, KERNEL, OURS, TAP, VETH, Figure, Row, bulk, latency, rates


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

    @property
    def turn(self):
        """Many answers of each connection; else as short as can be: what disturbs a turn lasts some milliseconds, too, and is nearly
        the same for its neighbours then."""
        return SHORT_TURN + self.connections * 25e-6

    @property
    def rest(self):
        """Where the others' turns may outlast a peer's patience (200 ms), until delayed acknowledgments have come (40 ms)."""
        return 0.05 if self.connections >= 1000 else 0

    def start_server(self, place, column):
        return place.echo(column, self.client(column), self.busy)

    def start_load(self, place, column, seconds):
        return place.start_load(column, self.client(column), seconds, *self.work(), "--connections", self.connections,
                                *(["--busy"] if self.busy else []))


@dataclasses.dataclass
class OpenLoop(RoundTrips):
    """So many requests a second, whatever the answers."""

    rate: float = 1000
    turn = 0.2

    def work(self):
        return ["rr", "--rate", self.rate]


@dataclasses.dataclass
class PartOfCapacity(OpenLoop):
    """Of what the kernel answers at most, asked again and again: what the machine can do changes."""

    percent: int = 100

    @property
    def turn(self):
        """None where there is a queue most of the time: a turn's end would cut it off."""
        return 0.03 if self.percent < QUEUES_FROM else 0

    @property
    def pacer(self):
        return self._most() if self.turn else None

    def paced(self, turn):
        return max(1, turn["rate"] * self.percent / 100)

    def _most(self):
        return RoundTrips("capacity", (KERNEL,), (), CAPACITY_SECONDS, connections=self.connections, busy=True, clients=self.clients)

    def prepare(self, place):
        if self.turn:
            return
        if not place.capacity or time.monotonic() - place.capacity_at > SECONDS_OF_A_CAPACITY:
            try:
                place.capacity = self._most().run(place, KERNEL)["rate"]
            finally:
                place.end_programs()
            place.capacity_at = time.monotonic()
        self.rate = place.capacity * self.percent / 100

    def result_of(self, results):
        return super().result_of(results) | {"offered": results[0]["asked_rate"]}


@dataclasses.dataclass
class Connections(Row):
    """Connect, a request, its answer, close: 64 of them at a time. A client that closes first keeps the port for a second
    at least (RFC 6191), so that it needs several addresses."""

    turn = 0.012

    def client(self, column):
        return "millrace"

    def start_server(self, place, column):
        return place.echo(column, self.client(column))

    def start_load(self, place, column, seconds):
        return place.start_load(column, self.client(column), seconds, "connect", "--connections", 64, "--tcp",
                                "ip_local_port_range=1024 65535", "--source", ",".join(SOURCES), addresses=SOURCES)


@dataclasses.dataclass
class Bulk(Row):
    """Streams in one direction, of 128 kB calls: seen from the server, which sends or receives."""

    unit = "for 64 KB"
    turn = 0.03
    warm_up = 0.4  # until the memory of all buffers has been touched
    rest = 0.003

    sends: bool = True
    streams: int = 1
    tso: bool = True  # over shared memory

    @property
    def clients_at_once(self):
        return self.streams

    def start_server(self, place, column):
        return place.echo(column, self.client(column), tso=self.tso)

    def start_load(self, place, column, seconds):
        """One stream."""
        options = ["--port", 19, "--direction", "receive"] if self.sends else ["--port", 9, "--direction", "send"]
        return place.start_load(column, self.client(column), seconds, "bulk", *options)

    def units_a_second(self, result):
        return result["gbps"] * 1e9 / 8 / 65536

    def result_of(self, results):
        total = sum(result["bytes"] for result in results)
        cpu = sum(result["cpu_s_gigabyte"] * result["bytes"] / 1e9 for result in results) / len(results)
        return {"gbps": sum(result["gbps"] for result in results), "cpu_s_gigabyte": cpu * 1e9 / total}


SHORT_TURN = 0.006  # seconds
# Percent. From where the kernel has a queue most of the time, times are those of the queue, as long as the run happens to be, and
# nobody's ratio.
QUEUES_FROM = 90
# How long it is asked, and is not asked again: once in a round of all such rows.
CAPACITY_SECONDS, SECONDS_OF_A_CAPACITY = 1, 40


def rows(seconds):
    """All of them; each run of one takes about `seconds`, and what setting up takes. Those that take long are run less often."""
    result = [
        RoundTrips("64 B, 1 connection, busy", ALL, latency({"af_packet": 0.8, "dpdk": 0.22}), seconds, busy=True),
        RoundTrips("64 B, 1 connection, busy, own client", VETH, latency({"af_packet": 0.5}), seconds, busy=True, clients="same"),
        RoundTrips("64 B, 1 connection, blocking", VETH,
                   (*latency({"af_packet": 0.85}), Figure("cpu_us_each", "CPU, both ends", "µs")), seconds),
    ]
    for count in (64, 1000, 10000):
        # lwIP looks for a connection in a list, and with 10,000 of them has no time for anything else.
        result.append(RoundTrips(f"64 B, {count:,} connections", ALL if count < 10000 else OURS,
                                 rates({"af_packet": 1.8, "dpdk": 10}, {"af_packet": 0.6}), seconds, connections=count,
                                 clients="millrace"))
    result.append(RoundTrips("64 B, 64 connections, kernel client", VETH, rates(), seconds, connections=64))
    result += key_values.rows(seconds, OURS, VETH)
    for sends, aim in ((True, 0.6), (False, 0.8)):
        for streams in (1, 8):
            what = f"bulk, server {'sends' if sends else 'receives'}, {streams} stream{'s' if streams > 1 else ''}"
            columns, aims = ((*OURS, TAP), {"af_packet": aim, "tap": 0.95, "dpdk": 0.7}) if streams == 1 else (VETH, {})
            result.append(Bulk(what, columns, bulk(aims), seconds, sends, streams))
    result += [Bulk(f"bulk, server {does}, 1 stream, dpdk without TSO", (KERNEL, DPDK), bulk({"dpdk": 0.45}), seconds, sends, tso=False)
               for does, sends in (("sends", True), ("receives", False))]
    result.append(Connections("connect, 64 B, close", OURS, rates({"af_packet": 2, "dpdk": 5}, floor=False), seconds))
    result.append(OpenLoop("64 B, 1,000 requests a second", VETH,
                           (*latency(), Figure("cpu_us_each", "CPU, both ends", "µs", True, {"af_packet": 1})),
                           10 * seconds,  # a twentieth of a processor is few ticks
                           connections=10, rate=1000, most_runs=3))
    idle = (Figure("bytes_each", "a connection", "bytes"), Figure("first_bytes_each", "a new one", "bytes"),
            Figure("core_percent", "server", "% core"))
    for count in (10_000, 100_000, 1_000_000):
        result.append(Idle(f"{count:,} idle connections", VETH, idle, seconds, connections=count, most_runs=1))
    result.append(NoTraffic("no traffic", VETH, (Figure("core_percent", "server", "% core"),), 4 * seconds, most_runs=3))
    result += [PartOfCapacity(f"64 B at {percent} % of the kernel's capacity", OURS,
                              latency(p99={"af_packet": 0.7, "dpdk": 0.3} if percent == 70 else {}, compared=percent < QUEUES_FROM), seconds,
                              connections=64, busy=True, clients="millrace", percent=percent)
               for percent in (10, 30, 50, 70, 90, 100, 120)]
    return result
