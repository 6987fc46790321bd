"""What the packages of a source tree hold, for each layout: the packaging rules, written anew."""

import json
import re
from dataclasses import dataclass, field

from oracle_source import UNSET, Broken, Tree, Unreadable, literal

NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]*")

# Layout b: what has addons of its own by then.
IGNORED = [b"flame", b"harmony", b"ftrack", b"shotgrid", b"sync_server", b"example_addons", b"slack",
           b"kitsu"]
WITHOUT = [tuple(path.split(b"/")) for path in (
    b"addons", b"vendor/common/ayon_api", b"hosts/flame", b"hosts/harmony", b"modules/ftrack",
    b"modules/shotgrid", b"modules/sync_server", b"modules/example_addons", b"modules/slack",
    b"modules/kitsu")]

CLIENT_ZIP = b"private/client.zip"
VERSION_PY = '''# -*- coding: utf-8 -*-
"""Package declaring AYON addon '{}' version."""
__version__ = "{}"
'''


@dataclass
class Package:
    name: bytes = None  # None: nobody can say
    version: bytes = None
    files: dict = field(default_factory=dict)  # path -> (bytes, executable)
    members: dict = field(default_factory=dict)  # client.zip: name -> (bytes, executable)
    unreadable: dict = field(default_factory=dict)  # path in the package -> source path
    bad_members: dict = field(default_factory=dict)  # member -> source path
    folders: set = field(default_factory=set)  # empty folders that are kept
    has_client: bool = False
    client_missing: bool = False  # the folder that client.zip is to hold is not there
    warnings: list = field(default_factory=list)  # (path, reason)
    broken: tuple = None  # (path, reason): there is no package to show
    clash: bool = False  # broken because another one has the same name and version
    style: str = "manifest"  # of the upload zip: "manifest" or "root"
    origin: bytes = b""  # the addon's folder in the source
    may_have_client: bool = True

    @property
    def client_fails(self):
        return self.has_client and (self.client_missing or bool(self.bad_members) or any(
            path in self.unreadable for path in (CLIENT_ZIP, b"private")))

    @property
    def upload_fails(self):
        return bool(self.unreadable) or self.client_fails or not all(map(is_utf8, self.files))

    @property
    def fails(self):
        """Whether there is an error to be reported."""
        return bool(self.broken or self.unreadable or self.client_fails)

    @property
    def upload_name(self):
        return self.name + b"-" + self.version + b".zip"

    @property
    def client_name(self):
        return self.name + b"_" + self.version

    def upload(self, client_zip=None, prefixed=False):
        """The members of the upload zip; `client_zip`: the bytes of the client.zip within."""
        files = dict(self.files)
        if self.has_client:
            files[CLIENT_ZIP] = (client_zip, False)
        if self.style == "root":
            return files
        prefix = b"%s/%s/" % (self.name, self.version) if prefixed else b"addon/"
        members = {prefix + path: content for path, content in files.items()}
        if not prefixed:
            text = json.dumps({"addon_name": self.name.decode(), "addon_version": self.version.decode()})
            members[b"manifest.json"] = (text.encode(), False)
        return members


def is_utf8(name):
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class Paths:
    """Where several rules put things: the higher priority wins, equal ones are a problem."""

    def __init__(self):
        self.found = {}  # path -> [(priority, content, origin)]

    def put(self, path, content, origin, priority=0):
        self.found.setdefault(b"/".join(path), []).append((priority, content, b"/".join(origin)))

    def put_tree(self, prefix, entries, priority=0):
        for path, content, origin in entries:
            self.put((*prefix, *path), content, origin, priority)

    def settle(self, good, bad, folders=None):
        for path, candidates in self.found.items():
            highest = max(priority for priority, _, _ in candidates)
            best = [c for c in candidates if c[0] == highest]
            _, content, origin = best[-1]
            if len(best) > 1 or isinstance(content, Unreadable):
                bad[path] = origin
            elif content is None:
                folders.add(path)
            else:
                good[path] = content
        # A file (or what cannot be read) where a folder has to be: the shorter path is at fault.
        everything = [*good, *bad, *(folders or ())]
        for path in list(good) + list(bad):
            below = [other for other in everything if other.startswith(path + b"/")]
            if below:
                good.pop(path, None)
                bad[path] = path
                for other in below:
                    good.pop(other, None)
                    bad.pop(other, None)


