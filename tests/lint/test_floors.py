"""The floor rule finds each kind of violation, and nothing in a tree that keeps it."""

import subprocess
import sys
from pathlib import Path

import pytest

FLOORS = Path(__file__).with_name("floors.py")

GOOD = {
    "include/addonfs/error.h": "/* error: … */\n",
    "include/addonfs/path.h": "/* path: … */\n#include <addonfs/error.h>\n#include <stddef.h>\n",
    "include/addonfs/source.h": "/* source: … */\n#include <addonfs/path.h>\n",
    "include/addonfs/cleanup.h": "/* cleanup: … */\n",
    "core/error.c": "#include <addonfs/error.h>\n",
    "core/path.c": "#include <addonfs/path.h>\n",
    "core/source.c": '#include "source_backend.h"\n#include <git2.h>\n',
    "core/source_backend.h": "#include <addonfs/source.h>\n",
    "core/source_worktree.c": '#include "source_backend.h"\n',
    "fs/main.c": '#include "mount.h"\n#include <addonfs/source.h>\n',
    "fs/mount.c": '#include "mount.h"\n#define FUSE_USE_VERSION 35\n#include <fuse_lowlevel.h>\n',
    "fs/mount.h": "#include <addonfs/error.h>\n",
    "tests/unit/test_error.c": "",
    "tests/unit/test_path.c": "",
    "tests/unit/test_source.c": "",
}


def check(tree, changes):
    """Run the rule over the good tree with `changes` (path -> text, None: no such file)."""
    for path, text in {**GOOD, **changes}.items():
        if text is not None:
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(FLOORS), str(tree)], capture_output=True, text=True, check=False
    )


def test_a_tree_that_keeps_the_rule_passes_silently(tmp_path):
    run = check(tmp_path, {})
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


VIOLATIONS = {
    "a higher floor": (
        {"core/path.c": "#include <addonfs/path.h>\n#include <addonfs/source.h>\n"},
        "core/path.c:2: path (floor 1) includes source (floor 3), which is higher",
    ),
    "a higher floor, in quotes": (
        {"include/addonfs/error.h": '/* error */\n#  include "addonfs/source.h"\n'},
        "include/addonfs/error.h:2: error (floor 1) includes source (floor 3), which is higher",
    ),
    "a higher floor's private header": (
        {"core/path.c": '#include <addonfs/path.h>\n#include "source_backend.h"\n'},
        "core/path.c:2: path (floor 1) includes source (floor 3), which is higher",
    ),
    "two modules of a floor that need each other": (
        {"core/error.c": "#include <addonfs/error.h>\n#include <addonfs/path.h>\n"},
        "circle of modules: error -> path -> error",
    ),
    "two modules of fs that need each other": (
        {"fs/main.h": "", "fs/mount.h": '#include "main.h"\n'},
        "circle of modules: fs/main -> fs/mount -> fs/main",
    ),
    "two headers of a module that need each other": (
        {
            "core/source_backend.h": '#include "source_other.h"\n',
            "core/source_other.h": '#include "source_backend.h"\n',
        },
        "circle of headers: core/source_backend.h -> core/source_other.h -> core/source_backend.h",
    ),
    "core that includes fs": (
        {"core/source.c": '#include "source_backend.h"\n#include "../fs/mount.h"\n'},
        "core/source.c:2: fs/mount.h is private to fs/",
    ),
    "fs that includes a private header of core": (
        {"fs/main.c": '#include "../core/source_backend.h"\n'},
        "fs/main.c:1: core/source_backend.h is private to core/",
    ),
    "FUSE in core": (
        {"core/source.c": '#include "source_backend.h"\n#include <fuse_lowlevel.h>\n'},
        "core/source.c:2: <fuse_lowlevel.h>: FUSE stays inside fs/*",
    ),
    "FUSE's folder in include": (
        {"include/addonfs/error.h": "/* error */\n#include <fuse3/fuse.h>\n"},
        "include/addonfs/error.h:2: <fuse3/fuse.h>: FUSE stays inside fs/*",
    ),
    "the kernel's FUSE in core": (
        {"core/error.c": "#include <addonfs/error.h>\n#include <linux/fuse.h>\n"},
        "core/error.c:2: <linux/fuse.h>: FUSE stays inside fs/*",
    ),
    "libgit2 in another module": (
        {"core/path.c": "#include <addonfs/path.h>\n#include <git2/oid.h>\n"},
        "core/path.c:2: <git2/oid.h>: libgit2 stays inside core/source*, core/refs*",
    ),
    "libgit2 in the source's public header": (
        {"include/addonfs/source.h": "/* source */\n#include <git2.h>\n"},
        "include/addonfs/source.h:2: <git2.h>: libgit2 stays inside core/source*, core/refs*",
    ),
    "SQLite outside the cache": (
        {"core/error.c": "#include <addonfs/error.h>\n#include <sqlite3.h>\n"},
        "core/error.c:2: <sqlite3.h>: SQLite stays inside core/cache*",
    ),
    "cJSON outside readers and writers of JSON": (
        {"core/error.c": "#include <addonfs/error.h>\n#include <cjson/cJSON.h>\n"},
        "core/error.c:2: <cjson/cJSON.h>: cJSON stays inside "
        "core/*_json*, core/status*, core/json*",
    ),
    "libarchive outside export": (
        {"fs/main.c": "#include <archive_entry.h>\n"},
        "fs/main.c:1: <archive_entry.h>: libarchive stays inside core/export*, core/archive*",
    ),
    "a public header without its purpose": (
        {"include/addonfs/error.h": "#include <stddef.h>\n/* error */\n"},
        "include/addonfs/error.h:1: a public header opens with a comment that says what it is for",
    ),
    "a file of core without a header": (
        {"core/buffer.c": ""},
        "core/buffer.c:1: no header: include/addonfs/buffer.h or core/buffer.h",
    ),
    "a part of a module that is not there": (
        {"core/match_part.c": ""},
        "core/match_part.c:1: no header: include/addonfs/match_part.h or core/match_part.h",
    ),
    "a public module without a test": (
        {"tests/unit/test_path.c": None},
        "include/addonfs/path.h:1: tests/unit/test_path.c is missing: "
        "every public module has a unit test",
    ),
    "a module that is not in the table": (
        {"core/surprise.c": "", "core/surprise.h": ""},
        "core/surprise.c:1: unknown module 'surprise': add it to FLOORS in tests/lint/floors.py",
    ),
}


@pytest.mark.parametrize("changes, message", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_violation_is_an_error(tmp_path, changes, message):
    run = check(tmp_path, changes)
    assert message in run.stdout.splitlines()
    assert (run.returncode, run.stderr) == (1, "")


def test_a_long_file_is_only_a_warning(tmp_path):
    run = check(tmp_path, {"core/path.c": "#include <addonfs/path.h>\n" + "\n" * 500})
    assert run.stdout == "core/path.c: 501 lines: is it two ideas? (warning)\n"
    assert run.returncode == 0


def test_a_folder_without_sources_is_an_error(tmp_path):
    run = check(tmp_path, dict.fromkeys(GOOD))
    assert (run.returncode, run.stdout) == (1, f"{tmp_path}: no sources here\n")
