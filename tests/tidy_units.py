"""What clang-tidy is given at once: several sources of one folder behind each other, as one translation unit.

Most of its time goes into the headers that all of them include. From a unit in which clang-tidy finds something, be it that two
sources have a name in common, the sources in which it does are parted, until each stands alone: what counts is what it says of one by itself.
"""

import bisect
import hashlib
import itertools
import json
import os
import pathlib
import re
import shlex

AT_ONCE = 8
JOINED = "unit.cc"
COMPILER = pathlib.Path(__file__).with_name("tidy_compiler.sh")
# How many states of a program the analyzer goes through from one function on; 225,000 are its own choice, which takes three times as long.
BRIEF = ["-Xclang", "-analyzer-config", "-Xclang", "max-nodes=50000"]


class Unit:
    """Sources that are compiled in the same way, from one folder."""

    def __init__(self, files, flags):
        self.files = files
        self._flags = flags
        self._starts = []  # the line of the joined source on which each begins

    def parts(self, output):
        """Those in which it found something, by its output, and the others. Where that does not part them: halves, of which
        neighbours, which are likely to name their own things alike, are in different ones."""
        lines = {int(line) for line in re.findall(rf"{re.escape(JOINED)}:(\d+):\d+: error:", output)}
        found = {bisect.bisect(self._starts, line) - 1 for line in lines}
        sets = [[name for at, name in enumerate(self.files) if (at in found) is wanted] for wanted in (True, False)]
        if not all(sets):
            sets = [self.files[first::2] for first in (0, 1)]
        return [Unit(files, self._flags) for files in sets]

    def command(self, root, build, thorough):
        """The command that looks at it, to be run in the folder `build`, where it leaves what it needs; ccache knows what was
        found clean before. `thorough`: the analyzer goes as far as it likes to."""
        place = pathlib.Path("tidy") / hashlib.sha256(" ".join(self.files).encode()).hexdigest()[:16]
        (build / place).mkdir(parents=True, exist_ok=True)
        source, flags = self.files[0], [*self._flags, *([] if thorough else BRIEF)]
        if len(self.files) > 1:
            source = place / JOINED
            texts = [pathlib.Path(name).read_text() + "\n" for name in self.files]
            (build / source).write_text("".join(texts))
            self._starts = list(itertools.accumulate((text.count("\n") for text in texts), initial=1))
            flags += ["-iquote", os.path.dirname(self.files[0])]
        # Paths below `root` are relative in what is kept, so that clones share it; comments count, as some are for clang-tidy.
        cache = {"BASEDIR": root, "NOHASHDIR": 1, "COMMENTS": 1, "COMPILERTYPE": "clang", "COMPILERCHECK": "clang-tidy-14 --version",
                 "EXTRAFILES": f"{root}/.clang-tidy:{COMPILER}"}
        settings = [f"CCACHE_{name}={value}" for name, value in cache.items()]
        return ["env", "-u", "CCACHE_HASHDIR", *settings, "ccache", str(COMPILER), *flags, "-c", "-o", str(place / "clean"), str(source)]


def _flags(entry):
    """The arguments of a compilation, without its input, its output, what writes dependencies, what is for debuggers, and what is
    compiled before it."""
    kept = []
    arguments = iter(shlex.split(entry["command"]))
    for argument in arguments:
        if argument in ("-o", "-MF", "-MQ", "-c", "-include-pch"):
            next(arguments)
        elif argument.startswith("-") and argument not in ("-MD", "-g", "-g1"):
            kept.append(argument)
            if argument in ("-include", "-isystem", "-I", "-D"):
                kept.append(next(arguments))
    return tuple(kept)


def units(build, root, folders):
    """All sources of these top folders that the build compiles, the largest units first."""
    alike = {}
    seen = set()
    for entry in json.loads((pathlib.Path(build) / "compile_commands.json").read_text()):
        name = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
        if name in seen or not name.endswith(".cc") or os.path.relpath(name, root).split(os.sep)[0] not in folders:
            continue
        seen.add(name)
        alike.setdefault((os.path.dirname(name), _flags(entry)), []).append(name)
    found = []
    for (_, flags), files in alike.items():
        files.sort()
        parts = -(-len(files) // AT_ONCE)
        found += [Unit(files[part * len(files) // parts:(part + 1) * len(files) // parts], flags) for part in range(parts)]
    return sorted(found, key=lambda unit: -len(unit.files))
