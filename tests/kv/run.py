"""Runs the cases with millrace-kv and prints TAP. Needs root, ip(8) and Redis's programs. --case picks by regular expression."""

import argparse
import os
import sys

sys.dont_write_bytecode = True

import client_cases  # noqa: E402
import differential  # noqa: E402
import durability_cases  # noqa: E402
import harness  # noqa: E402
import load_cases  # noqa: E402
from harness import testbed  # noqa: E402
import raw_cases  # noqa: E402
import server_cases  # noqa: E402
import thread_cases  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    for path in ("kv", "hiredis", "load"):
        parser.add_argument(f"--{path}", required=True, type=os.path.abspath)
    testbed.add_case_options(parser)
    options = parser.parse_args()
    cases = testbed.cases_of([client_cases, server_cases, differential, raw_cases, load_cases, durability_cases, thread_cases])
    return testbed.run_cases(options, cases, lambda: harness.Bench(options))


if __name__ == "__main__":
    sys.exit(main())
