"""The README's session, run as it stands there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from mounting import ADDONFS, ENVIRONMENT, TIMEOUT, clean

TOP = Path(__file__).resolve().parents[2]


def session():
    """(command, expected output) of every `console` block, in order."""
    steps = []
    for block in re.findall(r"^```console\n(.*?)^```$", (TOP / "README.md").read_text(), re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def test_the_session_gives_what_the_readme_shows(fuse, folder):
    (folder / "tests").symlink_to(TOP / "tests")
    (folder / "build").symlink_to(Path(ADDONFS).parent)
    try:
        steps = session()
        assert len(steps) > 20
        for command, expected in steps:
            result = subprocess.run(
                ["/bin/sh", "-c", command], cwd=folder, stdin=subprocess.DEVNULL, timeout=TIMEOUT,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env={**os.environ, **ENVIRONMENT, "LC_ALL": "C.UTF-8"})
            assert result.stdout.decode().splitlines() == expected, command
    finally:
        clean(folder / "view")


def test_every_option_is_in_the_readme_and_in_the_help(program):
    readme = (TOP / "README.md").read_text()
    shown = subprocess.run([program, "--help"], capture_output=True, check=True).stdout.decode()
    lines = re.findall(r"^  ([a-z].*?)(?:  .*| (?:derive|leave|upload zips).*)$", shown.partition("Options:")[2], re.M)
    options = {part.partition("=")[0] for line in lines for part in line.split(", ")}
    assert {"rev", "view", "problems", "allow_other", "uid", "gid", "umask", "ro", "nodev"} <= options
    table = readme.partition("| option | |\n")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines()[1:]]
    assert {name for row in rows for name in re.findall(r"`([a-z_]+)[=`]", row)} == options


def test_the_targets_that_the_readme_names_exist():
    shown = subprocess.run(["make", "help"], cwd=TOP, capture_output=True, check=True).stdout.decode()
    targets = set(re.findall(r"^([a-z_-]+) ", shown, re.M))
    readme = (TOP / "README.md").read_text()
    named = {target for words in re.findall(r"(?:`|^ *|&& |sudo )make ((?:[a-z_-]+ ?)+)", readme, re.M)
             for target in words.split()}
    assert {"run", "test", "lint", "install", "deb", "test-install", "bench", "soak", "fuzz", "coverage"} <= named
    assert named <= targets


def test_every_command_and_its_options_are_in_the_readme_as_in_the_help(program):
    readme = (TOP / "README.md").read_text()
    shown = subprocess.run([program, "--help"], capture_output=True, check=True).stdout.decode()
    usage = re.findall(r"^  addonfs (\w+) (.*)$", shown, re.M)
    assert {"mount", "umount", "status", "list", "diff", "verify", "cache", "export", "wait"} == {c for c, _ in usage}
    for command, rest in usage:
        row = re.search(rf"^\| `addonfs {command} (.*?)` \|", readme, re.M)[1].replace("\\|", "|")
        for option in re.findall(r"--\w+", rest):
            assert option in row, (command, option)
            assert re.search(rf"^  (-\w, )?{option}\b", shown, re.M), option
        assert re.findall(r"--\w+", row) == re.findall(r"--\w+", rest)
