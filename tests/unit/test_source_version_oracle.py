"""source_version against git: who has set a version, and how many commits ago.

D is found here with `git rev-list --first-parent`, `git ls-tree` and Python's own reading of literals; n
is what `git rev-list --count D..C` says, and, where clocks are wrong, the difference of two whole sets.

    ADDONFS_REAL_REPOSITORY=DIR     an OpenPype clone, to compare 30 of its commits as well
"""

import ast
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from repository import ENVIRONMENT, Link, Repository  # noqa: E402

PROGRAM = os.environ.get("ADDONFS_SOURCE_VERSION_CLI")
REAL = os.environ.get("ADDONFS_REAL_REPOSITORY")
NAME = "__version__"
PATH = "some/where/version.py"
DAY = 24 * 60 * 60


@pytest.fixture(autouse=True)
def program():
    if not PROGRAM:
        pytest.skip("source_version_cli (environment variable ADDONFS_SOURCE_VERSION_CLI)")


def found(repo, *commits, path=PATH):
    """For each commit: (D, n), or the error's text."""
    lines = subprocess.run([PROGRAM, repo.path, path, NAME, *commits], check=True, capture_output=True,
                           timeout=300).stdout.decode().splitlines()
    assert len(lines) == len(commits)
    answers = []
    for line in lines:
        kind, rest = line.split(" ", 1)
        base, commits_since, *_ = rest.split(" ")
        answers.append((base, int(commits_since)) if kind == "OK" else rest)
    return answers


def lines(repo, *arguments):
    return repo.git(*arguments).decode().split()


def value_at(repo, commit, path=PATH):
    """What the file binds the name to in this commit, or None. Only of files as these tests write them."""
    entry = repo.git("ls-tree", commit, "--", path).decode()
    if not entry.startswith("100"):
        return None
    value = None
    try:
        module = ast.parse(repo.git("cat-file", "blob", entry.split()[2]))
        for node in module.body:
            if isinstance(node, ast.Assign) and node.targets[0].id == NAME:
                value = ast.literal_eval(node.value)
    except (SyntaxError, ValueError):
        return None
    return value if isinstance(value, str) else None


def base_of(repo, commit, path=PATH):
    """D, or None if the commit has no value."""
    value = value_at(repo, commit, path)
    base = None
    for ancestor in lines(repo, "rev-list", "--first-parent", commit) if value is not None else []:
        if value_at(repo, ancestor, path) != value:
            break
        base = ancestor
    return base


def count(repo, base, commit):
    """By whole sets, which no clock can change."""
    return len(set(lines(repo, "rev-list", commit)) - set(lines(repo, "rev-list", base)))


def expected(repo, commit, path=PATH):
    base = base_of(repo, commit, path)
    return base and (base, count(repo, base, commit))


def check(repo, commits, path=PATH):
    answers = found(repo, *commits, path=path)
    for commit, answer in zip(commits, answers):
        right = expected(repo, commit, path)
        assert answer == right if right else isinstance(answer, str), (commit, answer, right)
    return answers


# Files of the same value, and of none.
def spellings(value):
    return [f'{NAME} = "{value}"\n', f"# other\n{NAME} = '{value}'\n", f'{NAME} = ("{value[:2]}" "{value[2:]}")\r\n',
            f'{NAME} = "0"\n{NAME} = "{value}"\n']


NONE = ["x = 1\n", f"{NAME} = f()\n", f"{NAME} = 1.0\n", f'{NAME} = "1.0\n', ""]


