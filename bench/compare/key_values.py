"""Rows of key-value servers: redis as Debian has it, and millrace-kv, which is one program on both stacks."""

import dataclasses

from place import run
from row import Figure, Row, rates
from testbed import expect
from turns import Resting

PORT = 6379
CONNECTIONS = 50


def redis_figures(aims):
    return (Figure("rate", "rate", "/s", False, aims), Figure("p50_us", "median", "µs"), Figure("p99_us", "p99", "µs"))


@dataclasses.dataclass
class KeyValues(Row):
    """50 connections, values of 64 bytes, 100,000 keys."""

    program: str = "millrace-kv"
    command: str = "get"
    pipeline: int = 1

    def start_server(self, place, column):
        address = place.address_of(column)
        if self.program == "redis":
            environment = {} if column.server == "kernel" else {
                "LD_PRELOAD": place.programs["preload"], "MILLRACE_DEV": place.server_device(column),
                "MILLRACE_ADDR": f"{address}/24"}
            return place.start_server(column, ["redis-server", "--bind", address, "--protected-mode", "no", "--save", ""],
                                      environment, "Ready to accept connections", self.client(column))
        where = ["--kernel"] if column.server == "kernel" else ["--dev", place.server_device(column)]
        return place.start_server(column, [place.programs["kv"], *where, "--addr", f"{address}/24"], ready="serving on",
                                  client=self.client(column))


@dataclasses.dataclass
class OwnClient(KeyValues):
    """millrace-load, on the stack for every column, as the kernel's client would be the limit."""

    turn = 0.008

    def client(self, column):
        return "millrace"

    def start_load(self, place, column, seconds):
        return place.start_load(column, self.client(column), seconds, "kv", "--port", PORT, "--connections", CONNECTIONS, "--command",
                                self.command, "--pipeline", self.pipeline)


class NewClients(Resting):
    """Whose client is another one in each turn, as it cannot rest."""

    def measure(self, seconds, _rate):
        return self.row.benchmark(self.place, self.column, seconds)

    def result(self):
        return {}


@dataclasses.dataclass
class RedisBenchmark(KeyValues):
    """redis-benchmark, which has the kernel's sockets."""

    pair = NewClients
    turn = 0.08

    def benchmark(self, place, column, seconds):
        """For so long, as fast as it may be."""
        requests = int((150_000 if self.pipeline == 1 else 1_500_000) * seconds)
        out = run(["ip", "netns", "exec", place.client_ns, *place.client_core, "redis-benchmark", "-h", place.address_of(column), "-t",
                   self.command, "-n", str(requests), "-c", str(CONNECTIONS), "-P", str(self.pipeline), "-r", "100000", "-d", "64",
                   "--csv"], 60)
        last = [field.strip('"') for field in out.strip().splitlines()[-1].split(",")]
        expect(len(last) >= 8, f"redis-benchmark: {out}")
        return {"rate": float(last[1]), "p50_us": float(last[4]) * 1000, "p99_us": float(last[6]) * 1000}


def rows(seconds, columns, veth):
    """GET and SET, one at a time and 16 together: our client on all columns, and redis-benchmark where there is a kernel."""
    result = []
    for command in ("get", "set"):
        for pipeline, on_veth, on_dpdk in ((1, 1.8, 6), (16, 1.2, 2)):
            what = f"{command.upper()}, pipeline {pipeline}"
            result.append(OwnClient(f"millrace-kv {what}", columns, rates({"af_packet": on_veth, "dpdk": on_dpdk}, floor=False), seconds,
                                    "millrace-kv", command, pipeline))
            result += [RedisBenchmark(f"{program} {what}, redis-benchmark", veth, redis_figures({"af_packet": aim}), seconds, program,
                                      command, pipeline) for program, aim in (("millrace-kv", on_veth), ("redis", 1))]
    return result
