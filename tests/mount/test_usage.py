"""Wrong usage of every command ends with 2 and one line, before anything is looked at. What fails otherwise ends as the
manual page says of that command."""

import os
import re
import subprocess

import pytest

from mounting import run

pytestmark = pytest.mark.usefixtures("program")

# What each command is called with, at least and at most, and an option of another one.
OPERANDS = {"mount": (2, 2, "--json"), "umount": (1, 1, "-oro"), "status": (0, 1, "--replace"), "list": (1, 1, "--lazy"),
            "diff": (2, 2, "--timeout=1"), "verify": (1, 2, "-f"), "cache": (1, 1, "--view=client"),
            "export": (2, 2, "--json"), "wait": (1, 1, "--foreground")}
WORDS = {"cache": ["stats", "clear"], "export": ["source", "out"]}


def refused(folder, *arguments):
    """What is said of wrong usage; nothing is made."""
    before = sorted(os.listdir(folder))
    result = run(*arguments, cwd=folder)
    text = result.stderr.decode()
    assert result.returncode == 2 and result.stdout == b"", (arguments, result)
    assert text.startswith("addonfs: ") and text.count("\n") == 1, (arguments, text)
    assert sorted(os.listdir(folder)) == before, arguments
    return text


def test_every_command_is_looked_at(program):
    shown = subprocess.run([program, "--help"], capture_output=True, check=True).stdout.decode()
    assert set(re.findall(r"^  addonfs (\w+) ", shown, re.M)) == set(OPERANDS)


def test_a_command_is_needed_that_there_is(folder):
    assert "a command is missing" in refused(folder)
    for word in ("", "mnt", "Mount", "--json", "-x", "cache stats"):
        assert f"unknown command: {word}" in refused(folder, word)


@pytest.mark.parametrize("command", OPERANDS)
def test_arguments_and_options_are_counted(repo, folder, command):
    least, most, foreign = OPERANDS[command]
    words = WORDS.get(command, ["source", "source"])
    for count in range(least):
        assert "an argument is missing" in refused(folder, command, *words[:count])
    for more in (["more"], ["--", "more"]):
        assert "one argument too many: more" in refused(folder, command, *words[:most], *more)
    least_words = words[:least]
    for option in ("--bogus", "-x", "--bogus=1"):
        assert f"unknown option or missing value: {option}" in refused(folder, command, *least_words, option)
    assert "this command has no such option: " in refused(folder, command, *least_words, foreign)


@pytest.mark.parametrize("command, options, text", [
    ("mount", ["-o"], "missing value: -o"),
    ("mount", ["-o", "bogus"], "unknown option bogus"),
    ("mount", ["-o", "bogus=1"], "unknown option bogus="),
    ("mount", ["-o", "layout=z"], "layout=z: there are a, b, c"),
    ("list", ["-o", "version=a/b"], "version=a/b: not git, source or a version"),
    ("diff", ["-o", "umask=888"], "umask=888: not an octal number"),
    ("verify", ["-o", "uid=-1"], "uid=-1: not a number"),
    ("umount", ["--timeout"], "missing value: --timeout"),
    ("umount", ["--timeout", "soon"], "not a number of seconds: soon"),
    ("status", ["--timeout", "-1"], "not a number of seconds: -1"),
    ("status", ["--timeout", "nan"], "not a number of seconds: nan"),
    ("wait", ["--timeout", "1s"], "not a number of seconds: 1s"),
    ("wait", ["--since"], "missing value: --since"),
    ("wait", ["--since", "yesterday"], "not the number of a generation: yesterday"),
    ("wait", ["--since", "-1"], "not the number of a generation: -1"),
    ("wait", ["--since", " 7"], "not the number of a generation:  7"),
    ("wait", ["--since", "7x"], "not the number of a generation: 7x"),
    ("wait", ["--since", str(2**64)], f"not the number of a generation: {2**64}"),
    ("cache", ["-o", "cache=none"], "cache=none: there is nothing to look after"),
    ("cache", ["-o", "cache_size=1X"], "cache_size=1X: not a size"),
    ("export", ["--format=rar"], "format rar: there are folder, zip, tar, tar.gz, tar.xz and tar.zst"),
    ("export", ["--format="], "format : there are folder, zip"),
    ("export", ["--format=tgz"], "format tgz: there are folder, zip"),
    ("export", ["--view=commits"], "view=commits: not package, upload or client"),
    ("export", ["-o", "view=commits"], "view=commits: not package, upload or client"),
])
def test_values_are_looked_at(repo, folder, command, options, text):
    words = WORDS.get(command, ["source", "source"])[:OPERANDS[command][1]]
    assert text in refused(folder, command, *words, *options)


@pytest.mark.parametrize("action", ["", "empty", "stat", "STATS", "stats "])
def test_a_cache_has_three_actions(folder, action):
    assert f"cache {action}: there are stats, prune and clear" in refused(folder, "cache", action)


def test_standard_output_takes_an_archive_of_a_format(repo, folder):
    for options in ([], ["--format=folder"]):
        assert "standard output: give the format of an archive, such as --format=tar" in \
            refused(folder, "export", repo.path, "-", *options)
    # Before the source is looked at.
    assert "such as --format=tar" in refused(folder, "export", "nowhere", "-")


@pytest.mark.parametrize("arguments, code", [
    (["mount", "nowhere", "mnt"], 1), (["umount", "mnt"], 1), (["cache", "stats", "-o", "cache=/dev/null"], 1),
    (["export", "nowhere", "out"], 1), (["status", "mnt"], 2), (["list", "nowhere"], 2), (["diff", "nowhere", "mnt"], 2),
    (["verify", "mnt"], 2), (["wait", "mnt"], 2),
])
def test_what_fails_otherwise_ends_as_the_manual_page_says(folder, arguments, code):
    (folder / "mnt").mkdir()
    result = run(*arguments, cwd=folder)
    assert result.returncode == code and result.stderr.decode().count("\n") == 1, result


def test_every_command_says_that_its_output_cannot_be_written(repo, folder, program):
    assert run("export", repo.path, folder / "out").returncode == 0
    cache = ("-o", f"cache={folder / 'cache'}")
    for arguments, code in ((("list", repo.path), 2), (("diff", "--json", repo.path, folder / "out"), 2), (("--help",), 1),
                            (("verify", folder / "out", repo.path), 2), (("cache", "stats", *cache), 1),
                            (("status", "--json"), 2)):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([program, *arguments], stdout=full, stderr=subprocess.PIPE)
        assert (result.returncode, result.stderr) == (code, b"addonfs: standard output: cannot be written\n"), arguments
