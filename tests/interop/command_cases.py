"""What `millrace ss` and `millrace stats` tell of running programs, against what the kernel at the other end says."""

import json
import os
import re
import signal
import socket
import tempfile
import threading
import time

from harness import PEER, STACK, expect

# Kernel clients of the server: one that echoes, one that never reads what comes without end, and one that has shut
# down its sending half and not read the answer. Says its ports, then holds them until it is ended.
CLIENTS = f"""
import socket, time
echo = socket.create_connection(("{STACK}", 7)); echo.sendall(b"x" * 5000)
left = 5000
while left: left -= len(echo.recv(left))
stuck = socket.create_connection(("{STACK}", 19))
named = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); named.connect(("{STACK}", 7)); named.send(b"x"); named.recv(9)
time.sleep(0.3)
print("ports", echo.getsockname()[1], stuck.getsockname()[1], flush=True)
time.sleep(60)
"""

# A SYN of an address that does not exist: nobody answers what answers it.
HALF_OPEN = f"""
import socket, struct
def checksum(data):
    total = sum(struct.unpack(f"!{{len(data) // 2}}H", data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
source, destination = socket.inet_aton("198.18.0.77"), socket.inet_aton("{STACK}")
header = struct.pack("!HHIIBBHHH", 4711, 7, 1, 0, 5 << 4, 2, 1000, 0, 0)
pseudo = source + destination + struct.pack("!BBH", 0, 6, len(header))
header = header[:16] + struct.pack("!H", checksum(pseudo + header)) + header[18:]
packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(header), 0, 0, 64, 6, 0) + source + destination + header
socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).sendto(packet, ("{STACK}", 0))
"""


class Tools:
    """The command, with control sockets in a directory of our own."""

    def __init__(self, bench, directory):
        self._bench = bench
        self.directory = directory
        self.environment = {"MILLRACE_RUN_DIR": directory}

    def start(self, *arguments):
        return self._bench.start([self._bench.programs.millrace, *arguments], None, self.environment)

    def say(self, *arguments):
        return self.start(*arguments).succeed(10)

    def echo(self, *options, device=None):
        bench = self._bench
        server = bench.start([bench.programs.echo, *bench.stack_options(device), "--discard-port", 9, "--chargen-port", 19,
                              *options], bench.stack, self.environment)
        server.wait_for("serving on")
        return server


def with_tools(case):
    def wrapped(bench, *arguments):
        with tempfile.TemporaryDirectory(prefix="millrace-run-") as directory:
            bench.connect()
            try:
                case(bench, Tools(bench, directory), *arguments)
            finally:
                bench.end_programs()
    return wrapped


def rows(text):
    """The words of each line, but for the headings."""
    return [line.split() for line in text.splitlines()[1:]]


def find(table, *wanted):
    found = [row for row in table if all(word in row for word in wanted)]
    expect(len(found) == 1, f"not one row with {wanted}: {table}")
    return found[0]


