"""Reads the captures that the stack makes: pcapng, as its draft says, and TCP in it."""

import socket
import struct
from dataclasses import dataclass, field

INBOUND, OUTBOUND = 1, 2


@dataclass
class Frame:
    """One frame, and what the capture says of it."""

    time: int  # nanoseconds since 1970
    length: int
    data: bytes
    direction: int = 0
    comment: str = ""


@dataclass
class Capture:
    """A file: the names of its sections' interfaces, and the frames of all."""

    interfaces: list = field(default_factory=list)
    frames: list = field(default_factory=list)


@dataclass
class Tcp:
    """The TCP segment in a frame."""

    source: tuple
    destination: tuple
    seq: int
    flags: int
    payload: int  # bytes


def options(data, at):
    while at + 4 <= len(data):
        code, length = struct.unpack_from("<HH", data, at)
        if code == 0:
            return
        yield code, data[at + 4:at + 4 + length]
        at += 4 + (length + 3) // 4 * 4


def read(path):
    """Raises ValueError unless the file is nothing but whole blocks."""
    with open(path, "rb") as file:
        data = file.read()
    capture, at = Capture(), 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        body = data[at + 8:at + length - 4]
        if length < 12 or at + length > len(data) or struct.unpack_from("<I", data, at + length - 4) != (length,):
            raise ValueError(f"{path}: no whole block at {at}")
        if kind == 1:
            capture.interfaces.append(dict(options(body, 8))[2].decode())
        if kind == 6:
            capture.frames.append(packet(body))
        at += length
    return capture


def packet(body):
    _, high, low, captured, length = struct.unpack_from("<5I", body)
    frame = Frame(high << 32 | low, length, body[20:20 + captured])
    for code, value in options(body, 20 + (captured + 3) // 4 * 4):
        if code == 1:
            frame.comment = value.decode()
        if code == 2:
            frame.direction = struct.unpack("<I", value)[0]
    return frame


def tcp(frame):
    """None where there is no TCP over IPv4. Raises ValueError where the lengths do not fit each other."""
    data = frame.data
    if data[12:14] != b"\x08\x00" or data[23] != 6:
        return None
    header, total = (data[14] & 15) * 4, struct.unpack_from("!H", data, 16)[0]
    if frame.length != max(14 + total, 60) and frame.length != 14 + total:
        raise ValueError(f"a frame of {frame.length} bytes with an IP packet of {total}")
    at = 14 + header
    ports = struct.unpack_from("!HH", data, at)
    payload = total - header - (data[at + 12] >> 4) * 4
    ends = [(socket.inet_ntoa(data[where:where + 4]), port) for where, port in zip((26, 30), ports)]
    return Tcp(*ends, struct.unpack_from("!I", data, at + 4)[0], data[at + 13], payload)


def tcp_segments(capture):
    found = [(frame, tcp(frame)) for frame in capture.frames]
    return [(frame, segment) for frame, segment in found if segment]
