"""`addonfs diff` says what differs between a source and a package, and nothing else."""

import io
import json
import os
import random
import re
import shutil
import stat
import subprocess
import tarfile
import zipfile

import pytest

from mounting import ADDONFS, TIMEOUT, mounted, on_terminal, run
from repository import Exec, Link, Repository
from samples import SAMPLES

pytestmark = pytest.mark.usefixtures("program")

NAMES = {"a": ["openpype"], "b": ["maya", "openpype", "royal_render"], "c": ["blender", "max", "maya", "royalrender"],
         "d": ["core"], "cd": ["blender", "core", "max", "maya", "royalrender"]}


def diff(source, package, options="", code=None):
    """{(kind, path)} of what differs."""
    result = run("diff", source, package, "--json", *(["-o", options] if options else []))
    assert result.stderr == b"", result.stderr.decode()
    found = json.loads(result.stdout)
    assert found["same"] == (not found["differences"]) == (result.returncode == 0)
    if code is not None:
        assert result.returncode == code, found
    text = run("diff", source, package, *(["-o", options] if options else []))
    assert text.returncode == result.returncode
    assert text.stdout.decode().count("\n") == len(found["differences"])
    return {(item["kind"], item["path"]) for item in found["differences"]}


def details(source, package):
    result = run("diff", source, package, "--json")
    return {item["path"]: item["detail"] for item in json.loads(result.stdout)["differences"]}


def trouble(*arguments):
    result = run("diff", *arguments)
    text = result.stderr.decode()
    assert result.returncode == 2 and result.stdout == b"", result
    assert text.startswith("addonfs: ") and text.count("\n") == 1
    return text


def export(source, out, options=""):
    result = run("export", source, out, *(["-o", options] if options else []))
    assert result.returncode == 0, result.stderr.decode()
    return out


def edit_zip(path, change, compression=zipfile.ZIP_STORED):
    """Write the zip anew from what `change` makes of {name: (bytes, mode)}."""
    with zipfile.ZipFile(path) as old:
        members = {info.filename: (old.read(info), info.external_attr >> 16) for info in old.infolist()}
    change(members)
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, (content, mode) in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = compression
            new.writestr(info, content)


def unpacked(folder, out):
    """A copy in which zips are folders, for `diff -rq`."""
    shutil.copytree(folder, out)
    for path in sorted(out.rglob("*.zip")):
        data = path.read_bytes()
        path.unlink()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(path)
            for info in archive.infolist():  # extractall does not set modes
                os.chmod(path / info.filename, info.external_attr >> 16 & 0o777)
    return out


def diff_rq(should, found, top):
    """The same as `diff`, by diff(1); and modes by stat."""
    result = subprocess.run(["diff", "-rq", should, found], capture_output=True, text=True,
                            env={**os.environ, "LC_ALL": "C"})
    assert result.returncode in (0, 1), result.stderr
    seen = set()
    for line in result.stdout.splitlines():
        if match := re.fullmatch(r"Only in (.*?): (.*)", line):
            kind = "missing" if match[1].startswith(str(should)) else "extra"
            below = os.path.relpath(os.path.join(match[1], match[2]), should if kind == "missing" else found)
        elif match := re.fullmatch(r"Files (.*) and (.*) differ", line):
            kind, below = "bytes", os.path.relpath(match[1], should)
        else:
            match = re.fullmatch(r"File (.*) is a (.*) while file (.*) is a (.*)", line)
            kind, below = "kind", os.path.relpath(match[1], should)
        seen.add((kind, os.path.normpath(os.path.join(top, below))))
    for path in should.rglob("*"):
        other = found / path.relative_to(should)
        if path.is_file() and other.is_file() and (path.stat().st_mode ^ other.stat().st_mode) & stat.S_IXUSR:
            seen.add(("mode", os.path.normpath(os.path.join(top, path.relative_to(should)))))
    return seen


@pytest.mark.parametrize("layout", SAMPLES)
def test_what_was_exported_is_the_same_in_every_shape(folder, layout):
    repo = Repository(folder / "source", SAMPLES[layout])
    out = export(repo.path, folder / "out")
    assert diff(repo.path, out, code=0) == set()
    for addon in NAMES[layout]:
        assert diff(repo.path, out / addon, code=0) == set()
        version, = os.listdir(out / addon)
        assert diff(repo.path, out / addon / version, code=0) == set()
    for suffix in (".zip", ".tar", ".tar.gz", ".tar.xz", ".tar.zst"):
        assert diff(repo.path, export(repo.path, folder / f"x{suffix}"), code=0) == set()


