"""What the checks of the tree's sources have in common: they print TAP of a whole tree, and of small ones that they are tried on."""

import os
import re
import sys
import tempfile

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def self_test(check, cases, what):
    """`cases`: (name, {path: text}, whether `check` must find `what` in a tree of these). Returns how many fail."""
    failed = 0
    print(f"1..{len(cases)}")
    for number, (name, files, bad) in enumerate(cases, 1):
        with tempfile.TemporaryDirectory() as top:
            for path, text in files.items():
                full = os.path.join(top, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "w", encoding="utf-8") as file:
                    file.write(text)
            found, _ = check(top)
        right = bool(found) == bad
        failed += not right
        print(f"{'ok' if right else 'not ok'} {number} - {name}: {what if bad else 'nothing'} is found")
    return failed


def main(check, cases, what, least_files, claim):
    """The exit status. `check(top)`: the violations under it, and how many files it looked at; a tree has `least_files`."""
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test(check, cases, what) else 0
    found, files = check(sys.argv[1])
    if files < least_files:
        found.append(f"only {files} files under {sys.argv[1]}: is that the tree?")
    for line in found:
        print(f"# {line}")
    print(f"1..1\n{'not ok' if found else 'ok'} 1 - {claim}")
    return 1 if found else 0
