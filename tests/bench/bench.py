#!/usr/bin/env python3
"""addonfs beside its peers and its limits, measured in one run. `make bench` calls it.

Everything is measured on a clone of REPO's HEAD, or on a synthetic repository (synthetic.py). Each
round measures everything, every other round in the opposite order, so that what else goes on
meanwhile meets all alike. report.py says what comes of it. Nothing is judged here but whether the
results are right: a wrong result could be fast.

Environment: ADDONFS is the program, ADDONFS_BUILD the folder with bench/limit and bench/memfs.
"""

import argparse
import contextlib
import itertools
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

import oracle  # noqa: E402
import report  # noqa: E402
import synthetic  # noqa: E402
from mounting import clean, mounted, run, settle, status  # noqa: E402
from repository import ENVIRONMENT  # noqa: E402

BUILD = Path(os.environ.get("ADDONFS_BUILD", "build")).resolve() / "bench"
ZIP = Path("private", "client.zip")
CLIENT = "openpype"

REPEAT = 5  # of what takes milliseconds, a round
LOOKUPS = 20000  # calls of stat, a round
MANY_LOOKUPS = 1_000_000  # path components, once

# Members, bytes of each, and bytes of the pieces that these are made of.
GROWTH = [(1000, 1000, 1000), (10000, 1000, 1000), (100000, 1000, 1000), (2048, 1 << 20, 1 << 16)]
GROWTH_ROOM = 8 << 30  # bytes of disk

WATCHED = [500, 5000, 50000]  # folders


def seconds(command, **options):
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)
    return time.perf_counter() - begin


def cat(*paths):
    return seconds(["cat", *paths])


