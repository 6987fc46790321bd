#!/usr/bin/env python3
"""The floor rule: which module may include what.

    floors.py [TREE]

A module stands on a floor and includes only what stands on lower floors, or on its own floor as long
as that makes no circle. Each library stays inside the modules that were made for it. Every file of
core/, fs/ and include/ is checked; what is wrong is printed as `path:line: what`, and the exit status
is 1. A file that has grown too long is only a warning.

A file belongs to the module it is named after, or whose part it is: core/source_checkout.c belongs to
`source`. fs/ is one floor, the highest, and its modules are its files.
"""

import fnmatch
import re
import sys
from pathlib import Path, PurePosixPath

# From the lowest floor to the highest. A new module of core is added here.
FLOORS = [
    "error cleanup checked local map path text sha256 buffer problem version stamp",
    "deflate pylit match spool content member cache json",
    "file refs source worktree revision resolve recipe layouts",
    "zip bundle body entry package",
    "generation view watch archive_reader inventory",
    "status listing export identity deployment diff verify",
]
FLOOR = {module: floor for floor, names in enumerate(FLOORS, 1) for module in names.split()}
FS_FLOOR = len(FLOORS) + 1

# Headers of a library, and the only files that include them.
LIBRARIES = [
    ("FUSE", r"(linux/)?fuse", ["fs/*"]),
    ("libgit2", r"git2\.h|git2/", ["core/source*", "core/refs*"]),
    ("SQLite", r"sqlite3", ["core/cache*"]),
    ("cJSON", r"(cjson/)?cJSON\.h|cjson/", ["core/*_json*", "core/status*", "core/json*"]),
    ("libarchive", r"archive\.h|archive_entry\.h", ["core/export*", "core/archive*"]),
]

# Public headers without a test of their own: macros that every other test goes through.
UNTESTED = {"cleanup"}

LONG = 500  # lines; longer than that, a file has probably become two ideas

INCLUDE = re.compile(r'\s*#\s*include\s*(?:<([^>]+)>|"([^"]+)")')


def module_of(path, modules):
    """The module in `modules` that a file belongs to by its name, or None."""
    name = path.stem
    while name not in modules:
        name, underscore, _ = name.rpartition("_")
        if not underscore:
            return None
    return name


def circle(graph):
    """Some circle in `graph` (node -> set of nodes) as a list that ends where it begins, or None."""
    done = set()

    def walk(node, trail):
        if node in trail:
            return trail[trail.index(node):] + [node]
        if node in done:
            return None
        for following in sorted(graph.get(node, ())):
            found = walk(following, trail + [node])
            if found:
                return found
        done.add(node)
        return None

    for start in sorted(graph):
        found = walk(start, [])
        if found:
            return found
    return None


class Tree:
    """A source tree, and what was found in it."""

    def __init__(self, root):
        self.root = Path(root)
        self.errors = []
        self.warnings = []
        self.files = sorted(
            PurePosixPath(found.relative_to(self.root).as_posix())
            for folder, pattern in (
                ("core", "**/*.[ch]"),
                ("fs", "**/*.[ch]"),
                ("include", "**/*.h"),
            )
            for found in (self.root / folder).glob(pattern)
        )
        self.fs_modules = {path.stem for path in self.files if path.parts[0] == "fs"}

    def error(self, path, line, text):
        self.errors.append(f"{path}:{line}: {text}")

    def place(self, path):
        """(module, floor) of a file of ours; (None, None) if no module is known for it."""
        if path.parts[0] == "fs":
            # As in core, filesystem_report.c is a part of `filesystem`.
            name = path.stem
            while name.rpartition("_")[0] in self.fs_modules:
                name = name.rpartition("_")[0]
            return f"fs/{name}", FS_FLOOR
        module = module_of(path, FLOOR)
        return module, FLOOR.get(module)

    def target(self, path, system, quoted):
        """The file of ours that an include line names, or None for a header of a library."""
        if system:
            if system.startswith("addonfs/"):
                return PurePosixPath("include", system)
            return None
        if quoted.startswith("addonfs/"):
            return PurePosixPath("include", quoted)
        parts = []
        for part in (path.parent / quoted).parts:
            if part == ".." and parts:
                parts.pop()
            else:
                parts.append(part)
        return PurePosixPath(*parts)

    def check_library(self, path, line, header):
        for library, pattern, places in LIBRARIES:
            if not re.match(pattern, header):
                continue
            if not any(fnmatch.fnmatchcase(str(path), place) for place in places):
                self.error(path, line, f"<{header}>: {library} stays inside {', '.join(places)}")

    def check_includes(self):
        modules = {}  # module -> modules of its floor that it includes
        headers = {}  # header -> headers of its own module that it includes
        for path in self.files:
            module, floor = self.place(path)
            if not module:
                self.error(
                    path, 1, f"unknown module '{path.stem}': add it to FLOORS in tests/lint/floors.py"
                )
            for line, text in enumerate(self.text(path).splitlines(), 1):
                match = INCLUDE.match(text)
                if not match:
                    continue
                target = self.target(path, *match.groups())
                if not target:
                    self.check_library(path, line, match.group(1))
                    continue
                if target.parts[0] not in (path.parts[0], "include"):
                    self.error(path, line, f"{target} is private to {target.parts[0]}/")
                    continue
                other, other_floor = self.place(target)
                if not other:
                    # Reported where the header is; a header that is not there is the compiler's to report.
                    continue
                if module and other_floor > floor:
                    self.error(
                        path,
                        line,
                        f"{module} (floor {floor}) includes {other} (floor {other_floor}), which is higher",
                    )
                elif other == module:
                    if path.suffix == ".h":
                        headers.setdefault(str(path), set()).add(str(target))
                elif other_floor == floor:
                    modules.setdefault(module, set()).add(other)
        for what, graph in (("modules", modules), ("headers", headers)):
            found = circle(graph)
            if found:
                self.errors.append(f"circle of {what}: {' -> '.join(found)}")

    def check_shape(self):
        present = set(self.files)
        for path in self.files:
            text = self.text(path)
            lines = len(text.splitlines())
            if lines > LONG:
                self.warnings.append(f"{path}: {lines} lines: is it two ideas?")
            if path.parts[:2] == ("include", "addonfs"):
                if not text.lstrip().startswith(("/*", "//")):
                    self.error(path, 1, "a public header opens with a comment that says what it is for")
                test = f"tests/unit/test_{path.stem}.c"
                if path.stem not in UNTESTED and not (self.root / test).is_file():
                    self.error(path, 1, f"{test} is missing: every public module has a unit test")
            if path.parts[0] == "core" and path.suffix == ".c":
                module, _ = self.place(path)
                headers = {
                    PurePosixPath(folder, f"{stem}.h")
                    for folder in ("include/addonfs", "core")
                    for stem in (path.stem, module or path.stem)
                }
                if not headers & present:
                    self.error(
                        path, 1, f"no header: include/addonfs/{path.stem}.h or core/{path.stem}.h"
                    )

    def text(self, path):
        return (self.root / path).read_text(encoding="utf-8", errors="replace")


def main(arguments):
    root = arguments[0] if arguments else Path(__file__).resolve().parents[2]
    tree = Tree(root)
    if not tree.files:
        tree.errors.append(f"{root}: no sources here")
    tree.check_includes()
    tree.check_shape()
    for warning in tree.warnings:
        print(f"{warning} (warning)")
    for error in tree.errors:
        print(error)
    return 1 if tree.errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
