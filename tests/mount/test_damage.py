"""Git's files are cut or overwritten in place under a running mount: right bytes or EIO, and nobody dies of it."""

import errno
import hashlib
import os
import threading

import pytest

import oracle
from mounting import daemon_pid, errors, mounted, run
from repository import Repository


def noise(size, seed):
    """What no compression shortens."""
    return hashlib.shake_128(str(seed).encode()).digest(size)


def overwrite(place, data):
    """Other bytes in the same file, as `cp` does it."""
    os.chmod(place, 0o644)
    with open(place, "r+b") as file:
        file.truncate(len(data))
        file.write(data)


# What becomes of a file's bytes. Whole pages go: those behind the end of a file are what no mapping may touch.
DAMAGE = {
    "emptied": lambda good: b"",
    "cut to half": lambda good: good[:len(good) // 2],
    "cut by a few bytes": lambda good: good[:-5],
    "overwritten": lambda good: noise(len(good), 1),
    "overwritten behind its header": lambda good: good[:1100] + noise(len(good) - 1100, 2),
}

FILES = {
    "pack": "objects/pack/pack-*.pack",
    "idx": "objects/pack/pack-*.idx",
    # What is in those is elsewhere as well.
    "multi-pack-index": "objects/pack/multi-pack-index",
    "commit-graph": "objects/info/commit-graph",
}
NEEDED = ("pack", "idx")


def fill(repo):
    """
    Two commits for each kind of damage, and one more, in one pack of many pages and with deltas. Of each two the second
    shares the large files with the first.
    """
    commits = []
    for number in range(2 * len(DAMAGE) + 1):
        repo.write({
            "openpype/lib/tools.py": f"number = {number}\n" * 500,
            "openpype/img/blob.bin": noise(20_000, number // 2),
            "openpype/lib/list.py": "".join(f"x{at} = {at % (number // 2 + 7)}\n" for at in range(3000)),
            f"openpype/new/{number}.py": f"{number}\n",
        })
        commits.append(repo.commit(f"change {number}"))
    repo.git("repack", "-q", "-a", "-d", "-f", "--write-midx")
    repo.git("commit-graph", "write", "--reachable")
    return commits


def add_apart(repo):
    """A commit of which nothing is in the pack of the others."""
    repo.git("checkout", "-q", "--orphan", "apart")
    for name in repo.git("ls-files").decode().split():
        with open(repo.path / name, "ab") as file:
            file.write(b"# apart\n")
    commit = repo.commit("apart")
    repo.git("checkout", "-q", "main")
    return commit


def expected(repo, folder, commits):
    """The clients that clean checkouts have, read before anything is done to the repository."""
    clone = Repository.__new__(Repository)
    clone.path = repo.checkout(folder / "checkout")
    found = {}
    for commit in commits:
        clone.git("checkout", "-q", commit)
        found[commit] = oracle.package_a(clone.path).members
    return found


def all_right(members, find):
    """Have the files of the client that `find` finds the right bytes? False: some say EIO. Other bytes fail the test."""
    failed = 0
    try:
        place = find()
    except OSError as failure:
        assert failure.errno == errno.EIO, failure
        return False
    for name, (content, _) in members.items():
        try:
            assert (place / os.fsdecode(name)).read_bytes() == content, name
        except OSError as failure:
            assert failure.errno == errno.EIO, failure
            failed += 1
    return failed == 0


def client(tree):
    """The client's files as they lie by themselves, for a zip is all or nothing."""
    return lambda: next((tree / "client").iterdir())


@pytest.mark.parametrize("name,version", [*((name, "source") for name in FILES), *((name, "git") for name in NEEDED)])
def test_whatever_becomes_of_a_file_under_a_mount(repo, folder, fuse, name, version):
    commits = fill(repo)
    apart = add_apart(repo)
    rights = expected(repo, folder, [*commits, apart])
    for members in rights.values() if version == "git" else ():
        del members[b"openpype/version.py"]  # written anew for each version
    (place,) = (repo.path / ".git").glob(FILES[name])
    good = place.read_bytes()
    with mounted(repo.path, folder / "mnt", f"rev=main,version={version},cache=none") as mnt:
        def is_right(commit):
            return all_right(rights[commit], client(mnt / "commits" / commit))

        pid = daemon_pid(mnt)
        assert all_right(rights[commits[-1]], client(mnt))
        for at, (how, damage) in enumerate(DAMAGE.items()):
            known, unknown = commits[2 * at:2 * at + 2]
            os.listdir(mnt / "commits" / known / "client")
            overwrite(place, damage(good))
            assert [is_right(known), is_right(unknown)].count(False) in ((1, 2) if name in NEEDED else (0,)), how
            all_right(rights[commits[-1]], client(mnt))
            assert is_right(apart), how
            assert daemon_pid(mnt) == pid
            # Whoever begins now is told what is wrong, and with which file.
            if name in NEEDED:
                result = run("export", repo.path, folder / how, "-o", f"rev={unknown},cache=none")
                assert result.returncode == 1 and b"damaged" in result.stderr, how
            overwrite(place, good)
            assert is_right(known) and is_right(unknown) and all_right(rights[commits[-1]], client(mnt)), how
            assert errors(mnt) == [], how
        assert daemon_pid(mnt) == pid


@pytest.mark.parametrize("name", NEEDED)
def test_a_file_that_is_cut_again_and_again_while_it_is_read(repo, folder, fuse, name):
    commits = fill(repo)
    rights = expected(repo, folder, commits)
    (place,) = (repo.path / ".git").glob(FILES[name])
    good = place.read_bytes()
    os.chmod(place, 0o644)
    ended = threading.Event()

    def cut():
        with open(place, "r+b", buffering=0) as file:
            while not ended.is_set():
                file.truncate(0)
                file.seek(0)
                file.write(good)

    with mounted(repo.path, folder / "mnt", "rev=main,cache=none") as mnt:
        pid = daemon_pid(mnt)
        thread = threading.Thread(target=cut)
        thread.start()
        try:
            for commit in commits:
                all_right(rights[commit], client(mnt / "commits" / commit))
        finally:
            ended.set()
            thread.join()
        assert daemon_pid(mnt) == pid
        for commit in commits:
            assert all_right(rights[commit], client(mnt / "commits" / commit))