@pytest.mark.parametrize("form", ["--format=7zip", "--format=cpio", "--format=zip", "--format=pax --bzip2",
                                  "--format=pax --lzma", "--format=ustar --lz4", "--format=gnutar --compress"])
def test_archives_that_others_have_made_are_read(repo, folder, form):
    export(repo.path, folder / "out")
    subprocess.run(["bsdtar", "-C", folder / "out", *form.split(), "-cf", folder / "archive", "openpype"], check=True)
    assert diff(repo.path, folder / "archive", code=0) == set()
    repo.write({"openpype/lib/tools.py": "edited"})
    path = "openpype/3.15.12/private/client.zip/openpype/lib/tools.py"
    assert diff(repo.path, folder / "archive", code=1) == {("bytes", path)}


@pytest.mark.parametrize("options", ["", "upload=prefixed"])
@pytest.mark.parametrize("layout", SAMPLES)
def test_what_is_mounted_is_the_same_and_zips_to_upload(folder, fuse, layout, options):
    repo = Repository(folder / "source", SAMPLES[layout])
    with mounted(repo.path, folder / "mnt", options) as mnt:
        for view in ("package", "upload", "client"):
            assert diff(repo.path, mnt / view, options, code=0) == set(), view
        for path in (mnt / "upload").iterdir():
            shutil.copy(path, folder / path.name)
            assert diff(repo.path, folder / path.name, options, code=0) == set()
        assert diff(repo.path, mnt / "commits" / repo.git("rev-parse", "HEAD").decode().strip() / "package",
                    "rev=main", code=0) == set()


def change_at_random(dice, top, count):
    """Change what is below a version's folder, zips included."""
    def pick(members):
        return dice.choice(sorted(members))

    def change_zip(members):
        for _ in range(count):
            action = dice.randrange(5)
            name = pick(members)
            if action == 0:
                members[name] = (members[name][0] + b"x", members[name][1])
            elif action == 1:
                members[name] = (members[name][0], members[name][1] ^ 0o111)
            elif action == 2 and len(members) > 2:
                del members[name]
            else:
                members[f"{os.path.dirname(name)}/n{dice.randrange(9)}/x.py"] = (b"new", 0o100644)

    for _ in range(count):
        files = sorted(path for path in top.rglob("*") if path.is_file() and path.suffix != ".zip")
        path = dice.choice(files)
        action = dice.randrange(5)
        if action == 0:
            path.write_bytes(path.read_bytes() + b"x")
        elif action == 1:
            os.chmod(path, stat.S_IMODE(path.stat().st_mode) ^ 0o111)
        elif action == 2 and len(files) > 3:
            path.unlink()
        elif action == 3:
            path.unlink()
            path.mkdir()
        else:
            (path.parent / f"n{dice.randrange(9)}").mkdir(exist_ok=True)
            (path.parent / f"n{dice.randrange(9)}.py").write_text("new")
    for path in top.rglob("*.zip"):
        edit_zip(path, change_zip, dice.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))


@pytest.mark.parametrize("layout, addon", [("a", "openpype"), ("b", "openpype"), ("c", "maya"), ("d", "core")])
def test_it_says_what_diff_says(folder, layout, addon):
    seed = int(os.environ.get("ADDONFS_SEED", random.randrange(1 << 30)))
    print(f"ADDONFS_SEED={seed}")
    dice = random.Random(seed)
    repo = Repository(folder / "source", SAMPLES[layout])
    out = export(repo.path, folder / "out") / addon
    version, = os.listdir(out)
    should = unpacked(out / version, folder / "should")
    for i in range(6):
        deployed = folder / f"deployed{i}" / addon / version
        shutil.copytree(out / version, deployed)
        change_at_random(dice, deployed, dice.randrange(1, 5))
        found = unpacked(deployed, folder / f"found{i}")
        expected = diff_rq(should, found, "")
        assert diff(repo.path, deployed.parent) == {(kind, f"{version}/{path}") for kind, path in expected}
        with tarfile.open(folder / "x.tar", "w") as archive:
            archive.add(deployed, ".")
        # Of an archive nothing but its name would tell which addon it is of.
        os.rename(folder / "x.tar", folder / f"{addon}-{version}.tar")
        filled = {(kind, path) for kind, path in expected  # folders without files do not count there
                  if not any((top / path).is_dir() and not any(p.is_file() for p in (top / path).rglob("*"))
                             for top in (should, found)) or kind == "kind"}
        if not any(path in ("version.py", "package.py") for kind, path in expected):
            assert diff(repo.path, folder / f"{addon}-{version}.tar") == filled


