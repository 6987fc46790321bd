"""A recipe of the user's own: every key does what the README says, and what is wrong is told."""

import contextlib
import errno
import json
import os
import re
from pathlib import Path

import pytest

import oracle
from mounting import errors, mounted, run, status
from repository import Exec, Link, Repository
from samples import SAMPLES

TOP = Path(__file__).resolve().parents[2]
WAYS = ["own", "option", "commit"]  # addonfs.json of the worktree, -o recipe=, addonfs.json of a commit

PKG = '''name = "tools"
version = "1.2.3"
extra = "extra_name"
nothing = None
'''


def source(*paths):
    """A source tree; every file says which it is."""
    return {path: f"# {path}\n" for path in paths}


TREE = {
    "pkg.py": PKG,
    **source("src/one.py", "src/two.txt", "src/.dot", "src/x.pyc", "src/sub/one.py", "src/sub/x.pyc",
             "src/sub/.dot", "src/sub/deep/two.txt", "src/__pycache__/c.py", "src/sub/__pycache__/c.py",
             "src/.hid/a.py", "src/vendor/old/a.py", "src/vendor/older/a.py", "src/sub/vendor/old/a.py",
             "other/one.py", "other/three.py", "LICENSE", "web/main.ts", "extra_name/e.py", "tools/t.py"),
    "src/run.sh": Exec(b"#!/bin/sh\n"),
    "linked/folder": Link("../src/sub/deep"),
    "linked/file.py": Link("../src/one.py"),
}
SRC = sorted(path for path in TREE if path.startswith("src/"))


def content_of(path):
    content = TREE[path]
    if isinstance(content, Link):
        return content_of(os.path.normpath(os.path.join(os.path.dirname(path), content)))
    return (content.encode(), False) if isinstance(content, str) else (bytes(content), True)


def recipe(*rules, **addon):
    """The text of a recipe for one addon."""
    said = {"name": "tools", "version": {"file": "pkg.py", "variable": "version"}, "rules": list(rules)}
    said.update(addon)
    return json.dumps({"addonfs_recipe": 1, "addons": [{k: v for k, v in said.items() if v is not None}]})


@pytest.fixture
def shown(folder, fuse):
    """Mount the tree by this recipe, given in one of three ways."""
    @contextlib.contextmanager
    def show(text, way, files=TREE, options=()):
        repo = Repository(folder / "source", {**files, **({} if way == "option" else {"addonfs.json": text})})
        (folder / "recipe.json").write_text(text)
        given = {"own": [], "option": [f"recipe={folder / 'recipe.json'}"], "commit": ["rev=HEAD"]}[way]
        with mounted(repo.path, folder / "mnt", ",".join([*given, *options])) as mnt:
            yield repo, mnt
    return show


def place(mnt, addon="tools", version="1.2.3"):
    return mnt / "package" / addon / version


def text(found):
    return {path.decode(): content for path, content in found.items()}


def files_of(mnt, *where):
    return text(oracle.read_folder(place(mnt, *where)))


def members_of(path):
    return text(oracle.read_zip(path.read_bytes(), modes=True))


def expected(paths):
    """destination -> (bytes, executable); of a source path its content, of bytes themselves."""
    return {to: (said, False) if isinstance(said, bytes) else content_of(said) for to, said in paths.items()}


def fails(call, *arguments):
    with pytest.raises(OSError) as failure:
        call(*arguments)
    assert failure.value.errno == errno.EIO, failure.value


# --- Rules: what each key does -------------------------------------------------------------------


def below(prefix, *paths, start="src/"):
    return {(prefix + "/" if prefix else "") + path: start + path for path in paths}


def tree(**more):
    return {"source": "src/", "destination": "s", **more}


ALL = [path.removeprefix("src/") for path in SRC]
WALK = [path for path in ALL if not re.search(r"(^|/)(\.|__pycache__/)|\.pyc$", path)]
NO_FOLDERS = [path for path in ALL if not re.search(r"(^|/)(\.[^/]*|__pycache__)/", path)]
ONE = {"source": "src/one.py", "destination": "one.py"}

