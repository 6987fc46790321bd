"""What version a commit's package has: SemVer 2.0.0, and layouts.md's rules with Git's own commands."""

import ast
import re
from itertools import zip_longest

# From https://semver.org/, "Is there a suggested regular expression (RegEx) to check a SemVer string?"
SEMVER = re.compile(
    r"^(?P<major>0|[1-9]\d*)\.(?P<minor>0|[1-9]\d*)\.(?P<patch>0|[1-9]\d*)"
    r"(?:-(?P<prerelease>(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
    r"(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+(?P<buildmetadata>[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$", re.ASCII)


def parts_of(version):
    found = SEMVER.match(version)
    pre = found["prerelease"]
    return [int(found[part]) for part in ("major", "minor", "patch")], pre.split(".") if pre else []


def compare(a, b):
    """-1, 0 or 1, by section 11 of SemVer 2.0.0."""
    (numbers_a, pre_a), (numbers_b, pre_b) = parts_of(a), parts_of(b)
    if numbers_a != numbers_b:
        return -1 if numbers_a < numbers_b else 1
    if not pre_a or not pre_b:
        return bool(pre_b) - bool(pre_a)
    for left, right in zip_longest(pre_a, pre_b):
        if left is None or right is None:
            return -1 if left is None else 1
        if left != right:
            if left.isdigit() and right.isdigit():
                return -1 if int(left) < int(right) else 1
            if left.isdigit() != right.isdigit():
                return -1 if left.isdigit() else 1
            return -1 if left < right else 1
    return 0


def declared_in(repo, commit, path, variable):
    """What the file of a commit gives the name, or None."""
    text = repo.git("cat-file", "blob", f"{commit}:{path}", check=False).decode()
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return None
    found = None
    for node in body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", None) == variable for t in node.targets):
            found = node.value.value if isinstance(node.value, ast.Constant) else None
    return found if isinstance(found, str) else None


def commits_since(repo, commit, path, variable):
    """n of layouts.md: from the commit that set the value that this one has."""
    value = declared_in(repo, commit, path, variable)
    setter = None
    for ancestor in repo.git("rev-list", "--first-parent", commit).decode().split():
        if declared_in(repo, ancestor, path, variable) != value:
            break
        setter = ancestor
    return int(repo.git("rev-list", "--count", f"{setter}..{commit}"))


def derived(declared, commits, commit, content=None):
    """`content`: eight digits of the content's id, of a worktree that is dirty."""
    if commits == 0 and content is None:
        return declared
    found = SEMVER.match(declared)
    if found["prerelease"]:
        base = declared.partition("+")[0] + ".dev"
    else:
        base = f"{found['major']}.{found['minor']}.{int(found['patch']) + 1}-dev"
    return f"{base}.{commits}+g{commit[:7]}" + (f".d{content}" if content else "")


def version_of(repo, revision, path, variable):
    """Of a commit as a whole, from its file and its history."""
    commit = repo.git("rev-parse", revision).decode().strip()
    return derived(declared_in(repo, commit, path, variable), commits_since(repo, commit, path, variable), commit)
