"""Runs the cases with real programs and prints TAP. Needs root, ip(8) and the programs. --case picks by regular expression."""

import argparse
import os
import sys

sys.dont_write_bytecode = True

import harness  # noqa: E402
from harness import testbed  # noqa: E402
import process_cases  # noqa: E402
import store_cases  # noqa: E402
import web_cases  # noqa: E402
import wire_cases  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    for path in ("millrace", "cancel", "go-like", "leaving", "signals", "static"):
        parser.add_argument(f"--{path}", required=True, type=os.path.abspath)
    testbed.add_case_options(parser)
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    cases = testbed.cases_of([store_cases, web_cases, wire_cases, process_cases])
    return testbed.run_cases(options, cases, lambda: harness.Bench(options))


if __name__ == "__main__":
    sys.exit(main())
