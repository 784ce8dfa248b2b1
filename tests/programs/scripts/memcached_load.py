"""Many connections to a memcached, values of many sizes, all checked. Arguments: HOST PORT CONNECTIONS ROUNDS."""

import selectors
import socket
import sys

host, port, count, rounds = sys.argv[1], *map(int, sys.argv[2:])


class Client:
    """One connection: sets its value, reads it back, with another size each round."""

    def __init__(self, number):
        self.number, self.round, self.received = number, 0, b""
        self.socket = socket.create_connection((host, port))
        self.socket.setblocking(False)
        self.ask()

    def ask(self):
        value = b"%d/%d " % (self.number, self.round) * (1 + self.number * 37 * (self.round + 1) % 900)
        self.expected = b"STORED\r\nVALUE key%d 0 %d\r\n%s\r\nEND\r\n" % (self.number, len(value), value)
        request = b"set key%d 0 0 %d\r\n%s\r\nget key%d\r\n" % (self.number, len(value), value, self.number)
        self.socket.setblocking(True)
        self.socket.sendall(request)
        self.socket.setblocking(False)

    def on_readable(self):
        """False at the end."""
        data = self.socket.recv(65536)
        assert data, "the server has closed"
        self.received += data
        assert self.expected.startswith(self.received), f"{self.received[:80]} for {self.expected[:80]}"
        if self.received != self.expected:
            return True
        self.round, self.received = self.round + 1, b""
        if self.round == rounds:
            self.socket.close()
            return False
        self.ask()
        return True


with selectors.DefaultSelector() as selector:
    for client in [Client(number) for number in range(count)]:
        selector.register(client.socket, selectors.EVENT_READ, client)
    while selector.get_map():
        ready = selector.select(20)
        assert ready, "nothing for 20 s"
        for key, _ in ready:
            connection = key.fileobj
            fd = connection.fileno()
            if not key.data.on_readable():
                selector.unregister(fd)
print("right:", count * rounds)
