"""version=git and version=TEXT: the version that every package has, wherever it stands, and nothing else."""

import errno
import json
import os
import random
import re
import subprocess

import pytest

import oracle
from mounting import errors, mounted, run, status
from oracle_version import SEMVER, compare, derived, version_of
from repository import ENVIRONMENT, Exec, Link, Repository
from samples import SAMPLES, package_py
from test_wait import Waiter, generation

LAYOUTS = ["a", "b", "c", "d"]
MADE = {  # layout -> addon -> (the file that declares its version, variable, folder of the client's code or None)
    "a": {"openpype": ("openpype/version.py", "__version__", "openpype")},
    "b": {"openpype": ("openpype/version.py", "__version__", "openpype"),
          "maya": ("server_addon/maya/server/version.py", "__version__", None),
          "royal_render": ("server_addon/royal_render/server/version.py", "__version__", None)},
    "c": {"maya": ("server_addon/maya/package.py", "version", "ayon_maya"),
          "royalrender": ("server_addon/Royal/package.py", "version", None),
          "max": ("server_addon/max/package.py", "version", None),
          "blender": ("server_addon/noversionpy/package.py", "version", "ayon_blender")},
    "d": {"core": ("package.py", "version", "ayon_core")},
}
EDITED = {  # a file of the package, tracked, that declares no version
    "a": "openpype/lib/tools.py", "b": "openpype/lib/tools.py",
    "c": "server_addon/maya/client/ayon_maya/__init__.py", "d": "client/ayon_core/lib/tools.py"}
ADDON = {"a": "openpype", "b": "openpype", "c": "maya", "d": "core"}
SHELL = {"a": "openpype/lib/run.sh", "b": "server_addon/maya/server/settings/run.sh",
         "c": "server_addon/maya/client/ayon_maya/api/run.sh", "d": "client/ayon_core/lib/run.sh"}
DIRTY = re.compile(r"(.*)\.d([0-9a-f]{8})")


class Clone(Repository):
    """A clone, whose worktree is what Git has checked out."""

    def __init__(self, repo, path, *options):
        self.path = path
        subprocess.run(["git", "clone", "-q", *options, str(repo.path), str(path)], check=True,
                       capture_output=True, env={**os.environ, **ENVIRONMENT})


@pytest.fixture
def make(folder):
    """A repository with these files, whose worktree is clean to the last line end; commits on top of the first."""
    def make(files, *, commits=0):
        first = Repository(folder / "first", files)
        for number in range(commits):
            first.commit(f"change {number}")
        return Clone(first, folder / "source")
    return make


def fails(call, *arguments):
    with pytest.raises(OSError) as failure:
        call(*arguments)
    assert failure.value.errno == errno.EIO, failure.value


def versions(root):
    """addon -> version, as the folders' names say; each has one."""
    found = {name: os.listdir(root / "package" / name) for name in os.listdir(root / "package")}
    assert all(len(names) == 1 for names in found.values()), found
    return {name: names[0] for name, names in found.items()}


def expected_versions(repo, layout, revision="HEAD"):
    return {addon: version_of(repo, revision, path, variable) for addon, (path, variable, _) in MADE[layout].items()}


def contents(root):
    """All that is below a root, zips taken apart: path -> (bytes, executable)."""
    found = {}

    def put(path, content):
        found[path] = content
        if path.endswith(b".zip"):
            del found[path]
            for name, member in oracle.read_zip(content[0], modes=True).items():
                put(path + b"!" + name, member)

    for part in ("package", "upload", "client"):
        for path, content in oracle.read_folder(root / part).items():
            put(part.encode() + b"/" + path, content)
    return found


def with_versions(layout, found, before, after):
    """What `contents` says under the versions `before`, rewritten by hand to have those of `after`."""
    result = {}
    for path, (data, executable) in found.items():
        part, _, rest = path.partition(b"/")
        addon = next(a for a in before if rest.startswith(tuple(
            a.encode() + b + before[a].encode() for b in (b"/", b"-", b"_"))))
        old, new = before[addon].encode(), after[addon].encode()
        name, client = rest.split(b"!")[-1], MADE[layout][addon][2]
        if part == b"client":
            name = rest.partition(b"/")[2]
        elif part == b"package" and b"!" not in rest:
            name = rest.split(b"/", 2)[2]
        name = name.removeprefix(b"addon/")
        in_client = part == b"client" or b"client.zip!" in rest
        if name == (f"{client}/version.py".encode() if in_client else
                    b"version.py" if layout in "ab" else b"package.py"):
            assert data.count(b'"' + old + b'"') == 1, path
            data = data.replace(b'"' + old + b'"', b'"' + new + b'"')
        elif name == b"manifest.json":
            assert json.loads(data) == {"addon_name": addon, "addon_version": old.decode()}
            data = data.replace(old, new)
        result[part + b"/" + rest.replace(old, new, 1)] = (data, executable)
    return result


