"""client/<name>_<version>/: what unpacking client.zip gives, live and frozen, and Python runs from it."""

import errno
import os
import random
import shutil
import subprocess
import sys
import zipfile

import pytest

import oracle
from mounting import errors, mounted
from repository import BASE, Exec, Link, Repository
from samples import B, C, D, SAMPLES, package_py, without

LAYOUTS = ["a", "b", "c", "d", "cd"]
OF = {  # layout -> addon, version, client_dir, where its source is
    "a": ("openpype", "3.15.12", "openpype", "openpype"), "b": ("openpype", "3.18.1", "openpype", "openpype"),
    "c": ("maya", "0.2.2", "ayon_maya", "server_addon/maya/client/ayon_maya"),
    "d": ("core", "1.9.7+dev", "ayon_core", "client/ayon_core")}


@pytest.fixture
def make(folder):
    return lambda files: Repository(folder / "source", files)


def same(source, root, **more):
    assert oracle.compare_root(source, root, parts=("client",), **more) == []


def client(root, layout):
    name, version, client_dir, _ = OF[layout]
    return root / "client" / f"{name}_{version}" / client_dir


def fails(call, *arguments):
    with pytest.raises(OSError) as failure:
        call(*arguments)
    assert failure.value.errno == errno.EIO, failure.value


def equals_its_zip(root, folder):
    """Every client tree, by diff -r against what Python makes of the zip."""
    checked = 0
    for path in sorted(root.glob("package/*/*/private/client.zip")):
        version = path.parents[1]
        with zipfile.ZipFile(path) as archive:
            out = folder / f"unpacked{len(os.listdir(folder))}"
            archive.extractall(out)
        tree = root / "client" / f"{version.parent.name}_{version.name}"
        result = subprocess.run(["diff", "-r", "--no-dereference", out, tree], capture_output=True)
        assert result.returncode == 0, result
        checked += 1
    assert len(os.listdir(root / "client")) == checked > 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_equals_what_unpacking_gives(make, folder, fuse, layout):
    repo = make(SAMPLES[layout])
    head = repo.git("rev-parse", "HEAD").decode().strip()
    clean = repo.checkout(folder / "clean")
    with mounted(repo.path, folder / "mnt") as mnt:
        for root, source in ((mnt, repo.path), (mnt / "commits" / head, clean), (mnt / "HEAD", clean),
                             (mnt / "snapshots/current", repo.path)):
            equals_its_zip(root, folder)
            same(source, root)
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        equals_its_zip(mnt, folder)
        same(clean, mnt)


def test_addons_without_a_client_zip_have_no_folder(make, folder, fuse):
    for number, (files, names) in enumerate((
            (BASE, ["openpype_3.15.12"]), (B, ["openpype_3.18.1"]), (C, ["blender_0.3.0-dev.1", "maya_0.2.2"]),
            ({**SAMPLES["cd"], "package.py": package_py("core", "1.0.0")}, ["blender_0.3.0-dev.1", "maya_0.2.2"]),
            ({**without(D, "private"), "package.py": package_py("core", "1.0.0")}, []))):
        repo = Repository(folder / f"source{number}", files)
        with mounted(repo.path, folder / "mnt") as mnt:
            assert sorted(os.listdir(mnt / "client")) == names
            assert not (mnt / "client/royalrender_0.1.1").exists()
            assert not (mnt / "client/core_1.0.0").exists()


def test_a_license_and_the_generated_version_are_in_it(make, folder, fuse):
    repo = make(D)
    with mounted(repo.path, folder / "mnt") as mnt:
        tree = client(mnt, "d")
        assert (tree / "LICENSE").read_text() == "Apache, say\n"
        assert oracle.literal((tree / "version.py").read_bytes(), "__version__") == "1.9.7+dev"
        assert "addon 'core' version" in (tree / "version.py").read_text()
        assert os.stat(tree / "lib/run.sh").st_mode & 0o777 == 0o555
    with mounted(repo.path, folder / "mnt", "license=no") as mnt:
        assert "LICENSE" not in os.listdir(client(mnt, "d"))


