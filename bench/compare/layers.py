#!/usr/bin/env python3
"""Where a server's time goes, by layer: rows of the comparison under perf(1).

    bench/compare/layers.py BUILD [--only REGEX] [--columns REGEX] [--seconds 3] [--json FILE]

as root, with a release build and Debian's linux-perf. The server is sampled, its own code and the kernel's that runs in its place (system
calls, and the interrupts of its core that fall into them), and the samples become nanoseconds a request, or for 64 KB of a stream. See
bench/README.md.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

from place import Place, testbed  # noqa: E402
import row as rows_of  # noqa: E402
import workloads  # noqa: E402

FREQUENCY = 3999
SETTLE = 1.0  # seconds, until connections are there
# The first that fits: a layer, and what its objects and symbols are called. Of a function that was put into its caller the
# time is the caller's.
LAYERS = [(layer, re.compile(dso), re.compile(symbol)) for layer, dso, symbol in (
    ("kernel: TCP", r"\[kernel", r"tcp|inet_(csk|ehash|send|recv)|cubictcp|bictcp"),
    ("kernel: IP", r"\[kernel", r"^(__)?ip_|ipv4|fib_|inet|nf_|neigh|arp_|icmp"),
    ("kernel: packet sockets", r"\[kernel", r"packet|tpacket|run_filter|virtio_net_hdr"),
    ("kernel: epoll, sockets", r"\[kernel", r"^(do_|__)?ep(_|oll)|sock_|^__sys_(send|recv)|sockfd|_poll$|import_iovec"),
    ("kernel: devices, queues, skbs", r"\[kernel", r"skb|veth|dev_|netif|napi|gro_|qdisc|sch_|softirq|net_[rt]x|page_pool|csum|"
                                                   r"xdp|bpf|tun_|eth_"),
    ("kernel: entry, sleep, the rest", r"\[kernel|\[guest", r""),
    ("clock", r"\[vdso\]", r""),
    ("clock", r"", r"TickClock"),
    ("copies (C library)", r"libc\.so", r"mem(move|cpy|set)"),
    ("C library, the rest", r"libc\.so|libstdc\+\+|libm\.so|ld-linux", r""),
    ("driver", r"librte_|libmillrace-dpdk|libmillrace-xdp", r""),
    ("driver", r"", r"millrace::drivers::"),
    ("sockets, epoll", r"", r"millrace::posix::|^mr_"),
    ("TCP", r"", r"millrace::tcp::"),
    ("IP", r"", r"millrace::ip::|checksum|native_sum"),
    ("link, ARP, GRO", r"", r"millrace::link::"),
    ("packets, timers", r"libmillrace", r"millrace::"),
    ("application", r"", r""),
)]


def layer_of(dso, symbol):
    return next(layer for layer, objects, symbols in LAYERS if objects.search(dso) and symbols.search(symbol))


def sample(pid, seconds, path):
    """Samples of the process: {layer: seconds of a processor}."""
    recorded = subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(FREQUENCY), "-p", str(pid), "-o", path, "--", "sleep",
                               str(seconds)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    testbed.expect(recorded.returncode == 0, f"perf record: {recorded.stderr.strip()}")
    listed = subprocess.run(["perf", "script", "-i", path, "-F", "ip,sym,dso"], stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, errors="replace", check=True).stdout
    spent = {}
    for line in listed.splitlines():
        found = re.match(r"\s*[0-9a-f]+ (.*) \((.*?)\)$", line)
        if found:
            layer = layer_of(found.group(2), found.group(1))
            spent[layer] = spent.get(layer, 0) + 1 / FREQUENCY
    return spent


def measure(place, row, column, seconds, folder):
    """Nanoseconds a request, or whatever the row counts, by layer."""
    server = row.start_server(place, column)
    load = row.start_load(place, column, SETTLE + seconds + 1)
    time.sleep(SETTLE)
    spent = sample(server.pid, seconds, os.path.join(folder, "perf.data"))
    result = place.result_of(load)
    place.end_programs()
    rate = row.units_a_second(result)
    return {"rate": rate, "layers": {layer: value / (rate * seconds) * 1e9 for layer, value in spent.items()}}


def table(name, unit, measured):
    """`measured`: by column."""
    columns = list(measured)
    order = list(dict.fromkeys(layer for layer, _, _ in reversed(LAYERS)))
    lines = [f"{name}: the server, ns {unit}", f"{'':34}" + "".join(f"{column:>12}" for column in columns)]
    for layer in order:
        values = [measured[column]["layers"].get(layer) for column in columns]
        if any(values):
            lines.append(f"  {layer:32}" + "".join(f"{'–' if not value else f'{value:,.0f}':>12}" for value in values))
    lines.append(f"  {'all':32}" + "".join(f"{sum(measured[column]['layers'].values()):>12,.0f}" for column in columns))
    lines.append(f"  {'a second':32}" + "".join(f"{measured[column]['rate']:>12,.0f}" for column in columns))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", help="a release build")
    parser.add_argument("--only", default="^64 B, (1|64|10,000) connections?(, busy)?$", help="a regular expression of the rows' names")
    parser.add_argument("--columns", default="", help="a regular expression of the columns' names")
    parser.add_argument("--seconds", type=float, default=3, help="that each is sampled")
    parser.add_argument("--json", help="a file for the figures")
    options = parser.parse_args()
    testbed.end_on_signals()
    rows = [row for row in workloads.rows(options.seconds) if re.search(options.only, row.name) and hasattr(row, "start_load")]
    place = Place(options.build)
    everything = {}
    try:
        place.build()
        for row in rows:
            columns = [column for column in rows_of.EVERY if column in row.columns and column.server != "lwip"
                       and re.search(options.columns, column.name)
                       and not place.missing(column)]
            row.prepare(place)
            with tempfile.TemporaryDirectory(prefix="millrace-layers-") as folder:
                everything[row.name] = {column.name: measure(place, row, column, options.seconds, folder) for column in columns}
            print(table(row.name, row.unit, everything[row.name]) + "\n", flush=True)
    except testbed.Failure as problem:
        print(f"layers: {problem}", file=sys.stderr)
        return 1
    finally:
        place.clean_up()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
