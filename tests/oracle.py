#!/usr/bin/env python3
"""What a package must hold: layout a, written from its rules and not from addonfs.

    oracle.py compare SOURCE VERSION_FOLDER   differences to a mounted, exported or staged package
    oracle.py pack SOURCE OUT                 stage the package as a packaging script does

All names are bytes, because file names are.
"""

import ast
import io
import os
import re
import stat
import sys
import zipfile
from dataclasses import dataclass, field

DROP_FILE = [re.compile(rb"^\."), re.compile(rb"\.pyc$")]
DROP_FOLDER = [re.compile(rb"^\."), re.compile(rb"^__pycache__$")]


@dataclass
class Package:
    name: bytes
    version: bytes
    files: dict = field(default_factory=dict)  # path -> (bytes, executable)
    members: dict = field(default_factory=dict)  # client.zip: name -> (bytes, executable)
    unreadable: dict = field(default_factory=dict)  # path in the package -> source path
    bad_members: dict = field(default_factory=dict)  # member -> source path


class Unreadable(Exception):
    pass


def drops(patterns, name):
    return any(p.search(name) for p in patterns)


def is_git(name):
    return name.lower() == b".git"


class Tree:
    """A source folder whose links are followed by hand, a component at a time."""

    def __init__(self, root):
        self.root = os.fsencode(root)

    def resolve(self, parts):
        """The path without links of `parts`, as a tuple; raises Unreadable if it may not be had."""
        todo, done, links = list(parts), [], 0
        while todo:
            part = todo.pop(0)
            if part in (b"", b"."):
                continue
            if part == b"..":
                if not done:
                    raise Unreadable("leaves")
                done.pop()
                continue
            if is_git(part):
                raise Unreadable("git")
            path = os.path.join(self.root, *done, part)
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                raise Unreadable("broken") from None
            if stat.S_ISLNK(mode):
                links += 1
                target = os.readlink(path)
                if links > 40:
                    raise Unreadable("loops")
                if target.startswith(b"/"):
                    raise Unreadable("leaves")
                todo = target.split(b"/") + todo
            else:
                done.append(part)
        return tuple(done)

    def real(self, parts):
        return os.path.join(self.root, *parts)

    def read(self, real):
        with open(self.real(real), "rb") as file:
            data = file.read()
            mode = os.fstat(file.fileno()).st_mode
        if len(data) < 1024 and data.startswith(b"version https://git-lfs.github.com/spec/"):
            raise Unreadable("lfs")
        return data, bool(mode & stat.S_IXUSR)

    def walk(self, parts, top_files=None, above=()):
        """Yield (relative path, content or Unreadable, source path) below a folder, by walk W.

        `top_files`: patterns for files directly in it; None is W's.
        """
        real = self.resolve(parts)
        above = (*above, real)
        for name in sorted(os.listdir(self.real(real))):
            if is_git(name):
                continue
            patterns = DROP_FILE if top_files is None else top_files
            source = (*parts, name)
            try:
                target = self.resolve((*real, name))
                mode = os.lstat(self.real(target)).st_mode
            except Unreadable as error:
                target, mode, failure = None, 0, error
            if stat.S_ISREG(mode):
                if drops(patterns, name):
                    continue
                try:
                    yield (name,), self.read(target), source
                except (OSError, Unreadable) as error:
                    yield (name,), Unreadable(str(error)), source
            elif drops(DROP_FOLDER, name):
                continue
            elif target is None:
                yield (name,), failure, source
            elif not stat.S_ISDIR(mode):
                yield (name,), Unreadable("kind"), source
            elif any(a[: len(target)] == target for a in above):
                yield (name,), Unreadable("holds the link"), source
            else:
                for path, content, below in self.walk(source, None, above):
                    yield (name, *path), content, below


def read_version(text):
    """The last string that `__version__` is assigned at the top of a module."""
    value = None
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__version__" for t in node.targets
        ):
            value = ast.literal_eval(node.value)
    return value


