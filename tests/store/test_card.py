"""The card: what `load_dataset` and a reader make of it."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
import yaml

import shiftbench as sb
from shiftbench.store.card import _said, cell


def build(folder: Path, lines: list[str], **options) -> sb.Benchmark:
    folder.mkdir()
    (folder / "t.csv").write_text("\n".join(["label,tags,age", *lines]), "utf-8")
    source = sb.sources.ImageTable(str(folder / "t.csv"), tags_separator="¦")
    builder = sb.builders.MetaShift(source, **{"min_size": 1, "min_subsets": 1, **options})
    return sb.build(builder, folder / "out")


def front(bench: sb.Benchmark) -> dict:
    return yaml.safe_load(Path(bench.url, "README.md").read_text("utf-8").split("---\n")[1])


def test_other_metadata_are_not_taken_for_those_that_are_cached(tmp_path: Path) -> None:
    benches = [build(tmp_path / age, [f"cat,sofa,{age}"]) for age in ("1", "2")]
    assert benches[0].digest == benches[1].digest
    assert [b.load("examples", "train")["age"][0] for b in benches] == [1, 2]
    configs = [{c["config_name"]: c["description"] for c in front(b)["configs"]} for b in benches]
    assert configs[0]["examples"] != configs[1]["examples"]
    assert configs[0]["subsets"] == configs[1]["subsets"]


NASTY = [
    "<script>alert(1)</script>", "<!--", "a|b", "`x`", "[l](http://x)", "# h", "*s*",
    "_u_", "~~d~~",    "a(b", "a/b", "it's \"q\"", "null", "true", "1", "-", ": x", "&lt;", "\\n",
    "\x1b[31m", "\u202er",    "x" * 2000, "\u732b", "e\u0301",
]  # fmt: skip


def test_names_are_not_read_as_markup(tmp_path: Path) -> None:
    quoted = [f'"{n.replace(chr(34), 2 * chr(34))}"' for n in NASTY]
    lines = [f"cat,{q},{i}" for i, q in enumerate(quoted)] + [f"{q},sofa,1" for q in quoted]
    lines += [f"dog,{q},{i}" for i, q in enumerate(quoted)]
    half = len(NASTY) // 2
    task = sb.builders.DomainGeneralization(
        name="T <b>|`x`\n# y",
        train={"cat(<i>|\n#`)": NASTY[:half], "dog(h)": NASTY[:half]},
        test={"<i>a|b</i>": {"cat(t)": NASTY[half:], "dog(t)": NASTY[half:]}},
    )
    bench = build(tmp_path / "nasty", lines, tasks=[task])
    bench.verify()
    assert next(c["config_name"] for c in front(bench)["configs"]) == "t_b_x_y"
    body = Path(bench.url, "README.md").read_text("utf-8").split("---\n", 2)[2]
    body = body.split("```toml")[0]
    assert "<" not in body
    assert [x for x in body.splitlines() if x.startswith("#") and "#`" in x] == []
    for line in body.splitlines():
        if line.startswith("| t_b_x_y"):
            assert line.count("|") in (8, 9, 10, 11, 12)
    for row in bench.subsets:
        assert len(bench.members(row["subset"])) == row["size"]
    assert set(NASTY) <= set(bench.load("examples", "train").features["label"].feature.names)


@pytest.mark.parametrize("name", NASTY)
def test_a_cell_shows_the_name(name: str) -> None:
    assert html.unescape(cell(name)) == " ".join(name.split())


def test_counts_are_whole_and_shares_short() -> None:
    assert [_said(n) for n in (12345, 0.123456)] == ["12345", "0.1235"]


def test_notes_inside_notes_are_words() -> None:
    note = {"A": {"kept": 3, "share": 0.25, "left out": [], "on": ["view", "age"]}, "B": 2}
    assert _said(note) == "A: (kept: 3, share: 0.25, on: view, age), B: 2"
    assert _said(["two words", "three more words"]) == "two words; three more words"
