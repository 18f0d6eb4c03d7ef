"""The README's commands on real files: COCO photographs and the published MetaShift index."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import pytest

import shiftbench as sb
from shiftbench.sources.subset_index import parse_subset_name


def run(*words):
    result = subprocess.run(
        [sys.executable, "-m", "shiftbench.cli", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def literal_coco_subsets(instances, min_size, min_subsets):
    """Plain Python: sets of image ids by class and another category in the image."""
    names = {c["id"]: c["name"] for c in instances["categories"]}
    seen: dict[int, set[str]] = {}
    for annotation in instances["annotations"]:
        seen.setdefault(annotation["image_id"], set()).add(names[annotation["category_id"]])
    subsets: dict[tuple[str, str], set[str]] = {}
    for image, categories in seen.items():
        for a in categories:
            for b in categories - {a}:
                subsets.setdefault((a, b), set()).add(str(image))
    large = {k: v for k, v in subsets.items() if len(v) >= min_size}
    of_class = [a for a, _ in large]
    return {
        f"{a}({b})": sorted(v) for (a, b), v in large.items() if of_class.count(a) >= min_subsets
    }


@pytest.fixture(scope="module")
def coco(shared_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("coco") / "bench"
    run(
        "build", "metashift", "--source", "coco",
        "--instances", shared_data / "coco" / "instances.json",
        "--images", shared_data / "coco" / "images",
        "--captions", shared_data / "coco" / "captions_val2017.json.gz",
        "--min-size", 3, "--min-subsets", 2, "--n-jobs", 2, "--out", out,
    )  # fmt: skip
    return out


def test_coco_subsets_are_those_of_plain_sets(coco, shared_data):
    instances = json.loads((shared_data / "coco" / "instances.json").read_text("utf-8"))
    bench = sb.open(coco)
    expected = literal_coco_subsets(instances, 3, 2)
    assert {s["subset"]: bench.members(s["subset"]) for s in bench.subsets} == expected
    assert len(bench.load("images", "train")) == len({i for v in expected.values() for i in v})


def test_coco_bytes_licences_and_attribution_are_those_of_the_files(coco, shared_data):
    instances = json.loads((shared_data / "coco" / "instances.json").read_text("utf-8"))
    by_id = {str(i["id"]): i for i in instances["images"]}
    for row in sb.open(coco).table("images").to_pylist():
        image = by_id[row["example_id"]]
        path = shared_data / "coco" / "images" / image["file_name"]
        assert row["image"]["bytes"] == path.read_bytes()
        assert row["attribution"] == image["flickr_url"]
        assert row["license"]
    assert "as they were written" in run("verify", coco)


def test_the_published_index_has_the_published_counts(shared_data, tmp_path):
    digests = set()
    for name in ("attribute_subsets.pkl", "attribute_subsets.json.gz"):
        out = tmp_path / name
        run(
            "build", "metashift", "--source", "subset_index",
            "--index", shared_data / "metashift" / name, "--kind", "attribute",
            "--min-size", 1, "--min-subsets", 1, "--out", out,
        )  # fmt: skip
        bench = sb.open(out)
        digests.add(bench.digest)
        subsets = bench.table("subsets").to_pylist()
        assert len(subsets) == 2877
        assert len({s["class"] for s in subsets}) == 193
        assert len(bench.membership) == sum(s["size"] for s in subsets) == 107_849
        assert bench.manifest.configs["examples"].splits["train"].rows == 49_970
    assert len(digests) == 1


def test_the_published_names_parse_to_the_published_counts(shared_data):
    with gzip.open(shared_data / "metashift" / "subset_names.json.gz") as file:
        names = json.load(file)
    pairs = {parse_subset_name(n) for n in names}
    assert len(names) == len(pairs) == 17_938
    assert len({s for s, _ in pairs}) == 921
    assert len({c for _, c in pairs}) == 835
    assert sum((c, s) not in pairs for s, c in pairs) == 3_069
    assert sum(s == c for s, c in pairs) == 11
