"""Upload zips: what the AYON server's installer accepts, whole and the same everywhere."""

import errno
import io
import json
import os
import shutil
import subprocess
import time
import zipfile

import pytest

import oracle
from mounting import digest, mounted, run, status
from repository import ENVIRONMENT, Exec, Link, Repository
from samples import B, B_OTHER, C, D, SAMPLES, package_py, without

LAYOUTS = ["a", "b", "c", "d", "cd"]
OF = {  # layout -> upload zip, and the package folder it holds
    "a": ("openpype-3.15.12.zip", "openpype/3.15.12"), "b": ("openpype-3.18.1.zip", "openpype/3.18.1"),
    "c": ("maya-0.2.2.zip", "maya/0.2.2"), "d": ("core-1.9.7+dev.zip", "core/1.9.7+dev")}
BREAKS = {"a": "openpype/bad", "b": "openpype/bad", "c": "server_addon/maya/client/ayon_maya/bad",
          "d": "client/ayon_core/bad"}


@pytest.fixture
def make(folder):
    return lambda files: Repository(folder / "source", files)


def same(source, root, **more):
    assert oracle.compare_root(source, root, parts=("upload",), **more) == []


def fails_closed(path):
    """Listed, and opening it is what fails."""
    assert path.name in os.listdir(path.parent)
    assert os.stat(path).st_mtime >= time.time() - 5
    with pytest.raises(OSError) as failure:
        open(path, "rb")
    assert failure.value.errno == errno.EIO


def sums(root):
    return {name: digest(root / "upload" / name) for name in sorted(os.listdir(root / "upload"))}


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_members_are_what_the_oracle_says(make, folder, fuse, layout, options):
    repo = make(SAMPLES[layout])
    source = repo.checkout(folder / "clean") if options else repo.path
    with mounted(repo.path, folder / "mnt", options) as mnt:
        same(source, mnt)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_it_unpacks_to_is_the_package(make, folder, fuse, layout):
    repo = make(SAMPLES[layout])
    with mounted(repo.path, folder / "mnt") as mnt:
        names = sorted(os.listdir(mnt / "upload"))
        assert len(names) == {"a": 1, "b": 3, "c": 4, "d": 1, "cd": 5}[layout]
        for name in names:
            path = mnt / "upload" / name
            subprocess.run(["unzip", "-qq", "-t", path], check=True, capture_output=True)
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
            addon, _, number = name.removesuffix(".zip").partition("-")
            out = folder / "out" / name
            out.parent.mkdir(exist_ok=True)
            subprocess.run(["unzip", "-qq", path, "-d", out], check=True)
            if layout in "ab":
                manifest = (out / "manifest.json").read_bytes()
                assert manifest == b'{"addon_name": "%s", "addon_version": "%s"}' % (
                    addon.encode(), number.encode())
                assert sorted(os.listdir(out)) == ["addon", "manifest.json"]
                out = out / "addon"
            subprocess.run(["diff", "-r", mnt / "package" / addon / number, out], check=True)


@pytest.mark.parametrize("layout", OF)
def test_client_zip_within_is_stored_and_the_very_same(make, folder, fuse, layout):
    repo = make(SAMPLES[layout])
    name, place = OF[layout]
    member = ("addon/" if layout in "ab" else "") + "private/client.zip"
    with mounted(repo.path, folder / "mnt") as mnt:
        for _ in range(2):
            package_zip = (mnt / "package" / place / "private/client.zip").read_bytes()
            with zipfile.ZipFile(mnt / "upload" / name) as archive:
                assert archive.getinfo(member).compress_type == zipfile.ZIP_STORED
                assert archive.read(member) == package_zip
                assert zipfile.ZipFile(io.BytesIO(archive.read(member))).testzip() is None
            repo.write({os.path.join(os.path.dirname(BREAKS[layout]), "new.py"): "new = 1\n" * 99})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_member_has_a_mode_and_the_members_are_sorted(make, folder, fuse, layout):
    repo = make({**SAMPLES[layout], "server/start": Exec(b"x"), "server/Z": "", "server/a-b": "", "server/a/b": "",
                 "server/grün": "", "server_addon/server/Z": "", "server_addon/server/a.b": ""})
    with mounted(repo.path, folder / "mnt") as mnt:
        for name in os.listdir(mnt / "upload"):
            with zipfile.ZipFile(mnt / "upload" / name) as archive:
                infos = archive.infolist()
            names = [info.filename.encode() for info in infos]
            assert names == sorted(names) and len(set(names)) == len(names)
            assert {info.external_attr >> 16 for info in infos} <= {0o100644, 0o100755}
            assert {info.create_system for info in infos} == {3}  # Unix: or nobody reads the mode
            assert len({info.date_time for info in infos}) == 1
            assert not any(info.is_dir() or info.flag_bits & 8 for info in infos)


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
@pytest.mark.parametrize("layout", ["a", "b"])
def test_prefixed_for_older_servers(make, folder, fuse, layout, options):
    repo = make(SAMPLES[layout])
    source = repo.checkout(folder / "clean") if options else repo.path
    with mounted(repo.path, folder / "mnt", ",".join(filter(None, [options, "upload=prefixed"]))) as mnt:
        same(source, mnt, prefixed=True)
        name, place = OF[layout]
        subprocess.run(["unzip", "-qq", mnt / "upload" / name, "-d", folder / "out"], check=True)
        assert os.listdir(folder / "out") == ["openpype"]
        subprocess.run(["diff", "-r", mnt / "package" / place, folder / "out" / place], check=True)


