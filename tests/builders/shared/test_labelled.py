"""Which examples have one class, and what becomes of the column that told it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shiftbench.builders.shared.changed import MARK
from shiftbench.builders.shared.labelled import labelled
from shiftbench.errors import ConfigurationError
from shiftbench.sources.images import ImageTable

from .made_sources import metadata


def test_the_label_is_taken_out_of_the_data() -> None:
    made = metadata(4, {"kind": ["b", "a", None, "b"], "x": [1, 2, 3, 4]}, content=("kind", "x"))
    found = labelled(made, "kind")
    assert found.label.names == ("a", "b")
    assert found.label.codes.tolist() == [1, 0, 1]
    assert "kind" not in found.examples.column_names
    assert found.metadata.columns == ("x",)
    assert found.counts == {"examples_without_a_class": 1}


def test_the_column_label_is_found_without_being_named() -> None:
    assert labelled(metadata(2, {"label": [0, 1]})).label.names == ("0", "1")


def test_classes_are_taken_in_the_order_asked_for_and_others_left_out() -> None:
    made = metadata(4, {"label": ["a", "b", "c", "a"]})
    found = labelled(made, classes=("c", "a"))
    assert found.label.names == ("c", "a")
    assert found.ids().to_pylist() == ["e00000", "e00002", "e00003"]
    assert found.label.codes.tolist() == [1, 0, 1]


def test_a_class_by_contexts_leaves_out_images_with_two_of_them() -> None:
    contexts = [(0, "cat", "sofa"), (1, "dog", "yard"), (2, "cat", "yard"), (2, "dog", "yard"),
                (3, "cat", "yard"), (3, "cat", "sofa"), (4, "bus", "road")]  # fmt: skip
    found = labelled(metadata(5, contexts=contexts), classes=("cat", "dog"))
    assert found.ids().to_pylist() == ["e00000", "e00001", "e00003"]
    assert found.counts["examples_with_several_classes"] == 1
    assert found.counts["examples_without_a_class"] == 1
    attribute = found.categories("context", "attribute", ("sofa", "yard"))
    assert attribute.codes.tolist() == [0, 1, -1]  # the last has both
    with pytest.raises(ConfigurationError, match="no context 'yart'; did you mean 'yard'"):
        found.categories("context", "attribute", ("sofa", "yart"))
    with pytest.raises(ConfigurationError, match="two or more contexts"):
        found.categories("context", "attribute")


def test_the_contexts_follow_when_rows_are_taken() -> None:
    contexts = [(0, "cat", "road"), (1, "dog", "yard"), (2, "cat", "sofa")]
    found = labelled(metadata(3, contexts=contexts)).take(np.array([2, 1]))
    assert found.categories("context", "attribute", ("sofa", "yard")).codes.tolist() == [1, 0]
    assert found.metadata.contexts["example"].to_pylist() == [0, 1]


def test_unusable_examples_and_changed_copies_of_them_are_left_out() -> None:
    made = metadata(4, {"label": ["a", "b", "a", "b"]})
    found = labelled(made, excluded=frozenset({"e00001", f"e00002{MARK}blur_3"}))
    assert found.ids().to_pylist() == ["e00000", "e00003"]


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({"kind": ["a", "b"]}, {}, r"no column 'label'.*--label: kind$"),
        ({"label": ["a", "a"]}, {}, "the value 'a'"),
        ({"label": ["a", "b"]}, {"classes": ("a", "x")}, "'x'"),
        ({"label": ["a", "b"]}, {"images": True}, "no column of images"),
        ({"label": ["a", "b"], "subset": ["a", "b"]}, {}, "'subset'"),
        (
            {"label": [0, 1], "kind": ["a", "b"], "source_label": [0, 1]},
            {"label": "kind"},
            "'source_label'",
        ),
        ({"kind": pa.array([[1], [2]])}, {"label": "kind"}, "holds list"),
    ],
)
def test_bad_input(columns: dict, options: dict, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        labelled(metadata(2, columns), **options)


def test_classes_have_to_be_named_where_every_image_holds_several() -> None:
    contexts = [(i, subject, "yard") for i in range(4) for subject in ("cat", "tree")]
    with pytest.raises(ConfigurationError, match="name the classes to tell apart with --classes"):
        labelled(metadata(4, contexts=contexts))


def test_a_label_that_is_not_the_class_is_kept_under_another_name() -> None:
    made = metadata(2, {"label": ["a", "b"], "kind": ["x", "y"]}, content=("label", "kind"))
    found = labelled(made, "kind")
    assert found.examples["source_label"].to_pylist() == ["a", "b"]
    assert found.metadata.columns == ("source_label",)


def test_an_id_that_looks_like_a_copy_excludes_itself_alone() -> None:
    made = metadata(4, {"label": ["a", "b", "a", "b"]})
    ids = pa.array(["a", "a~b", "c", "d"])
    made = replace(made, examples=made.examples.set_column(0, "example_id", ids))
    assert labelled(made, excluded=frozenset({"a~b"})).ids().to_pylist() == ["a", "c", "d"]


def test_rows_that_were_all_rejected_are_told_and_not_dropped(tmp_path: Path) -> None:
    table = tmp_path / "photos.csv"
    table.write_text("image,label,tags\na.png,cat,tree;pond\nb.png,dog,pond\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"first of 2 .*tree;pond.*tags_separator"):
        labelled(ImageTable(str(table)).scan())
