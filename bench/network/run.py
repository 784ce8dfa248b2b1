#!/usr/bin/env python3
"""Compares congestion control and loss recovery with the kernel's over a bad network, and prints a table and JSON.

    sudo python3 bench/network/run.py BUILD_DIR [--runs 10] [--only REGEX] [--scale 1.0] [--json FILE]

Each experiment alternates between the two senders, with the same seeds of loss for both. See bench/README.md.
"""

import argparse
import dataclasses
import json
import os
import re
import statistics
import sys
import types

sys.dont_write_bytecode = True

from dumbbell import KINDS, Dumbbell, Flow, Path, testbed  # noqa: E402

PROGRAMS = {"echo": "apps/echo/millrace-echo", "load": "bench/load/millrace-load", "relay": "tests/support/relay"}


@dataclasses.dataclass
class Goodput:
    """What one flow gets, of either sender in turn; the aim is a part of the kernel's."""

    name: str
    path: Path
    receiver: str
    congestion: str
    seconds: float
    aim: float = 0.95

    def run(self, bench, runs, scale, note):
        rates = {kind: [] for kind in KINDS}
        again = {kind: [] for kind in KINDS}
        for seed in range(1, runs + 1):
            for kind in KINDS:
                (result,), relay = bench.transfer(self.path, [Flow(kind, self.receiver, self.congestion)], seed,
                                                  *sending(self.seconds * scale))
                check(relay)
                rates[kind].append(mbit(result))
                again[kind].append(result["retransmitted"])
                note(f"{self.name}, {kind}, seed {seed}: {rates[kind][-1]:.2f} Mb/s, {result['retransmitted']} sent again")
        ours, theirs = (statistics.median(rates[kind]) for kind in KINDS)
        return {"name": self.name, "unit": "Mb/s", "millrace": ours, "kernel": theirs, "ratio": ours / theirs,
                "aim": f">= {self.aim}" if self.aim else "", "holds": ours / theirs >= self.aim, "runs": rates,
                "sent_again": {kind: statistics.median(again[kind]) for kind in KINDS}}


@dataclasses.dataclass
class Share:
    """One flow of each sender at once: what ours has of both in the second half of the run."""

    name: str
    path: Path
    receiver: str
    congestion: str
    seconds: float
    aim: tuple = (0.4, 0.6)

    def run(self, bench, runs, scale, note):
        rates = {kind: [] for kind in KINDS}
        shares = []
        for seed in range(1, runs + 1):
            flows = [Flow(kind, self.receiver, self.congestion) for kind in (KINDS if seed % 2 else reversed(KINDS))]
            results, relay = bench.transfer(self.path, flows, seed, *sending(self.seconds * scale))
            check(relay)
            for flow, result in zip(flows, results):
                rates[flow.sender].append(result["second_half_mbps"])
            ours, theirs = (rates[kind][-1] for kind in KINDS)
            shares.append(ours / (ours + theirs))
            note(f"{self.name}, seed {seed}: {ours:.2f} and {theirs:.2f} Mb/s, {shares[-1]:.0%}")
        share = statistics.median(shares)
        low, high = self.aim
        return {"name": self.name, "unit": "Mb/s", **{kind: statistics.median(rates[kind]) for kind in KINDS}, "ratio": share,
                "aim": f"{low} to {high}", "holds": low <= share <= high, "runs": rates, "shares": shares}


def sending(seconds):
    return ["--direction", "send", "--port", 9, "--size", 32768, "--seconds", seconds]


def mbit(result):
    return result["bytes"] * 8 / result["seconds"] / 1e6


def check(relay):
    """The relay must not have been what limited the run, other than as it was asked to."""
    for way, counts in relay.items():
        for name in ("segmented", "unsegmentable", "no_memory", "rx_dropped", "rx_no_memory", "tx_errors"):
            testbed.expect(counts[name] == 0, f"{way}: {name} {counts[name]}")


def experiments():
    result = []
    for loss, seconds in ((0.1, 6), (1, 10), (5, 20)):
        for receiver in ("kernel", "millrace"):
            result.append(Goodput(f"CUBIC, {loss} % loss, to {receiver}", Path(loss_percent=loss), receiver, "cubic", seconds))
    for receiver in ("kernel", "millrace"):
        result.append(Goodput(f"CUBIC, no loss, to {receiver}", Path(), receiver, "cubic", 6))
    result.append(Share("CUBIC beside CUBIC, to kernel", Path(), "kernel", "cubic", 30))
    for loss in (0.1, 1, 5):
        result.append(Goodput(f"BBR, {loss} % loss, to kernel", Path(loss_percent=loss), "kernel", "bbr", 8,
                              0.95 if loss < 5 else 0))
    return result


def table(rows):
    lines = [f"{'':34} {'millrace':>9} {'kernel':>9}       {'ratio':>6}  aim"]
    for row in rows:
        holds = "" if not row["aim"] else "holds" if row["holds"] else "MISSED"
        lines.append(f"{row['name']:34} {row['millrace']:9.2f} {row['kernel']:9.2f} {row['unit']:5} {row['ratio']:6.3f}  "
                     f"{row['aim']:10} {holds}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", default="", help="a regular expression of names")
    parser.add_argument("--scale", type=float, default=1, help="of the seconds that each run takes")
    parser.add_argument("--json", help="a file for everything measured")
    options = parser.parse_args()
    programs = types.SimpleNamespace(**{name: os.path.abspath(os.path.join(options.build, path))
                                        for name, path in PROGRAMS.items()})
    testbed.end_on_signals()
    testbed.remove_leftovers()
    rows = []
    bench = Dumbbell(programs)
    try:
        bench.build()
        for experiment in experiments():
            if re.search(options.only, experiment.name):
                rows.append(experiment.run(bench, options.runs, options.scale,
                                           lambda text: print(text, file=sys.stderr, flush=True)))
                print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    finally:
        bench.clean_up()
    print(table(rows))
    print(json.dumps({"load_average": os.getloadavg(), "runs": options.runs, "results": rows}), file=sys.stderr if not options.json
          else open(options.json, "w", encoding="ascii"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