def drop_pages(path):
    """Take one file out of the page cache; the rest of the system keeps what it has."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def rss_anon(mountpoint):
    """Bytes of anonymous memory of a mount's daemon."""
    text = Path("/proc", str(status(mountpoint)["pid"]), "status").read_text()
    return int(re.search(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024


def time_lookup(path, components):
    """Seconds that each component of a path takes when it is looked up again and again."""
    begin = time.perf_counter()
    for _ in range(LOOKUPS):
        os.stat(path)
    return (time.perf_counter() - begin) / LOOKUPS / components


def members(data):
    return {name: content for name, (content, _) in oracle.read_zip(data).items()}


class Source:
    """A repository, and how it is mounted. Its `cache` is empty at first."""

    def __init__(self, path, scratch):
        self.path = path
        self.scratch = scratch
        self.cache = scratch / "cache"
        self.cache.mkdir(mode=0o700)
        self.mountpoint = scratch / "mnt"
        version = oracle.read_version((path / CLIENT / "version.py").read_bytes())
        self.folder = Path("package", CLIENT, version)
        self.components = len(self.folder.parts) + len(ZIP.parts)
        scripts = sorted((path / CLIENT).rglob("*.py"), key=lambda p: (p.stat().st_size, p))
        self.edited = scripts[len(scripts) // 2]
        self.serial = itertools.count()

    def environment(self, cache):
        return {**os.environ, **ENVIRONMENT, "XDG_CACHE_HOME": os.fspath(cache)}

    @contextlib.contextmanager
    def mount(self, options="", cache=None):
        """Hand out the version's folder. Without a timeout, for which Python would poll."""
        env = self.environment(cache or self.cache)
        with mounted(self.path, self.mountpoint, options, env=env, timeout=None) as place:
            yield place / self.folder

    def compose(self, use, options="", cache=None):
        """Seconds from the start of `addonfs mount` to the end of `use` of client.zip."""
        os.sync()
        begin = time.perf_counter()
        with self.mount(options, cache) as place:
            use(place / ZIP)
            return time.perf_counter() - begin

    def compose_cold(self, options=""):
        with tempfile.TemporaryDirectory(dir=self.scratch) as cache:
            return self.compose(cat, options, cache)

    @contextlib.contextmanager
    def edit(self):
        """Hand out a function that adds a line to a file of middle size, as nothing did before."""
        before = self.edited.read_bytes()

        def add_line():
            with open(self.edited, "ab") as file:
                file.write(b"# edit %d\n" % next(self.serial))

        try:
            yield add_line
        finally:
            self.edited.write_bytes(before)
            settle(self.path, self.edited)

    def edit_and_stat(self, path):
        """Seconds of each of several `stat` that follow an edit."""
        found = []
        with self.edit() as add_line:
            for _ in range(REPEAT):
                add_line()
                begin = time.perf_counter()
                os.stat(path)
                found.append(time.perf_counter() - begin)
        return found


class Bench:
    def __init__(self, path, scratch):
        self.scratch = scratch
        self.source = Source(path, scratch)
        self.samples = defaultdict(list)  # what, or (what, where) -> seconds
        self.facts = {}  # what is found once
        self.out = scratch / "out"
        self.staged = scratch / "staged" / CLIENT / self.source.folder.name

    # --- Composing ---

    def peers(self):
        """What others do, each with its command; it writes to `out` what it has to write."""
        path, out, limit = self.source.path, self.out, BUILD / "limit"
        archive = ["git", "-C", path, "archive", "--format=zip"]
        return {
            "packager": [sys.executable, TESTS / "oracle.py", "pack", path, out],
            "git archive": [*archive, "-o", out / "git.zip", f"HEAD:{CLIENT}"],
            "zip": ["sh", "-c", f'cd "$1" && zip -qr "$2" {CLIENT}', "sh", path, out / "zip.zip"],
            "bsdtar": ["bsdtar", "-C", path, "--format", "zip", "-cf", out / "tar.zip", CLIENT],
            "limit worktree": [limit, "worktree", path, CLIENT],
            "limit git": [limit, "git", path, CLIENT],
        }

    def clear_out(self):
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        os.sync()

    def run_peer(self, command):
        self.clear_out()
        return seconds(command)

    def stat_after_edit(self):
        with self.source.mount() as place:
            os.stat(place / ZIP)
            return self.source.edit_and_stat(place / ZIP)

    def composing(self):
        """name -> a function that measures it: seconds, or a list of them."""
        source = self.source
        return {
            **{name: partial(self.run_peer, command) for name, command in self.peers().items()},
            "cold worktree": source.compose_cold,
            "cold revision": partial(source.compose_cold, "rev=HEAD"),
            "warm worktree": partial(source.compose, cat),
            "warm revision": partial(source.compose, cat, "rev=HEAD"),
            "warm stat": partial(source.compose, os.stat),
            "edit": self.stat_after_edit,
        }

    def compose(self, name, measure):
        found = measure()
        self.samples[name] += found if isinstance(found, list) else [found]

    # --- Reading ---

    @contextlib.contextmanager
    def memfs(self):
        """Hand out the file as which the bare libfuse daemon serves client.zip's bytes."""
        place = self.scratch / "memfs"
        place.mkdir(exist_ok=True)
        daemon = subprocess.Popen([BUILD / "memfs", self.staged / ZIP, place], stdout=subprocess.PIPE)
        try:
            assert daemon.stdout.readline() == b"mounted\n", "memfs does not mount"
            yield place / "file"
        finally:
            daemon.terminate()
            daemon.wait()
            clean(place)

    def read_alone(self, path, components, where):
        """What can only be done on a mount that is new, or that no other tool is looking at."""
        os.stat(path)
        opened = seconds(["sh", "-c", '<"$1"', "sh", path])
        self.samples["first open", where].append(opened)
        self.samples["first cat", where].append(cat(path))
        self.samples["open and cat", where].append(opened + self.samples["first cat", where][-1])
        for _ in range(REPEAT):
            self.samples["cached cat", where].append(cat(path))
        for _ in range(REPEAT):
            drop_pages(path)
            self.samples["dropped cat", where].append(cat(path))
        self.samples["lookup", where].append(time_lookup(path, components))

    def read_memfs(self):
        with self.memfs() as path:
            self.read_alone(path, 1, "beside")

    def read_mount(self):
        with self.source.mount() as place:
            self.read_alone(place / ZIP, self.source.components, "addonfs")
            self.read_in_turns({"addonfs": place, "beside": self.staged})

    def read_in_turns(self, places):
        """The mount and the staged folder, at first without measuring."""
        paths = {where: sorted(place.rglob("*")) for where, place in places.items()}
        files = {where: [p for p in found if p.is_file()] for where, found in paths.items()}
        inside = [path.relative_to(places["addonfs"]) for path in paths["addonfs"]]
        assert inside == [path.relative_to(self.staged) for path in paths["beside"]]
        self.facts["components"] = sum(len(path.parts) for path in inside)

        def stat_all(where):
            begin = time.perf_counter()
            for path in paths[where]:
                os.stat(path)
            return time.perf_counter() - begin

        # GNU tar reads nothing when it sees that it writes to /dev/null.
        tar = ["sh", "-c", 'tar -C "$1" -cf - . | cat', "sh"]
        rsync = {w: ["rsync", "-a", f"{places[w]}/", self.scratch / f"rsync-{w}"] for w in places}
        uses = {
            "second cat": lambda where: cat(places[where] / ZIP),
            "find": lambda where: seconds(["find", places[where]]),
            "stat": stat_all,
            "cat all": lambda where: cat(*files[where]),
            "tar": lambda where: seconds([*tar, places[where]]),
            "rsync": lambda where: seconds(rsync[where]),
        }
        for what, use in uses.items():
            for n, where in itertools.product(range(REPEAT + 1), places):
                found = use(where)
                if n > 0:
                    self.samples[what, where].append(found)
        for where in places:
            assert not subprocess.check_output([*rsync[where], "-i"]), "rsync had something to do"

    # --- Whether all of this is right ---

    def prepare(self):
        """Stage the package, compare what is measured, and fill the cache on the way."""
        result = run("export", self.source.path, self.scratch / "staged",
                     env=self.source.environment(self.source.cache))
        assert result.returncode == 0, result.stderr.decode()
        self.clear_out()
        said = {name: subprocess.check_output(command) for name, command in self.peers().items()}
        packed = next(self.out.rglob("client.zip"))
        expected = members(packed)
        for name in ("git.zip", "zip.zip", "tar.zip"):
            assert len(members(self.out / name)) >= len(expected), name
        size = sum(map(len, expected.values()))
        assert said["limit worktree"].startswith(b"%d files, %d bytes," % (len(expected), size))
        assert said["limit git"].startswith(b"%d files," % len(expected))
        self.compare_mount(expected)
        self.facts.update(members=len(expected), bytes=size, packager_zip=packed.stat().st_size,
                          addonfs_zip=(self.staged / ZIP).stat().st_size)

    def compare_mount(self, expected):
        with self.source.mount() as place, self.source.edit() as add_line:
            data = (place / ZIP).read_bytes()
            add_line()
            later = members((place / ZIP).read_bytes())
            name = os.fsencode(self.source.edited.relative_to(self.source.path))
            edited = {**expected, name: self.source.edited.read_bytes()}
        with self.source.mount("rev=HEAD") as place:
            frozen = (place / ZIP).read_bytes()
        assert members(data) == expected, "addonfs and the packager differ"
        assert later == edited, "an edit does not give what it should"
        assert frozen == data, "worktree and revision differ"
        assert (self.staged / ZIP).read_bytes() == data, "mount and export differ"

    # --- All of it ---

    def measure(self, runs):
        jobs = [partial(self.compose, *job) for job in self.composing().items()]
        jobs += [self.read_memfs, self.read_mount]
        for n in range(runs):
            say(f"round {n + 1} of {runs}")
            for job in jobs if n % 2 == 0 else reversed(jobs):
                job()

    def measure_memory(self):
        """Anonymous memory after everything that is done on a mount, and after many lookups."""
        say(f"{MANY_LOOKUPS:,} lookups")
        with self.source.mount() as place:
            paths = [*place.rglob("*"), place / "absent"]
            cat(*(path for path in paths if path.is_file()))
            self.source.edit_and_stat(place / ZIP)
            cat(place / ZIP)
            self.facts["memory"] = rss_anon(self.source.mountpoint)
            looked_up = 0
            for path in itertools.cycle(paths):
                os.path.exists(path)
                looked_up += len(path.relative_to(self.source.mountpoint).parts)
                if looked_up >= MANY_LOOKUPS:
                    break
            self.facts["memory after lookups"] = rss_anon(self.source.mountpoint)


def measure_growth(scratch, count, size, block):
    say(f"{count:,} members of {size:,} bytes")
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        synthetic.equal_files(Path(folder, "repo"), count, size, block)
        source = Source(Path(folder, "repo"), Path(folder))
        settle(source.path)
        row = {"members": count, "size": size}
        row["cold"] = source.compose(cat)
        row["warm"] = source.compose(cat)
        row["stat"] = source.compose(os.stat)
        with source.mount() as place:
            cat(place / ZIP)
            row["edit"] = statistics.median(source.edit_and_stat(place / ZIP))
            cat(place / ZIP)
            row["memory"] = rss_anon(source.mountpoint)
        return row


def measure_looks(scratch, count, runs):
    """What a live look costs when so many folders are watched, and when stamps are compared."""
    say(f"{count:,} watched folders")
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        synthetic.many_folders(Path(folder, "repo"), count)
        source = Source(Path(folder, "repo"), Path(folder))
        settle(source.path)
        row = {"folders": count}
        with source.mount() as place:
            assert not status(source.mountpoint)["problems"], "not all folders are watched"
            found = [time_lookup(place / ZIP, source.components) for _ in range(runs)]
            row["lookup"] = statistics.median(found)
        return row


def clone(repo, path):
    """HEAD of a repository as a clean checkout has it, without a copy of its objects."""
    subprocess.run(["git", "clone", "-q", "--shared", "--no-checkout", repo, path], check=True)
    subprocess.run(["git", "-C", path, "checkout", "-q", "HEAD", "--", "."], check=True,
                   env={**os.environ, **ENVIRONMENT})


def bench(arguments, scratch):
    say("preparing")
    if arguments.repo:
        clone(arguments.repo, scratch / "repo")
    else:
        synthetic.seed_tree(scratch / "repo")
    settle(scratch / "repo")
    bench = Bench(scratch / "repo", scratch)
    bench.facts.update(report.describe(scratch / "repo", arguments.repo), runs=arguments.runs)
    bench.prepare()
    bench.measure(arguments.runs)
    # Now and again at the end: what was measured is not lost if growth fails.
    report.write(bench.samples, bench.facts, arguments.out)
    if arguments.no_growth:
        return
    bench.measure_memory()
    looks = [measure_looks(scratch, count, arguments.runs) for count in WATCHED]
    growth = []
    if shutil.disk_usage(scratch).free >= GROWTH_ROOM:
        growth = [measure_growth(scratch, *case) for case in GROWTH]
    else:
        say(f"growth is left out: it needs {GROWTH_ROOM >> 30} GiB of disk")
    report.write(bench.samples, bench.facts, arguments.out, growth, looks)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repo", type=Path, help="whose HEAD is measured")
    parser.add_argument("--runs", type=int, default=5, help="rounds")
    parser.add_argument("--no-growth", action="store_true", help="leave out what is done once")
    parser.add_argument("--out", type=Path, default=TESTS / "bench" / "results")
    arguments = parser.parse_args()
    # So that mounts are taken away whatever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=BUILD) as scratch:
        bench(arguments, Path(scratch))
    say(f"see {arguments.out / 'results.md'}")


if __name__ == "__main__":
    main()
