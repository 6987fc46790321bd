"""`addonfs export` in all its forms: every view in every format, to files and to pipes."""

import io
import os
import re
import subprocess
import tarfile
import zipfile

import pytest

from mounting import ADDONFS, TIMEOUT, mounted, on_terminal, run
from repository import Link, Repository
from samples import SAMPLES

pytestmark = pytest.mark.usefixtures("program")

FORMATS = ["zip", "tar", "tar.gz", "tar.xz", "tar.zst"]
VIEWS = ["package", "upload", "client"]


def tree(top):
    """{path: bytes} of all files, and {path: None} of folders."""
    return {str(path.relative_to(top)): path.read_bytes() if path.is_file() else None
            for path in top.rglob("*")}


def unpack(data, form, out):
    out.mkdir()
    if form == "zip":
        zipfile.ZipFile(io.BytesIO(data)).extractall(out)
    else:
        subprocess.run(["bsdtar", "-xf", "-", "-C", out], input=data, check=True)
    return out


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("layout", SAMPLES)
def test_every_view_is_what_a_mount_shows(folder, fuse, layout, view):
    repo = Repository(folder / "source", SAMPLES[layout])
    with mounted(repo.path, folder / "mnt") as mnt:
        expected = tree(mnt / view)
    assert expected
    result = run("export", repo.path, folder / "out", "--view", view)
    assert result.returncode == 0, result.stderr.decode()
    assert tree(folder / "out") == expected
    assert run("export", repo.path, folder / "out", "-o", f"view={view}").returncode == 0
    assert tree(folder / "out") == expected
    for form in FORMATS:
        name = folder / f"archive-{form}"  # the name does not tell
        result = run("export", repo.path, name, "--view", view, "--format", form)
        assert result.returncode == 0 and result.stdout == result.stderr == b"", result
        data = name.read_bytes()
        assert tree(unpack(data, form, folder / f"unpacked-{form}")) == expected
        result = run("export", repo.path, "-", "--view", view, "--format", form)
        assert result.returncode == 0 and result.stderr == b"" and result.stdout == data


def test_modes_and_times_of_upload_zips_are_those_of_the_mount(repo, folder, fuse):
    os.chmod(repo.path / "openpype/lib/tools.py", 0o600)
    assert run("export", repo.path, folder / "out", "--view=upload").returncode == 0
    path, = (folder / "out").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(folder / "out") == ["openpype-3.15.12.zip"]


def test_what_was_there_is_replaced_and_other_things_stay(repo, folder):
    for view, name in (("upload", "openpype-3.15.12.zip"), ("client", "openpype_3.15.12")):
        out = folder / view
        out.mkdir()
        (out / name).mkdir()
        (out / name / "stale").write_text("old")
        (out / "other").write_text("stays")
        assert run("export", repo.path, out, f"--view={view}").returncode == 0
        assert sorted(os.listdir(out)) == sorted([name, "other"])
        assert not (out / name / "stale").exists()


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_half_made_stays_of_any_view(repo, folder, view):
    (folder / "out").mkdir()
    repo.write({"openpype/zz": Link("nowhere")})
    result = run("export", repo.path, folder / "out", f"--view={view}")
    assert result.returncode == 1 and result.stderr.decode().count("\n") == 1
    assert "openpype/zz" in result.stderr.decode()
    assert os.listdir(folder / "out") == []
    result = run("export", repo.path, "-", f"--view={view}", "--format=tar")
    assert result.returncode == 1 and result.stdout == b""  # not a byte of what is not whole


def test_a_pipe_takes_it(repo, folder):
    (folder / "out").mkdir()
    command = f'"{ADDONFS}" export "{repo.path}" - --format=tar.gz | tar -xz -C "{folder}/out"'
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, timeout=TIMEOUT)
    assert run("export", repo.path, folder / "folder").returncode == 0
    assert tree(folder / "out") == tree(folder / "folder")


def test_a_reader_who_ends_early_is_told_in_one_line(repo, folder):
    repo.write({"openpype/random.bin": os.urandom(1 << 20)})
    process = subprocess.Popen([ADDONFS, "export", repo.path, "-", "--format=tar"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.wait(TIMEOUT) == 1
    assert process.stderr.read().decode() == \
        "addonfs: standard output: whoever reads it ended before all was written\n"
    process.stderr.close()


def test_a_full_device_is_told(repo):
    with open("/dev/full", "wb") as full:
        result = subprocess.run([ADDONFS, "export", repo.path, "-", "--format=zip"], stdout=full,
                                stderr=subprocess.PIPE, timeout=TIMEOUT)
    assert result.returncode == 1
    assert result.stderr.decode() == "addonfs: standard output: No space left on device\n"


def test_a_terminal_gets_a_bar_and_nothing_stays_of_it(repo, folder):
    code, shown = on_terminal("export", repo.path, folder / "out")
    assert code == 0
    frames = shown.split("\r")
    assert frames[0] == "" and frames[-1] == "\x1b[K" and len(frames) > 2
    for frame in frames[1:-1]:
        assert re.fullmatch(r"\[#* *\] (looking|compressing \d+ of \d+ files|"
                            r"writing [\d.]+ \w+ of [\d.]+ \w+)\x1b\[K", frame), frame


def test_an_archive_is_not_sent_to_a_terminal(repo):
    code, shown = on_terminal("export", repo.path, "-", "--format=tar")
    assert code == 1 and shown == "addonfs: standard output: is a terminal: send it to a file or a program\n"


def test_a_bar_does_not_get_into_the_archive(repo, folder):
    with open(folder / "x.tar", "wb") as out:
        code, shown = on_terminal("export", repo.path, "-", "--format=tar", stdout=out)
    assert code == 0 and "\r[" in shown
    with tarfile.open(folder / "x.tar") as archive:
        assert "openpype/3.15.12/version.py" in archive.getnames()
