"""What clang-tidy is given at once: several sources of one folder behind each other, as one translation unit.

Most of its time goes into the headers that all of them include. A unit that has a finding, or whose sources can not share a
namespace, is halved until the source stands alone: what counts is what clang-tidy says of that one by itself.
"""

import json
import os
import pathlib
import shlex

AT_ONCE = 8


class Unit:
    """Sources that are compiled in the same way, from one folder."""

    def __init__(self, files, flags):
        self.files = files
        self._flags = flags

    def halves(self):
        """Neighbours, which are likely to name their own things alike, are parted."""
        return [Unit(self.files[first::2], self._flags) for first in (0, 1)]

    def command(self, build, config, scratch):
        """The clang-tidy to run in the folder `build`; writes the joined source into the folder `scratch`."""
        tidy = ["clang-tidy-14", "--quiet", "--warnings-as-errors=*", f"--config-file={config}"]
        if len(self.files) == 1:
            return [*tidy, "-p", str(build), self.files[0]]
        joined = pathlib.Path(scratch) / "unit.cc"
        joined.write_text("\n".join(pathlib.Path(name).read_text() for name in self.files))
        return [*tidy, str(joined), "--", *self._flags, "-iquote", os.path.dirname(self.files[0])]


def _flags(entry):
    """The arguments of a compilation, without its input, its output and what writes dependencies."""
    kept = []
    arguments = iter(shlex.split(entry["command"]))
    for argument in arguments:
        if argument in ("-o", "-MF", "-MQ", "-c"):
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
