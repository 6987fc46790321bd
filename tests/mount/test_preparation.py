"""Work begins when the mount is up, and nobody waits for what he does not need."""

import concurrent.futures
import os
import subprocess
from pathlib import Path

import pytest

import oracle
from mounting import (TIMEOUT, client_zip, digest, is_mounted, mounted, package, run, settle, status,
                      until)
from test_cache import members
from users import own
from watching import HeldUp

SLOW = "openpype/slow.bin"


def contents(repo):
    """How many different members its zips have: the client's, and beside that the upload's."""
    package = oracle.package_a(repo.path)
    members = {**package.members, **package.upload()}
    return len({data for data, _ in members.values() if data is not None})


@pytest.mark.parametrize("options", ["", ",rev=HEAD", ",level=12"])
def test_all_is_compressed_although_nobody_asks(repo, folder, fuse, options):
    repo.write({f"openpype/many/f{number}.py": f"# {number}\n" * 20 for number in range(100)})
    repo.commit()
    # Not one name in it is looked up: what fills the cache is nobody's request.
    with mounted(repo.path, folder / "mnt", f"cache={folder}/cache{options}"):
        until(lambda: len(members(folder / "cache")) == contents(repo))


class Waiters:
    """Processes that ask for the attributes of a file, each of them in its request by now."""

    def __init__(self, path, count):
        self.processes = [subprocess.Popen(["stat", "--format=%s", path], stdout=subprocess.PIPE, text=True)
                          for _ in range(count)]
        until(lambda: all(self.waits(process) for process in self.processes))

    @staticmethod
    def waits(process):
        assert process.poll() is None, "it did not have to wait"
        # It sleeps in a call that takes a path: openat, newfstatat or statx (x86-64, arm64).
        return Path(f"/proc/{process.pid}/syscall").read_text().split()[0] in (
            "257", "262", "332", "56", "79", "291")

    def wait_still(self):
        """None has come to an end; one that asks again is on its way for a moment."""
        until(lambda: all(self.waits(process) for process in self.processes))
        return True

    def results(self):
        return {int(process.communicate(timeout=120)[0]) for process in self.processes}


@pytest.fixture
def slow(repo, root_user):
    """A member whose bytes take as long as the test likes; its stamp is trusted, so no look reads it."""
    repo.write({SLOW: os.urandom(5000)})
    settle(repo.path)
    with HeldUp(repo.path / SLOW) as held:
        yield held


def without_waiting(held, act):
    """Do what must not wait for the file that is held up; if it does, that is a failure, not the end."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        done = thread.submit(act)
        try:
            return done.result(TIMEOUT)
        except concurrent.futures.TimeoutError:
            pytest.fail("it has to wait for what it does not need")
        finally:
            if not done.done():
                held.let_go()


@pytest.mark.parametrize("waiting", [0, 1, 40])
def test_what_needs_no_compression_does_not_wait_for_it(repo, folder, fuse, slow, waiting):
    server = repo.path / "server_addon/server"

    def look(mnt, number):
        """Everything but the zip is there, and its edits are seen at once."""
        (server / "__init__.py").write_text(f"# {number}\n")
        (server / f"new{number}.py").write_text("x\n")
        assert (package(mnt) / "__init__.py").read_text() == f"# {number}\n"
        assert f"new{number}.py" in os.listdir(package(mnt))
        assert (package(mnt) / "version.py").read_text()
        assert os.readlink(mnt / "HEAD")
        # libfuse before 3.17 cannot tell the kernel that names of one folder may be asked for side by
        # side (libfuse #861): there the kernel waits for whoever has asked for the zip.
        if not waiting:
            assert os.listdir(client_zip(mnt).parent) == ["client.zip", "pyproject.toml"]
            assert (client_zip(mnt).parent / "pyproject.toml").read_text()

    with mounted(repo.path, folder / "mnt") as mnt:
        slow.await_reader()
        waiters = Waiters(client_zip(mnt), waiting)
        without_waiting(slow, lambda: [look(mnt, number) for number in range(30)])
        assert waiters.wait_still()
        slow.let_go()
        assert len(waiters.results()) == (waiting > 0)
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []


def test_a_zip_waits_for_its_own_members_alone(repo, folder, fuse, slow):
    with mounted(repo.path, folder / "mnt", "cache=none") as mnt:
        slow.await_reader()
        waiters = Waiters(client_zip(mnt), 3)
        # The commit's zip has no such member.
        frozen = os.path.realpath(mnt / "HEAD")
        assert without_waiting(slow, client_zip(frozen).read_bytes)
        assert waiters.wait_still()
        slow.let_go()
        assert len(waiters.results()) == 1


def test_a_look_at_what_has_changed_does_not_wait_for_the_zip_that_was(repo, folder, fuse, slow):
    def look(mnt, number):
        (repo.path / "openpype/lib/tools.py").write_text(f"# {number}\n")
        assert os.listdir(package(mnt)) and os.stat(client_zip(mnt).parent)

    with mounted(repo.path, folder / "mnt") as mnt:
        slow.await_reader()
        waiters = Waiters(client_zip(mnt), 3)
        without_waiting(slow, lambda: [look(mnt, number) for number in range(10)])
        assert waiters.wait_still()
        slow.let_go()
        assert waiters.results()
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []


def test_a_later_state_does_not_wait_for_an_earlier_one(repo, folder, fuse, slow):
    with mounted(repo.path, folder / "mnt", "cache=none") as mnt:
        slow.await_reader()
        # The state that is being composed has the file; the next one has not.
        os.unlink(repo.path / SLOW)
        data = without_waiting(slow, client_zip(mnt).read_bytes)
        assert SLOW.encode() not in oracle.read_zip(data)
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []
        assert slow.waiting
        slow.let_go()


def test_the_zip_of_whoever_came_first_is_that_of_whoever_came_last(repo, folder, fuse, slow):
    with mounted(repo.path, folder / "mnt") as mnt:
        slow.await_reader()
        readers = [subprocess.Popen(["sha256sum", client_zip(mnt)], stdout=subprocess.PIPE, text=True)
                   for _ in range(6)]
        until(lambda: all(Waiters.waits(reader) for reader in readers))
        slow.let_go()
        found = {reader.communicate(timeout=120)[0].split()[0] for reader in readers}
        assert found == {digest(client_zip(mnt))}
        # One composition for all of them.
        assert status(mnt)["compressed"] == contents(repo)


@pytest.mark.parametrize("arguments", [[], ["-f"]], ids=["background", "foreground"])
@pytest.mark.parametrize("other", [False, True], ids=["root's", "another user's"])
def test_a_mount_that_fails_says_so_although_a_file_hangs(repo, folder, fuse, root_user, arguments, other):
    """What the first look has begun to read ahead: here all that it can begin with."""
    many = [f"openpype/many/f{number}.py" for number in range(500)]
    repo.write({name: "x\n" * 2500 for name in many})
    place = repo.path / "openpype"
    if other:
        own(repo.path)
    settle(repo.path)
    with HeldUp(*(repo.path / name for name in many)) as held:
        result = without_waiting(held, lambda: run("mount", repo.path, place, *arguments, timeout=None))
    assert result.returncode == 1 and not is_mounted(place)
    assert result.stderr.decode().startswith("addonfs: ") and result.stderr.count(b"\n") == 1
    assert "choose another folder" in result.stderr.decode()
