#!/usr/bin/env python3
"""What a mount must show: every layout, written from its rules and not from addonfs.

    oracle.py compare SOURCE MOUNTED [--layout X] [--license no] [--upload prefixed]
        differences to a mounted root (package/, upload/, client/), or for layout a to one version's
        folder, however it was made; SOURCE is a folder on disk
    oracle.py pack SOURCE OUT
        stage the package of layout a as a packaging script does

All names are bytes, because file names are. oracle_source.py reads, oracle_layouts.py has the rules.
"""

import argparse
import errno
import io
import json
import os
import stat
import sys
import zipfile
from dataclasses import dataclass, field

from oracle_layouts import CLIENT_ZIP, Package, Unknown, detect, package_a, packages  # noqa: F401
from oracle_source import UNSET, Broken, Tree, Unreadable, literal, read_version  # noqa: F401


def read_zip(data, modes=False):
    """Members of a ZIP: name -> (bytes, executable); raises on a name that is there twice.

    With `modes`, whether they are sorted and carry 0100644 or 0100755 is asserted too.
    """
    members = {}
    with zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data) as archive:
        for info in archive.infolist():
            assert info.flag_bits & 0x800 or info.filename.isascii(), info.filename
            name = info.filename.encode("utf-8")
            assert name not in members, name
            mode = info.external_attr >> 16
            assert not modes or mode in (0o100644, 0o100755), (name, oct(mode))
            members[name] = (archive.read(info), bool(mode & stat.S_IXUSR))
    assert not modes or list(members) == sorted(members), "members are not sorted"
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
    if package.has_client:
        archive = found.pop(CLIENT_ZIP, (None, False))[0]
        if archive is None:
            yield "missing: private/client.zip"
            return
        yield from differences(package.members, read_zip(archive))
    yield from differences(package.files, found)


@dataclass
class Look:
    """What is below a folder of a mount."""

    files: dict = field(default_factory=dict)  # path -> (bytes, executable)
    unreadable: set = field(default_factory=set)  # what answers EIO
    folders: set = field(default_factory=set)  # those that hold nothing
    writable: set = field(default_factory=set)