@pytest.mark.parametrize("place", ["", "HEAD", "snapshots/current"])
@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("layout", ["a", "c", "d"])
def test_python_imports_from_it(make, folder, fuse, layout, writes, place):
    repo = make(SAMPLES[layout])
    name, version, client_dir, _ = OF[layout]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    if not writes:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    code = f"import {client_dir}.version as v; print(v.__version__); print(v.__file__)"
    with mounted(repo.path, folder / "mnt") as mnt:
        tree = client(mnt / place, layout)
        environment["PYTHONPATH"] = str(tree.parent)
        for _ in range(2):
            result = subprocess.run([sys.executable, "-c", code], env=environment, cwd="/", text=True,
                                    capture_output=True)
            assert result.returncode == 0, result.stderr
            assert result.stdout.splitlines() == [version, str(tree / "version.py")]
            assert "__pycache__" not in os.listdir(tree)
    assert not list(repo.path.rglob("version.cpython*"))


def test_python_sees_an_edit_at_the_next_import(make, folder, fuse):
    repo = make(D)
    with mounted(repo.path, folder / "mnt") as mnt:
        environment = {**os.environ, "PYTHONPATH": str(client(mnt, "d").parent)}
        for number in range(3):
            repo.write({"client/ayon_core/number.py": f"number = {number}\n"})
            result = subprocess.run([sys.executable, "-c", "import ayon_core.number as n; print(n.number)"],
                                    env=environment, cwd="/", capture_output=True, text=True)
            assert result.stdout == f"{number}\n", result.stderr


@pytest.mark.parametrize("options", ["", "rev=HEAD"])
@pytest.mark.parametrize("layout", OF)
def test_a_member_that_cannot_be_read_fails_alone(make, folder, fuse, layout, options):
    _, _, _, source = OF[layout]
    repo = make({**SAMPLES[layout], f"{source}/bad.py": Link("nowhere"), f"{source}/sub/bad": Link("/etc/passwd"),
                 f"{source}/sub/good.py": "good = 1\n"})
    with mounted(repo.path, folder / "mnt", options) as mnt:
        tree = client(mnt, layout)
        assert "bad.py" in os.listdir(tree) and sorted(os.listdir(tree / "sub")) == ["bad", "good.py"]
        fails(open, tree / "bad.py", "rb")
        fails(open, tree / "sub/bad", "rb")
        assert (tree / "sub/good.py").read_text() == "good = 1\n"
        assert {p["path"] for p in errors(mnt)} == {f"{source}/bad.py", f"{source}/sub/bad"}
        same(repo.checkout(folder / "clean") if options else repo.path, mnt)
        if not options:
            (repo.path / source / "bad.py").unlink()
            repo.write({f"{source}/bad.py": "mended = 1\n"})
            assert (tree / "bad.py").read_text() == "mended = 1\n"
            same(repo.path, mnt)


def test_a_missing_client_folder_is_never_an_empty_tree(make, folder, fuse):
    repo = make(without(D, "client/ayon_core"))
    with mounted(repo.path, folder / "mnt") as mnt:
        fails(os.listdir, mnt / "client/core_1.9.7+dev/ayon_core")
        assert errors(mnt)
        repo.write({"client/ayon_core/__init__.py": "back = 1\n"})
        assert (client(mnt, "d") / "__init__.py").read_text() == "back = 1\n"
        same(repo.path, mnt)


