"""Archives that zip_cli writes, read by the programs that people unpack them with.

ADDONFS_ZIP_CLI is the path of zip_cli; `make test` sets it.
"""

import os
import random
import shutil
import subprocess
import unicodedata
import zipfile
from dataclasses import dataclass

import pytest

CLI = os.environ.get("ADDONFS_ZIP_CLI")
GIB = 1 << 30

pytestmark = pytest.mark.skipif(not CLI, reason="ADDONFS_ZIP_CLI is not set: run `make test`")


@dataclass(frozen=True)
class Member:
    name: str
    size: int
    content: str = "ramp"
    method: str = "stored"
    mode: int = 0o100644

    def line(self):
        return f"{self.method} {self.mode:o} {self.content} {self.size} {self.name.encode().hex()}\n"

    def bytes(self, start=0, size=None):
        """What the member holds; zip_cli.c says how it comes about."""
        size = self.size - start if size is None else size
        if self.content == "zeros":
            return bytes(size)
        return bytes((7 * i + self.size) % 256 for i in range(start, start + size))


def write(path, members):
    members = sorted(members, key=lambda member: member.name.encode())
    subprocess.run(
        [CLI, path], input="".join(member.line() for member in members), text=True, check=True
    )
    return members


def tool(*command):
    """Run another program, which must be content with the archive; what it prints."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed: run `make deps SCOPE=test`")
    result = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        check=False,
    )
    output = result.stdout.decode(errors="replace")
    assert result.returncode == 0, output[-2000:]
    return output


def names_of(members):
    return [member.name for member in members]


ODD_NAMES = [
    "plain.py",
    "with space.py",
    " leading and trailing ",
    "new\nline",
    "tab\there",
    "-rf",
    "*?[a]",
    "quote\"'`$(true)",
    "sub/folder/of/__init__.py",
    "über/Ärger.txt",
    "日本語/ファイル.py",
    "emoji/🎬.json",
    "combining/e\u0301",
    "...",
]


def mixed(count):
    """Members of all kinds: the same on every run."""
    chance = random.Random(count)
    members = []
    for i in range(count):
        members.append(
            Member(
                name=f"{i % 7}/{ODD_NAMES[i % len(ODD_NAMES)]}{i}",
                size=chance.choice([0, 1, 100, 5000, 70000]),
                content=chance.choice(["ramp", "zeros"]),
                method=chance.choice(["stored", "deflated"]),
                mode=chance.choice([0o100644, 0o100755]),
            )
        )
    return members


SMALL = {
    "none": [],
    "one": [Member("one.py", 12)],
    "one_empty": [Member("empty", 0)],
    "one_deflated": [Member("one.py", 1000, method="deflated", mode=0o100755)],
    "odd_names": [Member(name, len(name)) for name in ODD_NAMES],
    "mixed": mixed(500),
}


@pytest.fixture(params=SMALL, scope="module")
def small(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / f"{request.param}.zip"
    return path, write(path, SMALL[request.param])


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """More members than 16 bits count."""
    path = tmp_path_factory.mktemp("zip") / "many.zip"
    return path, write(path, [Member(f"{i % 100:02}/m{i}", i % 5) for i in range(70000)])


@pytest.fixture(scope="module")
def huge(tmp_path_factory):
    """More bytes than 32 bits count: in one member, in offsets, before the central directory."""
    path = tmp_path_factory.mktemp("zip") / "huge.zip"
    members = [Member("a/first", 1000, method="deflated")]
    members.append(Member("b/huge", 4 * GIB + 17, content="zeros"))
    members += [Member(f"c/{i:04}", i % 300, mode=0o100755) for i in range(1000)]
    members.append(Member("d/last", 70000, method="deflated"))
    yield path, write(path, members)
    path.unlink()


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A member whose content passes 4 GiB and whose stream is small."""
    path = tmp_path_factory.mktemp("zip") / "packed.zip"
    members = [Member("a", 4 * GIB + 5, content="zeros", method="deflated"), Member("b", 99)]
    yield path, write(path, members)
    path.unlink()


