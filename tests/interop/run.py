"""Runs the interop cases and prints their results in the Test Anything Protocol. Needs root, ip(8) and ethtool(8).

--driver says which driver the stack is on, --case picks cases by a regular expression.
"""

import argparse
import os
import sys

sys.dont_write_bytecode = True

import cases  # noqa: E402
import harness  # noqa: E402
from harness import testbed  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    for program in ("echo", "load", "peer", "millrace"):
        parser.add_argument(f"--{program}", required=True)
    parser.add_argument("--driver", choices=harness.Bench.DEVICES, default="af_packet")
    parser.add_argument("--relay")
    parser.add_argument("--flood")
    parser.add_argument("--crowd")
    testbed.add_case_options(parser)
    options = parser.parse_args()
    for program in ("echo", "load", "peer", "relay", "flood", "crowd", "millrace"):
        path = getattr(options, program)
        setattr(options, program, os.path.abspath(path) if path else None)
    return testbed.run_cases(options, cases.all_cases(options), lambda: harness.Bench(options, options.driver))


if __name__ == "__main__":
    sys.exit(main())
