"""A disk that fails once, at one call after the other: right bytes, or an error that names the path.

    ADDONFS_FAULTS_STEP=1      every call, with watch=poll as well; otherwise some, one in so many
"""

import ctypes
import errno
import mmap
import os
import random
import secrets
import shutil
import subprocess

import pytest

import oracle
from mounting import ADDONFS, TIMEOUT, clean, client_zip, errors, is_mounted, mounted, package, run, settle, until
from repository import ENVIRONMENT, Exec, Link, Repository

SEED = int(os.environ.get("ADDONFS_SEED", secrets.randbelow(1 << 32)))
STEP = int(os.environ.get("ADDONFS_FAULTS_STEP", "0"))
# As in tests/fixtures/faults.c: which calls count, and what becomes of one.
OPENS, LOOKS, READS, LISTS, WRITES = (1 << bit for bit in range(5))
KINDS = {
    "fails": (OPENS | LOOKS | READS | LISTS, errno.EIO),
    "is short": (READS, -1),
    "is at its end": (READS, -2),
    "has no descriptor": (OPENS, errno.EMFILE),
}
FILES = {
    "openpype/version.py": '__version__ = "3.15.12"\n',
    "openpype/lib/tools.py": "def tool():\n    return 1\n" * 50,
    "openpype/lib/run.sh": Exec(b"#!/bin/sh\nexit 0\n"),
    "openpype/link.py": Link("lib/tools.py"),
    "server_addon/server/__init__.py": "class Addon:\n    pass\n",
    "server_addon/server/settings/main.py": "x = 1\n",
    "server_addon/client/pyproject.toml": "[project]\n",
    ".gitattributes": "* text=auto\n",
}

pytestmark = pytest.mark.skipif(os.environ.get("SANITIZE", "") not in ("", "coverage"),
                                reason="a sanitizer must be loaded before anything else")


class Control(ctypes.Structure):
    """As in tests/fixtures/faults.c."""

    _fields_ = [("left", ctypes.c_int64), ("calls", ctypes.c_int64), ("how", ctypes.c_int64),
                ("call", ctypes.c_char * 64), ("path", ctypes.c_char * 4096)]


