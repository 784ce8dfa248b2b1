"""Many short connections, one after another. Arguments: HOST PORT COUNT. Stops before and after, until it is told to go
on, to be looked at."""

import socket
import sys

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def tell(when):
    print(when, flush=True)
    sys.stdin.readline()


def ask():
    with socket.create_connection((host, port)) as connection:
        connection.sendall(b"PING\r\n")
        answer = connection.recv(100)
        assert answer == b"+PONG\r\n", answer


for _ in range(10):
    ask()
tell("before")
for _ in range(count):
    ask()
tell("after")