RULES = {
    "a file": ([ONE], {"one.py": "src/one.py"}),
    "a file under another name, in a folder": (
        [{**ONE, "destination": "a/b/other.txt"}], {"a/b/other.txt": "src/one.py"}),
    "an executable file": ([{"source": "src/run.sh", "destination": "run"}], {"run": "src/run.sh"}),
    "a folder's content": ([tree()], below("s", *ALL)),
    "a folder's content in the package's root": ([tree(destination="")], below("", *ALL)),
    "two folders that become one": (
        [tree(source="src/sub/deep/"), tree(source="src/vendor/old/")],
        {"s/two.txt": "src/sub/deep/two.txt", "s/a.py": "src/vendor/old/a.py"}),
    "exclude: walk": ([tree(exclude="walk")], below("s", *WALK)),
    "exclude: walk folders": ([tree(exclude="walk folders")], below("s", *NO_FOLDERS)),
    "exclude: files": (
        [tree(exclude={"files": ["*.py", "two.*"]})],
        below("s", *[p for p in ALL if not p.endswith(".py") and not p.endswith("two.txt")])),
    "exclude: folders": (
        [tree(exclude={"folders": ["sub", ".*", "old?*", "__*"]})],
        below("s", *[p for p in NO_FOLDERS if not p.startswith(("sub/", "vendor/older"))])),
    "exclude: nothing": ([tree(exclude={})], below("s", *ALL)),
    "exclude_top alone: files": (
        [tree(exclude_top={"files": ["*"]})], below("s", *[p for p in ALL if "/" in p])),
    "exclude_top alone: folders": (
        [tree(exclude_top={"folders": ["*"]})], below("s", *[p for p in ALL if "/" not in p])),
    "exclude_top beside exclude": (
        [tree(exclude="walk", exclude_top="walk folders")],
        below("s", *WALK, *[p for p in ALL if "/" not in p and p not in WALK])),
    "include": ([tree(include=["*.py"])], below("s", *[p for p in ALL if p.endswith(".py")])),
    "include, and exclude of these": (
        [tree(include=["*.py", ".dot"], exclude="walk")], below("s", *[p for p in WALK if p.endswith(".py")])),
    "include of nothing": ([ONE, tree(include=[])], {"one.py": "src/one.py"}),
    "without: sub-trees and files of these paths alone": (
        [tree(without=["vendor/old", "sub/deep", "one.py", "two"])],
        below("s", *[p for p in ALL if not p.startswith(("vendor/old/", "sub/deep/")) and p != "one.py"])),
    "optional and there": ([{**ONE, "optional": True}], {"one.py": "src/one.py"}),
    "optional and not there": (
        [ONE, {"source": "none.py", "destination": "none.py", "optional": True},
         {"source": "none/", "destination": "none", "optional": True},
         {"source": "pkg.py/none", "destination": "none", "optional": True},
         {"source": "none/", "zip": "none.zip", "destination": "", "optional": True}],
        {"one.py": "src/one.py"}),
    "priority: the higher one wins, whichever stands first": (
        [{**ONE, "priority": 1}, {"source": "LICENSE", "destination": "one.py"},
         {"source": "LICENSE", "destination": "two", "priority": -100},
         {"source": "src/one.py", "destination": "two", "priority": -99},
         {"source": "LICENSE", "destination": "three", "priority": 99},
         {"source": "src/one.py", "destination": "three", "priority": 100}],
        {name: "src/one.py" for name in ("one.py", "two", "three")}),
    "priority: of single files in two folders": (
        [tree(include=["one.py"]), tree(source="other/", priority=1)],
        {"s/one.py": "other/one.py", "s/three.py": "other/three.py", "s/sub/one.py": "src/sub/one.py"}),
    "linked folders and files are followed": (
        [tree(source="linked/")], {"s/folder/two.txt": "src/sub/deep/two.txt", "s/file.py": "src/one.py"}),
    "linked_folders: false": (
        [tree(source="linked/", linked_folders=False)], {"s/file.py": "src/one.py"}),
    "license": ([ONE, {"source": "LICENSE", "destination": "LICENSE", "license": True}],
                {"one.py": "src/one.py", "LICENSE": "LICENSE"}),
    "text": ([{"text": "", "destination": "empty"}, {"text": "Grüße\n{} {x y}", "destination": "a/text"}],
             {"empty": b"", "a/text": "Grüße\n{} {x y}".encode()}),
    "text with variables": (
        [{"text": "{name}-{version}, {extra}{{name}}", "destination": "{name}/{version}/{extra}.txt"}],
        {"tools/1.2.3/extra_name.txt": b"tools-1.2.3, extra_name{tools}"}),
    "text that replaces, and one that would if the file were there": (
        [ONE, {"text": "new\n", "replaces": "src/one.py", "destination": "one.py", "priority": 1},
         {"text": "not made", "replaces": "src/none.py", "destination": "none.py"}],
        {"one.py": b"new\n"}),
    "text that replaces an executable file is none": (
        [{"text": "new\n", "replaces": "src/run.sh", "destination": "run"}], {"run": b"new\n"}),
    "variables in source and destination": (
        [{"source": "{extra}/", "destination": "{name}"}, {"source": "{name}/t.py", "destination": "{extra}.py"}],
        {"tools/e.py": "extra_name/e.py", "extra_name.py": "tools/t.py"}),
    "a variable that is unset: the rule does nothing": (
        [ONE, {"source": "src/{unset}/", "destination": "s"}, {"source": "src/", "destination": "{none}"},
         {"text": "{none}", "destination": "text"}, {"source": "src/", "zip": "{unset}.zip", "destination": ""}],
        {"one.py": "src/one.py"}),
}
VARIABLES = {name: {"file": "pkg.py", "variable": variable} for name, variable in
             (("extra", "extra"), ("none", "nothing"), ("unset", "not_there"))}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", RULES)
