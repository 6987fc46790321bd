"""`addonfs verify` finds what is wrong with a package, and the commit that it is of."""

import io
import json
import os
import re
import shutil
import tarfile
import zipfile

import pytest

from mounting import on_terminal, run
from repository import Repository
from samples import SAMPLES
from test_diff import edit_zip, export

pytestmark = pytest.mark.usefixtures("program")


def verify(*arguments, code=None):
    result = run("verify", *arguments, "--json")
    assert result.stderr == b"", result.stderr.decode()
    found = json.loads(result.stdout)
    assert result.returncode == (0 if found["good"] else 1)
    if code is not None:
        assert result.returncode == code, found
    text = run("verify", *arguments)
    assert text.returncode == result.returncode
    assert text.stdout.decode().count("\n") == len(found["versions"]) + len(found["findings"])
    return found


def findings(*arguments):
    found = verify(*arguments, code=1)
    return {item["path"]: item["text"] for item in found["findings"]}


def origin(*arguments):
    version, = verify(*arguments)["versions"]
    return version["origin"], version["commit"]


@pytest.mark.parametrize("options", ["", "version=git", "upload=prefixed"])
@pytest.mark.parametrize("layout", SAMPLES)
def test_what_we_write_is_good_and_of_its_commit(folder, layout, options):
    repo = Repository(folder / "source", SAMPLES[layout])
    first = repo.git("rev-parse", "HEAD").decode().strip()
    if options == "version=git":
        repo.write({"package.py" if layout == "d" else "README": (repo.path / "package.py").read_text() + "\n"
                    if layout == "d" else "more"})
        first = repo.commit("more")
    source = repo.checkout(folder / "clean")  # with the line ends that Git writes
    arguments = ["-o", options] if options else []
    for view, form in (("package", "folder"), ("package", "tar.gz"), ("package", "zip"), ("client", "folder"),
                       ("upload", "folder")):
        out = folder / f"{view}-{form}"
        result = run("export", source, out, f"--view={view}", f"--format={form}", *arguments)
        assert result.returncode == 0, result.stderr.decode()
        found = verify(out, code=0)
        assert found["findings"] == [] and {v["origin"] for v in found["versions"]} == {"unasked"}
        found = verify(out, source, *arguments, code=0)
        assert {(v["origin"], v["commit"]) for v in found["versions"]} == {("commit", first)}
    for name in os.listdir(folder / "upload-folder"):
        found = verify(folder / "upload-folder" / name, source, *arguments, code=0)
        version, = found["versions"]
        assert name == f"{version['addon']}-{version['version']}.zip" and version["commit"] == first


def test_a_derived_version_is_found_without_the_option(repo, folder):
    repo.write({"openpype/new.py": "new = 1\n"})
    commit = repo.commit()
    out = export(repo.path, folder / "out", "version=git,rev=main")
    repo.write({"openpype/newer.py": "new = 1\n"})
    repo.commit()
    repo.write({"openpype/newest.py": "new = 1\n"})
    version, = os.listdir(out / "openpype")
    assert re.fullmatch(r"3\.15\.13-dev\.1\+g[0-9a-f]{7}", version)
    assert origin(out, repo.path) == ("commit", commit)
    dirty = export(repo.path, folder / "dirty", "version=git")
    assert origin(dirty, repo.path) == ("worktree", None)
    (repo.path / "openpype/newest.py").write_text("other = 1\n")
    assert origin(dirty, repo.path) == ("none", None)


def test_the_newest_commit_that_is_the_same_is_found(repo, folder):
    commits = []
    for i in range(4):
        repo.write({"openpype/number.py": f"number = {i}\n"})
        commits.append(repo.commit())
    repo.write({"README.md": "not in the package"})
    commits.append(repo.commit())
    repo.write({"openpype/version.py": '__version__ = "3.16.0"\n'})
    repo.commit()
    for i, commit in enumerate(commits[:4]):
        out = export(repo.path, folder / f"out{i}", f"rev={commit}")
        expected = commits[4] if i == 3 else commit
        found, = verify(out, repo.path)["versions"]
        assert (found["origin"], found["commit"]) == ("commit", expected)
        assert found["tried"] == (1 if i == 3 else 5 - i)
        assert origin(out, repo.path, "-o", f"rev={commit}") == ("commit", commit)


