"""What the oracle reads: a source folder by the rules for links and names, and Python's literals."""

import ast
import os
import re
import stat

DROP_FILE = [re.compile(rb"^\."), re.compile(rb"\.pyc$")]
DROP_FOLDER = [re.compile(rb"^\."), re.compile(rb"^__pycache__$")]


class Unreadable(Exception):
    """A file that may not be had; its name is shown all the same."""


class Broken(ValueError):
    """What makes an addon as a whole impossible to show: (path, reason)."""


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
            # Nothing leads on from a file, not even a slash (path_resolution(7)).
            if part in (b"", b".", b"..") and done and not os.path.isdir(os.path.join(self.root, *done)):
                raise Unreadable("broken")
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

    def kind(self, parts):
        """"file", "folder", "missing", or "bad" for what is there and may not be had."""
        if not os.path.lexists(self.real(parts)):
            return "missing"
        try:
            mode = os.lstat(self.real(self.resolve(parts))).st_mode
        except Unreadable:
            return "bad"
        return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "bad"

    def folders(self, parts):
        """Names of the folders directly in a folder, links followed."""
        if self.kind(parts) != "folder":
            return []
        names = sorted(os.listdir(self.real(self.resolve(parts))))
        return [n for n in names if not is_git(n) and self.kind((*parts, n)) == "folder"]

    def read(self, real):
        with open(self.real(real), "rb") as file:
            data = file.read()
            mode = os.fstat(file.fileno()).st_mode
        if len(data) < 1024 and data.startswith(b"version https://git-lfs.github.com/spec/"):
            raise Unreadable("lfs")
        return data, bool(mode & stat.S_IXUSR)

    def content(self, parts):
        """(bytes, executable) of a file, or the Unreadable that says why not."""
        try:
            return self.read(self.resolve(parts))
        except (OSError, Unreadable) as error:
            return Unreadable(str(error))

    def entries(self, parts):
        """Yield (name, resolved path or None, mode, why not) of everything in a resolved folder."""
        for name in sorted(os.listdir(self.real(parts))):
            if is_git(name):
                continue
            try:
                target = self.resolve((*parts, name))
                yield name, target, os.lstat(self.real(target)).st_mode, None
            except Unreadable as error:
                yield name, None, 0, error

    def walk(self, parts, top_files=None, without=(), above=()):
        """Yield (relative path, content or Unreadable, source path) below a folder, by walk W.

        `top_files`: patterns for files directly in it; None is W's. `without`: sub-trees, as tuples.
        """
        real = self.resolve(parts)
        above = (*above, real)
        for name, target, mode, failure in self.entries(real):
            patterns = DROP_FILE if top_files is None else top_files
            source = (*parts, name)
            if stat.S_ISREG(mode):
                if drops(patterns, name):
                    continue
                try:
                    yield (name,), self.read(target), source
                except (OSError, Unreadable) as error:
                    yield (name,), Unreadable(str(error)), source
            elif drops(DROP_FOLDER, name) or (name,) in without:
                continue
            elif target is None:
                yield (name,), failure, source
            elif not stat.S_ISDIR(mode):
                yield (name,), Unreadable("kind"), source
            elif any(a[: len(target)] == target for a in above):
                yield (name,), Unreadable("holds the link"), source
            else:
                below = [w[1:] for w in without if w[0] == name]
                for path, content, origin in self.walk(source, None, below, above):
                    yield (name, *path), content, origin

    def copy(self, parts):
        """Yield what `walk` yields, without any filter; linked folders are dropped, and a folder that
        holds nothing comes with None as its content."""
        real = self.resolve(parts)
        for name, target, mode, failure in self.entries(real):
            source = (*parts, name)
            if stat.S_ISREG(mode):
                try:
                    yield (name,), self.read(target), source
                except (OSError, Unreadable) as error:
                    yield (name,), Unreadable(str(error)), source
            elif target is None:
                yield (name,), failure, source
            elif not stat.S_ISDIR(mode):
                yield (name,), Unreadable("kind"), source
            elif target == (*real, name):
                found = False
                for path, content, origin in self.copy(source):
                    found = True
                    yield (name, *path), content, origin
                if not found:
                    yield (name,), None, source


def read_version(text):
    """The last string that `__version__` is assigned at the top of a module."""
    value = None
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__version__" for t in node.targets
        ):
            value = ast.literal_eval(node.value)
    return value


def binds(node, variable):
    """Whether a statement may bind the name in some other way than a plain assignment."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return node.name == variable or any(
            isinstance(n, ast.Global) and variable in n.names for n in ast.walk(node))
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and child.id == variable:
            if isinstance(child.ctx, (ast.Store, ast.Del)):
                return True
        if isinstance(child, (ast.Import, ast.ImportFrom)) and any(
                (a.asname or a.name.split(".")[0]) in (variable, "*") for a in child.names):
            return True
    return False


UNSET = object()


def literal(text, variable, path="the file"):
    """What the last assignment at module level gives the name: a string, None, or UNSET.

    Broken if that is not a literal string (or None), or may be bound in another way.
    """
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError) as error:
        raise Broken(path, f"no Python: {error}") from None
    value = UNSET
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else \
            [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(t, ast.Name) and t.id == variable for t in targets):
            if node.value is not None:
                value = node.value
        elif binds(node, variable):
            value = node
    if value is UNSET:
        return UNSET
    try:
        value = ast.literal_eval(value)
    except (ValueError, TypeError):
        raise Broken(path, f"{variable} is not a literal") from None
    if value is not None and not isinstance(value, str):
        raise Broken(path, f"{variable} is not a string")
    return value
