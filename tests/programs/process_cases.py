"""What programs do as processes: children, the background, new images, signals, and all the ways to end."""

import contextlib
import os
import re
import signal
import socket
import threading
import time

import pcapng
from harness import (MB, PEER, PYTHON, ROLES, SOAK, STACK, Watch, child_of, descriptors, expect, expect_back, expect_same, in_namespace,
                     need, run, threads, watched)
from store_cases import start_redis
from web_cases import start_nginx


class Sink(threading.Thread):
    """A server of this process's own on the peer's kernel: takes connections and keeps what comes, or sends it back."""

    def __init__(self, bench, port=7000, echo=False, keep=True):
        super().__init__(daemon=True)
        self._echo, self._keep = echo, keep
        self._listener = in_namespace(bench.peer, lambda: socket.create_server((PEER, port), backlog=500))
        self._workers = []
        self.streams = []  # of each connection: what came, or how much
        self.problems = []
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.streams.append(bytearray() if self._keep else 0)
                worker = threading.Thread(target=self._serve, args=(connection, len(self.streams) - 1), daemon=True)
                worker.start()
                self._workers.append(worker)

    def _serve(self, connection, index):
        with connection:
            try:
                while data := connection.recv(262144):
                    self.streams[index] += data if self._keep else len(data)
                    if self._echo:
                        connection.sendall(data)
            except OSError as problem:
                self.problems.append(f"connection {index}, after {self.length(index)} bytes: {problem}")

    def length(self, index):
        return len(self.streams[index]) if self._keep else self.streams[index]

    def finish(self, seconds=10):
        """After every connection's end."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join()
        deadline = time.monotonic() + seconds
        for index, worker in enumerate(self._workers):
            worker.join(max(0, deadline - time.monotonic()))
            expect(not worker.is_alive(), f"connection {index} has no end, after {self.length(index)} bytes")
        expect(not self.problems, "; ".join(self.problems[:5]))


# ---- ends

@watched(carries=60 * MB)
def leaving(bench, how):
    """Written, closed, gone: all of it arrives. A reader that is slow to begin does not matter either."""
    source = bench.random_file("source", 10 * MB)
    in_c, in_python = [bench.programs.leaving], [PYTHON, bench.script("leaving.py")]
    for number, program in enumerate((in_c, in_python, in_c, in_python, in_c, in_c)):
        sink = Sink(bench)
        status = bench.on_stack(*program, PEER, 7000, source, how).wait(20)
        expect(status == 0, f"round {number}: status {status}")
        sink.finish()
        bench.file("arrived", bytes(sink.streams[0]))
        expect_same(source, bench.path("arrived"))


@watched()
def killed_server(bench, number):
    """The peer of a program that is killed, or crashes, is told so at once: by a reset."""
    # Of a crash it would report first, and test all memory by writing there, that of threads at work, too.
    server = start_redis(bench, True, "--crash-log-enabled", "no", "--crash-memcheck-enabled", "no")
    with bench.connect_from_kernel(STACK, 6379) as idle, bench.connect_from_kernel(STACK, 6379) as busy:
        idle.sendall(b"PING\r\n")
        expect(idle.recv(100) == b"+PONG\r\n", "no answer")
        busy.sendall(b"ECHO hello\r\n" * 1000)
        time.sleep(0.1)
        killed = time.monotonic()
        os.kill(child_of(server.pid), number)
        for connection in (idle, busy):
            connection.settimeout(3)
            try:
                while connection.recv(65536):
                    pass
                ending = "an orderly end"
            except ConnectionResetError:
                ending = "a reset"
            except TimeoutError:
                ending = "nothing"
            expect(ending == "a reset" and time.monotonic() - killed < 1,
                   f"{ending} after {time.monotonic() - killed:.1f} s")
    expect(server.wait(10) == -number, f"status {server.wait()}")


@watched()
def refused_after_end(bench):
    """When a program is gone, its address is silent, and another can have it."""
    for _ in range(3):
        server = start_redis(bench, True)
        server.signal(signal.SIGTERM)
        expect(server.wait(10) == 0, server.output())


# ---- children, background, new images

@watched(carries=10 * MB)
def children(bench):
    sink = Sink(bench, echo=True)
    out = bench.on_stack(PYTHON, bench.script("children.py"), PEER, 7000).succeed(60)
    expect(out == "right\n", out)
    sink.finish()


@watched()
def closing_server(bench):
    """A number that accept() has in mind is not there to be closed; nor is anything of the stack's."""
    bench.on_stack(PYTHON, bench.script("closing_server.py")).wait_for("^ready")
    with contextlib.ExitStack() as open_ones:
        connections = []
        for text in (b"echo", b"close", b"echo", b"close", b"echo"):
            connections += [open_ones.enter_context(bench.connect_from_kernel(STACK, 7000)) for _ in range(8)]
            # All answer first: the server knows them then, and is in accept() again.
            for said, to in ((b"echo", connections), (text, connections[:1])):
                for connection in to:
                    connection.settimeout(10)
                    connection.sendall(said)
                    expect(connection.recv(100) == said, f"after {said}")


