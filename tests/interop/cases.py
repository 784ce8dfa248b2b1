"""What the stack and the kernel must do together. Each function adds named cases to a list."""

import os
import re
import signal
import sys
import tempfile
import time

import capture_cases
import command_cases
import crowd_cases
import doctor_cases
import flood_cases
import harness
import mtu_cases
import queue_cases
import tap_cases
from harness import SOAK, STACK, expect, field

MB = 1_000_000
ROLES = ((True, "stack as server"), (False, "stack as client"))

# Counters that name a present amount: what they are with nothing going on, they must be again.
GAUGES = ("pool.BytesInUse", "pool.PacketsInUse", "pool.BuffersInUse", "tcp.Connections", "tcp.SynReceived",
          "echo.Open", "echo.PendingBytes")


def gauges(bench, server):
    counters = bench.counters(server)
    present = {name: counters[name] for name in GAUGES if name in counters}
    expect(len(present) == len(GAUGES), f"counters missing: {sorted(set(GAUGES) - set(present))}")
    return present


def settled(bench, server):
    """The gauges of a server with nothing to do, after the peer's address is known."""
    bench.in_peer("ping", "-c", 1, "-W", 5, STACK)
    return gauges(bench, server)


def expect_no_leak(bench, server, before, seconds=10):
    now = {}

    def back():
        now.update(gauges(bench, server))
        return now == before
    try:
        bench.until("pools and tables back at their start", back, seconds)
    except harness.Failure as problem:
        changed = {name: (before[name], now[name]) for name in before if now[name] != before[name]}
        raise harness.Failure(f"{problem} (before, now): {changed}") from None


# ---- everyday use

def expect_mtu(bench, size):
    """AF_XDP carries frames of a page at most, and says so."""
    if bench.driver != "xdp" or size <= 3822:
        return
    bench.connect(mtu=size)
    expect_one_line(bench, [bench.programs.echo, *bench.stack_options()], {}, rf"MTU {size} of stack0 is more than AF_XDP carries")
    raise harness.Skip(f"AF_XDP does not carry an MTU of {size}")


def ping(bench, mtu=1500):
    expect_mtu(bench, mtu)
    if bench.driver == "dpdk" and mtu > 1500:
        raise harness.Skip("net_af_packet loses frames above 1514 bytes")
    bench.connect(mtu=mtu).echo()
    # net_af_packet has the kernel reassemble fragments, and drops what then is larger than a frame.
    for size in (0, 56, mtu - 28) if bench.driver == "dpdk" else (0, 56, mtu - 28, mtu - 27, 3000, 20000, 65507):
        out = bench.in_peer("ping", "-c", 3, "-i", 0.05, "-W", 2, "-s", size, STACK)
        expect(" 3 received" in out, f"size {size}: {out}")


def ping_flood(bench):
    bench.connect().echo()
    out = bench.in_peer("ping", "-f", "-c", 2000, "-w", 20, STACK)
    expect(" 2000 received" in out, out)


def tcp_echo(bench, stack_is_server):
    bench.connect()
    if stack_is_server:
        bench.echo()
        load = bench.load
    else:
        bench.kernel_echo()
        load = bench.stack_load
    for size in (1, 64, 1448, 20000):
        load("rr", "--count", 500, "--size", size).succeed()
    load("rr", "--connections", 50, "--count", 5000).succeed()
    load("bulk", "--bytes", 20 * MB).succeed()


def udp_echo(bench, stack_is_server):
    bench.connect()
    if stack_is_server:
        bench.echo()
        load, host, peer = bench.load, STACK, ([], bench.peer)
    else:
        bench.kernel_echo()
        load, host, peer = bench.stack_load, harness.PEER, (bench.stack_options(), bench.stack)
    expect(int(field(load("udp", "--count", 1000).succeed(), "lost")) == 0, "datagrams were lost")
    if bench.driver != "dpdk":  # as with ping: fragments
        bench.start([bench.programs.peer, "datagrams", "--host", host, *peer[0]], peer[1]).succeed()


def zero_copy(bench):
    """What is lent to the stack, or by it, holds the bytes it should, also when it is sent again."""
    bench.connect()
    client = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "pattern_client.py"), "--host", STACK]
    for device, size in ((bench.device, 100), (f"fault(loss=0.02,corrupt=0.005,reorder=0.01,seed=3):{bench.device}", 10)):
        server = bench.echo("--zero-copy", device=device)
        bench.start([*client, "--bytes", size * MB], bench.peer).succeed()
        server.signal(signal.SIGTERM)
        server.succeed()