def fails_with_eio(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return True
    return False


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def look(folder):
    """Read everything below; EIO is noted, any other error is raised."""
    found = Look()

    def visit(path, relative):
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            found.unreadable.add(relative)
            return
        if not entries:
            found.folders.add(relative)
        for entry in entries:
            below = os.path.join(relative, entry.name) if relative else entry.name
            mode = entry.stat().st_mode
            if mode & 0o222:
                found.writable.add(below)
            if entry.is_dir():
                visit(entry.path, below)
            elif fails_with_eio(read, entry.path, below):
                found.unreadable.add(below)

    def read(path, relative):
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            found.files[relative] = (file.read(), bool(mode & stat.S_IXUSR))

    visit(os.fsencode(folder), b"")
    return found


PARTS = ("package", "upload", "client")


class Comparison:
    """Of all that a root shows with what the oracle says of a source."""

    def __init__(self, source, root, layout=None, license=True, prefixed=False, parts=PARTS):
        self.root = os.fsencode(root)
        self.prefixed = prefixed
        self.parts = parts
        self.files = self.members = 0
        self.found = []
        try:
            self.layout, self.addons = packages(source, layout, license)
        except Unknown:
            self.layout, self.addons = None, []
        self.fails = self.layout is None or any(p.fails for p in self.addons)
        self.run()

    def say(self, *what):
        self.found.append(": ".join(w if isinstance(w, str) else os.fsdecode(w) for w in what))

    def attempt(self, where, check, *arguments):
        """An error that nobody expects is a difference too, and not the end."""
        try:
            check(*arguments)
        except OSError as error:
            self.say(where, str(error))

    def place(self, *parts):
        return os.path.join(self.root, *parts)

    def same(self, where, expected, found):
        for line in differences(expected, found):
            self.say(where, line)

    def same_set(self, where, what, expected, found):
        for name in sorted(expected ^ found):
            self.say(where, f"{what} {'missing' if name in expected else 'not expected'}: {name!r}")

    def closed(self, *parts):
        """Whether nothing below can be listed or read."""
        path = self.place(*parts)
        if fails_with_eio(os.listdir, path):
            return True
        names = os.listdir(path)
        return bool(names) and all(
            self.closed(*parts, n) if os.path.isdir(os.path.join(path, n)) else
            fails_with_eio(read_bytes, os.path.join(path, n)) for n in names)

    def listing(self, where, expected, broken):
        """A folder's names; where something that belongs there has no name, EIO instead."""
        try:
            names = set(os.listdir(self.place(where)))
        except OSError as error:
            if error.errno != errno.EIO or not broken:
                self.say(where, f"listing it answers {errno.errorcode[error.errno]}")
            return
        if broken:
            self.say(where, f"lists {sorted(names)} although not all of it is known")
        self.same_set(where, "entry", expected, names)

    def run(self):
        if self.layout is None:
            if not fails_with_eio(os.listdir, self.place(b"package")):
                self.say("package", "of no known layout, and listed")
        else:
            for part, check in zip(PARTS, (self.addons_shown, self.uploads, self.clients)):
                if part in self.parts:
                    self.attempt(part, check)
        status = self.place(b".addonfs/status.json")
        if os.path.exists(status):
            errors = [p for p in json.loads(read_bytes(status))["problems"] if p["severity"] == "error"]
            if bool(errors) != self.fails:
                self.say("status.json", f"{len(errors)} errors: {errors[:3]}")

    def addons_shown(self):
        names = {p.name for p in self.addons if p.name}
        self.listing(b"package", names, any(p.name is None for p in self.addons))
        for name in sorted(names):
            self.attempt(name, self.addon, name)

    def addon(self, name):
        where = b"package/" + name
        group = [p for p in self.addons if p.name == name]
        if any(p.broken and not p.clash for p in group):
            if not fails_with_eio(os.listdir, self.place(where)):
                self.say(where, "broken, and listed")
            return
        clashing = {p.version for p in group if p.clash}
        if clashing:
            if not fails_with_eio(os.listdir, self.place(where)):
                for version in clashing:
                    if not self.closed(where, version):
                        self.say(where, version, "two addons, and one is shown")
        else:
            self.listing(where, {p.version for p in group}, False)
        for package in group:
            if not package.broken:
                self.attempt(where, self.version, package)

    def version(self, package):
        where = b"package/%s/%s" % (package.name, package.version)
        found = look(self.place(where))
        archive = found.files.pop(CLIENT_ZIP, None) if package.has_client else None
        self.files += len(package.files)
        self.same(where, package.files, found.files)
        self.same_set(where, "unreadable", set(package.unreadable) - {CLIENT_ZIP},
                      found.unreadable - {CLIENT_ZIP})
        self.same_set(where, "empty folder", package.folders, found.folders - {b""})
        for path in found.writable:
            self.say(where, path, "may be written")
        if package.has_client and b"private" not in package.unreadable:
            if (archive is None) != package.client_fails:
                self.say(where, CLIENT_ZIP, "cannot be read" if archive is None else "can be read")
            elif archive:
                self.archive(where + b"/" + CLIENT_ZIP, package.members, archive[0])

    def archive(self, where, expected, data):
        self.members += len(expected)
        try:
            self.same(where, expected, read_zip(data, modes=True))
        except (AssertionError, zipfile.BadZipFile) as error:
            self.say(where, f"{type(error).__name__} {error}")

    def uploads(self):
        healthy = [p for p in self.addons if not p.broken]
        self.listing(b"upload", {p.upload_name for p in healthy}, len(healthy) < len(self.addons))
        for package in healthy:
            self.attempt("upload", self.upload, package)

    def upload(self, package):
        where = b"upload/" + package.upload_name
        if package.upload_fails:
            if not fails_with_eio(read_bytes, self.place(where)):
                self.say(where, "can be read although its package cannot")
            return
        client_zip = package.has_client and read_bytes(self.place(
            b"package", package.name, package.version, CLIENT_ZIP))
        self.archive(where, package.upload(client_zip, self.prefixed), read_bytes(self.place(where)))

    def clients(self):
        healthy = [p for p in self.addons if not p.broken]
        self.listing(b"client", {p.client_name for p in healthy if p.has_client},
                     any(p.broken and p.may_have_client for p in self.addons))
        for package in healthy:
            if package.has_client:
                self.attempt("client", self.client, package)

    def client(self, package):
        where = b"client/" + package.client_name
        if package.client_missing:
            if not self.closed(where):
                self.say(where, "is shown although nobody knows what it holds")
            return
        found = look(self.place(where))
        self.same(where, package.members, found.files)
        self.same_set(where, "unreadable", set(package.bad_members), found.unreadable)
        for path in found.writable:
            self.say(where, path, "may be written")


def compare_root(source, root, **more):
    """Differences between a mounted root and what the oracle says of a source folder."""
    return Comparison(source, root, **more).found


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
        os.fsdecode(os.path.join(folder, CLIENT_ZIP)), "w", zipfile.ZIP_DEFLATED
    ) as archive:
        for name, (data, _) in sorted(package.members.items()):
            archive.writestr(name.decode(), data)


def main(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["compare", "pack"])
    parser.add_argument("source")
    parser.add_argument("place")
    parser.add_argument("--layout", choices=["a", "b", "c", "d"])
    parser.add_argument("--license", choices=["yes", "no"], default="yes")
    parser.add_argument("--upload", choices=["prefixed"])
    told = parser.parse_args(arguments)
    if told.command == "pack":
        pack(told.source, told.place)
        return 0
    if not os.path.isdir(os.path.join(told.place, "package")):
        package = package_a(told.source)
        found = list(compare(package, told.place))
        files, members = len(package.files), len(package.members)
    else:
        result = Comparison(told.source, told.place, told.layout, told.license == "yes",
                            told.upload == "prefixed")
        found, files, members = result.found, result.files, result.members
    for line in found:
        print(line)
    print(f"files {files} members {members} differences {len(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
