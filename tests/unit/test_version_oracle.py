"""version against Semantic Versioning 2.0.0: its regular expression, and its rules of precedence."""

import os
import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle_version import SEMVER, compare, parts_of

PROGRAM = os.environ.get("ADDONFS_VERSION_CLI")
LIMIT = 128


@pytest.fixture(scope="module", autouse=True)
def program():
    if not PROGRAM:
        pytest.skip("version_cli (environment variable ADDONFS_VERSION_CLI)")


def tell(lines, *options):
    answers = subprocess.run([PROGRAM, *options], input="".join(f"{line}\n" for line in lines).encode(),
                             check=True, capture_output=True, timeout=60).stdout.decode().splitlines()
    assert len(answers) == len(lines)
    return answers


def derive(*cases):
    """For each (declared, commits, commit, content or None): the version, or the error's text."""
    answers = []
    for line in tell([" ".join(str(part) for part in case if part is not None) for case in cases]):
        kind, rest = line.split(" ", 1)
        answers.append((True, rest) if kind == "OK" else (False, rest))
    return answers


# The standard's own examples keep the oracle honest.
def test_the_oracle_orders_as_the_standard_says():
    for chain in (["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
                   "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"], ["1.0.0", "2.0.0", "2.1.0", "2.1.1"]):
        for i, a in enumerate(chain):
            for j, b in enumerate(chain):
                assert compare(a, b) == (i > j) - (i < j)


NUMBER = st.one_of(st.integers(0, 20), st.sampled_from([9, 99, 999, 10**20 - 1, 2**64 - 1, 10**40]),
                   st.integers(0, 10**30)).map(str)
WORD = st.text("0123456789abzABZ-", min_size=1, max_size=6)
PRE = st.one_of(NUMBER, WORD.filter(lambda w: not w.isdigit()),
                st.sampled_from(["dev", "nightly", "rc", "alpha", "-", "0a", "--1"]))
DECLARED = st.builds(
    lambda numbers, pre, build: ".".join(numbers) + ("-" + ".".join(pre) if pre else "")
    + ("+" + ".".join(build) if build else ""),
    st.tuples(NUMBER, NUMBER, NUMBER), st.lists(PRE, max_size=3), st.lists(WORD, max_size=3))
HEX = st.text("0123456789abcdef", min_size=40, max_size=40)
COMMITS = st.one_of(st.integers(0, 12), st.integers(0, 2**64 - 1))
PRACTICE = settings(max_examples=60, deadline=None, derandomize=True)

NEAR = st.lists(st.sampled_from([*"01.-+ab", ".", "1", "0", "1.0.0", "-", "01"]), max_size=9).map("".join)


@PRACTICE
@given(st.lists(st.one_of(DECLARED, NEAR), min_size=50, max_size=50))
def test_what_is_a_version_is_what_the_standard_says(texts):
    assert tell(texts, "--valid") == [str(int(bool(SEMVER.match(text)))) for text in texts]


def release_after(declared):
    """The release that a version derived from `declared` must sort before."""
    numbers, pre = parts_of(declared)
    if not pre:
        numbers[2] += 1
    return ".".join(map(str, numbers))


@PRACTICE
@given(st.lists(st.tuples(DECLARED, COMMITS, HEX, st.one_of(st.none(), HEX)), min_size=50, max_size=50))
def test_a_derived_version_is_valid_and_sorts_where_it_belongs(cases):
    for (declared, commits, commit, content), (good, version) in zip(cases, derive(*cases)):
        if commits == 0 and content is None:
            assert (good, version) == (True, declared)
            continue
        bare, *_ = declared.split("+")
        release = release_after(declared)
        wanted = (f"{bare}.dev.{commits}" if "-" in bare else f"{release}-dev.{commits}") \
            + f"+g{commit[:7]}" + (f".d{content[:8]}" if content else "")
        if len(wanted) > LIMIT:
            assert not good and f"longer than {LIMIT} bytes" in version
            continue
        assert good and version == wanted
        assert SEMVER.match(version) and re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z.+_-]*", version)
        assert ".." not in version
        assert compare(declared, version) == -1 and compare(version, release) == -1


@PRACTICE
@given(DECLARED, st.lists(COMMITS, min_size=2, max_size=20, unique=True), HEX, st.one_of(st.none(), HEX))
def test_more_commits_sort_later(declared, commits, commit, content):
    commits.sort()
    answers = derive(*[(declared, n, commit, content) for n in commits])
    versions = [version for good, version in answers if good]
    for before, after in zip(versions, versions[1:]):
        assert compare(before, after) == -1


@PRACTICE
@given(st.lists(NEAR.filter(lambda text: text and not SEMVER.match(text)), min_size=20, max_size=20))
def test_what_is_no_version_is_shown_as_it_is_or_not_at_all(texts):
    assert derive(*[(text, 0, "0" * 40) for text in texts]) == [(True, text) for text in texts]
    for good, message in derive(*[(text, 1, "0" * 40) for text in texts]):
        assert not good and message.startswith("22 ") and "Semantic Versioning 2.0" in message
