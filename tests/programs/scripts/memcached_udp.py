"""memcached's protocol over UDP: each datagram has a header of request number, sequence, count. Arguments: HOST PORT."""

import socket
import struct
import sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.settimeout(5)
    udp.connect((sys.argv[1], int(sys.argv[2])))

    def ask(number, text):
        """The answer, put together from its datagrams."""
        udp.send(struct.pack("!HHHH", number, 0, 1, 0) + text)
        parts, total = {}, 1
        while len(parts) < total:
            data = udp.recv(65536)
            request, sequence, total, _ = struct.unpack("!HHHH", data[:8])
            assert request == number, f"an answer to {request}, not {number}"
            parts[sequence] = data[8:]
        return b"".join(parts[at] for at in range(total))

    for number in range(1000):
        value = b"%d" % number * 100
        answer = ask(number, b"set udp%d 0 0 %d\r\n%s\r\n" % (number % 10, len(value), value))
        assert answer == b"STORED\r\n", answer
        answer = ask(number + 1000, b"get udp%d\r\n" % (number % 10))
        assert answer == b"VALUE udp%d 0 %d\r\n%s\r\nEND\r\n" % (number % 10, len(value), value), answer
print("right: 2000")
