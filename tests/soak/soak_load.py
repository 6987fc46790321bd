"""Much at once, again and again, and large: what is served stays right, and nothing is left behind.

    make soak          ten minutes of load, 10,000 mounts, 200,000 files, 2 GiB to compress
    make soak-memory   less of each, under valgrind and under AddressSanitizer

    ADDONFS_LOAD_SECONDS=600 ADDONFS_LOAD_READERS=64      how long, and by how many; it goes on until
    ADDONFS_LOAD_LOOKUPS=1000000 ADDONFS_LOAD_OPENS=100000  so much was looked up and opened as well,
    ADDONFS_LOAD_EDITS=5000                               and so many edits were made, 500 a minute
    ADDONFS_MOUNTS=10000                                  how often it is mounted
    ADDONFS_LARGE_FILES=200000 ADDONFS_LARGE_COMMITS=50000
    ADDONFS_LARGE_BYTES=2147483648                        to compress while a small file is read

Durations are printed and nothing is asserted of them. Not collected by `make test`.
"""

import errno
import hashlib
import io
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import threading
import time
import traceback
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

import oracle  # noqa: E402
from mounting import (ADDONFS, client_zip, daemon_pid, errors, foreground, has_ended, mounted, mounts,  # noqa: E402
                      package, run, status, until)
from repository import ENVIRONMENT, Repository  # noqa: E402

SECONDS = float(os.environ.get("ADDONFS_LOAD_SECONDS", "600"))
READERS = int(os.environ.get("ADDONFS_LOAD_READERS", "64"))
LOOKUPS = int(os.environ.get("ADDONFS_LOAD_LOOKUPS", "1000000"))
OPENS = int(os.environ.get("ADDONFS_LOAD_OPENS", "100000"))
EDITS_A_MINUTE = 500
EDITS = int(os.environ.get("ADDONFS_LOAD_EDITS", str(round(SECONDS * EDITS_A_MINUTE / 60))))
MOUNTS = int(os.environ.get("ADDONFS_MOUNTS", "10000"))
FILES = int(os.environ.get("ADDONFS_LARGE_FILES", "200000"))
COMMITS = int(os.environ.get("ADDONFS_LARGE_COMMITS", "50000"))
BYTES = int(os.environ.get("ADDONFS_LARGE_BYTES", str(2 << 30)))
SEED = int(os.environ.get("ADDONFS_SEED", random.SystemRandom().randrange(2**32)))

# Memory belongs to the sanitizer there, and so does what is said of it.
CHECKED = os.environ.get("SANITIZE") or ("valgrind" if os.environ.get("MEMCHECK") else "")

ROUNDS = 3 if CHECKED else 10  # behind a first one that is not counted
# KiB of anonymous memory that may be more at the end. Measured in ten minutes, with 2.3 million lookups, 1.3 million
# opens and 5,000 edits: 1.5 MiB, for what is known of 2,400 contents (with 4 states instead of 40, the last 11,000 of
# 38,000 edits cost 24 KiB). Two bytes that each lookup left behind would be more than this is.
GROWTH = 4 << 10
MEMBERS = 60
# What a daemon keeps that has nothing to do: its first, those for signals, for the cache and for the kernel's memory
# of names, and as many of libfuse's as fs/daemon.c keeps idle.
THREADS = 4 + 10
STATES = 40  # contents come again, so that what is kept of them has an end


def content(name, number):
    """What a member holds in a state; its size tells the state too."""
    return f"# {name} {number}\n" + "".join(f"{name}_{line} = {number}\n" for line in range(number % 37 * 20))


def state_of(name, data):
    """The state that these bytes are of; they must be all of it."""
    number = int(data.split(b"\n", 1)[0].split()[2])
    assert data.decode() == content(name, number), name
    return number


class Edits:
    """What was written, in memory that all share: whoever reads knows what may be there, and what no more."""

    def __init__(self, names, most):
        self.names = names
        self.log = multiprocessing.RawArray("i", 2 * most)
        self.begun, self.done = multiprocessing.RawValue("q"), multiprocessing.RawValue("q")

    def write(self, path, name, number):
        index = self.begun.value
        self.log[2 * index], self.log[2 * index + 1] = self.names.index(name), number
        self.begun.value = index + 1
        replace(path, content(name, number))
        self.done.value = index + 1

    def at(self, index):
        return self.names[self.log[2 * index]], self.log[2 * index + 1]


