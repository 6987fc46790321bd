"""Edit, then look: the look shows the edit. Open handles keep what they opened."""

import errno
import mmap
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import oracle
from mounting import client_zip, mounted, package, settle, status
from repository import Link, Repository


def members(mnt, version="3.15.12"):
    return oracle.read_zip(client_zip(mnt, version).read_bytes())


def same(mnt, repo, version="3.15.12"):
    expected = oracle.package_a(repo.path)
    assert list(oracle.compare(expected, package(mnt, version))) == []


CHANGES = {
    "an edit in place": lambda p: (p / "openpype/lib/tools.py").write_text("edited"),
    "an edit of a server file": lambda p: (p / "server_addon/server/__init__.py").write_text("e"),
    "a file renamed over another": lambda p: os.rename(p / "openpype/start.bat",
                                                       p / "openpype/lib/tools.py"),
    "a deleted file": lambda p: (p / "openpype/lib/tools.py").unlink(),
    "a deleted server file": lambda p: (p / "server_addon/server/.dot").unlink(),
    "a new file": lambda p: (p / "openpype/lib/new.py").write_text("new"),
    "a new folder": lambda p: shutil.copytree(p / "openpype/lib", p / "openpype/copy"),
    "a deleted folder": lambda p: shutil.rmtree(p / "openpype/lib"),
    "a renamed folder": lambda p: (p / "openpype/lib").rename(p / "openpype/renamed"),
    "an exec bit": lambda p: os.chmod(p / "openpype/lib/tools.py", 0o755),
    "an exec bit of a server file": lambda p: os.chmod(p / "server_addon/server/__init__.py", 0o755),
    "a file that becomes a link": lambda p: [(p / "openpype/lib/tools.py").unlink(),
                                             (p / "openpype/lib/tools.py").symlink_to("run.sh")],
    "a folder that becomes a link": lambda p: [(p / "openpype/lib").rename(p / "openpype/real"),
                                               (p / "openpype/lib").symlink_to("real")],
    "a folder that becomes a file": lambda p: [shutil.rmtree(p / "openpype/lib"),
                                               (p / "openpype/lib").write_text("file")],
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.replace(" ", "-"))
def test_the_next_look_shows(mount, repo, change):
    same(mount, repo)
    CHANGES[change](repo.path)
    same(mount, repo)


def test_an_edit_through_a_link_is_seen(repo, folder, fuse):
    repo.write({"shared/a.py": "1", "openpype/a.py": Link("../shared/a.py"),
                "openpype/shared": Link("../shared")})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert members(mnt)[b"openpype/a.py"][0] == b"1"
        (repo.path / "shared/a.py").write_text("2")
        assert members(mnt)[b"openpype/a.py"][0] == b"2"
        (repo.path / "shared/b.py").write_text("3")
        assert members(mnt)[b"openpype/shared/b.py"][0] == b"3"
        (repo.path / "openpype/a.py").unlink()
        (repo.path / "openpype/a.py").symlink_to("version.py")
        same(mnt, repo)


def test_edits_of_the_same_size_are_all_seen(mount, repo):
    server = repo.path / "server_addon/server/__init__.py"
    client = repo.path / "openpype/lib/tools.py"
    for number in range(200):
        server.write_text(f"{number:08}")
        assert (package(mount) / "__init__.py").read_text() == f"{number:08}"
        if number % 20 == 0:
            client.write_text(f"{number:08}")
            assert members(mount)[b"openpype/lib/tools.py"][0] == f"{number:08}".encode()


