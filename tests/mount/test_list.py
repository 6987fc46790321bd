"""addonfs list: what a source holds, beside what the oracle and the mount say."""

import json
import os
import subprocess
import zipfile

import pytest

import oracle_layouts
from mounting import mounted, run
from repository import Link, Repository
from samples import SAMPLES


@pytest.fixture
def make(folder):
    return lambda files: Repository(folder / "source", files)


def listed(repo, *options, code=0):
    result = run("list", repo.path, "--json", *options)
    assert result.returncode == code and result.stderr == b""
    return json.loads(result.stdout)


@pytest.mark.parametrize("options", [(), ("-o", "rev=HEAD")])
@pytest.mark.parametrize("layout", sorted(SAMPLES))
def test_numbers_are_those_of_the_mount(make, folder, fuse, layout, options):
    repo = make(SAMPLES[layout])
    found = listed(repo, *options)
    assert found["layout"].replace("+", "") == layout and found["problems"] == []
    _, packages = oracle_layouts.packages(repo.path if not options else repo.checkout(folder / "clean"))
    assert sorted(a["name"] for a in found["addons"]) == sorted(p.name.decode() for p in packages)
    with mounted(repo.path, folder / "mnt", *options[1:]) as mnt:
        for addon in found["addons"]:
            place = mnt / "package" / addon["name"] / addon["version"]
            sizes = [os.stat(os.path.join(base, name)).st_size for base, _, names in os.walk(place) for name in names]
            assert (addon["files"], addon["size"]) == (len(sizes), sum(sizes))
            upload = mnt / "upload" / f"{addon['name']}-{addon['version']}.zip"
            assert addon["upload"] == upload.stat().st_size
            client = place / "private/client.zip"
            if client.exists():
                assert addon["client"] == client.stat().st_size
                assert addon["members"] == len(zipfile.ZipFile(client).namelist())
            else:
                assert addon["client"] == addon["members"] == 0


def test_for_people_it_is_a_table(make, program):
    repo = make(SAMPLES["b"])
    result = run("list", repo.path)
    lines = result.stdout.decode().splitlines()
    assert result.returncode == 0 and lines[0] == "layout b" and lines[1].split() == [
        "ADDON", "VERSION", "FILES", "SIZE", "CLIENT"]
    assert [line.split()[:2] for line in lines[2:]] == [
        ["openpype", "3.18.1"], ["maya", "0.1.8"], ["royal_render", "0.1.1"]]


def test_what_is_wrong_is_told_and_exits_with_1(make, program):
    repo = make({**SAMPLES["d"], "client/ayon_core/broken.py": Link("nowhere")})
    found = listed(repo, code=1)
    assert [(p["path"], p["severity"]) for p in found["problems"]] == [("client/ayon_core/broken.py", "error")]
    result = run("list", repo.path)
    assert result.returncode == 1
    assert result.stdout.decode().splitlines()[-1] == "error: client/ayon_core/broken.py: the link is broken"


def test_a_source_of_which_nothing_can_be_said_exits_with_2(folder, program):
    (folder / "empty").mkdir()
    result = run("list", folder / "empty")
    assert result.returncode == 2 and result.stdout == b"" and len(result.stderr.splitlines()) == 1


def test_a_full_standard_output_is_an_error(make, program):
    repo = make(SAMPLES["a"])
    with open("/dev/full", "wb") as full:
        result = subprocess.run([program, "list", repo.path], stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 2 and b"standard output" in result.stderr
