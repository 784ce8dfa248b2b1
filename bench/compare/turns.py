"""Rows whose columns take turns of some milliseconds, all programs there from the beginning: what the machine does meanwhile
meets all columns, and so leaves their ratios as they are."""

import json
import os
import select
import signal
import statistics
import subprocess
import time

from testbed import Failure, expect

SECONDS_TO_ANSWER = 30  # longer than any turn
RATES = ("rate", "gbps")


class Client:
    """millrace-load --turns."""

    def __init__(self, program):
        self.program = program
        self._pipe = program.stdout()
        self._text = b""
        self.turns = []

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

    def begin(self, seconds):
        try:
            self.program.write(f"{seconds}\n")
        except BrokenPipeError:
            raise Failure(f"{self.program.describe()} has ended: {self.program.output().strip()}") from None

    def take_result(self):
        """Of the turn that was begun."""
        result = json.loads(self.line())
        expect("intact" not in result, f"{self.program.describe()}: wrong answers: {result}")
        self.turns.append(result)

    def end(self):
        """What all turns but the first gave, which warms up."""
        self.program.close_input()
        result = json.loads(self.line())
        expect(result["intact"] == "yes", f"{self.program.describe()}: wrong answers: {result}")
        self.program.succeed()
        return result


class Pair:
    """A row's programs on one column. They are stopped (SIGSTOP) but in their turns: a server that polls takes its core from
    nobody."""

    def __init__(self, row, place, column):
        self._row, self._place, self._column = row, place, column
        self._programs = [row.start_server(place, column)]
        self._clients = []

    def start_clients(self):
        for _ in range(self._row.clients_at_once):
            client = Client(self._row.start_load(self._place, self._column, None))
            self._clients.append(client)
            self._programs.append(client.program)

    def pause_when_ready(self):
        for client in self._clients:
            expect(client.line() == "ready", f"{client.program.describe()} is not ready")
        self._pause()

    def turn(self, seconds):
        self._resume()
        for client in self._clients:
            client.begin(seconds)
        for client in self._clients:
            client.take_result()
        time.sleep(self._row.rest)
        self._pause()

    def end(self):
        """What each client measured in all its turns; of rates its part of the median of what all had in a turn: a core that the host takes
        for a while is lost to a few turns only."""
        self._resume()
        results = [client.end() for client in self._clients]
        for key in RATES:
            if key in results[0]:
                together = [sum(turn[key] for turn in turns) for turns in zip(*(client.turns[1:] for client in self._clients))]
                results = [result | {key: statistics.median(together) / len(results)} for result in results]
        return results

    def _pause(self):
        for program in self._programs:
            program.signal(signal.SIGSTOP)

    def _resume(self):
        for program in self._programs:
            program.signal(signal.SIGCONT)


def in_order(columns, number):
    """A B C, C B A."""
    return columns if number % 2 == 0 else columns[::-1]


def run(row, places, columns, told):
    """One round: {column: result}."""
    pairs = {column: Pair(row, places[column], column) for column in columns}
    for pair in pairs.values():
        pair.start_clients()
    for column, pair in pairs.items():
        pair.pause_when_ready()
        told(column)
    for pair in pairs.values():
        pair.turn(row.turn)  # caches and windows become what they will be
    for number in range(max(2, round(row.seconds / row.turn))):
        for column in in_order(columns, number):
            pairs[column].turn(row.turn)
    return {column: row.result_of(pair.end()) for column, pair in pairs.items()}