def scenario(bench, name, stack_is_server):
    bench.connect().talk(name, stack_is_server)


def fast_open(bench, stack_is_server):
    bench.connect()
    bench.in_peer("sh", "-c", "echo 3 >/proc/sys/net/ipv4/tcp_fastopen")
    bench.talk("fast-open", stack_is_server)


def refused(bench, name, stack_is_server):
    """Nobody listens there: on the stack (a server on another port keeps it alive), or on the kernel."""
    bench.connect()
    command = [bench.programs.peer, name, "--port", 4444]
    if stack_is_server:
        bench.echo()
        bench.start([*command, "--host", STACK], bench.peer).succeed()
    else:
        bench.start([*command, "--host", harness.PEER, *bench.stack_options()], bench.stack).succeed()


# ---- many, large, small

def thousand_connections(bench):
    server = bench.connect().echo()
    before = settled(bench, server)
    count, size = 1000, MB
    out = bench.load("many", "--connections", count, "--bytes", size, timeout=150).succeed(160)
    expect(int(field(out, "wrong")) == 0, out)
    expect(int(field(out, "bytes")) == count * size, out)
    expect_no_leak(bench, server, before, 20)
    expect(bench.counters(server)["echo.Accepted"] == count, "not every connection was accepted")


def many_from_stack(bench):
    """A client that is never out of work (it hashes) does not wait: its calls must empty the device all the same."""
    bench.connect().kernel_echo()
    count, size = 1000, MB
    out = bench.stack_load("many", "--connections", count, "--bytes", size, timeout=150).succeed(160)
    expect(int(field(out, "wrong")) == 0, out)
    expect(int(field(out, "bytes")) == count * size, out)


def mtu(bench, size, stack_is_server):
    expect_mtu(bench, size)
    bench.connect(mtu=size).talk("both-ways", stack_is_server, "--bytes", 3 * MB)


def offloads(bench, settings, stack_is_server):
    bench.connect(offloads=settings).talk("both-ways", stack_is_server, "--bytes", 10 * MB)


# ---- a bad line

def lossy_line(bench, stack_is_server):
    bench.connect(middle=True, offloads={"tso": "off", "gso": "off"})
    relay = bench.start([bench.programs.relay, "--segment", "--loss", "0.05", "--seed", 11, "left0", "right0"],
                        bench.middle)
    relay.wait_for("ready")
    bench.talk("both-ways", stack_is_server, "--bytes", (10 if SOAK else 2) * MB, timeout=150)


def faulty_device(bench, stack_is_server):
    size = 10 if SOAK or stack_is_server else 3
    device = "fault(loss=0.05,duplicate=0.01,corrupt=0.01,reorder=0.02,seed=7):" + bench.device
    bench.connect().talk("both-ways", stack_is_server, "--bytes", size * MB, device=device, timeout=180)


# ---- clients that misbehave

def killed_client(bench):
    server = bench.connect().echo()
    before = settled(bench, server)
    neighbour = bench.load("rr", "--seconds", 4)
    victims = [bench.load("bulk", "--bytes", 2000 * MB) for _ in range(3)]
    time.sleep(1.5)
    expect(all(victim.running() for victim in victims), "a victim ended before it was killed")
    for victim in victims:
        victim.signal(signal.SIGKILL)
    neighbour.succeed()
    expect_no_leak(bench, server, before, 10)


def slow_reader(bench):
    pause = 30 if SOAK else 10
    server = bench.connect().echo()
    before = settled(bench, server)
    slow = bench.load("bulk", "--bytes", 50 * MB, "--pause", pause)
    time.sleep(1)
    neighbour = bench.load("rr", "--seconds", pause - 3)
    time.sleep(2)
    held = gauges(bench, server)
    expect(held["pool.BytesInUse"] < 32 * MB, f"one slow reader holds {held['pool.BytesInUse']} bytes of packets")
    expect(held["echo.PendingBytes"] < MB, f"one slow reader holds {held['echo.PendingBytes']} bytes")
    cpu = server.cpu_seconds()
    expect(slow.running(), "the slow reader is gone")
    neighbour.succeed()
    expect(server.cpu_seconds() - cpu < pause, "the server spins")
    slow.succeed()
    expect_no_leak(bench, server, before)