def test_one_that_is_of_no_commit_says_how_many_were_tried(repo, folder):
    repo.write({"openpype/new.py": "new = 1\n"})
    out = export(repo.path, folder / "out")
    assert origin(out, repo.path) == ("worktree", None)
    (out / "openpype/3.15.12/__init__.py").write_text("changed")
    found, = verify(out, repo.path, code=1)["versions"]
    assert found["origin"] == "none" and found["tried"] == found["looked"] == 1
    assert "of none of 1 commits that declare it" in run("verify", out, repo.path).stdout.decode()


def test_what_is_missing_is_found(folder):
    repo = Repository(folder / "a", SAMPLES["a"])
    top = export(repo.path, folder / "out") / "openpype/3.15.12"
    (top / "private/client.zip").unlink()
    assert findings(top) == {"private/client.zip": "is missing"}
    (top / "__init__.py").unlink()
    assert findings(top) == {"private/client.zip": "is missing", "__init__.py": "is missing"}
    (top / "private/pyproject.toml").unlink()
    assert set(findings(top)) == {"__init__.py"}
    (top / "version.py").unlink()
    (top / "__init__.py").write_text("")
    assert findings(top) == {"version.py": "is missing, and so is package.py"}


def test_what_package_py_says_is_to_be_there(folder):
    repo = Repository(folder / "d", SAMPLES["d"])
    top = export(repo.path, folder / "out") / "core/1.9.7+dev"
    edit_zip(top / "private/client.zip",
             lambda members: [members.pop(name) for name in list(members) if name.startswith("ayon_core/")]
             and members.update({"other/x.py": (b"", 0o100644)}))
    assert findings(top) == {"private/client.zip/ayon_core": "is missing"}
    (top / "private/client.zip").unlink()
    assert findings(top) == {"private/client.zip": "is missing"}
    (top / "package.py").write_text("name = 'core'\nversion = str(1)\n")
    assert findings(top) == {"package.py": "declares no version"}


def test_a_version_is_the_same_wherever_it_stands(folder):
    repo = Repository(folder / "d", SAMPLES["d"])
    out = export(repo.path, folder / "out")
    os.rename(out / "core/1.9.7+dev", out / "core/1.9.8")
    assert findings(out) == {"core/1.9.8": "says version 1.9.8, but core/1.9.8/package.py says 1.9.7+dev"}
    os.rename(out / "core/1.9.8", out / "core/1.9.7+dev")
    top = out / "core/1.9.7+dev"
    edit_zip(top / "private/client.zip",
             lambda members: members.update({"ayon_core/version.py": (b'__version__ = "1.0"\n', 0o100644)}))
    assert findings(top) == {
        "private/client.zip/ayon_core/version.py": "says version 1.0, but package.py says 1.9.7+dev"}


@pytest.mark.parametrize("manifest, path, text", [
    ('{"addon_name": "openpype", "addon_version": "1.0.0"}', "addon/version.py",
     "says version 3.15.12, but manifest.json says 1.0.0"),
    ('{"addon_name": "other", "addon_version": "3.15.12"}', "", None),
    ('{"addon_name": "openpype"}', "manifest.json", "has no addon_version"),
    ("[]", "manifest.json", "is no JSON object"),
    ("{", "manifest.json", "is no JSON object"),
])
def test_a_manifest_says_the_same(repo, folder, manifest, path, text):
    export(repo.path, folder / "out", "view=upload")
    upload = folder / "out/openpype-3.15.12.zip"
    edit_zip(upload, lambda members: members.update({"manifest.json": (manifest.encode(), 0o100644)}))
    if text:
        assert findings(upload)[path] == text
    else:  # the archive's name is nobody's, then
        assert verify(upload)["versions"][0]["addon"] == "other"


