"""Unmodified programs on the stack, under `millrace run`, with others on the kernel at the other end.

Every case is watched: while it runs, the kernel of the stack's namespace must have no TCP or UDP socket of its own, or a
call that slipped past the preload library would look like a pass; and the traffic must have gone over the interface.
"""

import contextlib
import functools
import hashlib
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

import testbed  # noqa: E402
from testbed import (PEER, SOAK, STACK, Failure, Skip, Tap, end_on_signals, enter_namespace, expect, in_namespace,  # noqa: E402, F401
                     run)

KB, MB = 1000, 1_000_000
ROLES = ((True, "on the stack"), (False, "on the kernel"))
PYTHON = "/usr/bin/python3"


class Watch(threading.Thread):
    """Looks at a namespace's sockets, as `ss -tuan` lists them, many times a second, and at its interface at the end."""

    PERIOD = 0.05

    def __init__(self, namespace, interface):
        super().__init__(daemon=True)
        self._namespace, self._interface = namespace, interface
        self._end = threading.Event()
        self.samples, self.received, self.sent = 0, 0, 0
        self.sockets = set()

    def run(self):
        enter_namespace(self._namespace)
        last = False
        while not last:
            last = self._end.wait(self.PERIOD)  # once more at the end
            for table in ("tcp", "tcp6", "udp", "udp6"):
                self._look(table)
            self.samples += 1
        with open("/proc/thread-self/net/dev", encoding="ascii") as devices:
            for line in devices:
                name, _, numbers = line.partition(":")
                if name.strip() == self._interface:
                    self.received, self.sent = (int(numbers.split()[column]) for column in (0, 8))

    def _look(self, table):
        try:
            with open(f"/proc/thread-self/net/{table}", encoding="ascii") as sockets:
                lines = sockets.read().splitlines()[1:]
        except FileNotFoundError:
            return
        for line in lines:
            local, remote, state = line.split()[1:4]
            if not all(self._harmless(end) for end in (local, remote)) or not self._loopback(local):
                self.sockets.add(f"{table} {self._text(local)} {self._text(remote)} state {state}")

    @staticmethod
    def _bytes(end):
        """An address in network order: the kernel prints each of its words in the machine's."""
        words = end.split(":")[0]
        return b"".join(bytes.fromhex(words[at:at + 8])[::-1] for at in range(0, len(words), 8))

    @classmethod
    def _loopback(cls, end):
        address = cls._bytes(end)
        mapped = address[:12] == bytes(10) + b"\xff\xff"
        return address[12 if mapped else 0] == 127 or address == bytes(15) + b"\x01"

    @classmethod
    def _harmless(cls, end):
        return cls._loopback(end) or end.endswith(":0000") or not any(cls._bytes(end))

    @classmethod
    def _text(cls, end):
        address = cls._bytes(end)
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        return f"{socket.inet_ntop(family, address)}:{int(end.split(':')[1], 16)}"

    def finish(self):
        self._end.set()
        self.join()


class Bench(testbed.Bench):
    """The namespaces, a folder for the programs' files, and programs on either side."""

    def __init__(self, programs):
        super().__init__(programs)
        self.scratch = None

    def connect(self, **options):
        self.scratch = tempfile.mkdtemp(prefix="millrace-programs-")
        os.chmod(self.scratch, 0o755)  # for programs that give up root
        return super().connect(**options)

    def clean_up(self):
        super().clean_up()
        if self.scratch:
            shutil.rmtree(self.scratch, ignore_errors=True)

    # ---- programs

    def on_stack(self, *command, settings=(), **options):
        return self.start([self.programs.millrace, "run", *self.stack_options(), *settings, "--", *command], self.stack,
                          **options)

    def on_kernel(self, *command, **options):
        return self.start(command, self.peer, **options)

    def server(self, on_stack, *command, **options):
        return (self.on_stack if on_stack else self.on_kernel)(*command, **options)

    def client(self, server_on_stack, *command, **options):
        return (self.on_kernel if server_on_stack else self.on_stack)(*command, **options)

    @staticmethod
    def host(on_stack):
        """The address of a server there."""
        return STACK if on_stack else PEER

    def connect_from_kernel(self, host, port, timeout=5):
        """A TCP connection of this process's own, in the peer's namespace."""
        return in_namespace(self.peer, lambda: socket.create_connection((host, port), timeout))

    def wait_for_port(self, server, host, port, seconds=15):
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.connect_from_kernel(host, port, 1).close()
                return
            except OSError as problem:
                expect(server.running(), f"{server.describe()} has ended: {server.output().strip()}")
                expect(time.monotonic() < deadline,
                       f"{server.describe()} does not answer on port {port}: {problem}: {server.output().strip()}")
            time.sleep(0.05)

    # ---- files

    def path(self, name):
        return os.path.join(self.scratch, name)

    def file(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def random_file(self, name, size):
        return self.file(name, os.urandom(size))

    @staticmethod
    def script(name):
        return os.path.join(os.path.dirname(os.path.abspath(__file__)), "scripts", name)

    # ---- what is left in a program

    def gauges(self, pid):
        """What is in use in the stack of a program."""
        told = run([self.programs.millrace, "stats", "-z", "--pid", str(pid)], check=False)
        numbers = dict(re.findall(r"^(\S+)\s+(\d+)$", told, re.MULTILINE))
        wanted = ("pool.BytesInUse", "pool.PacketsInUse", "pool.BuffersInUse", "tcp.Connections", "tcp.SynReceived")
        expect(all(name in numbers for name in wanted), f"millrace stats: {told.strip()}")
        return {name: int(numbers[name]) for name in wanted}


def child_of(pid):
    """The program under a launcher."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        found = children.read().split()
    expect(len(found) == 1, f"process {pid} has children {found}")
    return int(found[0])


def descriptors(pid):
    """How many, but for an eventfd a thread: the stack makes that at the thread's first long sleep."""
    names = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            names.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    eventfds = names.count("anon_inode:[eventfd]")
    return len(names) - min(eventfds, threads(pid))


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def expect_back(what, before, now, seconds=15):
    deadline = time.monotonic() + seconds
    while (current := now()) != before:
        expect(time.monotonic() < deadline, f"{what}: {before} before, {current} now")
        time.sleep(0.2)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def expect_same(first, second):
    expect(os.path.getsize(first) == os.path.getsize(second),
           f"{os.path.getsize(second)} bytes of {os.path.getsize(first)} arrived")
    expect(sha256(first) == sha256(second), "what arrived has another SHA-256")


def need(*names):
    for name in names:
        if shutil.which(name) is None:
            raise Skip(f"no {name} on this machine")


def watched(carries=1 * KB):
    """For a case: with namespaces, and watched. `carries`: as many bytes must have gone over the interface."""
    def wrap(case):
        @functools.wraps(case)
        def wrapped(bench, *arguments, **options):
            bench.connect()
            watch = Watch(bench.stack, "stack0")
            watch.start()
            try:
                case(bench, *arguments, **options)
            finally:
                watch.finish()
            expect(watch.samples > 1, "nobody has looked at the kernel's sockets")
            expect(not watch.sockets, f"sockets of the kernel's in the stack's namespace: {sorted(watch.sockets)}")
            carried = watch.received + watch.sent
            expect(carried >= carries, f"only {carried} bytes went over the interface")
        return wrapped
    return wrap
