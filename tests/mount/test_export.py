"""`addonfs export` writes what a mount shows, whole or not at all."""

import os
import subprocess
import tarfile
import zipfile

import pytest

import oracle
from mounting import client_zip, mounted, run
from repository import Link

ARCHIVES = [".zip", ".tar", ".tar.gz", ".tar.xz", ".tar.zst"]


def export(source, out, options="", warnings=""):
    result = run("export", source, out, *(["-o", options] if options else []))
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout == b"" and result.stderr.decode() == warnings


def test_a_folder_holds_what_the_rules_say(repo, folder, program):
    export(repo.path, folder / "out")
    assert list(oracle.compare(oracle.package_a(repo.path), folder / "out/openpype/3.15.12")) == []
    assert os.listdir(folder / "out") == ["openpype"]
    assert os.listdir(folder / "out/openpype") == ["3.15.12"]


def test_what_is_not_as_one_might_expect_is_told(repo, folder, program):
    """A submodule that is not there is an empty folder; what is left out on demand is left out."""
    commit = repo.git("rev-parse", "HEAD").decode().strip()
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},openpype/vendor")
    repo.git("commit", "-q", "-m", "submodule")
    result = run("export", repo.path, folder / "out", "-o", "rev=HEAD")
    assert result.returncode == 0 and (folder / "out/openpype/3.15.12/private/client.zip").exists()
    lines = result.stderr.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("addonfs: warning: openpype/vendor: a submodule")
    repo.write({"openpype/broken.py": Link("nowhere")})
    result = run("export", repo.path, folder / "skipping", "-o", "problems=skip")
    assert result.returncode == 0
    assert result.stderr.decode().splitlines() == ["addonfs: warning: openpype/broken.py: the link is broken"]


def test_a_revision_is_exported_as_it_is_mounted(repo, folder, fuse):
    export(repo.path, folder / "out", "rev=main")
    clean = repo.checkout(folder / "clean")
    assert list(oracle.compare(oracle.package_a(clean), folder / "out/openpype/3.15.12")) == []
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        assert (folder / "out/openpype/3.15.12/private/client.zip").read_bytes() == \
            client_zip(mnt).read_bytes()


def unpack(path, out):
    if path.suffix == ".zip":
        zipfile.ZipFile(path).extractall(out)
    elif path.suffix == ".zst":
        out.mkdir()
        subprocess.run(["bsdtar", "-xf", path, "-C", out], check=True)
    else:
        with tarfile.open(path) as archive:
            archive.extractall(out)


@pytest.mark.parametrize("suffix", ARCHIVES)
def test_an_archive_holds_the_same(repo, folder, program, suffix):
    repo.write({"server_addon/server/grün.py": "ü"})
    path = folder / f"package{suffix}"
    export(repo.path, path)
    unpack(path, folder / "out")
    expected = oracle.package_a(repo.path)
    if suffix == ".zip":  # zipfile does not set modes
        expected.files = {n: (c[0], False) for n, c in expected.files.items()}
    assert list(oracle.compare(expected, folder / "out/openpype/3.15.12")) == []
    assert sorted(os.listdir(folder)) == ["out", f"package{suffix}", "source"]
    first = path.read_bytes()
    export(repo.path, path)
    assert path.read_bytes() == first


def test_a_version_folder_that_is_there_is_replaced_whole(repo, folder, program):
    (folder / "out/openpype/3.15.12/stale").mkdir(parents=True)
    (folder / "out/openpype/3.15.12/stale/file").write_text("old")
    (folder / "out/openpype/3.14.0").mkdir()
    export(repo.path, folder / "out")
    assert list(oracle.compare(oracle.package_a(repo.path), folder / "out/openpype/3.15.12")) == []
    assert sorted(os.listdir(folder / "out/openpype")) == ["3.14.0", "3.15.12"]


