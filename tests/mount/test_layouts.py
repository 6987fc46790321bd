"""Every layout, and several in one tree: what is shown is what the oracle says."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

import oracle
from mounting import errors, mounted, package, run, status
from repository import BASE, ENVIRONMENT, Exec, Fifo, Link, Repository
from samples import B, B_OTHER, C, D, IGNORED, SAMPLES, package_py, without

OTHERS = ["b", "c", "d", "cd"]
VERSION_PY = b'''# -*- coding: utf-8 -*-
"""Package declaring AYON addon 'core' version."""
__version__ = "1.9.7+dev"
'''


@pytest.fixture
def make(folder):
    """Make the repository with these files."""
    return lambda files: Repository(folder / "source", files)


@pytest.fixture
def both(folder, fuse):
    """Compare the worktree and HEAD, which holds the same, with what the oracle says."""
    def check(repo, options="", parts=("package",), **more):
        repo.commit()
        clean = repo.checkout(folder / f"clean{len(os.listdir(folder))}")
        with mounted(repo.path, folder / "mnt", options) as mnt:
            assert oracle.compare_root(repo.path, mnt, parts=parts, **more) == []
        with mounted(repo.path, folder / "mnt", ",".join(filter(None, ["rev=HEAD", options]))) as mnt:
            assert oracle.compare_root(clean, mnt, parts=parts, **more) == []
        return clean
    return check


def fails(call, *arguments):
    with pytest.raises(OSError) as failure:
        call(*arguments)
    assert failure.value.errno == errno.EIO, failure.value


def absent(path):
    with pytest.raises(FileNotFoundError):
        os.lstat(path)
    assert path.name not in os.listdir(path.parent)
    return True


def version(mnt, addon, number):
    return mnt / "package" / addon / number


def archive(folder):
    return oracle.read_zip((folder / "private/client.zip").read_bytes(), modes=True)


def paths(folder):
    return {path.decode() for path in oracle.read_folder(folder)}


# --- The samples ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", OTHERS)
def test_a_layout_is_shown_as_the_oracle_says(make, both, layout):
    both(make(SAMPLES[layout]))


@pytest.mark.parametrize("layout", OTHERS)
def test_attributes_of_a_checkout_apply(make, folder, fuse, layout):
    repo = make(SAMPLES[layout])
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        found = [content for path in mnt.glob("package/*/*/private/client.zip")
                 for name, (content, _) in oracle.read_zip(path.read_bytes()).items()
                 if name.endswith(b"run.bat")]
    assert found and all(content.endswith(b"\r\n") for content in found)


@pytest.mark.parametrize("layout", OTHERS)
def test_a_bare_repository_of_a_layout(make, folder, fuse, layout):
    repo = make(SAMPLES[layout])
    subprocess.run(["git", "clone", "-q", "--bare", repo.path, folder / "bare.git"],
                   check=True, env={**os.environ, **ENVIRONMENT})
    clean = repo.checkout(folder / "clean")
    with mounted(folder / "bare.git", folder / "mnt") as mnt:
        assert oracle.compare_root(clean, mnt, parts=("package",)) == []
        head = repo.git("rev-parse", "HEAD").decode().strip()
        assert oracle.compare_root(clean, mnt / "commits" / head, parts=("package",)) == []


def test_status_names_layout_and_addons(make, folder, fuse):
    repo = make(B)
    with mounted(repo.path, folder / "mnt") as mnt:
        assert status(mnt)["layout"] == "b" and status(mnt)["problems"] == []
        assert sorted((a["name"], a["version"]) for a in status(mnt)["addons"]) == [
            ("maya", "0.1.8"), ("openpype", "3.18.1"), ("royal_render", "0.1.1")]


def test_view_package_shows_all_addons(make, folder, fuse):
    repo = make(B)
    with mounted(repo.path, folder / "mnt", "view=package") as mnt:
        assert sorted(os.listdir(mnt)) == ["maya", "openpype", "royal_render"]
        assert paths(mnt / "maya/0.1.8") == {path.decode() for path in B_OTHER}


# --- b -------------------------------------------------------------------------------------------


def test_b_leaves_out_addons_that_have_moved_elsewhere(make, folder, fuse):
    repo = make(B)
    with mounted(repo.path, folder / "mnt") as mnt:
        assert sorted(os.listdir(mnt / "package")) == ["maya", "openpype", "royal_render"]
        for name in [*IGNORED, "nothing", "a_file", "README.md"]:
            absent(mnt / "package" / name)


def test_b_leaves_out_their_sub_trees_and_nothing_beside(make, folder, fuse, both):
    repo = make(B)
    repo.write({"openpype/modules/kitsu.bak/x.py": "stays", "openpype/hosts/flames/x.py": "stays",
                "openpype/vendor/common/ayon_apix/x.py": "stays", "openpype/addons2/addons/x.py": "stays"})
    with mounted(repo.path, folder / "mnt") as mnt:
        members = archive(version(mnt, "openpype", "3.18.1"))
        for name in (b"modules/kitsu.bak/x.py", b"hosts/flames/x.py", b"vendor/common/ayon_apix/x.py",
                     b"addons2/addons/x.py", b"modules/slack.py", b"hosts/flame.py"):
            assert b"openpype/" + name in members
        for prefix in (b"addons/", b"vendor/common/ayon_api/", b"hosts/flame/", b"hosts/harmony/",
                       *(b"modules/" + name.encode() + b"/" for name in IGNORED)):
            assert not any(name.startswith(b"openpype/" + prefix) for name in members)
    both(repo)


def test_b_what_is_left_out_may_be_unreadable(make, folder, fuse, both):
    repo = make(B)
    repo.write({"openpype/addons/broken": Link("nowhere"), "openpype/hosts/flame/out": Link("/etc/passwd"),
                "server_addon/kitsu/server/version.py": "__version__ = get()\n"})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert errors(mnt) == []
    both(repo)


def test_b_keeps_empty_folders_of_other_addons_only(make, folder, fuse):
    repo = make(B)
    for place in ("maya/server/empty/deeper", "maya/server/settings/hollow", "openpype/server/empty"):
        (repo.path / "server_addon" / place).mkdir(parents=True)
    with mounted(repo.path, folder / "mnt") as mnt:
        maya = version(mnt, "maya", "0.1.8")
        assert os.listdir(maya / "empty") == ["deeper"] and os.listdir(maya / "empty/deeper") == []
        assert os.listdir(maya / "settings/hollow") == []
        absent(version(mnt, "openpype", "3.18.1") / "empty")
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
        (repo.path / "server_addon/maya/server/empty/deeper").rmdir()
        assert os.listdir(maya / "empty") == []
        (repo.path / "server_addon/maya/server/empty/x.py").write_text("no longer empty")
        (repo.path / "server_addon/maya/server/another").mkdir()
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []


def test_b_drops_linked_folders_and_follows_linked_files(make, folder, fuse, both):
    repo = make(B)
    repo.write({"server_addon/maya/server/linked": Link("settings"), "server_addon/maya/server/up": Link(".."),
                "server_addon/maya/server/only/x": Link("../settings"),
                "server_addon/maya/server/linked.py": Link("../../royal_render/server/version.py")})
    with mounted(repo.path, folder / "mnt") as mnt:
        maya = version(mnt, "maya", "0.1.8")
        absent(maya / "linked"), absent(maya / "up")
        assert os.listdir(maya / "only") == []
        assert (maya / "linked.py").read_text() == '__version__ = "0.1.1"\n'
        assert not (maya / "linked.py").is_symlink() and errors(mnt) == []
    both(repo)


@pytest.mark.parametrize("content", [
    Link("nowhere"), Link("/etc/passwd"), Link("../../../.git/config"), Link("it"), Fifo()])
def test_b_a_file_that_cannot_be_read_fails_alone(make, folder, fuse, content):
    repo = make(B)
    repo.write({"server_addon/maya/server/settings/it": content})
    with mounted(repo.path, folder / "mnt") as mnt:
        maya = version(mnt, "maya", "0.1.8")
        assert "it" in os.listdir(maya / "settings")
        fails((maya / "settings/it").read_bytes)
        assert [p["path"] for p in errors(mnt)] == ["server_addon/maya/server/settings/it"]
        assert [p["affects"][0] for p in errors(mnt)] == ["package/maya/0.1.8/settings/it"]
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []


def test_b_a_missing_pyproject_is_a_problem(make, folder, fuse):
    repo = make(without(B, "server_addon/openpype/client"))
    with mounted(repo.path, folder / "mnt") as mnt:
        fails((version(mnt, "openpype", "3.18.1") / "private/pyproject.toml").read_bytes)
        assert [p["path"] for p in errors(mnt)] == ["server_addon/openpype/client/pyproject.toml"]


def test_b_an_empty_folder_of_a_submodule_is_kept_in_a_revision(make, folder, fuse):
    repo = make(B)
    head = repo.git("rev-parse", "HEAD").decode().strip()
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{head},server_addon/maya/server/sub")
    repo.git("commit", "-q", "-m", "submodule")
    clean = repo.checkout(folder / "clean")
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        assert os.listdir(version(mnt, "maya", "0.1.8") / "sub") == []
        assert oracle.compare_root(clean, mnt, parts=("package",)) == []


def test_b_a_new_addon_shows_at_once_and_goes_at_once(make, folder, fuse):
    repo = make(B)
    with mounted(repo.path, folder / "mnt") as mnt:
        repo.write({"server_addon/nuke/server/version.py": '__version__ = "1.2.3"\n'})
        assert sorted(os.listdir(mnt / "package")) == ["maya", "nuke", "openpype", "royal_render"]
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
        (repo.path / "server_addon/nuke/server").rename(repo.path / "server_addon/nuke/servers")
        assert sorted(os.listdir(mnt / "package")) == ["maya", "openpype", "royal_render"]
        repo.write({"server_addon/maya/server/version.py": '__version__ = "0.2.0"\n'})
        assert os.listdir(mnt / "package/maya") == ["0.2.0"]


# --- c and d -------------------------------------------------------------------------------------


def test_c_an_addon_has_the_name_that_its_package_py_says(make, folder, fuse):
    repo = make(C)
    with mounted(repo.path, folder / "mnt") as mnt:
        assert sorted(os.listdir(mnt / "package")) == ["blender", "max", "maya", "royalrender"]
        assert paths(version(mnt, "royalrender", "0.1.1")) == {"package.py", "server/__init__.py"}
        assert paths(version(mnt, "maya", "0.2.2")) == {
            "package.py", "server/__init__.py", "server/settings/run.sh", "public/icon.bin",
            "private/pyproject.toml", "private/client.zip"}


def test_d_holds_what_it_should(make, folder, fuse):
    repo = make(D)
    with mounted(repo.path, folder / "mnt") as mnt:
        core = version(mnt, "core", "1.9.7+dev")
        assert paths(core) == {
            "package.py", "LICENSE", "server/__init__.py", "server/settings/x.pyo", "server/settings/run.sh",
            "private/pyproject.toml", "private/notes.txt", "private/client.zip", "public/icon.bin",
            "frontend/dist/index.html"}
        assert (core / "private/pyproject.toml").read_text() == "[core]\n"
        members = archive(core)
        assert members[b"ayon_core/LICENSE"] == (b"Apache, say\n", False)
        assert members[b"ayon_core/version.py"] == (VERSION_PY, False)
        assert b"ayon_core/sub.pyc/x.py" in members and b"other/x.py" not in members
    assert repo.git("status", "--porcelain") == b""  # nothing was rewritten in the worktree


def test_d_a_version_py_is_replaced_but_never_added(make, folder, fuse, both):
    repo = make(without(D, "client/ayon_core/version.py"))
    with mounted(repo.path, folder / "mnt") as mnt:
        core = version(mnt, "core", "1.9.7+dev")
        assert b"ayon_core/version.py" not in archive(core)
        repo.write({"client/ayon_core/version.py": "not even Python ("})
        assert archive(core)[b"ayon_core/version.py"][0] == VERSION_PY
        repo.write({"package.py": package_py("core", "2.0.0", "ayon_core")})
        members = archive(version(mnt, "core", "2.0.0"))
        assert members[b"ayon_core/version.py"][0] == VERSION_PY.replace(b"1.9.7+dev", b"2.0.0")
        repo.write({"package.py": package_py("kernel", "2.0.0", "ayon_core")})
        members = archive(version(mnt, "kernel", "2.0.0"))
        assert b"addon 'kernel' version" in members[b"ayon_core/version.py"][0]
    both(repo)


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
def test_d_without_a_license_or_with_license_no(make, folder, fuse, options):
    repo = make(D)
    source = repo.checkout(folder / "clean") if options else repo.path
    with mounted(repo.path, folder / "mnt", ",".join(filter(None, [options, "license=no"]))) as mnt:
        core = version(mnt, "core", "1.9.7+dev")
        assert "LICENSE" not in paths(core) and b"ayon_core/LICENSE" not in archive(core)
        assert oracle.compare_root(source, mnt, license=False, parts=("package",)) == []
    with mounted(repo.path, folder / "mnt", ",".join(filter(None, [options, "license=yes"]))) as mnt:
        assert oracle.compare_root(source, mnt, parts=("package",)) == []


def test_d_a_license_that_comes_and_goes(make, folder, fuse):
    repo = make(without(D, "LICENSE"))
    with mounted(repo.path, folder / "mnt") as mnt:
        core = version(mnt, "core", "1.9.7+dev")
        absent(core / "LICENSE")
        repo.write({"LICENSE": "MIT\n"})
        assert (core / "LICENSE").read_text() == "MIT\n"
        assert archive(core)[b"ayon_core/LICENSE"][0] == b"MIT\n"
        (repo.path / "LICENSE").unlink()
        assert b"ayon_core/LICENSE" not in archive(core)


def test_license_takes_yes_and_no(make, folder, program):
    repo = make(D)
    result = run("export", repo.path, folder / "out", "-o", "license=maybe")
    assert result.returncode != 0 and b"license" in result.stderr


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
@pytest.mark.parametrize("layout", ["d", "cd"])
def test_a_missing_client_folder_fails_the_zip_only(make, folder, fuse, layout, options):
    repo = make(without(SAMPLES[layout], "client/ayon_core"))
    source = repo.checkout(folder / "clean") if options else repo.path
    with mounted(repo.path, folder / "mnt", options) as mnt:
        core = version(mnt, "core", "1.9.7+dev")
        assert "client.zip" in os.listdir(core / "private")
        fails((core / "private/client.zip").read_bytes)
        assert (core / "private/pyproject.toml").read_bytes() and (core / "LICENSE").read_bytes()
        assert [p["path"] for p in errors(mnt)] == ["client/ayon_core"]
        assert "package/core/1.9.7+dev/private/client.zip" in errors(mnt)[0]["affects"]
        assert oracle.compare_root(source, mnt, parts=("package",)) == []
        if not options:
            repo.write({"client/ayon_core/__init__.py": ""})
            assert oracle.compare_root(repo.path, mnt, parts=("package",)) == [] == errors(mnt)


@pytest.mark.parametrize("line", ["", "client_dir = None\n", "client_dir = 'ayon_core'\nclient_dir = None\n"])
def test_without_a_client_dir_there_is_no_client_zip(make, folder, fuse, both, line):
    repo = make({**D, "package.py": package_py("core", "1.0.0", more=line)})
    with mounted(repo.path, folder / "mnt") as mnt:
        core = version(mnt, "core", "1.0.0")
        absent(core / "private/client.zip")
        assert (core / "private/pyproject.toml").read_text() == "[core]\n" and errors(mnt) == []
    both(repo)


@pytest.mark.parametrize("line", [
    "client_dir = get()\n", "client_dir = '../server'\n", "client_dir = 'a/b'\n", "client_dir = '.'\n",
    "client_dir = '.git'\n", "client_dir = 1\n", "client_dir = '/etc'\n"])
def test_a_client_dir_that_is_no_name_fails_closed(make, folder, fuse, line):
    repo = make(D)
    with mounted(repo.path, folder / "mnt") as mnt:
        repo.write({"package.py": package_py("core", "1.0.0", more=line)})
        fails((version(mnt, "core", "1.0.0") / "private/client.zip").read_bytes)
        assert any(p["path"].startswith("package.py") or "package.py" in p["reason"] for p in errors(mnt))


def test_d_an_empty_client_folder_is_an_empty_zip(make, folder, fuse):
    repo = make({**without(D, "client/ayon_core", "LICENSE"), "client/ayon_core/.dropped": ""})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert archive(version(mnt, "core", "1.9.7+dev")) == {} and errors(mnt) == []


@pytest.mark.parametrize("left_out", [(), ("client/pyproject.toml",), ("private/pyproject.toml",),
                                      ("client/pyproject.toml", "private/pyproject.toml"), ("private",),
                                      ("private", "client/pyproject.toml"), ("public",), ("server",)])
def test_d_pyproject_and_folders_that_may_be_missing(make, both, left_out):
    both(make(without(D, *left_out)))


def test_d_pyproject_of_client_wins_as_it_comes_and_goes(make, folder, fuse):
    repo = make(D)
    with mounted(repo.path, folder / "mnt") as mnt:
        path = version(mnt, "core", "1.9.7+dev") / "private/pyproject.toml"
        assert path.read_text() == "[core]\n"
        (repo.path / "client/pyproject.toml").unlink()
        assert path.read_text() == "loses to that of client\n"
        (repo.path / "client/pyproject.toml").write_text("back\n")
        assert path.read_text() == "back\n" and errors(mnt) == []


@pytest.mark.parametrize("path", ["client/ayon_core/LICENSE", "private/client.zip"])
def test_d_two_rules_for_one_path_are_a_problem(make, folder, fuse, path):
    repo = make({**D, path: "a second one"})
    with mounted(repo.path, folder / "mnt") as mnt:
        core = version(mnt, "core", "1.9.7+dev")
        fails((core / "private/client.zip").read_bytes)
        assert (core / "LICENSE").read_bytes() and errors(mnt)
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
        (repo.path / path).unlink()
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []


def test_d_frontend_without_dist_is_a_warning(make, folder, fuse):
    repo = make(without(D, "frontend/dist"))
    for options in ("", "rev=HEAD"):
        with mounted(repo.path, folder / "mnt", options) as mnt:
            (warning,) = status(mnt)["problems"]
            assert warning["severity"] == "warning" and warning["path"] in ("frontend", "frontend/dist")
            assert "frontend" not in os.listdir(version(mnt, "core", "1.9.7+dev"))
            assert oracle.compare_root(
                repo.path if not options else repo.checkout(folder / "clean"), mnt, parts=("package",)) == []
    with mounted(repo.path, folder / "mnt") as mnt:
        repo.write({"frontend/dist/app.js": "built\n"})
        core = version(mnt, "core", "1.9.7+dev")
        assert (core / "frontend/dist/app.js").read_text() == "built\n"
        assert status(mnt)["problems"] == [] and os.listdir(core / "frontend") == ["dist"]


def test_without_a_frontend_nothing_is_said(make, folder, fuse):
    repo = make(without(D, "frontend"))
    with mounted(repo.path, folder / "mnt") as mnt:
        assert status(mnt)["problems"] == []


def test_modes_of_files_and_members(make, folder, fuse):
    repo = make({**SAMPLES["cd"], "client/ayon_core/start": Exec(b"#!/bin/sh\n")})
    with mounted(repo.path, folder / "mnt") as mnt:
        core = version(mnt, "core", "1.9.7+dev")
        assert os.stat(core / "server/settings/run.sh").st_mode & 0o777 == 0o555
        assert os.stat(core / "package.py").st_mode & 0o777 == 0o444
        members = archive(core)
        assert [n for n, (_, executable) in members.items() if executable] == [
            b"ayon_core/lib/run.sh", b"ayon_core/start"]


# --- Broken addons -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "__version__ = get()\n", "__version__ = '1", "__version__ = '../x'\n",
                                  "__version__ = 1\n"])
def test_b_one_broken_version_does_not_hide_the_others(make, folder, fuse, text):
    repo = make(B)
    with mounted(repo.path, folder / "mnt") as mnt:
        assert os.listdir(mnt / "package/maya") == ["0.1.8"]
        repo.write({"server_addon/maya/server/version.py": text})
        assert sorted(os.listdir(mnt / "package")) == ["maya", "openpype", "royal_render"]
        fails(os.listdir, mnt / "package/maya")
        (problem,) = errors(mnt)
        assert problem["path"] == "server_addon/maya/server/version.py" and problem["reason"]
        assert "package/maya" in problem["affects"]
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
        repo.write({"server_addon/maya/server/version.py": '__version__ = "0.1.9"\n'})
        assert os.listdir(mnt / "package/maya") == ["0.1.9"] and errors(mnt) == []


def test_b_openpype_broken_or_a_version_py_missing(make, folder, fuse, both):
    repo = make({**B, "openpype/version.py": "__version__ = f'{1}'\n"})
    (repo.path / "server_addon/royal_render/server/version.py").unlink()
    with mounted(repo.path, folder / "mnt") as mnt:
        fails(os.listdir, mnt / "package/openpype")
        fails(os.listdir, mnt / "package/royal_render")
        assert paths(version(mnt, "maya", "0.1.8")) == {path.decode() for path in B_OTHER}
        assert len(errors(mnt)) == 2
    both(repo)


@pytest.mark.parametrize("place, name", [
    ("server_addon/maya/", "maya"), ("", "core")])
def test_c_and_d_one_broken_version_does_not_hide_the_others(make, folder, fuse, both, place, name):
    repo = make({**SAMPLES["cd"], f"{place}package.py": f"name = '{name}'\nversion = str(1)\n"})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert sorted(os.listdir(mnt / "package")) == ["blender", "core", "max", "maya", "royalrender"]
        fails(os.listdir, mnt / "package" / name)
        assert [p["path"] for p in errors(mnt)] == [f"{place}package.py"]
    both(repo)


@pytest.mark.parametrize("text", ["version = '1.0.0'\n", "name = get()\nversion = '1.0.0'\n", "name = '", "",
                                  "name = '.x'\nversion = '1.0.0'\n", "name = 'a/b'\nversion = '1'\n"])
@pytest.mark.parametrize("place, healthy", [
    ("server_addon/maya/", "core/1.9.7+dev"), ("", "maya/0.2.2")])
def test_an_addon_without_a_name_fails_the_listing_only(make, folder, fuse, place, healthy, text):
    repo = make({**SAMPLES["cd"], f"{place}package.py": text})
    with mounted(repo.path, folder / "mnt") as mnt:
        fails(os.listdir, mnt / "package")
        assert archive(mnt / "package" / healthy)
        assert [p["path"] for p in errors(mnt)] == [f"{place}package.py"]
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
        repo.write({f"{place}package.py": package_py("back", "1.0.0")})
        assert "back" in os.listdir(mnt / "package") and errors(mnt) == []


@pytest.mark.parametrize("options", ["", "layout=d"])
@pytest.mark.parametrize("text", ["name = 'core'\nversion = get()\n", "name = get()\nversion = '1'\n", "("])
def test_d_alone_and_broken_is_never_an_empty_listing(make, folder, fuse, options, text):
    repo = make(D)
    with mounted(repo.path, folder / "mnt", options) as mnt:
        repo.write({"package.py": text})
        try:
            assert os.listdir(mnt / "package") == ["core"]
        except OSError as error:
            assert error.errno == errno.EIO
        fails(os.listdir, mnt / "package/core")
        assert any("package.py" in p["path"] for p in errors(mnt))
        repo.write({"package.py": D["package.py"]})
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []


@pytest.mark.parametrize("text", ["name = 'core'\nversion = get()\n", "name = get()\nversion = '1'\n", "("])
def test_a_source_without_any_addon_that_works_is_refused(make, folder, fuse, text):
    repo = make({**D, "package.py": text})
    (folder / "mnt").mkdir()
    result = run("mount", repo.path, folder / "mnt")
    assert result.returncode != 0 and not os.path.ismount(folder / "mnt")
    assert b"package.py:" in result.stderr and len(result.stderr.splitlines()) == 1


def test_two_addons_of_one_name_and_version_are_a_problem(make, folder, fuse, both):
    repo = make({**C, "server_addon/zwilling/package.py": package_py("maya", "0.2.2"),
                 "server_addon/zwilling/server/__init__.py": "second = True\n"})
    with mounted(repo.path, folder / "mnt") as mnt:
        with pytest.raises(OSError) as failure:
            (version(mnt, "maya", "0.2.2") / "server/__init__.py").read_bytes()
        assert failure.value.errno == errno.EIO
        text = str(errors(mnt))
        assert "server_addon/zwilling" in text and "server_addon/maya" in text
        assert paths(version(mnt, "royalrender", "0.1.1"))
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
        repo.write({"server_addon/zwilling/package.py": package_py("twin", "0.2.2")})
        assert "twin" in os.listdir(mnt / "package") and errors(mnt) == []
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
    both(repo)


def test_c_and_d_of_one_name_and_version_are_a_problem(make, folder, fuse, both):
    repo = make({**SAMPLES["cd"], "server_addon/max/package.py": package_py("core", "1.9.7+dev")})
    with mounted(repo.path, folder / "mnt") as mnt:
        fails((version(mnt, "core", "1.9.7+dev") / "package.py").read_bytes)
        assert errors(mnt)
    both(repo)


def test_one_name_with_several_versions_shows_them_all(make, folder, fuse, both):
    repo = make({**SAMPLES["cd"], "server_addon/max/package.py": package_py("core", "0.1.0"),
                 "server_addon/Royal/package.py": package_py("maya", "9.0.0")})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert sorted(os.listdir(mnt / "package/core")) == ["0.1.0", "1.9.7+dev"]
        assert sorted(os.listdir(mnt / "package/maya")) == ["0.2.2", "9.0.0"]
        assert errors(mnt) == []
    both(repo)


# --- Which layout --------------------------------------------------------------------------------

EVERYTHING = {**C, **D, **BASE, **B, ".gitattributes": D[".gitattributes"]}


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
@pytest.mark.parametrize("layout, addons", [
    ("a", ["openpype"]), ("b", ["maya", "openpype", "royal_render"]),
    ("c", ["blender", "max", "maya", "royalrender"]), ("d", ["core"])])
def test_a_layout_is_forced(make, folder, fuse, layout, addons, options):
    repo = make(EVERYTHING)
    source = repo.checkout(folder / "clean") if options else repo.path
    with mounted(repo.path, folder / "mnt", ",".join(filter(None, [options, f"layout={layout}"]))) as mnt:
        assert set(addons) <= set(os.listdir(mnt / "package"))
        assert status(mnt)["layout"] == layout
        assert oracle.compare_root(source, mnt, layout=layout, parts=("package",)) == []


def test_the_order_of_detection(make, folder, fuse):
    repo = make(EVERYTHING)
    with mounted(repo.path, folder / "mnt") as mnt:
        assert oracle.detect(oracle.Tree(repo.path)) == "b" and status(mnt)["layout"] == "b"
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
        before = errors(mnt)  # the addons of layout c have no server/version.py
        (repo.path / "server_addon/openpype/server").rename(folder / "kept")
        assert oracle.detect(oracle.Tree(repo.path)) == "a" and status(mnt)["layout"] == "a"
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
        (repo.path / "openpype/version.py").unlink()
        assert oracle.detect(oracle.Tree(repo.path)) == "cd"
        assert {"core", "maya", "royalrender"} <= set(os.listdir(mnt / "package"))
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
        (repo.path / "package.py").unlink()
        assert "core" not in os.listdir(mnt / "package")
        (repo.path / "package.py").write_text(D["package.py"])
        (repo.path / "server_addon").rename(folder / "away")
        assert os.listdir(mnt / "package") == ["core"]
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
        (repo.path / "package.py").unlink()
        fails(os.listdir, mnt / "package")
        assert errors(mnt)
        (folder / "away").rename(repo.path / "server_addon")
        repo.write({"openpype/version.py": B["openpype/version.py"]})
        (folder / "kept").rename(repo.path / "server_addon/openpype/server")
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
        assert errors(mnt) == before


def test_a_layout_that_does_not_exist_is_refused(make, folder, program):
    repo = make(D)
    (folder / "mnt").mkdir()
    result = run("mount", repo.path, folder / "mnt", "-o", "layout=e")
    assert result.returncode != 0 and b"layout" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("layout", ["a", "b", "c"])
def test_a_forced_layout_that_is_not_there_is_refused(make, folder, fuse, layout):
    repo = make(D)
    (folder / "mnt").mkdir()
    for command, place in (("mount", "mnt"), ("export", "out")):
        result = run(command, repo.path, folder / place, "-o", f"layout={layout}")
        assert result.returncode != 0 and len(result.stderr.splitlines()) == 1
    assert not (folder / "out").exists() and not os.path.ismount(folder / "mnt")


def test_a_forced_layout_whose_signs_go_is_never_an_empty_listing(make, folder, fuse):
    repo = make(EVERYTHING)
    for layout, sign in (("b", "server_addon"), ("a", "openpype"), ("c", "server_addon"), ("d", "package.py")):
        with mounted(repo.path, folder / "mnt", f"layout={layout}") as mnt:
            (repo.path / sign).rename(folder / "away")
            try:
                names = os.listdir(mnt / "package")
            except OSError as error:
                assert error.errno == errno.EIO
            else:
                assert names
                for name in names:
                    fails(os.listdir, mnt / "package" / name)
            assert errors(mnt)
            (folder / "away").rename(repo.path / sign)
            assert oracle.compare_root(repo.path, mnt, layout=layout, parts=("package",)) == []


def test_every_commit_is_shown_in_its_own_layout(make, folder, fuse):
    repo = make(BASE)
    made = {"a": repo.git("rev-parse", "HEAD").decode().strip()}
    for layout in OTHERS:
        repo.git("rm", "-rfq", ".")
        repo.write(SAMPLES[layout])
        made[layout] = repo.commit(layout)
    with mounted(repo.path, folder / "mnt") as mnt:
        for layout, commit in made.items():
            clean = repo.checkout(folder / layout, commit)
            assert oracle.compare_root(clean, mnt / "commits" / commit, parts=("package",)) == [], layout


def test_a_checkout_of_another_layout_is_seen_at_once(make, folder, fuse):
    repo = make(BASE)
    for layout in OTHERS:
        repo.git("rm", "-rfq", ".")
        repo.write(SAMPLES[layout])
        repo.commit(layout)
        repo.git("tag", f"layout-{layout}")
    with mounted(repo.path, folder / "mnt") as mnt:
        for layout in OTHERS * 2:
            repo.git("checkout", "-q", f"layout-{layout}")
            assert oracle.compare_root(repo.path, mnt, parts=("package",)) == [], layout


@pytest.mark.parametrize("layout", OTHERS)
def test_an_export_holds_every_addon(make, folder, program, layout):
    repo = make(SAMPLES[layout])
    result = run("export", repo.path, folder / "out")
    assert result.returncode == 0, result.stderr.decode()
    addons = oracle.packages(repo.path)[1]
    assert {p.name.decode() for p in addons} == set(os.listdir(folder / "out"))
    for addon in addons:
        place = folder / "out" / addon.name.decode() / addon.version.decode()
        assert list(oracle.compare(addon, place)) == []


def test_an_export_of_a_broken_addon_is_refused_as_a_whole(make, folder, program):
    repo = make({**B, "server_addon/maya/server/version.py": "__version__ = get()\n"})
    result = run("export", repo.path, folder / "out")
    assert result.returncode == 1 and not (folder / "out").exists()
    assert b"server_addon/maya/server/version.py" in result.stderr


def test_layout_a_stays_as_it_was(repo, folder, fuse):
    with mounted(repo.path, folder / "mnt") as mnt:
        assert oracle.compare_root(repo.path, mnt, parts=("package",)) == []
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []
        assert Path(mnt / "package").name in os.listdir(mnt)