@with_tools
def sockets(bench, tools):
    """Every state, queues, ports and processes; and the kernel's ss at the other end sees the same connections."""
    server = tools.echo()
    clients = bench.start(["python3", "-c", CLIENTS], bench.peer)
    echo, stuck = clients.wait_for(r"^ports (\d+) (\d+)").groups()
    bench.start(["python3", "-c", HALF_OPEN], bench.peer).succeed()

    bench.until("the SYN has come", lambda: "SYN-RECV" in tools.say("ss", "-tan"), 10)
    table = rows(tools.say("ss", "-tuanp"))
    find(table, "udp", "UNCONN", "0.0.0.0:7", "0.0.0.0:*")
    for port in (7, 9, 19):
        listener = find(table, "tcp", "LISTEN", f"0.0.0.0:{port}", "0.0.0.0:*")
        expect(int(listener[2]) == 0 and int(listener[3]) > 0, f"accept queue and backlog: {listener}")
    row = find(table, "ESTAB", f"{STACK}:7", f"{PEER}:{echo}")
    expect(row[2:4] == ["0", "0"], f"nothing is queued: {row}")
    users = re.fullmatch(r'users:\(\("millrace-echo",pid=(\d+),fd=(\d+)\)\)', row[-1])
    expect(users and int(users[1]) == server.pid and int(users[2]) >= 1 << 30, f"who has it: {row}")
    row = find(table, "ESTAB", f"{STACK}:19", f"{PEER}:{stuck}")
    expect(int(row[3]) > 10_000, f"nobody reads what it sends: {row}")
    half_open = find(table, "SYN-RECV", f"{STACK}:7", "198.18.0.77:4711")
    expect(not half_open[-1].startswith("users"), f"no process has it yet: {half_open}")

    # What the kernel's ss says from the other side.
    ours = {(row[4], row[5]) for row in rows(tools.say("ss", "-tn", "-u")) if row[0] == "tcp"}
    theirs = {(row[4], row[3]) for row in rows(bench.in_peer("ss", "-tn"))}
    expect(ours == theirs and len(ours) == 2, f"ours {ours}, the kernel's {theirs}")
    listening = {row[1] for row in rows(tools.say("ss", "-tuln"))}
    expect(listening == {"LISTEN", "UNCONN"}, f"-l: {listening}")

    server.signal(signal.SIGTERM)
    bench.until("a closed end", lambda: "FIN-WAIT" in tools.say("ss", "-tan"), 5)
    clients.signal(signal.SIGKILL)
    server.wait(15)
    expect(not os.listdir(tools.directory), "the socket stays behind")


@with_tools
def details(bench, tools):
    """-i, -m, -o, -e: ss's words with the numbers that the other end confirms."""
    tools.echo()
    clients = bench.start(["python3", "-c", CLIENTS], bench.peer)
    echo, stuck = clients.wait_for(r"^ports (\d+) (\d+)").groups()

    def connection(text, port):
        lines = text.splitlines()
        at = [number for number, line in enumerate(lines) if f":{port}" in line]
        expect(len(at) == 1, f"port {port} is not there once: {text}")
        return lines[at[0]], lines[at[0] + 1]

    def number(text, name):
        found = re.search(rf"(?<!\S){name}:(\d+)", text)
        expect(found, f"no {name} in {text}")
        return int(found.group(1))

    _, ours = connection(tools.say("ss", "-tin"), echo)
    theirs = connection(bench.in_peer("ss", "-tin"), echo)[1]
    for name in ("mss", "pmtu"):
        expect(number(ours, name) == number(theirs, name), f"{name}: ours {ours}, the kernel's {theirs}")
    expect(number(ours, "data_segs_in") == number(theirs, "data_segs_out"), f"data_segs: ours {ours}, the kernel's {theirs}")
    for sender, receiver in ((ours, theirs), (theirs, ours)):
        # What was sent again counts as sent; it is not told where there is none.
        again = re.search(r"(?<!\S)bytes_retrans:(\d+)", sender)
        expect(number(sender, "bytes_sent") - int(again[1] if again else 0) == number(receiver, "bytes_received"),
               f"bytes: ours {ours}, the kernel's {theirs}")
    for name in ("cwnd", "segs_in", "segs_out", "advmss", "rcvmss", "lastsnd", "lastrcv", "lastack", "rcv_space",
                 "snd_wnd"):
        number(ours, name)
    scales = re.search(r"wscale:(\d+),(\d+)", ours), re.search(r"wscale:(\d+),(\d+)", theirs)
    expect(all(scales) and scales[0].groups() == scales[1].groups()[::-1], f"wscale: {ours}; {theirs}")
    expect(re.search(r" ts sack \w+ .* rto:[\d.]+ rtt:[\d.]+/[\d.]+ .* send \d+bps .* minrtt:[\d.]+", ours), ours)

    first, second = connection(tools.say("ss", "-tnoem"), stuck)
    expect(re.search(r"timer:\((persist|on),\S+,\d+\)", first), f"-o: {first}")
    expect(re.search(r" ino:\d+ sk:[0-9a-f]+ <->$", first), f"-e: {first}")
    memory = re.search(r"skmem:\(r\d+,rb\d+,t\d+,tb(\d+),f\d+,w(\d+),o\d+,bl\d+,d\d+\)", second)
    expect(memory and 0 < int(memory[2]) <= 2 * int(memory[1]), f"-m: {second}")

    summary = tools.say("ss", "-s")
    expect(re.search(r"^TCP: +5 \(estab 2, closed 0, orphaned 0, timewait 0\)$", summary, re.MULTILINE), summary)
    expect(re.search(r"^UDP\s+1\s+1\s+0$", summary, re.MULTILINE), summary)