@pytest.mark.parametrize("name", ["out", *(f"x{suffix}" for suffix in ARCHIVES)])
def test_nothing_half_made_stays(repo, folder, program, name):
    repo.write({"openpype/zz": Link("nowhere")})
    result = run("export", repo.path, folder / name)
    assert result.returncode == 1
    assert result.stderr.decode().startswith("addonfs: openpype/zz: ")
    assert result.stderr.decode().count("\n") == 1
    assert os.listdir(folder) == ["source"]
    export(repo.path, folder / name, "problems=skip",
           "addonfs: warning: openpype/zz: the link is broken\n")


def test_a_failed_export_leaves_what_was_there(repo, folder, program):
    export(repo.path, folder / "out")
    export(repo.path, folder / "x.zip")
    before = (folder / "x.zip").read_bytes()
    good = oracle.package_a(repo.path)
    repo.write({"openpype/zz": Link("nowhere")})
    assert run("export", repo.path, folder / "out").returncode == 1
    assert run("export", repo.path, folder / "x.zip").returncode == 1
    assert (folder / "x.zip").read_bytes() == before
    assert list(oracle.compare(good, folder / "out/openpype/3.15.12")) == []


def test_a_destination_that_cannot_be_written_is_one_line(repo, folder, program):
    (folder / "file").write_text("")
    for out in (folder / "file", folder / "absent/deep/out", folder / "absent/x.zip"):
        result = run("export", repo.path, out)
        assert result.returncode == 1
        text = result.stderr.decode()
        assert text.startswith(f"addonfs: {out}") and text.count("\n") == 1
    assert not (folder / "absent").exists() and (folder / "file").read_text() == ""


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_an_archive_does_not_depend_on_the_time_zone(repo, folder, program, suffix):
    found = set()
    # Summer and winter; a zone with summer time, one without, one that is not told.
    for name, time in (("__init__.py", 1_593_561_601), ("../client/pyproject.toml", 1_609_459_201)):
        os.utime(repo.path / "server_addon/server" / name, (time, time))
    for zone in ("UTC", "Asia/Tokyo", "America/New_York", None):
        environment = {**os.environ, **({"TZ": zone} if zone else {})}
        if not zone:
            environment.pop("TZ", None)
        path = folder / f"package{suffix}"
        assert run("export", repo.path, path, env=environment).returncode == 0
        found.add(path.read_bytes())
    assert len(found) == 1
    if suffix == ".zip":
        info = zipfile.ZipFile(path).getinfo("openpype/3.15.12/__init__.py")
        assert info.date_time == (2020, 7, 1, 0, 0, 0)  # MS-DOS counts in twos


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_nothing_is_deleted_through_a_mount(repo, folder, program, root_user, kind):
    export(repo.path, folder / "out")
    place = folder / "out/openpype/3.15.12/deep/place"
    place.mkdir(parents=True)
    (folder / "other").mkdir()
    command = (["mount", "--bind", folder / "other", place] if kind == "bind" else
               ["mount", "-t", "tmpfs", "tmpfs", place])
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("the right to mount")
    try:
        (place / "precious").write_text("precious")
        before = sorted((folder / "out").rglob("*"))
        result = run("export", repo.path, folder / "out")
        assert (place / "precious").read_text() == "precious"
        assert result.returncode == 1
        assert result.stderr.decode() == (f"addonfs: {folder}/out/openpype/3.15.12: something is mounted "
                                          "below it: umount it first\n")
        assert sorted((folder / "out").rglob("*")) == before
    finally:
        subprocess.run(["umount", place], check=True)
    export(repo.path, folder / "out")
    assert not place.exists()


def test_times_and_modes_are_those_of_the_source(repo, folder, program):
    os.utime(repo.path / "server_addon/server/__init__.py", (1_600_000_000, 1_600_000_000))
    os.chmod(repo.path / "server_addon/server/__init__.py", 0o600)
    export(repo.path, folder / "out")
    found = os.stat(folder / "out/openpype/3.15.12/__init__.py")
    assert found.st_mtime == 1_600_000_000 and found.st_mode & 0o777 == 0o600
    assert os.stat(folder / "out/openpype/3.15.12/version.py").st_mode & 0o777 == 0o644
