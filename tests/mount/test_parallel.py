"""Readers side by side, while somebody writes: each of them gets one state, whole."""

import concurrent.futures
import contextlib
import errno
import io
import os
import random
import secrets
import shutil
import subprocess
import zipfile

import pytest

import oracle
from mounting import client_zip, digest, mounted, package, status
from repository import Link

SEED = int(os.environ.get("ADDONFS_SEED", secrets.randbelow(1 << 32)))
READERS = 4
STATES = 40
OPTIONS = ["", "cache=none", "watch=poll"]


@pytest.fixture
def chance():
    print("ADDONFS_SEED =", SEED)
    return random.Random(SEED)


class Writer:
    """Somebody who makes one state after the other, in a thread; readers read until he has ended."""

    def __init__(self, make, states=STATES):
        self.make = make
        self.states = states
        self.made = 0  # what a look that begins now must show at least
        self.begun = 0  # and at most
        self.ended = False

    def write(self):
        try:
            for number in range(1, self.states + 1):
                self.begun = number
                self.make(number)
                self.made = number
        finally:
            self.ended = True


def side_by_side(writer, read):
    """Run the writer, and `read` in several threads again and again; what fails in any of them fails."""
    def again_and_again():
        count = 0
        while not writer.ended or count == 0:
            read()
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(READERS + 1) as threads:
        readers = [threads.submit(again_and_again) for _ in range(READERS)]
        written = threads.submit(writer.write)
        for task in [written, *readers]:
            task.result()


def content(number):
    """What a file holds in that state; its size says which one, too."""
    return f"# state {number}\n" + f"value = {number}\n" * (number % 37 * 40)


def number_of(data):
    """The state that a file's bytes are of; they must be all of it."""
    number = int(data.split(b"\n")[0].split()[2])
    assert data.decode() == content(number)
    return number


class StaleFile(Exception):
    """It was written again and again while it was opened."""


def read_whole(path):
    """All bytes of one open file, whose size is what it says."""
    try:
        file = open(path, "rb", buffering=0)
    except OSError as error:
        if error.errno == errno.ESTALE:
            raise StaleFile from error
        raise
    with file:
        size = os.fstat(file.fileno()).st_size
        data = b"".join(iter(lambda: file.read(70_001), b""))
        assert len(data) == size == os.fstat(file.fileno()).st_size
        return data


def list_folder(path):
    try:
        return os.listdir(path)
    except OSError as error:
        if error.errno == errno.ESTALE:
            raise StaleFile from error
        raise


def read_zip(path):
    data = read_whole(path)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
    return oracle.read_zip(data)


def replace(path, text):
    new = path.with_name(".new")
    new.write_text(text)
    new.rename(path)


@pytest.mark.parametrize("options", OPTIONS)
def test_every_reader_gets_a_zip_of_whole_files_no_older_than_his_question(repo, folder, fuse, options):
    names = [f"openpype/state/f{number}.py" for number in range(6)]
    repo.write({name: content(0) for name in names})

    def make(number):
        # One file after the other, each of them at once.
        for name in names:
            replace(repo.path / name, content(number))

    with mounted(repo.path, folder / "mnt", options) as mnt:
        writer = Writer(make)

        def read():
            least = writer.made
            found = read_zip(client_zip(mnt))
            states = [number_of(found[name.encode()][0]) for name in names]
            assert least <= min(states) and max(states) <= writer.begun, (least, states)

        side_by_side(writer, read)
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []


@pytest.mark.parametrize("options", OPTIONS)
def test_a_switch_of_all_files_at_once_is_seen_at_once(repo, folder, fuse, options):
    """A link that leads from one folder to the next: no reader finds files of both."""
    count = 12

    def make(number):
        repo.write({f"states/{number}/f{n}.py": content(number) for n in range(count)})
        os.symlink(f"../states/{number}", repo.path / "next")
        os.rename(repo.path / "next", repo.path / "openpype/state")

    make(0)

    with mounted(repo.path, folder / "mnt", options) as mnt:
        writer = Writer(make)

        def read():
            least = writer.made
            found = read_zip(client_zip(mnt))
            states = {number_of(found[b"openpype/state/f%d.py" % n][0]) for n in range(count)}
            assert len(states) == 1 and least <= states.pop() <= writer.begun

        side_by_side(writer, read)
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []


