"""The comparison with the kernel (bench/compare), and millrace-load's turns: that they measure something, and leave nothing."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

import testbed  # noqa: E402
from testbed import PEER, expect, run  # noqa: E402

COMPARE = os.path.join(ROOT, "bench", "compare", "run.py")
TURN = 0.02
ROWS = ("64 B, 64 connections", "millrace-kv GET, pipeline 16", "bulk, server receives, 8 streams", "connect, 64 B, close", "no traffic",
        "64 B at 50 % of the kernel's capacity", "64 B at 100 % of the kernel's capacity", "millrace-kv GET, pipeline 16, redis-benchmark")
WITHOUT_RATIOS = ("no traffic", "64 B at 100 % of the kernel's capacity")  # a division by nothing; the times of a queue


def comparison(bench, *options):
    return bench.start([sys.executable, COMPARE, bench.programs.build, "--runs", 1, "--minutes", 0, "--seconds", 0.1, *options])


def rows_measure_something(bench):
    """Rows of every kind, on every column that is built: figures, ratios, and a table of them."""
    only = "^(" + "|".join(ROWS) + ")$"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "comparison.json")
        out = comparison(bench, "--only", only, "--json", path).succeed(120)
        with open(path, encoding="utf-8") as file:
            measured = json.load(file)
    expect([row["name"] for row in measured["rows"]] == sorted(ROWS, key=out.index), f"other rows: {out}")
    for row in measured["rows"]:
        expect("kernel" in row["runs"] and "af_packet" in row["runs"], f"no column: {row}")
        for column, runs in row["runs"].items():
            expect(len(runs) == 1, f"{row['name']}, {column}: {len(runs)} rounds")
            expect(all(runs[0].get(key, 1) > 0 for key in ("rate", "gbps", "p50_us", "p99_us", "offered")), f"{row['name']}, {column}: {runs}")
        first = row["figures"][0]
        if row["name"] not in WITHOUT_RATIOS:
            expect(first["columns"]["af_packet"]["ratio"] > 0, f"no ratio: {row}")


def interrupted(bench):
    """Programs that are stopped as it is not their turn are ended, too."""
    program = comparison(bench, "--only", "^64 B, 64 connections$", "--columns", "af_packet", "--seconds", 30)

    def stopped_programs():
        return [pid for name in run(["ip", "netns", "list"]).split() if name.startswith(f"{testbed.NAMESPACE_PREFIX}{program.pid}-")
                for pid in run(["ip", "netns", "pids", name], check=False).split() if state_of(pid) == "T"]
    bench.until("programs wait for their turn", lambda: len(stopped_programs()) >= 2, 20)
    waited = stopped_programs()
    program.signal(signal.SIGTERM)
    expect(program.wait(20) == 128 + signal.SIGTERM, program.output())
    expect(f"{testbed.NAMESPACE_PREFIX}{program.pid}-" not in run(["ip", "netns", "list"]), "a namespace is left")
    bench.until("they are gone", lambda: not any(map(state_of, waited)), 5)


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return testbed.parse_stat(stat.read())[1]
    except (FileNotFoundError, ProcessLookupError):
        return ""


# ---- millrace-load

def load(bench, mode, *options):
    """On the peer's kernel, against the same kernel."""
    return bench.start([bench.programs.load, mode, "--host", PEER, "--json", "--timeout", 30, *options], bench.peer, stdin=subprocess.PIPE)


def serve(bench):
    bench.connect()
    server = bench.start([f"{bench.programs.build}/apps/echo/millrace-echo", "--kernel", "--addr", PEER, "--discard-port", 9,
                          "--chargen-port", 19], bench.peer)
    server.wait_for("serving on")


def in_turns(bench, mode, count, *options):
    """"ready", a line for each turn, and one for all of them but the first."""
    serve(bench)
    program = load(bench, mode, "--turns", *options)
    program.wait_for("^ready$")
    for number in range(1, 4):
        program.write(f"{TURN}\n")
        program.wait_for(rf"\A(ready\n)(\{{.*\}}\n){{{number}}}\Z")
    program.close_input()
    lines = [json.loads(line) for line in program.succeed(20).splitlines()[1:]]
    turns, of_all = lines[:-1], lines[-1]
    expect(len(turns) == 3 and of_all["mode"] == mode and of_all["intact"] == "yes", f"{lines}")
    expect(of_all[count] > 0 and of_all[count] == sum(turn[count] for turn in turns[1:]), f"{lines}")


