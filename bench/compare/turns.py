"""Rows whose columns take turns of some milliseconds, all programs there from the beginning: what the machine does meanwhile
meets all columns, and so leaves the ratios of neighbouring turns as they are."""

import json
import os
import select
import signal
import statistics
import subprocess
import time

from row import PACER, TURN_FIGURES
from testbed import Failure, expect

SECONDS_TO_ANSWER = 30  # longer than any turn
LEAST_TURNS = 4  # of a round, where they are long
RATES = ("rate", "gbps")  # of which several clients together have the sum


class Client:
    """millrace-load --turns."""

    def __init__(self, program):
        self.program = program
        self._pipe = program.stdout()
        self._text = b""

    @staticmethod
    def pipes():
        """For Bench.start()."""
        return {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}

    def line(self, seconds=SECONDS_TO_ANSWER):
        """The next that it says."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._text:
            ready, _, _ = select.select([self._pipe], [], [], max(0, deadline - time.monotonic()))
            expect(ready, f"{self.program.describe()} does not answer: {self.program.output()}")
            text = os.read(self._pipe.fileno(), 1 << 16)
            if not text:
                raise Failure(f"{self.program.describe()} ended with status {self.program.wait(5)}: {self.program.output().strip()}")
            self._text += text
        line, self._text = self._text.split(b"\n", 1)
        return line.decode()

    def begin(self, seconds, rate=None):
        """`rate`: if it has another than it was started with."""
        try:
            self.program.write(f"{seconds}\n" if rate is None else f"{seconds} {rate}\n")
        except BrokenPipeError:
            raise Failure(f"{self.program.describe()} has ended: {self.program.output().strip()}") from None

    def take_result(self):
        """Of the turn that was begun."""
        result = json.loads(self.line())
        expect("intact" not in result, f"{self.program.describe()}: wrong answers: {result}")
        return result

    def end(self):
        """What all turns but the first gave, which warms up."""
        self.program.close_input()
        result = json.loads(self.line())
        expect(result["intact"] == "yes", f"{self.program.describe()}: wrong answers: {result}")
        self.program.succeed()
        return result


class Resting:
    """A row's programs on one column. They are stopped (SIGSTOP) but in their turns: a server that polls takes its core from
    nobody."""

    def __init__(self, row, place, column):
        self.row, self.place, self.column = row, place, column
        self.programs = [row.start_server(place, column)]
        self._turns = []

    def start_clients(self):
        """They get ready while others start theirs."""

    def await_clients(self):
        """Until they are ready."""

    def pause_when_ready(self):
        self.await_clients()
        self._pause()

    def turn(self, seconds, rate=None):
        """What it gave, of TURN_FIGURES; the first turn is no part of what end() tells."""
        self._resume()
        self._turns.append(self.measure(seconds, rate))
        time.sleep(self.row.rest)
        self._pause()
        return self._turns[-1]

    def end(self):
        """What all turns gave; of rates the median: a core that the host takes for a while is lost to a few turns only."""
        self._resume()
        turns = self._turns[1:]
        result = self.result()
        return result | {key: statistics.median(turn[key] for turn in turns) for key in turns[0] if key in RATES or key not in result} \
            | {"turns": turns}

    def _pause(self):
        for program in self.programs:
            program.signal(signal.SIGSTOP)

    def _resume(self):
        for program in self.programs:
            program.signal(signal.SIGCONT)


class Pair(Resting):
    """Whose client, or several of them, is millrace-load."""

    def __init__(self, row, place, column):
        super().__init__(row, place, column)
        self._clients = []

    def start_clients(self):
        for _ in range(self.row.clients_at_once):
            client = Client(self.row.start_load(self.place, self.column, None))
            self._clients.append(client)
            self.programs.append(client.program)

    def await_clients(self):
        for client in self._clients:
            expect(client.line() == "ready", f"{client.program.describe()} is not ready")

    def measure(self, seconds, rate):
        for client in self._clients:
            client.begin(seconds, rate)
        results = [client.take_result() for client in self._clients]
        return {key: sum(result[key] for result in results) if key in RATES else results[0][key]
                for key in TURN_FIGURES if key in results[0]}

    def result(self):
        return self.row.result_of([client.end() for client in self._clients])


def in_order(columns, number):
    """A B C, C B A."""
    return columns if number % 2 == 0 else columns[::-1]


def run(row, places, columns, told):
    """One round: {column: result}."""
    kind = row.pair or Pair
    pairs = {column: kind(row, places[column], column) for column in columns}
    pacer = row.pacer
    if pacer:
        pairs[PACER] = Pair(pacer, places[PACER], PACER)
    for pair in pairs.values():
        pair.start_clients()
    for column, pair in pairs.items():
        pair.pause_when_ready()
        if column is not PACER:
            told(column)
    for pair in pairs.values():
        pair.turn(max(row.warm_up, row.turn))  # caches, windows and memory become what they will be
    for number in range(max(LEAST_TURNS, round(row.seconds / row.turn))):
        rate = row.paced(pairs[PACER].turn(pacer.turn)) if pacer else None
        for column in in_order(columns, number):
            pairs[column].turn(row.turn, rate)
    return {column: pair.end() for column, pair in pairs.items() if column is not PACER}
