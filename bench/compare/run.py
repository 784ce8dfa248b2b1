#!/usr/bin/env python3
"""Compares Millrace with the kernel's TCP on this machine, and prints a table; JSON and plots where asked.

    bench/compare.sh [--runs 3] [--minutes 10] [--seconds 0.4] [--only REGEX] [--json FILE] [--plots DIRECTORY]

installs what is missing, builds, and runs this. See bench/README.md.
"""

import argparse
import dataclasses
import datetime
import json
import math
import os
import platform
import re
import statistics
import sys
import time

sys.dont_write_bytecode = True

from place import Place, testbed  # noqa: E402
import plots  # noqa: E402
import row as rows_of  # noqa: E402
import turns  # noqa: E402
import workloads  # noqa: E402

CERTAIN = 0.02  # a ratio with a smaller standard error
AGAIN = 5  # times as many rounds as all rows have, at most


@dataclasses.dataclass
class Result:
    """The runs of one row: for each column its figures, one a run."""

    row: object
    runs: dict
    left_out: dict = dataclasses.field(default_factory=dict)  # column: why
    seconds: float = 0  # that its last round took
    rounds: int = 0
    failed: str = ""  # why it is not measured again

    def median(self, column, key):
        values = [run[key] for run in self.runs.get(column, []) if key in run]
        return statistics.median(values) if values else None

    def spread(self, column, key):
        return half_quartiles([run[key] for run in self.runs.get(column, []) if key in run])

    def _ratios(self, column, figure):
        """For each round those of what were neighbours in time: its turns, where they can tell, else its runs."""
        if not figure.compared:
            return []
        rounds = zip(self.runs.get(column, []), self.runs.get("kernel", []))
        return [ratios for ours, theirs in rounds if (ratios := ratios_of(ours, theirs, figure.key))]

    def ratio(self, column, figure):
        """Their median."""
        ratios = self._ratios(column, figure)
        return statistics.median(ratio for of_round in ratios for ratio in of_round) if ratios else None

    def doubt(self):
        """Of the least certain ratio of its medians and rates, in columns of Millrace's, by how much the rounds differ: turns of one
        round have more in common."""
        return max((standard_error([statistics.median(of_round) for of_round in ratios]) for column in self.runs
                    for figure in self.row.figures
                    if figure.key in rows_of.TURN_FIGURES and has_aims(column) and (ratios := self._ratios(column, figure))), default=0)

    def drop_round(self):
        """The one that was begun: runs of one round stay neighbours."""
        for runs in self.runs.values():
            del runs[self.rounds:]


def ratios_of(ours, theirs, key):
    """Of a figure in one round: of its turns, or of all of it."""
    neighbours = [(ours, theirs)]
    if all(key in turn for run in (ours, theirs) for turn in run.get("turns", [{}])):
        neighbours = zip(ours["turns"], theirs["turns"])
    return [one[key] / other[key] for one, other in neighbours if one.get(key) and other.get(key)]


def half_quartiles(values):
    """Half of the distance between the quartiles, as a part of the median; None of too few."""
    if len(values) < 3 or not statistics.median(values):
        return None
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / statistics.median(values)


def standard_error(values):
    """Of the median, as a part of it, by the quartiles, where the values lie as a normal distribution's do; of few, the quartiles
    are too near."""
    half = half_quartiles(values)
    return math.inf if half is None else 2 * half * 0.93 / math.sqrt(len(values)) * (1 + 1.5 / len(values))


class Progress:
    """A bar on a terminal; elsewhere a line a round."""

    def __init__(self, total):
        self._total, self._done, self._began = total, 0, time.monotonic()
        self._bar = sys.stderr.isatty()

    def seconds(self):
        return time.monotonic() - self._began

    def step(self, name):
        self._done += 1
        left = self.seconds() / self._done * (self._total - self._done)
        self._draw(self._done / self._total, left, name)

    def again(self, end, name):
        """Of the part that ends with the time."""
        self._draw(min(self.seconds() / end, 1), max(end - self.seconds(), 0), f"again: {name}")

    def _draw(self, part, left, name):
        if self._bar:
            print(f"\r\x1b[K  [{'=' * int(40 * part):40}] {100 * part:3.0f} %  {left:4.0f} s left  {name}", end="", file=sys.stderr, flush=True)

    def tell(self, what):
        if not self._bar:
            print(f"  {self.seconds():.0f} s: {what}", file=sys.stderr, flush=True)

    def end(self):
        if self._bar:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def measure(places, result, columns, told):
    """One round of a row; where that fails, the row has what it had before, and the others go on."""
    row, began = result.row, time.monotonic()
    columns = columns_of(row, columns)
    try:
        row.prepare(places[rows_of.KERNEL])
        if row.turn:
            measured = turns.run(row, places, columns, lambda column: told(f"{row.name}, {column.name}"))
            for column, figures in measured.items():
                result.runs[column.name].append(figures)
        else:
            run_one_by_one(places, result, columns, told)
        result.rounds += 1
    except testbed.Failure as failure:
        result.drop_round()
        result.failed = str(failure)
    finally:
        for place in places.values():
            place.end_programs()
    result.seconds = time.monotonic() - began


