"""Commands and answers as bytes."""

import socket
import struct
import threading


def encode(*words):
    """A command as an array of bulk strings."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Incomplete(Exception):
    """The answer has not come completely."""


def answer_end(data, at):
    """Where the answer that starts at `at` ends."""
    line_end = data.find(b"\r\n", at)
    if line_end < 0:
        raise Incomplete
    kind, rest, following = data[at:at + 1], data[at + 1:line_end], line_end + 2
    if kind in b"+-:_#,(":
        return following
    count = int(rest)
    if kind in b"$=":
        end = following if count < 0 else following + count + 2
        if end > len(data):
            raise Incomplete
        return end
    if kind not in b"*%~>":
        raise ValueError(f"not an answer: {data[at:at + 40]!r}")
    for _ in range(count * 2 if kind == b"%" else max(count, 0)):
        following = answer_end(data, following)
    return following


def split(data):
    """The answers in these bytes, each as its bytes; what is incomplete at the end is the last one."""
    answers, at = [], 0
    while at < len(data):
        try:
            end = answer_end(data, at)
        except Incomplete:
            end = len(data)
        answers.append(data[at:end])
        at = end
    return answers


def elements(answer):
    """The bytes of an array's elements."""
    at, found = answer.index(b"\r\n") + 2, []
    while at < len(answer):
        end = answer_end(answer, at)
        found.append(answer[at:end])
        at = end
    return found


class Connection:
    """A connection to a server, seen as bytes."""

    def __init__(self, host, port, timeout=20):
        self._socket = socket.create_connection((host, port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""

    def send(self, data):
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what the server has said before is still there

    def send_some(self, data):
        """Until the other side takes no more for a while; how much went."""
        self._socket.settimeout(0.5)
        sent = 0
        try:
            while sent < len(data):
                sent += self._socket.send(data[sent:sent + (1 << 16)])
        except TimeoutError:
            pass
        self._socket.settimeout(20)
        return sent

    def exchange_rest(self, data, ending):
        """Sends and receives at the same time; all there is up to these bytes."""
        sender = threading.Thread(target=self._socket.sendall, args=(data,), daemon=True)
        sender.start()
        received = self.receive_until(ending)
        sender.join()
        return received

    def reset_on_close(self):
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def end(self):
        """No more commands."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def receive_until(self, ending):
        """All there is up to these bytes."""
        data = bytearray(self._data)
        while not data.endswith(ending):
            more = self._socket.recv(1 << 20)
            if not more:
                raise EOFError(f"the server closed after {bytes(data[-200:])!r}")
            data += more
        self._data = b""
        return bytes(data)

    def receive_all(self):
        """All there is until the server closes."""
        data = bytearray()
        while True:
            try:
                more = self._socket.recv(1 << 20)
            except ConnectionResetError:
                more = b""
            if not more:
                return bytes(data)
            data += more

    def receive_one(self):
        """The next answer."""
        while True:
            try:
                end = answer_end(self._data, 0)
                break
            except Incomplete:
                more = self._socket.recv(1 << 20)
                if not more:
                    raise EOFError("the server closed") from None
                self._data += more
        answer, self._data = self._data[:end], self._data[end:]
        return answer

    def call(self, *words):
        """The answer to one command."""
        self.send(encode(*words))
        return self.receive_one()

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