def package_a(source, allow_missing=True):
    """The package of layout a that `source`, a folder on disk, makes."""
    tree = Tree(source)
    version_py, _ = tree.read(tree.resolve((b"openpype", b"version.py")))
    package = Package(b"openpype", read_version(version_py).encode())
    conflicts = set()

    def put(path, content, origin, wins=False):
        path = b"/".join(path)
        if path in package.files or path in package.unreadable:
            if path == b"version.py" and wins:
                package.files.pop(path, None)
                package.unreadable.pop(path, None)
            else:
                conflicts.add((path, b"/".join(origin)))
                return
        if isinstance(content, Unreadable):
            package.unreadable[path] = b"/".join(origin)
        else:
            package.files[path] = content

    put((b"version.py",), (version_py, tree_exec(tree, (b"openpype", b"version.py"))),
        (b"openpype", b"version.py"))
    for path, content, origin in tree.walk((b"server_addon", b"server"), top_files=[]):
        put(path, content, origin, wins=True)
    project = (b"server_addon", b"client", b"pyproject.toml")
    try:
        content = tree.read(tree.resolve(project))
    except (OSError, Unreadable) as error:
        if not allow_missing:
            raise
        content = Unreadable(str(error))
    put((b"private", b"pyproject.toml"), content, project)
    for path, origin in conflicts:
        package.files.pop(path, None)
        package.unreadable[path] = origin

    # A file (or what cannot be read) where a folder has to be: the shorter path is at fault.
    everything = [*package.files, *package.unreadable, b"private/client.zip"]
    for path in list(package.files) + list(package.unreadable):
        below = [other for other in everything if other.startswith(path + b"/")]
        if below:
            package.files.pop(path, None)
            package.unreadable[path] = path
            for other in below:
                package.files.pop(other, None)
                package.unreadable.pop(other, None)

    for path, content, origin in tree.walk((b"openpype",)):
        name = b"/".join((b"openpype", *path))
        if isinstance(content, Unreadable):
            package.bad_members[name] = b"/".join(origin)
            continue
        try:
            name.decode("utf-8")
        except UnicodeDecodeError:
            package.bad_members[name] = b"/".join(origin)
            continue
        package.members[name] = content
    return package


def tree_exec(tree, parts):
    return bool(os.stat(tree.real(tree.resolve(parts))).st_mode & stat.S_IXUSR)


def read_zip(data):
    """Members of a ZIP: name -> (bytes, executable); raises on a name that is there twice."""
    members = {}
    with zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data) as archive:
        for info in archive.infolist():
            assert info.flag_bits & 0x800 or info.filename.isascii(), info.filename
            name = info.filename.encode("utf-8")
            assert name not in members, name
            members[name] = (archive.read(info), bool(info.external_attr >> 16 & stat.S_IXUSR))
    return members


def read_folder(folder):
    """path -> (bytes, executable) of all regular files below; client.zip is left to read_zip."""
    folder = os.fsencode(folder)
    files = {}

    def stop(error):
        raise error

    for base, _, names in os.walk(folder, onerror=stop):
        for name in names:
            path = os.path.join(base, name)
            with open(path, "rb") as file:
                files[os.path.relpath(path, folder)] = (
                    file.read(),
                    bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR),
                )
    return files


def differences(expected, found):
    for path in sorted(expected.keys() | found.keys()):
        if path not in found:
            yield f"missing: {path!r}"
        elif path not in expected:
            yield f"not expected: {path!r}"
        elif expected[path][0] != found[path][0]:
            yield f"other bytes: {path!r}"
        elif expected[path][1] != found[path][1]:
            yield f"other exec bit: {path!r}"


def compare(package, folder):
    """Differences between an oracle's package without problems and a version folder."""
    found = read_folder(folder)
    archive = found.pop(b"private/client.zip", (None, False))[0]
    if archive is None:
        yield "missing: private/client.zip"
        return
    yield from differences(package.files, found)
    yield from differences(package.members, read_zip(archive))


def pack(source, out):
    """Stage the package: copy, and zip with Python's zipfile."""
    package = package_a(source, allow_missing=False)
    folder = os.path.join(os.fsencode(out), package.name, package.version)
    os.makedirs(os.path.join(folder, b"private"), exist_ok=True)
    for path, (data, _) in package.files.items():
        target = os.path.join(folder, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data)
    with zipfile.ZipFile(
        os.fsdecode(os.path.join(folder, b"private", b"client.zip")), "w", zipfile.ZIP_DEFLATED
    ) as archive:
        for name, (data, _) in sorted(package.members.items()):
            archive.writestr(name.decode(), data)


def main(arguments):
    if len(arguments) != 3 or arguments[0] not in ("compare", "pack"):
        print(__doc__, file=sys.stderr)
        return 2
    if arguments[0] == "pack":
        pack(arguments[1], arguments[2])
        return 0
    package = package_a(arguments[1])
    found = list(compare(package, arguments[2]))
    for line in found:
        print(line)
    print(
        f"{len(package.files)} files and {len(package.members)} members compared, "
        f"{len(found)} differences, {len(package.unreadable) + len(package.bad_members)} unreadable"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
