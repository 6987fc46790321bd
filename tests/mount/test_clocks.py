"""Clocks that are set while a mount is there: every edit is seen at once, with the right bytes and times."""

import contextlib
import ctypes
import mmap
import os
import subprocess

import pytest

import oracle
from mounting import ADDONFS, TIMEOUT, client_zip, mounted, package, run, settle, status
from repository import ENVIRONMENT

YEAR = 365 * 24 * 3600
JUMPS = {"a year forward": YEAR, "ten years back": -10 * YEAR, "a second back": -1}
FIRST = 1_688_212_800  # when all commits of repository.py were made
TOOLS = "openpype/lib/tools.py"
SERVER = "server_addon/server/settings/main.py"

pytestmark = pytest.mark.skipif(os.environ.get("SANITIZE", "") not in ("", "coverage"),
                                reason="a sanitizer must be loaded before anything else")


class Clock:
    """The daemon's: so many seconds ahead of ours."""

    def __init__(self, path):
        path.write_bytes(bytes(8))
        self.environment = {
            **os.environ, **ENVIRONMENT, "ADDONFS_CLOCK": str(path),
            "LD_PRELOAD": os.path.join(os.environ["ADDONFS_BUILD"], "tests/clock.so")}
        assert os.path.exists(self.environment["LD_PRELOAD"]), "make builds it"
        with open(path, "r+b") as file:
            self._ahead = ctypes.c_int64.from_buffer(mmap.mmap(file.fileno(), 0))

    def set(self, seconds):
        self._ahead.value = seconds


@pytest.fixture
def clock(folder, program):
    return Clock(folder / "clock")


class Edits:
    """One after the other, each with a length and a second of its own, so that no clock is needed to tell them."""

    def __init__(self, repo, revision):
        self.repo, self.revision = repo, revision
        self.number = 0
        self.second = FIRST
        self.zip, self.checked = 0, 0  # what its time was, and after which edit
        self.times = {}  # path in the source -> what `stat` must say of it

    def make(self):
        self.number += 1
        self.second += 60
        paths = [TOOLS, SERVER, f"openpype/new{self.number}.py", f"server_addon/server/new{self.number}.py"]
        for path in paths:
            self.repo.write({path: "x" * self.number})
            os.utime(self.repo.path / path, (self.second, self.second))
            self.times[path] = self.second
        if self.revision:
            date = f"@{self.second} +0000"
            subprocess.run(
                ["sh", "-ec", 'cd "$1"; git add -A; git commit -qm edit', "sh", self.repo.path], check=True,
                env={**os.environ, **ENVIRONMENT, "GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date})

    def check(self, mnt):
        """Everything: names and bytes as on the disk, times as they were made."""
        assert list(oracle.compare(oracle.package_a(self.repo.path), package(mnt))) == []
        for path, second in self.times.items():
            if path.startswith("openpype/"):
                shown = mnt / "client/openpype_3.15.12" / path
            else:
                shown = package(mnt) / path.removeprefix("server_addon/server/")
            assert int(shown.stat().st_mtime) == second, path
        shown = int(client_zip(mnt).stat().st_mtime)
        # Edits within a second are told by a second each.
        assert self.newest() <= shown <= self.newest() + self.number
        assert shown > self.zip or self.number == self.checked
        self.zip, self.checked = shown, self.number

    def newest(self):
        """When the last change in client.zip was made, folders of a worktree included."""
        if self.revision:
            return self.second
        folder = self.repo.path / "openpype"
        return int(max(os.lstat(os.path.join(base, name)).st_mtime
                       for base, _, files in os.walk(folder) for name in [".", *files]))


@pytest.fixture
def edits(repo, options):
    repo.write({"openpype/start.bat": b"@echo off\r\n"})
    repo.commit()
    for base, _, files in os.walk(repo.path):
        for name in files:
            os.utime(os.path.join(base, name), (FIRST, FIRST))
    return Edits(repo, "rev=" in options)


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("options", ["", "watch=poll", "rev=main"])
def test_an_edit_is_seen_whatever_the_clock_says(repo, folder, fuse, clock, edits, options, jump):
    with mounted(repo.path, folder / "mnt", options, env=clock.environment) as mnt:
        edits.check(mnt)
        for ahead in (0, JUMPS[jump], 0, JUMPS[jump]):
            clock.set(ahead)
            edits.check(mnt)
            for _ in range(2):
                before = int(os.stat(mnt / "package/openpype").st_mtime)
                edits.make()
                edits.check(mnt)
                # A folder's time never goes back.
                assert int(os.stat(mnt / "package/openpype").st_mtime) >= before
                # That of one in which a name has moved is the daemon's own, which is ahead indeed.
                made = os.stat(repo.path / f"server_addon/server/new{edits.number}.py").st_ctime
                assert package(mnt).stat().st_mtime > made + ahead - 1


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("options", ["", "rev=main"])
def test_what_was_compressed_is_used_whatever_the_clock_says(repo, folder, fuse, clock, edits, options, jump):
    more = ",".join(filter(None, [options, f"cache={folder}/cache"]))
    settle(repo.path)
    for ahead in (0, JUMPS[jump], 0):
        clock.set(ahead)
        with mounted(repo.path, folder / "mnt", more, env=clock.environment) as mnt:
            edits.check(mnt)
            first = status(mnt)["compressed"]
            assert (first > 0) == (edits.number == 0)
            edits.make()
            edits.check(mnt)
            # All its files hold the same.
            assert status(mnt)["compressed"] == first + 1


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("options", ["", "watch=poll"])
def test_who_waits_is_woken_whatever_the_clock_says(repo, folder, fuse, clock, edits, options, jump):
    with mounted(repo.path, folder / "mnt", options, env=clock.environment) as mnt:
        since = (mnt / ".addonfs/generation").read_text().strip()
        with contextlib.ExitStack() as stack:
            waiter = subprocess.Popen([ADDONFS, "wait", mnt, "--since", since], env=clock.environment,
                                      stdout=subprocess.PIPE, text=True)
            stack.callback(waiter.kill)
            clock.set(JUMPS[jump])
            edits.make()
            assert waiter.communicate(timeout=TIMEOUT)[0].strip() != since
            assert waiter.returncode == 0
        edits.check(mnt)
        # Nobody is woken by the clock alone: this is the end of the time.
        assert run("wait", mnt, "--timeout", "0", env=clock.environment).returncode == 1
