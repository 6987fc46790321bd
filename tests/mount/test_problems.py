"""Never silently incomplete: what cannot be read is an error that names the path."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import time
import zipfile

import pytest

import oracle
from mounting import client_zip, errors, foreground, mounted, package, run, status
from repository import Fifo, Link, Repository, Special

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"

BAD = {
    "broken": Link("nowhere"),
    "absolute": Link("/etc/passwd"),
    "leaving": Link("../../../../../../etc/passwd"),
    "leaving_late": Link("lib/../../../outside"),
    "looping": Link("looping"),
    "to_git": Link("../.git/config"),
    "to_git_folder": Link("../.git"),
    "to_git_case": Link("../.GIT/config"),
    "holds_itself": Link("../openpype"),
    "through_a_file": Link("version.py/x"),
    "lfs.bin": LFS,
    "fifo": Fifo(),
    "socket": Special(stat.S_IFSOCK),
}
if os.geteuid() == 0:
    BAD["device"] = Special(stat.S_IFCHR)
    BAD["disk"] = Special(stat.S_IFBLK)


def assert_fails_closed(path):
    """Listed, one byte (GNU tar does not open empty files), the present moment, open answers EIO."""
    assert path.name in os.listdir(path.parent)
    before = time.time()
    found = os.stat(path)
    assert found.st_size == 1 and found.st_mtime >= before - 2
    with pytest.raises(OSError) as failure:
        open(path, "rb")
    assert failure.value.errno == errno.EIO


@pytest.mark.parametrize("name", BAD)
def test_a_member_that_cannot_be_read_fails_its_zip_only(repo, folder, fuse, name):
    repo.write({f"openpype/{name}": BAD[name]})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert_fails_closed(client_zip(mnt))
        assert (package(mnt) / "version.py").read_bytes()
        assert (package(mnt) / "__init__.py").read_bytes()
        problems = errors(mnt)
        assert [p["path"] for p in problems] == [f"openpype/{name}"]
        assert problems[0]["reason"]
        assert problems[0]["affects"] == [
            "package/openpype/3.15.12/private/client.zip", "upload/openpype-3.15.12.zip"]
        (repo.path / "openpype" / name).unlink()
        assert oracle.read_zip(client_zip(mnt).read_bytes()) == oracle.package_a(repo.path).members
        assert errors(mnt) == []


@pytest.mark.parametrize("name", [n for n in BAD if not isinstance(BAD[n], Special)])
def test_a_revision_fails_closed_for_the_same_reasons(repo, folder, fuse, name):
    repo.write({f"openpype/{name}": BAD[name]})
    repo.commit()
    with mounted(repo.path, folder / "mnt", "rev=HEAD") as mnt:
        assert_fails_closed(client_zip(mnt))
        assert [p["path"] for p in errors(mnt)] == [f"openpype/{name}"]


@pytest.mark.parametrize("name", [n for n in BAD if n not in ("holds_itself", "to_git_folder")])
def test_a_server_file_that_cannot_be_read_fails_alone(repo, folder, fuse, name):
    repo.write({f"server_addon/server/{name}": BAD[name]})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert_fails_closed(package(mnt) / name)
        assert zipfile.ZipFile(client_zip(mnt)).testzip() is None
        problems = errors(mnt)
        assert [(p["path"], p["affects"]) for p in problems] == [
            (f"server_addon/server/{name}",
             [f"package/openpype/3.15.12/{name}", "upload/openpype-3.15.12.zip"])]


def test_problems_skip_leaves_out_knowingly(repo, folder, fuse):
    repo.write({f"openpype/{name}": content for name, content in BAD.items()})
    repo.write({"server_addon/server/broken": Link("nowhere"), "server_addon/server/lfs": LFS})
    good = oracle.package_a(repo.path)
    with mounted(repo.path, folder / "mnt", "problems=skip") as mnt:
        assert list(oracle.compare(good, package(mnt))) == []
        assert errors(mnt) == []
        warned = {p["path"] for p in status(mnt)["problems"]}
        assert warned == {f"openpype/{n}" for n in BAD} | {
            "server_addon/server/broken", "server_addon/server/lfs"}
        (repo.path / "server_addon/server/broken").unlink()
        (repo.path / "server_addon/server/broken").write_text("mended")
        assert (package(mnt) / "broken").read_text() == "mended"


def missing_object(repo, path):
    oid = repo.git("rev-parse", f"HEAD:{path}").decode().strip()
    place = repo.path / ".git/objects" / oid[:2] / oid[2:]
    data = place.read_bytes()
    place.unlink()
    return place, data


@pytest.mark.parametrize("options", ["", "problems=skip"])
def test_a_missing_object_fails_closed_and_heals(repo, folder, fuse, options):
    repo.write({"openpype/gone.py": "gone", "server_addon/server/gone_too.py": "gone too"})
    repo.commit()
    clean = repo.checkout(folder / "clean")
    lost = [missing_object(repo, p) for p in ("openpype/gone.py", "server_addon/server/gone_too.py")]
    with mounted(repo.path, folder / "mnt", ",".join(filter(None, ["rev=HEAD", options]))) as mnt:
        problems = status(mnt)["problems"]
        assert {p["path"] for p in problems} == {"openpype/gone.py", "server_addon/server/gone_too.py"}
        assert all(p["severity"] == ("warning" if options else "error") for p in problems)
        if options:
            assert "gone_too.py" not in os.listdir(package(mnt))
            assert b"openpype/gone.py" not in oracle.read_zip(client_zip(mnt).read_bytes())
        else:
            assert_fails_closed(client_zip(mnt))
            assert_fails_closed(package(mnt) / "gone_too.py")
        for place, data in lost:
            place.write_bytes(data)
        assert list(oracle.compare(oracle.package_a(clean), package(mnt))) == []
        assert status(mnt)["problems"] == []


def test_a_file_named_in_bytes_that_are_not_utf8_fails_the_zip(repo, folder, fuse):
    (repo.path / os.fsdecode(b"openpype/caf\xe9.py")).write_text("x")
    (repo.path / os.fsdecode(b"server_addon/server/caf\xe9.py")).write_text("y")
    with mounted(repo.path, folder / "mnt") as mnt:
        assert_fails_closed(client_zip(mnt))
        assert (package(mnt) / os.fsdecode(b"caf\xe9.py")).read_text() == "y"
        # The file can be had; a zip, which it is to be in as well, cannot hold it.
        assert {p["path"]: p["affects"] for p in errors(mnt)} == {
            "openpype/caf\\xe9.py": ["package/openpype/3.15.12/private/client.zip",
                                     "upload/openpype-3.15.12.zip"],
            "server_addon/server/caf\\xe9.py": ["upload/openpype-3.15.12.zip"]}


def test_a_backslash_cannot_lead_out_of_where_a_zip_is_unpacked(repo, folder, fuse):
    repo.write({"openpype/x\\..\\..\\evil.py": "x"})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert_fails_closed(client_zip(mnt))


def test_two_sources_for_one_path_are_a_problem(repo, folder, fuse):
    repo.write({"server_addon/server/private/pyproject.toml": "another",
                "server_addon/server/private/client.zip": "another"})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert_fails_closed(package(mnt) / "private/pyproject.toml")
        assert_fails_closed(client_zip(mnt))
        assert {a for p in errors(mnt) for a in p["affects"]} == {
            "package/openpype/3.15.12/private/pyproject.toml",
            "package/openpype/3.15.12/private/client.zip",
            "upload/openpype-3.15.12.zip", "client/openpype_3.15.12"}


def test_a_file_where_a_folder_must_be_is_a_problem(repo, folder, fuse):
    repo.write({"server_addon/server/private": "a file"})
    with mounted(repo.path, folder / "mnt") as mnt:
        assert "private" in os.listdir(package(mnt))
        with pytest.raises(OSError):
            (package(mnt) / "private").read_bytes()
        assert (package(mnt) / "version.py").read_bytes()
        assert any("private" in p["affects"][0] for p in errors(mnt))


def test_a_missing_pyproject_is_a_problem(repo, folder, fuse):
    (repo.path / "server_addon/client/pyproject.toml").unlink()
    with mounted(repo.path, folder / "mnt") as mnt:
        assert_fails_closed(package(mnt) / "private/pyproject.toml")
        assert [p["path"] for p in errors(mnt)] == ["server_addon/client/pyproject.toml"]


def test_copies_of_what_cannot_be_read_end_with_an_error(repo, folder, fuse):
    repo.write({"openpype/broken": Link("nowhere")})
    with mounted(repo.path, folder / "mnt") as mnt:
        source = package(mnt)
        for command in (["rsync", "-a", f"{source}/", folder / "rsync"],
                        ["cp", "-r", source, folder / "cp"],
                        ["tar", "-C", source, "-cf", folder / "x.tar", "."],
                        ["zip", "-qr", folder / "x.zip", source]):
            assert subprocess.run(command, capture_output=True).returncode != 0, command


def test_the_log_names_every_bad_member(repo, folder, fuse):
    repo.write({"openpype/one": Link("nowhere"), "openpype/two": Link("/etc/passwd")})
    place = folder / "mnt"
    place.mkdir()
    daemon = subprocess.Popen([fuse, "mount", "-f", repo.path, place], stderr=subprocess.PIPE,
                              text=True)
    lines = [daemon.stderr.readline()]
    assert "mounted" in lines[0]
    os.stat(client_zip(place))
    daemon.terminate()
    text = daemon.stderr.read()
    assert daemon.wait(60) == 0
    assert "openpype/one: " in text and "openpype/two: " in text


def test_another_mount_inside_the_source_is_not_entered(repo, folder, fuse, root_user):
    inside = repo.path / "openpype/disk"
    inside.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", inside], check=True)
    try:
        (inside / "secret.py").write_text("outside the tree")
        with mounted(repo.path, folder / "mnt") as mnt:
            assert_fails_closed(client_zip(mnt))
            assert [p["path"] for p in errors(mnt)] == ["openpype/disk"]
        (repo.path / "openpype/link").symlink_to("disk/secret.py")
        with mounted(repo.path, folder / "mnt") as mnt:
            assert {p["path"] for p in errors(mnt)} == {"openpype/disk", "openpype/link"}
    finally:
        subprocess.run(["umount", inside], check=True)


def test_the_git_dir_under_another_name_is_not_entered(folder, fuse):
    repo = Repository(folder / "source")
    (repo.path / ".git").rename(repo.path / "openpype/gitdir")
    (repo.path / ".git").write_text("gitdir: openpype/gitdir\n")
    with mounted(repo.path, folder / "mnt") as mnt:
        assert_fails_closed(client_zip(mnt))
        assert [p["path"] for p in errors(mnt)] == ["openpype/gitdir"]
    (repo.path / "openpype/link").symlink_to("gitdir/config")
    with mounted(repo.path, folder / "mnt") as mnt:
        assert {p["path"] for p in errors(mnt)} == {"openpype/gitdir", "openpype/link"}


def test_an_addons_error_is_told_without_a_mount(repo, folder, program):
    repo.write({"openpype/broken": Link("nowhere")})
    result = run("export", repo.path, folder / "out")
    assert result.returncode == 1
    assert result.stderr.decode().startswith("addonfs: openpype/broken: ")
    assert not (folder / "out").exists()


def test_links_that_unfold_too_far_fail_the_package_and_nothing_else(repo, folder, fuse):
    ladder = {f"shared/d{step}/{name}": Link(f"../d{step + 1}")
              for step in range(30) for name in "ab"}
    with mounted(repo.path, folder / "mnt") as mnt:
        before = oracle.package_a(repo.path)
        assert list(oracle.compare(before, package(mnt))) == []
        repo.write({**ladder, "shared/d30/f.py": "x", "openpype/unfold": Link("../shared/d0")})
        for path in (mnt, mnt / "package", mnt / ".addonfs/status.json"):
            os.stat(path)
        assert os.listdir(mnt / "package") == ["openpype"]
        with pytest.raises(OSError) as failure:
            os.listdir(package(mnt).parent)
        assert failure.value.errno == errno.EIO
        assert [(p["path"], p["affects"]) for p in errors(mnt)] == [
            ("openpype/unfold", ["client", "package/openpype", "upload"])]
        assert "links lead to more than" in errors(mnt)[0]["reason"]
        # Not half a package either: neither when something changes, nor at the next look.
        (repo.path / "openpype/lib/tools.py").write_text("edited")
        with pytest.raises(OSError):
            os.listdir(package(mnt))
        (repo.path / "openpype/unfold").unlink()
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []
        assert errors(mnt) == []
        repo.write({"openpype/unfold": Link("../shared/d0")})
        # Leaving it, `mounted` sees that umount still finds its daemon and waits for it.


def test_a_file_that_another_program_has_a_lease_on_is_a_problem_of_its_own(repo, mount):
    """As file servers have them for their clients (fcntl(2), F_SETLEASE)."""
    path = repo.path / "server_addon/server/settings/main.py"
    path.write_text("x = 2\n")
    with open(path, "rb") as held:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        try:
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            path.touch()
            assert (package(mount) / "version.py").read_bytes()
            with pytest.raises(OSError) as failure:
                (package(mount) / "settings/main.py").read_bytes()
            assert failure.value.errno == errno.EIO
            assert [p["path"] for p in errors(mount)] == ["server_addon/server/settings/main.py"]
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        finally:
            signal.signal(signal.SIGIO, signal.SIG_DFL)
    assert (package(mount) / "settings/main.py").read_text() == "x = 2\n"
    assert errors(mount) == []


SECRET = "s3cr3t-marker"
TELLING = {
    "a version that is no literal": {"openpype/version.py": f'__version__ = read("{SECRET}")\n'},
    "a version that ends within": {"openpype/version.py": f'PASSWORD = "{SECRET}"\n__version__ = "{SECRET}\n'},
    "a recipe that is no JSON": {"addonfs.json": f'{{"password": "{SECRET}" {SECRET}'},
    "a recipe that is none": {"addonfs.json": f'{{"addonfs_recipe": 1, "addons": "{SECRET}"}}'},
    "a pointer to nothing": {"openpype/big.bin": LFS + f"password {SECRET}\n"},
    "a list of submodules": {".gitmodules": f'[submodule "a"]\n\tpath = {SECRET}\x00\n\turl {SECRET}\n'},
    "a file that is left out": {"openpype/zz": Link("nowhere"), "openpype/password.txt": SECRET},
}


@pytest.mark.parametrize("options", ["cache=none", "cache=none,rev=main"])
@pytest.mark.parametrize("what", TELLING, ids=lambda what: what.replace(" ", "-"))
def test_what_is_told_of_a_file_is_not_its_content(repo, folder, fuse, what, options):
    with foreground(repo.path, folder / "mnt", options) as mount:
        repo.write(TELLING[what])
        repo.commit()
        for act in (lambda: client_zip(mount.mnt).read_bytes(), lambda: os.listdir(mount.mnt / "package/openpype")):
            try:
                act()
            except OSError:
                pass
        told = (mount.mnt / ".addonfs/status.json").read_text() + run("status", mount.mnt).stdout.decode()
        assert '"problems"' in told
    assert SECRET not in told and SECRET not in "".join(mount.log)
