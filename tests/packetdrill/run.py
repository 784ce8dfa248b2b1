#!/usr/bin/env python3
"""Runs packetdrill scripts against the stack.

    run.py --library LIB                           the scripts beside this file, as TAP; skipped without a packetdrill
    run.py --packetdrill BIN --library LIB PATH    the scripts at or below PATH: pass or fail of each, then a summary

Scripts that this stack fails for a reason are in deviations.txt with that reason, by their directory and name. They count
as neither passed nor failed; one that passes is an error. LIB is libmillrace-packetdrill.so of a build, by default the one
in build/. packetdrill is looked for in --packetdrill, in MILLRACE_PACKETDRILL and in PATH. Each script runs in a network
namespace of its own, with the commands in stubs/ before the system's, so that what it sets with sysctl concerns the stack
and nobody else.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = HERE / "scripts"
DEVIATIONS = HERE / "deviations.txt"
# What the adapter's profiles have, too: packetdrill would draw the host part.
ADDRESSES = ["--local_ip=192.168.1.1", "--gateway_ip=192.168.0.1", "--netmask_ip=255.255.0.0"]


@dataclasses.dataclass
class Outcome:
    name: str
    key: str  # its directory and name
    passed: bool
    output: str

    def reason(self):
        """What packetdrill said, on one line."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        if any(line.startswith("Traceback") for line in lines):  # of the script's own code
            return " | ".join([lines[0], *lines[-2:]])
        return " | ".join(lines[:3])


def find_packetdrill(given):
    for candidate in (given, os.environ.get("MILLRACE_PACKETDRILL"), "packetdrill"):
        if candidate and (found := shutil.which(candidate)):
            return str(pathlib.Path(found).resolve())
    return None


def own_namespace():
    """The command that gives a script a network namespace of its own, or None where that is not allowed."""
    command = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    allowed = shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if allowed and allowed.returncode == 0 else None


def scripts_below(path):
    return [path] if path.is_file() else sorted(path.rglob("*.pkt"))


def read_deviations(path):
    """DIRECTORY/NAME of a script to the reason why it fails: continued in lines that begin with a blank."""
    reasons = {}
    name = None
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            name = None
        elif line[0].isspace():
            if name is None:
                raise ValueError(f"{path}: a reason without a script: {line.strip()}")
            reasons[name] = f"{reasons[name]} {line.strip()}".strip()
        else:
            name = line.strip()
            if name in reasons:
                raise ValueError(f"{path}: {name} is there twice")
            reasons[name] = ""
    return reasons


def flags_of(script, given):
    """A script says with a name such as syn.freebsd.pkt that it is about another profile."""
    stem = script.name.split(".")
    return given or (stem[1] if len(stem) == 3 else "linux")


class Runner:
    def __init__(self, options, packetdrill, namespace):
        self.options = options
        self.packetdrill = packetdrill
        self.namespace = namespace or []
        self.library = str(options.library.resolve())

    def run(self, script, name):
        key = "/".join(script.parts[-2:])
        with tempfile.TemporaryDirectory(prefix="millrace-packetdrill-") as scratch:
            environment = dict(os.environ, PATH=f"{HERE / 'stubs'}:{os.environ['PATH']}",
                               MILLRACE_PACKETDRILL_SYSCTLS=os.path.join(scratch, "sysctls"),
                               MILLRACE_PACKETDRILL_DISCIPLINE=os.path.join(scratch, "discipline"))
            flags = flags_of(script, self.options.flags)
            command = [*self.namespace, "env", f"LD_PRELOAD={self.library}", self.packetdrill,
                       f"--so_filename={self.library}", f"--so_flags={flags}", *ADDRESSES,
                       *(f"-D{definition}" for definition in self.options.define), script.name]
            process = subprocess.Popen(command, cwd=script.parent, env=environment, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                output, _ = process.communicate(timeout=self.options.timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return Outcome(name, key, False, f"stopped after {self.options.timeout} s")
            text = output.decode(errors="replace")
            if process.returncode < 0:
                text = f"{signal.Signals(-process.returncode).name}\n{text}"
            return Outcome(name, key, process.returncode == 0, text)

    def run_all(self, top, scripts):
        def one(script):
            return self.run(script, str(script.relative_to(top if top.is_dir() else top.parent)))

        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            yield from pool.map(one, scripts)


def own_scripts(options, packetdrill):
    """The scripts in scripts/, as TAP."""
    scripts = scripts_below(SCRIPTS)
    if packetdrill is None:
        print("1..1\nok 1 - scripts/ # SKIP no packetdrill: put one into PATH or name it in MILLRACE_PACKETDRILL")
        return 0
    failed = 0
    print(f"1..{len(scripts)}")
    for number, outcome in enumerate(Runner(options, packetdrill, own_namespace()).run_all(SCRIPTS, scripts), 1):
        print(f"{'ok' if outcome.passed else 'not ok'} {number} - {outcome.name}", flush=True)
        if not outcome.passed:
            failed += 1
            print("\n".join("# " + line for line in outcome.output.splitlines()))
    return 1 if failed else 0


def foreign_scripts(options, packetdrill):
    """Any scripts, for somebody to read."""
    if packetdrill is None:
        print("run.py: no packetdrill: name it with --packetdrill or in MILLRACE_PACKETDRILL", file=sys.stderr)
        return 2
    namespace = own_namespace()
    if namespace is None:
        print("run.py: scripts of others set sysctls: they need a network namespace, which this user may not make",
              file=sys.stderr)
        return 2
    deviations = {} if options.flags else read_deviations(DEVIATIONS)
    passed = failed = deviating = 0
    for top in options.paths:
        scripts = scripts_below(top.resolve())
        for outcome in Runner(options, packetdrill, namespace).run_all(top.resolve(), scripts):
            reason = deviations.get(outcome.key)
            if outcome.passed and reason is not None:
                failed += 1
                print(f"fail {outcome.name}: passes, but {DEVIATIONS.name} says why it cannot", flush=True)
            elif outcome.passed:
                passed += 1
                print(f"pass {outcome.name}", flush=True)
            elif reason is not None:
                deviating += 1
                print(f"deviates {outcome.name}: {reason}", flush=True)
            else:
                failed += 1
                print(f"fail {outcome.name}: {outcome.reason()}", flush=True)
    print(f"{passed} passed, {failed} failed, {deviating} deviate")
    return 1 if failed or passed + deviating == 0 else 0


def main():
    parser = argparse.ArgumentParser(description="run packetdrill scripts against the stack")
    parser.add_argument("--packetdrill", metavar="BIN")
    parser.add_argument("--library", type=pathlib.Path, metavar="LIB",
                        default=HERE.parent.parent / "build/tests/packetdrill/libmillrace-packetdrill.so")
    parser.add_argument("--flags", metavar="FLAGS", help="for --so_flags: linux (the default), freebsd, mtu=N, ...")
    parser.add_argument("--define", "-D", action="append", default=[], metavar="NAME=VALUE",
                        help="a word that scripts leave open")
    parser.add_argument("--timeout", type=float, default=30, metavar="SECONDS", help="of real time a script may take")
    parser.add_argument("--jobs", type=int, default=1, metavar="N")
    parser.add_argument("paths", nargs="*", type=pathlib.Path, metavar="PATH")
    options = parser.parse_args()
    if not options.library.exists():
        print(f"run.py: {options.library} is not there: build it", file=sys.stderr)
        return 2
    packetdrill = find_packetdrill(options.packetdrill)
    return foreign_scripts(options, packetdrill) if options.paths else own_scripts(options, packetdrill)


if __name__ == "__main__":
    sys.exit(main())