def test_damage_and_names_that_lead_out_are_found(repo, folder):
    out = export(repo.path, folder / "out")
    top = out / "openpype/3.15.12"
    (top / ".git").mkdir()
    (top / "link").symlink_to("/etc/passwd")
    (top / "public").mkdir()

    def change(members):
        members["../evil.py"] = (b"evil", 0o100644)
        members["openpype/.GIT/config"] = (b"evil", 0o100644)

    edit_zip(top / "private/client.zip", change)
    data = (top / "private/client.zip").read_bytes().replace(b"def tool", b"def toot", 1)
    (top / "private/client.zip").write_bytes(data)
    at = "openpype/3.15.12/"
    found = findings(out)
    crc = found.pop(at + "private/client.zip/openpype/lib/tools.py")
    assert "CRC" in crc
    assert found == {
        at + ".git": "is a name of Git's own", at + "link": "a link, which is not followed",
        at + "private/client.zip/../evil.py": 'a name with ".."',
        at + "private/client.zip/openpype/.GIT": "is a name of Git's own"}


def test_a_cut_archive_is_found(repo, folder):
    path = folder / "x.tar.gz"
    repo.write({"openpype/random.bin": os.urandom(1 << 20)})
    export(repo.path, path)
    data = path.read_bytes()
    path.write_bytes(data[:-200])
    assert findings(path)
    client = folder / "out"
    export(repo.path, client)
    file = client / "openpype/3.15.12/private/client.zip"
    file.write_bytes(file.read_bytes()[:-30])
    assert "openpype/3.15.12/private/client.zip" in findings(client)


def test_trouble_is_one_line(repo, folder):
    (folder / "empty").mkdir()
    for arguments in ([folder / "absent"], [folder / "empty"], [folder / "empty", folder / "absent"]):
        result = run("verify", *arguments)
        assert result.returncode == 2 and result.stdout == b""
        assert result.stderr.decode().startswith("addonfs: ") and result.stderr.decode().count("\n") == 1


def test_colours_are_for_terminals(repo, folder):
    out = export(repo.path, folder / "out", "rev=main")
    commit = repo.git("rev-parse", "HEAD").decode().strip()
    red, green = 31, 32

    def told(code, lines, *arguments):
        """These lines, their words in these colours, on a terminal; and in none for those who want none."""
        coloured = "".join(f"\x1b[{colour}m{word:7}\x1b[0m {rest}\n" for colour, word, rest in lines)
        bare = "".join(f"{word:7} {rest}\n" for _, word, rest in lines)
        assert on_terminal("verify", *arguments) == (code, coloured)
        for refusal in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            assert on_terminal("verify", *arguments, env=refusal) == (code, bare), refusal
        result = run("verify", *arguments, env={**os.environ, "TERM": "xterm"})
        assert (result.returncode, result.stdout.decode()) == (code, bare)

    told(0, [(green, "sound", f"openpype 3.15.12, of commit {commit}")], out, repo.path)
    (out / "openpype/3.15.12/more.py").write_text("")
    told(1, [(red, "sound", "openpype 3.15.12, of none of 1 commits that declare it, of 1 that were looked at, nor as "
              "the worktree is now")], out, repo.path)
    (out / "openpype/3.15.12/version.py").unlink()
    told(1, [(red, "faulty", "openpype 3.15.12"),
             (red, "fault", "openpype/3.15.12/version.py: is missing, and so is package.py")], out)


def test_an_archive_by_another_packager_is_good(folder):
    repo = Repository(folder / "d", SAMPLES["d"])
    top = export(repo.path, folder / "out", "rev=main") / "core/1.9.7+dev"
    shutil.make_archive(folder / "download", "zip", top)
    assert origin(folder / "download.zip", repo.path)[0] == "commit"
    with zipfile.ZipFile(folder / "download.zip") as archive, tarfile.open(folder / "core-1.9.7+dev.tar", "w") as tar:
        for info in archive.infolist():
            if not info.is_dir():
                member = tarfile.TarInfo("./" + info.filename)
                member.size = info.file_size
                member.mode = info.external_attr >> 16 & 0o777
                tar.addfile(member, io.BytesIO(archive.read(info)))
    assert origin(folder / "core-1.9.7+dev.tar", repo.path)[0] == "commit"