@pytest.mark.parametrize("layout", OF)
def test_edits_and_deletions_show_at_once(make, folder, fuse, layout):
    repo = make(SAMPLES[layout])
    source = OF[layout][3]
    with mounted(repo.path, folder / "mnt") as mnt:
        tree = client(mnt, layout)
        for number in range(3):
            repo.write({f"{source}/deep/er/new.py": f"number = {number}\n"})
            assert (tree / "deep/er/new.py").read_text() == f"number = {number}\n"
        with open(tree / "deep/er/new.py") as held:
            (repo.path / source / "deep/er/new.py").unlink()
            with pytest.raises(FileNotFoundError):
                os.stat(tree / "deep/er/new.py")
            assert "deep" not in os.listdir(tree)
            assert held.read() == "number = 2\n"
        repo.write({f"{source}/.hidden": "", f"{source}/x.pyc": "", f"{source}/__pycache__/x": ""})
        same(repo.path, mnt)
        (repo.path / source / "__init__.py").rename(repo.path / source / "renamed.py")
        assert "renamed.py" in os.listdir(tree) and "__init__.py" not in os.listdir(tree)
        equals_its_zip(mnt, folder)


@pytest.mark.parametrize("layout", OF)
def test_a_snapshot_keeps_the_old_bytes(make, folder, fuse, layout):
    repo = make(SAMPLES[layout])
    source = OF[layout][3]
    repo.write({f"{source}/code.py": "first\n", f"{source}/big.bin": b"1" * 300000, f"{source}/gone.py": "once\n"})
    with mounted(repo.path, folder / "mnt") as mnt:
        frozen = mnt / "snapshots" / os.readlink(mnt / "snapshots/current")
        before = oracle.read_folder(frozen / "client")
        repo.write({f"{source}/code.py": "second\n", f"{source}/big.bin": b"2" * 300000})
        (repo.path / source / "gone.py").unlink()
        assert (client(mnt, layout) / "code.py").read_text() == "second\n"
        assert oracle.read_folder(frozen / "client") == before
        assert (client(frozen, layout) / "gone.py").read_text() == "once\n"
        equals_its_zip(frozen, folder)
        same(repo.path, mnt)


@pytest.mark.parametrize("layout", OF)
def test_a_snapshot_that_nobody_has_read_yet_keeps_the_old_bytes(make, folder, fuse, layout):
    repo = make(SAMPLES[layout])
    source = OF[layout][3]
    repo.write({f"{source}/code.py": "first\n"})
    with mounted(repo.path, folder / "mnt") as mnt:
        frozen = mnt / "snapshots" / os.readlink(mnt / "snapshots/current")
        os.listdir(frozen / "client")
        repo.write({f"{source}/code.py": "second\n"})
        assert (client(frozen, layout) / "code.py").read_text() == "first\n"


# What may become of a file after a snapshot was taken of it.
FATES = {
    "edited": lambda path: path.write_bytes(b"other\n"),
    "edited, of the same size": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "cut": lambda path: os.truncate(path, 0),
    "deleted": lambda path: path.unlink(),
    "replaced": lambda path: (path.with_name("new").write_bytes(b"new\n"), path.with_name("new").rename(path)),
    "a folder now": lambda path: (path.unlink(), path.mkdir(), (path / "x.py").write_text("x\n")),
    "a broken link now": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "gone with its folder": lambda path: shutil.rmtree(path.parent),
}