class Past:
    """What all names held after so many edits, as one reader goes along."""

    def __init__(self, edits):
        self.edits, self.count, self.numbers = edits, 0, dict.fromkeys(edits.names, 0)

    def assert_held(self, found, first, last):
        """At one moment from the end of edit `first` to the start of edit `last` all of these were so."""
        while self.count < first:
            name, number = self.edits.at(self.count)
            self.numbers[name] = number
            self.count += 1
        numbers, seen = self.numbers, []
        for index in range(first, last + 1):
            seen.append({name: numbers[name] for name in found})
            if seen[-1] == found:
                return
            if index < last:
                name, number = self.edits.at(index)
                numbers = {**numbers, name: number}
        raise AssertionError(f"{found} is none of {seen}")


def replace(path, text):
    new = path.with_name(".new")
    new.write_text(text)
    new.rename(path)


# --- Readers ---------------------------------------------------------------------------------------


class Reader:
    """One of many, in a process of its own; what it counts stands in memory that all share."""

    def __init__(self, mnt, frozen, right, edits, counts, seed):
        self.live, self.frozen, self.right, self.counts = package(mnt), frozen, right, counts
        self.edits, self.past = edits, Past(edits)
        self.chance = random.Random(seed)

    def look(self):
        for _ in range(20):
            name = self.chance.choice(["version.py", "__init__.py", "settings/main.py", "private/client.zip", "none"])
            try:
                size = os.stat(self.live / name).st_size
                assert size == self.right["sizes"].get(name, size)
                assert name != "none"
            except FileNotFoundError:
                assert name == "none"
        self.counts["lookups"] += 20

    def list(self):
        assert sorted(os.listdir(self.live)) == sorted(self.right["names"])

    def ranges(self, path, whole):
        """Any pieces of an open file, as many as there are of it to read."""
        for _ in range(10):
            start = self.chance.randrange(len(whole) + 100)
            length = self.chance.choice([1, 100, 4096, 70_001])
            yield start, length, whole[start:start + length]

    def read_frozen(self):
        fd = os.open(self.frozen, os.O_RDONLY)
        try:
            for start, length, right in self.ranges(self.frozen, self.right["zip"]):
                assert os.pread(fd, length, start) == right, (start, length)
        finally:
            os.close(fd)
        self.counts["opens"] += 1

    def open_live(self, name):
        """A descriptor, and between which two edits it was opened; nothing if the name would not hold still."""
        first = self.edits.done.value
        try:
            fd = os.open(self.live / name, os.O_RDONLY)
        except OSError as failure:
            # Between lookup and open it became another file, and once more when the kernel tried again.
            assert failure.errno == errno.ESTALE and self.edits.begun.value >= first + 2, failure
            self.counts["stale"] += 1
            return None
        self.counts["opens"] += 1
        return fd, first, self.edits.begun.value

    def read_live(self):
        if not (opened := self.open_live("private/client.zip")):
            return
        fd, first, last = opened
        try:
            size = os.fstat(fd).st_size
            whole = os.pread(fd, size + 1, 0)
            assert len(whole) == size
            with zipfile.ZipFile(io.BytesIO(whole)) as archive:
                assert sorted(archive.namelist()) == self.right["members"]
                # zipfile compares the CRC.
                found = {name: state_of(name, archive.read(f"openpype/load/{name}.py"))
                         for name in self.edits.names if name != "main"}
            self.past.assert_held(found, first, last)
            for start, length, right in self.ranges(fd, whole):
                assert os.pread(fd, length, start) == right, (start, length)
        finally:
            os.close(fd)
        self.counts["archives"] += 1

    def read_small(self):
        for _ in range(10):
            if opened := self.open_live("settings/main.py"):
                fd, first, last = opened
                with open(fd, "rb") as file:
                    self.past.assert_held({"main": state_of("main", file.read())}, first, last)


def child(reader, stop, failed, pipe):
    try:
        while not stop.is_set():
            reader.look()
            reader.list()
            reader.read_small()
            reader.read_frozen()
            if reader.chance.random() < 0.05:
                reader.read_live()
    except BaseException:
        failed.set()
        pipe.send(traceback.format_exc())


class Shared:
    """Numbers that children add to, each to its own."""

    def __init__(self, names, readers):
        self.arrays = {name: multiprocessing.RawArray("q", readers) for name in names}

    def sum(self, name):
        return sum(self.arrays[name])

    def least(self, name):
        return min(self.arrays[name])