def test_edits_of_the_same_size_and_time_are_all_seen(mount, repo):
    server = repo.path / "server_addon/server/__init__.py"
    for number in range(50):
        with open(server, "r+") as file:
            file.write(f"{number:05}")
        os.utime(server, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
        assert (package(mount) / "__init__.py").read_text().startswith(f"{number:05}")


def test_a_name_comes_and_goes_at_once(mount, repo):
    for number in range(50):
        path = repo.path / "server_addon/server" / f"new{number}"
        with pytest.raises(FileNotFoundError):
            os.stat(package(mount) / path.name)
        path.write_text("x")
        assert os.stat(package(mount) / path.name).st_size == 1
        assert path.name in os.listdir(package(mount))
        path.unlink()
        with pytest.raises(FileNotFoundError):
            os.stat(package(mount) / path.name)


def test_open_handles_keep_what_they_opened(mount, repo):
    source = repo.path / "server_addon/server/__init__.py"
    big = repo.path / "server_addon/server/big.bin"
    big.write_bytes(os.urandom(5_000_000))
    plain = open(package(mount) / "__init__.py", "rb", buffering=0)
    large = open(package(mount) / "big.bin", "rb", buffering=0)
    archive = open(client_zip(mount), "rb", buffering=0)
    was = source.read_bytes(), big.read_bytes()
    size = os.fstat(archive.fileno()).st_size
    expected = oracle.package_a(repo.path).members
    source.write_text("other")
    big.write_bytes(b"small")
    shutil.rmtree(repo.path / "openpype/lib")
    (repo.path / "openpype/version.py").write_text("__version__ = '4.0'\n")
    with plain, large, archive:
        assert plain.read() == was[0]
        assert large.read() == was[1]
        data = archive.read()
        assert len(data) == size and oracle.read_zip(data) == expected
        assert os.fstat(plain.fileno()).st_size == len(was[0])
    assert (package(mount, "4.0") / "__init__.py").read_text() == "other"


def test_a_new_version_renames_the_folder(mount, repo):
    old = os.open(package(mount), os.O_RDONLY)
    below = open(package(mount) / "version.py")
    (repo.path / "openpype/version.py").write_text('__version__ = "3.16.0"\n')
    assert os.listdir(package(mount).parent) == ["3.16.0"]
    with pytest.raises(FileNotFoundError):
        os.stat(package(mount))
    same(mount, repo, "3.16.0")
    assert "3.15.12" in below.read()
    below.close()
    # Whoever still stands in it must not take it for an empty folder.
    with pytest.raises(OSError) as stale:
        os.listdir(old)
    assert stale.value.errno == errno.ESTALE
    os.close(old)


@pytest.mark.parametrize("text", ["", "__version__ = ", "__version__ = '3.15", "__version__ = f()",
                                  "__version__ = '../../etc'", "x = 1", None])
def test_a_version_that_cannot_be_read_is_an_error_and_heals(mount, repo, text):
    same(mount, repo)
    standing = os.open(package(mount), os.O_RDONLY)
    version = repo.path / "openpype/version.py"
    good = version.read_text()
    version.unlink()
    if text is not None:
        version.write_text(text)
    for path in (package(mount).parent, package(mount)):
        with pytest.raises(OSError) as failure:
            os.listdir(path)
        assert failure.value.errno == errno.EIO
    with pytest.raises(OSError) as failure:
        os.stat(package(mount) / "version.py")
    assert failure.value.errno == errno.EIO
    assert status(mount)["problems"]
    version.write_text(good)
    same(mount, repo)
    # The folder is the same as before: bind mounts and working directories stay.
    assert sorted(os.listdir(standing)) == sorted(os.listdir(package(mount)))
    os.close(standing)


def test_a_branch_switch_is_seen(mount, repo):
    repo.git("checkout", "-q", "-b", "other")
    repo.write({"openpype/version.py": '__version__ = "4.0.0"\n', "openpype/other.py": "x"})
    repo.commit()
    same(mount, repo, "4.0.0")
    for branch, version in [("main", "3.15.12"), ("other", "4.0.0")] * 5:
        repo.git("checkout", "-q", branch)
        same(mount, repo, version)
    repo.git("checkout", "-q", "main")
    (repo.path / "openpype/lib/tools.py").write_text("stashed")
    same(mount, repo)
    repo.git("stash")
    same(mount, repo)
    (repo.path / "openpype/untracked.py").write_text("x")
    same(mount, repo)
    repo.git("clean", "-fdxq")
    same(mount, repo)


def test_a_moving_ref_is_followed(repo, folder, fuse):
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        for number in range(8):
            repo.write({"openpype/lib/tools.py": f"commit {number}"})
            commit = repo.commit()
            assert members(mnt)[b"openpype/lib/tools.py"][0] == f"commit {number}".encode()
            assert status(mnt)["commit"] == commit
            if number == 3:
                repo.git("pack-refs", "--all")
            if number == 5:
                repo.git("gc", "-q", "--prune=now")
        repo.git("update-ref", "refs/heads/main", "main~4")
        assert members(mnt)[b"openpype/lib/tools.py"][0] == b"commit 3"


def test_a_ref_that_is_gone_is_an_error_and_heals(repo, folder, fuse):
    commit = repo.git("rev-parse", "HEAD").decode().strip()
    repo.git("branch", "shown")
    with mounted(repo.path, folder / "mnt", "rev=shown") as mnt:
        before = members(mnt)
        repo.git("branch", "-D", "shown")
        with pytest.raises(OSError) as failure:
            os.listdir(mnt / "package")
        assert failure.value.errno == errno.EIO
        repo.git("branch", "shown", commit)
        assert members(mnt) == before


def test_a_commit_that_touches_one_file_gives_only_that_file_another_inode(repo, folder, fuse):
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        before = {p: os.stat(package(mnt) / p).st_ino
                  for p in ("version.py", "__init__.py", "private/client.zip")}
        repo.write({"server_addon/server/__init__.py": "changed"})
        repo.commit()
        after = {p: os.stat(package(mnt) / p).st_ino for p in before}
    assert after.keys() == before.keys()
    assert {p for p in before if before[p] != after[p]} == {"__init__.py"}


def test_rsync_transfers_what_has_changed_and_nothing_else(mount, repo, folder):
    def sync():
        result = subprocess.run(["rsync", "-ai", "--delete", f"{mount}/package/", folder / "to"],
                                check=True, capture_output=True)
        return {line.split()[1] for line in result.stdout.decode().splitlines()
                if line.startswith(">f")}

    sync()
    assert sync() == set()
    server = repo.path / "server_addon/server/__init__.py"
    for number in range(5):
        server.write_text(f"{number}{server.read_text()[1:]}")  # the same size, within a second
        assert sync() == {"openpype/3.15.12/__init__.py"}
        assert (folder / "to/openpype/3.15.12/__init__.py").read_text() == server.read_text()
    (repo.path / "openpype/lib/tools.py").write_text("edited")
    assert sync() == {"openpype/3.15.12/private/client.zip"}


class Writer:
    """Stores through mmap. The first one moves the file's stamp, later ones into that page do not."""

    def __init__(self, path, first):
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 0)
        self.store(first)

    def store(self, text):
        self.map[:len(text)] = text

    def close(self):
        self.map.close()
        self.file.close()