@watched(carries=10 * MB)
def new_image(bench):
    """What was sent before exec(3) arrives; the new image has the stack."""
    source = bench.random_file("source", 5 * MB)
    sink = Sink(bench)
    out = bench.on_stack(PYTHON, bench.script("new_image.py"), PEER, 7000, source).succeed(30)
    expect(out == "second image\n", out)
    sink.finish()
    expect(len(sink.streams) == 2, f"{len(sink.streams)} connections")
    for stream in sink.streams:
        bench.file("arrived", bytes(stream))
        expect_same(source, bench.path("arrived"))


def processes(bench):
    return run(["ip", "netns", "pids", bench.stack]).split()


@watched()
def daemon(bench, command, port, ask, answer):
    """A program that goes into the background is served on, and its launcher with it until its end."""
    launcher = bench.on_stack(*[word.format(folder=bench.scratch) for word in command])
    expect(launcher.wait(20) == 0, f"status {launcher.wait()}: {launcher.output()}")

    def answers():
        try:
            with bench.connect_from_kernel(STACK, port, 5) as connection:
                connection.sendall(ask)
                return connection.recv(100).startswith(answer)
        except OSError:
            return False
    bench.until("the program in the background answers", answers, 20)
    for _ in range(100):
        expect(answers(), "no answer")
    with bench.connect_from_kernel(STACK, port) as connection:
        connection.sendall(ask)
        connection.recv(100)
        with open(bench.path("pid"), encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGKILL)
        connection.settimeout(10)
        try:
            ending = f"{connection.recv(100)}"
        except ConnectionResetError:
            ending = "reset"
        expect(ending == "reset", f"{ending} after its end")
    bench.until("nothing is left running", lambda: not processes(bench), 10)


# ---- many

SHORT = 100_000 if SOAK else 20_000


def used(bench, pid):
    return descriptors(pid), threads(pid), bench.gauges(pid)


def await_no_connection(bench, pid):
    bench.until("all connections are over", lambda: bench.gauges(pid)["tcp.Connections"] == 0, 20)
    time.sleep(0.5)  # for what their program has of them


@watched(carries=1 * MB)
def short_to_server(bench):
    server = start_nginx(bench, True)
    program = child_of(server.pid)

    def load(count):
        out = bench.on_kernel("ab", "-q", "-n", count, "-c", 50, f"http://{STACK}:8080/ping").succeed(200)
        expect(re.search(r"^Failed requests: +0$", out, re.MULTILINE), out)
    load(500)
    await_no_connection(bench, program)
    before = used(bench, program)
    load(SHORT)
    expect_back("descriptors, threads and memory", before, lambda: used(bench, program))


