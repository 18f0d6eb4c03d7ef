"""The command line in a process of its own: what it prints, how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import shiftbench as sb
from shiftbench.errors import ConfigurationError
from shiftbench.recipe import read_recipe

SMALL = [
    "--source", "scenes", "--n-scenes", "200", "--size", "32", "--min-size", "3",
    "--min-subsets", "2",
]  # fmt: skip


def run(*words, cwd=None, code=0, env=None):
    result = subprocess.run(
        [sys.executable, "-m", "shiftbench.cli", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=env,
        check=False,
    )
    assert result.returncode == code, (result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "bench"
    said = run("build", "metashift", *SMALL, "--preset", "cat_dog_1", "--fit", "--out", out)
    return out, said


def test_build_prints_what_was_built(built):
    out, said = built
    assert f"built {out}" in said.stdout
    assert sb.open(out).digest in said.stdout
    assert said.stderr == ""


def test_verify_and_info(built):
    out, _ = built
    assert "as they were written" in run("verify", out).stdout
    text = run("info", out).stdout
    assert "cat_dog_1" in text
    assert "subsets of 2 classes" in text
    found = json.loads(run("info", out, "--json").stdout)
    assert found["digest"] == sb.open(out).digest
    assert found["configs"]["cat_dog_1"]["splits"]["train"]["role"] == "train"


def test_a_recipe_rebuilds_the_same(built, tmp_path):
    out, _ = built
    recipe = run("info", out, "--recipe").stdout
    (tmp_path / "recipe.toml").write_text(recipe, "utf-8")
    run("build", "recipe.toml", "--out", "again", cwd=tmp_path)
    assert sb.open(tmp_path / "again").digest == sb.open(out).digest


def test_nested_tasks_and_merges_in_a_recipe(tmp_path):
    (tmp_path / "r.toml").write_text(
        """
        builder = "metashift"
        seed = 3
        [source]
        name = "scenes"
        n_scenes = 300
        size = 32
        [options]
        classes = ["cat", "dog"]
        min_size = 3
        [options.merge]
        "cat(home)" = ["sofa", "bed"]
        [[options.tasks]]
        kind = "DomainGeneralization"
        name = "My task"
        [options.tasks.train]
        "cat(sofa)" = ["sofa"]
        "dog(bed)" = ["bed"]
        [options.tasks.test.Outside]
        "cat(grass)" = ["grass"]
        "dog(grass)" = ["grass"]
        """,
        "utf-8",
    )
    run("build", "r.toml", "--out", "b", cwd=tmp_path)
    bench = sb.open(tmp_path / "b")
    assert bench.splits("my_task") == ["train", "validation", "id_test", "ood_test"]
    assert bench.manifest.configs["my_task"].splits["ood_test"].title == "Outside"
    assert bench.manifest.seed == 3
    assert bench.members("cat(home)")
    text = run("info", "b", "--recipe", cwd=tmp_path).stdout
    (tmp_path / "again.toml").write_text(text, "utf-8")
    run("build", "again.toml", "--out", "c", cwd=tmp_path)
    assert sb.open(tmp_path / "c").digest == bench.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("builder = 'metashift'", "needs `builder"),
        ("builder = 'metashif'\n[source]\nname='scenes'", "did you mean 'metashift'"),
        ("builder = 'metashift'\n[source]\nname='scene'", "'scenes'"),
        ("builder = 'metashift'\n[source]\nname='scenes'\nsice=3", "did you mean 'size'"),
        ("builder = 'metashift'\n[source]\nname='scenes'\nsize='big'", "Expected `int`"),
        ("builder = 'metashift'\n[source]\nname='scenes'\n[options]\nmin_size=2.5", "min_size"),
        ("builder = 'metashift'\n[source]\nname='coco'", "needs instances"),
        ("buil", "no TOML"),
        ("builder = 'metashift'\nextra = 1\n[source]\nname='scenes'", "extra"),
        ("builder = 'metashift'\n[source]\nname='scenes'\n[[options.tasks]]\nkind='X'", "'X'"),
    ],
)
def test_wrong_recipes_are_one_clear_line(tmp_path, text, said):
    (tmp_path / "r.toml").write_text(text, "utf-8")
    result = run("build", "r.toml", "--out", "b", cwd=tmp_path, code=1)
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["bild"], 2, "Did you mean"),
        (["build"], 2, "Usage"),
        (["build", "metashift"], 2, "Usage"),
        (["build", "metashft", "--source", "scenes", "--out", "x"], 1, "did you mean 'metashift'"),
        (["build", "metashift", "--source", "scens", "--out", "x"], 1, "did you mean 'scenes'"),
        (["build", "metashift", "--source", "scenes"], 2, "--out"),
        (["build", "metashift", *SMALL, "--min-size", "x", "--out", "x"], 2, "min-size"),
        (["build", "metashift", *SMALL, "--no-such", "1", "--out", "x"], 2, "no-such"),
        (["build", "metashift", *SMALL, "--classes", "cta", "--out", "x"], 1, "'cat'"),
        (
            ["build", "metashift", "--source", "scenes", "--min-size", "9999", "--out", "x"],
            1,
            "largest",
        ),
        (["build", "metashift", *SMALL, "--tasks", "cat_dog_7", "--out", "x"], 1, "cat_dog_1"),
        (["build", "no.toml", "--out", "x"], 1, "No such file"),
        (["info", "nowhere"], 1, "no folder"),
        (["verify", "."], 1, "no benchmark directory"),
    ],
)
def test_wrong_usage_is_one_clear_line(tmp_path, words, code, said):
    result = run(*words, cwd=tmp_path, code=code)
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["list"],
        ["build", "--help"],
        ["build", "metashift", "--help"],
        *(
            ["build", "metashift", "--source", s, "--help"]
            for s in ("scenes", "coco", "scene_graphs", "subset_index", "images")
        ),
        ["info", "--help"],
        ["demo", "--help"],
    ],
    ids=" ".join,
)
def test_help_is_there(words):
    assert run(*words).stdout.strip()


def test_list_as_json_names_every_registered_thing():
    from shiftbench.registry import SOURCES, TRANSFORMS, builders

    found = json.loads(run("list", "--json").stdout)
    assert set(found["changes"]) == set(TRANSFORMS)
    assert set(found["builders"]) == set(builders())
    assert set(found["sources"]) == set(SOURCES)
    assert "cat_dog" in found["builders"]["metashift"]["presets"]


def test_the_demo(tmp_path):
    said = run("demo", "--out", tmp_path / "demo").stdout
    assert 10 <= said.count("\n") <= 40
    bench = sb.open(tmp_path / "demo" / "metashift")
    assert bench.digest in said
    xray = sb.open(tmp_path / "demo" / "xray")
    assert xray.digest in said
    assert sum(c.kind == "task" for c in xray.manifest.configs.values()) == 5
    assert [c for c in bench.configs if c.startswith("cat_dog")] == [
        "cat_dog_1", "cat_dog_2", "cat_dog_3", "cat_dog_4", "cat_dog_indoor_outdoor",
    ]  # fmt: skip


def test_graph_needs_the_extra_or_draws(built, tmp_path):
    pytest.importorskip("altair")
    out, _ = built
    run("info", out, "--graph", "g.svg", "--classes", "cat", "--thumbnails", cwd=tmp_path)
    assert (tmp_path / "g.svg").read_text("utf-8").startswith("<svg")
    assert ".svg, .png" in run("info", out, "--graph", "g.gif", cwd=tmp_path, code=1).stderr
    assert (
        "did you mean 'cat'"
        in run("info", out, "--graph", "g.svg", "--classes", "caat", cwd=tmp_path, code=1).stderr
    )


def test_a_file_that_is_called_like_a_builder_is_in_nobodys_way(tmp_path):
    (tmp_path / "metashift").touch()
    run("build", "metashift", *SMALL, "--out", "out", cwd=tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('source = "scenes"', "a table [source] is needed"),
        ('options = "x"\n[source]\nname = "scenes"', "a table [options] is needed"),
        ('seed = true\n[source]\nname = "scenes"', "seed is True"),
        ('[source]\nname = "scenes"\n[options]\ntasks = 3', "tasks is 3"),
        ('[source]\nname = "scenes"\n[options]\ntasks = "cat_dog_1"', "give a list of names"),
        ('[source]\nname = "scenes"\n[options]\ntasks = [3]', "tasks hold 3"),
        ('[source]\nname = "scenes"\n[options.merge]\n"cat(x)" = "sofa"', "a list of contexts"),
        (
            '[source]\nname = "scenes"\n[[options.tasks]]\nkind = "SubpopulationShift"\n'
            "n_minorty = 3",
            "did you mean 'n_minority'",
        ),
    ],
)
def test_recipes_that_cannot_be(tmp_path, change, said):
    path = tmp_path / "recipe.toml"
    path.write_text(f'builder = "metashift"\n{change}\n', "utf-8")
    with pytest.raises(ConfigurationError) as told:
        read_recipe(path)
    assert said in str(told.value)


def test_info_shows_names_and_lets_them_do_nothing(tmp_path):
    (tmp_path / "t.csv").write_text("label,tags\ncat,\x1b[31mred\ncat,\u202etfel\n", "utf-8")
    run(
        "build", "metashift", "--source", "images", "--table", "t.csv", "--tags-separator", ";",
        "--min-size", 1, "--min-subsets", 1, "--out", "out", cwd=tmp_path,
    )  # fmt: skip
    said = run("info", "out", cwd=tmp_path).stdout
    assert "\\x1b[31mred" in said
    assert all(c.isprintable() or c == "\n" for c in said)
    told = run("info", "no\x1b[31m", cwd=tmp_path, code=1).stderr
    assert "\x1b" not in told


def test_info_prints_in_any_encoding(built):
    out, _ = built
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    run("info", out, env=environment)


def test_a_picture_that_cannot_be_written(built, tmp_path):
    pytest.importorskip("altair", reason="needs the extra 'report'")
    out, _ = built
    told = run("info", out, "--graph", tmp_path / "none" / "x.svg", code=1).stderr
    assert "cannot write" in told
    assert "--graph FILE" in run("info", out, "--classes", "cat", code=1).stderr
