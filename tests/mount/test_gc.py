"""Git moves and throws away objects under a running mount: right bytes or an error, never less."""

import errno
import os
import shutil
import subprocess
import threading

import pytest

import oracle
from mounting import client_zip, mounted, package, status
from repository import ENVIRONMENT, Link

TOOLS = "openpype/lib/tools.py"
MEMBER = os.fsencode(TOOLS)

# What one may do to a repository without changing what it holds.
HOUSEKEEPING = [
    ("gc", "-q", "--prune=now"),
    ("repack", "-a", "-d", "-q"),
    ("pack-refs", "--all", "--prune"),
    ("repack", "-A", "-d", "-q", "--write-midx"),
    ("multi-pack-index", "write"),
    ("gc", "-q", "--aggressive", "--prune=now"),
    ("commit-graph", "write", "--reachable"),
    ("repack", "-d", "-q"),
    ("-c", "pack.indexVersion=1", "repack", "-a", "-d", "-q", "-f"),
    ("prune-packed", "-q"),
]


def change(repo, number):
    """Commit another content of every kind of file, with links and attributes."""
    repo.write({
        TOOLS: f"number = {number}\n" * 200,
        "openpype/start.bat": f"echo {number}\n",
        "openpype/link.py": Link("lib/tools.py"),
        "server_addon/server/__init__.py": f"number = {number}\n",
        f"openpype/new/{number}.py": f"{number}\n",
    })
    return repo.commit(f"change {number}")


def expected(repo, folder, revision="HEAD"):
    """The package that a clean checkout has, read before anything is done to the repository."""
    place = folder / "checkout"
    found = oracle.package_a(repo.checkout(place, revision))
    shutil.rmtree(place)
    return found


def differences(right, mnt):
    return list(oracle.compare(right, package(mnt)))


@pytest.mark.parametrize("cache", ["", ",cache=none"])
def test_housekeeping_changes_nothing(repo, folder, fuse, cache):
    with mounted(repo.path, folder / "mnt", f"rev=main{cache}") as mnt:
        for number, command in enumerate(HOUSEKEEPING * 2):
            head = change(repo, number)
            right = expected(repo, folder)
            if number % 3 == 0:  # known to the mount before it moves
                assert client_zip(mnt).stat().st_size > 1000
            repo.git(*command)
            assert differences(right, mnt) == []
            assert list(oracle.compare(right, package(mnt / "commits" / head))) == []
            assert os.readlink(mnt / "branches/main") == f"../commits/{head}"
            assert status(mnt)["problems"] == []


def test_whoever_reads_meanwhile_reads_one_commit_whole(repo, folder, fuse):
    rights, seen, failures = {}, [], []
    ended = threading.Event()

    def read(place):
        while not ended.is_set():
            try:
                files = oracle.read_zip(place.read_bytes())
                seen.append((files[MEMBER][0], files))
            except Exception as failure:
                failures.append(failure)
                return

    for number in range(3):
        change(repo, number)
    frozen = expected(repo, folder)
    with mounted(repo.path, folder / "mnt", "rev=main,cache=none") as mnt:
        old = mnt / "commits" / repo.git("rev-parse", "HEAD").decode().strip()
        rights[frozen.members[MEMBER][0]] = frozen.members
        threads = [threading.Thread(target=read, args=(client_zip(tree),)) for tree in (mnt, old)]
        for thread in threads:
            thread.start()
        for number, command in enumerate(HOUSEKEEPING * 2, 3):
            # Known before any reader can see it.
            repo.git("checkout", "-q", "-B", "next")
            change(repo, number)
            right = expected(repo, folder)
            rights[right.members[MEMBER][0]] = right.members
            repo.git("branch", "-q", "-f", "main", "next")
            repo.git(*command)
        ended.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(seen) > 4
        assert all(files == rights[key] for key, files in seen)
        assert oracle.read_zip(client_zip(old).read_bytes()) == frozen.members


def forget(repo, *, keep="main"):
    """Everything that only reflogs or other branches hold on to goes."""
    repo.git("reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all")
    repo.git("gc", "-q", "--prune=now")


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_forced_push_of_what_is_being_read(repo, folder, fuse, known):
    gone = change(repo, 1)
    lost = expected(repo, folder)
    with mounted(repo.path, folder / "mnt", "rev=main,cache=none") as mnt:
        old = mnt / "commits" / gone
        handle = open(client_zip(mnt), "rb")
        begin = handle.read(100)
        if known:
            assert differences(lost, old) == []
        repo.git("reset", "-q", "--hard", "HEAD~")
        change(repo, 2)
        right = expected(repo, folder)
        forget(repo)
        assert repo.git("cat-file", "-e", gone, check=False) == b""
        # What is open stays whole, and the branch is where it is.
        assert oracle.read_zip(begin + handle.read()) == lost.members
        handle.close()
        assert differences(right, mnt) == []
        # Whatever is still shown of the old commit is right.
        try:
            data = client_zip(old).read_bytes()
        except OSError as failure:
            assert failure.errno in (errno.EIO, errno.ENOENT)
        else:
            assert oracle.read_zip(data) == lost.members
        try:
            listed = os.listdir(old / "package/openpype")
        except OSError as failure:
            assert failure.errno in (errno.EIO, errno.ENOENT)
        else:
            assert listed == ["3.15.12"]