@watched(carries=1 * MB)
def short_to_node(bench):
    """libuv closes its descriptors by a system call's number."""
    need("node")
    server = bench.on_stack("node", bench.script("node_http.js"), "server", STACK, 8000)
    bench.wait_for_port(server, STACK, 8000)
    program = child_of(server.pid)

    def load(count):
        out = bench.on_kernel("ab", "-q", "-n", count, "-c", 20, f"http://{STACK}:8000/ping").succeed(100)
        expect(re.search(r"^Failed requests: +0$", out, re.MULTILINE), out)
    load(500)
    await_no_connection(bench, program)
    before = descriptors(program), bench.gauges(program)
    load(SHORT // 10)
    expect_back("descriptors and memory", before, lambda: (descriptors(program), bench.gauges(program)))


@watched(carries=1 * MB)
def short_from_client(bench):
    start_redis(bench, False)
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as go:
        program = bench.on_stack(PYTHON, bench.script("short_connections.py"), PEER, 6379, SHORT, stdin=reading)
        os.close(reading)
        program.wait_for("^before")
        pid = child_of(program.pid)
        await_no_connection(bench, pid)
        before = used(bench, pid)
        go.write(b"\n")
        program.wait_for("^after", 200)
        expect_back("descriptors, threads and memory", before, lambda: used(bench, pid))
    program.succeed(10)


# ---- signals and cancellation

@watched(carries=1 * MB)
def signals(bench):
    sink, echo = Sink(bench, keep=False), Sink(bench, port=7001, echo=True, keep=False)
    out = bench.on_stack(bench.programs.signals, PEER, 7000, 7001, 20 if SOAK else 4).succeed(60)
    calls, sent, closed, echoed = map(
        int, re.search(r"calls (\d+) sent (\d+) closed (\d+) echoed (\d+)", out).groups())
    sink.finish()
    echo.finish()
    expect(calls > 1000 and closed > 100 and echoed > 1000, out)
    expect(sum(sink.streams) == sent, f"{sum(sink.streams)} bytes arrived, {sent} were sent")


@watched()
def cancel(bench):
    Sink(bench, echo=True)
    out = bench.on_stack(bench.programs.cancel, PEER, 7000, 500 if SOAK else 60).succeed(60)
    expect(out == "right\n", out)


# ---- programs that no library can be put before; and whether a miss would be seen

def refused(bench, program, pattern):
    bench.connect()
    started = bench.on_stack(program)
    expect(started.wait(10) == 126, f"status {started.wait()}: {started.output()}")
    lines = started.output().splitlines()
    expect(len(lines) == 1 and lines[0].startswith("millrace: "), f"not one line: {started.output()}")
    expect(re.search(pattern, lines[0]), f"{pattern!r} is not in: {lines[0]}")


ONE_LINE = """
import os, socket, sys
if sys.argv[1] == "nobody": os.setuid(65534)
peer = socket.create_connection((sys.argv[2], 7000))
peer.sendall(b"x" * 5000)
peer.shutdown(socket.SHUT_WR)
print(len(peer.makefile("rb").read()), flush=True)
"""


@watched()
def captured(bench):
    """One file for all programs of a run, also for one that gives up root before it has a socket."""
    sink = Sink(bench, echo=True)
    script, path = bench.file("one_line.py", ONE_LINE), bench.path("out.pcapng")
    command = "; ".join(f"{PYTHON} {script} {user} {PEER}" for user in ("root", "nobody"))
    out = bench.on_stack("sh", "-c", command, settings=["--capture", f"{path},tcp"]).succeed(30)
    expect(out == "5000\n5000\n", out)
    sink.finish()
    capture = pcapng.read(path)
    expect(len(capture.interfaces) == 2, f"sections: {capture.interfaces}")
    opened = {segment.source for _, segment in pcapng.tcp_segments(capture) if segment.flags == 2}
    expect(len(opened) == 2 and all(address == STACK for address, _ in opened), f"SYNs of {opened}")
    lines = run(["tcpdump", "-nn", "-r", path]).splitlines()
    expect(len([line for line in lines if " IP " in line]) == len(capture.frames), "tcpdump does not see all frames")

    began = bench.path("began")
    for wrong, pattern in ((bench.path("none/out"), "cannot write"), (f"{path},tcp prot 80", "filter")):
        program = bench.on_stack("touch", began, settings=["--capture", wrong])
        expect(program.wait(10) not in (0, 126, 127), f"status {program.wait()}")
        expect(re.fullmatch(f"millrace: capture: .*{pattern}.*\n", program.output()), program.output())
        expect(not os.path.exists(began), "the program was started")
    expect(len(pcapng.read(path).frames) == len(capture.frames), "the file is changed")


def watch_sees(bench):
    """Sockets of the kernel's in the stack's namespace do not go unnoticed."""
    bench.connect()
    run(["ip", "-n", bench.stack, "addr", "add", "198.18.0.3/24", "dev", "stack0"])
    for kind, action in (("STREAM", "listen()"), ("DGRAM", "getsockname()"), ("DGRAM", "connect(('198.18.0.1', 9))")):
        watch = Watch(bench.stack, "stack0")
        watch.start()
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb"):
            program = bench.start([PYTHON, "-c", f"import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_{kind})\n"
                                   f"s.bind(('198.18.0.3', 0)); s.{action}; sys.stdin.read()"], bench.stack, stdin=reading)
            os.close(reading)
            bench.until("it is seen", lambda: watch.sockets, 10)  # noqa: B023
        program.succeed()
        watch.finish()
        # It may have been seen before `action` and after.
        ends = {text.split()[1] for text in watch.sockets}
        expect(len(ends) == 1, f"{kind} {action}: {watch.sockets}")


def add_cases(add):
    add("a socket of the kernel's would be seen", watch_sees)
    for how in ("close, exit", "close, _exit", "exit", "_exit", "quick_exit", "close, exec"):
        add(f"10 MB sent, then {how}: all of it arrives", leaving, how)
    for number in (signal.SIGKILL, signal.SIGSEGV):
        add(f"{number.name} to a server: its peers see a reset within a second", killed_server, number)
    add("a program ends, and the next has its address", refused_after_end)
    add("children do no harm to their parent's connections", children)
    add("exec with live sockets", new_image)
    add("a server closes every descriptor that it does not know", closing_server)
    add("redis in the background", daemon, ["redis-server", "--bind", STACK, "--protected-mode", "no", "--daemonize", "yes",
                                            "--dir", "{folder}", "--pidfile", "{folder}/pid"],
        6379, b"PING\r\n", b"+PONG")
    add("memcached in the background", daemon, ["memcached", "-d", "-u", "root", "-l", STACK, "-P", "{folder}/pid"],
        11211, b"version\r\n", b"VERSION")
    add(f"{SHORT:,} short connections to nginx on the stack leave nothing behind", short_to_server)
    add(f"{SHORT // 10:,} short connections to Node on the stack leave nothing behind", short_to_node)
    add(f"{SHORT:,} short connections from the stack leave nothing behind", short_from_client)
    add("a capture of a run", captured)
    add("signal handlers that send, write and close, at 1 kHz", signals)
    add("threads cancelled in blocking calls", cancel)
    add("a static program is refused", lambda bench: refused(bench, bench.programs.static, "statically linked"))
    add("a Go program is refused", lambda bench: refused(bench, bench.programs.go_like, "is a Go program"))