def vanished_peer(bench):
    server = bench.connect().echo("--timeout", 3)
    before = settled(bench, server)
    busy = bench.load("bulk", "--bytes", 5000 * MB)
    idle = bench.load("hold", "--connections", 20, "--seconds", 60)
    bench.until("the connections are there", lambda: bench.counters(server)["echo.Open"] == 21, 10)
    bench.set_link(False)
    bench.until("the dead are dropped", lambda: bench.counters(server)["echo.Open"] == 0, 20)
    busy.signal(signal.SIGKILL)
    idle.signal(signal.SIGKILL)
    bench.set_link(True)
    bench.load("rr", "--count", 100).succeed()
    after = dict(before)
    expect_no_leak(bench, server, after)


def connect_and_go(bench):
    """Connections that open and close at once, from both ends."""
    server = bench.connect().echo()
    before = settled(bench, server)
    for _ in range(5):
        bench.load("hold", "--connections", 200, "--seconds", 0).succeed()
    expect_no_leak(bench, server, before)
    expect(bench.counters(server)["echo.Accepted"] == 1000, "not every connection was accepted")


# ---- the server as a process

def idle_cpu(bench, connections):
    server = bench.connect().echo()
    if connections:
        bench.load("hold", "--connections", connections, "--seconds", 60)
        bench.until("the connections are there", lambda: bench.counters(server)["echo.Open"] == connections, 10)
    time.sleep(2)
    seconds = 5
    before = server.cpu_seconds()
    time.sleep(seconds)
    share = (server.cpu_seconds() - before) / seconds
    expect(share < 0.01, f"{share:.2%} of a core")


def graceful_end(bench):
    """SIGTERM: what was sent is answered, open connections end without a reset, nobody new gets in."""
    server = bench.connect().echo()
    quiet = bench.start([bench.programs.peer, "sees-end", "--host", STACK], bench.peer)
    quiet.wait_for("^waiting")
    started = time.monotonic()
    server.signal(signal.SIGTERM)
    expect(server.wait(12) == 0, f"status {server.wait()}: {server.output()}")
    expect(time.monotonic() - started < 8, "ending took too long")
    quiet.succeed(10)
    out = bench.start([bench.programs.load, "say", "--host", STACK, "--text", "x", "--timeout", 2], bench.peer)
    expect(out.wait(10) != 0, "somebody still answers")


def end_amid_requests(bench):
    """SIGTERM, when one turn of the server has it and many requests."""
    bench.connect()
    for server in (bench.echo, bench.kernel_echo):
        for _ in range(4):
            busy = server("--drain", 1)
            load = bench.load if server == bench.echo else bench.stack_load
            clients = load("rr", "--connections", 200, "--seconds", 8)
            bench.until("all are served", lambda busy=busy: bench.counters(busy)["echo.Accepted"] >= 200, 10)
            busy.signal(signal.SIGTERM)
            expect(busy.wait(12) == 0, f"status {busy.wait()}: {busy.output()}")
            clients.signal(signal.SIGKILL)
            clients.wait()


def second_signal(bench):
    """A reader that never reads holds the end up; another signal, or the drain time, does not wait for it."""
    server = bench.connect().echo("--drain", 30)
    bench.load("bulk", "--bytes", 50 * MB, "--pause", 60)
    bench.until("the reader is stuck", lambda: bench.counters(server)["echo.PendingBytes"] > 0, 10)
    server.signal(signal.SIGINT)
    time.sleep(1)
    expect(server.running(), "it did not wait for the connection")
    server.signal(signal.SIGINT)
    expect(server.wait(10) == 0, server.output())


def statistics(bench):
    server = bench.connect().echo("--stats", 1)
    bench.load("rr", "--count", 10).succeed()
    bench.until("two reports", lambda: server.output().count("stats end") >= 2, 5)
    counters = bench.counters(server)
    expect(counters["echo.Accepted"] == 1, str(counters))
    expect(counters["tcp.TcpPassiveOpens"] == 1, str(counters))


# ---- bad input