@pytest.mark.parametrize("read_before", [True, False], ids=["read", "unread"])
@pytest.mark.parametrize("options", ["", ",problems=skip"])
def test_a_pack_that_is_gone_and_comes_back(repo, folder, fuse, options, read_before):
    change(repo, 1)
    repo.git("gc", "-q", "--prune=now")
    # The next commit's files lie in a pack of their own.
    change(repo, 2)
    right = expected(repo, folder)
    repo.git("repack", "-d", "-q")
    packs = sorted((repo.path / ".git/objects/pack").glob("pack-*.pack"), key=lambda p: p.stat().st_size)
    assert len(packs) == 2
    kept = folder / "kept"
    kept.mkdir()
    with mounted(repo.path, folder / "mnt", f"rev=main,cache=none{options}") as mnt:
        if read_before:
            assert differences(right, mnt) == []
        for place in packs[0].parent.glob(packs[0].stem + ".*"):
            shutil.move(place, kept / place.name)
        # In memory, or from a file that is open: right. Otherwise it fails, or says what it lacks.
        for path in [client_zip(mnt), package(mnt) / "__init__.py"]:
            try:
                data = path.read_bytes()
            except OSError as failure:
                assert failure.errno == errno.EIO or (options and failure.errno == errno.ENOENT)
                continue
            if path.name == "__init__.py":
                assert data == right.files[b"__init__.py"][0]
            elif oracle.read_zip(data) != right.members:
                assert options
                members = oracle.read_zip(data)
                missing = set(right.members) - set(members)
                assert members == {n: m for n, m in right.members.items() if n not in missing}
                told = {p["path"] for p in status(mnt)["problems"]}
                assert {os.fsdecode(n) for n in missing} <= told
        for place in kept.iterdir():
            shutil.move(place, packs[0].parent / place.name)
        assert differences(right, mnt) == []
        assert status(mnt)["problems"] == []


@pytest.mark.parametrize("what", ["pack", "idx"])
def test_a_damaged_pack_is_an_error(repo, folder, fuse, what):
    change(repo, 1)
    right = expected(repo, folder)
    repo.git("gc", "-q", "--prune=now")
    (place,) = (repo.path / ".git/objects/pack").glob(f"*.{what}")
    good = place.read_bytes()
    os.chmod(place, 0o644)
    for at in range(len(good) // 20, len(good), len(good) // 12):
        with open(place, "r+b") as file:
            file.seek(at)
            file.write(bytes([good[at] ^ 0x40]))
        result = subprocess.run(
            [fuse, "export", repo.path, folder / "out", "-o", "rev=main,cache=none"],
            capture_output=True, env={**os.environ, **ENVIRONMENT})
        if result.returncode == 0:  # nothing that is needed
            assert list(oracle.compare(right, folder / "out/openpype/3.15.12")) == []
            shutil.rmtree(folder / "out")
        else:
            assert result.returncode == 1 and result.stderr.startswith(b"addonfs: ")
            assert not (folder / "out").exists()
        with open(place, "r+b") as file:
            file.write(good)


def copy_objects(repo, folder, pack, form):
    """The objects of a pack once more, loose or in a pack of another name."""
    other = folder / "other"
    subprocess.run(["git", "init", "-q", "--bare", other], check=True)
    if form == "loose":
        with open(pack, "rb") as file:
            subprocess.run(["git", "-C", other, "unpack-objects", "-q"], stdin=file, check=True, capture_output=True)
    else:
        names = repo.git("rev-list", "--objects", "--no-object-names", "--all").split()
        assert len(names) > 10
        # One object less makes it another pack: the newest commit, which is copied loose.
        repo.git("pack-objects", "-q", other / "objects/pack/pack", data=b"\n".join(names[1:]) + b"\n")
        commit = subprocess.run(["git", "-C", other, "hash-object", "-w", "-t", "commit", "--stdin"], check=True,
                                input=repo.git("cat-file", "commit", names[0]), capture_output=True).stdout
        assert commit.strip() == names[0]
    shutil.copytree(other / "objects", repo.path / ".git/objects", dirs_exist_ok=True)


@pytest.mark.parametrize("form", ["loose", "packed"])
def test_what_is_damaged_in_one_place_is_read_from_another(repo, folder, fuse, form):
    change(repo, 1)
    right = expected(repo, folder)
    repo.git("gc", "-q", "--prune=now")
    (pack,) = (repo.path / ".git/objects/pack").glob("*.pack")
    copy_objects(repo, folder, pack, form)
    good = pack.read_bytes()
    os.chmod(pack, 0o644)
    for at in range(len(good) // 20, len(good), len(good) // 12):
        pack.write_bytes(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1:])
        subprocess.run([fuse, "export", repo.path, folder / "out", "-o", "rev=main,cache=none"],
                       check=True, capture_output=True, env={**os.environ, **ENVIRONMENT})
        assert list(oracle.compare(right, folder / "out/openpype/3.15.12")) == []
        shutil.rmtree(folder / "out")
