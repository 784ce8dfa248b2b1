"""A client of the kernel that reads --bytes from a character generator, checks the pattern of RFC 864, and sends as many
to a discard server."""

import argparse
import socket

PRINTABLE = bytes(range(0x20, 0x7f))


def pattern(length):
    lines = b"".join((PRINTABLE * 2)[start:start + 72] + b"\r\n" for start in range(len(PRINTABLE)))
    return lines * (length // len(lines) + 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--bytes", type=int, required=True)
    options = parser.parse_args()
    with socket.create_connection((options.host, 19), 30) as generator:
        read, period = 0, len(pattern(1))
        expected = pattern(period + (1 << 16))
        while read < options.bytes:
            piece = generator.recv(1 << 16)
            assert piece, f"the generator ended after {read} bytes"
            at = read % period
            assert piece == expected[at:at + len(piece)], f"another pattern after {read} bytes"
            read += len(piece)
    with socket.create_connection((options.host, 9), 30) as sink:
        sink.sendall(pattern(options.bytes)[:options.bytes])
        sink.shutdown(socket.SHUT_WR)
        assert sink.recv(1) == b"", "a discard server says nothing"
    print(f"{read} bytes in the pattern, {options.bytes} sent")


if __name__ == "__main__":
    main()
