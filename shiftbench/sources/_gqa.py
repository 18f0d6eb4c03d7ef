"""Reading a file of scene graphs: as fast as the decoder goes, and object by object where it must.

An image's boxes and relations, most of the file, are stepped over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from shiftbench.sources._contexts import Presence
from shiftbench.sources._files import file_label
from shiftbench.sources._json import DECODE_ERRORS, json_error, members

__all__ = ["COLUMNS", "Gathered"]

# Decoded as float, because 640.0 is found in the wild; kept as whole numbers.
Pixels = Annotated[float, msgspec.Meta(ge=0, lt=2**31 - 1)]

COLUMNS: Mapping[str, pa.DataType] = {
    "width": pa.int32(),
    "height": pa.int32(),
    "n_objects": pa.int32(),
    "location": pa.string(),
    "weather": pa.string(),
}


class _Object(msgspec.Struct, gc=False):
    name: str
    attributes: tuple[str, ...] = ()


class _Frame(msgspec.Struct, gc=False):
    width: Pixels | None = None
    height: Pixels | None = None
    location: str | None = None
    weather: str | None = None


class _Image(_Frame, gc=False):
    objects: dict[str, _Object] = {}


class _Undecoded(msgspec.Struct, gc=False):
    objects: msgspec.Raw = msgspec.Raw(b"{}")


_IMAGE = msgspec.json.Decoder(_Image)
_FRAME = msgspec.json.Decoder(_Frame)
_UNDECODED = msgspec.json.Decoder(_Undecoded)
_OBJECT = msgspec.json.Decoder(_Object)
_OBJECTS, _WIDE, _COMPACT = b'"objects": {', b'": {', b'":{'


@dataclass
class Gathered:
    """The images of one file or more, numbered as they come."""

    presence: Presence
    rejected: list[tuple[str, str]] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=lambda: {c: [] for c in COLUMNS})

    def read(self, path: str, data: bytes, wanted: Callable[[str], bool]) -> None:
        """Take in one file; `wanted` says which image ids are used."""
        label = file_label(path)
        try:
            images, repeated = members(data)
        except DECODE_ERRORS as e:
            raise json_error(path, data, e) from e
        for key in repeated:
            self.rejected.append(
                (f"{label}: image {key}", "the id occurs more than once; its last entry is used")
            )
        for key, raw in images.items():
            if not key.strip():
                self.rejected.append((f"{label}: image {key!r}", "the id is blank"))
                continue
            if key in self.seen:
                reason = f"the id occurs in {self.seen[key]} too; that entry is used"
                self.rejected.append((f"{label}: image {key}", reason))
                continue
            self.seen[key] = label
            if wanted(key):
                self._image(label, key, raw)

    def _image(self, label: str, key: str, raw: msgspec.Raw) -> None:
        where = f"{label}: image {key}"
        row = len(self.ids)
        text = bytes(raw)
        try:
            image = _IMAGE.decode(text)
        except DECODE_ERRORS:
            image = None
        # An image that decodes, has no more objects in the text than were decoded, and no blank
        # name: nearly all of them. The others, and those written in another style, are gone
        # through object by object.
        if (
            image is None
            or text.count(_WIDE if _OBJECTS in text else _COMPACT) != len(image.objects) + 1
            or not self.presence.see(row, image.objects.values())
        ):
            try:
                image = self._piecemeal(where, text)
            except DECODE_ERRORS as e:
                self.rejected.append((where, f"not a scene graph: {e}"))
                return
            self.presence.see(row, image.objects.values())
        self.ids.append(key)
        for column, value in (
            ("width", _whole(image.width)),
            ("height", _whole(image.height)),
            ("n_objects", len(image.objects)),
            ("location", _stripped(image.location)),
            ("weather", _stripped(image.weather)),
        ):
            self.columns[column].append(value)
        self.presence.note(row, image.location)
        self.presence.note(row, image.weather)

    def _piecemeal(self, where: str, text: bytes) -> _Image:
        """The image with those of its objects that can be used; the others are recorded."""
        frame = _FRAME.decode(text)
        items, repeated = members(_UNDECODED.decode(text).objects)
        objects = {}
        for key, item in items.items():
            here = f"{where}, object {key}"
            if key in repeated:
                reason = "the id occurs more than once in the image; its last entry is used"
                self.rejected.append((here, reason))
            try:
                found = _OBJECT.decode(item)
            except DECODE_ERRORS as e:
                self.rejected.append((here, str(e)))
                continue
            if found.name.strip():
                objects[key] = found
            else:
                self.rejected.append((here, "the object's name is blank"))
        return _Image(frame.width, frame.height, frame.location, frame.weather, objects)


def _whole(pixels: float | None) -> int | None:
    return None if pixels is None else round(pixels)


def _stripped(text: str | None) -> str | None:
    return (text.strip() or None) if text is not None else None