def random_history(path, seed, commits, skew=300):
    """A bare repository of `commits` commits, with merges of old and new, roots, versions that come back
    or go missing, and clocks that are wrong by `skew` seconds."""
    chance = random.Random(seed)
    repo = Repository(path, bare=True)
    trees, stream = [], []
    for number in range(commits):
        parents = chance.sample(range(number), min(number, chance.choice([0, 1, 1, 1, 2, 3])))
        if number and chance.random() < 0.8:
            near = max(0, number - chance.choice([1, 1, 1, 2, 5]))
            parents = [near, *[p for p in parents if p != near]]
        tree = dict(trees[parents[0]]) if parents else {"other": ("100644", "0\n")}
        if parents[1:] and chance.random() < 0.3:
            tree.update(trees[parents[1]])
        tree["other"] = ("100644", f"{chance.randrange(3)}\n")
        kind = chance.random()
        if kind < 0.25:
            value = chance.choice(["1.0.0", "1.0.1", "1.1.0"])
            tree[PATH] = (chance.choice(["100644", "100755"]), chance.choice(spellings(value)))
        elif kind < 0.35 and PATH in tree:
            old = tree[PATH][1]  # the same value or none, written another way
            values = [v for v in ("1.0.0", "1.0.1", "1.1.0") if old in spellings(v)]
            if values:
                tree[PATH] = ("100644", chance.choice(spellings(values[0])))
        elif kind < 0.40:
            tree[PATH] = ("100644", chance.choice(NONE))
        elif kind < 0.43:
            tree.pop(PATH, None)
        elif kind < 0.45:
            tree[PATH] = ("120000", "../other")
        trees.append(tree)
        date = 1_600_000_000 + number * 600 + chance.randrange(-skew, skew)
        stream.append(f"commit refs/heads/c{number}\nmark :{number + 1}\n"
                      f"author A <a@example.com> {date - 9} +0000\n"
                      f"committer A <a@example.com> {date} +0000\ndata 0\n")
        stream += [f"{'merge' if i else 'from'} :{p + 1}\n" for i, p in enumerate(parents)]
        stream.append("deleteall\n")
        for name, (mode, text) in tree.items():
            stream.append(f"M {mode} inline {name}\ndata {len(text)}\n{text}\n")
    repo.git("fast-import", "--quiet", data="".join(stream).encode())
    repo.git("symbolic-ref", "HEAD", f"refs/heads/c{commits - 1}")
    return repo


@pytest.mark.parametrize("seed", range(8))
def test_bases_and_distances_are_those_of_git(folder, seed):
    repo = random_history(folder / "repo", seed, 90)
    commits = random.Random(seed).sample(lines(repo, "rev-list", "--all"), 40)
    answers = check(repo, commits)
    for commit, answer in zip(commits, answers):
        if not isinstance(answer, str):
            assert answer[1] == int(repo.git("rev-list", "--count", f"{answer[0]}..{commit}"))


@pytest.mark.parametrize("seed", range(4))
def test_clocks_may_be_wrong_by_days(folder, seed):
    # Two clocks, so they differ by 28 days at most.
    repo = random_history(folder / "repo", 100 + seed, 90, skew=14 * DAY)
    check(repo, random.Random(seed).sample(lines(repo, "rev-list", "--all"), 40))


def write_version(repo, value, path=PATH, message="version"):
    repo.write({path: f'{NAME} = "{value}"\n'})
    return repo.commit(message)


@pytest.fixture
def repo(folder):
    return Repository(folder / "repo", {PATH: f'{NAME} = "1.0.0"\n'})


def head(repo):
    return repo.git("rev-parse", "HEAD").decode().strip()


def test_a_root_that_has_the_value_has_set_it(repo):
    root = head(repo)
    last = [repo.commit(f"change {i}") for i in range(3)][-1]
    assert found(repo, root, last) == [(root, 0), (root, 3)]


def test_a_version_that_was_taken_back_is_set_anew(repo):
    write_version(repo, "1.0.1")
    back = write_version(repo, "1.0.0")
    assert found(repo, back, repo.commit()) == [(back, 0), (back, 1)]


def test_a_file_that_has_moved_is_set_anew(repo):
    repo.git("mv", PATH, "version.py")
    moved = repo.commit("moved")
    assert found(repo, repo.commit(), path="version.py") == [(moved, 1)]
    (error,) = found(repo, moved)
    assert "no such file in commit" in error