class Slot:
    def __init__(self, arrays, index):
        self.arrays, self.index = arrays, index

    def __getitem__(self, name):
        return self.arrays[name][self.index]

    def __setitem__(self, name, value):
        self.arrays[name][self.index] = value


# --- What a daemon has -----------------------------------------------------------------------------


def has(mnt):
    pid = daemon_pid(mnt)
    found = {}
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            name, value = line.split(":", 1)
            if name in ("RssAnon", "Threads"):
                found[name] = int(value.split()[0])
    found["fds"] = len(os.listdir(f"/proc/{pid}/fd"))
    found["inodes"] = int(os.getxattr(mnt, "user.addonfs.inodes"))
    return found


def drop_caches():
    """So that the kernel forgets our inodes (proc(5), drop_caches); it tells us in its own time."""
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("2")


def settled(mnt, most):
    """What it has when it is done with everything, the kernel remembers nothing, and no more than that is left."""
    until(lambda: status(mnt)["ready"] == status(mnt)["members"])

    def enough():
        drop_caches()
        found = has(mnt)
        return all(found[name] <= most[name] for name in most)

    try:
        until(enough)
    except AssertionError as failure:
        raise AssertionError(f"{has(mnt)} is more than {most}") from failure
    return has(mnt)


def load(mnt, frozen, right, edits, edit, seconds, least):
    """Readers beside edits, until the time is over and enough was done; what was done."""
    stop, failed = multiprocessing.Event(), multiprocessing.Event()
    shared = Shared(["lookups", "opens", "archives", "stale"], READERS)
    children = []
    for number in range(READERS):
        ours, theirs = multiprocessing.Pipe(False)
        reader = Reader(mnt, frozen, right, edits, Slot(shared.arrays, number), f"{SEED} {number}")
        process = multiprocessing.Process(target=child, args=(reader, stop, failed, theirs))
        process.start()
        theirs.close()
        children.append((process, ours))
    begin, before = time.monotonic(), edits.done.value

    def done():
        return {"edits": edits.done.value - before, **{name: shared.sum(name) for name in shared.arrays}}

    def enough():
        found = done()
        # Each of them has come to read, and whole archives were read.
        return (all(found[name] >= least[name] for name in least) and shared.least("opens") > 0
                and found["archives"] > 0)

    while not failed.is_set() and (time.monotonic() < begin + seconds or not enough()):
        edit()
        # So many a minute, and no more.
        failed.wait(max(0, begin + (edits.done.value - before) * 60 / EDITS_A_MINUTE - time.monotonic()))
    took = time.monotonic() - begin
    stop.set()
    messages = []
    for process, pipe in children:
        while True:
            try:
                messages.append(pipe.recv())
            except EOFError:
                break
        process.join()
        assert process.exitcode == 0 or messages
    assert not messages, "\n".join(messages)
    return {"seconds": took, **done()}