def test_prefixed_holds_no_manifest(make, folder, fuse):
    repo = make(B)
    with mounted(repo.path, folder / "mnt", "upload=prefixed") as mnt:
        with zipfile.ZipFile(mnt / "upload/maya-0.1.8.zip") as archive:
            assert {name.encode() for name in archive.namelist()} == {
                b"maya/0.1.8/" + path for path in B_OTHER}


def test_an_upload_option_that_does_not_exist_is_refused(make, folder, program):
    repo = make(B)
    result = run("export", repo.path, folder / "out", "-o", "upload=nonesuch")
    assert result.returncode != 0 and b"upload" in result.stderr


def test_empty_folders_are_no_members(make, folder, fuse):
    repo = make(B)
    (repo.path / "server_addon/maya/server/empty").mkdir()
    with mounted(repo.path, folder / "mnt") as mnt:
        assert os.listdir(mnt / "package/maya/0.1.8/empty") == []
        same(repo.path, mnt)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_bytes_wherever_it_is_read(make, folder, fuse, layout):
    repo = make(SAMPLES[layout])
    head = repo.git("rev-parse", "HEAD").decode().strip()
    clean = repo.checkout(folder / "clean")
    found = []
    for source, options, umask in ((clean, "", 0o077), (repo.path, "rev=HEAD", 0o022), (clean, "cache=none", 0)):
        with mounted(source, folder / "mnt", options, umask=umask,
                     env={**os.environ, **ENVIRONMENT, "TZ": f"Etc/GMT-{len(found)}"}) as mnt:
            found += [sums(mnt), sums(mnt / "commits" / head), sums(mnt / "HEAD"),
                      sums(mnt / "snapshots/current")]
    assert found[0] and all(other == found[0] for other in found)


@pytest.mark.parametrize("layout", OF)
def test_it_fails_closed_with_its_client_zip_and_heals(make, folder, fuse, layout):
    repo = make(SAMPLES[layout])
    repo.write({BREAKS[layout]: Link("nowhere")})
    name, place = OF[layout]
    with mounted(repo.path, folder / "mnt") as mnt:
        fails_closed(mnt / "package" / place / "private/client.zip")
        fails_closed(mnt / "upload" / name)
        others = [n for n in os.listdir(mnt / "upload") if n != name]
        assert all(zipfile.ZipFile(mnt / "upload" / other).testzip() is None for other in others)
        same(repo.path, mnt)
        frozen = (mnt / "snapshots" / os.readlink(mnt / "snapshots/current"))
        (repo.path / BREAKS[layout]).unlink()
        assert zipfile.ZipFile(mnt / "upload" / name).testzip() is None
        same(repo.path, mnt)
        fails_closed(frozen / "upload" / name)


@pytest.mark.parametrize("layout, path", [
    ("a", "server_addon/server/bad"), ("b", "server_addon/openpype/server/bad"),
    ("c", "server_addon/maya/server/bad"), ("d", "server/bad")])
@pytest.mark.parametrize("options", ["", "rev=HEAD"])
def test_it_fails_closed_with_any_file_of_the_package(make, folder, fuse, layout, path, options):
    repo = make({**SAMPLES[layout], path: Link("nowhere")})
    name, place = OF[layout]
    with mounted(repo.path, folder / "mnt", options) as mnt:
        fails_closed(mnt / "upload" / name)
        assert zipfile.ZipFile(mnt / "package" / place / "private/client.zip").testzip() is None
        same(repo.checkout(folder / "clean") if options else repo.path, mnt)


def test_problems_skip_leaves_out_knowingly(make, folder, fuse):
    repo = make(D)
    repo.write({"client/ayon_core/bad": Link("nowhere"), "server/bad": Link("nowhere")})
    with mounted(repo.path, folder / "mnt", "problems=skip") as mnt:
        with zipfile.ZipFile(mnt / "upload/core-1.9.7+dev.zip") as archive:
            assert archive.testzip() is None and "server/bad" not in archive.namelist()


def test_a_missing_client_folder_fails_it(make, folder, fuse):
    repo = make(without(D, "client/ayon_core"))
    with mounted(repo.path, folder / "mnt") as mnt:
        fails_closed(mnt / "upload/core-1.9.7+dev.zip")


