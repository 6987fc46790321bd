"""The folder that was given is where root mounts and unmounts, whatever its path leads to later."""

import contextlib
import fcntl
import os
import signal
import subprocess

import pytest

from mounting import (ADDONFS, TIMEOUT, await_end, await_waiter, clean, daemon_pid, is_mounted, mounts,
                      package, run)
from users import own

pytestmark = pytest.mark.usefixtures("root_user", "fuse")


class Stage:
    """A folder `home` of the repository's owner with the mount point, and a victim elsewhere."""

    def __init__(self, repo, folder, other):
        self.source = repo.path
        self.folder = folder
        self.home = folder / "home"
        self.place = self.home / "mnt"
        self.victim = folder / "victim"
        self.cache = self.home / "cache"
        self.place.mkdir(parents=True)
        (self.victim / "mnt").mkdir(parents=True)
        self.cache.mkdir(mode=0o700)
        # A daemon that finds a damaged cache waits for the lock that we hold.
        (self.cache / "members.sqlite").write_bytes(b"damaged" * 1000)
        (self.cache / "lock").touch()
        if other:
            own(repo.path)
            own(self.home)

    @contextlib.contextmanager
    def starting(self, *options):
        """A mount that is past its checks and waits, until the block ends."""
        with open(self.cache / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            command = subprocess.Popen(
                [ADDONFS, "mount", self.source, self.place, *options, "-o", f"cache={self.cache}"],
                stderr=subprocess.PIPE, text=True)
            await_waiter(self.cache / "lock")
            yield command

    def swap_folder(self):
        os.rename(self.place, self.home / "old")
        self.place.symlink_to(self.victim)
        return self.home / "old"

    def swap_parent(self):
        os.rename(self.home, self.folder / "moved")
        self.home.symlink_to(self.victim)
        return self.folder / "moved/mnt"


@pytest.fixture(params=[False, True], ids=["own", "other"])
def stage(repo, folder, request):
    yield Stage(repo, folder, request.param)
    for path in mounts(folder):
        clean(path)


@pytest.mark.parametrize("swap", [Stage.swap_folder, Stage.swap_parent])
def test_what_is_swapped_while_it_starts_is_not_mounted_on(stage, swap):
    with stage.starting() as command:
        swap(stage)
    text = command.communicate(timeout=TIMEOUT)[1]
    assert command.returncode == 1
    assert text.startswith(f"addonfs: {stage.place}: was moved") and text.count("\n") == 1, text
    assert mounts(stage.folder) == []


@pytest.mark.parametrize("swap", [Stage.swap_folder, Stage.swap_parent])
def test_the_folder_itself_is_mounted_on_wherever_it_is(stage, swap):
    with stage.starting("-f") as command:
        there = swap(stage)
    while "is mounted at" not in command.stderr.readline():
        assert command.poll() is None
    assert mounts(stage.folder) == [str(there)]
    assert (package(there) / "version.py").read_text()
    command.send_signal(signal.SIGTERM)
    assert command.wait(TIMEOUT) == 0
    assert mounts(stage.folder) == []


@pytest.mark.parametrize("end", ["signal", "umount"])
def test_a_mount_whose_folder_is_moved_ends_where_it_is(stage, end):
    assert run("mount", stage.source, stage.place).returncode == 0
    pidfd = os.pidfd_open(daemon_pid(stage.place))
    there = stage.swap_parent()
    assert is_mounted(there)
    if end == "signal":
        os.kill(daemon_pid(there), signal.SIGTERM)
    else:
        result = run("umount", stage.place)
        assert result.returncode == 1 and b"not mounted" in result.stderr
        assert run("umount", there).returncode == 0
    await_end(pidfd)
    assert mounts(stage.folder) == []


def test_a_source_of_any_length_is_mounted(folder, repo):
    deep = folder.joinpath(*["a" * 100] * 4)
    deep.mkdir(parents=True)
    os.rename(repo.path, deep / "source")
    (folder / "mnt").mkdir()
    assert run("mount", deep / "source", folder / "mnt").returncode == 0
    assert (package(folder / "mnt") / "version.py").read_text()
    assert run("umount", folder / "mnt").returncode == 0