def test_many_readers_beside_many_edits(folder, fuse, root_user):
    print(f"\nADDONFS_SEED={SEED}")
    repo = Repository(folder / "source")
    names = ["main", *(f"m{number}" for number in range(MEMBERS))]
    repo.write({f"openpype/load/{name}.py": content(name, 0) for name in names if name != "main"})
    repo.write({"server_addon/server/settings/main.py": content("main", 0),
                "openpype/blob.bin": random.Random(SEED).randbytes(3 << 20)})
    sha = repo.commit()
    expected = oracle.package_a(repo.checkout(folder / "checkout"))
    chance = random.Random(SEED)
    edits = Edits(names, 4 * EDITS + 100_000)

    def edit():
        name = "main" if edits.done.value % 5 == 0 else chance.choice(names[1:])
        path = "server_addon/server/settings/main.py" if name == "main" else f"openpype/load/{name}.py"
        edits.write(repo.path / path, name, chance.randrange(STATES))

    with foreground(repo.path, folder / "mnt") as mount:
        mnt = mount.mnt
        assert ("memcheck" in os.readlink(f"/proc/{daemon_pid(mnt)}/exe")) == (CHECKED == "valgrind")
        # The mount's root is not counted: the kernel never looks it up.
        print("new:", settled(mnt, {"inodes": 0}))
        frozen = client_zip(mnt / "commits" / sha)
        right = {"zip": frozen.read_bytes(), "names": os.listdir(package(mnt)),
                 "members": sorted(os.fsdecode(name) for name in expected.members),
                 "sizes": {name: os.stat(package(mnt) / name).st_size for name in ("version.py", "__init__.py")}}
        assert oracle.read_zip(right["zip"]) == expected.members
        assert sorted(right["names"]) == sorted({os.fsdecode(n.split(b"/")[0]) for n in expected.files} | {"private"})
        # Caches fill, threads begin, and libraries take what they keep: the start is behind that.
        load(mnt, frozen, right, edits, edit, SECONDS / ROUNDS, {})
        start = settled(mnt, {"inodes": 0})
        print("start:", start)
        figures = {}
        for _ in range(ROUNDS):
            least = {"lookups": LOOKUPS, "opens": OPENS, "edits": EDITS}
            done = load(mnt, frozen, right, edits, edit, SECONDS / ROUNDS,
                        {name: -(-count // ROUNDS) for name, count in least.items()})
            figures = {name: figures.get(name, 0) + count for name, count in done.items()}
            print("behind a round:", has(mnt))
            print("settled:", settled(mnt, {"inodes": 0}))
        print(READERS, "readers:", figures)
        end = settled(mnt, {"inodes": 0, "fds": start["fds"], "Threads": max(start["Threads"], THREADS)})
        print("end:", end)
        assert figures["lookups"] >= LOOKUPS and figures["opens"] >= OPENS and figures["edits"] >= EDITS
        assert figures["archives"] > 0
        if not CHECKED:
            assert end["RssAnon"] <= start["RssAnon"] + GROWTH
        assert oracle.read_zip(client_zip(mnt).read_bytes()) == oracle.package_a(repo.path).members
        assert errors(mnt) == []
    assert mount.log == []


# --- Mounts ----------------------------------------------------------------------------------------


def processes():
    """Those that run this very program."""
    program, found = os.stat(ADDONFS), set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.path.samestat(os.stat(f"/proc/{pid}/exe"), program):
                found.add(int(pid))
        except OSError:
            continue  # it has ended, or is not ours to see
    return found


def test_many_mounts(folder, fuse):
    repo = Repository(folder / "source")
    temporary, cache = folder / "tmp", folder / "cache"
    for path in (temporary, cache, folder / "mnt"):
        path.mkdir()
    environment = {**os.environ, **ENVIRONMENT, "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(cache)}
    before, shown = processes(), len(open("/proc/self/mountinfo").readlines())
    right = oracle.package_a(repo.path)
    took, left = [], None
    for number in range(MOUNTS):
        begin = time.monotonic()
        result = run("mount", repo.path, folder / "mnt", env=environment)
        assert (result.returncode, result.stderr) == (0, b""), (number, result.stderr)
        pidfd = os.pidfd_open(daemon_pid(folder / "mnt"))
        assert oracle.read_zip(client_zip(folder / "mnt").read_bytes()) == right.members, number
        result = run("umount", folder / "mnt", env=environment)
        assert (result.returncode, result.stderr) == (0, b""), (number, result.stderr)
        assert has_ended(pidfd), number
        os.close(pidfd)
        took.append(time.monotonic() - begin)
        left = left or sorted(os.listdir(cache / "addonfs"))
        assert os.listdir(temporary) == []
        assert os.listdir(folder / "mnt") == []
    assert len(took) == MOUNTS
    print(f"\n{MOUNTS} mounts: median {statistics.median(took) * 1e3:.1f} ms, worst {max(took) * 1e3:.0f} ms; "
          f"the first thousand {statistics.median(took[:1000]) * 1e3:.1f} ms, "
          f"the last {statistics.median(took[-1000:]) * 1e3:.1f} ms")
    assert mounts(folder) == []
    assert processes() <= before
    assert sorted(os.listdir(cache / "addonfs")) == left
    print("lines of mountinfo:", shown, "before,", len(open("/proc/self/mountinfo").readlines()), "behind")


# --- A large repository ----------------------------------------------------------------------------


class Watch:
    """Prints how long each step took."""

    def __init__(self):
        self.last = time.monotonic()

    def __call__(self, what):
        now = time.monotonic()
        print(f"{now - self.last:9.3f} s  {what}")
        self.last = time.monotonic()


def import_history(repo, files, commits):
    """The files in the first commit; each later one changes one of them. The ids of the commits."""
    marks = repo.path.parent / "marks"
    command = ["git", "-C", str(repo.path), "fast-import", "--quiet", f"--export-marks={marks}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, **ENVIRONMENT}) as process:
        def put(text):
            process.stdin.write(text.encode())

        def commit(number):
            put(f"commit refs/heads/main\nmark :{number + 1}\n"
                f"committer A <a@example.com> {1_600_000_000 + number * 60} +0000\ndata 0\n")

        def file(path, text):
            put(f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n")

        commit(0)
        file("openpype/version.py", '__version__ = "3.15.12"\n')
        file("server_addon/server/__init__.py", "class Addon:\n    pass\n")
        file("server_addon/client/pyproject.toml", "[project]\n")
        for number in range(files):
            file(large_path(number), f"number = {number}\n")
        for number in range(1, commits):
            commit(number)
            put("from :%d\n" % number)
            file(large_path(number % files), f"number = {number % files}\ncommit = {number}\n")
        process.stdin.close()
        assert process.wait() == 0
    lines = [line.split() for line in marks.read_text().splitlines()]
    return [sha for _, sha in sorted((int(mark[1:]), sha) for mark, sha in lines)]


def large_path(number):
    return f"openpype/large/d{number // 1000:03}/e{number // 100 % 10}/f{number % 100:02}.py"


def blob_id(data):
    """gitformat-object: what Git calls these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def test_a_large_repository(folder, fuse):
    print()
    step = Watch()
    repo = Repository(folder / "source", {"README": "x"})
    repo.git("update-ref", "-d", "refs/heads/main")
    shas = import_history(repo, FILES, COMMITS)
    assert len(shas) == COMMITS
    step(f"fast-import of {FILES} files and {COMMITS} commits")
    repo.git("reset", "-q", "--hard", "main")
    step("checkout")

    def check(path, revision, edited=()):
        """Every member of the zip, by the id that Git has for it or gives it."""
        right = {}
        for line in repo.git("ls-tree", "-r", "-z", revision, "openpype").split(b"\0")[:-1]:
            fields, name = line.split(b"\t")
            right[os.fsdecode(name)] = fields.split()[2].decode()
        for name in edited:
            right[name] = repo.git("hash-object", name).decode().strip()
        with zipfile.ZipFile(path) as archive:
            found = {name: blob_id(archive.read(name)) for name in archive.namelist()}
            assert len(archive.namelist()) == len(found) == FILES + 1
        assert found == right

    def time_of(revision, *paths):
        return int(repo.git("log", "-1", "--format=%ct", revision, "--", *paths))

    chance = random.Random(SEED)
    middle = shas[COMMITS // 2]
    for options in ("", "rev=main"):
        begin = time.monotonic()
        with foreground(repo.path, folder / "mnt", options) as mount:
            mnt = mount.mnt
            step(f"mount ({options or 'worktree'})")
            assert os.listdir(mnt / "package/openpype") == ["3.15.12"]
            step("listing of the addon")
            os.stat(client_zip(mnt))
            step("stat of client.zip")
            data = client_zip(mnt).read_bytes()
            step(f"client.zip read, {len(data) >> 20} MiB")
            check(io.BytesIO(data), "main")
            step("(all of it checked)")
            if not options:
                with open(repo.path / large_path(7), "a") as file:
                    file.write("edited = True\n")
                os.stat(client_zip(mnt))
                step("an edit, and the next stat")
                check(client_zip(mnt), "main", [large_path(7)])
                step("client.zip with it (checked)")
                repo.git("checkout", "-q", ".")
                assert client_zip(mnt).read_bytes() == data
                step("git checkout ., and the same bytes again")
            print("          it has", has(mnt))
            step = Watch()
            old = client_zip(mnt / "commits" / middle)
            found = os.stat(old)
            step("stat of client.zip in commits/<in the middle>")
            assert found.st_mtime == time_of(middle, "openpype")
            check(old, middle)
            step("client.zip of that (checked)")
            for number in sorted(chance.sample(range(COMMITS // 2), 3)):
                version = package(mnt / "commits" / shas[number]) / "version.py"
                assert version.stat().st_mtime == time_of(shas[0])
                client = mnt / "commits" / shas[number] / "client/openpype_3.15.12"
                step(f"a look at commits/<{number}>")
                for name in map(large_path, (chance.randrange(FILES), number % FILES)):
                    assert (client / name).read_bytes() == repo.git("show", f"{shas[number]}:{name}")
                    assert (client / name).stat().st_mtime == time_of(shas[number], name)
                step("two files of its client folder, and their times (checked)")
                check(client_zip(mnt / "commits" / shas[number]), shas[number])
                step("client.zip of that (checked)")
            assert len(os.listdir(mnt / "commits")) <= 5
            print("          it has", has(mnt))
            assert errors(mnt) == []
            step = Watch()
        step("unmount")
        assert mount.log == []
        print(f"{time.monotonic() - begin:9.3f} s  in all")
    for options in ("version=git", "rev=main,version=git"):
        step = Watch()
        with mounted(repo.path, folder / "mnt", options) as mnt:
            step(f"mount ({options})")
            versions = os.listdir(mnt / "package/openpype")
            step("listing of the addon")
            # fast-import gives each commit one parent, and the first one sets the version.
            assert [version.split("+")[0] for version in versions] == [f"3.15.13-dev.{COMMITS - 1}"], versions
            assert shas[-1].startswith(versions[0].split("+g")[1])
        step("unmount")


# --- Small reads beside much work ------------------------------------------------------------------


def told(what, took):
    took = sorted(took)
    print(f"  {what}: {len(took)}, median {statistics.median(took) * 1e3:.2f} ms, "
          + ", ".join(f"{share} % {took[int(len(took) * share / 100)] * 1e3:.1f} ms" for share in (99, 99.9))
          + f", worst {took[-1] * 1e3:.1f} ms")


@pytest.mark.parametrize("options", ["", "cache=none"])
def test_a_small_read_while_much_is_compressed(folder, fuse, options):
    repo = Repository(folder / "source")
    block = random.Random(SEED).randbytes(8 << 20).hex().encode()  # 16 MiB, of which half can be saved
    (repo.path / "openpype/bulk").mkdir()
    for number in range(BYTES // len(block)):
        # In one, which is compressed in pieces; or in sixteen, of which each is compressed at once.
        size = len(block) // (1 if number % 2 == 0 else 16)
        for start in range(0, len(block), size):
            path = repo.path / f"openpype/bulk/f{number}_{start}.txt"
            path.write_bytes(str(number).encode() + block[start:start + size])
    bulk = len(os.listdir(repo.path / "openpype/bulk"))
    right = sorted(["private", "version.py", *os.listdir(repo.path / "server_addon/server")])
    small = repo.path / "server_addon/server/__init__.py"
    with foreground(repo.path, folder / "mnt", options) as mount:
        mnt = mount.mnt

        def look(same, edited, listed):
            number = len(same)
            start = time.monotonic()
            found = (package(mnt) / "__init__.py").read_bytes()
            same.append(time.monotonic() - start)
            assert found == small.read_bytes()
            (repo.path / "server_addon/server/settings/main.py").write_text(f"x = {number}\n")
            start = time.monotonic()
            found = (package(mnt) / "settings/main.py").read_text()
            edited.append(time.monotonic() - start)
            assert found == f"x = {number}\n"
            start = time.monotonic()
            found = os.listdir(package(mnt))
            listed.append(time.monotonic() - start)
            assert sorted(found) == right

        begin, busy, idle, compressed = time.monotonic(), ([], [], []), ([], [], []), set()
        while True:
            # status.json would wait until all is looked at.
            ready, members = map(int, os.getxattr(mnt, "user.addonfs.progress").split())
            if ready == members > 0:
                break
            compressed.add(ready)
            look(*busy)
        seconds = time.monotonic() - begin
        # So the reads were beside the work, from its start to its end.
        assert len(compressed) > members // 4
        for _ in range(200 if CHECKED else 2000):
            look(*idle)
        with zipfile.ZipFile(client_zip(mnt)) as archive:
            names = archive.namelist()
            assert len(names) == members and len([name for name in names if "/bulk/" in name]) == bulk
            for name in names:
                assert archive.read(name) == (repo.path / name).read_bytes()
        assert errors(mnt) == []
    assert mount.log == []
    print(f"\n{BYTES >> 20} MiB compressed in {seconds:.1f} s ({options or 'with a cache'}); {os.cpu_count()} "
          f"processors, load average {os.getloadavg()[0]:.1f}")
    for when, found in (("meanwhile", busy), ("behind that", idle)):
        print(when)
        for what, took in zip(("read", "read of what was just edited", "readdir"), found):
            told(what, took)