def check_with_python(path, members, contents_of):
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == names_of(members)
        for member, info in zip(members, archive.infolist()):
            assert info.file_size == member.size
            assert info.external_attr == member.mode << 16
            assert info.create_system == 3
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert bool(info.flag_bits & 0x800) == (not member.name.isascii())
        for member in contents_of:
            assert archive.read(member.name) == member.bytes(), member.name


def test_python_reads_every_member(small):
    path, members = small
    check_with_python(path, members, members)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_unzip_finds_no_fault(small):
    path, members = small
    if not members:
        # Info-ZIP calls an archive without members a warning, exit status 1.
        if not shutil.which("unzip"):
            pytest.skip("unzip is not installed: run `make deps SCOPE=test`")
        result = subprocess.run(["unzip", "-t", path], capture_output=True, check=False)
        assert result.returncode == 1
        assert b"zipfile is empty" in result.stdout + result.stderr
        return
    assert "No errors detected" in tool("unzip", "-t", path)


def test_7z_finds_no_fault(small):
    path, _ = small
    output = tool("7z", "t", path)
    assert "Everything is Ok" in output
    assert "arning" not in output


def test_bsdtar_lists_every_name(small):
    path, members = small
    listed = tool("bsdtar", "-tf", path)
    # bsdtar writes what is not printable in its own way.
    if all(name.isprintable() and "\\" not in name for name in names_of(members)):
        assert listed.splitlines() == names_of(members)
    else:
        assert len(listed.splitlines()) == len(members)


def test_unpacked_files_have_their_bytes_and_modes(small, tmp_path):
    path, members = small
    tool("bsdtar", "-xf", path, "-C", tmp_path)
    for member in members:
        # libarchive composes what can be composed.
        unpacked = tmp_path / unicodedata.normalize("NFC", member.name)
        assert unpacked.read_bytes() == member.bytes()
        assert bool(unpacked.stat().st_mode & 0o100) == (member.mode == 0o100755)
    assert sum(len(files) for _, _, files in os.walk(tmp_path)) == len(members)


def test_python_reads_70000_members(many):
    path, members = many
    check_with_python(path, members, members[:50] + members[-50:])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_unzip_finds_no_fault_in_70000_members(many):
    assert "No errors detected" in tool("unzip", "-tq", many[0])


def test_7z_finds_no_fault_in_70000_members(many):
    output = tool("7z", "t", many[0])
    assert "Everything is Ok" in output
    assert "Files: 70000" in output


def test_bsdtar_lists_70000_members(many):
    path, members = many
    assert tool("bsdtar", "-tf", path).splitlines() == names_of(members)


def test_a_huge_archive_takes_little_disk(huge):
    status = os.stat(huge[0])
    assert status.st_size > 4 * GIB
    assert status.st_blocks * 512 < 64 << 20


def test_python_reads_both_ends_of_a_huge_archive(huge):
    path, members = huge
    small = [member for member in members if member.size < GIB]
    check_with_python(path, members, small)
    with zipfile.ZipFile(path) as archive:
        assert archive.start_dir > 4 * GIB
        assert archive.getinfo("b/huge").header_offset < GIB
        assert archive.getinfo("c/0000").header_offset > 4 * GIB
        with archive.open("b/huge") as file:
            assert file.read(1000) == bytes(1000)


def test_unzip_finds_no_fault_in_a_huge_archive(huge):
    assert "No errors detected" in tool("unzip", "-tq", huge[0])


def test_7z_finds_no_fault_in_a_huge_archive(huge):
    assert "Everything is Ok" in tool("7z", "t", huge[0])


def test_bsdtar_lists_a_huge_archive(huge):
    path, members = huge
    assert tool("bsdtar", "-tf", path).splitlines() == names_of(members)


def test_7z_finds_no_fault_in_a_member_that_packs_4_gib(packed):
    assert "Everything is Ok" in tool("7z", "t", packed[0])


def test_python_reads_behind_a_member_that_packs_4_gib(packed):
    path, members = packed
    assert path.stat().st_size < 64 << 20
    check_with_python(path, members, members[1:])