def test_readers_of_server_files_get_whole_ones_too(repo, folder, fuse):
    name = "server_addon/server/state.py"
    repo.write({name: content(0)})
    with mounted(repo.path, folder / "mnt") as mnt:
        writer = Writer(lambda number: replace(repo.path / name, content(number)), 200)

        def read():
            least = writer.made
            with contextlib.suppress(StaleFile):
                assert least <= number_of(read_whole(package(mnt) / "state.py")) <= writer.begun
            assert "state.py" in os.listdir(package(mnt))

        side_by_side(writer, read)


def test_names_that_come_and_go_are_there_or_not_there(repo, folder, fuse, chance):
    server = repo.path / "server_addon/server"
    names = [f"f{number}.py" for number in range(20)]

    def make(number):
        for name in chance.sample(names, 5):
            (server / name).unlink() if (server / name).exists() else replace(
                server / name, content(number))
        shutil.copytree(server / "settings", server / f"folder{number}")
        if number > 3:
            (server / f"folder{number - 3}").rename(server / "going")
            shutil.rmtree(server / "going")

    with mounted(repo.path, folder / "mnt") as mnt:
        writer = Writer(make)

        def read():
            listed = os.listdir(package(mnt))
            assert {"version.py", "__init__.py", "settings", "private"} <= set(listed)
            assert len(listed) == len(set(listed))
            for name in listed:
                # Gone since it was listed; nothing else may be wrong with it.
                with contextlib.suppress(FileNotFoundError, StaleFile):
                    if name.startswith("f") and name.endswith(".py"):
                        assert number_of(read_whole(package(mnt) / name)) <= writer.begun
                    elif name.startswith("folder"):
                        assert "main.py" in list_folder(package(mnt) / name)

        side_by_side(writer, read)
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []


def test_commits_that_come_one_after_the_other_are_seen_one_after_the_other(repo, folder, fuse):
    names = [f"openpype/state/f{number}.py" for number in range(6)]
    repo.write({"openpype/start.bat": "@echo off\r\n", **{name: content(0) for name in names}})
    repo.commit()

    def make(number):
        repo.write({name: content(number) for name in names})
        repo.commit()

    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        writer = Writer(make, 15)

        def read():
            least = writer.made
            found = read_zip(client_zip(mnt))
            states = {number_of(found[name.encode()][0]) for name in names}
            assert len(states) == 1 and least <= states.pop() <= writer.begun
            head = os.path.realpath(mnt / "HEAD")
            assert package(head).joinpath("version.py").read_text()

        side_by_side(writer, read)
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []


def test_open_handles_outlive_what_is_written_meanwhile(repo, folder, fuse, chance):
    repo.write({"openpype/large.bin": chance.randbytes(500_000), "openpype/state.py": content(0)})
    with mounted(repo.path, folder / "mnt") as mnt:
        first = digest(client_zip(mnt))
        writer = Writer(lambda number: replace(repo.path / "openpype/state.py", content(number)))
        with open(client_zip(mnt), "rb", buffering=0) as handle:
            size = os.fstat(handle.fileno()).st_size
            expected = os.pread(handle.fileno(), size, 0)

            def read():
                os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                offset = secrets.randbelow(size)
                assert os.pread(handle.fileno(), 5000, offset) == expected[offset:offset + 5000]
                read_zip(client_zip(mnt))

            side_by_side(writer, read)
        replace(repo.path / "openpype/state.py", content(0))
        assert digest(client_zip(mnt)) == first


def test_renames_anywhere_on_the_host_are_no_failure_here(repo, folder, fuse):
    """Links with .. in them: openat2 asks to be called again whenever anything is renamed meanwhile."""
    repo.write({f"shared/f{n}.py": f"# {n}\n" for n in range(20)})
    repo.write({f"openpype/lib/deep/er/f{n}.py": Link(f"../../../../shared/f{n}.py") for n in range(20)})
    repo.write({f"server_addon/server/settings/f{n}.py": Link(f"../../../shared/f{n}.py")
                for n in range(20)})
    (folder / "storm").mkdir()
    storm = subprocess.Popen(
        ["perl", "-e", 'chdir shift; mkdir "a"; while (1) { rename "a", "b"; rename "b", "a" }',
         folder / "storm"])
    try:
        with mounted(repo.path, folder / "mnt") as mnt:
            writer = Writer(lambda number: (repo.path / "shared/f7.py").write_text(content(number)),
                            20)

            def read():
                for name in os.listdir(package(mnt) / "settings"):
                    assert (package(mnt) / "settings" / name).read_bytes()
                assert read_zip(client_zip(mnt))[b"openpype/lib/deep/er/f3.py"][0] == b"# 3\n"

            side_by_side(writer, read)
            assert status(mnt)["problems"] == []
            assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []
    finally:
        storm.kill()
        storm.wait()
