"""The cache behind a mount: whatever becomes of it, what is served is right."""

import os
import sqlite3
import struct
import zlib

import pytest

from mounting import client_zip, errors, mounted, status


def row_sum(row):
    """What core/cache_rows.c writes as the sum of a row of `member`."""
    key, codec, *numbers = row
    return zlib.crc32(key + codec.encode() + struct.pack("<5Q", *numbers))


def change(cache, edit):
    """Let `edit` change the database of a cache that nobody has open."""
    database = sqlite3.connect(cache / "members.sqlite")
    with database:
        edit(database)
    database.close()


def rows(database):
    return database.execute(
        "SELECT id, codec, size, compressed, crc, deflated, stream FROM member").fetchall()


@pytest.mark.parametrize("options", ["", "rev=main"])
def test_a_zip_is_laid_out_anew_if_a_member_comes_out_in_another_size(repo, folder, fuse, options):
    """As after an update of the library that compresses: sizes are known, streams are not."""
    cache = folder / "cache"
    repo.write({f"openpype/lib/{n}.py": f"value = {n}\n" * 200 for n in range(20)})
    repo.commit()
    options = f"cache={cache}" + (f",{options}" if options else "")
    with mounted(repo.path, folder / "mnt", options) as mnt:
        expected = client_zip(mnt).read_bytes()

    def edit(database):
        found = [row for row in rows(database) if row[5]]  # deflated
        assert len(found) >= 20
        for key, codec, size, compressed, *rest in found:
            row = (key, codec, size, compressed + 7, *rest)
            database.execute("UPDATE member SET compressed = ?, sum = ? WHERE id = ? AND codec = ?",
                             (compressed + 7, row_sum(row), key, codec))
        database.execute("DELETE FROM stream")

    change(cache, edit)
    with mounted(repo.path, folder / "mnt", options) as mnt:
        # As the rows say, or right already if the streams were missed before anybody asked.
        before = client_zip(mnt).stat()
        assert before.st_size >= len(expected)
        # The kernel asks again for a name whose inode answers ESTALE.
        assert client_zip(mnt).read_bytes() == expected
        after = client_zip(mnt).stat()
        assert after.st_size == len(expected)
        assert (after.st_ino == before.st_ino) == (before.st_size == len(expected))
        assert errors(mnt) == []
    with mounted(repo.path, folder / "mnt", options) as mnt:
        assert client_zip(mnt).stat().st_size == len(expected)
        assert client_zip(mnt).read_bytes() == expected


def test_streams_that_are_lost_are_made_again(repo, folder, fuse):
    cache = folder / "cache"
    with mounted(repo.path, folder / "mnt", f"cache={cache}") as mnt:
        expected = client_zip(mnt).read_bytes()
    change(cache, lambda database: database.execute("DELETE FROM stream"))
    for _ in range(2):
        with mounted(repo.path, folder / "mnt", f"cache={cache}") as mnt:
            assert client_zip(mnt).stat().st_size == len(expected)
            assert client_zip(mnt).read_bytes() == expected
            assert status(mnt)["problems"] == []
    pieces = []
    change(cache, lambda database: pieces.append(
        database.execute("SELECT count(*) FROM stream").fetchone()[0]))
    assert pieces[0] > 0


def test_a_home_behind_a_link_has_a_cache(repo, folder, fuse):
    (folder / "disk").mkdir()
    (folder / "home").symlink_to(folder / "disk")
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "home" / "cache")}
    with mounted(repo.path, folder / "mnt", env=environment) as mnt:
        client_zip(mnt).read_bytes()
        assert status(mnt)["problems"] == []
    change(folder / "disk" / "cache" / "addonfs",
           lambda database: pytest.fail("nothing is in it") if not rows(database) else None)
