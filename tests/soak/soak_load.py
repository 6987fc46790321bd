"""Much at once, again and again, and large: what is served stays right, and nothing is left behind.

    make soak          ten minutes of load, 10,000 mounts, 200,000 files, 2 GiB to compress

    ADDONFS_LOAD_SECONDS=600 ADDONFS_LOAD_READERS=64      how long, and by how many; it goes on until
    ADDONFS_LOAD_LOOKUPS=1000000 ADDONFS_LOAD_OPENS=100000  so much was looked up and opened as well
    ADDONFS_MOUNTS=10000                                  how often it is mounted
    ADDONFS_LARGE_FILES=200000 ADDONFS_LARGE_COMMITS=50000
    ADDONFS_LARGE_BYTES=2147483648                        to compress while a small file is read

Durations are printed and nothing is asserted of them. Not collected by `make test`.
"""

import errno
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

sys.path.insert(0, str(Path(__file__).parent.parent))

import oracle  # noqa: E402
from mounting import ADDONFS, client_zip, mounted, mounts, package, run, status, until  # noqa: E402
from repository import ENVIRONMENT, Repository  # noqa: E402

SECONDS = float(os.environ.get("ADDONFS_LOAD_SECONDS", "600"))
READERS = int(os.environ.get("ADDONFS_LOAD_READERS", "64"))
LOOKUPS = int(os.environ.get("ADDONFS_LOAD_LOOKUPS", "1000000"))
OPENS = int(os.environ.get("ADDONFS_LOAD_OPENS", "100000"))
MOUNTS = int(os.environ.get("ADDONFS_MOUNTS", "10000"))
FILES = int(os.environ.get("ADDONFS_LARGE_FILES", "200000"))
COMMITS = int(os.environ.get("ADDONFS_LARGE_COMMITS", "50000"))
BYTES = int(os.environ.get("ADDONFS_LARGE_BYTES", str(2 << 30)))
SEED = int(os.environ.get("ADDONFS_SEED", random.SystemRandom().randrange(2**32)))

EDITS_A_MINUTE = 500
MEMBERS = 60
STATES = 40  # contents come again, so that what is kept of them has an end


def content(name, number):
    """What a member holds in a state; its size tells the state too."""
    return f"# {name} {number}\n" + "".join(f"{name}_{line} = {number}\n" for line in range(number % 37 * 20))


def state_of(name, data):
    """The state that these bytes are of; they must be all of it."""
    number = int(data.split(b"\n", 1)[0].split()[2])
    assert data.decode() == content(name, number), name
    return number


def replace(path, text):
    new = path.with_name(".new")
    new.write_text(text)
    new.rename(path)


# --- Readers ---------------------------------------------------------------------------------------


class Reader:
    """One of many, in a process of its own; what it counts stands in memory that all share."""

    def __init__(self, mnt, frozen, right, counts, seed):
        self.live, self.frozen, self.right, self.counts = package(mnt), frozen, right, counts
        self.chance = random.Random(seed)

    def look(self):
        for _ in range(20):
            name = self.chance.choice(["version.py", "__init__.py", "settings/main.py", "private/client.zip", "none"])
            try:
                os.stat(self.live / name)
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

    def read_live(self):
        try:
            fd = os.open(self.live / "private/client.zip", os.O_RDONLY)
        except OSError as failure:
            # Twice in a row it was another file between lookup and open.
            assert failure.errno == errno.ESTALE, failure
            self.counts["stale"] += 1
            return
        try:
            size = os.fstat(fd).st_size
            whole = os.pread(fd, size + 1, 0)
            assert len(whole) == size
            with zipfile.ZipFile(io.BytesIO(whole)) as archive:
                for number in range(MEMBERS):
                    # zipfile compares the CRC.
                    state_of(f"m{number}", archive.read(f"openpype/load/m{number}.py"))
            for start, length, right in self.ranges(fd, whole):
                assert os.pread(fd, length, start) == right, (start, length)
        finally:
            os.close(fd)
        self.counts["opens"] += 1
        self.counts["archives"] += 1

    def read_small(self):
        for _ in range(10):
            with open(self.live / "settings/main.py", "rb") as file:
                state_of("main", file.read())
            self.counts["opens"] += 1


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


