"""Plots of a comparison, by gnuplot: latency against load, and what Millrace's columns are beside the kernel's."""

import os
import re
import subprocess

from testbed import Failure

COLOURS = {"kernel": "#7f7f7f", "af_packet": "#1f77b4", "tap": "#9467bd", "dpdk": "#d62728", "lwip": "#2ca02c"}
HEAD = """set terminal svg size 960,540 font "sans,14" background "white"
set border 3
set tics nomirror out
set grid ytics lc rgb "#dddddd"
"""


def gnuplot(script, path):
    done = subprocess.run(["gnuplot"], input=f'{HEAD}set output "{path}"\n{script}', text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise Failure(f"gnuplot: {done.stderr.strip()}")


def block(name, lines):
    return f"${name} << EOD\n" + "\n".join(lines) + "\nEOD\n"


def latency_against_load(results, columns, path):
    points = {name: [] for name in columns}
    for result in results:
        found = re.search(r"(\d+) % of the kernel's capacity", result.row.name)
        if not found:
            continue
        for name in columns:
            offered, median, p99 = (result.median(name, key) for key in ("offered", "p50_us", "p99_us"))
            if offered and median:
                points[name].append((offered / 1000, median, p99))
    drawn = [name for name in columns if points[name]]
    if not drawn:
        return
    script = "".join(block(name, [" ".join(f"{value:.3f}" for value in point) for point in sorted(points[name])]) for name in drawn)
    script += 'set logscale y\nset key top left\nset xlabel "requests a second that are asked for, thousands"\n'
    script += 'set ylabel "time from request to answer, µs"\nset title "64 bytes and their answer, 64 connections, open loop"\n'
    script += "plot " + ", ".join(
        f'${name} using 1:3 with linespoints lw 2 pt 7 lc rgb "{COLOURS[name]}" title "{name}, p99", '
        f'${name} using 1:2 with lines lw 2 dt 2 lc rgb "{COLOURS[name]}" title "{name}, median"' for name in drawn)
    gnuplot(script, path)


def ratios(results, columns, path):
    """How many times better than the kernel, the first figure of each row."""
    ours = [name for name in columns if name != "kernel"]
    lines = []
    for result in results:
        if "capacity" in result.row.name:
            continue
        figure = result.row.figures[0]
        cells = []
        for name in ours:
            ratio = result.ratio(name, figure)
            cells.append("?" if not ratio else f"{1 / ratio if figure.less_is_better else ratio:.3f}")
        if any(cell != "?" for cell in cells):
            lines.append(f'"{result.row.name}" ' + " ".join(cells))
    if not lines:
        return
    script = block("rows", lines) + "set style data histogram\nset style histogram cluster gap 1\nset style fill solid 0.9\n"
    script += 'set datafile missing "?"\nset logscale y 2\nset xtics rotate by -35 font "sans,10"\nset bmargin 10\nset rmargin 12\n'
    script += 'set ylabel "times better than the kernel"\nset key top left\n'
    script += "plot " + ", ".join(f'$rows using {number + 2}{":xtic(1)" if number == 0 else ""} lc rgb "{COLOURS[name]}" title "{name}"'
                                  for number, name in enumerate(ours)) + ', 1 lc rgb "black" notitle\n'
    gnuplot(script, path)


def draw(results, columns, directory):
    os.makedirs(directory, exist_ok=True)
    latency_against_load(results, columns, os.path.join(directory, "latency-against-load.svg"))
    ratios(results, columns, os.path.join(directory, "ratios.svg"))