BAD_INPUT = (
    # name, arguments, environment, what the line says
    ("no device", ["--addr", "198.18.0.2/24"], {}, r"--dev"),
    ("no address", ["--dev", "af_packet:stack0"], {}, r"--addr"),
    ("unknown driver", ["--dev", "floppy:stack0", "--addr", "198.18.0.2/24"], {}, r"floppy"),
    ("missing device", ["--dev", "af_packet:nowhere0", "--addr", "198.18.0.2/24"], {}, r"nowhere0"),
    ("empty device", ["--dev", "af_packet:", "--addr", "198.18.0.2/24"], {}, r"device|interface|af_packet"),
    ("malformed fault", ["--dev", "fault(loss=lots):af_packet:stack0", "--addr", "198.18.0.2/24"], {}, r"loss"),
    ("unknown fault", ["--dev", "fault(lossy=0.1):af_packet:stack0", "--addr", "198.18.0.2/24"], {}, r"lossy"),
    ("malformed address", ["--dev", "af_packet:stack0", "--addr", "198.18.0.256/24"], {}, r"198\.18\.0\.256"),
    ("prefix too long", ["--dev", "af_packet:stack0", "--addr", "198.18.0.2/33"], {}, r"198\.18\.0\.2/33"),
    ("malformed gateway", ["--dev", "af_packet:stack0", "--addr", "198.18.0.2/24", "--gw", "gate"], {}, r"gate"),
    ("port out of range", ["--dev", "af_packet:stack0", "--addr", "198.18.0.2/24", "--port", "65536"], {}, r"65535"),
    ("port zero", ["--dev", "af_packet:stack0", "--addr", "198.18.0.2/24", "--port", "0"], {}, r"--port"),
    ("port not a number", ["--dev", "af_packet:stack0", "--addr", "198.18.0.2/24", "--port", "echo"], {}, r"--port"),
    ("MTU too small", ["--dev", "af_packet:stack0", "--addr", "198.18.0.2/24", "--mtu", "68"], {}, r"--mtu"),
    ("MTU above the device's", ["--dev", "af_packet:stack0", "--addr", "198.18.0.2/24", "--mtu", "9000"], {}, r"[Mm][Tt][Uu]"),
    ("one port twice", ["--dev", "af_packet:stack0", "--addr", "198.18.0.2/24", "--discard-port", "7"], {},
     r"port 7: Address already in use"),
    ("unknown flag", ["--dve", "af_packet:stack0"], {}, r"--dve"),
    ("flag without value", ["--dev"], {}, r"--dev"),
    ("bad environment", ["--dev", "af_packet:stack0", "--addr", "198.18.0.2/24"], {"MILLRACE_PORT": "x"}, r"MILLRACE_PORT"),
    ("missing file", ["--config", "/nonexistent/echo.toml"], {}, r"/nonexistent/echo\.toml"),
    ("directory as file", ["--config", "/"], {}, r"cannot be read"),
)

BAD_FILES = (
    ("misspelt key", 'dev = "af_packet:stack0"\nprot = 7\n', r':2: unknown key "prot"; did you mean "port"\?'),
    ("wrong type", 'dev = "af_packet:stack0"\naddr = ["198.18.0.2/24"]\n', r":2: addr"),
    ("value out of range", "\n\nport = 70000\n", r":3: port"),
    ("syntax error", 'dev = "af_packet:stack0\n', r":1: "),
    ("key twice", "port = 7\nport = 8\n", r":2: "),
)


def expect_one_line(bench, command, environment, pattern, namespace=None):
    program = bench.start(command, namespace or bench.stack, environment)
    status = program.wait(10)
    lines = program.output().splitlines()
    expect(status not in (0, None) and status > 0, f"status {status}: {program.output()}")
    expect(len(lines) == 1 and lines[0].startswith("millrace-echo: "), f"not one clear line: {program.output()}")
    expect(re.search(pattern, lines[0]), f"{pattern!r} is not in: {lines[0]}")


def bad_input(bench, arguments, environment, pattern):
    bench.connect()
    expect_one_line(bench, [bench.programs.echo, *arguments], environment, pattern)


def bad_file(bench, content, pattern):
    bench.connect()
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(content)
        file.flush()
        expect_one_line(bench, [bench.programs.echo, "--config", file.name], {}, pattern)


def no_privilege(bench):
    bench.connect()
    expect_one_line(bench, ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all",
                            "--bounding-set=-all", bench.programs.echo, *bench.stack_options()], {},
                    r"[Nn]ot permitted|privilege|CAP_NET_RAW")


def kernel_port_in_use(bench):
    bench.connect().kernel_echo()
    expect_one_line(bench, [bench.programs.echo, "--kernel"], {}, r"port 7: Address already in use", bench.peer)


def precedence(bench):
    """Flags before environment before file."""
    bench.connect()
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write('dev = "af_packet:stack0"\naddr = "198.18.0.2/24"\nport = 1001\ndiscard_port = 1002\nchargen_port = 1003\n')
        file.flush()
        server = bench.start([bench.programs.echo, "--config", file.name, "--port", 3001], bench.stack,
                             {"MILLRACE_PORT": "2001", "MILLRACE_DISCARD_PORT": "2002"})
        said = server.wait_for("serving on.*").group(0)
    expect("echo 3001, discard 2002, chargen 1003" in said, said)


