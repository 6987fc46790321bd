"""Manual pages and completions know what the help does: every command, its flags, every option of -o, and the values that
the program takes."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import need
from mounting import run

TOP = Path(__file__).resolve().parents[2]
BASH, ZSH, FISH = (TOP / "fs/dist/completion" / name for name in ("addonfs.bash", "_addonfs", "addonfs.fish"))


@pytest.fixture(scope="module")
def said(program):
    """(commands with their flags, options of -o, values of an option) as --help has them."""
    shown = subprocess.run([program, "--help"], capture_output=True, check=True).stdout.decode()
    usage = {name: set(re.findall(r"--\w+", rest)) for name, rest in re.findall(r"^  addonfs (\w+) (.*)$", shown, re.M)}
    usage["mount"].add("--foreground")
    lines = re.findall(r"^  ([a-z].*?)(?:  .*| (?:derive|leave|upload zips).*)$", shown.partition("Options:")[2], re.M)
    options = {part.partition("=")[0] for line in lines for part in line.split(", ")}
    assert {"rev", "version", "uid", "gid", "nodev", "upload"} <= options and len(usage) == 9
    return usage, options


# Words that are tried as a value. None of these calls gets as far as to look at a source.
TRIED = {
    "--format": {"folder", "zip", "tar", "tar.gz", "tar.xz", "tar.zst", "tgz", "tar.bz2", "7z", "cpio"},
    "--view": {"package", "upload", "client", "commits", "snapshots"},
    "view": {"package", "upload", "client", "commits", "snapshots"},
    "layout": {*"abcde", "ab"},
    "license": {"no", "yes", "none"},
    "upload": {"prefixed", "no", "root"},
    "lfs": {"pointer", "content", "no"},
    "problems": {"skip", "fail", "no"},
    "watch": {"poll", "inotify", "none"},
    "level": {str(number) for number in range(-1, 15)},
}


@pytest.fixture(scope="module")
def taken(program):
    """{option: those of the words above that the program takes, but for what goes without saying}."""
    found = {name: set() for name in TRIED}
    for name, words in TRIED.items():
        for word in words:
            option = [f"{name}={word}"] if name.startswith("--") else ["-o", f"{name}={word}"]
            result = run("export", "/nowhere", "/nowhere/at/all", *option)
            if result.stderr == b"addonfs: /nowhere: No such file or directory\n":
                found[name].add(word)
            else:
                assert result.returncode == 2, (name, word, result)
    found["license"].remove("yes")
    assert all(found.values())
    return found


def words_of(text):
    return set(re.findall(r"[a-z0-9.]*[a-z0-9]", text))


def bash_completes(words):
    """What bash offers for the last of the words."""
    script = f"""
        compopt() {{ :; }}
        source '{BASH}'
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _addonfs
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    result = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, check=True)
    assert not result.stderr
    return result.stdout.decode().split()


def test_bash_completes_commands_flags_and_options(said):
    usage, options = said
    assert set(usage) <= set(bash_completes(["addonfs", ""]))
    assert bash_completes(["addonfs", "exp"]) == ["export"]
    for command, flags in usage.items():
        offered = {word.partition("=")[0] for word in
                   bash_completes(["addonfs", command, *(["stats"] if command == "cache" else []), "--"])}
        assert offered == flags, command
    offered = bash_completes(["addonfs", "mount", "-o", ""])
    assert {word.partition("=")[0] for word in offered} == options
    assert bash_completes(["addonfs", "mount", "-o", "rev=main,lay"]) == ["rev=main,layout="]
    assert set(bash_completes(["addonfs", "cache", ""])) >= {"stats", "prune", "clear"}


def test_zsh_and_fish_know_the_same_commands_flags_and_options(said):
    usage, options = said
    zsh, fish = ZSH.read_text(), FISH.read_text()
    values = zsh.partition("_values")[2].partition("}")[0]
    assert set(re.findall(r"'([a-z_]+)\[", values)) == options
    words = fish.partition("for option in ")[2].partition("#")[0].replace("\\", "").split()
    assert {word.partition("=")[0] for word in words} == options
    for command, flags in usage.items():
        arm = re.search(rf"^    {command}\)(.*?);;$", zsh, re.M | re.S)[1]
        arm = arm.replace("$json", "--json").replace("$timeout", "--timeout")
        assert set(re.findall(r"--\w+", arm)) == flags, command
        named = {flag for words, flag in
                 re.findall(r"__fish_seen_subcommand_from ([a-z ]+)'[^\n]*? -l (\w+)", fish) if command in words.split()}
        assert {f"--{flag}" for flag in named} == flags, command
        assert f"'{command}:" in zsh and f"-a {command} " in fish