@pytest.fixture(params=["disk", "memory"])
def elsewhere(request, folder):
    """A place for a repository: what a store does to a stamp is the file system's business."""
    if request.param == "disk":
        yield folder / "elsewhere"
        return
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("/dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        yield Path(place) / "elsewhere"


def test_a_store_through_mmap_is_seen_when_the_file_is_unmapped_and_closed(elsewhere, folder, fuse):
    repo = Repository(elsewhere)
    repo.write({"shared/linked.py": "old\n", "server_addon/server/linked.py": Link("../../shared/linked.py"),
                "openpype/linked.py": Link("../shared/linked.py")})
    plain = repo.path / "server_addon/server/__init__.py"
    member = repo.path / "openpype/lib/tools.py"
    linked = repo.path / "shared/linked.py"

    def expect(mnt, start):
        for _ in range(2):
            assert (package(mnt) / "__init__.py").read_bytes()[:3] == start
            assert (package(mnt) / "linked.py").read_bytes()[:3] == start
            found = members(mnt)
            assert found[b"openpype/lib/tools.py"][0][:3] == start
            assert found[b"openpype/linked.py"][0][:3] == start

    writers = [Writer(path, b"one") for path in (plain, member, linked)]
    stamps = [os.stat(path).st_ctime_ns for path in (plain, member, linked)]
    settle(repo.path, plain, member, linked)
    with mounted(repo.path, folder / "mnt") as mnt:
        expect(mnt, b"one")
        before = [os.stat(package(mnt) / "__init__.py"), os.stat(client_zip(mnt))]
        for writer in writers:
            writer.store(b"two")
            writer.close()
        # Nothing that a stat could tell; on disk the pages may have been written, and be clean again.
        if elsewhere.is_relative_to("/dev/shm"):
            assert [os.stat(path).st_ctime_ns for path in (plain, member, linked)] == stamps
        expect(mnt, b"two")
        after = [os.stat(package(mnt) / "__init__.py"), os.stat(client_zip(mnt))]
        for old, new in zip(before, after):
            # For rsync, which compares sizes and whole seconds.
            assert new.st_ino != old.st_ino and int(new.st_mtime) > int(old.st_mtime)
    with mounted(repo.path, folder / "mnt") as mnt:
        expect(mnt, b"two")
    with mounted(repo.path, folder / "mnt", "cache=none") as mnt:
        expect(mnt, b"two")


def test_a_file_that_was_open_for_writing_and_is_the_same_stays_the_same(mount, repo):
    plain = repo.path / "server_addon/server/__init__.py"
    member = repo.path / "openpype/lib/tools.py"
    settle(repo.path, plain, member)
    for path in (package(mount) / "__init__.py", client_zip(mount)):
        path.read_bytes()
    before = [os.stat(package(mount) / "__init__.py"), os.stat(client_zip(mount))]
    for path in (plain, member):
        open(path, "r+b").close()
    after = [os.stat(package(mount) / "__init__.py"), os.stat(client_zip(mount))]
    assert [(s.st_ino, s.st_mtime_ns) for s in before] == [(s.st_ino, s.st_mtime_ns) for s in after]


def test_inode_numbers_are_those_that_readdir_names(mount, repo):
    for base, folders, files in os.walk(mount):
        if ".addonfs" in base:
            continue
        with os.scandir(base) as entries:
            for entry in entries:
                assert entry.inode() == entry.stat(follow_symlinks=False).st_ino, entry.path


def test_a_source_that_is_read_while_it_changes_shows_only_states_that_existed(mount, repo):
    writer = subprocess.Popen(
        ["/bin/sh", "-c", "i=1000; while [ $i -lt 4000 ]; do i=$((i+1)); "
         "echo $i > openpype/lib/one.py; echo $i > openpype/lib/two.py; done"],
        cwd=repo.path)
    while writer.poll() is None:
        found = members(mount)
        for name in (b"openpype/lib/one.py", b"openpype/lib/two.py"):
            data = found.get(name, (b"", False))[0]
            assert data == b"" or (len(data) == 5 and data.endswith(b"\n")), data
    assert writer.returncode == 0
    same(mount, repo)


@pytest.mark.parametrize("name", ["server_addon/server/deep/x.py", "openpype/lib/dropped.pyc", "openpype/.dropped",
                                  "openpype/new/folder/dropped.pyc", "openpype/new/kept.py"])
def test_a_write_through_another_name_that_came_later_is_seen(repo, folder, fuse, name):
    file, other = repo.path / "openpype/lib/tools.py", repo.path / name
    with mounted(repo.path, folder / "mnt") as mnt:
        assert oracle.read_zip(client_zip(mnt).read_bytes()) == oracle.package_a(repo.path).members
        other.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, other)
        for number in range(3):
            status = os.stat(file)
            with open(other, "r+b") as written:
                written.write(b"%d" % number)
            os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
            assert oracle.read_zip(client_zip(mnt).read_bytes()) == oracle.package_a(repo.path).members