def test_a_folder_or_a_link_in_its_place_is_no_version(repo):
    repo.git("rm", "-q", PATH)
    repo.write({PATH + "/file": "x"})
    folder = repo.commit()
    repo.git("rm", "-qr", PATH)
    repo.write({"real.py": f'{NAME} = "1.0.0"\n', PATH: Link("../../real.py")})
    link = repo.commit()
    repo.git("rm", "-q", PATH)
    again = write_version(repo, "1.0.0")
    assert found(repo, again) == [(again, 0)]
    assert all("no such file" in error for error in found(repo, folder, link))


def test_a_merge_counts_all_that_it_brings(repo):
    base = write_version(repo, "1.1.0")
    repo.git("checkout", "-q", "-b", "feature")
    for i in range(3):
        repo.write({"feature": f"{i}"})
        repo.commit()
    repo.git("checkout", "-q", "main")
    repo.commit("on main")
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "feature")
    assert found(repo, head(repo)) == [(base, 5)]


def test_what_a_merge_brings_from_before_the_version_counts_once(repo):
    repo.git("checkout", "-q", "-b", "old")
    for i in range(3):
        repo.write({"old": f"{i}"})
        repo.commit()
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "-m", "merge a part", "old~1")
    base = write_version(repo, "1.1.0")
    repo.git("merge", "-q", "--no-ff", "-m", "merge the rest", "old")
    assert found(repo, head(repo)) == [(base, 2)]


def test_a_version_that_came_with_a_merge_was_set_by_it(repo):
    repo.git("checkout", "-q", "-b", "release")
    write_version(repo, "2.0.0")
    repo.git("checkout", "-q", "main")
    repo.commit("on main")
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "release")
    merge = head(repo)
    assert found(repo, merge, repo.commit()) == [(merge, 0), (merge, 1)]


def test_unrelated_histories_count_as_a_whole(repo):
    base = write_version(repo, "1.1.0")
    repo.git("checkout", "-q", "--orphan", "else")
    repo.git("rm", "-qrf", ".")
    repo.write({"else": "1"})
    repo.commit()
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "--allow-unrelated-histories", "-m", "merge", "else")
    assert found(repo, head(repo)) == [(base, 3)]


def clone(repo, path, *options):
    subprocess.run(["git", "clone", "-q", "--bare", *options, f"file://{repo.path}", path], check=True,
                   env={**os.environ, **ENVIRONMENT}, timeout=120)
    copy = Repository.__new__(Repository)
    copy.path = path
    return copy


def test_a_shallow_clone_answers_once_it_reaches_far_enough(repo, folder):
    before = head(repo)
    base = write_version(repo, "1.1.0")
    for i in range(4):
        repo.commit(f"change {i}")
    last = head(repo)
    for depth in range(1, 8):
        copy = clone(repo, folder / f"depth{depth}", f"--depth={depth}")
        (answer,) = found(copy, last)
        # The sixth commit is the one with another value.
        if depth >= 6:
            assert answer == (base, 4)
        else:
            assert answer.startswith(f"5 {PATH}: the history of commit {last[:12]} ends")
            assert answer.endswith(f'{NAME} became "1.1.0": git fetch --unshallow')
    copy = clone(repo, folder / "copy", "--depth=2")
    assert "--unshallow" in found(copy, last)[0]
    copy.git("fetch", "-q", "--unshallow")
    assert found(copy, last) == [(base, 4)] and found(copy, before) == [(before, 0)]


def test_what_is_cut_off_beside_the_first_parents_is_an_error_too(repo, folder):
    repo.git("checkout", "-q", "-b", "old")
    for i in range(6):
        repo.write({"old": f"{i}"})
        repo.commit()
    repo.git("checkout", "-q", "main")
    base = write_version(repo, "1.1.0")
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "old")
    last = head(repo)
    assert found(repo, last) == [(base, 7)]
    assert "--unshallow" in found(clone(repo, folder / "cut", "--depth=4"), last)[0]
    assert found(clone(repo, folder / "whole", "--depth=9"), last) == [(base, 7)]


