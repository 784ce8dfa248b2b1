#!/usr/bin/env python3
"""Checks who includes whom.

    includes.py ROOT          fails, with a list, where a file under ROOT breaks the order of the rooms
    includes.py --self-test   fails unless each kind of violation is found

The order is that in which a packet meets the rooms of stack/; a room includes itself and those before it. posix comes
after all of them. drivers/ use the pure rooms; posix and drivers never each other. apps, bench and tests put them
together and may include everything. System headers belong to posix, drivers and what is above them.
Prints TAP.
"""

import os
import re
import sys

sys.dont_write_bytecode = True

import tree_check  # noqa: E402

PURE_ROOMS = ["base", "packet", "wire", "link", "ip", "socket", "udp", "tcp"]
FACADE = ["stack.h"]
CONDITIONAL = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|define|undef)\b")
IMPURE_HEADERS = re.compile(
    r"^((sys|net|netinet|netpacket|arpa|linux|asm|rte_).*|(unistd|pthread|poll|fcntl|signal|time|errno|semaphore|sched|"
    r"dlfcn|stdio|ifaddrs|netdb)\.h|c(stdio|time|errno|signal)|thread|mutex|shared_mutex|condition_variable|future|"
    r"stop_token|semaphore|barrier|latch|atomic|iostream|fstream|sstream|ostream|istream|filesystem|random)$")


def allowed_rooms(path):
    """The first components that a file may include, or None: anything."""
    parts = path.split("/")
    if parts[0] == "stack":
        if len(parts) == 2:  # the facade
            return PURE_ROOMS + FACADE
        room = parts[1]
        if room in PURE_ROOMS:
            return PURE_ROOMS[: PURE_ROOMS.index(room) + 1]
        if room == "posix":
            return PURE_ROOMS + FACADE + ["posix", "millrace"]
        if room == "include":
            return ["millrace"]
        return []
    if parts[0] == "drivers":
        return PURE_ROOMS[: PURE_ROOMS.index("link") + 1] + sorted(
            {entry for entry in os.listdir(os.path.join(root, "drivers"))})
    return None


def is_pure(path):
    parts = path.split("/")
    return parts[0] == "stack" and (len(parts) == 2 or parts[1] in PURE_ROOMS)


def violations(path, text):
    rooms = allowed_rooms(path)
    if rooms is None:
        return
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{path}:{number}"
        if is_pure(path) and CONDITIONAL.match(line):
            yield f"{where}: no conditional compilation and no macros in the pure rooms"
        match = tree_check.INCLUDE.match(line)
        if not match:
            continue
        kind, header = match.groups()
        if kind == "<":
            if is_pure(path) and IMPURE_HEADERS.match(header):
                yield f"{where}: <{header}> in a pure room"
            continue
        first = header.split("/")[0]
        beside = "/" not in header and os.path.exists(os.path.join(root, os.path.dirname(path), header))
        if first not in rooms and not beside:
            yield f'{where}: "{header}" is not among what {os.path.dirname(path)} may include'


def check(top):
    global root
    root = top
    found, files = [], 0
    for folder in ("stack", "drivers"):
        for directory, _, names in os.walk(os.path.join(top, folder)):
            for name in names:
                if name.endswith((".h", ".cc")):
                    files += 1
                    full = os.path.join(directory, name)
                    with open(full, encoding="utf-8") as file:
                        found += violations(os.path.relpath(full, top), file.read())
    return found, files


FILES = {
    "stack/ip/good.h": ('#include <vector>\n#include "ip/ip.h"\n#include "base/time.h"\n', False),
    "stack/link/upwards.h": ('#include "ip/ip.h"\n', True),
    "stack/ip/sideways.cc": ('  #  include "posix/clock.h"\n', True),
    "stack/tcp/driver.cc": ('#include "af_packet/af_packet.h"\n', True),
    "stack/tcp/facade.cc": ('#include "stack.h"\n', True),
    "stack/udp/clock.cc": ("#include <time.h>\n", True),
    "stack/udp/thread.cc": ("#include <thread>\n", True),
    "stack/udp/conditional.cc": ("#ifdef __linux__\n#endif\n", True),
    "stack/stack.cc": ('#include "stack.h"\n#include "tcp/tcp.h"\n', False),
    "stack/posix/good.cc": ('#include <sys/socket.h>\n#include "stack.h"\n#include "posix/clock.h"\n', False),
    "stack/posix/driver.cc": ('#include "pipe/pipe.h"\n', True),
    "drivers/pipe/good.cc": ('#include <unistd.h>\n#include "link/net_device.h"\n#include "pipe/pipe.h"\n', False),
    "drivers/pipe/posix.cc": ('#include "posix/clock.h"\n', True),
    "drivers/pipe/tcp.cc": ('#include "tcp/tcp.h"\n', True),
}
# Each in a tree with two drivers.
CASES = [(path, {"drivers/pipe/none.h": "", "drivers/af_packet/none.h": "", path: text}, bad) for path, (text, bad) in FILES.items()]

root = "."
if __name__ == "__main__":
    sys.exit(tree_check.main(check, CASES, "a violation", 50, "each room includes only rooms before it"))
