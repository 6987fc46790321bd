"""What is taken over from the last state and what is made anew: the result is that of a fresh start."""

import os
import random
import shutil
import zipfile

import pytest

import oracle
from mounting import client_zip, mounted, package, settle, status
from watching import Reads

NAMES = ["a", "a.py", "a-b", "a b", "a0", "lib", "lib.py", "lib-x", "z", "x.pyc", "é",
         "__pycache__", ".hidden", "settings", "version.py"]
ROOTS = ["openpype", "server_addon/server", "server_addon/client"]


class Editor:
    """One random change after the other, all of them such that the package can be read."""

    def __init__(self, root, seed):
        self.root = root
        self.random = random.Random(seed)
        self.count = 0

    def folders(self):
        found = []
        for top in ROOTS:
            for base, names, _ in os.walk(self.root / top):
                found.append(base)
        return found

    def files(self):
        return [os.path.join(base, name) for folder in ROOTS
                for base, _, names in os.walk(self.root / folder) for name in names]

    def free(self):
        folder = self.random.choice(self.folders())
        path = os.path.join(folder, self.random.choice(NAMES))
        return None if os.path.lexists(path) else path

    def text(self):
        self.count += 1
        return f"# change {self.count}\n" * self.random.choice([1, 1, 3, 200])

    def is_needed(self, path):
        return os.path.relpath(path, self.root) in (
            "openpype/version.py", "server_addon/client/pyproject.toml", *ROOTS)

    def create(self):
        if path := self.free():
            with open(path, "w") as file:
                file.write(self.text())

    def make_folder(self):
        if path := self.free():
            os.mkdir(path)

    def edit(self):
        path = self.random.choice(self.files())
        if not self.is_needed(path) and not os.path.islink(path):
            with open(path, self.random.choice(["w", "a"])) as file:
                file.write(self.text())

    def edit_same_size(self):
        path = self.random.choice(self.files())
        if not self.is_needed(path) and not os.path.islink(path) and os.path.getsize(path):
            with open(path, "r+b") as file:
                file.write(self.random.choice(b"0123456789").to_bytes(1, "big"))

    def replace(self):
        path = self.random.choice(self.files())
        if not self.is_needed(path) and not os.path.islink(path):
            with open(path + ".new", "w") as file:
                file.write(self.text())
            os.rename(path + ".new", path)

    def move(self):
        path = self.random.choice(self.files() + self.folders())
        to = self.free()
        if to and not self.is_needed(path) and not os.path.islink(path) and \
                not (to + "/").startswith(path + "/"):
            os.rename(path, to)

    def remove(self):
        path = self.random.choice(self.files() + self.folders())
        if self.is_needed(path):
            return
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def change_mode(self):
        path = self.random.choice(self.files() + self.folders())
        if not os.path.islink(path):
            os.chmod(path, self.random.choice([0o755, 0o750, 0o700] if os.path.isdir(path) else
                                              [0o644, 0o755, 0o600, 0o640]))

    def link(self):
        target = self.random.choice(self.files() + self.folders())
        path = self.free()
        # A link to a folder that holds it cannot be read.
        if path and not self.is_needed(target) and not os.path.islink(target) and \
                not (os.path.realpath(path) + "/").startswith(target + "/"):
            os.symlink(os.path.relpath(target, os.path.dirname(path)), path)

    def drop_broken_links(self):
        """What moves may leave behind."""
        broken = True
        while broken:
            broken = [path for base in ROOTS for folder, names, files in os.walk(self.root / base)
                      for path in (os.path.join(folder, n) for n in names + files)
                      if os.path.islink(path) and (
                          not os.path.exists(path) or
                          (os.path.realpath(folder) + "/").startswith(os.path.realpath(path) + "/"))]
            for path in broken:
                os.unlink(path)

    def step(self):
        act = self.random.choice([self.create, self.create, self.make_folder, self.edit, self.edit,
                                  self.edit_same_size, self.replace, self.move, self.move,
                                  self.remove, self.change_mode, self.link])
        act()
        self.drop_broken_links()


