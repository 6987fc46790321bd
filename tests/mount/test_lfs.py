"""Git LFS: content from the repository's store of objects, or nothing."""

import hashlib
import os
import subprocess
import zipfile

import pytest

from mounting import client_zip, errors, mounted, package, status, until

CONTENT = b"not text \0 " * 5000


def pointer(content, size=None):
    return (b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
        hashlib.sha256(content).hexdigest().encode(), len(content) if size is None else size))


def place(repo, content):
    name = hashlib.sha256(content).hexdigest()
    return repo.path / ".git/lfs/objects" / name[:2] / name[2:4] / name


def fetch(repo, content, held=None):
    target = place(repo, content)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if held is None else held)


@pytest.fixture
def tracked(repo):
    repo.write({"openpype/big.bin": pointer(CONTENT), "server_addon/server/big.bin": pointer(CONTENT)})
    repo.commit()
    return repo


def members(mnt):
    with zipfile.ZipFile(client_zip(mnt)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def fails(read):
    with pytest.raises(OSError):
        read()


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
def test_the_content_is_shown_where_it_was_fetched(tracked, folder, fuse, options):
    fetch(tracked, CONTENT)
    with mounted(tracked.path, folder / "mnt", options) as mnt:
        assert members(mnt)["openpype/big.bin"] == CONTENT
        assert (package(mnt) / "big.bin").read_bytes() == CONTENT
        assert os.stat(package(mnt) / "big.bin").st_size == len(CONTENT)
        assert (mnt / "client/openpype_3.15.12/openpype/big.bin").read_bytes() == CONTENT
        assert errors(mnt) == []


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
def test_without_its_object_it_fails_closed_and_heals(tracked, folder, fuse, options):
    with mounted(tracked.path, folder / "mnt", options) as mnt:
        fails((package(mnt) / "big.bin").read_bytes)
        fails(client_zip(mnt).read_bytes)
        assert {p["path"] for p in errors(mnt)} == {"openpype/big.bin", "server_addon/server/big.bin"}
        assert "git lfs pull" in errors(mnt)[0]["reason"]
        fetch(tracked, CONTENT)
        # Nothing tells that it has come: it is looked for once a second.
        until(lambda: errors(mnt) == [])
        assert members(mnt)["openpype/big.bin"] == CONTENT
        assert (package(mnt) / "big.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
@pytest.mark.parametrize("held", [CONTENT[:-1], CONTENT[:-1] + b"x", b""])
def test_an_object_that_is_not_what_its_name_says_is_never_served(tracked, folder, fuse, options, held):
    fetch(tracked, CONTENT, held)
    with mounted(tracked.path, folder / "mnt", options) as mnt:
        fails((package(mnt) / "big.bin").read_bytes)
        fails(client_zip(mnt).read_bytes)
        assert "openpype/big.bin" in [p["path"] for p in errors(mnt)]


def test_a_fifo_in_place_of_the_object_blocks_nobody(tracked, folder, fuse):
    place(tracked, CONTENT).parent.mkdir(parents=True)
    os.mkfifo(place(tracked, CONTENT))
    with mounted(tracked.path, folder / "mnt") as mnt:
        fails(client_zip(mnt).read_bytes)


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
@pytest.mark.parametrize("text", [
    pointer(CONTENT).replace(b"sha256:", b"sha256:../../"), pointer(CONTENT).replace(b"size ", b"size -"),
    b"version https://git-lfs.github.com/spec/v1\n", pointer(CONTENT).upper()[:30] + pointer(CONTENT)[30:],
    pointer(CONTENT, 2 ** 70)])
def test_a_pointer_that_makes_no_sense_is_no_content(repo, folder, fuse, options, text):
    fetch(repo, CONTENT)
    repo.write({"openpype/big.bin": text})
    repo.commit()
    with mounted(repo.path, folder / "mnt", options) as mnt:
        if text.startswith(b"version https"):
            fails(client_zip(mnt).read_bytes)
            assert [p["path"] for p in errors(mnt)] == ["openpype/big.bin"]
        else:  # just a text
            assert members(mnt)["openpype/big.bin"] == text


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
def test_pointers_are_shown_to_whoever_asks_for_them(tracked, folder, fuse, options):
    fetch(tracked, CONTENT)
    with mounted(tracked.path, folder / "mnt", options) as mnt:
        assert members(mnt)["openpype/big.bin"] == CONTENT
    with mounted(tracked.path, folder / "mnt", ",".join(filter(None, [options, "lfs=pointer"]))) as mnt:
        assert members(mnt)["openpype/big.bin"] == pointer(CONTENT)
        assert (package(mnt) / "big.bin").read_bytes() == pointer(CONTENT)
        assert status(mnt)["problems"] == []
    with mounted(tracked.path, folder / "mnt", options) as mnt:
        assert members(mnt)["openpype/big.bin"] == CONTENT


def test_a_checkout_that_has_the_content_gives_the_same_zip(tracked, folder, fuse):
    fetch(tracked, CONTENT)
    found = set()
    with mounted(tracked.path, folder / "mnt") as mnt:
        found.add(client_zip(mnt).read_bytes())
    (tracked.path / "openpype/big.bin").write_bytes(CONTENT)
    (tracked.path / "server_addon/server/big.bin").write_bytes(CONTENT)
    with mounted(tracked.path, folder / "mnt") as mnt:
        found.add(client_zip(mnt).read_bytes())
        subprocess.run(["unzip", "-qqt", client_zip(mnt)], check=True)
    assert len(found) == 1


def test_another_pointer_is_another_content_at_once(tracked, folder, fuse):
    other = CONTENT + b"more"
    fetch(tracked, CONTENT)
    fetch(tracked, other)
    with mounted(tracked.path, folder / "mnt") as mnt:
        assert members(mnt)["openpype/big.bin"] == CONTENT
        (tracked.path / "openpype/big.bin").write_bytes(pointer(other))
        assert members(mnt)["openpype/big.bin"] == other
