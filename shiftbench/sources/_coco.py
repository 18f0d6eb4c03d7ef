"""The records of a COCO file, one by one where some cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

import msgspec

from shiftbench.errors import SourceError
from shiftbench.sources._contexts import Codes, Presence
from shiftbench.sources._files import facts, outside
from shiftbench.sources._json import DECODE_ERRORS, json_error, members

__all__ = ["Caption", "CocoFile", "ImageRecord", "licence_id"]

Id = int | str
# Decoded as float, because 640.0 is found in the wild; kept as whole numbers.
Pixels = Annotated[float, msgspec.Meta(ge=0, lt=2**31 - 1)]
T = TypeVar("T")


class _Licence(msgspec.Struct, gc=False):
    id: Id
    url: str = ""
    name: str = ""


class ImageRecord(msgspec.Struct, gc=False):
    """An entry of ``images``."""

    id: Id
    file_name: str
    width: Pixels | None = None
    height: Pixels | None = None
    license: Id | None = None
    flickr_url: str | None = None


class _Category(msgspec.Struct, gc=False):
    id: Id
    name: str


class _Annotation(msgspec.Struct, gc=False):
    # The segmentation, most of the file, is stepped over.
    image_id: Id
    category_id: Id


class Caption(msgspec.Struct, gc=False):
    """An entry of a caption file's ``annotations``."""

    image_id: Id
    caption: str
    id: Id = ""


class _Named(msgspec.Struct, frozen=True, gc=False):
    name: str
    attributes: tuple[str, ...] = ()


def licence_id(url: str, name: str = "") -> str:
    """The id of a licence, as the Hub spells it, from the address that an annotation file gives.

    An address that is not known stands for itself, so that nothing is lost; where there is none,
    the name does.

    Examples
    --------
    >>> licence_id("http://creativecommons.org/licenses/by-nc-sa/2.0/")
    'cc-by-nc-sa-2.0'
    >>> licence_id("https://example.org/terms")
    'https://example.org/terms'
    """
    key = url.strip().lower().partition("://")[2] or url.strip().lower()
    key = key.removeprefix("www.").rstrip("/").removesuffix("/deed").removesuffix("/deed.en")
    known = facts("licences")["licences"].get(key.rstrip("/"))
    return known["id"] if known else (url.strip() or name.strip())


@dataclass
class CocoFile:
    """One JSON file and what of it could not be used."""

    label: str
    rejected: list[tuple[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def open(self, path: str, data: bytes, needed: Iterable[str]) -> Mapping[str, msgspec.Raw]:
        """The members of the file's one object, undecoded."""
        try:
            document, repeated = members(data)
        except DECODE_ERRORS as e:
            raise json_error(path, data, e) from e
        if repeated:
            raise SourceError(
                f"{path}: the key {repeated[0]!r} occurs more than once; each part of the file is "
                "expected once; join them"
            )
        missing = [key for key in needed if key not in document]
        if missing:
            raise SourceError(
                f"{path}: no {missing[0]!r} among its keys ({', '.join(sorted(document))}); "
                f"expected are {', '.join(needed)}"
            )
        return document

    def records(self, part: str, raw: msgspec.Raw, kind: type[T]) -> list[tuple[int, T]]:
        """The records of a part with their positions; those of another form are recorded."""
        try:
            return list(enumerate(msgspec.json.decode(raw, type=list[kind])))  # type: ignore[valid-type]
        except DECODE_ERRORS:
            pass
        try:
            each = msgspec.json.decode(raw, type=list[msgspec.Raw])
        except DECODE_ERRORS as e:
            raise SourceError(f"{self.label}: {part}: a list was expected: {e}") from e
        found = []
        decode = msgspec.json.Decoder(kind).decode
        for i, item in enumerate(each):
            try:
                found.append((i, decode(item)))
            except DECODE_ERRORS as e:
                self.reject(f"{part}[{i}]", str(e))
        return found

    def reject(self, where: str, reason: str) -> None:
        """Record what cannot be used."""
        self.rejected.append((f"{self.label}: {where}", reason))

    def images(self, raw: msgspec.Raw) -> dict[str, ImageRecord]:
        """The image records by id; the first of a repeated id counts."""
        found: dict[str, ImageRecord] = {}
        for i, image in self.records("images", raw, ImageRecord):
            key = str(image.id)
            if not key.strip():
                self.reject(f"images[{i}]", "the id is blank")
            elif key in found:
                self.reject(f"images[{i}]", f"the id {key} occurs more than once; the first counts")
            elif outside(image.file_name):
                self.reject(f"images[{i}]", f"{image.file_name!r} leads out of the image folder")
            else:
                found[key] = image
        return found

    def categories(self, raw: msgspec.Raw) -> dict[str, _Named]:
        """The category names by id."""
        found: dict[str, _Named] = {}
        for i, category in self.records("categories", raw, _Category):
            key = str(category.id)
            if key in found:
                self.reject(f"categories[{i}]", f"the id {key} occurs more than once")
            elif not category.name.strip():
                self.reject(f"categories[{i}]", "the category's name is blank")
            else:
                found[key] = _Named(category.name)
        return found

    def annotations(
        self,
        document: Mapping[str, msgspec.Raw],
        images: Mapping[str, ImageRecord],
        used: Mapping[str, ImageRecord],
    ) -> tuple[Presence, list[int]]:
        """Who is in which used image, and how many objects each has."""
        categories = self.categories(document["categories"])
        row = {key: i for i, key in enumerate(used)}
        presence = Presence(Codes(), Codes(()), Codes(()))
        n_objects = [0] * len(used)
        for i, item in self.records("annotations", document["annotations"], _Annotation):
            example = row.get(str(item.image_id))
            if example is None:
                self.counts["annotations_of_unknown_image"] += str(item.image_id) not in images
                continue
            category = categories.get(str(item.category_id))
            if category is None:
                self.reject(f"annotations[{i}]", f"there is no category {item.category_id!r}")
                continue
            presence.see(example, (category,))
            n_objects[example] += 1
        return presence, n_objects

    def licences(self, raw: msgspec.Raw | None) -> dict[str, str]:
        """Licence ids of the Hub by the file's own ids."""
        if raw is None:
            return {}
        return {
            str(x.id): licence_id(x.url, x.name) for _, x in self.records("licenses", raw, _Licence)
        }