def test_a_rule_does_what_the_readme_says(shown, case, way):
    rules, paths = RULES[case]
    with shown(recipe(*rules, variables=VARIABLES), way) as (_, mnt):
        assert files_of(mnt) == expected(paths)
        assert status(mnt)["layout"] == "recipe" and status(mnt)["problems"] == []


@pytest.mark.parametrize("case", RULES)
def test_a_rule_does_the_same_in_a_zip(shown, case):
    rules, paths = RULES[case]
    zipped = [{"zip": "private/{name}.zip", **rule} for rule in rules]
    with shown(recipe(*zipped, variables=VARIABLES), "own") as (_, mnt):
        found = files_of(mnt)
        found.pop("none.zip", None)
        assert list(found) == ["private/tools.zip"]
        assert members_of(place(mnt) / "private/tools.zip") == expected(paths)
        assert status(mnt)["problems"] == []


def test_several_zips_and_files_beside_them(shown):
    rules = [{**tree(exclude="walk"), "zip": "a.zip"}, {**tree(source="other/", destination=""), "zip": "b/b.zip"},
             {"text": "{version}", "zip": "a.zip", "destination": "v"}, tree(source="other/", destination="b")]
    with shown(recipe(*rules), "own") as (_, mnt):
        assert members_of(place(mnt) / "a.zip") == expected({**below("s", *WALK), "v": b"1.2.3"})
        assert members_of(place(mnt) / "b/b.zip") == expected(below("", "one.py", "three.py", start="other/"))
        assert sorted(files_of(mnt)) == ["a.zip", "b/b.zip", "b/one.py", "b/three.py"]


def test_empty_folders_are_kept_where_the_recipe_says_so(shown):
    rules = [{"source": "src/sub/", "destination": "kept", "empty_folders": True},
             {"source": "src/sub/", "destination": "dropped", "empty_folders": False},
             {"source": "hollow/", "destination": "hollow", "empty_folders": True},
             {"source": "hollow/", "destination": "no_hollow"}]
    with shown(recipe(*rules), "own", {**TREE, "hollow/x": ""}) as (repo, mnt):
        (repo.path / "hollow/x").unlink()
        (repo.path / "src/sub/empty/deeper").mkdir(parents=True)
        assert os.listdir(place(mnt) / "kept/empty/deeper") == [] == os.listdir(place(mnt) / "hollow")
        assert "empty" not in os.listdir(place(mnt) / "dropped")
        assert sorted(os.listdir(place(mnt))) == ["dropped", "hollow", "kept"]
        assert status(mnt)["problems"] == []


@pytest.mark.parametrize("way", WAYS)
def test_expected_with_warns_of_what_has_to_be_built(shown, way):
    rules = [ONE, {"source": "web/dist/", "destination": "dist", "optional": True, "expected_with": "web"},
             {"source": "more/dist/", "destination": "more", "optional": True, "expected_with": "more"}]
    with shown(recipe(*rules), way) as (repo, mnt):
        assert sorted(files_of(mnt)) == ["one.py"]
        [problem] = status(mnt)["problems"]
        assert problem["severity"] == "warning" and problem["path"] == "web" and "web/dist" in problem["reason"]
        if way != "commit":
            repo.write({"web/dist/x.js": "x"})
            assert sorted(files_of(mnt)) == ["dist/x.js", "one.py"] and status(mnt)["problems"] == []


@pytest.mark.parametrize("way", WAYS)
def test_rules_for_a_license_can_be_left_out(shown, way):
    rules = [ONE, {"source": "LICENSE", "destination": "LICENSE", "license": True},
             {"text": "{name}", "destination": "NOTICE", "license": True},
             {"source": "LICENSE", "destination": "COPYING", "license": False}]
    with shown(recipe(*rules), way, options=["license=no"]) as (_, mnt):
        assert sorted(files_of(mnt)) == ["COPYING", "one.py"]


