"""Builds the tree with both compilers and runs every test; started by run.sh, which installs the packages.

A stage is a build and the suites run from it. Suites are what meson knows as tests: GoogleTest programs, whose cases are
counted from their XML, and programs that print TAP. A suite that reports no case at all has failed.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

sys.dont_write_bytecode = True

import tidy_units  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORES = os.cpu_count() or 1
SOAK_FACTOR = 20  # how much longer a suite may take with the full counts
SANITIZED_FACTOR = 3  # and where each access to memory is looked at, which takes up to eight times as long
TAIL_LINES = 60


@dataclasses.dataclass
class Outcome:
    """What one suite came to."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    why: str = ""  # one line, when something is wrong
    output: str = ""
    failures: list = dataclasses.field(default_factory=list)  # the failed cases, where the suite names them


@dataclasses.dataclass
class Suite:
    """A test as meson knows it."""

    name: str
    command: list
    workdir: str
    environment: dict
    timeout: float
    serial: bool
    needs: list  # what of the build, as ninja names it


class Processes:
    """The process groups started here, so that an interrupted run leaves none behind."""

    def __init__(self):
        self._lock = threading.RLock()  # a signal's handler may come while its thread has it
        self._running = set()
        self._stopping = False

    def start(self, command, cwd=ROOT, environment=None, output=subprocess.DEVNULL):
        """None once all have been stopped. Who has waited for it says so by forget()."""
        with self._lock:
            if self._stopping:
                return None
            process = subprocess.Popen(command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
            self._running.add(process)
            return process

    def forget(self, process):
        with self._lock:
            self._running.discard(process)

    def run(self, command, timeout, cwd=ROOT, environment=None):
        """Returns (exit status, output, timed out)."""
        with tempfile.TemporaryFile(mode="w+b") as log:
            process = self.start(command, cwd, environment, log)
            if process is None:
                return 1, "interrupted", False
            timed_out = False
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                timed_out = True
                # SIGTERM first: the interop harness removes its namespaces on it.
                self.end(process, signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    pass
                self.end(process, signal.SIGKILL)
                process.wait()
            finally:
                self.forget(process)
            log.seek(0)
            return process.returncode, log.read().decode(errors="replace"), timed_out

    def stop(self):
        with self._lock:
            self._stopping = True
            for process in self._running:
                self.end(process, signal.SIGTERM)

    @staticmethod
    def end(process, number):
        if process.returncode is not None:
            return  # its number may be another's by now
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass


processes = Processes()


def tail(text):
    """The end of what a suite or a build said, without ninja's steps that went well."""
    lines = [line for line in text.splitlines() if not re.match(r"\[\d+/\d+\] ", line)]
    return "\n".join("    " + line for line in lines[-TAIL_LINES:])


def one_line(text):
    return " ".join(text.split())[:500]


def count_gtest(path, outcome):
    """Adds the cases of a GoogleTest XML report; False when there is none."""
    try:
        cases = xml.etree.ElementTree.parse(path).getroot().iter("testcase")
    except (OSError, xml.etree.ElementTree.ParseError):
        return False
    for case in cases:
        failure = case.find("failure")
        if failure is not None:
            outcome.failed += 1
            outcome.failures.append(f"{case.get('classname')}.{case.get('name')}: {one_line(failure.get('message', ''))}")
        elif case.get("result") == "skipped" or case.find("skipped") is not None:
            outcome.skipped += 1
        elif case.get("status") == "run":
            outcome.passed += 1
    return True


def complaint(comments):
    """The line of a failed case's comments that says most."""
    lines = [line[1:].strip() for line in comments.splitlines()] or [""]
    return lines[-1 if lines[0].startswith("Traceback ") else 0]


def count_tap(text, outcome):
    for match in re.finditer(r"^(not ok|ok)\b(.*)\n?((?:#.*\n?)*)", text, re.MULTILINE):
        if re.search(r"#\s*skip", match.group(2), re.IGNORECASE):
            outcome.skipped += 1
        elif match.group(1) == "ok":
            outcome.passed += 1
        else:
            outcome.failed += 1
            outcome.failures.append(one_line(f"{match.group(2)}: {complaint(match.group(3))}").removesuffix(":"))
    plan = re.search(r"^1\.\.(\d+)", text, re.MULTILINE)
    return int(plan.group(1)) if plan else None


def run_suite(suite, label, soak):
    outcome = Outcome(label)
    limit = suite.timeout * (SOAK_FACTOR if soak else 1)
    with tempfile.TemporaryDirectory(prefix="millrace-test-") as scratch:
        report = os.path.join(scratch, "report.xml")
        environment = dict(os.environ, **suite.environment, GTEST_OUTPUT=f"xml:{report}")
        if soak:
            environment["MILLRACE_SOAK"] = "1"
        started = time.monotonic()
        status, outcome.output, timed_out = processes.run(suite.command, limit, suite.workdir, environment)
        outcome.seconds = time.monotonic() - started
        planned = None
        if not count_gtest(report, outcome):
            planned = count_tap(outcome.output, outcome)
    counted = outcome.passed + outcome.failed + outcome.skipped
    if timed_out:
        outcome.why = f"stopped after {limit:.0f} s"
    elif planned is not None and counted != planned:
        outcome.why = f"planned {planned} cases, ran {counted}"
    elif counted == 0:
        outcome.why = "reported no test case"
    elif status != 0 and outcome.failed == 0:
        outcome.why = f"exit status {status}"
    if outcome.why:
        outcome.failed += 1
    elif outcome.failed:
        outcome.why = f"{outcome.failed} failed"
    return outcome


def introspect(directory, what):
    text = subprocess.run(["meson", "introspect", f"--{what}", directory], check=True, capture_output=True, text=True).stdout
    return json.loads(text)


class Run:
    """Collects outcomes, prints a line for each, and what a failed one said."""

    def __init__(self, options):
        self.options = options
        self.outcomes = []
        self.started = time.monotonic()

    def note(self, outcome):
        self.outcomes.append(outcome)
        verdict = f"FAILED: {outcome.why}" if outcome.failed else "ok"
        skipped = f", {outcome.skipped} skipped" if outcome.skipped else ""
        print(f"  {outcome.name:<28} {outcome.passed:>5} cases {outcome.seconds:7.1f} s  {verdict}{skipped}", flush=True)
        if outcome.failed:
            print(tail(outcome.output), flush=True)

    def check(self, name, command, timeout, judge=None):
        """Runs a command that counts as one case; True when it passed."""
        started = time.monotonic()
        status, output, timed_out = processes.run(command, timeout)
        outcome = Outcome(name, seconds=time.monotonic() - started, output=output)
        complaint = judge(status, output) if judge else (f"exit status {status}" if status else "")
        if timed_out:
            complaint = f"stopped after {timeout:.0f} s"
        outcome.passed, outcome.failed, outcome.why = (0, 1, complaint) if complaint else (1, 0, "")
        self.note(outcome)
        return not complaint

    def stage(self, title):
        print(f"== {title} [{time.monotonic() - self.started:.0f} s]", flush=True)

    def build(self, directory, compiler, arguments, targets=()):
        """Configures (once) and builds; counts as one case."""
        if not self.configure(directory, compiler, arguments):
            return False
        return self.check(f"{directory}: build", ninja(ROOT / directory, arguments, targets), 3000)

    def configure(self, directory, compiler, arguments):
        where = ROOT / directory
        if (where / "build.ninja").exists():  # its lists may be older than the tree
            update = ninja(where, arguments, ["build.ninja"])
            return processes.run(update, 300)[0] == 0 or self.check(f"{directory}: configure", update, 300)
        environment = ["env", f"CC=ccache {compiler[0]}", f"CXX=ccache {compiler[1]}"]
        return self.check(f"{directory}: configure", [*environment, "meson", "setup", str(where), *arguments], 300)

    def suites(self, directory, chosen=None):
        """What meson would run there; `chosen` (a predicate on the suite's name) picks."""
        root = str(ROOT / directory)
        files = {target["id"]: [os.path.relpath(name, root) for name in target["filename"]] for target in introspect(root, "targets")}
        found = []
        for test in introspect(root, "tests"):
            suite = Suite(test["name"], test["cmd"], test["workdir"] or root, test["env"], test["timeout"],
                          not test["is_parallel"], [name for target in test["depends"] for name in files[target]])
            names = {suite.name, *(label.split(":")[-1] for label in test["suite"])}
            if self.options.suite and not names & set(self.options.suite):
                continue
            if chosen is not None and not chosen(suite):
                continue
            if suite.name in ON_REQUEST and not (self.options.suite or self.options.soak):
                print(f"  {suite.name:<28} not run: {ON_REQUEST[suite.name]}; tests/run.sh --suite {suite.name}", flush=True)
                continue
            found.append(suite)
        return found

    def run_suites(self, suites, prefix=""):
        """Those that may run beside each other first, then those that measure or use namespaces, one by one."""
        soak = self.options.soak
        with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
            for done in concurrent.futures.as_completed(
                    [pool.submit(run_suite, suite, prefix + suite.name, soak) for suite in suites if not suite.serial]):
                self.note(done.result())
        for suite in suites:
            if suite.serial:
                self.note(run_suite(suite, prefix + suite.name, soak))

    def finish(self):
        failed = [outcome for outcome in self.outcomes if outcome.failed]
        print(f"== done in {time.monotonic() - self.started:.0f} s")
        for outcome in failed:
            print(f"  FAILED {outcome.name}: {outcome.why}")
            for failure in outcome.failures[:5]:
                print(f"    {failure}")
        totals = [sum(getattr(outcome, key) for outcome in self.outcomes) for key in ("passed", "failed", "skipped")]
        print(f"{totals[0]} passed, {totals[1]} failed" + (f", {totals[2]} skipped" if totals[2] else ""), flush=True)
        return 1 if failed or totals[0] == 0 else 0


def ninja(where, arguments, targets):
    """The command that makes `targets`, with a cache that fits how `where` was configured."""
    # One clone compiles for the next: the paths that a build names are relative. Only a precompiled header knows its folder, and
    # nobody else can use it.
    own = PRECOMPILED in arguments
    cache = ["env", "-u", "CCACHE_NOHASHDIR", "CCACHE_HASHDIR=1"] if own else ["env", "-u", "CCACHE_HASHDIR", "CCACHE_NOHASHDIR=1"]
    # A compilation that is new is not preceded by a run of the preprocessor, which takes a fifth as long.
    return [*cache, "CCACHE_DEPEND=1", "CCACHE_SLOPPINESS=pch_defines,time_macros", "ninja", "-C", str(where), *targets]


def sources(*folders, endings=(".cc", ".h")):
    """Every file of that kind, C++ unless told otherwise, that git knows there."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *folders], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.split()
    return [name for name in listed if name.endswith(endings) and (ROOT / name).exists()]


# For a program that takes what others leave of the processors. A session of its own, which each program has, is a group of its own for
# the scheduler where it has such: see sched(7).
BESIDE = ["sh", "-c", 'echo 19 2>/dev/null >/proc/self/autogroup; exec nice -n 19 "$@"', "beside"]


class BuildBeside:
    """Builds beside the suites that mostly wait, until it is stopped: what is left then, and what failed, is for Run.build()."""

    def __init__(self, directory, arguments, targets):
        self._process = processes.start([*BESIDE, *ninja(ROOT / directory, arguments, targets)])

    def wait(self):
        if self._process is not None:
            self._process.wait()
            processes.forget(self._process)

    def stop(self):
        """What ninja was at is not left half made."""
        if self._process is not None and self._process.poll() is None:
            Processes.end(self._process, signal.SIGINT)
        self.wait()


class Tidy:
    """clang-tidy over the product's sources; findings in headers count for the file that includes them.

    It begins beside the suites that mostly wait, with what they leave of the processors, and ends with all of them. `after` comes before it.
    """

    def __init__(self, directory, after, thorough):
        self._build = ROOT / directory
        self._thorough = thorough
        self._after = after
        self._waiting = tidy_units.units(self._build, ROOT, {"stack", "drivers", "apps", "bench"})
        self._files = sum(len(unit.files) for unit in self._waiting)
        self._lock = threading.Lock()
        self._outcome = Outcome("clang-tidy")
        self._beside = threading.Event()  # other work comes first
        self._beside.set()
        self._pool = concurrent.futures.ThreadPoolExecutor(CORES)
        self._workers = [self._pool.submit(self._work) for _ in range(CORES)]

    def _work(self):
        self._after.wait()
        while True:
            with self._lock:
                if not self._waiting:
                    return
                unit = self._waiting.pop(0)
            started = time.monotonic()
            command = unit.command(ROOT, self._build, self._thorough)
            status, output, timed_out = processes.run(
                [*(BESIDE if self._beside.is_set() else []), *command], 900, self._build)
            self._note(unit, status == 0 and not timed_out, output, time.monotonic() - started)

    def _note(self, unit, good, output, seconds):
        with self._lock:
            self._outcome.seconds += seconds
            if good:
                self._outcome.passed += len(unit.files)
            elif len(unit.files) > 1:
                self._waiting[:0] = unit.parts(output)
            else:
                self._outcome.failed += 1
                self._outcome.output += output

    def finish(self, run):
        self._beside.clear()
        for worker in self._workers:
            worker.result()
        self._pool.shutdown()
        failed = self._outcome.failed
        self._outcome.why = f"{failed} of {self._files} files" if failed else ""
        run.note(self._outcome)


# Suites that run when they are named, or with the full counts, and why not always.
ON_REQUEST = {"pci": "boots virtual machines, on a kernel that it downloads (70 MB)"}
# Suites that make no sense under a sanitizer: they look at the binaries or the sources, drive other programs and measure,
# or run again what another suite runs (the table of conformance comes from the cases of tcp).
NOT_SANITIZED = {"interop", "interop-tap", "interop-xdp", "interop-dpdk", "interop-dpdk-tap", "drivers-dpdk-pairs", "install",
                 "pci", "symbols", "programs", "preload-differential", "kv-clients", "tcp-conformance", "house-purity",
                 "house-purity-selftest", "house-includes", "house-includes-selftest", "house-headers", "house-headers-selftest"}
# The thread sanitizer loses track of a thread that is cancelled inside a call that it intercepts: what that thread does
# while it unwinds looks unlocked; and the child of a process with threads may not begin one under it. The same tests run
# under the other sanitizers.
NOT_UNDER_TSAN = "-Cancelled.*:Forked.*"
# A compilation of what each source includes, once for all: only beside a build that shows that no source needs it.
PRECOMPILED = "-Db_pch=true"
LINES = "-Dcpp_args=-g1"  # what a trace of calls needs, not all that a debugger can use: a quarter less to compile
CLANG_LINES = LINES + " -Xclang -fno-pch-timestamp"  # or no two compilations would be the same
PLAIN = [LINES, "-Db_pch=false"]
# Nothing follows a finding (halt_on_error says the same): a sixth less to compile.
ADDRESS = [CLANG_LINES + " -fno-sanitize-recover=all", PRECOMPILED, "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dbench=false", "-Doptimization=2"]
THREAD = [CLANG_LINES, PRECOMPILED, "-Db_sanitize=thread", "-Db_lundef=false", "-Dbench=false", "-Dapps=false", "-Doptimization=2"]
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


def needs(suites):
    return sorted({name for suite in suites for name in suite.needs})


def main():
    parser = argparse.ArgumentParser(prog="tests/run.sh", description="build and run every test")
    parser.add_argument("--soak", action="store_true", help="the full counts of the long tests")
    parser.add_argument("--fast", action="store_true", help="one compiler, no sanitizers, no source checks")
    parser.add_argument("--suite", action="append", metavar="NAME", help="only this suite; implies --fast")
    options = parser.parse_args()
    fast = options.fast or bool(options.suite)
    os.environ.update(SANITIZER_OPTIONS)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: (processes.stop(), sys.exit(130)))

    try:
        return everything(options, fast)
    finally:
        processes.stop()


def everything(options, fast):
    run = Run(options)
    gcc, clang = ("gcc", "g++"), ("clang-14", "clang++-14")
    if not fast:
        run.stage("format")
        run.check("clang-format", ["clang-format-14", "--dry-run", "--Werror", *sources(".")], 300)
        run.check("shellcheck", ["shellcheck", "-x", *sources(".", endings=(".sh",)), ".ci/run"], 60)
    run.stage("g++")
    built = run.build("build-test", gcc, PLAIN)
    tidy, sanitized = None, []
    if not fast and run.configure("build-asan", clang, ADDRESS):
        sanitized = run.suites("build-asan", lambda suite: suite.name not in NOT_SANITIZED)
        beside = BuildBeside("build-asan", ADDRESS, needs(sanitized))
        tidy = Tidy("build-asan", beside, options.soak)
    if built:
        run.run_suites(run.suites("build-test"))
    if not fast:
        run.stage("clang++, address and undefined behaviour sanitizers")
        if tidy:  # else its configuration has failed
            beside.stop()
            for suite in sanitized:
                suite.timeout *= SANITIZED_FACTOR
            if run.build("build-asan", clang, ADDRESS, needs(sanitized)):
                run.run_suites(sanitized, "asan/")
            run.stage("clang-tidy")
            tidy.finish(run)
        run.stage("clang++, thread sanitizer")
        if run.build("build-tsan", clang, THREAD, ["tests/posix/test-posix"]):
            suites = run.suites("build-tsan", lambda suite: suite.name == "posix")
            for suite in suites:
                suite.timeout *= SANITIZED_FACTOR
                suite.environment["GTEST_FILTER"] = NOT_UNDER_TSAN
            run.run_suites(suites, "tsan/")
    return run.finish()


if __name__ == "__main__":
    sys.exit(main())
