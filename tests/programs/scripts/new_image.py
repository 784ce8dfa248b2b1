"""Executes itself with live sockets. Arguments: HOST PORT FILE [second]. Says what the second image finds."""

import os
import socket
import sys

host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
connection = socket.create_connection((host, port))
with open(path, "rb") as file:
    connection.sendall(file.read())
if len(sys.argv) == 4:
    os.execv(sys.executable, [sys.executable, __file__, *sys.argv[1:], "second"])
connection.shutdown(socket.SHUT_WR)
print("second image")