class Slot:
    def __init__(self, arrays, index):
        self.arrays, self.index = arrays, index

    def __getitem__(self, name):
        return self.arrays[name][self.index]

    def __setitem__(self, name, value):
        self.arrays[name][self.index] = value


# --- What a daemon has -----------------------------------------------------------------------------


def has(mnt):
    pid = int(os.getxattr(mnt, "user.addonfs.pid"))
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
    """So that the kernel forgets our inodes; it does so in its own time."""
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("2")


def settle_at(mnt, most):
    """Wait until it has no more than that of each; what it has then."""
    def enough():
        drop_caches()
        found = has(mnt)
        return all(found[name] <= most[name] for name in most)

    try:
        until(enough)
    except AssertionError as failure:
        raise AssertionError(f"{has(mnt)} is more than {most}") from failure
    return has(mnt)


def load(mnt, frozen, right, edit, seconds, lookups, opens):
    """Readers beside edits, until the time is over and enough was done."""
    stop, failed = multiprocessing.Event(), multiprocessing.Event()
    shared = Shared(["lookups", "opens", "archives", "stale"], READERS)
    children = []
    for number in range(READERS):
        ours, theirs = multiprocessing.Pipe(False)
        reader = Reader(mnt, frozen, right, Slot(shared.arrays, number), f"{SEED} {number}")
        process = multiprocessing.Process(target=child, args=(reader, stop, failed, theirs))
        process.start()
        theirs.close()
        children.append((process, ours))
    begin = time.monotonic()
    edits = 0
    while not failed.is_set() and (time.monotonic() < begin + seconds or shared.sum("lookups") < lookups
                                   or shared.sum("opens") < opens):
        edit(edits)
        edits += 1
        # So many a minute, and no more.
        failed.wait(max(0, begin + edits * 60 / EDITS_A_MINUTE - time.monotonic()))
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
    assert not messages, "\n".join(messages)
    return {"seconds": round(took), "edits": edits, **{name: shared.sum(name) for name in shared.arrays}}