def checked(pattern, value, path, what):
    if value is UNSET or value is None:
        raise Broken(path, f"no {what}")
    if not pattern.fullmatch(value) or len(value) > 128 or (pattern is VERSION and ".." in value):
        raise Broken(path, f"{what} {value!r} is not allowed")
    return value.encode()


def text_of(tree, parts):
    content = tree.content(parts)
    if isinstance(content, Unreadable):
        raise Broken(b"/".join(parts), str(content))
    return content[0]


def version_of(tree, parts):
    path = b"/".join(parts)
    return checked(VERSION, literal(text_of(tree, parts), "__version__", path), path, "version")


def finish(package, paths, members=None):
    """Sort what the rules put into what is readable and what is not."""
    if members is not None:
        package.has_client = True
        paths.put(CLIENT_ZIP.split(b"/"), (b"", False), (b"client",))
    paths.settle(package.files, package.unreadable, package.folders)
    package.files.pop(CLIENT_ZIP, None) if package.has_client else None
    if members is not None:
        members.settle(package.members, package.bad_members)
        for name in [n for n in package.members if not is_utf8(n)]:
            package.bad_members[name] = members.found[name][-1][2]
            del package.members[name]
    return package


def openpype(tree, addon, without=(), allow_missing=True):
    """Layout a, and the addon `openpype` of layout b: `addon` is the folder with server and client."""
    package = Package(b"openpype", origin=b"/".join(addon))
    version_py = (b"openpype", b"version.py")
    package.version = version_of(tree, version_py)
    paths, members = Paths(), Paths()
    paths.put((b"version.py",), tree.content(version_py), version_py, -1)
    paths.put_tree((), tree.walk((*addon, b"server"), top_files=[]))
    project = (*addon, b"client", b"pyproject.toml")
    content = tree.content(project)
    if isinstance(content, Unreadable) and not allow_missing:
        raise content
    paths.put((b"private", b"pyproject.toml"), content, project)
    members.put_tree((b"openpype",), tree.walk((b"openpype",), without=without))
    return finish(package, paths, members)


def server_addon(tree, name):
    """Another addon of layout b: its server folder as it lies there."""
    server = (b"server_addon", name, b"server")
    package = Package(None, origin=b"server_addon/" + name)
    checked(NAME, name.decode("utf-8", "replace"), package.origin, "name")
    package.name = name
    package.version = version_of(tree, (*server, b"version.py"))
    paths = Paths()
    paths.put_tree((), tree.copy(server))
    return finish(package, paths)