@with_tools
def columns(bench, tools):
    """Headings as ss has them, and what is below them."""
    tools.echo()
    clients = bench.start(["python3", "-c", CLIENTS], bench.peer)
    clients.wait_for("^ports")

    def headings(text):
        return text.splitlines()[0].replace("PortProcess", "Port Process").split()

    for flags in (["-tuan"], ["-tan"], ["-uan"], ["-tuln"]):
        text = tools.say("ss", *flags)
        kernels = headings(bench.in_peer("ss", *flags))
        expect(headings(text) == kernels, f"{flags}: {text.splitlines()[0]!r}, ss has {kernels}")
        header, *lines = text.splitlines()
        # Addresses end, and ports begin, at the colons of the headings; the rest begins where its heading does.
        colons = [found.start() for found in re.finditer(":", header)]
        starts = [header.index(name) for name in ("State", "Recv-Q", "Send-Q")]
        expect(lines, f"{flags}: nothing listed")
        for line in lines:
            expect([found.start() for found in re.finditer(":", line)][:2] == colons, f"ports: {text}")
            expect(all(line[at] != " " and (at == 0 or line[at - 1] == " ") for at in starts), f"columns: {text}")
            expect(line == line.rstrip(), f"trailing space: {line!r}")
    with_header, without = tools.say("ss", "-tan"), tools.say("ss", "-tanH")
    expect(rows(with_header) == [line.split() for line in without.splitlines()], without)


@with_tools
def counters(bench, tools):
    """nstat's names with the numbers that the program itself prints, then ours; totals over programs."""
    server = tools.echo()
    bench.load("rr", "--count", 20).succeed()
    own = bench.counters(server)
    text = tools.say("stats", "-z")
    told = dict(line.split() for line in text.splitlines() if not line.startswith("#"))
    for name in ("TcpPassiveOpens", "TcpExtTCPTimeouts", "UdpInDatagrams"):
        room = "udp" if name.startswith("Udp") else "tcp"
        expect(int(told[name]) == own[f"{room}.{name}"], f"{name}: {told[name]}")
    expect("tcp.TcpOutOfWindow" in told and "tcp.TcpPassiveOpens" not in told, f"names: {sorted(told)}")
    names = [line.split()[0] for line in text.splitlines()[1:]]
    kernels = [line.split()[0] for line in bench.in_peer("nstat", "-az").splitlines()[1:]]
    plain = [name for name in names if "." not in name]
    expect(names[:len(plain)] == plain, f"nstat's names do not come first: {names}")
    missing = [name for name in plain if name not in kernels and not name.startswith("Icmp")]
    expect(len(missing) <= 3, f"nstat has none of these: {missing}")  # kernels differ in what they count
    expect(all(re.fullmatch(r"(\S+ +){1}\d+", line) and len(line) - len(line.split()[1]) == 32
               for line in text.splitlines()[1:] if len(line.split()[0]) < 32), f"not aligned: {text}")
    expect(" 0\n" not in tools.say("stats"), "zeros are shown")

    data = json.loads(tools.say("stats", "--json", "TcpPassive*"))
    expect(data == {"millrace": {"TcpPassiveOpens": 1}}, str(data))
    data = json.loads(tools.say("stats", "--json", "--per-process", "TcpPassiveOpens"))
    expect(data == {f"millrace-echo[{server.pid}]": {"TcpPassiveOpens": 1}}, str(data))

    # Another program, on no device at all.
    other = bench.start([bench.programs.echo, "--dev", "none", "--addr", "198.18.9.9/24", "--port", 5555], None,
                        tools.environment)
    other.wait_for("serving on")
    expect("#millrace\n" in tools.say("stats"), "totals have one heading")
    separate = tools.say("stats", "--per-process")
    for program in (server, other):
        expect(f"#millrace-echo[{program.pid}]\n" in separate, separate)
    expect(":5555" in tools.say("ss", "-l") and ":19 " in tools.say("ss", "-l"), "both are listed")
    only = tools.say("ss", "-l", "--pid", other.pid)
    expect(":5555" in only and ":19 " not in only, only)


