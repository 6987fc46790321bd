"""client.zip is a ZIP to everyone, readable at any offset, with the size that stat says."""

import mmap
import os
import random
import subprocess
import zipfile

import pytest

import oracle
from mounting import client_zip, mounted

SEED = 20230701


@pytest.fixture
def archive(repo, folder, fuse):
    chance = random.Random(SEED)
    print("seed", SEED)
    repo.write({
        **{f"openpype/many/{n % 7}/f{n}.py": f"# {n}\n" * (n % 50) for n in range(300)},
        "openpype/ra ndom.bin": chance.randbytes(300_000), "openpype/grün.py": "ü",
        "openpype/new\nline.py": "x", "openpype/100%.py": "%", "openpype/one": "1",
        "openpype/large.txt": b"large " * 4_000_000,  # beyond what is compressed in one piece
        "openpype/large.bin": chance.randbytes(17 << 20),
    })
    with mounted(repo.path, folder / "mnt") as mnt:
        yield client_zip(mnt)


def test_every_reader_accepts_it_and_finds_the_same(archive, repo):
    expected = oracle.package_a(repo.path).members
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
    assert list(oracle.differences(expected, oracle.read_zip(archive.read_bytes()))) == []
    for command in (["unzip", "-tqq"], ["7z", "t"], ["bsdtar", "-xOf"]):
        result = subprocess.run([*command, archive], capture_output=True,
                                env={**os.environ, "LC_ALL": "C.UTF-8"})
        assert result.returncode == 0, result.stderr
    listed = subprocess.run(["bsdtar", "--null", "-tf", archive], capture_output=True, check=True,
                            env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout
    assert len(listed.split(b"openpype/")) - 1 == len(expected)


def test_unpacked_it_is_the_source(archive, repo, folder):
    (folder / "out").mkdir()
    subprocess.run(["bsdtar", "-xf", archive, "-C", folder / "out"], check=True,
                   env={**os.environ, "LC_ALL": "C.UTF-8"})
    expected = oracle.package_a(repo.path).members
    assert list(oracle.differences(expected, oracle.read_folder(folder / "out"))) == []


def test_reads_at_any_offset_give_the_same_bytes(archive):
    whole = archive.read_bytes()
    assert len(whole) == archive.stat().st_size
    chance = random.Random(SEED)
    print("seed", SEED)
    fd = os.open(archive, os.O_RDONLY)
    for _ in range(300):
        offset = chance.randrange(len(whole) + 10)
        size = chance.choice([1, 2, 30, 4096, 70_000])
        assert os.pread(fd, size, offset) == whole[offset:offset + size]
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as memory:
        assert memory[:] == whole
    os.close(fd)
    direct = subprocess.run(["dd", f"if={archive}", "bs=4097", "iflag=direct", "status=none"],
                            capture_output=True)
    assert direct.returncode != 0 or direct.stdout == whole


def test_members_are_sorted_dated_and_carry_modes(archive):
    with zipfile.ZipFile(archive) as file:
        infos = file.infolist()
    names = [info.filename.encode() for info in infos]
    assert names == sorted(names)
    for info in infos:
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
        executable = info.filename == "openpype/lib/run.sh"
        assert info.external_attr >> 16 == (0o100755 if executable else 0o100644)
        assert bool(info.flag_bits & 0x800) == (not info.filename.isascii())
        assert not info.flag_bits & 0x8 and info.extra == b""
        assert info.compress_size <= info.file_size


def test_many_readers_at_once(archive):
    readers = [subprocess.Popen(["sha256sum", archive], stdout=subprocess.PIPE) for _ in range(8)]
    sums = {reader.communicate(timeout=120)[0].split()[0] for reader in readers}
    assert len(sums) == 1 and all(reader.returncode == 0 for reader in readers)


def test_more_members_than_a_plain_zip_can_count(folder, fuse):
    from repository import BASE, Repository

    repo = Repository(folder / "many", BASE)
    for number in range(66_000):
        path = repo.path / f"openpype/n/{number // 1000}"
        if number % 1000 == 0:
            path.mkdir(parents=True)
        os.close(os.open(path / f"{number}", os.O_CREAT | os.O_WRONLY, 0o644))
    with mounted(repo.path, folder / "mnt") as mnt:
        with zipfile.ZipFile(client_zip(mnt)) as file:
            assert len(file.namelist()) > 66_000
            assert file.read("openpype/n/65/65999") == b""
        assert subprocess.run(["unzip", "-tqq", client_zip(mnt)]).returncode == 0