@pytest.mark.parametrize("options", ["", "cache=none", "watch=poll", "problems=skip"])
@pytest.mark.parametrize("fate", FATES)
def test_a_snapshots_file_has_its_bytes_whatever_became_of_the_source(make, folder, fuse, fate, options):
    """Of small files and such as are kept on disk, whether they compress or not, nobody having read any."""
    chance = random.Random(1)
    files = {"code.py": b"first = 1\n" * 50, "empty": b"", "large.bin": chance.randbytes(1500000),
             "large.txt": b"line\n" * 500000, "run.sh": Exec(b"#!/bin/sh\n")}
    sub = "client/ayon_core/kept"
    repo = make({**D, **{f"{sub}/{name}": content for name, content in files.items()},
                 "client/ayon_core/untouched.py": "same = 1\n"})
    with mounted(repo.path, folder / "mnt", options) as mnt:
        frozen = mnt / "snapshots" / os.readlink(mnt / "snapshots/current")
        tree = client(frozen, "d")
        os.stat(tree)
        for name in files:
            if (repo.path / sub).exists():
                FATES[fate](repo.path / sub / name)
        os.stat(client(mnt, "d"))  # the live tree has seen it
        found = oracle.read_folder(tree / "kept")
        assert found == {name.encode(): (bytes(content), name == "run.sh") for name, content in files.items()}
        assert (tree / "untouched.py").read_text() == "same = 1\n"
        assert [(tree / "kept" / name).stat().st_size for name in files] == [len(c) for c in files.values()]
        equals_its_zip(frozen, folder)
        assert list(oracle.read_zip((frozen / "upload/core-1.9.7+dev.zip").read_bytes()))


def test_a_file_of_a_snapshot_can_be_read_at_any_place_when_the_source_has_gone(make, folder, fuse):
    data = random.Random(2).randbytes(300000) + b"x" * 2000000
    repo = make({**D, "client/ayon_core/large.bin": data})
    with mounted(repo.path, folder / "mnt") as mnt:
        frozen = client(mnt / "snapshots" / os.readlink(mnt / "snapshots/current"), "d")
        (repo.path / "client/ayon_core/large.bin").unlink()
        descriptor = os.open(frozen / "large.bin", os.O_RDONLY)
        try:
            for offset, size in ((299990, 20), (0, 1), (len(data) - 5, 100), (len(data), 1), (1 << 20, 4096)):
                assert os.pread(descriptor, size, offset) == data[offset:offset + size]
        finally:
            os.close(descriptor)


@pytest.mark.parametrize("options", ["", "rev=HEAD", "rev=HEAD,cache=none"])
@pytest.mark.parametrize("layout", OF)
def test_git_gc_changes_no_client_tree_of_a_commit(make, folder, fuse, layout, options):
    repo = make(SAMPLES[layout])
    source = OF[layout][3]
    first = repo.git("rev-parse", "HEAD").decode().strip()
    repo.write({f"{source}/code.py": "second = 1\n"})
    second = repo.commit("second")
    clean = {commit: repo.checkout(folder / commit, commit) for commit in (first, second)}
    with mounted(repo.path, folder / "mnt", options) as mnt:
        assert (client(mnt / "commits" / second, layout) / "code.py").read_text() == "second = 1\n"
        for command in (("gc", "-q", "--prune=now"), ("repack", "-a", "-d", "-f", "-q"),
                        ("gc", "-q", "--aggressive", "--prune=now")):
            repo.git(*command)
            for commit in (first, second):
                same(clean[commit], mnt / "commits" / commit)
                equals_its_zip(mnt / "commits" / commit, folder)


@pytest.mark.parametrize("opened", ["the file", "the zip", "nothing"])
def test_of_a_commit_that_is_thrown_away_there_are_the_right_bytes_or_an_error(make, folder, fuse, opened):
    repo = make({**D, "client/ayon_core/code.py": "first = 1\n" * 100})
    repo.write({"client/ayon_core/code.py": "second = 1\n" * 100})
    second = repo.commit("second")
    with mounted(repo.path, folder / "mnt", "cache=none") as mnt:
        root = mnt / "commits" / second
        tree = client(root, "d")
        os.stat(tree / "code.py")
        path = {"the file": tree / "code.py", "the zip": root / "package/core/1.9.7+dev/private/client.zip",
                "nothing": folder}[opened]
        descriptor = os.open(path, os.O_RDONLY)
        try:
            repo.git("reset", "-q", "--hard", "HEAD~1")
            repo.git("reflog", "expire", "--expire=now", "--all")
            repo.git("gc", "-q", "--prune=now")
            assert repo.git("cat-file", "-t", second, check=False) == b""
            if opened == "the file":
                assert os.pread(descriptor, 10000, 0) == b"second = 1\n" * 100
            elif opened == "the zip":
                with open(descriptor, "rb", closefd=False) as file:
                    assert oracle.read_zip(file.read())[b"ayon_core/code.py"][0] == b"second = 1\n" * 100
            try:
                assert (tree / "code.py").read_bytes() == b"second = 1\n" * 100
            except OSError as error:
                assert error.errno in (errno.EIO, errno.ENOENT, errno.ESTALE)
        finally:
            os.close(descriptor)
        assert (client(mnt, "d") / "code.py").read_text() == "first = 1\n" * 100