def test_many_readers_beside_many_edits(folder, fuse, root_user):
    print(f"\nADDONFS_SEED={SEED}")
    repo = Repository(folder / "source")
    repo.write({f"openpype/load/m{number}.py": content(f"m{number}", 0) for number in range(MEMBERS)})
    repo.write({"server_addon/server/settings/main.py": content("main", 0),
                "openpype/blob.bin": random.Random(SEED).randbytes(3 << 20)})
    sha = repo.commit()
    expected = oracle.package_a(repo.checkout(folder / "checkout"))
    chance = random.Random(SEED)

    def edit(number):
        name = "main" if number % 5 == 0 else f"m{chance.randrange(MEMBERS)}"
        path = "server_addon/server/settings/main.py" if name == "main" else f"openpype/load/{name}.py"
        replace(repo.path / path, content(name, chance.randrange(STATES)))

    with mounted(repo.path, folder / "mnt") as mnt:
        frozen = client_zip(mnt / "commits" / sha)
        right = {"zip": frozen.read_bytes(), "names": os.listdir(package(mnt))}
        assert oracle.read_zip(right["zip"]) == expected.members
        assert sorted(right["names"]) == sorted({os.fsdecode(n.split(b"/")[0]) for n in expected.files} | {"private"})
        # Caches fill, threads begin, and libraries take what they keep: the start is behind that.
        print("first:", has(mnt))
        load(mnt, frozen, right, edit, SECONDS / 20, 0, 0)
        drop_caches()
        until(lambda: status(mnt)["ready"] == status(mnt)["members"])
        start = settle_at(mnt, {})
        figures = load(mnt, frozen, right, edit, SECONDS, LOOKUPS, OPENS)
        print(figures)
        print("start:", start, "behind the load:", has(mnt))
        # Of inodes and descriptors what is open now, give or take what the kernel has not let go of and
        # a reader of objects that is kept; of threads those that libfuse keeps idle. Of memory what is
        # bounded but was not full yet (members in memory), and what the heaps have in holes.
        print("end:", settle_at(mnt, {"inodes": start["inodes"] + 16, "fds": start["fds"] + 8,
                                      "Threads": start["Threads"] + 4,
                                      "RssAnon": start["RssAnon"] * 5 // 4 + 16384}))
        assert oracle.read_zip(client_zip(mnt).read_bytes()) == oracle.package_a(repo.path).members


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
        assert result.returncode == 0, (number, result.stderr)
        assert oracle.read_zip(client_zip(folder / "mnt").read_bytes()) == right.members, number
        result = run("umount", folder / "mnt", env=environment)
        assert result.returncode == 0, (number, result.stderr)
        took.append(time.monotonic() - begin)
        left = left or sorted(os.listdir(cache / "addonfs"))
        assert os.listdir(temporary) == []
        assert os.listdir(folder / "mnt") == []
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

    def text(number, commit):
        """What a file holds as of a commit."""
        last = max((c for c in range(number if number else FILES, commit + 1, FILES)), default=0)
        return f"number = {number}\n" + (f"commit = {last}\n" if last else "")

    def check(path, commit, edited=None):
        with zipfile.ZipFile(path) as archive:
            assert len(archive.infolist()) == FILES + 1
            for number in {0, 1, 2, commit % FILES, (commit + 1) % FILES, FILES // 2, FILES - 1}:
                right = text(number, commit) + ("edited = True\n" if number == edited else "")
                assert archive.read(large_path(number)).decode() == right, number

    for options in ("", "rev=main"):
        begin = time.monotonic()
        with mounted(repo.path, folder / "mnt", options) as mnt:
            step(f"mount ({options or 'worktree'})")
            assert os.listdir(mnt / "package/openpype") == ["3.15.12"]
            step("listing of the addon")
            os.stat(client_zip(mnt))
            step("stat of client.zip")
            data = client_zip(mnt).read_bytes()
            step(f"client.zip read, {len(data) >> 20} MiB")
            check(io.BytesIO(data), COMMITS - 1)
            step("(checked)")
            if not options:
                with open(repo.path / large_path(7), "a") as file:
                    file.write("edited = True\n")
                os.stat(client_zip(mnt))
                step("an edit, and the next stat")
                check(client_zip(mnt), COMMITS - 1, edited=7)
                step("client.zip with it, checked")
                repo.git("checkout", "-q", ".")
                assert client_zip(mnt).read_bytes() == data
                step("git checkout ., and the same bytes again")
            old = client_zip(mnt / "commits" / shas[COMMITS // 2])
            os.stat(old)
            step("stat of client.zip in commits/<in the middle>")
            check(old, COMMITS // 2)
            step("client.zip of that, checked")
            assert len(os.listdir(mnt / "commits")) <= 3
            print("          it has", has(mnt))
            step = Watch()
        step("unmount")
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


def test_a_small_read_while_much_is_compressed(folder, fuse):
    repo = Repository(folder / "source")
    block = random.Random(SEED).randbytes(8 << 20).hex().encode()  # 16 MiB, of which half can be saved
    (repo.path / "openpype/bulk").mkdir()
    for number in range(BYTES // len(block)):
        (repo.path / f"openpype/bulk/f{number}.txt").write_bytes(str(number).encode() + block)
    small = repo.path / "server_addon/server/__init__.py"
    same, edited, stats = [], [], []
    with mounted(repo.path, folder / "mnt", "cache=none") as mnt:
        begin, number = time.monotonic(), 0
        while True:
            # status.json would wait until all is looked at.
            ready, all_members = os.getxattr(mnt, "user.addonfs.progress").split()
            if ready == all_members and len(same) > 0:
                break
            for took, path in ((same, "__init__.py"), (edited, "settings/main.py")):
                number += 1
                if took is edited:
                    (repo.path / "server_addon/server/settings/main.py").write_text(f"x = {number}\n")
                start = time.monotonic()
                found = (package(mnt) / path).read_text()
                took.append(time.monotonic() - start)
                assert found == (small.read_text() if took is same else f"x = {number}\n")
            start = time.monotonic()
            os.listdir(package(mnt))
            stats.append(time.monotonic() - start)
        seconds = time.monotonic() - begin
    print(f"\n{BYTES >> 20} MiB compressed in {seconds:.1f} s")
    for what, took in (("read", same), ("read of what was just edited", edited), ("readdir", stats)):
        print(f"{what}: {len(took)}, median {statistics.median(took) * 1e3:.3f} ms, "
              f"99 % {sorted(took)[len(took) * 99 // 100] * 1e3:.3f} ms, worst {max(took) * 1e3:.1f} ms")
