"""Children of a program do no harm to its connections. Arguments: HOST PORT, an echo server there."""

import os
import socket
import subprocess
import sys
import threading

SIZE = 5_000_000
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sent = os.urandom(SIZE)
over = threading.Event()


def send():
    for at in range(0, SIZE, 50_000):
        connection.sendall(sent[at:at + 50_000])
    # Until the last child is gone, there is traffic.
    more = 0
    while not over.wait(0.002):
        connection.sendall(b"more")
        more += 1
    connection.shutdown(socket.SHUT_WR)
    totals.append(SIZE + 4 * more)


def receive():
    while data := connection.recv(65536):
        received.append(data)


def fork_and(action):
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 3


totals, received = [], []
threads = [threading.Thread(target=send), threading.Thread(target=receive)]
for thread in threads:
    thread.start()
for _ in range(10):
    assert subprocess.run(["true"], check=False).returncode == 0
    assert subprocess.run("exit 5", shell=True, close_fds=False, check=False).returncode == 5
    assert os.system("exit 7") >> 8 == 7
    assert os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)[1] == 0
    fork_and(lambda: None)
    fork_and(connection.close)
    fork_and(lambda: os.close(connection.fileno()))
    with os.popen("cat >/dev/null", "w") as pipe:
        pipe.write("x")
over.set()
for thread in threads:
    thread.join(20)
data = b"".join(received)
assert len(data) == totals[0], f"{len(data)} of {totals[0]} came back"
assert data[:SIZE] == sent and data[SIZE:] == b"more" * ((len(data) - SIZE) // 4)
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as another:
    another.sendall(b"last")
    assert another.recv(10) == b"last"
print("right")
