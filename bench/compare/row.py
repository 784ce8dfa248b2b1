"""What the rows of the comparison are made of: columns, figures, and what a row can be asked."""

import dataclasses
import glob
import os
import time


@dataclasses.dataclass(frozen=True)
class Column:
    """Whose TCP serves, over which wire."""

    name: str
    server: str  # "kernel", "millrace" or "lwip"
    wire: str  # "veth", "tap" or "dpdk"


KERNEL = Column("kernel", "kernel", "veth")
AF_PACKET = Column("af_packet", "millrace", "veth")
TAP = Column("tap", "millrace", "tap")
DPDK = Column("dpdk", "millrace", "dpdk")
LWIP = Column("lwip", "lwip", "veth")
VETH = (KERNEL, AF_PACKET)
OURS = (KERNEL, AF_PACKET, DPDK)
ALL = (KERNEL, AF_PACKET, DPDK, LWIP)
EVERY = (KERNEL, AF_PACKET, TAP, DPDK, LWIP)  # column there is
PACER = Column("pacer", "kernel", "veth")  # in no table: what the kernel can do just then
TURN_FIGURES = ("p50_us", "rate", "gbps")  # that a turn is long enough for


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number of a row. `aims`: for a column, the ratio to the kernel's that we want. Not `compared`: it has none."""

    key: str
    title: str
    unit: str
    less_is_better: bool = True
    aims: dict = dataclasses.field(default_factory=dict)
    floor: str = ""  # which of the device's own figures is printed beside it
    compared: bool = True

    def holds(self, column, ratio):
        aim = self.aims.get(column)
        return None if aim is None else ratio <= aim if self.less_is_better else ratio >= aim


@dataclasses.dataclass
class Row:
    unit = "a request"  # what its processor time is told for
    turn = 0  # seconds; 0: each column has its whole run at once
    warm_up = 0.1  # seconds of the first turn
    rest = 0  # after a turn, until what is on its way is there
    pacer = None  # the row that has a turn before those of the columns, and tells their rate
    pair = None  # the kind of turns.Pair its programs are, if they are another
    clients_at_once = 1

    name: str
    columns: tuple
    figures: tuple
    seconds: float
    most_runs: int = dataclasses.field(default=100, kw_only=True)

    def client(self, column):
        """Whose TCP the client uses: on the shared-memory wire there is no kernel."""
        return "millrace" if column.wire == "dpdk" else "kernel"

    def obstacle(self, _place, _column):
        """Why it cannot be run here, if it cannot."""
        return None

    def prepare(self, place):
        """What comes before each round; it leaves no program behind."""

    def paced(self, _turn):
        """The rate of the columns' turns after such a one of the pacer."""
        return None

    def result_of(self, results):
        """Of a run, or of all turns of a round, by what each client measured."""
        return results[0]

    def units_a_second(self, result):
        """How many of them it did, by its result."""
        return result["rate"]

    def run(self, place, column):
        """The whole run of a column, which leaves its programs to whoever called."""
        self.start_server(place, column)
        loads = [self.start_load(place, column, self.seconds) for _ in range(self.clients_at_once)]
        return self.result_of([place.result_of(load) for load in loads])


# ---- the figures of most rows

def latency(aims=None, p99=None, floor="p50_us", compared=True):
    return (Figure("p50_us", "median", "µs", True, aims or {}, floor, compared),
            Figure("p99_us", "p99", "µs", True, p99 or {}, compared=compared), Figure("p999_us", "p99.9", "µs", compared=compared))


def rates(rate=None, cpu=None, floor=True):
    return (Figure("rate", "a second", "/s", False, rate or {}, "rate" if floor else ""), Figure("p99_us", "p99", "µs"),
            Figure("cpu_us_each", "CPU, both ends", "µs", True, cpu or {}, "cpu_us_each" if floor else ""))


def bulk(aims):
    return (Figure("gbps", "", "Gb/s", False, aims, "gbps"), Figure("cpu_s_gigabyte", "CPU, both ends", "s/GB"))


# ---- what the machine says

def core_percent(programs, seconds):
    """Of a core, that they take from now on."""
    used, began = sum(map(cpu_seconds, programs)), time.monotonic()
    time.sleep(seconds)
    return (sum(map(cpu_seconds, programs)) - used) / (time.monotonic() - began) * 100


def cpu_seconds(program):
    """Of all its threads, from the scheduler's own count, which is finer than ticks."""
    total = 0
    for path in glob.glob(f"/proc/{program.pid}/task/*/schedstat"):
        with open(path, encoding="ascii") as line:
            total += int(line.read().split()[0])
    return total / 1e9


def stolen_seconds():
    """Of all cores since the start: they ran something else of the host, though this machine had work for them (proc(5), steal)."""
    with open("/proc/stat", encoding="ascii") as lines:
        return int(lines.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def meminfo(name):
    """Bytes, of a line of /proc/meminfo."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def sysctl(name):
    with open(os.path.join("/proc/sys", *name.split(".")), encoding="ascii") as value:
        return " ".join(value.read().split())
