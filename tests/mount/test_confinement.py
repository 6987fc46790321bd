"""Nothing from outside of the source, however it is swapped under the readers; and names and files as odd
as a file system takes them."""

import concurrent.futures
import ctypes
import errno
import io
import os
import socket
import stat
import subprocess
import zipfile

import pytest

import oracle
from mounting import TIMEOUT, client_zip, errors, mounted, package, run
from repository import Link

MARKER = b"FROM OUTSIDE"
EXCHANGES = 1000  # at least so many …
LOOKS = 400  # … and so many looks, each at all there is
OPTIONS = ["", "watch=poll"]
FILES = {f"f{number}.py": f"inside = {number}\n" * 50 for number in range(5)}

libc = ctypes.CDLL(None, use_errno=True)


def exchange(one, other):
    RENAME_EXCHANGE = 2
    if libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as place:
        here = os.open(path.parent, os.O_PATH)
        try:
            place.bind(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)


# What stands in the place of a folder or a file every other moment. `outside` holds the marker.
FOLDERS = {
    "an absolute link to a folder": lambda path, outside: path.symlink_to(outside),
    "a link to a folder": lambda path, outside: path.symlink_to(f"../../../{outside.name}"),
    "a link to Git's folder": lambda path, outside: path.symlink_to("../../.git"),
}
OTHERS = {
    "a link to a file": lambda path, outside: path.symlink_to(outside / "f0.py"),
    "a FIFO": lambda path, outside: os.mkfifo(path),
    "a device": lambda path, outside: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5)),
    "a socket": lambda path, outside: make_socket(path),
}


def look(act):
    """What it gives; None if it is said to be an error. A name that is always there is never missing."""
    try:
        return act()
    except OSError as failure:
        # ENOTDIR: it was a folder when its name was looked up.
        assert failure.errno in (errno.EIO, errno.ESTALE, errno.ENOTDIR), failure
        return None


def side_by_side(swaps, looks):
    """Exchange these pairs and look, until there was enough of both, and both outcomes of each look."""
    counts = {"exchanges": 0}
    seen = {name: [0, 0] for name in looks}
    over = False

    def enough():
        return over or (counts["exchanges"] >= EXCHANGES and
                        all(sum(found) >= LOOKS and all(found) for found in seen.values()))

    def swap():
        while not enough():
            for one, other in swaps:
                exchange(one, other)
            counts["exchanges"] += 1

    def read(name):
        while not enough():
            seen[name][look(looks[name]) is None] += 1

    with concurrent.futures.ThreadPoolExecutor(len(looks) + 1) as threads:
        tasks = [threads.submit(swap), *(threads.submit(read, name) for name in looks)]
        try:
            for task in concurrent.futures.as_completed(tasks, timeout=TIMEOUT):
                task.result()
        finally:
            over = True
    print(counts, {name: {"read": good, "refused": bad} for name, (good, bad) in seen.items()})


@pytest.fixture
def outside(folder):
    place = folder / "outside"
    place.mkdir()
    for name in [*FILES, "config", "HEAD"]:
        (place / name).write_bytes(MARKER * 100)
    return place


