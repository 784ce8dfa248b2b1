"""The same program of socket calls on the kernel and under the preload library: the transcripts must agree.

    differential.py TRANSCRIPT-PROGRAM PRELOAD-LIBRARY

Both run in a network namespace with nothing but lo. Prints the Test Anything Protocol, a case a script.
"""

import os
import re
import subprocess
import sys

TIMEOUT = 100

# Scripts whose transcripts differ, and why that is right. A script here that agrees after all fails.
DIFFERENCES = {}


def transcript(program, environment):
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0"', program]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(os.environ, **environment), timeout=TIMEOUT, text=True, errors="replace", check=False)
    cases = {}
    name = None
    for line in done.stdout.splitlines():
        found = re.match(r"case (\S+)$", line)
        if found:
            name = found.group(1)
            cases[name] = []
        elif name is not None:
            cases[name].append(line)
    complaint = done.stderr.strip()
    if done.returncode != 0:
        complaint = f"status {done.returncode} in {name}: {complaint}"
    return cases, complaint


def report(number, good, name, lines=()):
    print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
    for line in lines:
        print(f"# {line}", flush=True)


def compare(kernel, stack):
    """The lines of both, where they differ."""
    lines = []
    for at in range(max(len(kernel), len(stack))):
        pair = [notes[at] if at < len(notes) else "(nothing)" for notes in (kernel, stack)]
        if pair[0] != pair[1]:
            lines += [f"kernel:{pair[0]}", f"stack: {pair[1]}"]
    return lines


def main():
    program, library = sys.argv[1:3]
    kernel, kernel_complaint = transcript(program, {})
    stack, stack_complaint = transcript(
        program, {"LD_PRELOAD": library, "MILLRACE_DEV": "none", "MILLRACE_RULES": "any * stack",
                  "MILLRACE_DRAIN_MS": "-1", "MILLRACE_RUN_DIR": "/nonexistent"})
    print(f"1..{len(kernel) + 2}", flush=True)
    report(1, not kernel_complaint and kernel, "the program runs on the kernel", [kernel_complaint])
    report(2, not stack_complaint, "the program runs on the stack without a complaint", [stack_complaint])
    failed = bool(kernel_complaint or stack_complaint)
    for number, name in enumerate(kernel, 3):
        lines = compare(kernel[name], stack.get(name, []))
        reason = DIFFERENCES.get(name)
        good = bool(lines) == (reason is not None)
        failed = failed or not good
        if reason is not None and not lines:
            lines = [f"agrees after all, though: {reason}"]
        report(number, good, name, [] if good else lines[:20])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
