#!/usr/bin/env python3
"""The two ends of the conversations that capture.sh records: peer.py MODE ADDRESS PORT [SIZE...]."""

import random
import socket
import sys

MODE, ADDRESS, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
FAMILY = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET
SERVER = (ADDRESS, PORT)
SOURCE_PORT = 40000 + PORT % 1000
LINE = b"Hello there, this is the peer of a capture.\n"


def make(kind):
    s = socket.socket(FAMILY, kind)
    s.settimeout(10)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return s


def listen(fast_open=False):
    s = make(socket.SOCK_STREAM)
    s.bind(SERVER)
    if fast_open:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
    s.listen()
    return s


def client():
    s = make(socket.SOCK_STREAM)
    s.bind(("", SOURCE_PORT))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.connect(SERVER)
    return s


def read_to_end(s):
    data = b""
    while piece := s.recv(65536):
        data += piece
    return data


def payload(size):
    return random.Random(size).randbytes(size)


if MODE == "udp-echo":
    with make(socket.SOCK_DGRAM) as s:
        s.bind(SERVER)
        while True:
            data, sender = s.recvfrom(65536)
            s.sendto(data, sender)
            if len(data) != 13 and len(data) != 0:
                break
elif MODE == "udp-send":
    with make(socket.SOCK_DGRAM) as s:
        s.bind(("", SOURCE_PORT))
        for size in map(int, sys.argv[4:]):
            s.sendto(payload(size), SERVER)
            assert s.recv(65536) == payload(size)
elif MODE == "udp-closed":
    with make(socket.SOCK_DGRAM) as s:
        s.bind(("", SOURCE_PORT))
        s.connect(SERVER)
        s.send(LINE)
        try:
            s.recv(100)
            sys.exit("somebody answered")
        except ConnectionRefusedError:
            pass
elif MODE == "tcp-echo":
    with listen() as listener, listener.accept()[0] as s:
        while data := s.recv(65536):
            s.sendall(data)
elif MODE == "tcp-talk":
    with client() as s:
        for _ in range(2):
            s.sendall(LINE)
            assert s.recv(1000) == LINE
        s.send(b"!", socket.MSG_OOB)
        s.sendall(LINE)
        s.shutdown(socket.SHUT_WR)
        read_to_end(s)
elif MODE == "tcp-refused":
    try:
        client()
        sys.exit("somebody listens")
    except ConnectionRefusedError:
        pass
elif MODE == "tcp-sink":
    with listen() as listener, listener.accept()[0] as s:
        assert read_to_end(s) == payload(20000)
elif MODE == "tcp-pour":
    with client() as s:
        s.sendall(payload(20000))
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
elif MODE == "tcp-fast-open":
    with listen(fast_open=True) as listener:
        for _ in range(2):
            with listener.accept()[0] as s:
                s.sendall(read_to_end(s))
elif MODE == "tcp-fast-open-twice":
    for _ in range(2):  # first asks for a cookie, then uses it
        with make(socket.SOCK_STREAM) as s:
            s.settimeout(None)  # else the call does not wait for the handshake
            s.sendto(LINE, socket.MSG_FASTOPEN, SERVER)
            s.shutdown(socket.SHUT_WR)
            assert read_to_end(s) == LINE
else:
    sys.exit(f"no mode {MODE}")
