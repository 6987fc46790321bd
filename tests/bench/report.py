"""What `make bench` says: targets and tables in Markdown, and a chart by gnuplot.

Times are medians, with the least and the most that was measured. Every ratio is one of medians of
the same run: times of another machine, or of another day on the same one, say little.
"""

import datetime
import os
import platform
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

PEER, LIMIT, OURS = "0x8c96a3", "0xd9a441", "0x2a6fbb"  # colours of bars

COMPOSING = {
    "packager": ("packager in Python", PEER),
    "git archive": ("git archive --format=zip", PEER),
    "bsdtar": ("bsdtar --format zip", PEER),
    "zip": ("zip -qr", PEER),
    "limit worktree": ("limit: read, hash, deflate", LIMIT),
    "limit git": ("limit: the same from Git's objects", LIMIT),
    "cold worktree": ("addonfs, empty cache", OURS),
    "cold revision": ("addonfs, empty cache, rev=HEAD", OURS),
    "warm worktree": ("addonfs, filled cache", OURS),
    "warm revision": ("addonfs, filled cache, rev=HEAD", OURS),
    "warm stat": ("addonfs, filled cache, stat alone", OURS),
    "edit": ("addonfs, stat after an edit", OURS),
}
READING = {
    "first open": ("opening client.zip, the first time of a mount", "memfs"),
    "first cat": ("`cat client.zip` after that", "memfs"),
    "dropped cat": ("`cat client.zip`, its pages dropped", "memfs"),
    "cached cat": ("`cat client.zip`, in the page cache", "memfs"),
    "second cat": ("`cat client.zip`, in the page cache", "staged"),
    "lookup": ("lookup of a path component", "memfs"),
    "find": ("`find`", "staged"),
    "stat": ("`stat` of every path", "staged"),
    "cat all": ("`cat` of all files", "staged"),
    "tar": ("`tar -cf - . \\| cat`", "staged"),
    "rsync": ("`rsync -a` with nothing to do", "staged"),
}

MIB = 1 << 20
LOOKUP = 35e-6  # seconds that a path component may take
FLAT = 4 * MIB  # what a million lookups may add: malloc's smallest piece in each would be 30 MiB


def show(seconds):
    for unit, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= 0.9995 * unit:
            return f"{seconds / unit:#.3g}".rstrip(".") + f" {name}"
    return f"{seconds * 1e9:.0f} ns"


def mib(size):
    return f"{size / MIB:.1f} MiB"


def describe(repo, given):
    """Where this is measured and on what, without a path."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    head = subprocess.check_output(["git", "-C", repo, "rev-parse", "--short=12", "HEAD"])
    return {
        "machine": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, "
                   f"Linux {platform.release()}, Python {platform.python_version()}, "
                   f"load average {os.getloadavg()[0]:.1f} at the start",
        "source": f"{'a clone' if given else 'the synthetic one'} at {head.decode().strip()}",
        "date": datetime.date.today().isoformat(),
    }


class Report:
    def __init__(self, samples, facts, growth, looks):
        self.samples = samples
        self.facts = facts
        self.growth = growth
        self.looks = looks

    def median(self, what):
        return statistics.median(self.samples[what])

    def ratio(self, what, other):
        return self.median(what) / self.median(other)

    def cells(self, what):
        found = self.samples[what]
        return f"{show(self.median(what))} | {show(min(found))} … {show(max(found))}"

    # --- Tables ---

    def head(self):
        facts = self.facts
        yield f"""# What `make bench` measured

On {facts['date']}: {facts['machine']}.
The repository is {facts['source']}: {facts['members']:,} members, {facts['bytes'] / 1e6:.1f} MB.
Medians of {facts['runs']} rounds. Each measures everything, what takes milliseconds several times."""

    def composing(self):
        yield """## Composing client.zip

addonfs: from the start of `addonfs mount` to the end of `cat client.zip >/dev/null`, or of its
`stat`. The others write a zip, the limits nothing.

| | median | least … most | of the packager |
|---|--:|--:|--:|"""
        for what, (label, _) in COMPOSING.items():
            yield f"| {label} | {self.cells(what)} | {self.ratio(what, 'packager'):.4f} |"

    def reading(self):
        yield """## Reading

Beside addonfs: a bare libfuse daemon that serves the same bytes from memory (memfs), or, in turns,
the same package staged on disk.

| | addonfs | least … most | beside it | | least … most | ratio |
|---|--:|--:|---|--:|--:|--:|"""
        for what, (label, other) in READING.items():
            ours, beside = (what, "addonfs"), (what, "beside")
            yield (f"| {label} | {self.cells(ours)} | {other} | {self.cells(beside)} "
                   f"| {self.ratio(ours, beside):.2f} |")

    def growing(self):
        yield """## Growth

Measured once. Memory is the daemon's RssAnon after editing and reading.