@pytest.fixture
def control(folder):
    path = folder / "control"
    path.write_bytes(bytes(ctypes.sizeof(Control)))
    with open(path, "r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
    return Control.from_buffer(memory)


@pytest.fixture
def library(program):
    path = os.path.join(os.environ["ADDONFS_BUILD"], "tests/faults.so")
    assert os.path.exists(path), "make builds it"
    return path


def members_of(upload):
    """What it has of the package, but for what is made up, and client.zip, which we look at itself."""
    return {name: found[0] for name, found in oracle.read_zip(upload.read_bytes()).items()
            if name not in (b"manifest.json", b"addon/private/client.zip")}


def pack(repo):
    """No object lies loose, and all is there that Git has to find them in packs."""
    repo.git("config", "gc.auto", "0")
    repo.git("repack", "-dq", "--geometric=2", "--write-midx")
    repo.git("commit-graph", "write", "--reachable")
    repo.git("pack-refs", "--all")
    assert b"count: 0\n" in repo.git("count-objects", "-v")


def looks(mnt):
    """What there is to look at, each an act."""
    yield "listing", lambda: sorted(os.listdir(mnt / "package/openpype"))
    yield "names", lambda: sorted(os.listdir(package(mnt)))
    for name in ("__init__.py", "settings/main.py", "version.py", "private/pyproject.toml"):
        yield name, lambda name=name: (package(mnt) / name).read_bytes()
    yield "client.zip", lambda: oracle.read_zip(client_zip(mnt).read_bytes())
    yield "upload", lambda: members_of(mnt / "upload/openpype-3.15.12.zip")
    yield "client", lambda: (mnt / "client/openpype_3.15.12/openpype/lib/tools.py").read_bytes()
    yield "client folder", lambda: sorted(os.listdir(mnt / "client/openpype_3.15.12/openpype"))
    yield "branches", lambda: os.listdir(mnt / "branches")
    yield "commit", lambda: oracle.read_zip(client_zip(mnt / "HEAD").read_bytes())


def look(mnt, right, control):
    """Compare everything; what was said to be an error."""
    refused = {}
    for name, act in looks(mnt):
        try:
            found = act()
        except OSError as failure:
            assert failure.errno not in (errno.ENOENT, errno.ENOTDIR), (name, failure, control.call, control.path)
            refused[name] = failure
        else:
            assert found == right[name], (name, control.call, control.path)
    return refused


def expect(repo, committed=None):
    """What all looks must give; of the commit that, unless it is what the worktree holds."""
    found = oracle.package_a(repo.path)
    return {
        "listing": ["3.15.12"],
        "names": sorted({os.fsdecode(name.split(b"/")[0]) for name in found.files} | {"private"}),
        **{name: found.files[name.encode()][0]
           for name in ("__init__.py", "settings/main.py", "version.py", "private/pyproject.toml")},
        "client.zip": found.members,
        "upload": {b"addon/" + name: file[0] for name, file in found.files.items()},
        "client": (repo.path / "openpype/lib/tools.py").read_bytes(),
        "client folder": sorted(os.listdir(repo.path / "openpype")),
        "branches": ["main"],
        "commit": committed or found.members,
    }


def is_named(repo, place, text):
    """Is it said where the fault was? In the source or in the package; of Git by the revision, of a link's
    target by the link."""
    names = [place, str(repo.path), "package/openpype"]
    names += ["HEAD", "refs/heads/main"] if f"{place}/".startswith(".git/") else []
    names += ["openpype/link.py"] if place.startswith("openpype/lib") else []
    names += [place.removeprefix(".git/")]
    while place := os.path.dirname(place):
        names += [place + ":", place.removeprefix(".git/") + "/:"]
    return any(name in text for name in names)


CASES = [(kind, options, packed, when) for packed in (False, True) for kind in KINDS
         for options in ("", "watch=poll", "rev=HEAD")
         for when in ("as it is mounted", "at looks", "after an edit")
         if STEP or options != "watch=poll" and packed <= (options == "rev=HEAD" or kind == "fails")
         and (packed or kind in ("fails", "is short", "is at its end"))]


@pytest.mark.parametrize("kind, options, packed, when", CASES, ids=lambda value: str(value).replace("True", "packed"))
def test_a_call_that_fails_costs_no_byte_and_no_member(folder, fuse, control, library, packed, options, kind, when):
    print("ADDONFS_SEED =", SEED)
    chance = random.Random(SEED)
    repo = Repository(folder / "source", FILES)
    mnt = folder / "mnt"
    mnt.mkdir()
    environment = {**os.environ, **ENVIRONMENT, "LD_PRELOAD": library, "ADDONFS_FAULTS": str(folder / "control"),
                   "ADDONFS_FAULTS_BELOW": str(repo.path)}
    number, seen, tries, refusals = 0, set(), 0, 0
    control.calls, control.how = KINDS[kind]
    step = STEP or {"fails": 499, "has no descriptor": 199}.get(kind, 79)
    if packed:
        pack(repo)
        repo.write({"openpype/second.py": "pack\n"})
        repo.commit()
        pack(repo)
    committed = None if options == "rev=HEAD" else oracle.package_a(repo.path).members
    # What is young is read again at every look: then most calls are these.
    if when != "after an edit":
        settle(repo.path)
    right = expect(repo, committed)

    def edit():
        text = f"edit = {number}\n"
        repo.write({"openpype/lib/tools.py": text, "server_addon/server/settings/main.py": text,
                    f"openpype/new{number}/file.py": text})
        if options == "rev=HEAD":
            repo.commit()
            if packed:
                pack(repo)

    def check(process):
        """Everything while a call fails, and again when none does; what was refused, and what was said of it."""
        nonlocal right
        if when == "after an edit":
            assert look(mnt, right, control) == {}
            edit()
            right = expect(repo, committed)
        if when != "as it is mounted":
            control.left = number
        refused = look(mnt, right, control)
        told = []
        try:
            told = [f"{problem['path']}: {problem['reason']}" for problem in errors(mnt)]
        except OSError as failure:
            refused["status.json"] = failure
        control.left = 0
        # What has failed is tried again, at most once a second.
        until(lambda: look(mnt, right, control) == {} and errors(mnt) == [])
        assert run("umount", mnt).returncode == 0
        log = process.communicate(timeout=TIMEOUT)[1]
        if list(refused) == ["branches"] and control.how > 0:
            assert os.strerror(control.how) in log
        if refused or told:
            assert is_named(repo, os.path.normpath(os.fsdecode(control.path)), log + "\n".join(told)), (
                refused, told, log, control.call, control.path)
        return bool(refused or told)

    while number == 0 or control.call:
        # The first one is sure to be there: there may be few of its kind.
        number += chance.randint(1, 2 * step - 1) if number else 1
        tries += 1
        control.call, control.path = b"", b""
        control.left = number if when == "as it is mounted" else 0
        with subprocess.Popen([ADDONFS, "mount", repo.path, mnt, "-f", "-o",
                               ",".join(filter(None, [options, "cache=none"]))],
                              stderr=subprocess.PIPE, text=True, env=environment) as process:
            try:
                said = process.stderr.readline()
                if "is mounted at" in said:
                    refused = check(process)
                else:
                    assert process.wait(TIMEOUT) == 1 and not is_mounted(mnt)
                    assert said.count("\n") == 1 and process.stderr.read() == ""
                    refused = True
            finally:
                clean(mnt)
                if process.poll() is None:
                    process.kill()
        if refused:
            refusals += 1
            if when != "after an edit":
                settle(repo.path)
        if control.call:
            seen.add(control.call.decode())
    print(f"{tries - 1} of {number} calls: {sorted(seen)}; refused {refusals} times")
    assert tries > 1


@pytest.mark.parametrize("where, usual", [("tmp", 9), ("cache", 149)], ids=["tmp", "cache"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_write_that_fails_costs_no_byte_and_no_member(folder, fuse, control, library, code, where, usual):
    """To the file for what is held, or to the cache, whose failures cost nothing but time."""
    print("ADDONFS_SEED =", SEED)
    chance = random.Random(SEED)
    repo = Repository(folder / "source", FILES)
    # As large as what is not held in memory.
    repo.write({"server_addon/server/big.bin": chance.randbytes(5 << 18)})
    settle(repo.path)
    mnt, room = folder / "mnt", folder / "room"
    mnt.mkdir()
    repo.commit()
    right = expect(repo)
    right["big.bin"] = (repo.path / "server_addon/server/big.bin").read_bytes()
    control.calls, control.how = WRITES, code
    number, seen, tries, refusals = 0, set(), 0, 0
    environment = {**os.environ, **ENVIRONMENT, "LD_PRELOAD": library, "ADDONFS_FAULTS": str(folder / "control"),
                   "ADDONFS_FAULTS_BELOW": str(room / where), "TMPDIR": str(room / "tmp")}

    def look_at_all():
        refused = look(mnt, right, control)
        try:
            assert (package(mnt) / "big.bin").read_bytes() == right["big.bin"]
        except OSError as failure:
            assert failure.errno == code
            refused["big.bin"] = failure
        return refused

    while number == 0 or control.call:
        number += chance.randint(1, 2 * (STEP or usual) - 1) if number else 1
        tries += 1
        for made in ("tmp", "cache"):
            (room / made).mkdir(parents=True)
            os.chmod(room / made, 0o700)
        control.call, control.path, control.left = b"", b"", number
        with subprocess.Popen([ADDONFS, "mount", repo.path, mnt, "-f", "-o", f"cache={room}/cache"],
                              stderr=subprocess.PIPE, text=True, env=environment) as process:
            try:
                assert "is mounted at" in process.stderr.readline()
                refused = look_at_all()
                until(lambda: look_at_all() == {} and errors(mnt) == [])
                assert run("umount", mnt).returncode == 0
                log = process.communicate(timeout=TIMEOUT)[1]
                # What is lost of the cache is compressed again.
                assert not refused or where == "tmp", (refused, log, control.path)
                if refused:
                    assert f"{room}/tmp: " in log and os.strerror(code) in log, (refused, log)
                    refusals += 1
            finally:
                clean(mnt)
                if process.poll() is None:
                    process.kill()
        # Another mount does not take for right what is in there.
        with mounted(repo.path, mnt, f"cache={room}/cache"):
            assert look_at_all() == {}
        assert os.listdir(room / "tmp") == []
        shutil.rmtree(room)
        if control.call:
            seen.add(control.call.decode())
    print(f"{tries - 1} of {number} calls: {sorted(seen)}; refused {refusals} times")
    assert tries > 1
