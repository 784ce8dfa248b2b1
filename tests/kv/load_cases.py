"""millrace-load kv: that it counts right answers, and that it notices wrong ones."""

import json
import re

from harness import PORT, STACK, expect

KEYS = 50


def load(bench, *options):
    return bench.on_kernel(bench.programs.load, "kv", "--host", STACK, "--port", PORT, "--size", 100, "--keys", KEYS, "--json", "--timeout", 30,
                           *options)


def works(bench, command, pipeline):
    """All keys are set before, to values of the size asked for; so many requests were counted as the server had."""
    bench.connect()
    bench.start_server()
    program = load(bench, "--command", command, "--pipeline", pipeline, "--connections", 5, "--count", 2000)
    result = json.loads(re.search(r"^\{.*\}$", program.succeed(60), re.MULTILINE).group(0))
    expect(result["intact"] == "yes" and result["round_trips"] >= 2000, str(result))
    expect(bench.redis_cli("dbsize").strip() == str(KEYS), bench.redis_cli("dbsize"))
    for key in bench.redis_cli("--scan").split():
        expect(bench.redis_cli("strlen", key).strip() == "100", f"{key} has not its value")
    commands = int(re.search(r"total_commands_processed:(\d+)", bench.redis_cli("info", "stats")).group(1))
    expect(commands >= result["round_trips"], f"the server saw {commands} commands, {result}")


def wrong_value(bench):
    """A value that somebody changes meanwhile is a wrong answer."""
    bench.connect()
    bench.start_server()
    program = load(bench, "--command", "get", "--seconds", 20)
    bench.until("the keys are there", lambda: bench.redis_cli("dbsize").strip() == str(KEYS), 10)
    bench.redis_cli("mset", *(word for key in bench.redis_cli("--scan").split() for word in (key, "x" * 100)))
    status = program.wait(15)
    expect(status != 0 and 'intact":"yes"' not in program.output().replace(" ", ""), f"status {status}: {program.output()}")


def add_cases(add):
    for command in ("get", "set"):
        for pipeline in (1, 16):
            add(f"load, {command}, {pipeline} at once", works, command, pipeline)
    add("load, a wrong value", wrong_value)