def run_one_by_one(places, result, columns, told):
    """A B, B A: what the machine does meanwhile meets all columns."""
    row = result.row
    for column in turns.in_order(columns, result.rounds):
        obstacle = row.obstacle(places[column], column)
        if obstacle:
            result.left_out[column.name] = obstacle
        else:
            result.runs[column.name].append(row.run(places[column], column))
            places[column].end_programs()
        told(f"{row.name}, {column.name}")


def columns_of(row, columns):
    return [column for column in columns if column in row.columns]


def digits(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


NAME = 58


def heading(names, floors):
    line = f"{'':{NAME}}"
    for name in names:
        line += f"{name:>12} {'±':>5}" + ("" if name == "kernel" else f"{'ratio':>8} ") + (f"{'aim':>6} " if has_aims(name) else "")
    return line + "".join(f"{f'{wire} alone':>12}" for wire in floors)


def has_aims(name):
    """Of a column that is Millrace's."""
    return any(column.name == name and column.server == "millrace" for column in rows_of.EVERY)


def cells(result, figure, name):
    """One column of a line: the median, its spread, and what it is beside the kernel's; ! where an aim is missed."""
    median, spread = result.median(name, figure.key), result.spread(name, figure.key)
    line = f"{digits(median):>12} {'' if spread is None else f'{min(spread, 9.99):.0%}':>5}"
    if name == "kernel":
        return line
    ratio, aim = result.ratio(name, figure), figure.aims.get(name)
    line += f"{'' if ratio is None else f'{ratio:.2f}':>8} "
    if not has_aims(name):
        return line
    wanted = "" if aim is None or ratio is None else ("<=" if figure.less_is_better else ">=") + f"{aim:g}"
    missed = "!" if ratio is not None and figure.holds(name, ratio) is False else " "
    return line + f"{wanted:>6}{missed}"


def table(results, columns, floors):
    names = [column.name for column in columns]
    lines = [heading(names, floors), "-" * len(heading(names, floors))]
    for result in results:
        for number, figure in enumerate(result.row.figures):
            what = (result.row.name if number == 0 else "") + (", " if number == 0 and figure.title else "  ") + figure.title
            line = f"{what:{NAME - 6}.{NAME - 6}}{figure.unit:>6}"
            line += "".join(cells(result, figure, name) for name in names)
            if figure.floor:
                line += "".join(f"{digits(floor[figure.floor]):>12}" for floor in floors.values())
            lines.append(line.rstrip())
    for result in results:
        lines += [f"{result.row.name}, {name}: left out: it {why}" for name, why in result.left_out.items()]
        if result.failed:
            lines.append(f"{result.row.name}: failed after {result.rounds} rounds: {result.failed}")
    for wire, floor in floors.items():
        lines.append(f"{wire} alone, no stack above it: a frame and its echo {digits(floor['p50_us'])} µs, 64 at once "
                     f"{digits(floor['rate'])} a second for {digits(floor['cpu_us_each'])} µs of both ends' CPU each; one way "
                     f"{digits(floor['gbps'])} Gb/s")
    return "\n".join(lines)


def machine():
    cpu = ""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "load_average": os.getloadavg(),
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}


def as_json(results, floors, settings, options, stolen):
    rows = []
    for result in results:
        figures = [{"key": figure.key, "unit": figure.unit,
                    "columns": {name: {"median": result.median(name, figure.key), "spread": result.spread(name, figure.key),
                                       "ratio": None if name == "kernel" else result.ratio(name, figure),
                                       "aim": figure.aims.get(name)} for name in result.runs}} for figure in result.row.figures]
        rows.append({"name": result.row.name, "figures": figures, "runs": result.runs, "left_out": result.left_out, "failed": result.failed,
                     "standard_error": doubt if math.isfinite(doubt := result.doubt()) else None})
    return {"machine": machine() | {"stolen": stolen}, "settings": settings, "runs": options.runs, "minutes": options.minutes, "seconds": options.seconds, "floors": floors,
            "rows": rows}


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", help="a release build")
    parser.add_argument("--runs", type=int, default=3, help="of each row on each column, in turn, before any is measured again")
    parser.add_argument("--minutes", type=float, default=10, help="after which no row is measured again, however much its ratios vary")
    parser.add_argument("--seconds", type=float, default=0.4, help="that a round measures of a row on a column")
    parser.add_argument("--only", default="", help="a regular expression of the rows' names")
    parser.add_argument("--columns", default="", help="a regular expression of the columns' names; kernel is always there")
    parser.add_argument("--congestion", default="cubic", help="of the kernel's TCP: cubic, bbr")
    parser.add_argument("--no-offload", action="store_true", help="without GRO, TSO and GSO on the veth")
    parser.add_argument("--threaded-napi", action="store_true", help="the veth's packets in threads of the kernel")
    parser.add_argument("--json", help="a file for everything measured")
    parser.add_argument("--plots", help="a directory for SVG files (gnuplot)")
    return parser.parse_args()


