"""Captures of what passes through a device, as other programs read them."""

import os
import re
import signal
import socket
import tempfile

from harness import PEER, STACK, expect, run
import pcapng  # of tests/support, where harness has us look

MB = 1_000_000
SYN, RST, ACK = 2, 4, 16

# A closed port of each protocol, and a connection to an open one: says the closed TCP port's answer.
CLIENT = f"""
import socket
try: socket.create_connection(("{STACK}", 81)); print("open")
except ConnectionRefusedError: print("refused")
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.connect(("{STACK}", 81)); udp.send(b"x")
"""


def with_folder(case):
    def wrapped(bench, *arguments):
        with tempfile.TemporaryDirectory(prefix="millrace-capture-") as folder:
            bench.connect()
            try:
                case(bench, os.path.join(folder, "out.pcapng"), *arguments)
            finally:
                bench.end_programs()
    return wrapped


def read(path):
    """What is in it; tcpdump must read it, too, find as many frames, and nothing wrong with them."""
    capture = pcapng.read(path)
    lines = run(["tcpdump", "-nn", "--nano", "-tt", "-vv", "-r", path]).splitlines()
    # Not what an ICMP error quotes (after a line with a tab): that is as it came, unfinished.
    damage = [line for before, line in zip(["", *lines], lines)
              if re.search(r"\(incorrect|\[bad |truncated|bad-|\[\|", line) and not before.startswith("\t")]
    expect(not damage, f"tcpdump sees damage: {damage[:5]}")
    frames = [line for line in lines if re.match(r"\d+\.\d{9} ", line)]
    expect(len(frames) == len(capture.frames), f"{len(capture.frames)} frames, tcpdump sees {len(frames)}")
    for line, frame in zip(frames, capture.frames):
        seconds, nanoseconds = divmod(frame.time, 1_000_000_000)
        expect(line.startswith(f"{seconds}.{nanoseconds:09} "), f"{frame.time} is not the time of: {line}")
    return capture


def carried(segments, source, destination):
    """How many different bytes went from one end to the other, over all of its connections."""
    pieces = {}
    for _, segment in segments:
        if segment.source[0] == source and segment.destination[0] == destination:
            pieces.setdefault((segment.source[1], segment.destination[1]), []).append((segment.seq, segment.payload))
    total = 0
    for connection in pieces.values():
        first = connection[0][0]  # the SYN's
        reached = 0
        for seq, length in sorted(((seq - first) % 2**32, length) for seq, length in connection if length > 0):
            total += max(0, seq + length - max(reached, seq))
            reached = max(reached, seq + length)
    return total


@with_folder
def both_ways(bench, path):
    """Everything there is, both ways, whatever the device: super-frames whole, drops with their counter."""
    server = bench.echo("--capture", path)
    bench.load("bulk", "--direction", "echo", "--bytes", 3 * MB).succeed()
    expect(bench.start(["python3", "-c", CLIENT], bench.peer).succeed() == "refused\n", "port 81 is open")
    counters = bench.counters(server)
    expect(counters["device.CaptureFramesLost"] == 0, f"lost: {counters}")
    server.signal(signal.SIGTERM)
    server.wait(10)
    capture = read(path)
    expect(capture.interfaces == [bench.device], f"interfaces {capture.interfaces}")
    times = [frame.time for frame in capture.frames if frame.direction == pcapng.INBOUND]
    expect(times == sorted(times), "frames come out of order")
    segments = pcapng.tcp_segments(capture)
    for frame, segment in segments:
        expected = pcapng.OUTBOUND if segment.source[0] == STACK else pcapng.INBOUND
        expect(frame.direction == expected, f"{segment} is said to go the other way")
    for ends in ((PEER, STACK), (STACK, PEER)):
        expect(carried(segments, *ends) >= 3 * MB, f"{carried(segments, *ends)} bytes of {ends}")
    if bench.driver not in bench.WITHOUT_SUPER_FRAMES:
        expect(max(frame.length for frame, segment in segments if segment.source[0] == STACK) > 3000, "no super-frame")

    refused = [frame.comment for frame, segment in segments if segment.destination == (STACK, 81)]
    expect(refused == ["dropped: TcpNoPort"], f"a SYN to a closed port: {refused}")
    resets = [frame.comment for frame, segment in segments if segment.source == (STACK, 81) and segment.flags & RST]
    expect(resets == [""], f"its answer: {resets}")
    closed = [frame.comment for frame in capture.frames if frame.direction == pcapng.INBOUND and frame.data[23] == 17
              and frame.data[12:14] == b"\x08\x00" and frame.data[36:38] == (81).to_bytes(2, "big")]
    expect(closed == ["dropped: UdpNoPorts"], f"a datagram to a closed port: {closed}")


