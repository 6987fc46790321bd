"""What options about compression, the cache and watching mean, and which values they have."""

import os
import zipfile

import pytest

import oracle
from mounting import (clean, client_zip, digest, is_mounted, mounted, package, run, status)
from test_cache import rows


@pytest.fixture
def repo(repo):
    """With files that every level compresses to other bytes; as a clean checkout has them."""
    repo.write({f"openpype/many/f{n}.py": "".join(f"value_{i} = {i * n}\n" for i in range(400))
                for n in range(10)})
    repo.commit()
    os.unlink(repo.path / "openpype/start.bat")
    repo.git("checkout", "-q", "--", ".")
    return repo


@pytest.mark.parametrize("option, values, words", [
    ("level", ["0", "13", "-1", "6.5", "x", "", " 6", "6 ", "+6", "0x6", "99999999999999999999"],
     "not a number from 1 to 12"),
    ("cache_size", ["0", "-1", "x", "", "1X", "1GB", "1 G", "G", "1.5G", "9999999999999T",
                    "99999999999999999999"], "not a size"),
    ("watch", ["", "inotify", "none", "POLL", "poll "], "only watch=poll"),
    ("cache", [""], "give a folder, or none"),
])
@pytest.mark.parametrize("command", ["mount", "export"])
def test_other_values_are_refused_in_one_line(repo, folder, fuse, command, option, values, words):
    (folder / "mnt").mkdir()
    for value in values:
        result = run(command, repo.path, folder / "mnt", "-o", f"{option}={value}")
        text = result.stderr.decode()
        assert result.returncode == 2 and result.stdout == b""
        assert text.startswith("addonfs: ") and text.count("\n") == 1, text
        assert words in text and option in text, text
        assert not is_mounted(folder / "mnt") and os.listdir(folder / "mnt") == []
    clean(folder / "mnt")


def test_an_option_without_its_value_is_refused(repo, folder, fuse):
    (folder / "mnt").mkdir()
    for option in ("level", "cache", "cache_size", "watch", "rev"):
        result = run("mount", repo.path, folder / "mnt", "-o", option)
        assert result.returncode == 2 and result.stderr.count(b"\n") == 1
        assert not is_mounted(folder / "mnt")


@pytest.mark.parametrize("size", ["1", "1K", "500M", "4G", "7T"])
def test_sizes_may_have_a_unit(repo, folder, fuse, size):
    with mounted(repo.path, folder / "mnt", f"cache_size={size}") as mnt:
        assert client_zip(mnt).read_bytes() and status(mnt)["problems"] == []


def test_every_level_gives_a_valid_zip_of_the_same_files(repo, folder, fuse):
    found, sizes = {}, {}
    for level in range(1, 13):
        for source in ("", ",rev=HEAD"):
            with mounted(repo.path, folder / "mnt", f"level={level}{source}") as mnt:
                assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []
                with zipfile.ZipFile(client_zip(mnt)) as archive:
                    assert archive.testzip() is None
                found.setdefault(level, set()).add(digest(client_zip(mnt)))
                sizes[level] = client_zip(mnt).stat().st_size
    # Worktree and revision give the same bytes at the same level.
    assert all(len(digests) == 1 for digests in found.values())
    assert len(set().union(*found.values())) > 6
    assert sizes[12] < sizes[6] < sizes[1]


def test_the_level_is_6_unless_one_says_otherwise(repo, folder, fuse):
    found = {}
    for options in ("", "level=5", "level=6", "level=7"):
        with mounted(repo.path, folder / "mnt", options) as mnt:
            found[options] = digest(client_zip(mnt))
    assert found[""] == found["level=6"] and len(set(found.values())) == 3


def test_what_one_level_has_cached_another_does_not_serve(repo, folder, fuse):
    def look(level):
        with mounted(repo.path, folder / "mnt", f"cache={folder}/cache,level={level}") as mnt:
            return digest(client_zip(mnt)), status(mnt)["compressed"]

    first = {level: look(level) for level in (1, 9)}
    assert first[1][0] != first[9][0] and first[1][1] == first[9][1] > 0
    assert {level: look(level) for level in (1, 9)} == {
        level: (found, 0) for level, (found, _) in first.items()}


def test_export_composes_what_a_mount_of_the_same_level_shows(repo, folder, fuse):
    with mounted(repo.path, folder / "mnt", "level=2") as mnt:
        expected = digest(client_zip(mnt))
    (folder / "out").mkdir()
    assert run("export", repo.path, folder / "out", "-o", "level=2").returncode == 0
    assert digest(folder / "out/openpype/3.15.12/private/client.zip") == expected


def test_cache_none_writes_nothing_anywhere(repo, folder, fuse):
    with mounted(repo.path, folder / "mnt", "cache=none") as mnt:
        assert client_zip(mnt).read_bytes()
        assert status(mnt)["cache"] is None
    assert os.listdir(os.environ["XDG_CACHE_HOME"]) == []


def test_the_cache_is_where_one_says(repo, folder, fuse):
    where = {
        "": f"{os.environ['XDG_CACHE_HOME']}/addonfs",
        f"cache={folder}/deep/er/cache": f"{folder}/deep/er/cache",
        "cache=relative": f"{folder}/relative",
        f"cache={folder}/a\\,b": f"{folder}/a,b",
        f"cache={folder}/none": f"{folder}/none",
        "cache=none,cache=last": f"{folder}/last",
    }
    for options, place in where.items():
        with mounted(repo.path, folder / "mnt", options, cwd=folder) as mnt:
            assert client_zip(mnt).read_bytes() and status(mnt)["problems"] == []
        assert os.path.isfile(f"{place}/members.sqlite"), options
        assert os.stat(place).st_mode & 0o777 == 0o700


def test_cache_size_is_a_limit(repo, folder, fuse):
    limit = 100_000
    repo.write({f"openpype/many/f{n}.bin": os.urandom(10_000) for n in range(40)})
    for _ in range(2):
        with mounted(repo.path, folder / "mnt",
                     f"cache={folder}/cache,cache_size={limit}") as mnt:
            assert client_zip(mnt).read_bytes()
        total = rows(folder / "cache", "SELECT sum(compressed) FROM member")[0][0]
        assert 0 < total <= limit + limit // 10