@with_tools
def nobody(_bench, tools):
    """No program: the headings alone, and what was looked for; what a killed one left behind is removed."""
    expected = "Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port Process"
    out = tools.say("ss")
    expect(out.splitlines()[0] == expected and "no running program" in out, out)
    expect(tools.say("stats").startswith("#millrace\n"), "no heading")
    expect(json.loads(tools.say("stats", "--json").splitlines()[0]) == {"millrace": {}}, "no empty object")
    server = tools.echo()
    expect(os.listdir(tools.directory) == [f"{server.pid}.sock"], str(os.listdir(tools.directory)))
    server.signal(signal.SIGKILL)
    server.wait(5)
    expect(os.listdir(tools.directory), "a killed program cleans nothing up")
    expect(len(tools.say("ss", "-a").splitlines()) == 2, "a dead program is listed")
    expect(not os.listdir(tools.directory), "what it left behind stays")


@with_tools
def ending(_bench, tools):
    """A program that ends while it is asked is no failure."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.path.join(tools.directory, f"{os.getpid()}.sock"))
        listener.listen()

        def end_without_reading():
            for _ in range(20):
                listener.accept()[0].close()
        program = threading.Thread(target=end_without_reading, daemon=True)
        program.start()
        for _ in range(20):
            out = tools.say("ss")
            expect(len(out.splitlines()) <= 2 and "cannot be asked" not in out, out)
        program.join(10)
        asking = tools.start("ss")  # nobody accepts it any more
        time.sleep(0.2)
    expect(asking.wait(10) == 0 and "cannot be asked" not in asking.output(), asking.output())


BAD_USAGE = (
    # arguments, status, what the line says
    ([], 2, r"ss, stats"),
    (["frobnicate"], 2, r"frobnicate"),
    (["ss", "-x"], 2, r"-x"),
    (["ss", "state", "established"], 2, r"established|state"),
    (["ss", "--pid", "x"], 2, r"--pid"),
    (["ss", "--pid", "0"], 2, r"--pid"),
    (["ss", "--pid"], 2, r"--pid"),
    (["stats", "--xml"], 2, r"--xml"),
    (["stats", "--pid", "1"], 1, r"process 1 "),
)


@with_tools
def bad_usage(_bench, tools):
    for arguments, status, pattern in BAD_USAGE:
        program = tools.start(*arguments)
        expect(program.wait(10) == status, f"{arguments}: status {program.wait()}: {program.output()}")
        lines = [line for line in program.output().splitlines() if not line.startswith("#")]
        expect(len(lines) == 1 and lines[0].startswith("millrace: "), f"{arguments}: not one line: {program.output()}")
        expect(re.search(pattern, lines[0]), f"{pattern!r} is not in: {lines[0]}")
    for subcommand in ("ss", "stats"):
        expect("--pid" in tools.say(subcommand, "--help"), "no help")


def add_cases(add):
    add("millrace ss: states, queues, ports, processes", sockets)
    add("millrace ss: details", details)
    add("millrace ss: columns", columns)
    add("millrace stats", counters)
    add("millrace: nobody there", nobody)
    add("millrace: a program that ends", ending)
    add("millrace: bad usage", bad_usage)