def package_py(tree, folder=(), license=True):
    """Layout d, at the root, and an addon of layout c, in a folder of its own."""
    package = Package(style="root", origin=b"/".join(folder))
    source = (*folder, b"package.py")
    path = b"/".join(source)
    at_root = not folder
    try:
        text = text_of(tree, source)
        package.name = checked(NAME, literal(text, "name", path), path, "name")
        package.version = checked(VERSION, literal(text, "version", path), path, "version")
        client_dir = literal(text, "client_dir", path)
        client_dir = checked(NAME, client_dir, path, "client_dir") if client_dir not in (UNSET, None, "") \
            else None
    except Broken as error:
        package.broken = error.args
        return package

    paths = Paths()
    paths.put((b"package.py",), tree.content(source), source)
    has_license = at_root and license and tree.kind((b"LICENSE",)) != "missing"
    if has_license:
        paths.put((b"LICENSE",), tree.content((b"LICENSE",)), (b"LICENSE",))
    for name in (b"server", b"private", b"public") if at_root else (b"server", b"public"):
        put_folder(paths, tree, (*folder, name), (name,))
    if at_root:
        dist = (b"frontend", b"dist")
        if tree.kind(dist) != "missing":
            put_folder(paths, tree, dist, dist)
        elif tree.kind((b"frontend",)) == "folder":
            package.warnings.append((b"frontend", "frontend without dist"))
    project = (*folder, b"client", b"pyproject.toml")
    if tree.kind(project) != "missing":
        paths.put((b"private", b"pyproject.toml"), tree.content(project), project, 1)
    if client_dir is None:
        return finish(package, paths)

    client = (*folder, b"client", client_dir)
    members = Paths()
    put_folder(members, tree, client, (client_dir,))
    if tree.kind((*client, b"version.py")) == "file":
        text = VERSION_PY.format(package.name.decode(), package.version.decode()).encode()
        members.put((client_dir, b"version.py"), (text, False), source, 1)
    if has_license:
        members.put((client_dir, b"LICENSE"), tree.content((b"LICENSE",)), (b"LICENSE",))
    finish(package, paths, members)
    package.client_missing = tree.kind(client) == "missing"
    return package


def put_folder(paths, tree, source, destination):
    kind = tree.kind(source)
    if kind == "folder":
        paths.put_tree(destination, tree.walk(source))
    elif kind != "missing":
        paths.put(destination, Unreadable("no folder"), source)


class Unknown(Exception):
    """A source tree of no layout that is known."""


def addons_of_c(tree):
    return [(b"server_addon", name) for name in tree.folders((b"server_addon",))
            if tree.kind((b"server_addon", name, b"server")) == "folder"
            and tree.kind((b"server_addon", name, b"package.py")) != "missing"]


def detect(tree):
    """The letters of the layouts that apply: "b", "a", "c", "d" or "cd"."""
    version_py = tree.kind((b"openpype", b"version.py")) != "missing"
    for layout, server in (("b", (b"server_addon", b"openpype", b"server")),
                           ("a", (b"server_addon", b"server"))):
        if version_py and tree.kind(server) == "folder":
            return layout
    found = ("c" if addons_of_c(tree) else "") + \
        ("d" if tree.kind((b"package.py",)) != "missing" else "")
    if not found:
        raise Unknown()
    return found


def packages(source, layout=None, license=True):
    """Every addon of a source folder on disk, those that are broken too; (layout, [Package])."""
    tree = Tree(source)
    layout = layout or detect(tree)
    found = []

    def add(name, make, *arguments, **more):
        may = make is not server_addon
        try:
            found.append(make(tree, *arguments, **more))
        except Broken as error:
            found.append(Package(name, broken=error.args, may_have_client=may))
        except Unreadable as error:
            found.append(Package(name, broken=(name, str(error)), may_have_client=may))

    if "a" in layout:
        add(b"openpype", openpype, (b"server_addon",))
    if "b" in layout:
        for name in tree.folders((b"server_addon",)):
            if name in IGNORED or tree.kind((b"server_addon", name, b"server")) != "folder":
                continue
            if name == b"openpype":
                add(name, openpype, (b"server_addon", name), WITHOUT)
            else:
                allowed = NAME.fullmatch(name.decode("utf-8", "replace"))
                add(name if allowed else None, server_addon, name)
    if "c" in layout:
        for folder in addons_of_c(tree):
            add(None, package_py, folder)
    if "d" in layout:
        add(None, package_py, license=license)
    for package in found:
        same = [p.origin for p in found if not p.broken and p.name == package.name
                and p.version == package.version and package.version is not None]
        package.clash = not package.broken and len(same) > 1
    for package in found:
        if package.clash:
            package.broken = (package.origin, "another addon has the same name and version")
    return layout, found


def package_a(source, allow_missing=True):
    """The package of layout a that `source`, a folder on disk, makes."""
    return openpype(Tree(source), (b"server_addon",), allow_missing=allow_missing)
