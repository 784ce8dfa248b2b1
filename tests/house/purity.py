#!/usr/bin/env python3
"""Checks that a static library is pure: what it needs from outside may allocate, compare and copy, but not look at
a clock, start a thread, open a file or talk to a network; and nothing in it is global and mutable.

    purity.py LIBRARY                            fails, with a list, where the library is not pure
    purity.py --expect NAME[,NAME...] LIBRARY    fails unless exactly these symbols are what is wrong with it

Prints TAP.
"""

import argparse
import os
import re
import subprocess
import sys

# C symbols that compute. Whatever else a C library offers is refused, so that a new call is a decision.
ALLOWED_C = {
    "memcpy", "memmove", "memset", "memcmp", "memchr", "bcmp", "strlen", "strcmp",
    "abort", "__assert_fail", "__stack_chk_fail", "_Unwind_Resume", "_GLOBAL_OFFSET_TABLE_", "__dso_handle",
    "floor", "ceil", "round", "lround", "llround", "sqrt", "cbrt", "pow", "exp", "log", "fmod",
    # libsodium: hashes and key streams, nothing that draws from the system
    "crypto_shorthash", "crypto_shorthash_siphash24", "crypto_stream_chacha20", "crypto_stream_chacha20_xor_ic",
    "crypto_stream_chacha20_ietf", "crypto_stream_chacha20_ietf_xor_ic", "sodium_memzero", "sodium_memcmp",
}
ALLOWED_PREFIXES = (
    "__cxa_", "__gxx_personality", "__asan_", "__ubsan_", "__tsan_", "__sanitizer_", "__gcov_", "__memcpy_chk",
    "__memmove_chk", "__memset_chk", "__udivti", "__umodti", "__divti", "__modti", "__popcount", "__cpu_",
)
# C++ symbols that do more than compute, by their demangled name.
FORBIDDEN_CXX = re.compile(
    r"std::(__\w+::)*(chrono::.*::now\(|thread\b|jthread\b|this_thread|mutex|recursive_mutex|timed_mutex|"
    r"condition_variable|future|promise|__future_base|call_once|random_device|filesystem|basic_[io]?f?stream<|"
    r"basic_filebuf|basic_ofstream|basic_ifstream|ios_base|cout|cerr|clog|cin|locale|system_category|"
    r"_V2::system_category|latch|barrier|counting_semaphore|__atomic_wait|__shared_mutex|pmr::get_default)")
MUTABLE_SECTIONS = re.compile(r"^\.(data|bss|tdata|tbss)($|\.(?!rel\.ro))")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def undefined_symbols(library):
    """What the library needs and does not have itself, mangled."""
    wanted, defined = set(), set()
    for line in run("nm", "--format=posix", library).splitlines():
        fields = line.split()
        if len(fields) < 2 or line.endswith("]:"):
            continue
        (wanted if fields[1] in "Uvw" else defined).add(fields[0])
    return wanted - defined


def demangle(names):
    names = sorted(names)
    shown = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    return dict(zip(names, shown.splitlines()))


def is_pure(mangled, demangled):
    if mangled.startswith("_Z"):
        return FORBIDDEN_CXX.search(demangled) is None
    return mangled in ALLOWED_C or mangled.startswith(ALLOWED_PREFIXES)


def mutable_globals(library):
    found = set()
    for line in run("objdump", "--syms", library).splitlines():
        match = re.match(r"^[0-9a-f]+ (.{7}) (\S+)\s+([0-9a-f]+)\s+(?:\.hidden )?(\S+)$", line)
        if not match:
            continue
        kind, section, size, name = match.groups()
        # DW.ref.*: how position-independent code finds the type of what it catches.
        if "O" in kind and int(size, 16) != 0 and MUTABLE_SECTIONS.match(section) and not name.startswith("DW.ref."):
            found.add(name)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--expect", default="")
    parser.add_argument("--instrumented", action="store_true", help="a sanitizer build: it brings globals of its own")
    parser.add_argument("library")
    arguments = parser.parse_args()

    names = demangle(undefined_symbols(arguments.library))
    wrong = {name for name, shown in names.items() if not is_pure(name, shown)}
    problems = {name: f"needs {names[name]}" for name in wrong}
    if not arguments.instrumented:
        for name in mutable_globals(arguments.library):
            problems[name] = "is global and mutable"

    expected = set(filter(None, arguments.expect.split(",")))
    complaints = [f"{name}: {problems[name]}" for name in sorted(set(problems) - expected)]
    complaints += [f"{name} should have been found and was not" for name in sorted(expected - set(problems))]
    if not names:
        complaints.append("no symbols at all, which cannot be")
    for complaint in complaints:
        print(f"# {complaint}")
    claim = "what makes it impure is found" if expected else "it is pure"
    print(f"1..1\n{'not ok' if complaints else 'ok'} 1 - {os.path.basename(arguments.library)}: {claim}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
