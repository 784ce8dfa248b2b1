"""Runs the cases with millrace-kv and prints TAP. Needs root, ip(8) and Redis's programs. --case picks by regular expression."""

import argparse
import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True

import client_cases  # noqa: E402
import differential  # noqa: E402
import durability_cases  # noqa: E402
import harness  # noqa: E402
import raw_cases  # noqa: E402
import server_cases  # noqa: E402


def all_cases():
    cases = []

    def add(name, function, *arguments, **options):
        cases.append((name, lambda bench: function(bench, *arguments, **options)))
    for module in (client_cases, server_cases, differential, raw_cases, durability_cases):
        module.add_cases(add)
    return cases


def main():
    parser = argparse.ArgumentParser()
    for path in ("kv", "hiredis"):
        parser.add_argument(f"--{path}", required=True, type=os.path.abspath)
    parser.add_argument("--case", default="")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root for network namespaces")
        return 1
    harness.end_on_signals()
    chosen = [(name, case) for name, case in all_cases() if re.search(options.case, name)]
    if options.list:
        print("\n".join(name for name, _ in chosen))
        return 0
    # Where programs have their control sockets: not where those of the machine's user are.
    with tempfile.TemporaryDirectory(prefix="millrace-run-") as directory:
        os.environ["MILLRACE_RUN_DIR"] = directory
        return harness.Tap(lambda: harness.Bench(options), chosen).run()


if __name__ == "__main__":
    sys.exit(main())
