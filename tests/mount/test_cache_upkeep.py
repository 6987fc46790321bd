"""`addonfs cache` looks after the cache, also while mounts use it."""

import json
import os
import sqlite3

import pytest

from mounting import client_zip, digest, mounted, run, status

pytestmark = pytest.mark.usefixtures("program")


def stats(*options):
    result = run("cache", "stats", "--json", *options)
    assert result.returncode == 0 and result.stderr == b"", result
    return json.loads(result.stdout)


def rows(cache, question):
    with sqlite3.connect(cache / "members.sqlite") as database:
        return database.execute(question).fetchone()[0]


def export(repo, folder, cache):
    result = run("export", repo.path, folder / "out", "-o", f"cache={cache}")
    assert result.returncode == 0, result.stderr.decode()


def test_without_a_cache_there_is_nothing_and_nothing_is_made(folder):
    for action in ("prune", "clear"):
        result = run("cache", action, "-o", f"cache={folder}/cache")
        assert result.returncode == 0 and result.stdout == result.stderr == b""
    found = stats("-o", f"cache={folder}/cache")
    assert not found.pop("exists") and set(found.values()) == {0}
    assert not (folder / "cache").exists()


def test_numbers_are_those_of_the_tables(repo, folder):
    cache = folder / "cache"
    export(repo, folder, cache)
    found = stats("-o", f"cache={cache}")
    assert found["exists"] and found["members"] == rows(cache, "SELECT count(*) FROM member") > 0
    assert found["streams"] == rows(cache, "SELECT sum(length(data)) FROM stream")
    assert found["content"] == rows(cache, "SELECT sum(size) FROM member")
    assert found["aliases"] == rows(cache, "SELECT count(*) FROM alias")
    assert found["used_day"] == found["used_week"] == found["members"]
    assert found["disk"] > found["streams"]
    text = run("cache", "stats", "-o", f"cache={cache}").stdout.decode()
    assert f"members        {found['members']:8}" in text and str(cache) in text


def test_prune_leaves_what_was_used_last(repo, folder):
    cache = folder / "cache"
    repo.write({f"openpype/random{i}.bin": os.urandom(10000) for i in range(20)})
    export(repo, folder, cache)
    with sqlite3.connect(cache / "members.sqlite") as database:
        database.execute("UPDATE member SET used = stream")
        order = [row[0] for row in database.execute("SELECT id FROM member ORDER BY used DESC")]
    before = stats("-o", f"cache={cache}")
    result = run("cache", "prune", "-o", f"cache={cache},cache_size=100K", "--json")
    assert result.returncode == 0, result.stderr.decode()
    found = stats("-o", f"cache={cache}")
    removed = json.loads(result.stdout)
    assert removed == {key: before[key] - found[key] for key in removed} and removed["members"] > 5
    assert set(removed) == {"members", "content", "streams", "aliases", "notes", "noted", "disk"}
    assert 50_000 < found["streams"] <= 102400
    with sqlite3.connect(cache / "members.sqlite") as database:
        left = {row[0] for row in database.execute("SELECT id FROM member")}
    assert left == set(order[:len(left)])


def test_clear_empties_and_gives_the_room_back(repo, folder):
    cache = folder / "cache"
    repo.write({"openpype/random.bin": os.urandom(1 << 20)})
    export(repo, folder, cache)
    before = stats("-o", f"cache={cache}")
    assert before["disk"] > 1 << 20
    result = run("cache", "clear", "-o", f"cache={cache}", "--json")
    assert result.returncode == 0 and result.stderr == b""
    found = stats("-o", f"cache={cache}")
    assert found["members"] == found["aliases"] == found["notes"] == 0 and found["disk"] < 400_000
    removed = json.loads(result.stdout)
    assert removed == {key: before[key] - found[key] for key in removed} and removed["disk"] > 600_000
    result = run("cache", "clear", "-o", f"cache={cache}", "--json")
    assert set(json.loads(result.stdout).values()) == {0}
    export(repo, folder, cache)
    assert stats("-o", f"cache={cache}")["members"] > 0


def test_a_mount_serves_the_same_while_its_cache_is_cleared(repo, folder, fuse):
    cache = folder / "cache"
    export(repo, folder, cache)  # so that streams are in the cache alone
    with mounted(repo.path, folder / "mnt", f"cache={cache}") as mnt:
        assert status(mnt)["cache"]["hits"] > 0
        result = run("cache", "clear", "-o", f"cache={cache}")
        assert result.returncode == 0 and result.stdout == result.stderr == b""
        first = digest(client_zip(mnt))
        repo.write({"openpype/new.py": "new = 1\n"})
        assert digest(client_zip(mnt)) != first
        (repo.path / "openpype/new.py").unlink()
        assert digest(client_zip(mnt)) == first
        assert not [p for p in status(mnt)["problems"]]
    assert digest(folder / "out/openpype/3.15.12/private/client.zip") == first
    assert stats("-o", f"cache={cache}")["members"] > 0


def test_a_damaged_one_is_told_and_cleared(repo, folder):
    cache = folder / "cache"
    export(repo, folder, cache)
    (cache / "members.sqlite").write_bytes(b"damaged" * 1000)
    for action in ("stats", "prune"):
        result = run("cache", action, "-o", f"cache={cache}")
        assert result.returncode == 1 and result.stderr.decode().count("\n") == 1
        assert "addonfs cache clear begins anew" in result.stderr.decode()
    # How much it was cannot be known; what the disk gets back can.
    disk = sum(os.stat(cache / name).st_blocks * 512 for name in os.listdir(cache) if name != "lock")
    result = run("cache", "clear", "-o", f"cache={cache}", "--json")
    removed = json.loads(result.stdout)
    assert result.returncode == 0 and removed.pop("disk") == disk > 0 and set(removed.values()) == {0}
    assert os.listdir(cache) == ["lock"]
    assert not stats("-o", f"cache={cache}")["exists"]


def test_what_is_not_a_cache_is_left_alone(folder):
    cache = folder / "cache"
    cache.mkdir(mode=0o700)
    with sqlite3.connect(cache / "members.sqlite") as database:
        database.execute("CREATE TABLE mine (x)")
    before = (cache / "members.sqlite").read_bytes()
    for action in ("stats", "prune", "clear"):
        result = run("cache", action, "-o", f"cache={cache}")
        assert result.returncode == 1 and "is not a cache of this version" in result.stderr.decode()
    assert (cache / "members.sqlite").read_bytes() == before
