"""Git's files are cut or overwritten in place under a running mount: right bytes or EIO, and nobody dies of it."""

import contextlib
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


# While it is cut and made whole, what is read may be neither.
UNSURE = (errno.EIO, errno.EAGAIN)


@contextlib.contextmanager
def cut_again_and_again(place, good):
    ended = threading.Event()

    def cut():
        with open(place, "r+b", buffering=0) as file:
            while not ended.is_set():
                file.truncate(0)
                file.seek(0)
                file.write(good)

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def all_right(members, find, refusals=(errno.EIO,)):
    """Have the files of the client that `find` finds the right bytes? False: some say EIO. Other bytes fail the test."""
    failed = 0
    try:
        place = find()
    except OSError as failure:
        assert failure.errno in refusals, failure
        return False
    for name, (content, _) in members.items():
        try:
            assert (place / os.fsdecode(name)).read_bytes() == content, name
        except OSError as failure:
            assert failure.errno in refusals, failure
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


def test_an_object_whose_id_is_damaged_in_an_index_is_not_missing(repo, folder, fuse):
    """A bit of an id makes another id of it, between the same two: the object that was meant seems not to be there."""
    repo.git("gc", "-q", "--prune=now")
    (commit,) = repo.git("rev-parse", "HEAD").decode().split()
    rights = expected(repo, folder, [commit])
    (place,) = (repo.path / ".git").glob(FILES["idx"])
    good = place.read_bytes()
    last = good.index(bytes.fromhex(repo.git("rev-parse", "HEAD:openpype/lib/tools.py").decode())) + 19
    overwrite(place, good[:last] + bytes([good[last] ^ 1]) + good[last + 1:])
    with mounted(repo.path, folder / "mnt", "rev=main,cache=none") as mnt:
        assert not all_right(rights[commit], client(mnt))
        result = run("export", repo.path, folder / "out", "-o", "rev=main,cache=none")
        assert result.returncode == 1 and b"damaged" in result.stderr and b"missing" not in result.stderr
        overwrite(place, good)
        assert all_right(rights[commit], client(mnt))
        assert errors(mnt) == []


@pytest.mark.parametrize("name", NEEDED)
def test_a_file_that_is_cut_again_and_again_while_it_is_read(repo, folder, fuse, name):
    commits = fill(repo)
    rights = expected(repo, folder, commits)
    (place,) = (repo.path / ".git").glob(FILES[name])
    good = place.read_bytes()
    os.chmod(place, 0o644)
    with mounted(repo.path, folder / "mnt", "rev=main,cache=none") as mnt:
        pid = daemon_pid(mnt)
        with cut_again_and_again(place, good):
            for commit in commits:
                all_right(rights[commit], client(mnt / "commits" / commit), UNSURE)
        assert daemon_pid(mnt) == pid
        for commit in commits:
            assert all_right(rights[commit], client(mnt / "commits" / commit))


@pytest.mark.parametrize("sorted_", [True, False], ids=["sorted", "unsorted"])
def test_packed_refs_that_are_cut_give_right_answers_or_none(repo, folder, fuse, sorted_):
    commits = [repo.commit(f"change {number}") for number in range(3)]
    place = repo.path / ".git/packed-refs"
    for number, name in enumerate(["a", "a-b", "a.b", "ab/c", "abc", "z/y/x", *(f"t{at}" for at in range(100))]):
        kind = ["-a", "-m", "annotated"] if number % 20 == 0 else []
        if kind or number < 6:
            repo.git("tag", *kind, name, commits[number % 3])
        else:
            (repo.path / ".git/refs/tags" / name).write_text(commits[number % 3] + "\n")
    repo.git("pack-refs", "--all")
    if not sorted_:
        header, *lines = place.read_text().splitlines(keepends=True)
        assert " sorted" in header
        blocks = "".join(lines).replace("\n^", " ^").splitlines()
        place.write_text(header.replace(" sorted", "") + "".join(f"{b}\n".replace(" ^", "\n^") for b in reversed(blocks)))
    told = repo.git("for-each-ref", "--format=%(refname) %(objectname) %(*objectname)").decode().splitlines()
    right = {words[0]: words[-1] for words in map(str.split, told)}
    assert len(right) == 107
    good = place.read_bytes()

    def found(mnt, refusals):
        """Which of the refs lead to their commits."""
        right_ones = set()
        for name, commit in right.items():
            path = name.removeprefix("refs/").replace("heads/", "branches/", 1)
            try:
                assert os.readlink(mnt / path).rpartition("/")[2] == commit, name
                right_ones.add(name)
            except OSError as failure:
                assert failure.errno in refusals, (name, failure)
        return right_ones

    with mounted(repo.path, folder / "mnt", "rev=main,cache=none") as mnt:
        pid = daemon_pid(mnt)
        assert found(mnt, ()) == set(right)
        for how, damage in DAMAGE.items():
            overwrite(place, damage(good))
            # Nothing in it says that a ref has been there.
            assert found(mnt, (errno.EIO, errno.ENOENT)) != set(right) or how == "cut by a few bytes", how
            assert daemon_pid(mnt) == pid
            overwrite(place, good)
            assert found(mnt, ()) == set(right), how
        with cut_again_and_again(place, good):
            found(mnt, (*UNSURE, errno.ENOENT, errno.ESTALE))  # ESTALE: gone between lookup and readlink
        assert daemon_pid(mnt) == pid
        assert found(mnt, ()) == set(right)
