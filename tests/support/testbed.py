"""Namespaces, programs and cases for tests in which the stack meets the kernel's.

A case is a function that takes a Bench. Whatever it makes through the Bench is gone when it returns, fails or is
interrupted: programs are ended by their process id, namespaces by their name, which has our own id in it.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

STACK = "198.18.0.2"
PEER = "198.18.0.1"
PREFIX = 24
SOAK = os.environ.get("MILLRACE_SOAK") == "1"
NAMESPACE_PREFIX = "millrace-test-"
CLONE_NEWNET = 0x40000000
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


class Failure(Exception):
    """What went wrong, for the reader of the test's output."""


class Skip(Exception):
    """Why a case cannot be tried here."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def run(command, timeout=20, check=True):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout, text=True, errors="replace", check=False)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(command)}: status {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def parse_stat(line):
    """Of proc(5)'s stat of a process or a thread: its name, its state, and the seconds that it has computed."""
    name, rest = re.match(r"\d+ \((.*)\) (.*)", line, re.DOTALL).groups()
    fields = rest.split()
    return name, fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Program:
    """A program running in a namespace; what it says is kept in a file, but for what goes to a `stdout` of its own."""

    def __init__(self, command, namespace, environment=None, stdin=subprocess.DEVNULL, stdout=None, cwd=None):
        self.command = [str(word) for word in command]
        self._log = tempfile.TemporaryFile(mode="w+b")
        inside = ["ip", "netns", "exec", namespace, *self.command] if namespace else self.command
        # `ip netns exec` becomes the program: its process id is the program's.
        self._process = subprocess.Popen(inside, stdin=stdin, stdout=stdout or self._log, stderr=self._log, cwd=cwd,
                                         env=dict(os.environ, **(environment or {})))
        self.pid = self._process.pid
        self._status_taken = False
        self._crash = ""

    def output(self):
        return os.pread(self._log.fileno(), 1 << 24, 0).decode(errors="replace")

    def running(self):
        return self._process.poll() is None

    def wait_for(self, pattern, seconds=10, times=1):
        """Waits until the output matches, so many times; fails when the program ends or the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            running = self.running()
            found = list(re.finditer(pattern, self.output(), re.MULTILINE))
            if len(found) >= times:
                return found[times - 1]
            if not running:
                raise Failure(f"{self.describe()} ended with status {self._process.returncode}: {self.output().strip()}")
            if time.monotonic() > deadline:
                raise Failure(f"{self.describe()} did not say {pattern!r} in {seconds} s: {self.output().strip()}")
            time.sleep(0.02)

    def stdout(self):
        """Its pipe, where that is what it has."""
        return self._process.stdout

    def close_input(self):
        self._process.stdin.close()

    def write(self, text):
        """To a standard input that is a pipe."""
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def signal(self, number):
        if self.running():
            self._process.send_signal(number)

    def wait(self, seconds=60):
        """The exit status."""
        self._status_taken = True
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.describe()} is still running after {seconds} s: {self.output().strip()}; "
                          f"its threads: {self.threads()}") from None

    def succeed(self, seconds=90):
        """Waits for the end; returns the output; fails unless the exit status is 0."""
        status = self.wait(seconds)
        if status != 0:
            raise Failure(f"{self.describe()}: status {status}: {self.output().strip()}")
        return self.output()

    def end(self):
        """Returns what is wrong with it, where it crashed and nobody has looked at its status."""
        if self.running():
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)  # it may be stopped
            try:
                self._process.wait(8)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        status = self._process.returncode
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            with contextlib.suppress(BrokenPipeError):  # what it did not read any more
                pipe.close()
        if not self._log.closed:
            if not self._status_taken and -status in CRASHES:
                self._crash = f"{self.describe()} ended by {signal.Signals(-status).name}: {self.output().strip()[-2000:]}"
            self._log.close()
        return self._crash

    def describe(self):
        return f"{os.path.basename(self.command[0])} {' '.join(self.command[1:])}"

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return int(re.search(r"^VmRSS:\s+(\d+)", status.read(), re.MULTILINE).group(1)) * 1024

    def threads(self):
        """What each is doing: its name, its state, where in the kernel it sleeps, the seconds that it has computed."""
        told = []
        for task in sorted(os.listdir(f"/proc/{self.pid}/task"), key=int):
            folder = f"/proc/{self.pid}/task/{task}"
            try:
                with open(f"{folder}/stat", encoding="ascii") as stat, open(f"{folder}/wchan", encoding="ascii") as wchan:
                    name, state, seconds = parse_stat(stat.read())
                    told.append(f"{name} {state} {wchan.read()} {seconds:.2f} s")
            except (FileNotFoundError, ProcessLookupError):
                pass  # it has ended meanwhile
        return ", ".join(told)

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            return parse_stat(stat.read())[2]


def enter_namespace(name):
    """For the calling thread, from now on."""
    fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {name}")
    finally:
        os.close(fd)


def in_namespace(name, function):
    """What the function returns or raises, called in a thread of that namespace."""
    outcome = {}

    def call():
        try:
            enter_namespace(name)
            outcome["value"] = function()
        except BaseException as problem:  # pylint: disable=broad-except # raised again by the caller
            outcome["problem"] = problem
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if "problem" in outcome:
        raise outcome["problem"]
    return outcome["value"]


class Bench:
    """Two namespaces joined by a veth: `stack`, whose kernel is silent, and `peer`, the kernel's stack.

        stack [ stack0 ]=======[ peer0 ] peer            with middle=True the cable runs through a third
        198.18.0.2               198.18.0.1              namespace, where a relay moves the frames

    A TAP interface is itself the kernel's end, peer0, so that the stack's programs run in the peer's namespace.
    """

    # The driver, and what the stack's end is to it.
    DEVICES = {"af_packet": "af_packet:stack0", "xdp": "xdp:stack0", "dpdk": "dpdk:net_af_packet0,iface=stack0",
               "tap": "tap:peer0", "dpdk-tap": "dpdk:net_tap0,iface=peer0"}
    # These see frames as they lie in memory: what their kernel peer left to its device is missing.
    WITHOUT_OFFLOADS = ("xdp", "dpdk")
    # From these no frame comes that is larger than the MTU.
    WITHOUT_SUPER_FRAMES = (*WITHOUT_OFFLOADS, "dpdk-tap")
    # An interface that is there before the program, and what it is made with: DPDK opens each as one of several queues.
    # net_tap takes a frame a call, too: bursts of a thousand connections wait in the interface's queue.
    TAPS = {"tap": ([], []), "dpdk-tap": (["multi_queue"], ["txqueuelen", "10000"])}

    def __init__(self, programs, driver="af_packet"):
        self.programs = programs
        self.driver = driver
        self.device = self.DEVICES[driver]
        self._started = []
        self.crashes = []
        self._machine_before = {}
        self._namespaces = []
        self.stack = self.peer = self.middle = None

    # ---- namespaces

    def _namespace(self, name):
        full = f"{NAMESPACE_PREFIX}{os.getpid()}-{name}"
        self._namespaces.append(full)
        run(["ip", "netns", "add", full])
        run(["ip", "netns", "exec", full, "sh", "-c",
             "for f in all default; do echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done; "
             "echo cubic >/proc/sys/net/ipv4/tcp_congestion_control; "
             "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 15 >/proc/sys/net/ipv4/tcp_fin_timeout"], check=False)
        run(["ip", "-n", full, "link", "set", "lo", "up"])
        return full

    def connect(self, mtu=1500, middle=False, offloads=None):
        """Makes the namespaces. `offloads`: for ethtool -K on the peer's end, such as {"tso": "off"}."""
        if self.driver in self.TAPS:
            expect(not middle and not offloads, "a TAP has no other end, and its driver's offloads")
            self.stack = self.peer = self._namespace("peer")
            kind, settings = self.TAPS[self.driver]
            run(["ip", "-n", self.peer, "tuntap", "add", "dev", "peer0", "mode", "tap", *kind])
            run(["ip", "-n", self.peer, "link", "set", "peer0", "mtu", str(mtu), *settings, "up"])
        else:
            self._connect_by_cable(mtu, middle)
        self._set_up_peer(offloads)
        return self

    def _set_up_peer(self, offloads=None):
        run(["ip", "-n", self.peer, "addr", "add", f"{PEER}/{PREFIX}", "dev", "peer0"])
        if self.driver in self.WITHOUT_OFFLOADS:
            offloads = {"tx": "off", "tso": "off", "gso": "off"} | (offloads or {})
        for name, value in (offloads or {}).items():
            run(["ip", "netns", "exec", self.peer, "ethtool", "-K", "peer0", name, value])

    def connect_anew(self, queues):
        """Another cable in the place of the one that is there, with so many queues at each end."""
        run(["ip", "-n", self.stack, "link", "del", "stack0"])
        self._cable(self.stack, "stack0", self.peer, "peer0", 1500, queues)
        self._set_up_peer()

    def _connect_by_cable(self, mtu, middle):
        self.stack, self.peer = self._namespace("stack"), self._namespace("peer")
        if middle:
            self.middle = self._namespace("middle")
            self._cable(self.stack, "stack0", self.middle, "left0", mtu)
            self._cable(self.middle, "right0", self.peer, "peer0", mtu)
        else:
            self._cable(self.stack, "stack0", self.peer, "peer0", mtu)

    @staticmethod
    def _cable(left, left_name, right, right_name, mtu, queues=None):
        settings = ["mtu", str(mtu)] + (["numrxqueues", str(queues), "numtxqueues", str(queues)] if queues else [])
        run(["ip", "link", "add", left_name, "netns", left, *settings, "type", "veth",
             "peer", "name", right_name, "netns", right, *settings])
        for namespace, name in ((left, left_name), (right, right_name)):
            run(["ip", "-n", namespace, "link", "set", name, "up"])

    def set_link(self, up):
        """Pulls or plugs the peer's end."""
        run(["ip", "-n", self.peer, "link", "set", "peer0", "up" if up else "down"])

    # ---- programs

    def start(self, command, namespace=None, environment=None, **options):
        program = Program(command, namespace, environment, **options)
        self._started.append(program)
        return program

    def stack_options(self, device=None):
        return ["--dev", device or self.device, "--addr", f"{STACK}/{PREFIX}"]

    def in_peer(self, *command, timeout=60, check=True):
        return run(["ip", "netns", "exec", self.peer, *map(str, command)], timeout, check)

    def until(self, what, condition, seconds):
        deadline = time.monotonic() + seconds
        while not condition():
            expect(time.monotonic() < deadline, f"not within {seconds} s: {what}")
            time.sleep(0.1)

    def counters(self, server):
        """The counters that the server prints on SIGUSR1."""
        seen = server.output().count("stats end")
        server.signal(signal.SIGUSR1)
        deadline = time.monotonic() + 20
        while server.output().count("stats end") <= seen:
            expect(server.running() and time.monotonic() < deadline, "the server does not print its counters")
            time.sleep(0.02)
        block = server.output().split("stats end")[seen]
        return {name: int(value) for name, value in re.findall(r"^stats (\S+) (\d+)$", block, re.MULTILINE)}

    def end_programs(self):
        for program in reversed(self._started):
            self.crashes += filter(None, [program.end()])
        self._started = []

    def tell_machine(self, name, value):
        """A setting of the whole machine, until clean_up()."""
        self._machine_before.setdefault(name, run(["sysctl", "-n", name]).strip())
        run(["sysctl", "-qw", f"{name}={value}"])

    def clean_up(self):
        self.end_programs()
        for name in self._namespaces:
            # What went into the background there.
            for pid in run(["ip", "netns", "pids", name], check=False).split():
                end_process(int(pid))
            run(["ip", "netns", "del", name], check=False)
        self._namespaces = []
        for name, value in self._machine_before.items():
            run(["sysctl", "-qw", f"{name}={value}"], check=False)
        self._machine_before = {}


