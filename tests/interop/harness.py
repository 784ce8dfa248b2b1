"""What the interop tests have besides the namespaces: the bundled programs, ready to talk to each other."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

import testbed  # noqa: E402
from testbed import PEER, PREFIX, SOAK, STACK, Failure, Skip, Tap, end_on_signals, expect, run  # noqa: E402, F401


class Bench(testbed.Bench):
    """The namespaces, with the bundled programs in them."""

    def echo(self, *options, device=None):
        """millrace-echo on the stack, ready."""
        server = self.start([self.programs.echo, *self.stack_options(device), "--discard-port", 9, "--chargen-port", 19,
                             *options], self.stack)
        server.wait_for("serving on")
        return server

    def kernel_echo(self, *options):
        """The same server on the peer's kernel."""
        server = self.start([self.programs.echo, "--kernel", "--discard-port", 9, "--chargen-port", 19, *options],
                            self.peer)
        server.wait_for("serving on")
        return server

    def load(self, mode, *options, timeout=100):
        """millrace-load on the peer's kernel, against the stack; started, not awaited."""
        return self.start([self.programs.load, mode, "--host", STACK, "--timeout", timeout, *options], self.peer)

    def stack_load(self, mode, *options, timeout=100, device=None):
        """millrace-load on the stack, against the peer's kernel."""
        return self.start([self.programs.load, mode, "--host", PEER, "--timeout", timeout,
                           *self.stack_options(device), *options], self.stack)

    def talk(self, scenario, stack_is_server, *options, device=None, timeout=100):
        """Both sides of a scenario, the stack in the role asked for; both must see what they expect."""
        host = STACK if stack_is_server else PEER
        common = [self.programs.peer, scenario, "--host", host, "--port", 77, "--timeout", timeout, *options]
        on_stack = [*common, *self.stack_options(device)]
        server = self.start([*(on_stack if stack_is_server else common), "--server"],
                            self.stack if stack_is_server else self.peer)
        server.wait_for("^ready")
        client = self.start(common if stack_is_server else on_stack, self.peer if stack_is_server else self.stack)
        problems = []
        for name, program in (("client", client), ("server", server)):
            try:
                program.succeed(timeout + 10)
            except Failure as problem:
                problems.append(f"{name}: {problem}")
        expect(not problems, "; ".join(problems))


def field(text, name):
    """The value of name=value in a line of millrace-load."""
    found = re.search(rf'\b{name}="?([^ "]*)', text)
    expect(found, f"no {name} in: {text.strip()}")
    return found.group(1)
