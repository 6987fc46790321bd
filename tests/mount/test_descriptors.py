"""Failures of the moment: a daemon that can open no file says so, and leaves nothing out."""

import errno
import os
import resource
import shutil

import pytest

import oracle
from mounting import client_zip, mounted, package, run, status
from repository import Link


def change(repo, number):
    """Commit another content of some files, with a link and attributes."""
    repo.write({
        "openpype/lib/tools.py": f"number = {number}\n" * 200,
        "openpype/start.bat": f"echo {number}\n",
        "openpype/link.py": Link("lib/tools.py"),
        f"openpype/new/{number}.py": f"{number}\n",
    })
    repo.commit(f"change {number}")


def expected(repo, folder, revision="HEAD"):
    """The package that a clean checkout has, read before anything is done to the repository."""
    place = folder / "checkout"
    found = oracle.package_a(repo.checkout(place, revision))
    shutil.rmtree(place)
    return found


def descriptors(pid):
    return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}


def leave(pid, count):
    """Let the process open `count` files more than it has."""
    taken, limit = descriptors(pid), 0
    while count > 0 or limit in taken:
        count -= limit not in taken
        limit += 1
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))


def lift(pid):
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(hard, 4096), hard))


# What the daemon has done by then: nothing but mounting, over loose objects or a pack; seen a commit,
# or also looked at it.
@pytest.mark.parametrize("state", ["loose", "packed", "committed", "looked"])
@pytest.mark.parametrize("options", ["rev=main", "rev=main,problems=skip", "problems=skip"])
def test_without_descriptors_a_zip_fails_and_is_never_short(repo, folder, fuse, options, state):
    def find_right():
        return expected(repo, folder) if "rev=" in options else oracle.package_a(repo.path)

    change(repo, 1)
    right = find_right()
    if state == "packed":
        repo.git("gc", "-q", "--prune=now")
    failed = 0
    for count in (0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 40):
        with mounted(repo.path, folder / f"mnt{count}", f"{options},cache=none") as mnt:
            pid = int(os.getxattr(mnt, "user.addonfs.pid"))
            if state in ("committed", "looked"):
                assert status(mnt)["problems"] == []
                change(repo, 100 + count)
                right = find_right()
            if state == "looked":
                # So that the look can find the commit, as it does not open files for that.
                repo.git("pack-refs", "--all")
                os.listdir(package(mnt))
            leave(pid, count)
            for _ in range(2):
                try:
                    data = client_zip(mnt).read_bytes()
                except OSError as failure:
                    failed += 1
                    assert failure.errno not in (errno.ENOENT, errno.ENOTDIR), failure
                else:
                    assert oracle.read_zip(data) == right.members
                try:
                    names = os.listdir(package(mnt))
                except OSError as failure:
                    assert failure.errno != errno.ENOENT, failure
                else:
                    assert sorted(map(os.fsencode, names)) == sorted(
                        {name.split(b"/")[0] for name in right.files} | {b"private"})
            lift(pid)
            assert list(oracle.compare(right, package(mnt))) == []
            assert status(mnt)["problems"] == []
    assert failed > 0 or state == "packed"  # then everything is open or in memory


def test_without_descriptors_no_branch_is_missing(repo, folder, fuse):
    head = repo.git("rev-parse", "HEAD").decode().strip()
    for number in range(4):
        repo.git("branch", f"loose/{number}")
        repo.git("tag", f"loose-{number}")
    repo.git("pack-refs", "--all")
    for number in range(4):
        repo.git("branch", f"other/{number}")
    names = {"main", "loose", "other"}
    failed = 0
    for count in range(12):
        with mounted(repo.path, folder / f"mnt{count}") as mnt:
            pid = int(os.getxattr(mnt, "user.addonfs.pid"))
            leave(pid, count)
            for path, right in [(mnt / "branches", names),
                                (mnt / "branches/loose", set("0123")),
                                (mnt / "branches/other", set("0123")),
                                (mnt / "tags", {f"loose-{n}" for n in range(4)})]:
                try:
                    found = set(os.listdir(path))
                except OSError as failure:
                    failed += 1
                    assert failure.errno != errno.ENOENT, (path, failure)
                else:
                    assert found == right
            lift(pid)
            assert set(os.listdir(mnt / "branches")) == names
            assert os.readlink(mnt / "branches/loose/3") == f"../../commits/{head}"
    assert failed > 0


def test_what_a_shell_allows_is_no_limit(repo, folder, program):
    """Each pack takes a descriptor, and the host allows more than the shell's limit."""
    for number in range(48):
        change(repo, number)
        repo.git("repack", "-dq")
    assert len(list((repo.path / ".git/objects/pack").glob("*.pack"))) == 48
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    result = run("export", repo.path, folder / "out", "-o", "rev=HEAD,cache=none",
                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, hard)))
    assert result.returncode == 0, result.stderr
    assert list(oracle.compare(expected(repo, folder), folder / "out/openpype/3.15.12")) == []