def end_process(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def remove_leftovers():
    """Namespaces of earlier runs that were killed before they could clean up."""
    for name in re.findall(rf"^{NAMESPACE_PREFIX}(\d+)-(\S+)", run(["ip", "netns", "list"], check=False), re.MULTILINE):
        if not os.path.exists(f"/proc/{name[0]}"):
            run(["ip", "netns", "del", f"{NAMESPACE_PREFIX}{name[0]}-{name[1]}"], check=False)


class Tap:
    """Runs cases and prints their results in the Test Anything Protocol."""

    def __init__(self, make_bench, cases):
        self._make_bench = make_bench
        self._cases = cases
        self._failed = 0

    def run(self):
        print(f"1..{len(self._cases)}", flush=True)
        remove_leftovers()
        for number, (name, case) in enumerate(self._cases, 1):
            bench = self._make_bench()
            started = time.monotonic()
            problem, skipped = None, ""
            try:
                case(bench)
            except Skip as reason:
                skipped = f" # SKIP {reason}"
            except Failure as error:
                problem = str(error)
            except Exception:  # pylint: disable=broad-except # one broken case must not hide the others
                problem = traceback.format_exc()
            finally:
                bench.clean_up()
            problem = problem or "\n".join(bench.crashes) or None
            self._failed += problem is not None
            print(f"{'not ok' if problem else 'ok'} {number} - {name} ({time.monotonic() - started:.1f} s){skipped}", flush=True)
            for line in (problem or "").splitlines()[:40]:
                print(f"# {line}", flush=True)
        return 1 if self._failed else 0


def add_case_options(parser):
    parser.add_argument("--case", default="", help="a regular expression of their names")
    parser.add_argument("--list", action="store_true", help="only their names")


def run_cases(options, cases, make_bench):
    """Runs those (name, function) that --case picks, or lists them. Returns the exit status."""
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root for network namespaces")
        return 1
    end_on_signals()
    chosen = [(name, case) for name, case in cases if re.search(options.case, name)]
    if options.list:
        print("\n".join(name for name, _ in chosen))
        return 0
    # Where programs have their control sockets: not where those of the machine's user are.
    with tempfile.TemporaryDirectory(prefix="millrace-run-") as directory:
        os.environ["MILLRACE_RUN_DIR"] = directory
        return Tap(make_bench, chosen).run()


def cases_of(modules):
    """What their add_cases(add) add."""
    cases = []

    def add(name, function, *arguments, **options):
        cases.append((name, lambda bench: function(bench, *arguments, **options)))
    for module in modules:
        module.add_cases(add)
    return cases


def end_on_signals():
    """An interrupted run still cleans up: the finally clauses run."""
    def leave(number, _frame):
        sys.exit(128 + number)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, leave)