def test_another_version_is_named(repo, folder):
    out = export(repo.path, folder / "out")
    repo.write({"openpype/version.py": '__version__ = "3.15.13"\n'})
    assert diff(repo.path, out) == {("version", "openpype/3.15.13")}
    assert details(repo.path, out)["openpype/3.15.13"] == "is not deployed, but 3.15.12 is"
    assert diff(repo.path, out / "openpype") == diff(repo.path, out / "openpype/3.15.12") == \
        {("version", "openpype/3.15.13")}
    export(repo.path, out)
    assert diff(repo.path, out, code=0) == set()  # older versions may stay


def test_addons_that_are_not_deployed_are_named_and_others_are_not(folder):
    repo = Repository(folder / "source", SAMPLES["cd"])
    out = export(repo.path, folder / "out")
    shutil.rmtree(out / "maya")
    (out / "other/1.0.0").mkdir(parents=True)
    (out / "other/1.0.0/package.py").write_text("")
    assert diff(repo.path, out) == {("addon", "maya/0.2.2")}
    assert diff(repo.path, out / "core", code=0) == set()
    assert "is of the addon other" in trouble(repo.path, out / "other")


def test_links_in_a_folder_are_not_followed(repo, folder):
    out = export(repo.path, folder / "out")
    top = out / "openpype/3.15.12"
    content = (top / "__init__.py").read_bytes()
    (folder / "same").write_bytes(content)
    (top / "__init__.py").unlink()
    (top / "__init__.py").symlink_to(folder / "same")
    (top / "loop").symlink_to(".")
    os.mkfifo(top / "fifo")
    at = "openpype/3.15.12/"
    assert diff(repo.path, out) == {("fault", at + "__init__.py"), ("fault", at + "loop"), ("fault", at + "fifo")}
    assert details(repo.path, out)[at + "loop"] == "a link, which is not followed"


def hostile_tar(path, add):
    with tarfile.open(path, "a") as archive:
        for name, kind, target in add:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = target
            data = b"evil"
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(data))


def test_names_that_lead_out_of_an_archive_are_told_and_nothing_is_written(repo, folder):
    path = export(repo.path, folder / "x.tar")
    top = "openpype/3.15.12"
    hostile_tar(path, [("/tmp/addonfs-evil", tarfile.REGTYPE, ""), ("../evil", tarfile.REGTYPE, ""),
                       (f"{top}/../../../evil", tarfile.REGTYPE, ""), (f"{top}/C:\\..\\evil", tarfile.REGTYPE, ""),
                       (f"{top}/link", tarfile.SYMTYPE, "/etc/passwd"), (f"{top}/hard", tarfile.LNKTYPE, f"{top}/version.py"),
                       (f"{top}/null", tarfile.CHRTYPE, ""), (f"{top}/__init__.py", tarfile.SYMTYPE, "version.py")])
    before = sorted(folder.rglob("*"))
    found = details(repo.path, path)
    assert found[f"{top}/link"] == found[f"{top}/__init__.py"].replace("is there twice", found[f"{top}/link"])
    assert {name: text for name, text in found.items() if "__init__" not in name} == {
        f"{top}/link": "a link, which is not followed", f"{top}/hard": "a hard link, which is not followed",
        f"{top}/null": "neither a file nor a folder"}
    assert sorted(folder.rglob("*")) == before and not os.path.exists("/tmp/addonfs-evil")


def test_a_version_in_an_archive_tells_what_leads_out(repo, folder):
    out = export(repo.path, folder / "out")
    with tarfile.open(folder / "openpype-3.15.12.tar", "w") as archive:
        archive.add(out / "openpype/3.15.12", ".")
    hostile_tar(folder / "openpype-3.15.12.tar", [("../evil", tarfile.REGTYPE, ""), ("/evil", tarfile.REGTYPE, "")])
    found = details(repo.path, folder / "openpype-3.15.12.tar")
    assert found == {"../evil": 'a name with ".."', "/evil": "an absolute name"}


def test_what_leads_out_of_client_zip_is_told(repo, folder):
    out = export(repo.path, folder / "out")
    path = out / "openpype/3.15.12/private/client.zip"

    def change(members):
        members["../../evil.py"] = (b"evil", 0o100644)
        members["/evil.py"] = (b"evil", 0o100644)
        members["openpype/link"] = (b"/etc/passwd", 0o120777)

    edit_zip(path, change)
    at = "openpype/3.15.12/private/client.zip/"
    assert diff(repo.path, out) == {("fault", at + "../../evil.py"), ("fault", at + "/evil.py"),
                                    ("fault", at + "openpype/link")}


