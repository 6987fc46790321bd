"""The ways of use that the README describes, each with the program that it names."""

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from mounting import ADDONFS, TIMEOUT, mounted, run
from repository import ENVIRONMENT
from users import in_namespace

README = Path(__file__).resolve().parents[2] / "README.md"
pytestmark = pytest.mark.usefixtures("fuse")


def shell_blocks():
    """The README's blocks of commands."""
    return re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.M | re.S)


def ends(*command, env={}, **options):
    """How a program ends, and what it says."""
    options.setdefault("stdout", subprocess.DEVNULL)
    result = subprocess.run([*map(os.fspath, command)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                            timeout=TIMEOUT, env={**os.environ, **ENVIRONMENT, "LC_ALL": "C.UTF-8", **env}, **options)
    return result.returncode, result.stderr.decode()


def tree(root):
    """{path: bytes} of all files below."""
    return {os.path.relpath(os.path.join(base, name), root): open(os.path.join(base, name), "rb").read()
            for base, _, names in os.walk(root) for name in names}


@pytest.fixture
def view(repo, folder):
    with mounted(repo.path, folder / "view") as mnt:
        yield mnt


@pytest.fixture
def server(view, folder):
    """The addons of a server, with the version that there is."""
    (folder / "server").mkdir()
    assert ends("rsync", "-aO", "--delete-after", f"{view}/package/openpype/", folder / "server/openpype/") == (0, "")
    assert tree(folder / "server/openpype") == tree(view / "package/openpype")
    return folder / "server/openpype"


def unreadable(repo, what):
    """A member that cannot be read, or a version that cannot be known: its folder cannot be listed."""
    if what == "member":
        (repo.path / "openpype/broken.py").symlink_to("nowhere")
    else:
        repo.write({"openpype/version.py": "__version__ = compute()\n"})


@pytest.mark.parametrize("what", ["member", "folder"])
def test_rsync_tells_what_it_cannot_read_and_deletes_nothing(repo, view, server, what):
    before = tree(server)
    unreadable(repo, what)
    code, said = ends("rsync", "-aO", "--delete-after", f"{view}/package/openpype/", f"{server}/")
    assert code == 23 and "Input/output error" in said
    assert tree(server) == before


@pytest.mark.parametrize("what", ["member", "folder"])
def test_cp_and_tar_tell_what_they_cannot_read(repo, view, folder, what):
    unreadable(repo, what)
    code, said = ends("cp", "-r", view / "package", folder / "copy")
    assert code == 1 and "Input/output error" in said
    code, said = ends("tar", "-cf", folder / "package.tar", "-C", view, "package")
    assert code == 2 and "Input/output error" in said


def test_zip_and_make_archive_tell_a_file_and_pass_over_a_folder(repo, view, folder):
    """Why the README says: use export where it must be all or nothing."""
    unreadable(repo, "member")
    code, said = ends("zip", "-qr", folder / "file.zip", "package", cwd=view)
    assert code == 18 and "Input/output error" in said
    with pytest.raises(OSError):
        shutil.make_archive(folder / "made", "zip", view, "package")
    (repo.path / "openpype/broken.py").unlink()
    unreadable(repo, "folder")
    shutil.make_archive(folder / "made", "zip", view, "package")
    assert ends("zip", "-qr", folder / "zipped.zip", "package", cwd=view) == (0, "")
    for name in ("made.zip", "zipped.zip"):
        with zipfile.ZipFile(folder / name) as archive:
            assert archive.namelist() and not any("client.zip" in name for name in archive.namelist())
    result = run("export", repo.path, folder / "all-or-nothing.zip")
    assert result.returncode == 1 and b"version.py" in result.stderr
    assert not (folder / "all-or-nothing.zip").exists()


def test_curl_sends_the_bytes_of_an_upload(view, folder):
    received = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.headers["X-Api-Key"] == "secret"
            received[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    name = os.listdir(view / "upload")[0]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        try:
            (command,) = [block for block in shell_blocks() if "curl" in block]
            command = command.replace("curl", "curl -sS --noproxy '*'")
            assert ends("sh", "-ec", command, cwd=folder, env={
                "key": "secret", "server": f"http://127.0.0.1:{served.server_address[1]}"}) == (0, "")
        finally:
            served.shutdown()
            thread.join()
    assert received == {"/api/addons/install": (view / "upload" / name).read_bytes()}
    (folder / "received.zip").write_bytes(received["/api/addons/install"])
    assert ends("unzip", "-tqq", folder / "received.zip") == (0, "")
    result = run("verify", view / "upload" / name)
    assert result.returncode == 0, result.stderr


def test_a_client_folder_is_what_a_dev_bundle_imports(view):
    name = os.listdir(view / "client")[0]
    script = "import openpype.version, openpype.lib; print(openpype.version.__version__, openpype.__file__)"
    result = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, check=True, timeout=TIMEOUT,
                            env={**os.environ, "PYTHONPATH": os.fspath(view / "client" / name)})
    version, file = result.stdout.decode().split()
    assert name == f"openpype_{version}" and file == os.fspath(view / "client" / name / "openpype/__init__.py")


def test_a_container_that_binds_the_addon_sees_the_next_version(repo, view, folder, root_user):
    (folder / "addons/openpype").mkdir(parents=True)
    script = """
        mount --bind "$1/package/openpype" "$2"
        ls "$2"
        echo '__version__ = "4.0.0"' >"$3"
        ls "$2"
        cat "$2/4.0.0/version.py"
        umount "$2"
    """
    result = in_namespace(script, view, folder / "addons/openpype", repo.path / "openpype/version.py")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:2] == ["3.15.12", "4.0.0"] and '"4.0.0"' in lines[2]