@pytest.mark.parametrize("zipped", [{}, {"zip": "a.zip"}])
@pytest.mark.parametrize("priorities", [({}, {}), ({"priority": 100}, {"priority": 100}), ({}, {"priority": 0})])
def test_equal_priorities_are_a_problem_that_names_both(shown, priorities, zipped):
    rules = [{**ONE, **priorities[0], **zipped},
             {"source": "LICENSE", "destination": "one.py", **priorities[1], **zipped}]
    with shown(recipe(*rules, tree(source="other/")), "own") as (_, mnt):
        fails((place(mnt) / zipped.get("zip", "one.py")).read_bytes)
        assert (place(mnt) / "s/three.py").read_bytes() == content_of("other/three.py")[0]
        [problem] = errors(mnt)
        assert {"src/one.py", "LICENSE"} <= set(re.findall(r"[\w/.]+", problem["path"] + " " + problem["reason"]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rule", [{"source": "none.py", "destination": "x"}, {"source": "none/", "destination": "x"},
                                  {"source": "src", "destination": "x"}, {"source": "pkg.py/", "destination": "x"}])
def test_what_is_not_optional_and_not_there_fails_alone(shown, rule, way):
    with shown(recipe(ONE, rule), way) as (_, mnt):
        assert sorted(os.listdir(place(mnt))) == ["one.py", "x"]
        fails(open, place(mnt) / "x") if (place(mnt) / "x").is_file() else fails(os.listdir, place(mnt) / "x")
        assert (place(mnt) / "one.py").read_bytes() == content_of("src/one.py")[0]
        assert [p["path"] for p in errors(mnt)] == [rule["source"].rstrip("/")]


# --- Addons --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("said, addon, version", [
    ({"name": "other", "version": "4.5.6-rc.1"}, "other", "4.5.6-rc.1"),
    ({"name": {"file": "pkg.py", "variable": "extra"}}, "extra_name", "1.2.3"),
    ({"version": "{name}1"}, "tools", "tools1"),
    ({"variables": {"stem": "pkg"}, "version": {"file": "{stem}.py", "variable": "version"}}, "tools", "1.2.3"),
])
def test_name_and_version_are_texts_or_what_a_python_file_says(shown, said, addon, version, way):
    with shown(recipe(ONE, **said), way) as (_, mnt):
        assert os.listdir(mnt / "package") == [addon] and os.listdir(mnt / "package" / addon) == [version]
        assert [(a["name"], a["version"]) for a in status(mnt)["addons"]] == [(addon, version)]


FOLDERS = {**source("plugins/one/code.py", "plugins/two/code.py", "plugins/three/code.py", "plugins/a file",
                    "plugins/four/other.py"),
           **{f"plugins/{name}/about.py": f'v = "{number}.0"\n' for number, name in
              enumerate(["one", "two", "three", "four"], 1)}}


@pytest.mark.parametrize("way", WAYS)
def test_each_folder_is_an_addon_but_for_those_ignored_and_those_without_the_signs(shown, way):
    said = recipe({"source": "{folder}/code.py", "destination": "{dir}.py"}, folders="plugins/*", ignore=["two"],
                  signs={"files": ["{folder}/code.py"], "folders": ["plugins/{dir}"]}, name="p_{dir}",
                  version={"file": "{folder}/about.py", "variable": "v"})
    with shown(said, way, FOLDERS) as (repo, mnt):
        assert sorted(os.listdir(mnt / "package")) == ["p_one", "p_three"]
        assert files_of(mnt, "p_three", "3.0") == {"three.py": (b"# plugins/three/code.py\n", False)}
        if way != "commit":
            repo.write(source("plugins/four/code.py"))
            (repo.path / "plugins/one/code.py").unlink()
            assert sorted(os.listdir(mnt / "package")) == ["p_four", "p_three"]


def test_signs_at_the_top_level_are_those_of_the_whole_recipe(shown):
    said = json.loads(recipe(ONE))
    said["addons"].append({**said["addons"][0], "name": "second", "signs": {"folders": ["more"]}})
    said["signs"] = {"files": ["sign"]}
    with shown(json.dumps(said), "own", {**TREE, "sign": ""}) as (repo, mnt):
        assert os.listdir(mnt / "package") == ["tools"]
        repo.write({"more/x": ""})
        assert sorted(os.listdir(mnt / "package")) == ["second", "tools"]
        (repo.path / "sign").unlink()
        fails(os.listdir, mnt / "package")
        assert errors(mnt) and "signs" in errors(mnt)[0]["reason"]
        repo.write({"sign": ""})
        assert sorted(os.listdir(mnt / "package")) == ["second", "tools"] and errors(mnt) == []


