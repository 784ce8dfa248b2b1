"""A client of the kernel that connects, says a line, hears it back and closes, again and again, until SIGTERM.

Prints "ready" when it begins, and at the end how many tries there were, how many failed, and the slowest. A try fails
when it takes longer than --limit seconds. SIGUSR1 starts the counting anew, so that only what follows is judged.
"""

import argparse
import signal
import socket
import sys
import time


class Client:
    def __init__(self, options):
        self.options = options
        self.stopped = False
        self.reset()

    def reset(self, *_):
        self.times, self.failures = [], []

    def stop(self, *_):
        self.stopped = True

    def attempt(self):
        with socket.create_connection((self.options.host, self.options.port), self.options.limit) as client:
            client.settimeout(self.options.limit)
            client.sendall(b"hello\n")
            if client.recv(6, socket.MSG_WAITALL) != b"hello\n":
                raise OSError("a wrong answer")

    def run(self):
        print("ready", flush=True)
        while not self.stopped:
            started = time.monotonic()
            try:
                self.attempt()
                taken = time.monotonic() - started
                if taken > self.options.limit:
                    raise TimeoutError(f"{taken:.1f} s")
                self.times.append(taken)
            except OSError as problem:
                self.failures.append(str(problem))
            time.sleep(self.options.pause)
        self.times.sort()
        worst = self.times[-1] if self.times else 0
        median = self.times[len(self.times) // 2] if self.times else 0
        print(f"tries={len(self.times) + len(self.failures)} failed={len(self.failures)} median={median:.6f} "
              f"slowest={worst:.3f} why=\"{'; '.join(sorted(set(self.failures)))}\"")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, default=7)
    parser.add_argument("--limit", type=float, default=3.0)
    parser.add_argument("--pause", type=float, default=0.001)
    client = Client(parser.parse_args())
    signal.signal(signal.SIGTERM, client.stop)
    signal.signal(signal.SIGUSR1, client.reset)
    client.run()


if __name__ == "__main__":
    sys.exit(main())
