"""What clang-tidy is given at once: several sources of one folder behind each other, as one translation unit.

Most of its time goes into the headers that all of them include. From a unit in which clang-tidy finds something, be it that two
sources have a name in common, the sources in which it does are parted, until each stands alone: what counts is what it says of one by itself.
"""

import bisect
import itertools
import json
import os
import pathlib
import re
import shlex

AT_ONCE = 8
JOINED = "unit.cc"


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

    def command(self, config, scratch):
        """The clang-tidy to run in the folder of the build; writes the joined source into the folder `scratch`."""
        tidy = ["clang-tidy-14", "--quiet", "--warnings-as-errors=*", f"--config-file={config}"]
        if len(self.files) == 1:
            return [*tidy, self.files[0], "--", *self._flags]
        joined = pathlib.Path(scratch) / JOINED
        texts = [pathlib.Path(name).read_text() + "\n" for name in self.files]
        joined.write_text("".join(texts))
        self._starts = list(itertools.accumulate((text.count("\n") for text in texts), initial=1))
        return [*tidy, str(joined), "--", *self._flags, "-iquote", os.path.dirname(self.files[0])]


def _flags(entry):
    """The arguments of a compilation, without its input, its output, what writes dependencies, and what is compiled before it."""
    kept = []
    arguments = iter(shlex.split(entry["command"]))
    for argument in arguments:
        if argument in ("-o", "-MF", "-MQ", "-c", "-include-pch"):
            next(arguments)
        elif argument.startswith("-") and argument != "-MD":
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
