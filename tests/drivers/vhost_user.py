"""A peer of net_vhost's that does what it likes: the messages of vhost-user, by hand, on a pair of split virtqueues."""

import mmap
import os
import socket
import struct
import time

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL = 8, 9, 10, 12, 13
SET_PROTOCOL_FEATURES, SET_VRING_ENABLE = 16, 18

VERSION_1, PROTOCOL_FEATURES = 1 << 32, 1 << 30
REPLY_ACK = 1 << 3

VERSION, NEED_REPLY = 1, 1 << 3

MEMORY = 1 << 18
RING_SIZE = 256
# Where a queue's parts lie in the memory, from the queue's own place on.
QUEUE, AVAILABLE, USED = 1 << 16, 1 << 14, 1 << 15
ADDRESS = 1 << 40  # of the memory, by its peer's reckoning


class VhostUser:
    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(10)
        self._socket.connect(path)
        self._file = os.memfd_create("vhost-user")
        os.ftruncate(self._file, MEMORY)
        self.memory = mmap.mmap(self._file, MEMORY)
        self._events = []
        self.kick = None

    def close(self):
        self._socket.close()
        self.memory.close()
        for file in (self._file, *self._events):
            os.close(file)

    def tell(self, request, payload, files=()):
        """Sends a message that is to be well done."""
        if self.send(request, payload, files, NEED_REPLY) != 0:
            raise RuntimeError(f"message {request} was refused")

    def send(self, request, payload=b"", files=(), flags=0):
        """Sends one message; with NEED_REPLY, what is answered: 0 if it was well done."""
        message = struct.pack("<III", request, VERSION | flags, len(payload)) + payload
        socket.send_fds(self._socket, [message], list(files))
        return self.answer() if flags & NEED_REPLY or request == GET_FEATURES else None

    def answer(self):
        head = self._receive(12)
        return struct.unpack("<Q", self._receive(struct.unpack("<III", head)[2]))[0]

    def _receive(self, count):
        taken = b""
        while len(taken) < count:
            piece = self._socket.recv(count - len(taken))
            if not piece:
                raise ConnectionError("the other end closed the connection")
            taken += piece
        return taken

    def set_memory(self, file=None, size=MEMORY):
        region = struct.pack("<QQQQ", ADDRESS, size, ADDRESS, 0)
        return self.send(SET_MEM_TABLE, struct.pack("<II", 1, 0) + region, [self._file if file is None else file], NEED_REPLY)

    def take_memory_away(self):
        """The other end has none that it may use, from now on."""
        self.enable(False)
        ends = os.pipe()
        if self.set_memory(ends[0], 2 * MEMORY) == 0:
            raise RuntimeError("a pipe was taken for memory")
        for end in ends:
            os.close(end)

    def set_ring(self, index, descriptors=0, used=USED, first=0):
        """All but its descriptors for events; `first` is the next buffer that the other end takes."""
        at = ADDRESS + index * QUEUE
        self.set_size(index, RING_SIZE)
        self.tell(SET_VRING_BASE, struct.pack("<II", index, first))
        self.tell(SET_VRING_ADDR, struct.pack("<IIQQQQ", index, 0, at + descriptors, at + used, at + AVAILABLE, 0))

    def set_size(self, index, size):
        self.tell(SET_VRING_NUM, struct.pack("<II", index, size))

    def enable(self, on):
        for index in (0, 1):
            self.tell(SET_VRING_ENABLE, struct.pack("<II", index, int(on)))

    def set_up(self):
        """As a driver does it, until the device is there."""
        self.send(GET_FEATURES)
        self.send(SET_OWNER)
        self.send(SET_FEATURES, struct.pack("<Q", VERSION_1 | PROTOCOL_FEATURES))
        self.send(SET_PROTOCOL_FEATURES, struct.pack("<Q", REPLY_ACK))
        if self.set_memory() != 0:
            raise RuntimeError("its memory was refused")
        for index in (0, 1):
            self.set_ring(index)
            for request in (SET_VRING_CALL, SET_VRING_KICK):
                self.set_event(request, index)
        self.enable(True)

    def set_event(self, request, index, file=None):
        """Another descriptor by which the other end is woken, or wakes: a new eventfd, or `file`, which is closed with the rest."""
        self._events.append(os.eventfd(0) if file is None else file)
        self.tell(request, struct.pack("<Q", index), self._events[-1:])
        if (request, index) == (SET_VRING_KICK, 1):
            self.kick = self._events[-1]

    def offer_frames(self, count=64, length=60, number=None):
        """The other end finds so many, all in one and the same place, of no known protocol; `number` is what is said to
        be each one's descriptor."""
        at, frame = QUEUE, 3 * QUEUE
        for i in range(RING_SIZE):
            struct.pack_into("<QIHH", self.memory, at + 16 * i, ADDRESS + frame, 12 + length, 0, 0)
            struct.pack_into("<H", self.memory, at + AVAILABLE + 4 + 2 * i, i if number is None else number)
        struct.pack_into("<H", self.memory, frame + 12 + 12, 0xb588)  # a type for local experiments
        index = (self.used() + count) & 0xffff
        struct.pack_into("<H", self.memory, at + AVAILABLE + 2, index)
        os.write(self.kick, struct.pack("<Q", 1))
        return index

    def used(self):
        return struct.unpack_from("<H", self.memory, QUEUE + USED + 2)[0]

    def await_used(self, index, seconds=10):
        end = time.monotonic() + seconds
        while self.used() != index:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.used()} frames were taken instead of {index}")
            time.sleep(0.01)
