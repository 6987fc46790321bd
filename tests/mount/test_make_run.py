"""`make run`, with the program under test: nothing is built again for it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from building import TOP, Make
from conftest import need
from mounting import TIMEOUT, clean, client_zip, is_mounted, mounts, package, run
from repository import ENVIRONMENT


@pytest.fixture
def make(fuse, folder):
    need(shutil.which("make"), "make")
    need("ADDONFS_BUILD" in os.environ, "a build (environment variable ADDONFS_BUILD)")
    yield Make(Path(os.environ["ADDONFS_BUILD"]), folder / "build")
    for path in mounts(folder):
        clean(path)


def test_the_demo_is_mounted_and_shown(make):
    place = make.build / "demo/mnt"
    output = make.run()
    assert f"$ {make.build}/addonfs mount {make.build}/demo/repo {place}\n" in output
    for name in ("package/openpype/3.15.12/private/client.zip", "package/openpype/3.15.12/version.py",
                 "branches/main -> ../commits/", ".addonfs/status.json"):
        assert f"  {name}" in output, output
    assert f"{place}/.addonfs/status.json begins:\n" in output
    assert output.endswith(f"Unmount it with: {make.build}/addonfs umount {place}\n")
    assert client_zip(place).read_bytes()
    # As long as it is mounted, nothing is removed below it.
    assert f"umount {place}" in make("clean", code=1)
    assert client_zip(place).read_bytes()
    # Once more: begun anew, with other options.
    (make.build / "demo/repo/openpype/new.py").write_text("")
    assert "mount -o rev=main " in make.run(RUN_OPTIONS="-o rev=main")
    assert not (make.build / "demo/repo/openpype/new.py").exists()
    assert mounts(make.build) == [str(place)]
    assert run("umount", place).returncode == 0
    assert not is_mounted(place)
    make("clean")
    assert not make.build.exists()


def test_a_clone_of_ones_own_is_mounted_where_one_likes(make, repo, folder):
    place = folder / "a place"
    output = make.run(REPO=repo.path, MNT=place)
    assert "  package/openpype/3.15.12/version.py\n" in output
    assert (package(place) / "version.py").read_text()
    assert not (make.build / "demo").exists()
    output = make.run(REPO=repo.path, MNT=place, RUN_OPTIONS="-o view=package -o rev=HEAD")
    assert "  openpype/3.15.12/version.py\n" in output
    assert os.listdir(place) == ["openpype"]
    # Whatever else is mounted there is left alone.
    text = make("run", code=1, MNT=place)
    assert f"run: {repo.path} is mounted at {place}: choose another MNT\n" in text
    assert os.listdir(place) == ["openpype"]
    assert run("umount", place).returncode == 0


def test_a_failure_is_make_s_too(make, folder):
    text = make("run", code=1, REPO=folder / "absent", MNT=folder / "mnt")
    assert f"addonfs: {folder}/absent: No such file or directory\n" in text
    assert mounts(folder) == []


@pytest.mark.usefixtures("root_user")
def test_a_mount_of_something_else_is_left_alone(make, repo, folder):
    (folder / "mnt").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", folder / "mnt"], check=True)
    try:
        text = make("run", code=1, REPO=repo.path, MNT=folder / "mnt")
        assert "is a mount of something else: choose another MNT\n" in text
    finally:
        subprocess.run(["umount", folder / "mnt"], check=True)


def test_editors_are_told_of_every_c_file(make):
    """How each is compiled: compile_commands.json."""
    make("compile_commands")
    commands = json.loads((make.build / "compile_commands.json").read_text())
    there = {str(path.relative_to(TOP)) for folder in ("core", "fs", "tests") for path in (TOP / folder).rglob("*.c")}
    assert {command["file"] for command in commands} == there and len(commands) == len(there)
    for command in commands:
        assert command["directory"] == str(TOP) and command["command"].endswith(f" {command['file']}")
        if command["file"] in ("tests/fuzz/fuzz_zip.c", "tests/fuzz/replay.c", "tests/fixtures/coverage.c"):
            subprocess.run(["sh", "-ec", command["command"].rpartition(" -c -o ")[0] + f" -fsyntax-only {command['file']}"],
                           cwd=TOP, check=True, timeout=TIMEOUT)