def test_the_help_the_readme_and_the_manual_page_name_the_values(program, taken):
    shown = subprocess.run([program, "--help"], capture_output=True, check=True).stdout.decode()
    readme = (TOP / "README.md").read_text()
    page = re.sub(r"\\f[BIRP]", "", (TOP / "fs/dist/man/addonfs.1").read_text()).replace("\\-", "-")
    lists = {"--format": (r"--format=FORMAT +(.*?);", r"`--format=` says \((.*?)\)", r"--format is one of\n(.*?), whatever"),
             "--view": (r"--view=NAME +(.*)", None, r"--view: (.*?)\.\s"),
             "view": (r" view=NAME +(.*)", r"^\| (`view=.*?) \|", r"^view=NAME\n(.*)"),
             "layout": (r" layout=NAME +(.*?);", r"^\| `layout=NAME` \| .*? of layout (.*?), see", r"^layout=NAME\n(.*?);")}
    for name, patterns in lists.items():
        for text, pattern in zip((shown, readme, page), patterns):
            if pattern:
                said = re.search(pattern, text, re.M | re.S if "of\\n" in pattern else re.M)[1]
                assert words_of(said) & TRIED[name] == taken[name], (name, said)
    for name in ("license", "upload", "lfs", "problems", "watch"):
        value, = taken[name]
        for text in (shown, readme, page):
            assert set(re.findall(rf"(?:^|[ `]){name}=([a-z]+)", text, re.M)) & TRIED[name] == {value}, name
    assert taken["level"] == {str(number) for number in range(1, 13)}
    for text, said in ((shown, "level=N          compression, 1 (fast) to 12 (small)"), (readme, "`level=1…12`"),
                       (page, "level=N\ncompression, 1 to 12;")):
        assert said in text


def test_bash_completes_values(taken):
    for name, values in taken.items():
        before = ["export", "a", "b"] if name.startswith("--") else ["mount", "-o"]
        # As bash splits what was typed.
        assert set(bash_completes(["addonfs", *before, name, "="])) == values
        assert set(bash_completes(["addonfs", *before, name, "=", ""])) == values
        value = max(values)
        assert value in bash_completes(["addonfs", *before, name, "=", value[0]])
        assert bash_completes(["addonfs", *before, name, "=", "%"]) == []
    assert set(bash_completes(["addonfs", "mount", "-o", "rev=main,view", "=", ""])) == taken["view"]
    # Another option behind a value, and folders.
    assert bash_completes(["addonfs", "mount", "-o", "view", "=", "package,lay"]) == ["package,layout="]
    assert "/usr" in bash_completes(["addonfs", "mount", "-o", "cache", "=", "/us"])


def test_zsh_knows_the_values(taken):
    text = ZSH.read_text()
    for name, values in taken.items():
        said = re.search(rf"'{name}=?\[[^]]*\]:\w+:\((.*?)\)'", text)[1]
        assert set(said.split()) == values, name


def test_fish_completes_values(taken):
    need(shutil.which("fish"), "fish")
    for name, values in taken.items():
        line = f"addonfs export a b {name}=" if name.startswith("--") else f"addonfs mount -o {name}="
        result = subprocess.run(["fish", "--no-config", "-c", f"source '{FISH}'; complete -C '{line}'"], capture_output=True,
                                check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
        offered = {line.partition("\t")[0].partition("=")[2] for line in result.stdout.decode().splitlines()}
        assert offered == values, name


def test_fish_completes_options_behind_a_comma(said):
    need(shutil.which("fish"), "fish")
    for before in ("", "ro,", "rev=main,ro,"):
        result = subprocess.run(["fish", "--no-config", "-c", f"source '{FISH}'; complete -C 'addonfs mount -o {before}'"],
                                capture_output=True, check=True)
        offered = [line.partition("\t")[0] for line in result.stdout.decode().splitlines()]
        assert offered and all(word.startswith(before) for word in offered)
        assert {word.removeprefix(before).partition("=")[0] for word in offered} == said[1], before


@pytest.mark.parametrize("shell, file", [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_the_shell_can_read_its_completion(shell, file):
    need(shutil.which(shell), shell)
    result = subprocess.run([shell, "-n", file], capture_output=True)
    assert result.returncode == 0 and not result.stderr


def test_the_manual_pages_name_every_command_flag_and_option(said):
    usage, options = said
    page = re.sub(r"\\f[BIRP]", "", (TOP / "fs/dist/man/addonfs.1").read_text()).replace("\\-", "-")
    explained = " ".join(re.findall(r"^\.TP\n(.*)$", page, re.M))
    for command, flags in usage.items():
        assert re.search(rf"\b{command}\b", explained), command
        synopsis = re.search(rf"^addonfs {command}\b.*$", page, re.M)[0]
        assert set(re.findall(r"--\w+", synopsis)) == flags - {"--foreground"}, command
    assert "--foreground" in page
    listed = page.partition(".SH OPTIONS")[2].partition(".SH")[0]
    assert {name for line in re.findall(r"^\.TP\n(.*)$", listed, re.M) for name in re.findall(r"([a-z_]+)(?:=\S*)?(?:,|$)", line)} \
        == options
    also = (TOP / "fs/dist/man/mount.addonfs.8").read_text()
    assert "fstab" in also and "-t addonfs" in also.replace("\\-", "-")
