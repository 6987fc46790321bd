"""source_history against git: when a path was last changed is what `git log -1 -- PATH` says."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from repository import Repository  # noqa: E402

PROGRAM = os.environ.get("ADDONFS_SOURCE_HISTORY_CLI")
NAMES = ["a", "a-b", "a.py", "b/c", "b/d", "b/e/f", "b/e/g", "b-e", "z/y/x/w"]


@pytest.fixture(autouse=True)
def program():
    if not PROGRAM:
        pytest.skip("source_history_cli (environment variable ADDONFS_SOURCE_HISTORY_CLI)")


def random_history(path, seed, commits, names=NAMES):
    """A repository of `commits` commits with merges, deletions, mode changes, and clocks that jump.

    Of a name and one below it the later one in `tree` replaces the other: a file becomes a folder.
    """
    chance = random.Random(seed)
    repo = Repository(path, bare=True)
    trees = []
    stream = []
    for number in range(commits):
        parents = chance.sample(range(number), min(number, chance.choice([1, 1, 1, 2, 3])))
        if number and chance.random() < 0.7:
            parents = [number - 1, *[p for p in parents if p != number - 1]]
        tree = dict(trees[parents[0]]) if parents else {}
        for parent in parents[1:]:
            tree.update(chance.sample(sorted(trees[parent].items()), len(trees[parent]) // 2))
        for _ in range(chance.choice([0, 1, 1, 2])):
            name = chance.choice(names)
            if name in tree and chance.random() < 0.3:
                del tree[name]
            else:
                tree.pop(name, None)
                tree[name] = (chance.choice(["100644", "100755"]), chance.randrange(4))
        trees.append(tree)
        date = 1_600_000_000 + number * 60 + chance.randrange(-300, 300)
        stream.append(f"commit refs/heads/c{number}\nmark :{number + 1}\n"
                      f"author A <a@example.com> {date - 9} +0000\n"
                      f"committer A <a@example.com> {date} +0000\ndata 0\n")
        stream += [f"{'merge' if i else 'from'} :{p + 1}\n" for i, p in enumerate(parents)]
        stream.append("deleteall\n")
        for name, (mode, value) in tree.items():
            text = f"{value}\n"
            stream.append(f"M {mode} inline {name}\ndata {len(text)}\n{text}\n")
    repo.git("fast-import", "--quiet", data="".join(stream).encode())
    return repo


def expected(repo, commit):
    paths = repo.git("ls-tree", "-r", "-t", "--name-only", "-z", commit).decode().split("\0")[:-1]
    return {path: int(repo.git("log", "-1", "--format=%ct", commit, "--", path)) for path in paths}


def found(repo, cache, *commits, paths=()):
    text = subprocess.run([PROGRAM, repo.path, cache, *commits], check=True, capture_output=True,
                          input="".join(f"{p}\n" for p in paths).encode(), timeout=120).stdout
    answers = {commit: {} for commit in commits}
    for line in text.decode().splitlines():
        commit, time, path = line.split(" ", 2)
        answers[commit][path] = int(time)
    return answers


def some_commits(repo, seed, count):
    everything = repo.git("rev-list", "--all").decode().split()
    return random.Random(seed).sample(everything, count)


@pytest.mark.parametrize("seed", range(6))
def test_times_are_those_of_git_log(folder, seed):
    repo = random_history(folder / "repo", seed, 60)
    commits = some_commits(repo, seed, 6)
    right = {commit: expected(repo, commit) for commit in commits}
    assert found(repo, "none", *commits) == right
    for _ in range(2):  # the second time from the cache
        assert found(repo, folder / "cache", *commits) == right


# The file "b" or "z/y" in the place of a folder, and a folder in the place of "a": in a tree, what
# sorts between a file and a folder of one name then lies on the other side of it.
CLASHING = [*NAMES, "b", "z/y", "a/x", "a/b/c", "a\x01b", "b/c/d", "b/c.d", "z"]


@pytest.mark.parametrize("seed", range(6))
def test_times_of_what_was_a_file_here_and_a_folder_there(folder, seed):
    repo = random_history(folder / "repo", 20 + seed, 60, CLASHING)
    commits = some_commits(repo, seed, 6)
    right = {commit: expected(repo, commit) for commit in commits}
    assert found(repo, "none", *commits) == right


def test_times_of_many_paths(folder):
    """More than a word of a set has bits, some of which part at merges and meet again."""
    names = [f"{chr(97 + i // 64)}/{chr(97 + i // 8 % 8)}/{i % 8}" for i in range(320)]
    repo = random_history(folder / "repo", 31, 700, names)
    commit = repo.git("rev-parse", "c699").decode().strip()
    answers = found(repo, "none", commit)[commit]
    listed = repo.git("ls-tree", "-r", "-t", "--name-only", commit).decode().splitlines()
    assert sorted(answers) == sorted(listed) and len(listed) > 200
    for path in random.Random(4).sample(listed, 100):
        assert answers[path] == int(repo.git("log", "-1", "--format=%ct", commit, "--", path)), path


def test_paths_that_a_commit_has_not_are_as_old_as_the_history(folder):
    """Not those either that lie below what is a file in it, or is none in its parents."""
    repo = random_history(folder / "repo", 3, 40)
    commit = repo.git("rev-parse", "c39").decode().strip()
    there = expected(repo, commit)
    absent = ["a.py/x", "b/c/x", "b/d.x", "q", "zz/y"]
    answers = found(repo, "none", commit, paths=sorted([*there, *absent], key=os.fsencode))[commit]
    roots = {int(time) for time in repo.git("log", "--max-parents=0", "--format=%ct", commit).split()}
    assert {path: answers[path] for path in there} == there
    assert {answers[path] for path in absent} <= roots


def test_older_folders_of_paths_that_are_answered_are_not_read(folder):
    repo = Repository(folder / "repo", bare=True)
    repo.git("fast-import", "--quiet", data="".join(  # so few objects that they are loose
        f"commit refs/heads/main\ncommitter A <a@example.com> {1_600_000_000 + number} +0000\ndata 0\n"
        + "".join(f"M 100644 inline {name}\ndata 2\n{value}\n\n" for name, value in files.items())
        for number, files in enumerate([{"a": 0, "b/c": 0, "c": 0, "z/y": 0}, {"b/c": 1, "z/y": 1}, {"b/c": 2},
                                        {"b/c": 3}, {"b/c": 4, "c": 1}])).encode())
    commit = repo.git("rev-parse", "main").decode().strip()
    right = expected(repo, commit)
    assert right == {"a": 1_600_000_000, "b": 1_600_000_004, "b/c": 1_600_000_004, "c": 1_600_000_004,
                     "z": 1_600_000_001, "z/y": 1_600_000_001}
    for old in ("main~2", "main~3", "main~4"):
        tree = repo.git("rev-parse", f"{old}:b").decode().strip()
        (repo.path / "objects" / tree[:2] / tree[2:]).unlink()
    assert found(repo, "none", commit)[commit] == right


def test_what_is_remembered_of_some_paths_helps_with_others(folder):
    repo = random_history(folder / "repo", 99, 80)
    commits = some_commits(repo, 1, 4)
    right = {commit: expected(repo, commit) for commit in commits}
    for commit in commits:
        half = sorted(right[commit], key=os.fsencode)[::2]
        assert found(repo, folder / "cache", commit, paths=half)[commit] == {
            path: right[commit][path] for path in half}
    assert found(repo, folder / "cache", *commits, *commits[::-1]) == right


def test_a_shallow_boundary_counts_as_the_change(folder):
    repo = random_history(folder / "repo", 7, 40)
    full = found(repo, folder / "cache", repo.git("rev-parse", "c39").decode().strip())
    for depth in (1, 3, 8):
        clone = folder / f"depth{depth}"
        subprocess.run(["git", "clone", "-q", "--bare", f"--depth={depth}", "-b", "c39",
                        f"file://{repo.path}", clone], check=True)
        shallow = Repository.__new__(Repository)
        shallow.path = clone
        commit = shallow.git("rev-parse", "HEAD").decode().strip()
        answers = found(shallow, folder / "cache", commit)
        assert answers[commit] == expected(shallow, commit)
    # The cache told the histories apart.
    assert found(repo, folder / "cache", commit) == full


def test_times_that_are_damaged_in_the_cache_are_found_out_again(folder):
    repo = random_history(folder / "repo", 5, 30)
    commits = some_commits(repo, 2, 3)
    right = found(repo, folder / "cache", *commits)
    database = folder / "cache" / "members.sqlite"
    pristine = database.read_bytes()
    where = [at for at in range(0, len(pristine), 61) if pristine[at]]
    for at in random.Random(3).sample(where, min(40, len(where))):
        damaged = bytearray(pristine)
        damaged[at] ^= 0x10
        database.write_bytes(damaged)
        assert found(repo, folder / "cache", *commits) == right


def test_the_root_and_a_malformed_commit_are_as_git_log_has_them(folder):
    repo = random_history(folder / "repo", 11, 10)
    tip = repo.git("rev-parse", "c9").decode().strip()
    tree = repo.git("rev-parse", f"{tip}^{{tree}}").decode().strip()
    raw = (f"tree {tree}\nparent {tip}\nauthor Joe Doe 1500000000 +0000\n"
           "committer Joe <joe@example.com> 1700000000 +0000\n\ntext\n")
    odd = repo.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin",
                   data=raw.encode()).decode().strip()
    empty = repo.git("commit-tree", "-p", odd, "-m", "x", tree).decode().strip()
    for commit in (tip, empty):
        right = int(repo.git("log", "-1", "--format=%ct", commit, "--", "."))
        assert found(repo, "none", commit, paths=["", "a"])[commit][""] == right
    assert found(repo, "none", empty)[empty] == expected(repo, empty)
