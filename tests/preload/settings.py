"""Values of TCP, set in each of the ways there are: command line, environment, file.

    settings.py MILLRACE ECHO FRESH-SOCKET PRELOAD-LIBRARY

On the stack's own loopback alone: no device, no privilege. Prints the Test Anything Protocol.
"""

import os
import re
import subprocess
import sys
import tempfile

TIMEOUT = 60

MILLRACE, ECHO, FRESH_SOCKET, PRELOAD = sys.argv[1:5]
ENVIRONMENT = {"MILLRACE_RULES": "any * stack", "MILLRACE_DRAIN_MS": "-1"}


def run_with(arguments, environment, folder):
    return [MILLRACE, "run", "--dev", "none", *arguments, "--", FRESH_SOCKET], dict(
        os.environ, **ENVIRONMENT, **environment, MILLRACE_RUN_DIR=folder, MILLRACE_PRELOAD=PRELOAD)


def in_effect(arguments=(), environment=(), tables=None):
    """Congestion control, keepalive time and receive buffer of a fresh socket, and what `millrace ss -i` tells."""
    with tempfile.TemporaryDirectory() as folder:
        if tables is not None:
            path = os.path.join(folder, "settings.toml")
            with open(path, "w", encoding="ascii") as file:
                file.write(tables)
            arguments = ["--config", path, *arguments]
        command, variables = run_with(arguments, dict(environment), folder)
        with subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) as program:
            try:
                said = [program.stdout.readline().strip() for _ in range(3)]
                told = subprocess.run([MILLRACE, "ss", "-t", "-i"], env=variables, stdout=subprocess.PIPE, text=True,
                                      timeout=TIMEOUT, check=False).stdout
            finally:
                rest = program.communicate("", timeout=TIMEOUT)[0]
        return said + [program.returncode], told + rest


def refusal(command, environment=()):
    done = subprocess.run(command, env=dict(os.environ, **ENVIRONMENT, **dict(environment)), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, check=False)
    return done.returncode, done.stdout


def takes_effect(wanted, **ways):
    said, told = in_effect(**ways)
    if said != [*wanted, 0]:
        return f"{said}, {told}"
    return "" if re.search(rf"\b{wanted[0]}\b", told) else f"not told by ss: {told}"


def refused(pattern, command, environment=()):
    status, text = refusal(command, environment)
    lines = text.splitlines()
    if status <= 0 or len(lines) != 1 or not re.search(pattern, lines[0]):
        return f"status {status}: {text}"
    return ""


def refused_file(pattern, tables):
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(tables)
        file.flush()
        return refused(re.escape(file.name) + pattern, [MILLRACE, "run", "--config", file.name, "--", "true"])


def listed():
    text = subprocess.run([MILLRACE, "settings"], stdout=subprocess.PIPE, text=True, timeout=TIMEOUT, check=True).stdout
    return "" if re.search(r"^congestion_control +cubic +\S.*\(cubic, reno, bbr, dctcp\)$", text, re.MULTILINE) else text


ONE_MTU = tempfile.NamedTemporaryFile("w", suffix=".toml")  # pylint: disable=consider-using-with
ONE_MTU.write("mtu = 1400\n")
ONE_MTU.flush()

RUN = [MILLRACE, "run", "--dev", "none"]
STACK = [ECHO, "--dev", "none", "--addr", "198.18.0.1/24"]
FILE = 'tcp.congestion_control = "bbr"\ntcp.keepalive_time = 33\ntcp.rmem = [4096, 50000, 60000]\n'
TABLE = '[tcp]\ncongestion_control = "dctcp"\nkeepalive_time = 34\nrmem = "4096 52000 60000"\n'

CASES = (
    ("defaults", lambda: takes_effect(["cubic", "7200", "131072"])),
    ("command line", lambda: takes_effect(["reno", "31", "131072"], arguments=[
        "--tcp", "congestion_control=reno", "--tcp", "keepalive_time=31"])),
    ("environment", lambda: takes_effect(["reno", "7200", "40000"], environment={
        "MILLRACE_TCP": "congestion_control=reno;rmem=4096 40000 80000"})),
    ("file", lambda: takes_effect(["bbr", "33", "50000"], tables=FILE)),
    ("file with a table", lambda: takes_effect(["dctcp", "34", "52000"], tables=TABLE)),
    ("each name by the nearest of the three", lambda: takes_effect(
        ["reno", "32", "50000"], tables=FILE, environment={"MILLRACE_TCP": "keepalive_time=32;congestion_control=dctcp"},
        arguments=["--tcp", "congestion_control=reno"])),
    ("environment before file", lambda: refused(r"^millrace: MILLRACE_MTU: ", [
        *RUN, "--config", ONE_MTU.name, "--", "true"], {"MILLRACE_MTU": "70000"})),
    ("unknown name", lambda: refused(
        r'^millrace: --tcp: "congestion=reno" names no TCP setting; did you mean "congestion_control"\?$',
        [*RUN, "--tcp", "congestion=reno", "--", "true"])),
    ("out of range", lambda: refused(
        r'^millrace: --tcp: "ecn=7" must be a number from 0 to 2$', [*RUN, "--tcp", "sack=1", "--tcp", "ecn=7", "--", "true"])),
    ("no value", lambda: refused(r'^millrace: --tcp: "ecn" is not NAME=VALUE$', [*RUN, "--tcp", "ecn", "--", "true"])),
    ("bad environment", lambda: refused(
        r'^millrace: MILLRACE_TCP: "ecn=x" must be a number from 0 to 2$', [*RUN, "--", "true"], {"MILLRACE_TCP": "sack=1;ecn=x"})),
    ("bad file", lambda: refused_file(r':3: tcp: "ecn=7" must be a number from 0 to 2', 'dev = "none"\n[tcp]\necn = 7\n')),
    ("misspelt in a file", lambda: refused_file(r':1: tcp: "sakc=true" names no .* did you mean "sack"', "tcp.sakc = true\n")),
    ("no table", lambda: refused_file(r":1: tcp must be a table", "tcp = 7\n")),
    ("bad value of an entry", lambda: refused_file(r":1: rmem= must be a value", "tcp.rmem = [[1]]\n")),
    ("millrace-echo, command line", lambda: refused(
        r'^millrace-echo: --tcp: "wmem=1" must be 3 numbers', [*STACK, "--tcp", "wmem=1"])),
    ("millrace-echo, environment", lambda: refused(
        r'^millrace-echo: MILLRACE_TCP: "wmem=1" must be 3 numbers', STACK, {"MILLRACE_TCP": "wmem=1"})),
    ("list of them", listed),
)


def main():
    print(f"1..{len(CASES)}", flush=True)
    failed = 0
    for number, (name, case) in enumerate(CASES, 1):
        problem = case()
        failed += problem != ""
        print(f"{'not ok' if problem else 'ok'} {number} - {name}", flush=True)
        for line in problem.splitlines():
            print(f"# {line}", flush=True)
    return 1 if failed else 0


sys.exit(main())
