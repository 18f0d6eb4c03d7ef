"""Patches by locator: each radiograph is decoded once for all of its patches."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ContentError
from shiftbench.radiograph import Radiograph, grey_png
from shiftbench.store.check import HashedImage, pixel_hash

from ._gathered import Gathered, gathered
from ._spool import spool
from .cutting import Cut, Patches, cut, standardised

__all__ = ["Gathered", "PatchLocator", "PatchReader", "parse", "patch_locator"]

LEVEL = 1
"""Of zlib's compression. On 16-bit radiographs 9 makes patches smaller by 7 % (by 20 % where there
were 8 bits) and takes ten times as long; decoding takes the same time."""

_CONTENT = ("image", "top", "left", "region", "blank")
_Content = tuple[bytes, bytes, int, int, str, bool]

Grey = NDArray[np.float32]
Decoder = Callable[[str], Radiograph]
Pitch = tuple[float | None, float | None]
Change = Callable[[Grey, str, str, Pitch], Grey]


class PatchLocator(msgspec.Struct, frozen=True, array_like=True):
    """Which patch is meant.

    Attributes
    ----------
    radiograph : str
        The radiograph's locator, for its source's decoder. Private, and so is a patch's locator.
    ident : str
        The radiograph's id.
    k : int
        Number of the patch, from 0.
    step : str or None
        The acquisition change it is shown with.
    again : bool
        Whether other files of the benchmark hold it too.
    modified : int
        The radiograph's change stamp.
    """

    radiograph: str
    ident: str
    k: int
    step: str | None = None
    again: bool = False
    modified: int = 0


def patch_locator(
    radiograph_locator: str,
    radiograph_id: str,
    k: int,
    step: str | None = None,
    again: bool = False,
    modified: int = 0,
) -> str:
    """The locator of a patch: a JSON text.

    Parameters
    ----------
    radiograph_locator, radiograph_id : str
    k : int
        Number of the patch, from 0.
    step : str, optional
        An acquisition change.
    again : bool
        Mark a patch that more than one file of the benchmark holds: it is then kept once made.
    modified : int
        The radiograph's change stamp, so that nothing kept outlives a change of its file.

    Examples
    --------
    >>> patch_locator("a/b.dcm", "r1", 3)
    '["a/b.dcm","r1",3,null,false,0]'
    >>> parse(patch_locator("a/b.dcm", "r1", 3, step="dose=2")).step
    'dose=2'

    One text does for all patches, with the number of each after it (`locator_part`):

    >>> parse(patch_locator("a/b.dcm", "r1", 0) + "\\x1f5").k
    5
    """
    named = PatchLocator(radiograph_locator, radiograph_id, k, step, again, modified)
    return msgspec.json.encode(named).decode()


def parse(locator: str) -> PatchLocator:
    """What a locator says.

    Raises
    ------
    ContentError
        It is not one of `patch_locator`; the message does not repeat it.
    """
    text, mark, part = locator.rpartition("\x1f")
    try:
        found = msgspec.json.decode(text if mark else locator, type=PatchLocator)
        return msgspec.structs.replace(found, k=int(part)) if mark else found
    except (msgspec.DecodeError, UnicodeError, ValueError):
        raise ContentError("the locator of a patch is none that patch_locator made") from None


class PatchReader:
    """A function from the locator of a patch to its content.

    Patches of one radiograph that are asked for one after another cost one decode; if it cannot be
    used each of them raises the same `ContentError`. Those marked as wanted again are kept,
    encoded, in a temporary file of this process, and are then read from there.

    Parameters
    ----------
    decoders : callable
        From a step, or None, to a function from a radiograph's locator to the `Radiograph`. A
        source that simulates gives each step a decoder of its own; others ignore the step.
    settings : Cut
    change : callable, optional
        ``change(image, ident, step, pitch)`` for patches with a step: the normalised image, a
        (rows, columns) array of float32 from 0 to 1, the radiograph's id, the step and the
        distances between rows and columns in mm (None: unknown), to the changed image. Where the
        decoder made the change it returns the very array that it was given, or is left out.
    level : int
        Of the PNGs' compression, 0 to 9.

    Attributes
    ----------
    gathered : dict of str to bytes
        `Gathered.pack` of each radiograph that was cut, by its id, as it is before a change. Of
        one that a decoder changed nothing is gathered: what it was like before is not known here.

    Examples
    --------
    >>> def decoders(step):
    ...     rng = np.random.default_rng(0)
    ...     return lambda name: Radiograph(rng.integers(0, 4096, (300, 300), np.uint16), bits=12)
    >>> reader = PatchReader(decoders, Cut(patches=2))
    >>> content = reader(patch_locator("any", "r1", 0))
    >>> sorted(content), content["region"], list(reader.gathered)
    (['blank', 'image', 'left', 'region', 'top'], 'central 0.6', ['r1'])
    """

    def __init__(
        self,
        decoders: Callable[[str | None], Decoder],
        settings: Cut,
        change: Change | None = None,
        level: int = LEVEL,
    ) -> None:
        self.decoders, self.settings, self.change, self.level = decoders, settings, change, level
        self.gathered: dict[str, bytes] = {}
        self._made_with = _fingerprint(decoders, settings, change, level)
        # What comes from the decoder is brought to 16 bits first, by the rule, and once.
        self._settings = replace(settings, intensity="bits_stored")
        self._decoder: tuple[str | None, Decoder] | None = None
        self._last: tuple[tuple[str, str, str | None], Patches | str] | None = None

    def __call__(self, locator: str) -> dict[str, Any]:
        """The patch: ``image`` (bytes of a 16-bit PNG), ``top``, ``left``, ``region``, ``blank``.

        Raises
        ------
        ContentError
            The radiograph cannot be decoded or cut.
        """
        wanted = parse(locator)
        content = self._kept(wanted) if wanted.again else None
        if content is None:
            content = self._content(wanted)
            if wanted.again:
                self._keep(wanted, content)
        png, pixels, *others = content
        return dict(zip(_CONTENT, (HashedImage(png, pixels), *others), strict=True))

    def _kept(self, wanted: PatchLocator) -> _Content | None:
        """The patch as it was kept; what was gathered of its radiograph then is so again."""
        found = spool().get(self._key(wanted))
        if found is None:
            return None
        if wanted.ident not in self.gathered:
            packed = spool().get(self._radiograph_key(wanted))
            if packed:
                self.gathered[wanted.ident] = packed
        content: _Content = msgspec.msgpack.decode(found, type=_Content)
        return content

    def _keep(self, wanted: PatchLocator, content: _Content) -> None:
        packed = self.gathered.get(wanted.ident)
        if packed:
            spool().put(self._radiograph_key(wanted), packed)
        spool().put(self._key(wanted), msgspec.msgpack.encode(content))

    def _key(self, wanted: PatchLocator) -> bytes:
        named = msgspec.json.encode(wanted)
        return hashlib.blake2b(self._made_with + named, digest_size=16).digest()

    def _radiograph_key(self, wanted: PatchLocator) -> bytes:
        return self._key(msgspec.structs.replace(wanted, k=-1))

    def _content(self, wanted: PatchLocator) -> _Content:
        patches, k = self._patches(wanted), wanted.k
        if not 0 <= k < len(patches.pixels):
            raise ContentError(f"there is no patch {k}: {len(patches.pixels)} were cut, from 0")
        pixels = patches.pixels[k]
        raw = np.ascontiguousarray(pixels.astype("<u2", copy=False)).data
        return (
            grey_png(pixels, level=self.level),
            pixel_hash("I;16", self.settings.size, self.settings.size, raw),
            int(patches.top[k]),
            int(patches.left[k]),
            patches.region,
            bool(patches.blank[k]),
        )

    def _patches(self, wanted: PatchLocator) -> Patches:
        """Of the radiograph; the last one's are kept, and so is why there are none."""
        sheet = (wanted.radiograph, wanted.ident, wanted.step)
        if self._last is None or self._last[0] != sheet:
            self._last = None  # free its memory before the next is decoded
            try:
                self._last = (sheet, self._cut(wanted))
            except ContentError as error:
                self._last = (sheet, str(error))
        found = self._last[1]
        if isinstance(found, str):
            raise ContentError(found)
        return found

    def _cut(self, wanted: PatchLocator) -> Patches:
        decoded = self._decoder_of(wanted.step)(wanted.radiograph)
        radiograph = standardised(decoded, self.settings.intensity)
        del decoded
        change = _Changed(self.change, wanted, radiograph) if wanted.step is not None else None
        patches = cut(radiograph, wanted.ident, self._settings, change)
        if change is None or change.of_original:
            self.gathered[wanted.ident] = gathered(radiograph.pixels).pack()
        return patches

    def _decoder_of(self, step: str | None) -> Decoder:
        if self._decoder is None or self._decoder[0] != step:
            self._decoder = (step, self.decoders(step))
        return self._decoder[1]


class _Changed:
    """A change with its arguments, which notes whether what was decoded is the original."""

    def __init__(self, change: Change | None, wanted: PatchLocator, of: Radiograph) -> None:
        self.change, self.wanted, self.pitch = change, wanted, (of.row_mm, of.column_mm)
        self.of_original = False

    def __call__(self, image: Grey) -> Grey:
        if self.change is None or self.wanted.step is None:
            return image
        made = self.change(image, self.wanted.ident, self.wanted.step, self.pitch)
        self.of_original = made is not image
        return made


def _fingerprint(*made_with: Any) -> bytes:
    """Readers made alike read what another kept; one that cannot be told from others, its own."""
    try:
        return hashlib.sha256(pickle.dumps(made_with)).digest()
    except (pickle.PicklingError, AttributeError, TypeError):
        return os.urandom(32)
