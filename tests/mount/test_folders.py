"""Live folders: their times, and who stands in them or has bound them elsewhere."""

import os
import shutil

import pytest

from mounting import client_zip, mounted, package
from users import in_namespace

SERVER = "server_addon/server"


def times(path):
    found = os.stat(path)
    return found.st_mtime_ns, found.st_ctime_ns


def set_version(repo, version):
    (repo.path / "openpype/version.py").write_text(f'__version__ = "{version}"\n')


MOVES = {
    "a new file": (lambda p: (p / SERVER / "new.py").write_text("x"), ""),
    "a deleted file": (lambda p: (p / SERVER / ".dot").unlink(), ""),
    "a file renamed": (lambda p: (p / SERVER / "__init__.py").rename(p / SERVER / "other.py"), ""),
    "an edited file": (lambda p: (p / SERVER / "settings/main.py").write_text("x = 3\n"), "settings"),
    "a new folder": (lambda p: shutil.copytree(p / SERVER / "settings", p / SERVER / "more"), ""),
    "a deleted folder": (lambda p: shutil.rmtree(p / SERVER / "settings"), ""),
    "another zip": (lambda p: (p / "openpype/lib/tools.py").write_text("edited"), "private"),
    "a file that cannot be read": (lambda p: (p / SERVER / "x.py").symlink_to("nowhere"), ""),
}


@pytest.mark.parametrize("options", ["", "watch=poll"])
@pytest.mark.parametrize("move", MOVES, ids=lambda m: m.replace(" ", "-"))
def test_a_live_folder_gets_another_time_when_a_name_in_it_moves(repo, folder, fuse, move, options):
    act, place = MOVES[move]
    with mounted(repo.path, folder / "mnt", options) as mnt:
        before = times(package(mnt) / place)
        act(repo.path)
        after = times(package(mnt) / place)
        assert after[0] > before[0] and after[1] > before[1]
        # And keeps it while nothing moves.
        assert os.listdir(package(mnt) / place) and client_zip(mnt).stat()
        assert times(package(mnt) / place) == after


def test_a_folder_in_which_nothing_moves_keeps_its_time(repo, mount):
    folders = [mount / "package", package(mount).parent, package(mount), package(mount) / "settings",
               package(mount) / "private"]
    before = [times(path) for path in folders]
    (repo.path / "README").write_text("not in the package")
    (repo.path / "openpype/lib/x.pyc").write_bytes(b"dropped")
    repo.commit()
    os.utime(repo.path / "openpype/lib")
    assert [times(path) for path in folders] == before


def test_times_of_a_folder_only_grow(repo, mount):
    last = times(package(mount))
    for number in range(200):
        path = repo.path / SERVER / f"f{number % 3}.py"
        path.unlink() if path.exists() else path.write_text("x")
        found = times(package(mount))
        assert found[0] > last[0] and found[1] > last[1]
        last = found


def test_another_version_moves_a_name_in_the_addons_folder(repo, mount):
    before = times(mount / "package/openpype")
    set_version(repo, "3.16.0")
    assert os.listdir(mount / "package/openpype") == ["3.16.0"]
    assert times(mount / "package/openpype") > before


@pytest.mark.usefixtures("root_user")
@pytest.mark.parametrize("options", ["", "rev=main", "watch=poll"])
def test_a_bind_mount_of_the_addons_folder_stays_live_over_versions(repo, folder, fuse, options):
    (folder / "mnt").mkdir()
    (folder / "bind").mkdir()
    save = "git -C \"$1\" commit -qam change" if options == "rev=main" else ":"
    result = in_namespace(f'''
        "$0" mount "$1" "$2" ${{4:+-o "$4"}}
        mount --bind "$2/package/openpype" "$3"
        cd "$3"
        for version in 3.15.12 3.16.0 4.0.0-rc.1 3.15.12; do
            echo "__version__ = '$version'" >"$1/openpype/version.py"
            echo "$version" >"$1/server_addon/server/which"
            git -C "$1" add server_addon/server/which
            {save}
            # By the place it is bound to, and from inside.
            ls "$3"; cat "$3/$version/which"; cat "./$version/version.py"
            test "$(ls "$3/$version/private")" = "client.zip
pyproject.toml"
        done
        for gone in 3.16.0 4.0.0-rc.1; do test ! -e "$3/$gone"; done
        cd /; umount "$3"; "$0" umount "$2"
    ''', repo.path, folder / "mnt", folder / "bind", options)
    assert result.returncode == 0, result.stderr
    expected = [line for version in ("3.15.12", "3.16.0", "4.0.0-rc.1", "3.15.12")
                for line in (version, version, f"__version__ = '{version}'")]
    assert result.stdout.splitlines() == expected


def test_a_working_directory_stays_live_over_versions(repo, mount, monkeypatch):
    monkeypatch.chdir(mount / "package/openpype")
    for version in ("3.16.0", "3.17.0", "3.15.12"):
        set_version(repo, version)
        assert os.listdir(".") == [version]
        assert version in open(f"{version}/version.py").read()
    monkeypatch.undo()