# What takes its time and hardly concerns the device: over others than the first one only with --soak.
LONG_OF_THE_STACK = {"a reader that stops", "a peer that vanishes", "idle server with 100 connections", "SIGTERM ends gracefully",
                     "SIGTERM amid requests", "a second signal ends at once", "statistics", "1,000 connections of 1 MB from the stack",
                     "chat, stack as client", "chat, stack as server"}


# Over these drivers, whose devices differ little from the first one's for what is above, few are enough each time.
SELDOM = ("xdp", "dpdk", "dpdk-tap")
ALWAYS = re.compile(r"capture, both|TCP echo|both-ways|zero copy|ping flood|every size, MTU 1500|faulty|duplication|come and go|"
                    r"several queues: (a|the interface)")


def all_cases(programs):
    cases = []

    def add(name, function, *arguments, **options):
        if programs.driver != "af_packet" and not SOAK and name in LONG_OF_THE_STACK:
            return
        if programs.driver in SELDOM and not SOAK and not ALWAYS.search(name):
            return
        cases.append((name, lambda bench: function(bench, *arguments, **options)))

    for mtu_size in (576, 1500, 9000):
        add(f"ping of every size, MTU {mtu_size}", ping, mtu=mtu_size)
    add("ping flood", ping_flood)
    for role, role_name in ROLES:
        add(f"TCP echo, {role_name}", tcp_echo, role)
        add(f"UDP echo of every size, {role_name}", udp_echo, role)
        for name in ("both-ways", "client-half-closes", "server-half-closes", "client-resets", "server-resets",
                     "client-closes-unread", "server-closes-unread", "client-closes-early", "server-closes-early",
                     "client-sends-urgent", "server-sends-urgent", "chat"):
            add(f"{name}, {role_name}", scenario, name, role)
        add(f"fast-open, {role_name}", fast_open, role)
        for name in ("refused", "refused-later", "datagram-refused"):
            add(f"{name}, {role_name}", refused, name, role)
        for mtu_size in (576, 9000):
            add(f"MTU {mtu_size}, {role_name}", mtu, mtu_size, role)
        for settings in () if programs.driver != "af_packet" else ({"tx": "off"}, {"tso": "off"}, {"gso": "off", "tso": "off"}, {"gro": "on"},
                         {"tx": "off", "rx": "off", "gso": "off", "gro": "off", "sg": "off"}):
            text = " ".join(f"{key} {value}" for key, value in settings.items())
            add(f"peer with {text}, {role_name}", offloads, settings, role)
        if programs.relay and programs.driver == "af_packet":
            add(f"5 % loss each way on the line, {role_name}", lossy_line, role)
        add(f"loss, duplication, corruption and reordering, {role_name}", faulty_device, role)
    add("zero copy, both ways", zero_copy)
    add("1,000 connections of 1 MB leave nothing behind", thousand_connections)
    add("1,000 connections of 1 MB from the stack", many_from_stack)
    add("connections that come and go leave nothing behind", connect_and_go)
    add("kill -9 of clients in mid-transfer", killed_client)
    add("a reader that stops", slow_reader)
    add("a peer that vanishes", vanished_peer)
    add("idle server", idle_cpu, 0)
    add("idle server with 100 connections", idle_cpu, 100)
    add("SIGTERM ends gracefully", graceful_end)
    add("SIGTERM amid requests", end_amid_requests)
    add("a second signal ends at once", second_signal)
    add("statistics", statistics)
    if programs.driver == "tap":
        tap_cases.add_cases(add)
        queue_cases.add_cases(add)
    elif programs.driver in ("af_packet", "xdp", "dpdk"):
        queue_cases.add_cases(add)
    if programs.driver in ("af_packet", "xdp"):
        queue_cases.add_cases_of_cables(add)
    if programs.driver == "af_packet":
        add_cases_of_settings(add)
        doctor_cases.add_cases(add)
        mtu_cases.add_cases(add)
        capture_cases.add_cases_of_files(add)
    if programs.flood and programs.driver == "af_packet":
        flood_cases.add_cases(add)
    if programs.crowd and programs.driver == "af_packet":
        crowd_cases.add_cases(add)
    command_cases.add_cases(add)
    capture_cases.add_cases(add)
    return cases


def add_cases_of_settings(add):
    add("precedence of settings", precedence)
    for name, arguments, environment, pattern in BAD_INPUT:
        add(f"bad input: {name}", bad_input, arguments, environment, pattern)
    for name, content, pattern in BAD_FILES:
        add(f"bad file: {name}", bad_file, content, pattern)
    if os.geteuid() == 0:
        add("bad input: no privilege", no_privilege)
    add("bad input: port in use on the kernel", kernel_port_in_use)