def test_a_name_that_no_zip_can_hold_fails_it(make, folder, fuse):
    repo = make(D)
    repo.write({b"server/caf\xe9.py": "x"})
    with mounted(repo.path, folder / "mnt") as mnt:
        fails_closed(mnt / "upload/core-1.9.7+dev.zip")
        assert zipfile.ZipFile(mnt / "package/core/1.9.7+dev/private/client.zip").testzip() is None
        assert any("caf" in p["path"] for p in status(mnt)["problems"])


def test_a_broken_addon_fails_the_listing_and_no_other_zip(make, folder, fuse):
    """The zip's name is not known: a listing without it would be a statement that is not true."""
    repo = make({**B, "server_addon/maya/server/version.py": "__version__ = get()\n"})
    with mounted(repo.path, folder / "mnt") as mnt:
        with pytest.raises(OSError) as failure:
            os.listdir(mnt / "upload")
        assert failure.value.errno == errno.EIO
        assert os.listdir(mnt / "client") == ["openpype_3.18.1"]  # no other one could have a client
        assert zipfile.ZipFile(mnt / "upload/openpype-3.18.1.zip").testzip() is None
        assert zipfile.ZipFile(mnt / "upload/royal_render-0.1.1.zip").testzip() is None


def test_two_addons_whose_zips_have_one_name_are_a_problem(make, folder, fuse):
    repo = make({
        "server_addon/one/package.py": package_py("a", "1-2"), "server_addon/one/server/__init__.py": "one = 1\n",
        "server_addon/two/package.py": package_py("a-1", "2"), "server_addon/two/server/__init__.py": "two = 1\n"})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert os.listdir(mnt / "package/a") == ["1-2"] and os.listdir(mnt / "package/a-1") == ["2"]
        with pytest.raises(OSError) as failure:
            (mnt / "upload/a-1-2.zip").read_bytes()
        assert failure.value.errno == errno.EIO
        assert status(mnt)["problems"]


@pytest.mark.parametrize("layout", OF)
def test_an_edit_shows_at_once_and_an_open_zip_stays(make, folder, fuse, layout):
    repo = make(SAMPLES[layout])
    name, _ = OF[layout]
    with mounted(repo.path, folder / "mnt") as mnt:
        path = mnt / "upload" / name
        before = path.read_bytes()
        with open(path, "rb") as held:
            repo.write({BREAKS[layout] + ".py": "new = 1\n"})
            assert path.read_bytes() != before
            same(repo.path, mnt)
            assert held.read() == before and os.fstat(held.fileno()).st_size == len(before)
        (repo.path / (BREAKS[layout] + ".py")).unlink()
        assert path.read_bytes() == before


def test_a_new_version_is_a_new_zip(make, folder, fuse):
    repo = make(D)
    with mounted(repo.path, folder / "mnt") as mnt:
        frozen = mnt / "snapshots" / os.readlink(mnt / "snapshots/current")
        before = sums(frozen)
        repo.write({"package.py": package_py("core", "2.0.0", "ayon_core")})
        assert os.listdir(mnt / "upload") == ["core-2.0.0.zip"]
        same(repo.path, mnt)
        assert sums(frozen) == before and list(before) == ["core-1.9.7+dev.zip"]
        repo.write({"server/more.py": "more = 1\n"})
        assert b"more = 1" in zipfile.ZipFile(mnt / "upload/core-2.0.0.zip").read("server/more.py")


def test_copies_say_so_when_it_cannot_be_read(make, folder, fuse):
    repo = make(D)
    repo.write({"client/ayon_core/bad": Link("nowhere")})
    with mounted(repo.path, folder / "mnt") as mnt:
        for command in (["rsync", "-a", f"{mnt}/upload/", folder / "rsync"],
                        ["cp", "-r", mnt / "upload", folder / "cp"]):
            assert subprocess.run(command, capture_output=True).returncode != 0


@pytest.mark.parametrize("layout", OF)
def test_what_python_makes_of_it_as_the_server_does(make, folder, fuse, layout):
    """Unpack it, modes from the zip, and look for what the server looks for."""
    repo = make(SAMPLES[layout])
    name, place = OF[layout]
    addon, number = place.split("/")
    with mounted(repo.path, folder / "mnt") as mnt:
        shutil.copy(mnt / "upload" / name, folder / name)
    with zipfile.ZipFile(folder / name) as archive:
        names = archive.namelist()
        if layout in "ab":
            assert json.loads(archive.read("manifest.json")) == {
                "addon_name": addon, "addon_version": number}
            assert "addon/__init__.py" in names
        else:
            assert "package.py" in names and "manifest.json" not in names
            said = {n: oracle.literal(archive.read("package.py"), n) for n in ("name", "version")}
            assert said == {"name": addon, "version": number}
            assert any(n.startswith("server/") for n in names)


def test_it_is_not_there_with_view_package(make, folder, fuse):
    repo = make(C)
    with mounted(repo.path, folder / "mnt", "view=package") as mnt:
        assert sorted(os.listdir(mnt)) == ["blender", "max", "maya", "royalrender"]
