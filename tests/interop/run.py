"""Runs the interop cases and prints their results in the Test Anything Protocol. Needs root, ip(8) and ethtool(8).

--driver says which driver the stack is on, --case picks cases by a regular expression.
"""

import argparse
import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True

import cases  # noqa: E402
import harness  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    for program in ("echo", "load", "peer", "millrace"):
        parser.add_argument(f"--{program}", required=True)
    parser.add_argument("--driver", choices=harness.Bench.DEVICES, default="af_packet")
    parser.add_argument("--relay")
    parser.add_argument("--flood")
    parser.add_argument("--case", default="")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root for network namespaces")
        return 1
    for program in ("echo", "load", "peer", "relay", "flood", "millrace"):
        path = getattr(options, program)
        setattr(options, program, os.path.abspath(path) if path else None)
    harness.end_on_signals()
    chosen = [(name, case) for name, case in cases.all_cases(options) if re.search(options.case, name)]
    if options.list:
        print("\n".join(name for name, _ in chosen))
        return 0
    # Where programs have their control sockets: not where those of the machine's user are.
    with tempfile.TemporaryDirectory(prefix="millrace-run-") as directory:
        os.environ["MILLRACE_RUN_DIR"] = directory
        return harness.Tap(lambda: harness.Bench(options, options.driver), chosen).run()


if __name__ == "__main__":
    sys.exit(main())
