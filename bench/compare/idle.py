"""Rows in which nothing is said: what connections keep in the server, and what of a core it takes to have them."""

import dataclasses
import re
import signal
import time

from row import Row, core_percent, meminfo
from testbed import expect

FIRST_PORT = 1000
SECONDS_TO_CONNECT = 120
SECONDS_TO_ACCEPT, SECONDS_TO_HEAL = 60, 8  # all of them; without help
# Of a connection at either column's server, and what the machine keeps for others: for whether a row fits.
MOST_BYTES, RESERVE = 6000, 2 << 30
OTHER_DESCRIPTORS = 100
# After this silence Millrace's connections keep little memory (dormant_after, and some for looking at all of them); so many a
# second fall asleep.
SECONDS_TO_FALL_ASLEEP = 12
ASLEEP_A_SECOND = 50_000
MORE_SECONDS = 60  # that the crowd stays, beyond what all of this takes


@dataclasses.dataclass
class Idle(Row):
    """Connections that say nothing. Their clients only seem to be there (millrace-crowd), as a kernel's ports and memory would
    end before; some of them ask for an echo in the end."""

    connections: int = 10000

    def client(self, column):
        return "crowd"

    def obstacle(self, place, column):
        needed = self.connections * MOST_BYTES + RESERVE
        if meminfo("MemAvailable") < needed:
            return f"needs {needed / 1e9:.0f} GB of memory, and {meminfo('MemAvailable') / 1e9:.0f} GB are available"
        return None

    def servers(self, place, column):
        """One, or as many as it takes where a process may not have so many of the kernel's descriptors."""
        count = -(-self.connections // (place.descriptors() - OTHER_DESCRIPTORS)) if column.server == "kernel" else 1
        # Without a timeout none is probed, which after half a minute would be what is measured.
        return [place.echo(column, self.client(column), port=FIRST_PORT + number, options=["--timeout", 0]) for number in range(count)]

    def run(self, place, column):
        servers = self.servers(place, column)
        time.sleep(0.3)
        before, slab_before = sum(server.resident_bytes() for server in servers), meminfo("Slab")
        asleep_after = SECONDS_TO_FALL_ASLEEP + self.connections / ASLEEP_A_SECOND
        stay = SECONDS_TO_ACCEPT + asleep_after + self.seconds + MORE_SECONDS
        crowd = place.start_crowd(column, "--connections", self.connections, "--port", FIRST_PORT, "--ports", len(servers),
                                  "--seconds", stay)
        crowd.wait_for("^connected", SECONDS_TO_CONNECT)
        end = time.monotonic() + stay
        self.wait_for_all(column, servers, crowd)

        def bytes_each():
            # What the kernel has for a connection lies in its slabs.
            kernel_bytes = meminfo("Slab") - slab_before if column.server == "kernel" else 0
            return (sum(server.resident_bytes() for server in servers) - before + kernel_bytes) / self.connections

        first = later = bytes_each()
        if column.server != "kernel":
            time.sleep(asleep_after)
            later = bytes_each()
        share = core_percent(servers, self.seconds)
        expect(crowd.running() and time.monotonic() < end, "the connections were closed meanwhile")
        crowd.signal(signal.SIGTERM)
        place.result_of(crowd)
        return {"bytes_each": later, "first_bytes_each": first, "core_percent": share}

    def wait_for_all(self, column, servers, crowd):
        """Until the servers have accepted every connection: the last may still be in their queues, or their ACK was lost and the
        server's SYN-ACK goes out again. If that was a cookie, nobody but the client can say more."""
        deadline = time.monotonic() + SECONDS_TO_ACCEPT
        times = 0
        while (there := sum(map(open_connections, servers))) < self.connections:
            left = deadline - time.monotonic()
            expect(left > 0, f"{column.name}: {self.connections - there} of {self.connections} connections did not come")
            if left < SECONDS_TO_ACCEPT - SECONDS_TO_HEAL:
                times += 1
                crowd.signal(signal.SIGUSR1)
                crowd.wait_for("^acknowledged", SECONDS_TO_ACCEPT, times)
            time.sleep(0.5)


def open_connections(server):
    reports = len(re.findall("^stats end", server.output(), re.MULTILINE))
    server.signal(signal.SIGUSR1)
    server.wait_for("^stats end", times=reports + 1)
    return int(re.findall(r"^stats echo\.Open (\d+)", server.output(), re.MULTILINE)[-1])


@dataclasses.dataclass
class NoTraffic(Row):
    """A server nobody speaks to."""

    def run(self, place, column):
        server = place.echo(column)
        time.sleep(0.5)
        return {"core_percent": core_percent([server], self.seconds)}