def check(repo, layout, root, plain, wanted):
    """`root` has the versions `wanted`, and but for them is as the mount `plain` of version=source."""
    assert versions(root) == wanted
    found = contents(plain)
    assert len(found) > 10
    assert list(oracle.differences(with_versions(layout, found, versions(plain), wanted), contents(root))) == []
    if root.joinpath(".addonfs").exists():
        assert {a["name"]: a["version"] for a in status(root)["addons"]} == wanted and errors(root) == []


# --- Commits, and a worktree without changes -----------------------------------------------------


@pytest.mark.parametrize("commits", [0, 1, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_commit_has_its_version_in_every_place_and_nothing_else_differs(make, folder, fuse, layout, commits):
    repo = make(SAMPLES[layout], commits=commits)
    head = repo.git("rev-parse", "HEAD").decode().strip()
    wanted = expected_versions(repo, layout)
    assert (commits == 0) == all("+g" not in version for version in wanted.values())
    assert all(SEMVER.match(version) for version in wanted.values())
    with mounted(repo.path, folder / "plain") as plain:
        with mounted(repo.path, folder / "mnt", "version=git") as mnt:
            for root in (mnt, mnt / "commits" / head, mnt / "HEAD", mnt / "branches/main", mnt / "snapshots/current"):
                check(repo, layout, root, plain, wanted)
        with mounted(repo.path, folder / "mnt", "version=git,rev=main") as mnt:
            check(repo, layout, mnt, plain, wanted)
        assert run("export", repo.path, folder / "out", "-o", "version=git").returncode == 0
        assert {name: os.listdir(folder / "out" / name) for name in os.listdir(folder / "out")} == {
            name: [version] for name, version in wanted.items()}
    assert repo.git("status", "--porcelain") == b""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_text_is_the_version_of_every_package_in_every_place(make, folder, fuse, layout):
    repo = make(SAMPLES[layout], commits=1)
    head = repo.git("rev-parse", "HEAD").decode().strip()
    wanted = {addon: "7.0.0-rc.1+local" for addon in MADE[layout]}
    with mounted(repo.path, folder / "plain") as plain:
        for options in ("", ",rev=main"):
            with mounted(repo.path, folder / "mnt", "version=7.0.0-rc.1+local" + options) as mnt:
                for root in (mnt, mnt / "commits" / head, mnt / "snapshots/current"):
                    check(repo, layout, root, plain, wanted)
                if not options:
                    repo.write({EDITED[layout]: "edited = 1\n"})
                    check(repo, layout, mnt, plain, wanted)
                    repo.git("checkout", "-q", ".")
    assert repo.git("status", "--porcelain") == b""


@pytest.mark.parametrize("options", ["version=git", "version=7.0.0"])
@pytest.mark.parametrize("layout", ["a", "b"])
def test_a_prefixed_upload_has_it_in_the_prefix(make, folder, fuse, layout, options):
    repo = make(SAMPLES[layout], commits=1)
    wanted = expected_versions(repo, layout) if options == "version=git" else dict.fromkeys(MADE[layout], "7.0.0")
    with mounted(repo.path, folder / "mnt", f"upload=prefixed,{options}") as mnt:
        for addon, version in wanted.items():
            members = oracle.read_zip((mnt / "upload" / f"{addon}-{version}.zip").read_bytes())
            prefix = f"{addon}/{version}/".encode()
            assert {name.removeprefix(prefix) for name in members} == \
                set(oracle.read_folder(mnt / "package" / addon / version))
            assert f'"{version}"'.encode() in members[prefix + b"version.py"][0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_version_source_is_what_there_is_without_it(make, folder, fuse, layout):
    repo = make(SAMPLES[layout], commits=2)
    repo.write({EDITED[layout]: "edited = 1\n"})
    roots = []
    for options in ("", "version=source"):
        with mounted(repo.path, folder / "mnt", options) as mnt:
            roots.append({part: oracle.read_folder(mnt / part) for part in ("package", "upload", "client")})
            assert oracle.compare_root(repo.path, mnt) == []
    assert roots[0] == roots[1]


@pytest.mark.parametrize("text", ["", "../x", "1..2", "a b", "-1", "1/2", "x" * 129, "é"])
def test_a_text_that_can_be_no_folders_name_is_refused(make, folder, program, text):
    result = run("export", make(SAMPLES["a"]).path, folder / "out", "-o", f"version={text}")
    assert result.returncode != 0 and b"version" in result.stderr and not (folder / "out").exists()


@pytest.mark.parametrize("rev", ["HEAD~1", "v1", "feature/x"])
def test_every_revision_has_its_own(make, folder, fuse, rev):
    repo = make(SAMPLES["a"], commits=3)
    repo.git("tag", "v1", "HEAD~2")
    repo.git("branch", "feature/x", "HEAD~3")
    with mounted(repo.path, folder / "mnt", f"version=git,rev={rev}") as mnt:
        assert versions(mnt) == expected_versions(repo, "a", rev)
        for commit in repo.git("rev-list", "HEAD").decode().split():
            assert versions(mnt / "commits" / commit) == expected_versions(repo, "a", commit)


def test_a_bare_repository_and_a_branch_that_moves(make, folder, fuse):
    repo = make(SAMPLES["a"], commits=1)
    bare = Clone(repo, folder / "bare.git", "--bare")
    with mounted(bare.path, folder / "mnt", "version=git") as mnt:
        for number in range(3):
            assert versions(mnt) == expected_versions(repo, "a")
            repo.commit()
            repo.git("push", "-q", str(bare.path), "main")
        repo.write({"openpype/version.py": '__version__ = "4.0.0"\n'})
        repo.commit()
        repo.git("push", "-q", str(bare.path), "main")
        assert versions(mnt) == {"openpype": "4.0.0"}


@pytest.mark.parametrize("declared, base", [
    ("3.18.12-nightly.26", "3.18.12-nightly.26.dev.2"), ("1.0.0-rc+build.7", "1.0.0-rc.dev.2"),
    ("1.9.7+dev", "1.9.8-dev.2"), ("0.0.9", "0.0.10-dev.2"), ("1.2.99", "1.2.100-dev.2"),
    ("1.0.0--", "1.0.0--.dev.2"), ("0.0.99999999999999999999", "0.0.100000000000000000000-dev.2")])
def test_pre_releases_and_build_metadata(make, folder, fuse, declared, base):
    repo = make({**SAMPLES["d"], "package.py": package_py("core", declared, "ayon_core")}, commits=2)
    head = repo.git("rev-parse", "HEAD").decode()[:7]
    with mounted(repo.path, folder / "mnt", "version=git") as mnt:
        assert versions(mnt) == {"core": f"{base}+g{head}"} == expected_versions(repo, "d")
        assert compare(declared, versions(mnt)["core"]) == -1
        for commit in repo.git("rev-list", "HEAD~2").decode().split():
            assert versions(mnt / "commits" / commit) == {"core": declared}


# --- History -------------------------------------------------------------------------------------


def bump(number):
    return {"openpype/version.py": f'__version__ = "{number}"\n'}


def test_the_commit_that_counts_is_the_last_that_set_this_value(make, folder, fuse):
    repo = make(SAMPLES["a"])
    steps = [bump("1.0.0"), {}, bump("1.1.0"), {}, bump("1.0.0"), {},  # back again
             {"openpype/version.py": '# other bytes, the same value\n__version__ = "1.0.0"\n'},
             {"openpype/version.py": "__version__ = broken()\n"}, {}, bump("1.0.0"), {}]
    with mounted(repo.path, folder / "mnt", "version=git,rev=HEAD") as mnt:
        for step in steps:
            repo.write(step)
            commit = repo.commit()
            if "broken" in (repo.path / "openpype/version.py").read_text():
                fails(os.listdir, mnt / "package/openpype")
                continue
            assert versions(mnt) == expected_versions(repo, "a")
            assert versions(mnt / "commits" / commit) == versions(mnt)
        assert versions(mnt)["openpype"].startswith("1.0.1-dev.1+g")


def test_merges_count_all_that_they_bring_and_set_what_comes_with_them(make, folder, fuse):
    repo = make(SAMPLES["a"], commits=1)
    with mounted(repo.path, folder / "mnt", "version=git") as mnt:
        repo.git("checkout", "-q", "-b", "side")
        for _ in range(3):
            repo.commit()
        assert versions(mnt) == expected_versions(repo, "a")
        repo.git("checkout", "-q", "main")
        repo.commit("of main")
        repo.git("merge", "-q", "--no-ff", "-m", "merge", "side")
        assert versions(mnt) == expected_versions(repo, "a")
        assert versions(mnt)["openpype"].startswith("3.15.13-dev.6+g")  # 1 + 3 + 1 and the merge
        repo.git("checkout", "-q", "-b", "release")
        repo.write(bump("3.16.0"))
        repo.commit()
        repo.commit()
        repo.git("checkout", "-q", "main")
        repo.commit()
        repo.git("merge", "-q", "--no-ff", "-m", "merge", "release")
        assert versions(mnt) == {"openpype": "3.16.0"} == expected_versions(repo, "a")
        repo.commit()
        assert versions(mnt) == expected_versions(repo, "a")
        repo.git("checkout", "-q", "release")
        assert versions(mnt) == expected_versions(repo, "a") and "-dev.1+" in versions(mnt)["openpype"]


def test_versions_are_valid_and_sort_along_a_history(make, folder, fuse):
    seed = int(os.environ.get("ADDONFS_SEED", 20261126))
    print(f"ADDONFS_SEED={seed}")
    chance = random.Random(seed)
    repo = make({**SAMPLES["d"], "package.py": package_py("core", "1.0.0-alpha.1", "ayon_core")})
    declared = ["1.0.0-alpha.1"] + ["1.0.0-alpha.2", "1.0.0-beta", "1.0.0", "1.0.1", "1.1.0", "2.0.0+x", "10.0.0"]
    with mounted(repo.path, folder / "mnt", "version=git") as mnt:
        seen = [versions(mnt)["core"]]
        while len(declared) > 1:
            if chance.random() < 0.4:
                declared.pop(0)
                repo.write({"package.py": package_py("core", declared[0], "ayon_core")})
            repo.commit()
            assert versions(mnt) == expected_versions(repo, "d")
            seen.append(versions(mnt)["core"])
        assert all(SEMVER.match(version) for version in seen)
        assert [compare(a, b) for a, b in zip(seen, seen[1:])] == [-1] * (len(seen) - 1), seen
        assert len({version.encode() for version in seen}) == len(seen)


def test_a_shallow_clone_fails_where_its_history_does_not_reach_far_enough(make, folder, fuse):
    repo = make(SAMPLES["a"], commits=3)
    shallow = Clone(repo, folder / "shallow", "--no-local", "--depth", "2")
    result = run("export", shallow.path, folder / "out", "-o", "version=git")
    assert result.returncode == 1 and b"shallow" in result.stderr and b"git fetch --unshallow" in result.stderr
    with mounted(shallow.path, folder / "plain") as mnt:
        assert versions(mnt) == {"openpype": "3.15.12"}
    # One that knows a commit with another version reaches far enough.
    repo.write(bump("4.0.0"))
    repo.commit()
    shallow.git("fetch", "-q", "origin")
    shallow.git("reset", "-q", "--hard", "origin/main")
    with mounted(shallow.path, folder / "mnt", "version=git") as mnt:
        assert versions(mnt) == {"openpype": "4.0.0"}
        commit = shallow.git("rev-parse", "HEAD~1").decode().strip()
        fails(os.listdir, mnt / "commits" / commit / "package/openpype")
        shallow.git("reset", "-q", "--hard", "HEAD~1")
        fails(os.listdir, mnt / "package/openpype")
        assert errors(mnt)[0]["path"] == "openpype/version.py"
        assert "shallow" in errors(mnt)[0]["reason"] and "git fetch --unshallow" in errors(mnt)[0]["reason"]
        shallow.git("fetch", "-q", "--unshallow")
        assert versions(mnt) == expected_versions(repo, "a", commit)
        assert versions(mnt / "commits" / commit) == expected_versions(repo, "a", commit)


def test_a_revision_of_a_shallow_clone_heals_when_its_history_comes(make, folder, fuse):
    repo = make(SAMPLES["a"], commits=3)
    commit = repo.git("rev-parse", "HEAD").decode().strip()
    repo.write(bump("4.0.0"))
    repo.commit()
    shallow = Clone(repo, folder / "shallow", "--no-local", "--bare", "--depth", "2")
    with mounted(shallow.path, folder / "mnt", "rev=main,version=git") as mnt:
        assert versions(mnt) == {"openpype": "4.0.0"}
        shallow.git("update-ref", "refs/heads/main", commit)
        fails(os.listdir, mnt / "package/openpype")
        assert "git fetch --unshallow" in errors(mnt)[0]["reason"]
        shallow.git("fetch", "-q", "--unshallow")
        assert versions(mnt) == expected_versions(repo, "a", commit)


def test_a_version_heals_when_what_its_commit_lacks_is_there_again(folder, fuse):
    source = Repository(folder / "source", SAMPLES["a"])
    with mounted(source.path, folder / "mnt", "version=git") as mnt:
        before = versions(mnt)
        source.write({"openpype/new.py": "as committed\n"})
        source.commit()
        blob = source.git("rev-parse", "HEAD:openpype/new.py").decode().strip()
        lacking = source.path / ".git/objects" / blob[:2] / blob[2:]
        lacking.rename(folder / "kept")
        source.write({"openpype/new.py": "as edited\n"})
        fails(os.listdir, mnt / "package/openpype")
        assert blob in errors(mnt)[0]["reason"]
        (folder / "kept").rename(lacking)
        after = versions(mnt)
        assert after != before
        assert dirty(source, "a", mnt)


def test_without_a_commit_there_is_no_version(folder, fuse):
    source = Repository(folder / "source", SAMPLES["a"])
    head = source.git("rev-parse", "HEAD").decode().strip()
    with mounted(source.path, folder / "mnt", "version=git") as mnt:
        before = versions(mnt)
        source.git("update-ref", "-d", "HEAD")
        fails(os.listdir, mnt / "package/openpype")
        assert "needs a commit" in errors(mnt)[0]["reason"]
        source.git("update-ref", "HEAD", head)
        assert versions(mnt) == before and errors(mnt) == []
        source.git("update-ref", "-d", "HEAD")
    result = run("export", source.path, folder / "out", "-o", "version=git")
    assert result.returncode == 1 and b"needs a commit" in result.stderr
    with mounted(source.path, folder / "mnt", "version=1.0.0") as mnt:
        assert versions(mnt) == {"openpype": "1.0.0"}


@pytest.mark.parametrize("declared", ["1.0", "2024", "1.0.0.0", "01.0.0", "1.0.0-01"])
def test_a_declared_version_that_is_not_semver_can_be_shown_and_nothing_derived(make, folder, fuse, declared):
    maya = "server_addon/maya/server/version.py"
    repo = make({**SAMPLES["b"], maya: f'__version__ = "{declared}"\n'})
    with mounted(repo.path, folder / "mnt", "version=git") as mnt:
        assert versions(mnt)["maya"] == declared
        repo.commit()
        fails(os.listdir, mnt / "package/maya")
        [problem] = {p["path"]: p for p in errors(mnt)}.values()
        assert problem["path"] == maya and "Semantic Versioning" in problem["reason"]
        assert os.listdir(mnt / "package/openpype") == [version_of(repo, "HEAD", *MADE["b"]["openpype"][:2])]
        repo.write({maya: '__version__ = "1.0.0"\n'})
        repo.commit()
        assert versions(mnt)["maya"] == "1.0.0" and errors(mnt) == []


def test_a_version_that_only_a_recipe_says_cannot_be_derived(make, folder, fuse):
    recipe = {"addonfs_recipe": 1, "addons": [
        {"name": "tools", "version": "1.0.0", "rules": [{"source": "openpype/lib/", "destination": "lib"}]}]}
    repo = make({**SAMPLES["a"], "addonfs.json": json.dumps(recipe)})
    result = run("export", repo.path, folder / "out", "-o", "version=git")
    assert result.returncode == 1 and b"needs a version that is read from a Python file" in result.stderr
    with mounted(repo.path, folder / "mnt", "version=2.0.0") as mnt:
        assert versions(mnt) == {"tools": "2.0.0"}
        assert list(oracle.read_zip((mnt / "upload/tools-2.0.0.zip").read_bytes()))


# --- Worktrees with changes ----------------------------------------------------------------------


def dirty(repo, layout, mnt, addon=None):
    """The digits behind the version of a worktree that is dirty; all the rest is as it should be."""
    addon = addon or ADDON[layout]
    wanted = expected_versions(repo, layout)
    found = versions(mnt)
    digits = DIRTY.fullmatch(found[addon])[2]
    path, variable, _ = MADE[layout][addon]
    plain = wanted[addon]
    if "+g" not in plain:
        plain = derived(plain, 0, repo.git("rev-parse", "HEAD").decode(), digits)
    else:
        plain += f".d{digits}"
    assert found == {**wanted, addon: plain} and SEMVER.match(plain)
    return digits


@pytest.mark.parametrize("commits", [0, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_whatever_is_edited_has_a_version_of_its_own_and_what_is_undone_has_none(make, folder, fuse, layout, commits):
    repo = make(SAMPLES[layout], commits=commits)
    path, shell = repo.path / EDITED[layout], repo.path / SHELL[layout]
    shell_addon = "maya" if layout == "b" else ADDON[layout]
    before = path.read_bytes()
    clean = expected_versions(repo, layout)
    seen = set()
    with mounted(repo.path, folder / "mnt", "version=git") as mnt, mounted(repo.path, folder / "plain") as plain:
        assert versions(mnt) == clean
        path.write_bytes(before + b"edited = 1\n")
        seen.add(dirty(repo, layout, mnt))
        check(repo, layout, mnt, plain, versions(mnt))
        check(repo, layout, mnt / "snapshots/current", plain, versions(mnt))
        path.write_bytes(before + b"edited = 2\n")
        seen.add(dirty(repo, layout, mnt))
        path.write_bytes(before)
        assert versions(mnt) == clean
        untracked = path.parent / "untracked.py"
        untracked.write_text("new = 1\n")
        seen.add(dirty(repo, layout, mnt))
        untracked.unlink()
        assert versions(mnt) == clean
        shell.chmod(0o644)
        seen.add(dirty(repo, layout, mnt, shell_addon))
        shell.chmod(0o755)
        assert versions(mnt) == clean
        path.rename(path.parent / "renamed.py")
        seen.add(dirty(repo, layout, mnt))
        (path.parent / "renamed.py").rename(path)
        assert versions(mnt) == clean
        path.unlink()
        seen.add(dirty(repo, layout, mnt))
        path.write_bytes(before)
        assert versions(mnt) == clean
        assert len(seen) == 6
        # What is not in the package does not make it another one; nor does the index.
        (repo.path / "README").write_text("edited\n")
        (path.parent / ".hidden").write_text("no\n")
        repo.git("add", "-A")
        assert versions(mnt) == clean
        head = repo.git("rev-parse", "HEAD").decode().strip()
        path.write_bytes(b"edited = 3\n")
        assert versions(mnt / "commits" / head) == clean == versions(mnt / "HEAD")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_worktree_that_bumps_the_version_starts_at_zero(make, folder, fuse, layout):
    repo = make(SAMPLES[layout], commits=3)
    addon = ADDON[layout]
    path = MADE[layout][addon][0]
    head = repo.git("rev-parse", "HEAD").decode().strip()
    with mounted(repo.path, folder / "mnt", "version=git") as mnt:
        before = versions(mnt)[addon]
        text = (repo.path / path).read_text()
        bumped = re.sub(r'(version(?:__)? = ")[^"]*', r"\g<1>20.0.0", text)
        repo.write({path: bumped})
        found = versions(mnt)
        digits = DIRTY.fullmatch(found[addon])[2]
        assert found == {**expected_versions(repo, layout), addon: f"20.0.1-dev.0+g{head[:7]}.d{digits}"}
        assert compare(before, found[addon]) == -1 and compare("20.0.0", found[addon]) == -1
        repo.git("commit", "-q", "-a", "-m", "bump")
        assert versions(mnt)[addon] == "20.0.0"
        assert versions(mnt) == expected_versions(repo, layout)


def test_moving_head_shows_at_the_next_look_although_no_file_changes(make, folder, fuse):
    repo = make(SAMPLES["a"], commits=2)
    tools = repo.path / EDITED["a"]
    with mounted(repo.path, folder / "mnt", "version=git") as mnt:
        tools.write_bytes(b"edited = 1\n")
        digits = dirty(repo, "a", mnt)
        repo.git("commit", "-q", "-a", "-m", "what was edited")
        assert versions(mnt) == expected_versions(repo, "a")
        repo.git("reset", "-q", "--soft", "HEAD~1")
        assert dirty(repo, "a", mnt) == digits
        repo.git("commit", "-q", "-a", "-m", "again")
        for command in (("commit", "-q", "--allow-empty", "-m", "empty"),
                        ("commit", "-q", "--allow-empty", "--amend", "-m", "amended"),
                        ("checkout", "-q", "-b", "other"), ("pack-refs", "--all"),
                        ("checkout", "-q", "--detach"), ("commit", "-q", "--allow-empty", "-m", "detached"),
                        ("symbolic-ref", "HEAD", "refs/heads/main"), ("update-ref", "HEAD", "HEAD~1"),
                        ("checkout", "-q", "other"), ("gc", "-q")):
            repo.git(*command)
            assert versions(mnt) == expected_versions(repo, "a"), command


def test_switching_branches_shows_their_versions(make, folder, fuse):
    repo = make(SAMPLES["a"])
    repo.git("checkout", "-q", "-b", "feature")
    for number in range(3):
        repo.write({EDITED["a"]: f"feature = {number}\n"})
        repo.commit()
    repo.git("checkout", "-q", "-b", "release", "main")
    repo.write(bump("4.0.0"))
    repo.commit()
    with mounted(repo.path, folder / "mnt", "version=git") as mnt:
        for branch in ("feature", "main", "release", "feature", "release", "main"):
            repo.git("checkout", "-q", branch)
            assert versions(mnt) == expected_versions(repo, "a", branch)


def test_the_same_state_has_the_same_version_wherever_it_is(make, folder, fuse):
    first = make(SAMPLES["d"], commits=2)
    (folder / "some where").mkdir()
    clones = [first, Clone(first, folder / "some where" / "else"), Clone(first, folder / "b", "--no-local")]
    found = []
    for number, repo in enumerate(clones):
        with mounted(repo.path, folder / "mnt", f"version=git,level={number * 5 + 1}") as mnt:
            states = [versions(mnt)]
            for content in (b"edited = 1\n", b"edited = 2\n" * 1000, b""):
                (repo.path / EDITED["d"]).write_bytes(content)
                os.utime(repo.path / EDITED["d"], (number * 1000, number * 1000))
                (repo.path / EDITED["d"]).chmod((0o644, 0o600, 0o444)[number])
                states.append(versions(mnt))
                (repo.path / EDITED["d"]).chmod(0o644)
            found.append(states)
    assert found[0] == found[1] == found[2] and len({state["core"] for state in found[0]}) == 4


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_source_is_not_touched(make, folder, fuse, layout):
    repo = make(SAMPLES[layout], commits=2)
    repo.write({EDITED[layout]: "edited = 1\n", "untracked.txt": ""})

    def state():
        found = {}
        for base, _, names in os.walk(repo.path):
            for name in names:
                path = os.path.join(base, name)
                entry = os.lstat(path)
                found[path] = (entry.st_ino, entry.st_mode, entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns)
        return found

    told = repo.git("status", "--porcelain")
    before = state()
    for options in ("version=git", "version=git,rev=HEAD", "version=9.9.9"):
        with mounted(repo.path, folder / "mnt", options) as mnt:
            assert contents(mnt)
    assert state() == before and repo.git("status", "--porcelain") == told


@pytest.mark.parametrize("layout", ["a", "d"])
def test_what_cannot_be_read_leaves_no_version_to_show(make, folder, fuse, layout):
    """Nobody knows what content it is: the addon's folder fails, and heals."""
    repo = make(SAMPLES[layout], commits=1)
    broken = repo.path / EDITED[layout]
    clean = expected_versions(repo, layout)
    with mounted(repo.path, folder / "mnt", "version=git") as mnt:
        before = broken.read_bytes()
        repo.write({EDITED[layout]: Link("nowhere")})
        fails(os.listdir, mnt / "package" / ADDON[layout])
        assert "link is broken" in errors(mnt)[0]["reason"] + errors(mnt)[0]["path"]
        broken.unlink()
        broken.write_bytes(before)
        assert versions(mnt) == clean and errors(mnt) == []
    repo.write({EDITED[layout]: Link("nowhere")})
    with mounted(repo.path, folder / "mnt", "version=git,problems=skip") as mnt:
        dirty(repo, layout, mnt)
        assert errors(mnt) == [] and status(mnt)["problems"]


def test_an_edit_does_not_move_what_others_show(make, folder, fuse):
    """In a tree of many addons each version speaks of its own package."""
    repo = make(SAMPLES["b"], commits=1)
    with mounted(repo.path, folder / "mnt", "version=git") as mnt:
        maya = versions(mnt)["maya"]
        inode = os.stat(mnt / "package/maya" / maya / "__init__.py").st_ino
        for number in range(3):
            repo.write({EDITED["b"]: f"edited = {number}\n"})
            dirty(repo, "b", mnt)
            assert os.stat(mnt / "package/maya" / maya / "__init__.py").st_ino == inode
        repo.write({"server_addon/maya/server/__init__.py": "edited = 1\n"})
        assert DIRTY.fullmatch(versions(mnt)["maya"]) and DIRTY.fullmatch(versions(mnt)["openpype"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_open_file_outlives_its_version(make, folder, fuse, layout):
    repo = make(SAMPLES[layout], commits=1)
    with mounted(repo.path, folder / "mnt", "version=git") as mnt:
        addon = ADDON[layout]
        with open(mnt / "upload" / f"{addon}-{versions(mnt)[addon]}.zip", "rb") as held:
            before = held.read()
            repo.write({EDITED[layout]: "edited = 1\n"})
            repo.commit()
            assert versions(mnt) == expected_versions(repo, layout)
            held.seek(0)
            assert held.read() == before


@pytest.mark.parametrize("way", ["own", "option"])
def test_a_recipes_package_has_a_version_of_its_own_by_its_own_variable(make, folder, fuse, way):
    def recipe(*sources):
        return json.dumps({"addonfs_recipe": 1, "addons": [{
            "name": "tools", "version": {"file": "about.py", "variable": "RELEASE"},
            "rules": [{"source": source, "destination": source} for source in ("about.py", *sources)]}]})

    files = {"about.py": 'VERSION = "9.9.9"\nRELEASE = "1.2.3"\n', "one.py": "one = 1\n", "two.py": "two = 2\n"}
    repo = make({**files, **({"addonfs.json": recipe("one.py")} if way == "own" else {})}, commits=2)
    (folder / "recipe.json").write_text(recipe("one.py"))
    options = "version=git" + (f",recipe={folder / 'recipe.json'}" if way == "option" else "")

    def wanted():
        return {"tools": version_of(repo, "HEAD", "about.py", "RELEASE")}

    with mounted(repo.path, folder / "mnt", options) as mnt:
        assert versions(mnt) == wanted()
        about = mnt / "package/tools" / versions(mnt)["tools"] / "about.py"
        assert about.read_text() == f'VERSION = "9.9.9"\nRELEASE = "{versions(mnt)["tools"]}"\n'
        repo.write({"about.py": files["about.py"].replace("9.9.9", "9.9.8")})
        assert DIRTY.fullmatch(versions(mnt)["tools"])[1] == wanted()["tools"]
        repo.write(files)
        assert versions(mnt) == wanted()
        if way == "own":  # the recipe is a part of what the package comes from
            repo.write({"addonfs.json": recipe("one.py", "two.py")})
            assert DIRTY.fullmatch(versions(mnt)["tools"])[1] == wanted()["tools"]
            repo.write({"addonfs.json": recipe("one.py") + "\n"})  # says the same
            assert versions(mnt) == wanted()
        repo.commit()
        assert versions(mnt) == wanted()
        repo.write({"about.py": files["about.py"].replace("1.2.3", "1.3.0")})
        repo.commit()
        assert versions(mnt) == {"tools": "1.3.0"} == wanted()


@pytest.mark.parametrize("before", ["__version__ = broken()\n", '__version__ = "not semver"\n', None])
def test_a_worktree_that_mends_what_the_commit_declares_starts_at_zero(make, folder, fuse, before):
    files = dict(SAMPLES["a"])
    repo = make({**files, "openpype/version.py": before} if before else
                {name: text for name, text in files.items() if name != "openpype/version.py"}, commits=1)
    repo.write(bump("2.0.0"))
    with mounted(repo.path, folder / "mnt", "version=git") as mnt:
        head = repo.git("rev-parse", "HEAD").decode()[:7]
        assert DIRTY.fullmatch(versions(mnt)["openpype"])[1] == f"2.0.1-dev.0+g{head}"
        repo.commit()
        assert versions(mnt) == {"openpype": "2.0.0"}


# --- Waiting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", ",watch=poll"])
@pytest.mark.parametrize("change", ["commit", "amend", "commit of an edit", "reset", "branch", "packed"])
def test_waiting_ends_when_the_version_alone_changes(make, folder, fuse, change, options):
    repo = make(SAMPLES["a"], commits=2)
    repo.git("branch", "other", "HEAD~1")
    if change == "packed":
        repo.git("pack-refs", "--all")
    if change == "commit of an edit":
        repo.write({EDITED["a"]: "edited = 1\n"})
        repo.git("add", "-A")
    with mounted(repo.path, folder / "mnt", "version=git" + options) as mnt:
        before, first = versions(mnt), generation(mnt)
        waiter = Waiter(mnt, "--since", first)
        repo.git(*{"amend": ("commit", "-q", "--amend", "--allow-empty", "-m", "amended"),
                   "reset": ("update-ref", "HEAD", "HEAD~1"), "branch": ("symbolic-ref", "HEAD", "refs/heads/other"),
                   }.get(change, ("commit", "-q", "--allow-empty", "-m", "change")))
        assert waiter.end(0)[0] == generation(mnt) != first
        assert versions(mnt) == expected_versions(repo, "a") != before


def test_with_version_source_a_commit_wakes_nobody(make, folder, fuse):
    repo = make(SAMPLES["a"], commits=1)
    with mounted(repo.path, folder / "mnt", "version=source") as mnt:
        first = generation(mnt)
        repo.commit()
        assert generation(mnt) == first and versions(mnt) == {"openpype": "3.15.12"}


def test_modes_are_those_of_the_commit(make, folder, fuse):
    """An executable declares the version: what is derived is as executable as it was."""
    repo = make({**SAMPLES["d"], "package.py": Exec(package_py("core", "1.0.0", "ayon_core").encode())}, commits=1)
    with mounted(repo.path, folder / "plain") as plain, mounted(repo.path, folder / "mnt", "version=git") as mnt:
        check(repo, "d", mnt, plain, expected_versions(repo, "d"))
        assert contents(mnt)[b"package/core/%s/package.py" % versions(mnt)["core"].encode()][1]