def paced_turns(bench):
    """A turn's rate is its own, or the one of the command line."""
    serve(bench)
    program = load(bench, "rr", "--turns", "--connections", 20, "--rate", 3000)
    asked = []
    for rate in ("", " 3000", " 1000", " 500", ""):
        program.write(f"0.5{rate}\n")
        program.wait_for(rf"\A(ready\n)(\{{.*\}}\n){{{len(asked) + 1}}}\Z")
        asked.append(json.loads(program.output().splitlines()[-1])["asked_rate"])
    expect(asked == [3000, 3000, 1000, 500, 3000], f"asked {asked}")
    program.close_input()
    of_all = json.loads(program.succeed(20).splitlines()[-1])
    expect(1500 < of_all["asked_rate"] < 2300, f"{of_all}")  # 1875 of turns of equal length


def without_turns(bench):
    """No turn is no failure."""
    serve(bench)
    program = load(bench, "rr", "--turns")
    program.close_input()
    result = json.loads(program.succeed(20).splitlines()[-1])
    expect(result["round_trips"] == 0 and result["intact"] == "yes", f"{result}")


def wrong_turn(bench, line, *options):
    serve(bench)
    program = load(bench, "rr", "--turns", *options)
    program.wait_for("^ready$")
    program.write(line)
    program.close_input()
    expect_refused(program, "a turn is a line with its seconds")


def no_turns(bench, mode, *options):
    """Of what cannot rest between two turns."""
    bench.connect()
    expect_refused(load(bench, mode, "--turns", *options), "--turns is for rr, connect, kv")


def expect_refused(program, why):
    status = program.wait(20)
    lines = [line for line in program.output().splitlines() if line != "ready"]
    expect(status == 1 and len(lines) == 1 and lines[0].startswith(f"millrace-load: {why}"), f"status {status}: {program.output()}")


def add_cases(add):
    add("compare, rows of every kind", rows_measure_something)
    add("compare, interrupted", interrupted)
    for name, mode, count, *options in (
            ("one connection", "rr", "round_trips"), ("one that polls", "rr", "round_trips", "--busy"),
            ("many connections", "rr", "round_trips", "--connections", 20),
            ("an open loop", "rr", "round_trips", "--connections", 20, "--rate", 5000),
            ("an open loop that polls", "rr", "round_trips", "--connections", 20, "--rate", 5000, "--busy"),
            ("short connections", "connect", "round_trips", "--connections", 5),
            ("a stream out", "bulk", "bytes", "--direction", "send", "--port", 9),
            ("a stream in", "bulk", "bytes", "--direction", "receive", "--port", 19)):
        add(f"turns, {name}", in_turns, mode, count, *options)
    add("turns, of other rates", paced_turns)
    add("turns, none", without_turns)
    for line in ("x\n", "0\n", "-1\n", "0.1 0.1\n", "4000\n", "nan\n", "\n"):
        add(f"turns, {line.strip()!r} is none", wrong_turn, line)
    for line in ("0.1 x\n", "0.1 0\n", "0.1 -5\n", "0.1  \n", "0.1 1e10\n", "0.1 5 5\n"):
        add(f"turns, with --rate {line.rstrip(chr(10))!r} is none", wrong_turn, line, "--rate", 100)
    for mode, *options in (("udp",), ("hold",), ("bulk",), ("bulk", "--direction", "echo"), ("rr", "--count", 5),
                           ("bulk", "--direction", "send", "--bytes", 100)):
        add(f"turns, not for {mode} {' '.join(map(str, options))}".strip(), no_turns, mode, *options)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--load", required=True)
    testbed.add_case_options(parser)
    options = parser.parse_args()
    options.build, options.load = os.path.abspath(options.build), os.path.abspath(options.load)
    return testbed.run_cases(options, testbed.cases_of([sys.modules[__name__]]), lambda: testbed.Bench(options))


if __name__ == "__main__":
    sys.exit(main())