@pytest.mark.parametrize("seed", range(5))
def test_a_shallow_clone_answers_as_the_whole_one_or_not_at_all(folder, seed):
    repo = random_history(folder / "repo", 200 + seed, 60)
    chance = random.Random(seed)
    answered = refused = 0
    for number in chance.sample(range(20, 60), 5):
        commit = lines(repo, "rev-parse", f"c{number}")[0]
        right = expected(repo, commit)
        for depth in (1, 2, 3, 4, 6, 9, 14):
            copy = clone(repo, folder / f"{number}-{depth}", f"--depth={depth}", "-b", f"c{number}")
            (answer,) = found(copy, commit)
            if right and "--unshallow" in answer:
                refused += 1
            elif right:
                assert answer == right
                answered += 1
            else:
                assert isinstance(answer, str)
    assert answered > 0 and refused > 0


@pytest.mark.parametrize("kind", ["commit", "tree", "blob"])
def test_an_object_that_is_missing_is_named(repo, kind):
    middle = repo.commit("middle")
    repo.write({"other": "1", PATH: f"# the same\n{NAME} = '1.0.0'\n"})
    last = repo.commit("last")
    what = {"commit": middle, "tree": f"{middle}^{{tree}}", "blob": f"{middle}:{PATH}"}[kind]
    name = repo.git("rev-parse", what).decode().strip()
    path = repo.path / ".git" / "objects" / name[:2] / name[2:]
    content = path.read_bytes()
    for damage in (None, b"", content[:len(content) // 2], b"y" + content[1:]):
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        (error,) = found(repo, last)
        assert error.startswith("5 ") and name in error and last[:12] in error
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    assert found(repo, last) == [(base_of(repo, last), 2)]


def test_it_is_known_in_the_blink_of_an_eye(folder):
    """A few hundred commits, each with a merge: what is typical takes milliseconds, so a second is a sign."""
    repo = Repository(folder / "repo", bare=True)
    stream = []
    for number in range(1500):
        stream.append(f"commit refs/heads/main\nmark :{number + 1}\n"
                      f"committer A <a@example.com> {1_600_000_000 + number * DAY // 4} +0000\ndata 0\n")
        if number:
            stream.append(f"from :{number}\n")
            if number > 3 and number % 2:
                stream.append(f"merge :{number - 2}\n")
        if number == 1000:
            stream.append(f'M 100644 inline {PATH}\ndata 22\n{NAME} = "1.0.0"\n\n')
        stream.append(f"M 100644 inline f{number % 50}\ndata {len(str(number))}\n{number}\n")
    repo.git("fast-import", "--quiet", data="".join(stream).encode())
    answer = subprocess.run([PROGRAM, repo.path, PATH, NAME, head(repo)], check=True, capture_output=True,
                            timeout=60).stdout.decode().split()
    assert answer[0] == "OK" and answer[2] == "499"
    assert int(answer[3]) < 1_000_000 or os.environ.get("SANITIZE")


def test_openpypes_own_history():
    if not REAL:
        pytest.skip("an OpenPype clone (environment variable ADDONFS_REAL_REPOSITORY)")
    repo = Repository.__new__(Repository)
    repo.path = Path(REAL)
    path = "openpype/version.py"
    everything = lines(repo, "rev-list", "--all")
    commits = random.Random(1).sample(everything, 30)
    answers = found(repo, *commits, path=path)
    for commit, answer in zip(commits, answers):
        base = base_of(repo, commit, path)
        if not base:
            assert isinstance(answer, str)
        else:
            assert answer == (base, int(repo.git("rev-list", "--count", f"{base}..{commit}")))
