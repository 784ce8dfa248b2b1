"""Echoes, a thread a connection; who says "close" has it close every descriptor that it does not know, as daemons do."""

import contextlib
import os
import socket
import threading

listener = socket.create_server(("0.0.0.0", 7000), backlog=50)
known = {listener.fileno()}


def serve(connection):
    while data := connection.recv(100):
        if data == b"close":
            for fd in set(range(3, 2000)) - known:
                with contextlib.suppress(OSError):
                    os.close(fd)
        connection.sendall(data)


print("ready", flush=True)
while True:
    accepted, _ = listener.accept()
    known.add(accepted.fileno())
    threading.Thread(target=serve, args=(accepted,), daemon=True).start()
