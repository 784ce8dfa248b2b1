"""millrace-crowd: clients that only seem to be there, against the stack and against the kernel's sockets."""

import json
import re
import signal
import time

from harness import PEER, STACK, expect

COUNT, ASKED = 2000, 100


def crowd(bench, device, namespace, host):
    program = bench.start([bench.programs.crowd, "--dev", device, "--host", host, "--connections", COUNT, "--rate", 20000,
                           "--seconds", 120, "--ask", ASKED], namespace)
    program.wait_for("^connected", 30)
    return program


def say_again(program, times=1):
    """That the connections are there: no news to who has heard it."""
    program.signal(signal.SIGUSR1)
    program.wait_for("^acknowledged", 30, times)


def result_of(program):
    program.signal(signal.SIGTERM)
    found = re.search(r"^\{.*\}$", program.succeed(30), re.MULTILINE)
    expect(found, f"no result: {program.output()}")
    return json.loads(found.group(0))


def expect_all(result):
    for key, value in (("connections", COUNT), ("answers", ASKED), ("ended", 0), ("intact", "yes")):
        expect(result[key] == value, f"{key}: {result}")


def of_the_stack(bench):
    """All are there at once, answer when they are asked, and are gone after their resets."""
    bench.connect()
    server = bench.echo()
    program = crowd(bench, "af_packet:peer0", bench.peer, STACK)
    bench.until("all are open", lambda: bench.counters(server)["echo.Open"] == COUNT, 10)
    say_again(program)
    result = result_of(program)
    expect_all(result)
    expect(result["acknowledged"] == COUNT, f"acknowledged: {result}")
    bench.until("none is left", lambda: bench.counters(server)["echo.Open"] == 0, 10)


def with_cookies_that_are_lost(bench):
    """A server that answers SYNs with cookies knows nothing of whose last segment was lost, until it hears of them again."""
    bench.connect()
    server = bench.echo("--tcp", "syncookies=2", device=f"fault(loss=0.1,seed=5):{bench.device}")
    program = crowd(bench, "af_packet:peer0", bench.peer, STACK)
    there = bench.counters(server)["echo.Open"]
    expect(there < COUNT, "no segment was lost")
    for times in range(1, 31):
        say_again(program, times)
        time.sleep(0.05)
        if (there := bench.counters(server)["echo.Open"]) == COUNT:
            break
    expect(there == COUNT, f"{there} of {COUNT} are open after {times} times")
    program.signal(signal.SIGKILL)


def of_the_kernel(bench):
    """The same: so a difference is the servers' and not the crowd's."""
    bench.connect()
    bench.kernel_echo()
    program = crowd(bench, "af_packet:stack0", bench.stack, PEER)
    say_again(program)
    expect_all(result_of(program))


def nobody_there(bench):
    """A server that refuses: one line says so."""
    bench.connect()
    program = bench.start([bench.programs.crowd, "--dev", "af_packet:stack0", "--host", PEER, "--connections", 10, "--to-connect", 2],
                          bench.stack)
    status = program.wait(20)
    lines = program.output().strip().splitlines()
    expect(status != 0 and len(lines) == 1 and lines[0].startswith("millrace-crowd: "), f"status {status}: {program.output()}")


def add_cases(add):
    add("a crowd at the stack", of_the_stack)
    add("a crowd at the kernel", of_the_kernel)
    add("a crowd whose last segments of handshakes are lost", with_cookies_that_are_lost)
    add("a crowd whom nobody answers", nobody_there)