@pytest.mark.parametrize("value", ["../x", "a b", ".x", "x/y"])
def test_a_variable_that_is_no_name_fails_the_addon(shown, value):
    said = recipe({"source": "src/", "destination": "{extra}"}, variables=VARIABLES)
    with shown(said, "own") as (repo, mnt):
        repo.write({"pkg.py": PKG.replace("extra_name", value)})
        fails(os.listdir, mnt / "package/tools")
        assert errors(mnt)[0]["path"] == "pkg.py"
        repo.write({"pkg.py": PKG})
        assert sorted(os.listdir(place(mnt))) == ["extra_name"]


@pytest.mark.parametrize("way", WAYS)
def test_a_text_needs_a_file_to_replace_or_a_version_that_a_file_says(shown, way):
    rules = [ONE, {"text": "{version}", "destination": "made"},
             {"text": "{version}", "replaces": "src/two.txt", "destination": "replaced"}]
    with shown(recipe(*rules, version="4.5.6"), way) as (_, mnt):
        assert (place(mnt, version="4.5.6") / "replaced").read_text() == "4.5.6"
        fails((place(mnt, version="4.5.6") / "made").read_bytes)
        assert [p["path"] for p in errors(mnt)] == ["made"] and "needs a file to replace" in errors(mnt)[0]["reason"]


@pytest.mark.parametrize("way", WAYS)
def test_client_names_the_zip_that_is_shown_unpacked(shown, way):
    rules = [{**tree(exclude="walk"), "zip": "lib/{name}.zip"}, {**tree(source="other/"), "zip": "other.zip"}]
    with shown(recipe(*rules, client="lib/{name}.zip"), way) as (_, mnt):
        assert os.listdir(mnt / "client") == ["tools_1.2.3"]
        assert text(oracle.read_folder(mnt / "client/tools_1.2.3")) == expected(below("s", *WALK)) \
            == members_of(place(mnt) / "lib/tools.zip")


@pytest.mark.parametrize("client", [None, "none.zip", "one.py"])
def test_without_such_a_zip_there_is_no_client_folder(shown, client):
    with shown(recipe(ONE, client=client), "own") as (_, mnt):
        assert os.listdir(mnt / "client") == [] and status(mnt)["problems"] == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("upload", [None, "root", "manifest", "prefixed"])
def test_upload_says_how_the_zip_for_the_server_is_made(shown, upload, way):
    rules = [ONE, {**tree(source="other/"), "zip": "private/o.zip"}]
    told = None if upload == "prefixed" else upload
    with shown(recipe(*rules, upload=told), way, options=["upload=prefixed"] * (upload == "prefixed")) as (_, mnt):
        assert os.listdir(mnt / "upload") == ["tools-1.2.3.zip"]
        found = members_of(mnt / "upload/tools-1.2.3.zip")
        package = files_of(mnt)
        if upload == "root":
            assert found == package
            return
        if upload != "prefixed":
            assert json.loads(found.pop("manifest.json")[0]) == {"addon_name": "tools", "addon_version": "1.2.3"}
        prefix = "tools/1.2.3/" if upload == "prefixed" else "addon/"
        assert found == {prefix + path: content for path, content in package.items()}


# --- What is wrong -------------------------------------------------------------------------------

RULE = json.dumps(ONE)
MORE = '{"addonfs_recipe": 1, "addons": [{"name": "tools", "version": "1.0.0", "rules": [%s], %s}]}'


def with_rule(**more):
    return recipe(ONE, {**ONE, "destination": "b", **more})