def seen(folder):
    """All that a reader can see of a package: kinds, modes, owners, bytes."""
    found = {}
    for base, names, files in os.walk(folder):
        for name in names + files:
            path = os.path.join(base, name)
            status = os.lstat(path)
            data = None
            if name in files:
                with open(path, "rb") as file:
                    data = file.read()
            found[os.path.relpath(path, folder)] = (status.st_mode, status.st_uid, status.st_gid, data)
    return found


@pytest.mark.parametrize("options", ["", "watch=poll", "cache=none"])
@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_edits_gives_what_a_fresh_mount_gives(repo, folder, fuse, seed, options):
    editor = Editor(repo.path, seed)
    with mounted(repo.path, folder / "mnt", options) as mnt:
        for number in range(60):
            editor.step()
            live = seen(package(mnt))
            expected = oracle.package_a(repo.path)
            assert list(oracle.differences(expected.members, oracle.read_zip(
                live["private/client.zip"][3]))) == [], number
            with zipfile.ZipFile(client_zip(mnt)) as archive:
                names = [info.filename.encode() for info in archive.infolist()]
            assert names == sorted(names)
            if number % 6 == 5:
                with mounted(repo.path, folder / "fresh", "cache=none") as fresh:
                    assert seen(package(fresh)) == live, number


def test_any_sequence_of_commits_gives_what_a_fresh_mount_gives(repo, folder, fuse):
    editor = Editor(repo.path, 99)
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        for number in range(20):
            for _ in range(3):
                editor.step()
            if number % 7 == 3:
                (repo.path / ".gitattributes").write_text(
                    f"*.bat text eol={['lf', 'crlf'][number % 2]}\n*.py text\n")
            repo.commit()
            with mounted(repo.path, folder / "fresh", "rev=main,cache=none") as fresh:
                assert seen(package(fresh)) == seen(package(mnt)), number


def test_what_failed_and_heals_is_what_it_was(repo, folder, mount):
    before = seen(package(mount))
    numbers = {path: os.stat(package(mount) / path).st_ino for path in before}
    version = (repo.path / "openpype/version.py").read_text()
    for broken in ("x = 1\n", '__version__ = "3.15.13"\n'):
        (repo.path / "openpype/version.py").write_text(broken)
        (repo.path / "server_addon/server/settings/main.py").write_text("x = 2\n")
        os.path.exists(package(mount))
        (repo.path / "server_addon/server/settings/main.py").write_text("x = 1\n")
        (repo.path / "openpype/version.py").write_text(version)
        assert seen(package(mount)) == before
    # After another version the paths are new ones, and may have new numbers; but each its own.
    after = {path: os.stat(package(mount) / path).st_ino for path in before}
    assert len(set(after.values())) == len(after) == len(numbers)


def counted(mnt):
    found = status(mnt)
    return found["compressed"], found["read"]


EDITS = {
    "openpype/many/f7.py": lambda p: p.write_text("# in place\n"),
    "openpype/many/f8.py": lambda p: p.write_text("# 9" + p.read_text()[3:]),  # of the same size
    "openpype/many/f9.py": lambda p: [p.with_name("new").write_text("# renamed\n"),
                                      p.with_name("new").rename(p)],
    "openpype/many/added.py": lambda p: p.write_text("# added\n"),
}


@pytest.mark.parametrize("options", ["", "cache=none", "watch=poll"])
def test_an_edit_compresses_one_file_and_reads_nothing_else(repo, folder, fuse, options):
    repo.write({f"openpype/many/f{number}.py": f"# {number}\n" * 20 for number in range(50)})
    settle(repo.path)
    with mounted(repo.path, folder / "mnt", options) as mnt, Reads(repo.path) as reads:
        assert client_zip(mnt).read_bytes()
        edited = set()
        for path, edit in EDITS.items():
            before = counted(mnt)
            edit(repo.path / path)
            edited.add(path)
            reads.take()
            os.stat(client_zip(mnt))
            # Nothing else is read, not to hash it either; but what has just been edited may be hashed
            # more than once, and version.py says anew where everything goes.
            assert path in (found := reads.take()) <= edited | {"openpype/version.py"}, found
            assert counted(mnt) == (before[0] + 1, before[1] + 1)
            assert client_zip(mnt).read_bytes()
            assert counted(mnt) == (before[0] + 1, before[1] + 1)
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []


