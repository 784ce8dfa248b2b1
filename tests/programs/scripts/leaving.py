"""Sends a file and is gone at once. Arguments: HOST PORT FILE HOW."""

import os
import socket
import sys

connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
with open(sys.argv[3], "rb") as file:
    connection.sendall(file.read())
if "close" in sys.argv[4]:
    connection.close()
if sys.argv[4].endswith(" _exit") or sys.argv[4] == "_exit":
    os._exit(0)