WRONG = {  # -> where it is told to be, and what is said to be allowed
    "an unknown key at the top": (
        '{"addonfs_recipe": 1, "addon": []}', "$.addon", "addonfs_recipe, signs, addons"),
    "an unknown key of an addon": (recipe(ONE, rule=[]), "$.addons[0].rule", "allowed are folders, ignore, signs"),
    "an unknown key of a rule": (with_rule(exlude="walk"), "$.addons[0].rules[1].exlude", "exclude_top, include"),
    "an unknown key of a text": (
        recipe({"text": "", "destination": "a", "optional": True}), "$.addons[0].rules[0].optional", "replaces"),
    "an unknown key of signs": (recipe(ONE, signs={"file": []}), "$.addons[0].signs.file", "files, folders"),
    "a wrong type": (with_rule(optional="true"), "$.addons[0].rules[1].optional", "true or false"),
    "a wrong type of a list": (with_rule(include="*.py"), "$.addons[0].rules[1].include", "a list of strings"),
    "a wrong type of a rule": (recipe(ONE, ["x"]), "$.addons[0].rules[1]", "an object"),
    "a wrong type of the whole": ("[]", "$", "an object"),
    "a missing name": (recipe(ONE, name=None), "$.addons[0].name", "missing"),
    "a missing version": (recipe(ONE, version=None), "$.addons[0].version", "missing"),
    "missing rules": (recipe(), "$.addons[0].rules", "a list of rules"),
    "a missing destination": (recipe({"source": "src/"}), "$.addons[0].rules[0].destination", "missing"),
    "missing addons": ('{"addonfs_recipe": 1}', "$.addons", "a list of addons"),
    "an absolute path": (with_rule(source="/etc/passwd"), "$.addons[0].rules[1].source", "a path from the root"),
    "a path that leaves the source": (
        with_rule(source="src/../../x"), "$.addons[0].rules[1].source", 'without ".."'),
    "a path that leaves the package": (with_rule(destination="../x"), "$.addons[0].rules[1].destination", '".."'),
    "a path into .git": (with_rule(source=".git/config"), "$.addons[0].rules[1].source", "Git's own names"),
    "a path of .git in the package": (with_rule(destination="a/.Git"), "$.addons[0].rules[1].destination", "Git's"),
    "an empty path": (with_rule(source=""), "$.addons[0].rules[1].source", "a path is expected"),
    "another version of the format": (
        recipe(ONE).replace('"addonfs_recipe": 1', '"addonfs_recipe": 2'), "$.addonfs_recipe", "which is 1"),
    "no version of the format": ('{"addons": []}', "$.addonfs_recipe", "which is 1"),
    "a priority out of range": (with_rule(priority=101), "$.addons[0].rules[1].priority", "-100 to 100"),
    "a priority between two": (with_rule(priority=0.5), "$.addons[0].rules[1].priority", "a whole number"),
    "an unknown variable": (with_rule(source="{nme}/x"), "$.addons[0].rules[1].source", "{name}"),
    "an unknown variable in a text": (
        recipe({"text": "{nme}", "destination": "x"}), "$.addons[0].rules[0].text", "{name}, {version}"),
    "an unknown way to upload": (recipe(ONE, upload="ftp"), "$.addons[0].upload", '"root" or "manifest"'),
    "a key that is there twice": (MORE % (RULE, '"name": "again"'), "$.addons[0].name", "twice"),
    "a NUL": (with_rule(source="src\0x"), 1, "NUL"),
    "no JSON": ('{\n"addonfs_recipe": 1,\n}', 3, "is not JSON"),
    "nothing": ("", 1, "is not JSON"),
    "something behind it": (recipe(ONE) + "\n\n{}", 3, "is not JSON"),
    "no UTF-8": ('{\n"\udce9": 1}', 2, "is not UTF-8"),
    "deep nesting": ("[" * 100000, 1, "is not JSON"),
    "too large": (recipe(ONE) + " " * (1 << 20), "", "larger than 1048576 bytes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_in_a_recipe_is_told_with_its_place(shown, folder, case):
    """By -o recipe= in one line, before anything is mounted; of addonfs.json as a problem, with EIO."""
    said, where, allowed = WRONG[case]
    with shown(recipe(ONE), "own") as (repo, mnt):
        (folder / "recipe.json").write_bytes(said.encode(errors="surrogateescape"))
        result = run("export", repo.path, folder / "out", "-o", f"recipe={folder / 'recipe.json'}")
        (repo.path / "addonfs.json").write_bytes((folder / "recipe.json").read_bytes())
        for part in ("package", "upload", "client"):
            fails(os.listdir, mnt / part)
        reason = errors(mnt)[0]["reason"]
        place_told = f":{where}: " if isinstance(where, int) else f": {where}: " if where else ": "
        assert reason.startswith(f"addonfs.json{place_told}") and allowed in reason, reason
        assert {a for p in errors(mnt) for a in p["affects"]} == {"package", "upload", "client"}
        repo.write({"addonfs.json": recipe(ONE)})
        assert files_of(mnt) == expected({"one.py": "src/one.py"}) and errors(mnt) == []
    line = result.stderr.decode()
    assert result.returncode == 1 and line.count("\n") == 1 and not (folder / "out").exists()
    assert f"recipe.json{place_told}" in line and (allowed in line or case == "too large"), line


@pytest.mark.parametrize("name, reason", [("none.json", "No such file"), ("", "is not a file")])
def test_a_recipe_that_cannot_be_read_ends_the_mount(repo, folder, fuse, name, reason):
    (folder / "mnt").mkdir()
    result = run("mount", repo.path, folder / "mnt", "-o", f"recipe={folder / name}")
    assert result.returncode == 1 and reason in result.stderr.decode() and result.stderr.count(b"\n") == 1
    assert run("mount", repo.path, folder / "mnt", "-o", "recipe=").returncode == 2


def test_a_source_whose_recipe_is_broken_is_refused(folder, fuse):
    repo = Repository(folder / "source", {**TREE, "addonfs.json": "{"})
    (folder / "mnt").mkdir()
    result = run("mount", repo.path, folder / "mnt")
    assert result.returncode == 1 and b"addonfs.json:1: is not JSON" in result.stderr
    result = run("export", repo.path, folder / "out")
    assert result.returncode == 1 and b"addonfs.json:1: is not JSON" in result.stderr


# --- addonfs.json is part of the source ----------------------------------------------------------


def test_an_edit_of_addonfs_json_shows_at_once(shown):
    with shown(recipe(ONE), "own") as (repo, mnt):
        with open(place(mnt) / "one.py", "rb") as held:
            for number in range(5):
                destination = f"moved{number}.py"
                repo.write({"addonfs.json": recipe({**ONE, "destination": destination})})
                assert files_of(mnt) == expected({destination: "src/one.py"})
            assert held.read() == content_of("src/one.py")[0]
        repo.write({"addonfs.json": recipe(ONE, name="renamed")})
        assert os.listdir(mnt / "package") == ["renamed"]
        repo.write({"addonfs.json": recipe(tree(exclude="walk"), version="2.0.0")})
        assert files_of(mnt, "tools", "2.0.0") == expected(below("s", *WALK))
        repo.write({"addonfs.json": recipe(tree(without=["sub"]), version="2.0.0")})
        assert files_of(mnt, "tools", "2.0.0") == expected(
            below("s", *[p for p in ALL if not p.startswith("sub/")]))


def test_addonfs_json_that_comes_and_goes_wins_over_the_layout_while_it_is_there(folder, fuse):
    repo = Repository(folder / "source", {**SAMPLES["a"], **TREE})
    with mounted(repo.path, folder / "mnt") as mnt:
        for _ in range(2):
            assert status(mnt)["layout"] == "a" and os.listdir(mnt / "package") == ["openpype"]
            repo.write({"addonfs.json": recipe(ONE)})
            assert os.listdir(mnt / "package") == ["tools"] and status(mnt)["layout"] == "recipe"
            (repo.path / "addonfs.json").unlink()
        assert oracle.compare_root(repo.path, mnt) == []


def test_addonfs_json_may_be_a_link_and_nothing_else(shown, folder):
    with shown(recipe(ONE), "own", {**TREE, "etc/recipe.json": recipe({**ONE, "destination": "linked.py"})}) \
            as (repo, mnt):
        repo.write({"addonfs.json": Link("etc/recipe.json")})
        assert files_of(mnt) == expected({"linked.py": "src/one.py"})
        repo.write({"etc/recipe.json": recipe({**ONE, "destination": "again.py"})})
        assert files_of(mnt) == expected({"again.py": "src/one.py"})
        for target in ("nowhere", str(folder / "recipe.json"), ".git/config", "addonfs.json"):
            repo.write({"addonfs.json": Link(target)})
            fails(os.listdir, mnt / "package")
            assert "addonfs.json" in errors(mnt)[0]["reason"]
        (repo.path / "addonfs.json").unlink()
        (repo.path / "addonfs.json").mkdir()
        fails(os.listdir, mnt / "package")
        (repo.path / "addonfs.json").rmdir()
        repo.write({"addonfs.json": recipe(ONE)})
        assert files_of(mnt) == expected({"one.py": "src/one.py"})


def test_every_commit_is_shown_by_its_own_recipe(shown, folder):
    with shown(recipe(ONE), "own") as (repo, mnt):
        commits = {repo.git("rev-parse", "HEAD").decode().strip(): "one.py"}
        for number in range(3):
            repo.write({"addonfs.json": recipe({**ONE, "destination": f"{number}.py"})})
            commits[repo.commit()] = f"{number}.py"
        repo.write({"addonfs.json": "{"})
        broken = repo.commit()
        repo.write({"addonfs.json": recipe({**ONE, "destination": "live.py"})})
        for commit, name in commits.items():
            assert files_of(mnt / "commits" / commit) == expected({name: "src/one.py"})
        fails(os.listdir, mnt / "commits" / broken / "package")
        assert files_of(mnt) == files_of(mnt / "snapshots/current") == expected({"live.py": "src/one.py"})
        with mounted(repo.path, folder / "other", f"rev={broken}~1") as other:
            assert files_of(other) == expected({"2.py": "src/one.py"})


def test_the_recipe_of_the_option_is_for_every_commit_and_is_read_once(shown, folder):
    with shown(recipe(ONE), "option") as (repo, mnt):
        repo.write({"addonfs.json": "{"})
        commit = repo.commit()
        (folder / "recipe.json").write_text("{")
        for root in (mnt, mnt / "commits" / commit, mnt / "snapshots/current"):
            assert files_of(root) == expected({"one.py": "src/one.py"})
        assert errors(mnt) == []


@pytest.mark.parametrize("options", ["layout=a", "layout=a,rev=HEAD"])
def test_the_option_layout_overrides_the_sources_recipe(folder, fuse, options):
    repo = Repository(folder / "source", {**SAMPLES["a"], **TREE, "addonfs.json": recipe(ONE)})
    clean = repo.checkout(folder / "clean")
    with mounted(repo.path, folder / "mnt", options) as mnt:
        assert status(mnt)["layout"] == "a"
        assert oracle.compare_root(clean if "rev" in options else repo.path, mnt, layout="a") == []


@pytest.mark.parametrize("order", [("layout=a", "recipe={}"), ("recipe={}", "layout=a")])
@pytest.mark.parametrize("apart", [False, True])
def test_layout_and_recipe_exclude_each_other(repo, folder, program, order, apart):
    path = folder / "recipe.json"
    path.write_text(recipe(ONE))
    options = [option.format(path) for option in order]
    given = ["-o", options[0], "-o", options[1]] if apart else ["-o", ",".join(options)]
    result = run("export", repo.path, folder / "out", *given)
    assert result.returncode == 2 and not (folder / "out").exists()
    assert result.stderr.decode() == f"addonfs: option layout=a beside recipe={path}: give one of them\n"


# --- The recipes that we ship and show -----------------------------------------------------------


@pytest.mark.parametrize("layout, options", [(layout, options) for layout in "abcd" for options in ("", "rev=HEAD")])
def test_a_known_layout_as_a_recipe_gives_the_same_bytes(folder, fuse, layout, options):
    repo = Repository(folder / "source", SAMPLES[layout])
    roots = []
    for number, way in enumerate((f"layout={layout}", f"recipe={TOP / 'core/layouts' / layout}.json")):
        with mounted(repo.path, folder / "mnt", ",".join(filter(None, [way, options]))) as mnt:
            roots.append({part: oracle.read_folder(mnt / part) for part in ("package", "upload", "client")})
            assert os.listdir(mnt / "package") and status(mnt)["problems"] == []
            assert status(mnt)["layout"] == (layout if number == 0 else "recipe")
    assert roots[0] == roots[1]


def test_the_recipe_of_the_readme_makes_what_it_says(shown):
    readme = (TOP / "README.md").read_text()
    [said] = re.findall(r"^```json\n(.*?)^```$", readme, re.M | re.S)
    files = {"src/tools/__init__.py": '__version__ = "2.0.1"\n',
             **source("addon/package.py", "addon/server/__init__.py", "addon/server/.hidden", "src/tools/lib.py",
                      "src/tools/tests/test.py", "src/tools/vendor/old/x.py", "src/tools/vendor/new/x.py",
                      "src/tools/sub/tests/kept.py", "doc/index.html", "doc/img/a.png", "doc/notes.txt")}
    with shown(said, "own", files) as (repo, mnt):
        assert sorted(files_of(mnt, "tools", "2.0.1")) == [
            "package.py", "private/client.zip", "public/doc/img/a.png", "public/doc/index.html", "server/__init__.py"]
        members = members_of(place(mnt, "tools", "2.0.1") / "private/client.zip")
        assert sorted(members) == ["tools/__init__.py", "tools/_version.py", "tools/lib.py",
                                   "tools/sub/tests/kept.py", "tools/vendor/new/x.py"]
        assert members["tools/_version.py"] == (b"VERSION = '2.0.1'\n", False)
        assert text(oracle.read_folder(mnt / "client/tools_2.0.1")) == members
        assert members_of(mnt / "upload/tools-2.0.1.zip") == files_of(mnt, "tools", "2.0.1")
        assert errors(mnt) == []
        repo.write({"src/tools/_version.py": "loses"})
        assert members_of(place(mnt, "tools", "2.0.1") / "private/client.zip")["tools/_version.py"][0] == \
            b"VERSION = '2.0.1'\n"


def test_every_key_of_the_readme_is_one_that_a_recipe_may_have(shown):
    """And the other way round: what the program says is allowed stands in the README."""
    readme = (TOP / "README.md").read_text()
    texts = {"text", "replaces"}
    for table, said, others in (("addons", recipe(ONE, nix=1), set()), ("rules", with_rule(nix=1), texts)):
        rows = readme.partition(f"| in `{table}[]` | |\n")[2].partition("\n\n")[0].splitlines()[1:]
        keys = {key for row in rows for key in re.findall(r"`(\w+)`", row.split("|")[1])} - others
        with shown(recipe(ONE), "own") as (repo, mnt):
            repo.write({"addonfs.json": said})
            allowed = set(errors(mnt)[0]["reason"].partition("allowed are ")[2].split(", "))
        assert keys <= allowed <= {key for row in rows for key in re.findall(r"`(\w+)`", row)}