def members(mnt):
    with zipfile.ZipFile(io.BytesIO(client_zip(mnt).read_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_that_is_swapped_for_a_link_shows_nothing_from_outside(repo, folder, fuse, root_user, outside,
                                                                        kind, options):
    tops = {"client": repo.path / "openpype/deep", "server": repo.path / "server_addon/server"}
    swaps = []
    for name, top in tops.items():
        repo.write({f"{top.relative_to(repo.path)}/swapped/{file}": text for file, text in FILES.items()})
        FOLDERS[kind](top / "other", outside)
        swaps.append((top / "swapped", repo.path / f"spare-{name}"))
        (top / "other").rename(repo.path / f"spare-{name}")
    right = {name: text.encode() for name, text in FILES.items()}

    with mounted(repo.path, folder / "mnt", options) as mnt:
        def read_folder(place):
            fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            try:
                assert set(os.listdir(fd)) == set(right)
            finally:
                os.close(fd)
            return {name: (place / name).read_bytes() for name in right}

        def read_zip():
            found = members(mnt)
            return {name.rsplit("/", 1)[1]: data for name, data in found.items() if "/deep/swapped/" in name}

        def compared(read, *arguments):
            def act():
                found = read(*arguments)
                assert found == right
                return found
            return act

        side_by_side(swaps, {
            "server": compared(read_folder, package(mnt) / "swapped"),
            "client": compared(read_folder, mnt / "client/openpype_3.15.12/openpype/deep/swapped"),
            "zip": compared(read_zip),
        })


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_that_is_swapped_shows_nothing_from_outside_and_hangs_nobody(repo, folder, fuse, root_user, outside,
                                                                            kind, options):
    right = b"inside = True\n" * 100
    swaps = []
    for path in ("openpype/swapped.py", "server_addon/server/swapped.py"):
        repo.write({path: right})
        spare = repo.path / f"spare-{path.split('/')[0]}"
        OTHERS[kind](spare, outside)
        swaps.append((repo.path / path, spare))

    with mounted(repo.path, folder / "mnt", options) as mnt:
        def read(path):
            found = path.read_bytes()
            assert found == right
            return found

        def read_zip():
            found = members(mnt)
            assert found["openpype/swapped.py"] == right
            return found

        side_by_side(swaps, {
            "server": lambda: read(package(mnt) / "swapped.py"),
            "client": lambda: read(mnt / "client/openpype_3.15.12/openpype/swapped.py"),
            "zip": read_zip,
        })


# --- Odd names and files ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [*OPTIONS, "rev=HEAD"])
def test_long_odd_and_deep_names_are_taken_as_they_are(repo, folder, fuse, options):
    names = ["n" * 252 + ".py", "ü" * 126 + ".py", "two\nlines.py", "\n", " ", "~", "-rf", "$(id)", "tab\t", "'\"",
             "/".join(["deep"] * 40) + "/x.py", "%s%n", "..a", "a..", "...", "\x7f", "\x1b[31m"]
    repo.write({f"{top}/odd/{name}": f"{number}\n" for number, name in enumerate(names)
                for top in ("openpype", "server_addon/server")})
    repo.commit()
    right = oracle.package_a(repo.checkout(folder / "checkout") if options == "rev=HEAD" else repo.path)
    with mounted(repo.path, folder / "mnt", options) as mnt:
        assert list(oracle.compare(right, package(mnt))) == []


def write_deep(root, parts, data):
    """A file whose path may be longer than a path can be."""
    fd = os.open(root, os.O_RDONLY)
    for part in parts[:-1]:
        try:
            os.mkdir(part, dir_fd=fd)
        except FileExistsError:
            pass
        below = os.open(part, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    with open(os.open(parts[-1], os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd), "wb") as file:
        file.write(data)
    os.close(fd)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("length", [3900, 4090, 4094, 4095, 4096, 4097, 4200, 6000])
def test_a_path_as_long_as_can_be_is_a_member_or_a_problem(repo, folder, fuse, length, options):
    parts = ["openpype"]
    while (rest := length - len("/".join(parts))) > 0:
        # What is left for the last one is at least one byte and its slash.
        parts.append("d" * min(200, rest - 1 if rest <= 201 else rest - 3))
    assert len("/".join(parts)) == length
    write_deep(repo.path, parts, b"deep")
    name = "/".join(parts)
    with mounted(repo.path, folder / "mnt", options) as mnt:
        try:
            found = members(mnt)
        except OSError as failure:
            assert failure.errno == errno.EIO and length >= 4000
            assert [name.startswith(p["path"]) and p["reason"] != "" for p in errors(mnt)] == [True], errors(mnt)
        else:
            assert found[name] == b"deep"
        assert (package(mnt) / "__init__.py").read_bytes()
    subprocess.run(["rm", "-rf", repo.path / "openpype"], check=True)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_chain_of_links_is_followed_as_far_as_the_kernel_does_and_is_an_error_beyond(repo, folder, fuse, options):
    def chain(count):
        return {**{f"openpype/links/l{number:02}.py": Link(f"l{number + 1:02}.py") for number in range(count)},
                f"openpype/links/l{count:02}.py": "end = True\n"}

    repo.write(chain(40))
    with mounted(repo.path, folder / "mnt", options) as mnt:
        assert members(mnt)["openpype/links/l00.py"] == b"end = True\n"
        repo.write(chain(41))
        with pytest.raises(OSError) as failure:
            client_zip(mnt).read_bytes()
        assert failure.value.errno == errno.EIO
        assert [p["path"] for p in errors(mnt)] == ["openpype/links/l00.py"]
        (repo.path / "openpype/links/l00.py").unlink()
        assert members(mnt)["openpype/links/l01.py"] == b"end = True\n"
        # Two that lead to each other.
        repo.write({"openpype/links/a": Link("b"), "openpype/links/b": Link("a")})
        with pytest.raises(OSError):
            client_zip(mnt).read_bytes()
        assert sorted(p["path"] for p in errors(mnt)) == ["openpype/links/a", "openpype/links/b"]


def test_hard_links_are_files_of_their_own(repo, folder, fuse):
    server = repo.path / "server_addon/server"
    os.link(server / "__init__.py", server / "other.py")
    os.link(repo.path / "openpype/lib/tools.py", repo.path / "openpype/other.py")
    with mounted(repo.path, folder / "mnt") as mnt:
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []
        (server / "other.py").write_text("through the other name\n")
        assert (package(mnt) / "__init__.py").read_text() == "through the other name\n"
        assert list(oracle.compare(oracle.package_a(repo.path), package(mnt))) == []


@pytest.mark.parametrize("command", [["unzip", "-qqo"], ["bsdtar", "-xf"], ["7z", "x", "-y", "-bd"]])
@pytest.mark.parametrize("options", ["problems=skip", "rev=HEAD,problems=skip"])
def test_whatever_a_member_is_called_unpacking_stays_in_its_folder(repo, folder, fuse, command, options):
    repo.write({f"openpype/{name}": "x" for name in (
        "..\\out.py", "..\\..\\out.py", "C:\\out.py", "C:out.py", "\\out.py", "\\\\host\\out.py", "a\\..\\..\\out.py",
        "...", ".. ", "..\n", "-C", "--", "@out", "out.py")})
    repo.write({"openpype/link.py": Link("../../out.py"), "openpype/links": Link("../.."),
                "openpype/to_file.py": Link("out.py"), "openpype/to_folder": Link("lib")})
    repo.commit()
    place = folder / "top/middle/inner"
    place.mkdir(parents=True)
    with mounted(repo.path, folder / "mnt", options) as mnt:
        path = folder / "archive.zip"
        path.write_bytes(client_zip(mnt).read_bytes())
    subprocess.run([*command, path], cwd=place, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    assert os.listdir(folder / "top") == ["middle"] and os.listdir(folder / "top/middle") == ["inner"]
    assert os.listdir(place) == ["openpype"]
    for base, folders, files in os.walk(place):
        assert not [name for name in folders + files if os.path.islink(os.path.join(base, name))]
    assert (place / "openpype/out.py").read_text() == "x"
    assert (place / "openpype/to_folder/tools.py").is_file()


def commit_tree(repo, folder, entries):
    """A commit that has these entries (mode, name, id) in one of its folders, whatever they are called."""
    def stored(listed):
        listed.sort(key=lambda entry: entry[1] + (b"/" if entry[0] == b"40000" else b""))
        data = b"".join(b"%s %s\0%s" % (mode, name, bytes.fromhex(oid.decode())) for mode, name, oid in listed)
        return repo.git("hash-object", "-w", "--literally", "-t", "tree", "--stdin", data=data).strip()

    def listed(path):
        rows = (line.split(b"\t") for line in repo.git("ls-tree", "-z", f"HEAD:{path}").split(b"\0") if line)
        return [(row.split()[0].lstrip(b"0"), name, row.split()[2]) for row, name in rows]

    oid = stored(listed(folder) + entries)
    while folder:
        folder, _, name = folder.rpartition("/")
        oid = stored([(mode, each, oid if each == name.encode() else other) for mode, each, other in listed(folder)])
    commit = repo.git("commit-tree", oid.decode(), "-m", "hostile").decode().strip()
    repo.git("update-ref", "refs/heads/main", commit)


# What Git itself would not check out, and whether that is told: the others are left out, as is what is Git's or hidden.
# A walk leaves out what begins with a dot, whatever it is; Git would check none of these out.
NO_NAMES = {b".git": False, b".GIT": False, b"..": False, b".": False, b"../../../../etc/x": False, b"a/b": True}


@pytest.mark.parametrize("mode", [b"100644", b"40000"])
@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("where", ["openpype", "server_addon/server"])
def test_what_a_commit_calls_its_entries_leads_nowhere(repo, folder, fuse, where, name, mode):
    blob = repo.git("hash-object", "-w", "--stdin", data=MARKER).strip()
    tree = repo.git("mktree", data=b"100644 blob %s\tinner\n" % blob).strip()
    commit_tree(repo, where, [(mode, name, tree if mode == b"40000" else blob)])
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        told = {p["path"] for p in errors(mnt)}
        assert told == ({f"{where}/{name.decode()}"} if NO_NAMES[name] else set())
        for base, _, files in os.walk(package(mnt)):
            assert not [each for each in files if each != "client.zip" and (package(mnt) / base / each).stat().st_size
                        == len(MARKER)]
        if where != "openpype" or not NO_NAMES[name]:
            assert MARKER not in members(mnt).values()
        else:
            with pytest.raises(OSError) as failure:
                client_zip(mnt).read_bytes()
            assert failure.value.errno == errno.EIO


@pytest.mark.parametrize("mode", [b"100644", b"40000"])
def test_two_entries_of_one_name_are_an_error(repo, folder, fuse, mode):
    blob = repo.git("hash-object", "-w", "--stdin", data=MARKER).strip()
    tree = repo.git("mktree", data=b"100644 blob %s\tinner\n" % blob).strip()
    commit_tree(repo, "openpype", [(mode, b"twice", tree if mode == b"40000" else blob)] * 2)
    with mounted(repo.path, folder / "mnt", "rev=main") as mnt:
        with pytest.raises(OSError) as failure:
            client_zip(mnt).read_bytes()
        assert failure.value.errno == errno.EIO
        assert [p["path"].startswith("openpype/twice") for p in errors(mnt)] == [True]


def test_what_is_left_out_is_not_listed_without_end(repo, folder, fuse):
    """A folder of names that no rule takes costs nothing to push, however often it is in the tree."""
    blob = repo.git("hash-object", "-w", "--stdin", data=b"").strip()
    tree = repo.git("mktree", data=b"".join(b"100644 blob %s\t%05d.pyc\n" % (blob, i) for i in range(20_000))).strip()
    commit_tree(repo, "openpype", [(b"40000", b"z%02d" % i, tree) for i in range(99)])
    assert run("list", repo.path, "-o", "rev=main").returncode == 0
    commit_tree(repo, "openpype", [(b"40000", b"z99", tree)])
    result = run("list", repo.path, "-o", "rev=main")
    assert result.returncode != 0
    assert b"openpype/z99: the folders of the package list more than 2000000 names" in result.stdout + result.stderr
