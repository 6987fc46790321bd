"""`make install` into an empty folder: what is there, that it works from there, and that it goes again."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from building import Make
from conftest import need
from mounting import TIMEOUT, clean, client_zip, daemon_pid, is_mounted, package, until
from repository import ENVIRONMENT
from users import own

WANTED = {
    "bin/addonfs", "sbin/mount.addonfs", "lib/systemd/system/addonfs@.service",
    "share/man/man1/addonfs.1", "share/man/man8/mount.addonfs.8",
    "share/bash-completion/completions/addonfs", "share/zsh/site-functions/_addonfs",
    "share/fish/vendor_completions.d/addonfs.fish", "share/doc/addonfs/examples/example.mount",
}


@pytest.fixture
def make(program, folder):
    need(shutil.which("make"), "make")
    need("ADDONFS_BUILD" in os.environ, "a build (environment variable ADDONFS_BUILD)")
    return Make(Path(os.environ["ADDONFS_BUILD"]), folder / "build")


def files(root):
    return {os.path.relpath(os.path.join(base, name), root) for base, _, names in os.walk(root) for name in names}


def call(*command):
    return subprocess.run([*map(os.fspath, command)], capture_output=True, timeout=TIMEOUT, check=True,
                          env={**os.environ, **ENVIRONMENT})


def test_all_of_it_is_installed_and_goes_again(make, folder):
    root = folder / "root"
    (root / "usr/share/man/man1").mkdir(parents=True)
    (root / "usr/share/man/man1/other.1").write_text("another program's\n")
    for _ in range(2):
        make("install", DESTDIR=root, PREFIX="/usr")
        assert files(root / "usr") == WANTED | {"share/man/man1/other.1"}
    assert os.access(root / "usr/bin/addonfs", os.X_OK)
    assert os.readlink(root / "usr/sbin/mount.addonfs") == "../bin/addonfs"
    unit = (root / "usr/lib/systemd/system/addonfs@.service").read_text()
    assert "ExecStart=/usr/bin/addonfs mount" in unit and "@PREFIX@" not in unit
    for name in WANTED - {"bin/addonfs", "sbin/mount.addonfs"}:
        assert (root / "usr" / name).stat().st_mode & 0o777 == 0o644, name
    make("uninstall", DESTDIR=root, PREFIX="/usr")
    assert files(root / "usr") == {"share/man/man1/other.1"}


def test_it_works_from_where_it_is_installed(make, repo, folder, fuse):
    place = folder / "mnt"
    place.mkdir()
    make("install", PREFIX=folder / "opt")
    try:
        assert call(folder / "opt/bin/addonfs", "--version").stdout.startswith(b"addonfs ")
        call(folder / "opt/sbin/mount.addonfs", repo.path, place, "-o", "rev=HEAD,nofail")
        shown = client_zip(place).read_bytes()
        call(folder / "opt/bin/addonfs", "umount", place)
        assert not is_mounted(place)
        call(folder / "opt/bin/addonfs", "mount", repo.path, place, "-o", "rev=HEAD")
        assert client_zip(place).read_bytes() == shown and os.listdir(package(place))
        call(folder / "opt/bin/addonfs", "umount", place)
    finally:
        clean(place)


def unit_commands(unit, key):
    """The commands of a unit's lines `key=…`, as systemd would split them."""
    return [shlex.split(line.partition("=")[2]) for line in unit.splitlines() if line.startswith(f"{key}=")]


def confined(unit):
    """A command as the unit's, with no more capabilities than it has."""
    capabilities = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.M)[1].lower().split()
    assert "NoNewPrivileges=yes" in unit.splitlines()
    names = ",".join(f"+{name.removeprefix('cap_')}" for name in capabilities)
    return ["setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set=-all,{names}"]


def test_the_unit_starts_over_a_dead_mount_and_stops(make, repo, folder, fuse, root_user):
    """What systemd does with the unit: its EnvironmentFile, its ExecStart and readiness, its ExecStop."""
    own(repo.path)
    place, opt = folder / "mnt", folder / "opt"
    place.mkdir()
    make("install", PREFIX=opt)
    unit = (opt / "lib/systemd/system/addonfs@.service").read_text()
    values = {"${SOURCE}": str(repo.path), "${OPTIONS}": "rev=main,view=package", "%f": str(place)}
    (start,), (stop,) = ([[values.get(word, word) for word in command] for command in unit_commands(unit, key)]
                         for key in ("ExecStart", "ExecStop"))
    try:
        call(opt / "bin/addonfs", "mount", repo.path, place)
        os.kill(daemon_pid(place), signal.SIGKILL)
        until(lambda: not answers(place))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(folder / "notify"))
            manager.settimeout(TIMEOUT)
            daemon = subprocess.Popen([*confined(unit), *start], env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")})
            try:
                assert manager.recv(100) == b"READY=1"
                assert os.listdir(place) == ["openpype"]
                call(*confined(unit), *stop)
                assert daemon.wait(TIMEOUT) == 0 and not is_mounted(place)
            finally:
                daemon.kill()
                daemon.wait()
    finally:
        clean(place)


def answers(place):
    try:
        os.listdir(place)
    except OSError:
        return False
    return True


def test_systemd_understands_the_units(make, folder):
    need(shutil.which("systemd-analyze"), "systemd-analyze")
    make("install", PREFIX=folder / "opt")
    units = folder / "units"
    units.mkdir()
    shutil.copy(folder / "opt/lib/systemd/system/addonfs@.service", units / "addonfs@srv-view.service")
    shutil.copy(folder / "opt/share/doc/addonfs/examples/example.mount", units / "srv-addons-openpype.mount")
    for unit in units.iterdir():
        result = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
                                capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, **ENVIRONMENT})
        said = [line for line in result.stderr.splitlines() if unit.name in line or str(unit) in line]
        assert result.returncode == 0 and not said, said


def test_the_manual_pages_are_formatted_without_a_warning(make, folder):
    need(shutil.which("man"), "man")
    make("install", DESTDIR=folder / "root", PREFIX="/usr")
    for page in ("man1/addonfs.1", "man8/mount.addonfs.8"):
        path = folder / "root/usr/share/man" / page
        result = subprocess.run(["man", "--warnings", "-l", "-E", "UTF-8", "-Tutf8", path], capture_output=True,
                                timeout=TIMEOUT, env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
        assert result.returncode == 0 and result.stderr == b"" and b"addonfs" in result.stdout
