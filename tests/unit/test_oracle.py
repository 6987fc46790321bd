"""The oracle itself, against expectations that were written by hand."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import oracle
from repository import BASE, Fifo, Link, write
from samples import B, B_KEPT, B_OTHER, C, D, IGNORED, SAMPLES, package_py, without


@pytest.fixture
def source(tmp_path):
    def make(files, **more):
        write(tmp_path / "source", files)
        layout, found = oracle.packages(tmp_path / "source", **more)
        return layout, {(p.name or b"").decode(): p for p in found}
    return make


def modes(content):
    return {path: executable for path, (_, executable) in content.items()}


def test_layout_a(source):
    layout, found = source(BASE)
    package = found.pop("openpype")
    assert layout == "a" and not found
    assert package.version == b"3.15.12" and not package.fails
    assert package.files.keys() == {
        b"version.py", b"__init__.py", b".dot", b"old.pyc", b"settings/main.py", b"private/pyproject.toml"}
    assert modes(package.members) == {
        b"openpype/version.py": False, b"openpype/__init__.py": False, b"openpype/lib/tools.py": False,
        b"openpype/lib/run.sh": True, b"openpype/start.bat": False, b"openpype/img/blob.bin": False}


def test_layout_b(source):
    layout, found = source(B)
    assert layout == "b" and found.keys() == {"openpype", "maya", "royal_render"}
    assert not any(p.fails for p in found.values())
    assert {n: p.version for n, p in found.items()} == {
        "openpype": b"3.18.1", "maya": b"0.1.8", "royal_render": b"0.1.1"}
    members = found["openpype"].members
    assert members.keys() == {name.encode() for name in B_KEPT} | {
        b"openpype/version.py", b"openpype/lib/check.sh", b"openpype/img/blob.bin"}
    assert found["openpype"].files.keys() == {
        b"version.py", b"__init__.py", b".dot", b"old.pyc", b"settings/main.py", b"private/pyproject.toml"}
    assert modes(found["maya"].files) == B_OTHER and not found["maya"].has_client
    assert not set(IGNORED) & found.keys()


def test_layout_b_keeps_empty_folders_and_drops_linked_ones(source, tmp_path):
    server = tmp_path / "source/server_addon/maya/server"
    for empty in ("empty/deeper", "settings/hollow", "only_a_link"):
        (server / empty).mkdir(parents=True)
    write(server, {"linked": Link("settings"), "only_a_link/x": Link("../settings"),
                   "linked.py": Link("../../royal_render/server/version.py"), "broken": Link("nowhere"),
                   "to_git": Link("../../../.git/config"), "out": Link("/etc/passwd"), "fifo": Fifo()})
    (tmp_path / "source/server_addon/openpype/server/empty").mkdir(parents=True)
    package = source(B)[1]["maya"]
    assert package.folders == {b"empty/deeper", b"settings/hollow", b"only_a_link"}
    assert package.files.keys() == {*B_OTHER, b"linked.py"}
    assert package.files[b"linked.py"][0] == b'__version__ = "0.1.1"\n'
    assert package.unreadable.keys() == {b"broken", b"to_git", b"out", b"fifo"}
    assert source(B)[1]["openpype"].folders == set()


def test_an_excluded_sub_tree_is_a_folder_at_that_path(source, tmp_path):
    (tmp_path / "source/openpype").mkdir(parents=True)
    (tmp_path / "source/openpype/addons").symlink_to("/nowhere")
    files = without(B, "openpype/addons", "openpype/hosts/flame")
    members = source({**files, "openpype/hosts/flame": "a file"})[1]["openpype"]
    assert b"openpype/hosts/flame" in members.members and not members.bad_members


def test_layout_c(source):
    layout, found = source(C)
    assert layout == "c" and not any(p.fails for p in found.values())
    assert {n: p.version for n, p in found.items()} == {
        "maya": b"0.2.2", "royalrender": b"0.1.1", "max": b"1.0.0+dev", "blender": b"0.3.0-dev.1"}
    maya = found["maya"]
    assert modes(maya.files) == {
        b"package.py": False, b"server/__init__.py": False, b"server/settings/run.sh": True,
        b"public/icon.bin": False, b"private/pyproject.toml": False}
    assert modes(maya.members) == {
        b"ayon_maya/__init__.py": False, b"ayon_maya/version.py": False, b"ayon_maya/api/version.py": False,
        b"ayon_maya/api/run.bat": False, b"ayon_maya/api/run.sh": True}
    assert maya.members[b"ayon_maya/version.py"][0] == (
        b"# -*- coding: utf-8 -*-\n\"\"\"Package declaring AYON addon 'maya' version.\"\"\"\n"
        b'__version__ = "0.2.2"\n')
    assert maya.members[b"ayon_maya/api/version.py"][0] == b'__version__ = "this stays"\n'
    assert not found["royalrender"].has_client and not found["max"].has_client
    assert found["royalrender"].files.keys() == {b"package.py", b"server/__init__.py"}
    assert b"private/pyproject.toml" in found["max"].files
    assert found["blender"].members == {b"ayon_blender/__init__.py": (b"blender = 1\n", False)}


D_FILES = {
    b"package.py", b"LICENSE", b"server/__init__.py", b"server/settings/x.pyo", b"server/settings/run.sh",
    b"private/pyproject.toml", b"private/notes.txt", b"public/icon.bin", b"frontend/dist/index.html"}
D_MEMBERS = {
    b"ayon_core/__init__.py", b"ayon_core/version.py", b"ayon_core/lib/__init__.py", b"ayon_core/lib/tools.py",
    b"ayon_core/lib/version.py", b"ayon_core/lib/run.bat", b"ayon_core/lib/run.sh", b"ayon_core/pyc",
    b"ayon_core/sub.pyc/x.py", b"ayon_core/__pycache__x/x.py", "ayon_core/Grüße.txt".encode(), b"ayon_core/LICENSE"}


def test_layout_d(source):
    layout, found = source(D)
    core = found.pop("core")
    assert layout == "d" and not found and core.version == b"1.9.7+dev" and not core.fails
    assert core.files.keys() == D_FILES and core.members.keys() == D_MEMBERS
    assert core.files[b"private/pyproject.toml"][0] == b"[core]\n"
    assert core.members[b"ayon_core/version.py"][0].endswith(b'\n__version__ = "1.9.7+dev"\n')
    assert core.members[b"ayon_core/lib/version.py"][0] == b'__version__ = "this stays"\n'
    core = source(D, license=False)[1]["core"]
    assert core.files.keys() == D_FILES - {b"LICENSE"}
    assert core.members.keys() == D_MEMBERS - {b"ayon_core/LICENSE"}


def test_layout_d_without_what_is_optional(source):
    core = source({"package.py": package_py("x", "1"), "private/client.zip": "any file",
                   "client/ayon_x/a.py": "", "frontend/src.ts": ""})[1]["x"]
    assert core.files.keys() == {b"package.py", b"private/client.zip"} and not core.fails
    assert not core.has_client and [path for path, _ in core.warnings] == [b"frontend"]


def test_layout_d_without_the_client_folder(source):
    core = source(without(D, "client/ayon_core"))[1]["core"]
    assert core.client_fails and core.upload_fails and core.files.keys() == D_FILES


@pytest.mark.parametrize("path, content", [
    ("client/ayon_core/LICENSE", "two for one"), ("private/client.zip", "two for one"),
    ("client/ayon_core/broken", Link("nowhere"))])
def test_two_rules_for_one_path_and_broken_links_fail_the_client(source, path, content):
    core = source({**D, path: content})[1]["core"]
    assert core.client_fails and core.files.keys() == D_FILES and core.fails


def test_c_and_d_in_one_tree_and_the_order_of_detection(source):
    layout, found = source(SAMPLES["cd"])
    assert layout == "cd" and found.keys() == {"maya", "royalrender", "max", "blender", "core"}
    assert source({}, layout="d")[1].keys() == {"core"}
    assert source({}, layout="c")[1].keys() == {"maya", "royalrender", "max", "blender"}
    assert source(BASE)[0] == "a" and source(B)[0] == "b"
    assert source({}, layout="a")[1].keys() == {"openpype"}


def test_a_source_of_no_layout(source):
    with pytest.raises(oracle.Unknown):
        source({"openpype/version.py": '__version__ = "1"\n', "server_addon/x/server/x.py": ""})


def test_broken_addons_do_not_hide_others(source):
    found = source({**B, "server_addon/maya/server/version.py": "__version__ = get()\n"})[1]
    assert found["maya"].broken[0] == b"server_addon/maya/server/version.py"
    assert not found["openpype"].broken and not found["royal_render"].broken
    found = source({**B, "openpype/version.py": "", "server_addon/maya/server/version.py": "__version__ = '1'"})[1]
    assert found["openpype"].broken and not found["maya"].broken


def test_an_addon_without_a_name_and_two_with_the_same(source, tmp_path):
    broken = {**C, "server_addon/max/package.py": "name = 'm' 'ax'\nversion = f'1'\n",
              "server_addon/nopackage/package.py": "version = '1'\n"}
    found = source(broken)[1]
    assert found["max"].broken and found[""].broken and not found["maya"].broken
    write_same = {"server_addon/nopackage/package.py": package_py("maya", "0.2.2"),
                  "server_addon/max/package.py": package_py("maya", "0.3")}
    source(write_same)
    _, found = oracle.packages(tmp_path / "source")
    assert sorted((p.name, p.version, bool(p.clash)) for p in found) == [
        (b"blender", b"0.3.0-dev.1", False), (b"maya", b"0.2.2", True), (b"maya", b"0.2.2", True),
        (b"maya", b"0.3", False), (b"royalrender", b"0.1.1", False)]


@pytest.mark.parametrize("text, value", [
    ("name = 'x'", "x"), ("name: str = 'x'", "x"), ("name = ('x'\n 'y')", "xy"), ("name = 'a'\nname = 'b'", "b"),
    ("if a:\n  name = 1\nname = 'x'", "x"), ("\ufeffname = 'x'", "x"), ("a = name = 'x'", "x"),
    ("name = None", None), ("def f():\n  name = 1", oracle.UNSET), ("name: str", oracle.UNSET),
    ("name = 'x'\nprint(name)", "x")])
def test_literals(text, value):
    assert oracle.literal(text.encode(), "name") == value


@pytest.mark.parametrize("text", [
    "name = 'x'\nif a:\n  name = 'y'", "name = x", "name = 'x' + 'y'", "name = 1", "name = f'x'", "name = b'x'",
    "name = 'x'\nname += 'y'", "name = 'x'\ndel name", "from a import name", "name, b = 'x'", "name = '",
    "def name(): pass", "def f():\n  global name\nname = g()"])
def test_what_is_not_a_literal(text):
    with pytest.raises(oracle.Broken):
        oracle.literal(text.encode(), "name")


@pytest.mark.parametrize("name, version", [
    ("", "1"), ("a b", "1"), (".x", "1"), ("x.", "1"), ("a/b", "1"), ("x" * 129, "1"), ("x", ""), ("x", "1..2"),
    ("x", "1/2"), ("x", "-1"), ("x", "1 2"), ("x", "1" * 129), ("é", "1")])
def test_names_that_are_not_allowed(source, name, version):
    (package,) = source({"package.py": package_py(name, version)})[1].values()
    assert package.broken


def test_upload_members(source):
    found = source(B)[1]
    assert found["maya"].upload_name == b"maya-0.1.8.zip"
    upload = found["maya"].upload()
    assert upload.keys() == {b"manifest.json"} | {b"addon/" + path for path in B_OTHER}
    assert upload[b"manifest.json"] == (b'{"addon_name": "maya", "addon_version": "0.1.8"}', False)
    assert upload[b"addon/settings/run.sh"][1]
    prefixed = found["openpype"].upload(b"zip", prefixed=True)
    assert prefixed[b"openpype/3.18.1/private/client.zip"] == (b"zip", False)
    assert all(name.startswith(b"openpype/3.18.1/") for name in prefixed)


def test_upload_members_at_the_root(source):
    core = source(D)[1]["core"]
    assert core.upload(b"zip").keys() == D_FILES | {b"private/client.zip"}
    assert core.upload_name == b"core-1.9.7+dev.zip" and core.client_name == b"core_1.9.7+dev"


def stage(packages, root):
    """A root as a mount shows it, made from what the oracle says."""
    for package in packages:
        place = root / "package" / package.name.decode() / package.version.decode()
        write(place, {os.fsdecode(path): data for path, (data, _) in package.files.items()})
        data = None
        if package.has_client:
            place = place / "private/client.zip"
            place.parent.mkdir(exist_ok=True, parents=True)
            write_zip(place, package.members)
            data = place.read_bytes()
            write(root / "client" / package.client_name.decode(),
                  {os.fsdecode(path): data for path, (data, _) in package.members.items()})
        (root / "upload").mkdir(exist_ok=True)
        write_zip(root / "upload" / package.upload_name.decode(), package.upload(data))
    for base, _, names in os.walk(root):
        for name in names:
            os.chmod(os.path.join(base, name), 0o444)
        os.chmod(base, 0o555)
    for package in packages:
        for tree, content in ((f"package/{package.name.decode()}/{package.version.decode()}", package.files),
                              (f"client/{package.client_name.decode()}", package.members)):
            for path, (_, executable) in content.items():
                if executable:
                    os.chmod(root / tree / os.fsdecode(path), 0o555)


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (data, executable) in sorted(members.items()):
            info = zipfile.ZipInfo(name.decode())
            info.external_attr = (0o100755 if executable else 0o100644) << 16
            archive.writestr(info, data)


@pytest.mark.parametrize("layout", SAMPLES)
def test_a_root_is_compared_and_every_difference_found(source, tmp_path, layout):
    source(SAMPLES[layout])
    packages = oracle.packages(tmp_path / "source")[1]
    stage(packages, tmp_path / "root")
    program = [sys.executable, Path(oracle.__file__), "compare", tmp_path / "source", tmp_path / "root"]
    result = subprocess.run(program, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    files = sum(len(p.files) for p in packages)
    members = sum(len(p.members) + len(p.upload()) for p in packages)
    assert result.stdout == f"files {files} members {members} differences 0\n"
    first = packages[0]
    version = tmp_path / "root/package" / first.name.decode() / first.version.decode()
    some = version / os.fsdecode(min(first.files))
    for change in (lambda: some.write_text("other"), lambda: some.chmod(0o755), some.unlink,
                   lambda: (version / "more").write_text("x"),
                   lambda: (tmp_path / "root/package/empty").mkdir(),
                   lambda: next((tmp_path / "root/upload").iterdir()).unlink()):
        before = set(oracle.compare_root(tmp_path / "source", tmp_path / "root"))
        change()
        after = set(oracle.compare_root(tmp_path / "source", tmp_path / "root"))
        assert after - before, before
    assert subprocess.run(program, capture_output=True).returncode == 1