def test_a_container_that_binds_the_folder_above_sees_the_next_mount(repo, folder, root_user):
    """rslave: what is mounted at its place later arrives there."""
    for name in ("views/openpype", "inside"):
        (folder / name).mkdir(parents=True)
    script = """
        mount --bind "$2" "$2"
        mount --make-shared "$2"
        mount --rbind "$2" "$3"
        mount --make-rslave "$3"
        "$0" mount "$1" "$2/openpype" -o view=package
        ls "$3/openpype/openpype"
        kill -9 "$("$4" -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.addonfs.pid").decode())' "$2/openpype")"
        until ! ls "$2/openpype" 2>/dev/null; do :; done
        "$0" mount "$1" "$2/openpype" --replace -o view=package,version=4.0.0
        ls "$3/openpype/openpype"
        "$0" umount "$2/openpype"
        ls -A "$3/openpype"
    """
    result = in_namespace(script, repo.path, folder / "views", folder / "inside", sys.executable)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["3.15.12", "4.0.0"]


def test_where_there_is_no_fuse_export_gives_the_same(repo, view, folder, root_user):
    script = """
        mount --bind /dev/null /dev/fuse
        ! "$1" mount "$2" "$3" 2>/dev/null
        "$1" export "$2" "$4"
    """
    (folder / "none").mkdir()
    result = in_namespace(script, ADDONFS, repo.path, folder / "none", folder / "staged")
    assert result.returncode == 0, result.stderr
    assert tree(folder / "staged") == tree(view / "package")


def test_what_ci_makes_without_a_mount_is_of_the_commit(repo, folder, program):
    repo.commit()
    (command,) = [block for block in shell_blocks() if "export" in block]
    path = f"{Path(ADDONFS).resolve().parent}:{os.environ['PATH']}"
    result = subprocess.run(["sh", "-ec", command], cwd=repo.path, capture_output=True, timeout=TIMEOUT,
                            env={**os.environ, **ENVIRONMENT, "PATH": path})
    assert result.returncode == 0, result.stderr
    assert repo.git("rev-parse", "HEAD").decode().strip() in result.stdout.decode()
    assert ends("unzip", "-tqq", repo.path / "dist/openpype.zip") == (0, "")