def main():
    options = parse()
    if os.geteuid() != 0:
        print("compare: run it as root: it makes network namespaces", file=sys.stderr)
        return 1
    testbed.end_on_signals()
    testbed.remove_leftovers()
    places = {}
    try:
        places = chosen_places(options)
        columns = [column for column in places if column is not rows_of.PACER]
        for place in places.values():
            build(place, options)
        settings = places[rows_of.KERNEL].settings() | places[rows_of.KERNEL].limits()
        rows = [row for row in workloads.rows(options.seconds) if re.search(options.only, row.name)]
        began, stolen = time.monotonic(), rows_of.stolen_seconds()
        results, floors = compare(places, rows, columns, options)
        stolen = (rows_of.stolen_seconds() - stolen) / (time.monotonic() - began) / os.cpu_count()
        text = "\n".join([f"{name} = {value}" for name, value in settings.items()])
        print(f"the kernel at both ends: {'no GRO, TSO, GSO' if options.no_offload else 'GRO, TSO, GSO'}\n{text}\n")
        print(table(results, columns, floors))
        print(f"the host took {stolen:.1%} of the cores' time meanwhile (steal): the less, the better the percentiles and rates can be repeated")
        if options.json:
            with open(options.json, "w", encoding="utf-8") as out:
                json.dump(as_json(results, floors, settings, options, stolen), out, indent=1)
        if options.plots:
            plots.draw(results, [column.name for column in columns], options.plots)
        if any(result.failed for result in results):
            return 1
    except testbed.Failure as failure:
        print(f"compare: {failure}", file=sys.stderr)
        return 1
    finally:
        for place in reversed(places.values()):
            place.clean_up()
    return 0


def build(place, options):
    place.build()
    if options.no_offload:
        place.offload(False)
    if options.threaded_napi:
        place.threaded_napi(True)


def chosen_places(options):
    """{column: its place}: of the kernel, and of those asked for; one that is not built is left out, and that is said."""
    places = {}
    for column in (rows_of.PACER, *rows_of.EVERY):
        if column.server != "kernel" and not re.search(options.columns, column.name):
            continue
        place = Place(os.path.abspath(options.build), options.congestion, f"-{column.name}")
        missing = place.missing(column)
        if missing:
            print(f"{column.name}: left out: {missing}")
            place.clean_up()
        else:
            places[column] = place
    return places


def compare(places, rows, columns, options):
    """All rows in rounds, so that what lasts some seconds meets one run of each at most; then, while there is time, rounds of those
    whose ratios are not certain, the least certain first."""
    results = [Result(row, {column.name: [] for column in columns_of(row, columns)}) for row in rows]
    progress = Progress(sum(min(options.runs, row.most_runs) * len(columns_of(row, columns)) for row in rows))
    for number in range(options.runs):
        progress.tell(f"round {number + 1} of {options.runs}")
        for result in results:
            if number < result.row.most_runs and not result.failed:
                measure(places, result, columns, progress.step)
    end = options.minutes * 60
    while again := uncertain(results, options.runs * AGAIN, end - progress.seconds()):
        progress.tell(f"{len(again)} rows again, as the ratios of {again[0].row.name} and others vary")
        for result in again:
            if result.seconds > end - progress.seconds():
                continue
            measure(places, result, columns, lambda name: progress.again(end, name))
    floors = {column.wire: places[column].floor(column.wire, options.seconds) for column in columns if column in (rows_of.KERNEL, rows_of.DPDK)}
    progress.end()
    return results, floors


def uncertain(results, most_rounds, seconds):
    """The rows to measure once more that take no longer than that."""
    left = [result for result in results if not result.failed and result.rounds < min(most_rounds, result.row.most_runs)
            and result.seconds <= seconds and result.doubt() > CERTAIN]
    return sorted(left, key=Result.doubt, reverse=True)


if __name__ == "__main__":
    sys.exit(main())