@with_folder
def filtered(bench, path):
    """By the environment, with a filter that has commas of its own."""
    server = bench.start([bench.programs.echo, *bench.stack_options(), "--discard-port", 9], bench.stack,
                         {"MILLRACE_CAPTURE": f"{path},udp port 7 or (tcp[2:2] = 9 and tcp[tcpflags] & tcp-syn != 0)",
                          "MILLRACE_CAPTURE_SNAPLEN": "80"})
    server.wait_for("serving on")
    bench.start(["python3", "-c", f"import socket\nfor port in (7, 9): socket.create_connection(('{STACK}', port)).close()\n"
                 f"s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('{STACK}', 7))\n"
                 "s.send(bytes(1000)); s.recv(2000)"], bench.peer).succeed()
    bench.counters(server)  # who tells them has recorded what was sent before
    capture = read_cut(path)
    kinds = [(frame.data[23], frame.length, len(frame.data)) for frame in capture.frames]
    expect([kind for kind in kinds if kind[0] == 6] == [(6, 74, 74)], f"TCP: {kinds}")
    expect([kind for kind in kinds if kind[0] == 17] == [(17, 1042, 80)] * 2, f"UDP: {kinds}")


def read_cut(path):
    capture = pcapng.read(path)
    lines = run(["tcpdump", "-nn", "-t", "-r", path]).splitlines()
    expect(len([line for line in lines if line.startswith("IP ")]) == len(capture.frames), f"tcpdump: {lines}")
    return capture


@with_folder
def killed(bench, path):
    """What has passed is in the file, whatever ends the program."""
    server = bench.echo("--capture", path)
    bench.load("rr", "--count", 100).succeed()
    flood = bench.load("bulk", "--bytes", 500 * MB)
    bench.until("there is a load", lambda: os.path.getsize(path) > 5 * MB, 20)
    server.signal(signal.SIGKILL)
    server.wait(5)
    flood.end()
    # The kernel may end a write(2) of a process that is killed half-way: then tcpdump says so, at the end.
    lines = run(["tcpdump", "-nn", "-r", path], check=False).splitlines()
    expect(len(lines) > 100, f"{len(lines)} frames")
    damage = [line for line in lines if line.startswith("tcpdump: ")]
    expect(not damage or damage == lines[-1:] and re.search("truncated (pcapng )?dump file", damage[0]),
           f"tcpdump gives up: {damage}")


@with_folder
def refused(bench, path):
    """What cannot be recorded is said at once, in one line; what another program is recording stays as it is."""
    def say(capture, pattern):
        # Another device, as only one program can have this one.
        program = bench.start([bench.programs.echo, *bench.stack_options("pipe:a"), "--capture", capture])
        status = program.wait(10)
        lines = program.output().splitlines()
        expect(status not in (0, 126, 127) and status > 0, f"status {status}: {lines}")
        expect(len(lines) == 1 and re.search(pattern, lines[0]), f"{pattern!r}: {lines}")
    say(path + "/none/out", "capture: cannot write .*No such file")
    say(os.path.dirname(path), "capture: cannot write .*Is a directory")
    say("/dev/full", "capture: /dev/full is not a regular file")
    say(path + ",tcp prot 80", 'capture: filter "tcp prot 80": ')
    expect(not os.path.exists(path), "a file is left")
    bench.echo("--capture", path)
    bench.load("rr", "--count", 10).succeed()
    with open(path, "rb") as file:
        before = file.read()
    say(path, "capture: .* is being written by another program")
    with open(path, "rb") as file:  # the last connection's end may have been added
        expect(file.read().startswith(before), "it is changed")
    read(path)


@with_folder
def replayed(bench, path):
    """A recording takes the place of the network: what is answered is recorded in turn."""
    server = bench.echo("--capture", path)
    bench.load("rr", "--count", 1).succeed()
    server.signal(signal.SIGTERM)
    server.wait(10)
    arrived = [frame for frame, segment in pcapng.tcp_segments(read(path)) if segment.destination == (STACK, 7)]
    answers = path.replace("out", "answers")
    again = bench.echo(device=f"pcap:in={path},out={answers},mac={arrived[0].data[:6].hex(':')}")

    def syn_acks():
        return [segment for _, segment in pcapng.tcp_segments(pcapng.read(answers))
                if segment.flags == SYN | ACK and segment.source == (STACK, 7)]
    bench.until("the recorded SYN is answered", syn_acks, 5)
    again.signal(signal.SIGTERM)
    again.wait(10)
    read(answers)


def add_cases(add):
    add("a capture, both ways", both_ways)
    add("a capture by a filter", filtered)
    add("a capture of a program that is killed", killed)
    add("a capture that cannot be", refused)


def add_cases_of_files(add):
    add("a capture is replayed", replayed)