def test_damage_is_told_by_the_member(repo, folder):
    out = export(repo.path, folder / "out")
    path = out / "openpype/3.15.12/private/client.zip"
    edit_zip(path, lambda members: None)
    data = bytearray(path.read_bytes())
    at = data.index(b"def tool")
    data[at] ^= 1
    path.write_bytes(data)
    assert diff(repo.path, out) == {("fault", "openpype/3.15.12/private/client.zip/openpype/lib/tools.py")}
    path.write_bytes(data[:1000])
    assert diff(repo.path, out) == {("fault", "openpype/3.15.12/private/client.zip")}
    path.write_bytes(b"")
    assert diff(repo.path, out) == {("fault", "openpype/3.15.12/private/client.zip")}


def test_a_claim_is_not_believed(repo, folder):
    out = export(repo.path, folder / "out")
    with tarfile.open(folder / "openpype-3.15.12.tar", "w") as archive:
        archive.add(out / "openpype/3.15.12", ".")
        end = archive.offset
    with open(folder / "openpype-3.15.12.tar", "r+b") as file:
        file.seek(end)
        info = tarfile.TarInfo("bomb.zip")
        info.size = 1 << 50
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate()
    found = details(repo.path, folder / "openpype-3.15.12.tar")
    assert found["bomb.zip"] == f"claims to have {1 << 50} bytes: not read"


def test_twins_in_a_zip_are_a_fault(repo, folder):
    out = export(repo.path, folder / "out")
    path = out / "openpype/3.15.12/private/client.zip"
    with zipfile.ZipFile(path, "a") as archive:
        with pytest.warns(UserWarning):
            archive.writestr("openpype/version.py", "evil = 1\n")
    at = "openpype/3.15.12/private/client.zip/openpype/version.py"
    assert diff(repo.path, out) == {("fault", at)} and details(repo.path, out)[at] == "is there twice"


def test_trouble_is_one_line(repo, folder):
    (folder / "file").write_text("no archive")
    (folder / "empty").mkdir()
    assert f"{folder}/absent: No such file" in trouble(repo.path, folder / "absent")
    assert "Unrecognized archive format" in trouble(repo.path, folder / "file")
    assert "looks like no package" in trouble(repo.path, folder / "empty")
    assert "neither a folder nor an archive" in trouble(repo.path, "/dev/null")
    out = export(repo.path, folder / "out")
    repo.write({"openpype/zz": Link("nowhere")})
    assert "openpype/zz" in trouble(repo.path, out)


def test_a_file_that_cannot_be_read_is_trouble(repo, folder, root_user):
    out = export(repo.path, folder / "out")
    os.chmod(out / "openpype/3.15.12/version.py", 0)
    os.chown(repo.path, 65534, 65534)
    for base, folders, files in os.walk(repo.path):
        for name in folders + files:
            os.lchown(os.path.join(base, name), 65534, 65534)
    assert "version.py: Permission denied" in trouble(repo.path, out, "-o", "cache=none")


def test_a_version_folder_of_another_name_says_itself_what_it_is(folder):
    repo = Repository(folder / "source", SAMPLES["d"])
    out = export(repo.path, folder / "out")
    os.rename(out / "core/1.9.7+dev", folder / "unpacked")
    assert diff(repo.path, folder / "unpacked", code=0) == set()  # package.py says which it is
    (folder / "unpacked/server/run").write_bytes(b"")
    assert diff(repo.path, folder / "unpacked") == {("extra", "server/run")}


def test_colours_are_for_terminals(repo, folder):
    out = export(repo.path, folder / "out")
    (out / "openpype/3.15.12/version.py").unlink()
    expected = "missing  openpype/3.15.12/version.py\n"
    assert run("diff", repo.path, out).stdout.decode() == expected

    def shown(**environment):
        code, text = on_terminal("diff", repo.path, out, env=environment)
        assert code == 1
        return text

    assert shown() == shown(NO_COLOR="") == "\x1b[31mmissing \x1b[0m openpype/3.15.12/version.py\n"
    assert shown(NO_COLOR="1") == shown(TERM="dumb") == shown(TERM="") == expected


def test_the_executable_bit_counts_in_zips(repo, folder):
    out = export(repo.path, folder / "out")
    repo.write({"openpype/lib/tools.py": Exec(b"def tool():\n    return 1\n" * 50)})
    assert diff(repo.path, out) == {("mode", "openpype/3.15.12/private/client.zip/openpype/lib/tools.py")}
