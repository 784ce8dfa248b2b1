"""millrace-kv in one namespace, on the stack or on that namespace's kernel, and clients in the other."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

import testbed  # noqa: E402
from testbed import (PEER, PREFIX, SOAK, STACK, Failure, Skip, Tap, end_on_signals, expect, in_namespace, run)  # noqa: E402, F401

PORT = 6379
THREADS = 3
# One thread, and several that have the keys between them.
THREADED = ((), "one thread"), (("--queues", THREADS), f"{THREADS} threads")
PYTHON = "/usr/bin/python3"


class Bench(testbed.Bench):
    def start_server(self, *options, kernel=False):
        """The server, once it serves. On the kernel it has the address that the stack would have."""
        if kernel:
            run(["ip", "-n", self.stack, "addr", "replace", f"{STACK}/{PREFIX}", "dev", "stack0"])
            where = ["--kernel", "--addr", STACK]
        else:
            where = self.stack_options()
        server = self.start([self.programs.kv, *where, *options], self.stack)
        server.wait_for(r"^millrace-kv: serving on ")
        return server

    def on_kernel(self, *command, **options):
        """A program in the peer's namespace."""
        return self.start(command, self.peer, **options)

    def redis_cli(self, *words, seconds=20, **options):
        """What redis-cli says."""
        return self.on_kernel("redis-cli", "-h", STACK, "-p", PORT, *words, **options).succeed(seconds)

    @staticmethod
    def script(name):
        return os.path.join(os.path.dirname(os.path.abspath(__file__)), "scripts", name)