def test_a_new_version_is_a_new_folder(make, folder, fuse):
    repo = make(D)
    with mounted(repo.path, folder / "mnt") as mnt:
        assert os.listdir(mnt / "client") == ["core_1.9.7+dev"]
        repo.write({"package.py": package_py("core", "2.0.0", "ayon_core")})
        assert os.listdir(mnt / "client") == ["core_2.0.0"]
        assert '"2.0.0"' in (mnt / "client/core_2.0.0/ayon_core/version.py").read_text()
        repo.write({"package.py": package_py("core", "2.0.0")})
        assert os.listdir(mnt / "client") == []
        repo.write({"package.py": package_py("core", "2.0.0", "other")})
        assert sorted(os.listdir(mnt / "client/core_2.0.0/other")) == ["LICENSE", "x.py"]


def test_links_are_followed_and_never_shown(make, folder, fuse):
    repo = make({**D, "shared/code.py": "shared = 1\n", "client/ayon_core/linked": Link("../../shared"),
                 "client/ayon_core/linked.py": Link("../../shared/code.py")})
    with mounted(repo.path, folder / "mnt") as mnt:
        tree = client(mnt, "d")
        assert not (tree / "linked").is_symlink() and not (tree / "linked.py").is_symlink()
        assert (tree / "linked/code.py").read_text() == (tree / "linked.py").read_text() == "shared = 1\n"
        repo.write({"shared/code.py": "shared = 2\n"})
        assert (tree / "linked/code.py").read_text() == (tree / "linked.py").read_text() == "shared = 2\n"
        equals_its_zip(mnt, folder)


def test_it_is_read_only(make, folder, fuse):
    repo = make(D)
    with mounted(repo.path, folder / "mnt") as mnt:
        tree = client(mnt, "d")
        for call in (lambda: (tree / "new.py").write_text(""), lambda: (tree / "__init__.py").unlink(),
                     lambda: (tree / "__pycache__").mkdir()):
            with pytest.raises(OSError) as failure:
                call()
            assert failure.value.errno == errno.EROFS


@pytest.mark.parametrize("options", ["problems=skip", "problems=skip,rev=HEAD"])
def test_what_the_zip_leaves_out_knowingly_is_not_in_the_folder_either(make, folder, fuse, options):
    repo = make(D)
    repo.write({"client/ayon_core/lost.py": "lost = 1\n" * 50, "client/ayon_core/broken.py": Link("nowhere")})
    repo.commit()
    oid = repo.git("rev-parse", "HEAD:client/ayon_core/lost.py").decode().strip()
    lost = repo.path / ".git/objects" / oid[:2] / oid[2:]
    kept = lost.read_bytes()
    lost.unlink()
    with mounted(repo.path, folder / "mnt", options) as mnt:
        client = mnt / "client/core_1.9.7+dev/ayon_core"
        unpacked = folder / "out"
        subprocess.run(["unzip", "-qq", mnt / "package/core/1.9.7+dev/private/client.zip", "-d", unpacked], check=True)
        subprocess.run(["diff", "-r", client, unpacked / "ayon_core"], check=True)
        assert (client / "lost.py").exists() == ("rev" not in options) and not (client / "broken.py").exists()
        lost.write_bytes(kept)
        assert (client / "lost.py").read_text() == "lost = 1\n" * 50
