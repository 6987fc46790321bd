"""Readers against writers: every archive that is read is valid and equals one state that existed.

    make soak          60 s; ADDONFS_SOAK_SECONDS=600 for longer

Each state of the source is one number, written into every file by replacing one folder by another, so
an archive that mixes two states holds two numbers. Not collected by `make test`: it takes its time.
"""

import ctypes
import os
import random
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mounting import mounted, status  # noqa: E402
from repository import Repository  # noqa: E402

SECONDS = float(os.environ.get("ADDONFS_SOAK_SECONDS", "60"))
FILES = 40


def state(folder, number):
    folder.mkdir()
    for name in range(FILES):
        (folder / f"f{name}.py").write_text(f"{number}\n" * (1 + (number + name) % 50))


class Writer(threading.Thread):
    """Replaces the folder `openpype/lib` by one of another number, at once (renameat2, exchange)."""

    def __init__(self, repo, stop):
        super().__init__()
        self.repo, self.stop, self.number = repo, stop, 0

    def run(self):
        chance = random.Random(1)
        while not self.stop.is_set():
            self.number += 1
            new = self.repo.path / "new"
            state(new, self.number)
            exchange(new, self.repo.path / "openpype/lib")
            for file in new.iterdir():
                file.unlink()
            new.rmdir()
            if chance.random() < 0.1:
                self.repo.git("add", "-A")
                self.repo.git("commit", "-q", "-m", str(self.number))
            if chance.random() < 0.02:
                self.repo.git("gc", "-q", "--prune=now")


def exchange(one, other):
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2)  # RENAME_EXCHANGE
    assert result == 0, os.strerror(ctypes.get_errno())


def numbers(archive):
    return {line for name in archive.namelist() if name.startswith("openpype/lib/f")
            for line in archive.read(name).split()}


def read_archives(mount, stop, found):
    # Processes of their own would each import all of this; what counts is what the kernel asks of us.
    while not stop.is_set():
        with zipfile.ZipFile(mount / "package/openpype/3.15.12/private/client.zip") as archive:
            assert archive.testzip() is None
            assert len(numbers(archive)) == 1
        found["archives"] = found.get("archives", 0) + 1


def run_readers(mount, stop, command, found, codes=(0,)):
    while not stop.is_set():
        result = subprocess.run(command, shell=True, capture_output=True, cwd=mount, timeout=300)
        assert result.returncode in codes, (command, result.returncode, result.stderr)
        found[command] = found.get(command, 0) + 1


def memory(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))


def guarded(failures, function, *arguments):
    def run():
        try:
            function(*arguments)
        except BaseException as failure:  # whatever it is, it ends the run
            failures.append(failure)
    return threading.Thread(target=run)


def test_readers_and_writers(tmp_path):
    repo = Repository(tmp_path / "source")
    for path in (repo.path / "openpype/lib").rglob("*"):
        if path.is_file():
            path.unlink()
    (repo.path / "openpype/lib/__pycache__").rmdir()
    (repo.path / "openpype/lib").rmdir()
    state(repo.path / "openpype/lib", 0)
    repo.commit()
    stop, failures, found = threading.Event(), [], {}
    target = tmp_path / "target"
    with mounted(repo.path, tmp_path / "mnt") as mnt:
        pid = status(mnt)["pid"]
        writer = Writer(repo, stop)
        readers = [guarded(failures, read_archives, mnt, stop, found) for _ in range(3)]
        for command, codes in (
                ("cat package/openpype/3.15.12/private/client.zip | md5sum", (0,)),
                ("find . -name '*.py' | wc -l", (0,)),
                ("bsdtar -tf HEAD/package/openpype/3.15.12/private/client.zip", (0,)),
                (f"rsync -a --delete-after \"$(readlink -f snapshots/current)/package/\" '{target}/'", (0,)),
                ("ls -lR snapshots commits", (0, 1, 2))):
            readers.append(guarded(failures, run_readers, mnt, stop, command, found, codes))
        writer.start()
        for reader in readers:
            reader.start()
        figures = []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not failures:
            stop.wait(SECONDS / 20)
            figures.append(memory(pid))
        stop.set()
        for thread in (writer, *readers):
            thread.join()
        assert not failures, failures
        print(f"{writer.number} states; {found}; RssAnon in KiB: {figures}")
        # After the first third it grows no more.
        assert max(figures[7:]) < 1.5 * max(figures[:7]) + 8192
