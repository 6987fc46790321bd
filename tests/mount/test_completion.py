"""Manual pages and completions know what the help does: every command, its flags, every option of -o."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import need

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
    words = fish.partition("for option in ")[2].partition("echo")[0].replace("\\", "").split()
    assert {word.partition("=")[0] for word in words} == options
    for command, flags in usage.items():
        arm = re.search(rf"^    {command}\)(.*?);;$", zsh, re.M | re.S)[1]
        arm = arm.replace("$json", "--json").replace("$timeout", "--timeout")
        assert set(re.findall(r"--\w+", arm)) == flags, command
        named = {flag for words, flag in
                 re.findall(r"__fish_seen_subcommand_from ([a-z ]+)'[^\n]*? -l (\w+)", fish) if command in words.split()}
        assert {f"--{flag}" for flag in named} == flags, command
        assert f"'{command}:" in zsh and f"-a {command} " in fish


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
