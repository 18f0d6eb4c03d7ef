"""The text space beside scikit-learn's own parts, and texts with nothing in them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from shiftbench.errors import ConfigurationError
from shiftbench.spaces import Text, embed

WORDS = "the a cat dog sat ran on mat under rain sun is was red blue loud".split()


def texts(n: int, seed: int = 0, words: list[str] = WORDS) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table({"text": [" ".join(random.choice(words, 8)) for _ in range(n)]})


@pytest.mark.parametrize(("analyzer", "ngrams"), [("word", (1, 2)), ("char_wb", (3, 3))])
def test_inner_products_are_those_of_tfidf(analyzer: str, ngrams: tuple[int, int]) -> None:
    """With as many dimensions as texts, no product between texts of the reference is lost."""
    table = texts(20)
    (made,) = embed(Text(analyzer=analyzer, ngrams=ngrams), table)
    theirs = TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=ngrams,
        token_pattern=r"(?u)\b\w+\b" if analyzer == "word" else None,
    ).fit_transform(table["text"].to_pylist())
    # 2^16 buckets: two n-grams can share one.
    np.testing.assert_allclose(made @ made.T, (theirs @ theirs.T).toarray(), atol=0.02)


def test_the_components_are_the_best_and_orthonormal() -> None:
    table = texts(200)
    space = Text(dim=8)
    fitted = space.fit(space.raw(table))
    components = fitted.state["components"]
    np.testing.assert_allclose(components @ components.T, np.eye(8), atol=1e-9)
    full = Text(dim=200).fit(space.raw(table)).transform(space.raw(table))
    lengths = np.linalg.svd(full, compute_uv=False)
    captured = np.linalg.norm(fitted.transform(space.raw(table)), axis=0)
    np.testing.assert_allclose(captured, lengths[:8], rtol=1e-2)


def test_nothing_of_the_others_is_learnt() -> None:
    a, b = texts(30), texts(10, 1, [*WORDS, "zebra", "quartz"])
    alone = embed(Text(dim=5), a)[0]
    together, other = embed(Text(dim=5), a, b)
    assert (alone == together).all()
    strangers = embed(Text(dim=5), a, pa.table({"text": ["zebra quartz"]}))[1]
    assert abs(strangers).max() < 1e-9
    assert np.linalg.norm(other, axis=1).max() <= 1 + 1e-9


def test_empty_missing_and_repeated_texts() -> None:
    reference = pa.table({"text": ["a cat", "a cat", "a dog", "", None]})
    (made,) = embed("text", reference)
    assert made.shape == (5, 2)
    assert (made[0] == made[1]).all()
    assert (made[3:] == 0).all()
    with pytest.raises(ConfigurationError, match="none of the 2 texts of the reference"):
        embed("text", pa.table({"text": ["", None]}, schema=pa.schema([("text", pa.string())])))


def test_case_single_letters_and_every_script_count() -> None:
    space = Text(ngrams=(1, 1))
    raw = space.raw(pa.table({"text": ["I saw IT", "i saw it", "Größe größe", "ещё раз"]}))
    assert (raw[[0]] - raw[[1]]).nnz == 0
    assert raw.sum(axis=1).tolist() == [3, 3, 2, 2]


def test_the_text_column_is_found_or_asked_for() -> None:
    string = pa.string()
    ids = [("example_id", string), ("license", string)]
    assert Text().columns(pa.schema([*ids, ("claim", pa.large_string())])) == ("claim",)
    several = pa.schema([*ids, ("claim", string), ("reason", pa.dictionary(pa.int8(), string))])
    with pytest.raises(ConfigurationError, match="claim, reason; choose one"):
        Text().columns(several)
    assert Text(column="reason").columns(several) == ("reason",)
    assert Text().columns(several.append(pa.field("text", string))) == ("text",)
    with pytest.raises(ConfigurationError, match="type int64, not text"):
        Text(column="n").columns(pa.schema([("n", pa.int64())]))


def test_real_arguments(shared_data) -> None:
    import csv

    path = shared_data / "arguments" / "dev-full.txt"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    topic = np.array([r["debateTitle"] for r in rows])
    (made,) = embed("text", pa.table({"text": [f"{r['reason']} {r['claim']}" for r in rows]}))
    assert made.shape == (len(rows), 64)
    same = topic[:, None] == topic
    np.fill_diagonal(same, False)
    products = made @ made.T
    different = topic[:, None] != topic
    assert products[same].mean() > 3 * products[different].mean()