@pytest.mark.parametrize("options", ["", "cache=none", "watch=poll"])
def test_what_is_moved_or_deleted_or_comes_back_is_not_compressed_again(repo, folder, fuse, options):
    repo.write({f"openpype/many/f{number}.py": f"# {number}\n" * 20 for number in range(50)})
    with mounted(repo.path, folder / "mnt", options) as mnt:
        client_zip(mnt).read_bytes()
        compressed, _ = counted(mnt)
        (repo.path / "openpype/many").rename(repo.path / "openpype/moved")
        shutil.copytree(repo.path / "openpype/moved", repo.path / "openpype/copied")
        os.unlink(repo.path / "openpype/moved/f3.py")
        os.chmod(repo.path / "openpype/moved/f4.py", 0o755)
        os.utime(repo.path / "openpype/moved/f5.py")
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []
        assert counted(mnt)[0] == compressed


def test_a_look_at_a_settled_worktree_reads_nothing(repo, folder, fuse):
    settle(repo.path)
    with mounted(repo.path, folder / "mnt") as mnt:
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []
        before = counted(mnt)
        with Reads(repo.path) as reads:
            for _ in range(5):
                seen(mnt / "package")
            # Server files are read when they are opened; of the zip's members none is.
            found = {path for path in reads.take() if path.startswith("openpype/")}
            assert found <= {"openpype/version.py"}
        assert counted(mnt) == before


def test_a_commit_of_one_file_compresses_one_and_reads_one(repo, folder, fuse):
    repo.write({f"openpype/many/f{number}.py": f"# {number}\n" * 20 for number in range(50)})
    repo.commit()
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        client_zip(mnt).read_bytes()
        before = counted(mnt)
        for number in range(1, 4):
            repo.write({"openpype/many/f7.py": f"# other {number}\n"})
            repo.commit()
            assert oracle.read_zip(client_zip(mnt).read_bytes())[b"openpype/many/f7.py"][0] == \
                f"# other {number}\n".encode()
            assert counted(mnt) == (before[0] + number, before[1] + number)
        # What it was it is again, for nothing.
        repo.git("reset", "-q", "--hard", "main~3")
        client_zip(mnt).read_bytes()
        assert counted(mnt)[0] == before[0] + 3


def test_what_a_folder_forbids_holds_for_all_below_it(repo, folder, mount):
    deep = "server_addon/server/settings/deep/deeper/file.py"
    repo.write({deep: "x = 1\n"})
    shown = package(mount) / "settings/deep/deeper/file.py"
    assert shown.stat().st_mode & 0o777 == 0o444
    for path, mode, expected in (("server_addon/server/settings", 0o750, 0o440),
                                 ("server_addon/server", 0o700, 0o400),
                                 ("server_addon/server", 0o755, 0o440),
                                 ("server_addon", 0o700, 0o400),
                                 ("server_addon", 0o755, 0o440),
                                 ("server_addon/server/settings", 0o755, 0o444)):
        os.chmod(repo.path / path, mode)
        assert shown.stat().st_mode & 0o777 == expected, (path, oct(mode))
    os.chmod(repo.path / "openpype", 0o700)
    assert client_zip(mount).stat().st_mode & 0o777 == 0o400


def test_a_folder_that_two_rules_fill_is_made_anew_each_time(repo, folder, mount):
    repo.write({"server_addon/server/private/extra.txt": "extra"})
    names = {"client.zip", "pyproject.toml", "extra.txt"}
    for number in range(3):
        (repo.path / "openpype/lib/tools.py").write_text(f"# {number}\n")
        assert set(os.listdir(package(mount) / "private")) == names
        assert oracle.read_zip(client_zip(mount).read_bytes())[b"openpype/lib/tools.py"][0] == \
            b"# %d\n" % number
        assert list(oracle.compare(oracle.package_a(repo.path), package(mount))) == []
    (repo.path / "server_addon/server/private/extra.txt").unlink()
    assert set(os.listdir(package(mount) / "private")) == names - {"extra.txt"}
