"""One decode for all patches of a radiograph, and the same content from the spool."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shiftbench.builders.xray import _spool
from shiftbench.builders.xray._gathered import Gathered, gathered
from shiftbench.builders.xray._spool import Spool, spool
from shiftbench.builders.xray.cutting import Cut, cut, standardised
from shiftbench.builders.xray.reading import PatchLocator, PatchReader, parse, patch_locator
from shiftbench.errors import ContentError, ShiftbenchError
from shiftbench.radiograph import Radiograph
from shiftbench.store.check import content_hash

SETTINGS = Cut(size=32, patches=4)


def radiograph(name: str, step: str | None = None) -> Radiograph:
    """Made from its name; another step, other noise."""
    if name.startswith("broken"):
        raise ContentError(f"broken: file {name[-1]} of 9")
    rng = np.random.default_rng(sum(f"{name}{step}".encode()))
    return Radiograph(rng.integers(0, 4096, (120, 100), dtype=np.uint16), 12, row_mm=0.1)


class Counting:
    """Decoders that count; picklable, as those of a build are."""

    def __init__(self, source: str = "source", by_step: bool = False) -> None:
        self.source, self.by_step = source, by_step

    def __call__(self, step: str | None) -> Callable[[str], Radiograph]:
        def decode(name: str) -> Radiograph:
            DECODED.append((self.source, name, step))
            return radiograph(name, step if self.by_step else None)

        return decode


DECODED: list[tuple[str, str, str | None]] = []


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    DECODED.clear()
    spool().close()
    yield
    spool().close()


def halved(image: Any, ident: str, step: str, pitch: Any) -> Any:
    assert (ident, step, pitch) == ("r1", "half", (0.1, None))
    return image / 2


def untouched(image: Any, ident: str, step: str, pitch: Any) -> Any:
    return image


def pixels(content: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(content["image"])))


class TestLocators:
    @given(
        st.text(), st.text(), st.integers(0, 10**6), st.none() | st.text(), st.booleans(),
        st.integers(0, 2**62),
    )  # fmt: skip
    def test_round_trip(
        self, name: str, ident: str, k: int, step: str | None, again: bool, modified: int
    ) -> None:
        found = parse(patch_locator(name, ident, k, step, again, modified))
        assert found == PatchLocator(name, ident, k, step, again, modified)

    @pytest.mark.parametrize("text", ["", "secret/name.dcm", "[1,2]", '{"k":1}', '["a","b","c"]'])
    def test_others_are_refused_without_being_repeated(self, text: str) -> None:
        with pytest.raises(ContentError) as caught:
            parse(text)
        assert "secret" not in str(caught.value)


class TestReading:
    def test_content_is_the_cut_of_the_radiograph(self) -> None:
        reader = PatchReader(Counting(), SETTINGS)
        expected = cut(radiograph("x"), "r1", SETTINGS)
        for k in range(4):
            content = reader(patch_locator("x", "r1", k))
            image = Image.open(io.BytesIO(content["image"]))
            assert (image.mode, image.size) == ("I;16", (32, 32))
            assert (pixels(content) == expected.pixels[k]).all()
            assert [content[n] for n in ("top", "left", "region", "blank")] == [
                expected.top[k], expected.left[k], expected.region, expected.blank[k],
            ]  # fmt: skip
            assert [type(content[n]) for n in ("top", "left", "blank")] == [int, int, bool]
        assert len(DECODED) == 1

    def test_the_hash_that_comes_along_is_that_of_the_pixels(self) -> None:
        image = PatchReader(Counting(), SETTINGS)(patch_locator("x", "r1", 0))["image"]
        assert content_hash(image, "pixels") == content_hash(bytes(image), "pixels")
        assert content_hash(image, "bytes") == content_hash(bytes(image), "bytes")

    def test_one_decode_for_each_run_of_patches(self) -> None:
        reader = PatchReader(Counting(), SETTINGS)
        for name in "aabbba":
            reader(patch_locator(name, f"r{name}", 0))
        assert [name for _, name, _ in DECODED] == ["a", "b", "a"]

    def test_the_rule_of_the_paper(self) -> None:
        settings = Cut(size=32, patches=2, intensity="maximum")
        found = PatchReader(Counting(), settings)(patch_locator("x", "r1", 1))
        assert (pixels(found) == cut(radiograph("x"), "r1", settings).pixels[1]).all()

    def test_a_failure_is_told_for_each_patch_and_decoded_once(self) -> None:
        reader = PatchReader(Counting(), SETTINGS)
        for k in range(4):
            with pytest.raises(ContentError, match=r"^broken: file 3 of 9$"):
                reader(patch_locator("broken 3", "r1", k))
        assert len(DECODED) == 1
        assert reader.gathered == {}
        assert reader(patch_locator("x", "r2", 0))["region"] == "central 0.6"

    def test_a_failure_of_the_cut_is_one_too(self) -> None:
        reader = PatchReader(Counting(), Cut(size=128))
        for k in range(3):
            with pytest.raises(ContentError, match="120 x 100 pixels"):
                reader(patch_locator("x", "r1", k))
        assert len(DECODED) == 1

    def test_a_patch_that_was_not_cut(self) -> None:
        with pytest.raises(ContentError, match="there is no patch 4: 4 were cut"):
            PatchReader(Counting(), SETTINGS)(patch_locator("x", "r1", 4))

    def test_two_readers_give_the_same_bytes(self) -> None:
        a, b = (PatchReader(Counting(), SETTINGS) for _ in range(2))
        for k in (3, 0):
            assert a(patch_locator("x", "r1", k)) == b(patch_locator("x", "r1", k))


class TestSteps:
    def test_a_surrogate_is_applied_to_the_decoded_image(self) -> None:
        reader = PatchReader(Counting(), SETTINGS, halved)
        plain = pixels(reader(patch_locator("x", "r1", 0)))
        changed = pixels(reader(patch_locator("x", "r1", 0, step="half")))
        assert np.abs(changed - plain / 2).max() <= 1

    def test_a_step_of_the_decoder(self) -> None:
        reader = PatchReader(Counting(by_step=True), SETTINGS)
        found = pixels(reader(patch_locator("x", "r1", 0, step="dose=2")))
        assert (found == cut(radiograph("x", "dose=2"), "r1", SETTINGS).pixels[0]).all()

    def test_gathered_is_the_original_alone(self) -> None:
        expected = {"r1": gathered(standardised(radiograph("x")).pixels).pack()}
        plain = PatchReader(Counting(), SETTINGS)
        plain(patch_locator("x", "r1", 0))
        surrogate = PatchReader(Counting(), SETTINGS, halved)
        surrogate(patch_locator("x", "r1", 0, step="half"))
        assert plain.gathered == surrogate.gathered == expected
        for change in (None, untouched):  # the decoder made the change
            exact = PatchReader(Counting(by_step=True), SETTINGS, change)
            exact(patch_locator("x", "r1", 0, step="dose=2"))
            assert exact.gathered == {}


class TestSpool:
    def test_what_is_kept_is_read_without_decoding(self) -> None:
        locators = [patch_locator("x", "r1", k, again=True) for k in range(4)]
        first, second = (PatchReader(Counting(), SETTINGS) for _ in range(2))
        made = [first(name) for name in locators]
        assert [second(name) for name in locators] == made
        assert len(DECODED) == 1
        assert second.gathered == first.gathered
        again = second(locators[0])["image"]
        assert content_hash(again, "pixels") == content_hash(bytes(again), "pixels")

    def test_nothing_else_is_kept(self) -> None:
        PatchReader(Counting(), SETTINGS)(patch_locator("x", "r1", 0))
        assert len(spool()) == 0

    @pytest.mark.parametrize(
        ("reader", "locator"),
        [
            (PatchReader(Counting("other"), SETTINGS), patch_locator("x", "r1", 0, again=True)),
            (
                PatchReader(Counting(), Cut(size=32, patches=4, seed=1)),
                patch_locator("x", "r1", 0, again=True),
            ),
            (
                PatchReader(Counting(), SETTINGS, untouched),
                patch_locator("x", "r1", 0, again=True),
            ),
            (PatchReader(Counting(), SETTINGS), patch_locator("x", "r1", 0, None, True, 5)),
            (PatchReader(Counting(), SETTINGS), patch_locator("x", "r1", 0, "s", True)),
            (PatchReader(lambda s: radiograph, SETTINGS), patch_locator("x", "r1", 0, again=True)),
        ],
        ids=["source", "settings", "change", "modified", "step", "unknown"],
    )
    def test_what_was_made_otherwise_is_made_anew(self, reader: PatchReader, locator: str) -> None:
        PatchReader(Counting(), SETTINGS)(patch_locator("x", "r1", 0, again=True))
        before = len(spool())
        reader(locator)
        assert len(spool()) > before

    def test_a_surrogate_gathers_again_from_the_spool(self) -> None:
        locator = patch_locator("x", "r1", 0, step="half", again=True)
        readers = [PatchReader(Counting(), SETTINGS, halved) for _ in range(2)]
        for reader in readers:
            reader(locator)
        assert readers[0].gathered == readers[1].gathered != {}

    def test_limits(self) -> None:
        few = Spool(most_entries=2)
        for key in (b"a", b"b", b"c"):
            few.put(key, key * 10)
        assert [few.get(k) for k in (b"a", b"b", b"c")] == [b"a" * 10, b"b" * 10, None]
        small = Spool(most_bytes=25)
        for key in (b"a", b"b", b"c"):
            small.put(key, key * 10)
        assert [small.get(k) for k in (b"a", b"b", b"c")] == [b"a" * 10, b"b" * 10, None]
        few.close()
        assert few.get(b"a") is None

    def test_a_full_disk_costs_nothing_but_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(**_: object) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr(_spool.tempfile, "TemporaryFile", full)
        locator = patch_locator("x", "r1", 0, again=True)
        assert PatchReader(Counting(), SETTINGS)(locator) == PatchReader(Counting(), SETTINGS)(
            locator
        )
        assert len(DECODED) == 2

    def test_a_disk_nearly_full_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = _spool.shutil.disk_usage(".")._replace(free=10 * 2**20)
        monkeypatch.setattr(_spool.shutil, "disk_usage", lambda path: usage)
        tried = Spool()
        tried.put(b"a", b"a")
        assert len(tried) == 0

    def test_the_file_has_no_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_spool.tempfile, "tempdir", str(tmp_path))
        PatchReader(Counting(), SETTINGS)(patch_locator("x", "r1", 0, again=True))
        assert len(spool()) == 2  # the patch, and what was gathered
        assert not list(tmp_path.iterdir())

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_process_keeps_its_own(self) -> None:
        locators = [patch_locator("x", "r1", k, again=True) for k in range(4)]
        reader = PatchReader(Counting(), SETTINGS)
        made = [reader(name) for name in locators[:2]]
        queue: Any = multiprocessing.get_context("fork").SimpleQueue()
        child = multiprocessing.get_context("fork").Process(target=_in_child, args=(queue,))
        child.start()
        theirs = queue.get()
        child.join()
        assert theirs == (0, 5)
        assert [reader(name) for name in locators[:2]] == made
        assert [reader(name)["top"] for name in locators[2:]] == [
            PatchReader(Counting(), SETTINGS)(patch_locator("x", "r1", k))["top"] for k in (2, 3)
        ]


def _in_child(queue: Any) -> None:
    before = len(spool())
    reader = PatchReader(Counting(), SETTINGS)
    for k in range(4):
        reader(patch_locator("y", "r2", k, again=True))
    queue.put((before, len(spool())))


class TestGathered:
    def test_round_trip(self) -> None:
        found = gathered(standardised(radiograph("x")).pixels)
        back = Gathered.unpack(found.pack())
        assert back.sha256 == found.sha256
        assert (back.thumbnail == found.thumbnail).all()
        with pytest.raises(ShiftbenchError, match="1055 bytes"):
            Gathered.unpack(found.pack()[:-1])

    def test_equal_for_an_inverted_copy_and_for_no_other(self) -> None:
        image = radiograph("x")
        copy = Radiograph(4095 - image.pixels, bits=12, inverted=True)
        other = Radiograph(image.pixels.copy(), bits=12)
        other.pixels[5, 5] ^= 1
        turned = Radiograph(image.pixels.reshape(100, 120), bits=12)
        hashes = [gathered(standardised(x).pixels).sha256 for x in (image, copy, other, turned)]
        assert hashes[0] == hashes[1]
        assert len(set(hashes)) == 3

    @pytest.mark.parametrize("shape", [(120, 100), (64, 64), (33, 300), (20, 9)])
    def test_thumbnails_are_means_of_areas(self, shape: tuple[int, int]) -> None:
        levels = np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)
        edges = [[i * n // 32 for i in range(33)] for n in shape]
        means = np.array(
            [
                [
                    levels[a : max(b, a + 1), c : max(d, c + 1)].mean()
                    for c, d in zip(edges[1][:-1], edges[1][1:], strict=True)
                ]
                for a, b in zip(edges[0][:-1], edges[0][1:], strict=True)
            ]
        )
        expected = np.rint((means - means.min()) * 255 / (means.max() - means.min()))
        assert (gathered(levels).thumbnail == expected).all()


def test_a_reader_is_made_from_what_can_be_pickled() -> None:
    made_of = pickle.loads(pickle.dumps((Counting(), SETTINGS, halved)))
    locator = patch_locator("x", "r1", 0)
    assert PatchReader(*made_of)(locator) == PatchReader(Counting(), SETTINGS, halved)(locator)