| members | empty cache | filled cache | `stat` alone | `stat` after an edit | memory |
|---|--:|--:|--:|--:|--:|"""
        for row in self.growth:
            cells = [f"{row['members']:,} of {row['size']:,} bytes"]
            cells += [show(row[name]) for name in ("cold", "warm", "stat", "edit")]
            yield f"| {' | '.join(cells)} | {mib(row['memory'])} |"

    def looking(self):
        yield """## A live look

What it costs to look up one component of a path, when so many folders of the source are watched.

| watched folders | a component | of memfs's |
|--:|--:|--:|"""
        for row in self.looks:
            ratio = row["lookup"] / self.median(("lookup", "beside"))
            yield f"| {row['folders']:,} | {show(row['lookup'])} | {ratio:.2f} |"

    # --- Targets: (target, measured, whether it is met), or None if it was not measured ---

    def at_most(self, what, other, limit):
        found = self.ratio(what, other)
        return f"≤ {limit} of {COMPOSING[other][0]}", f"{found:.4f}", found <= limit

    def rate(self, what, name, limit):
        found = self.ratio((what, "beside"), (what, "addonfs"))
        return f"≥ {limit} of {name}'s rate", f"{found:.2f}", found >= limit

    def rsync(self):
        count = self.facts["components"]
        ours, staged = self.median(("rsync", "addonfs")), self.median(("rsync", "beside"))
        limit = 1.2 * staged + LOOKUP * count
        return (f"≤ 1.2 of staged + {count} × 35 µs = {show(limit)}",
                f"{show(ours)}, {ours / staged:.2f} of staged", ours <= limit)

    def size(self):
        ours, python = self.facts["addonfs_zip"], self.facts["packager_zip"]
        return "< Python's", f"{ours:,} of {python:,} bytes, {ours / python:.3f}", ours < python

    def memory(self):
        size = self.facts.get("memory after lookups")
        return size and ("≤ 64 MiB", mib(size), size <= 64 * MIB)

    def flat(self):
        after = self.facts.get("memory after lookups")
        before = self.facts.get("memory")
        return after and ("flat", f"{mib(before)}, then {mib(after)}", after - before <= FLAT)

    def at_100k(self, what, limit, text):
        row = next((row for row in self.growth if row["members"] == 100000), None)
        return row and (f"≤ {text(limit)}", text(row[what]), row[what] <= limit)

    def targets(self):
        yield "## Targets\n\n| what | target | measured | |\n|---|---|---|---|"
        for what, row in (
            ("empty cache: mount, `cat`", self.at_most("cold worktree", "limit worktree", 1.25)),
            ("the same of rev=HEAD", self.at_most("cold revision", "limit git", 1.25)),
            ("empty cache: mount, `cat`", self.at_most("cold worktree", "packager", 0.33)),
            ("the same of rev=HEAD", self.at_most("cold revision", "packager", 0.33)),
            ("filled cache: mount, `cat`", self.at_most("warm worktree", "packager", 0.08)),
            ("filled cache: mount, `stat`", self.at_most("warm stat", "packager", 0.04)),
            ("one file edited: `stat`", self.at_most("edit", "packager", 0.0025)),
            ("the same at 100,000 members", self.at_100k("edit", 0.05, show)),
            ("second `cat`", self.rate("second cat", "a native file", 0.95)),
            ("first `cat`, members cached", self.rate("first cat", "memfs", 0.8)),
            ("the same, with the `open` that fetches them", self.rate("open and cat", "memfs", 0.8)),
            ("second `rsync -a`", self.rsync()),
            ("size of client.zip at level 6", self.size()),
            ("anonymous memory", self.memory()),
            ("the same over a million lookups", self.flat()),
            ("the same at 100,000 members", self.at_100k("memory", 200 * MIB, mib)),
        ):
            target, found, met = row or ("", "not measured", None)
            verdict = {True: "met", False: "**missed**", None: ""}[met]
            yield f"| {what} | {target} | {found} | {verdict} |"

    def text(self):
        parts = [self.head(), self.targets(), self.composing(), self.reading()]
        if self.growth:
            parts.append(self.growing())
        if self.looks:
            parts.append(self.looking())
        return "\n\n".join("\n".join(part) for part in parts) + "\n"

    def bars(self):
        """A line a bar: label, median, least and most, colour, and the median in words."""
        for what, (label, colour) in COMPOSING.items():
            found, middle = self.samples[what], self.median(what)
            yield f'"{label}"\t{middle}\t{min(found)}\t{max(found)}\t{colour}\t"{show(middle)}"\n'


def write(samples, facts, folder, growth=(), looks=()):
    report = Report(samples, facts, growth, looks)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(report.text(), encoding="utf-8")
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as bars:
        bars.writelines(report.bars())
        bars.flush()
        script = Path(__file__).with_name("chart.gnuplot")
        subprocess.run(["gnuplot", "-c", script, bars.name, folder / "results.svg"], check=True)
