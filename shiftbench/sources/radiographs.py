"""Radiographs of a person's own: DICOM files, the BIMCV layout, or images with a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.pseudonyms import open_key
from shiftbench.radiograph import Radiograph, grey_png
from shiftbench.schema import CONTEXTS, Image, Metadata
from shiftbench.sources._dicom import decode_dicom
from shiftbench.sources._files import facts, one_of
from shiftbench.sources._grey_image import decode_image
from shiftbench.sources._metadata import rejected_table
from shiftbench.sources._radiograph_files import Located, keyed_fingerprint, list_recursively
from shiftbench.sources._radiograph_manifest import Manifest, Names, read_manifest
from shiftbench.sources._radiograph_scan import Wanted, collect, layout_of
from shiftbench.sources._radiograph_table import RESERVED, examples_table

__all__ = ["RadiographDecoder", "RadiographReader", "Radiographs"]

# Part of the fingerprint: raise it whenever the same files give other metadata or pixels.
_VERSION = 1

_PRIVATE = {"private": True}


@dataclass(frozen=True)
class RadiographDecoder:
    """From a locator of `Radiographs` to the pixels.

    Parameters
    ----------
    voi : bool
        Whether the VOI LUT or window of a DICOM header is applied.
    """

    voi: bool = False

    def __call__(self, locator: str) -> Radiograph:
        """The radiograph.

        Raises
        ------
        ContentError
            It cannot be decoded, or all of its pixels are alike.
        """
        located = Located.parse(locator)
        if located.kind == "dicom":
            image = decode_dicom(
                located.path, voi=self.voi, row_mm=located.row_mm, column_mm=located.column_mm
            )
        else:
            image = decode_image(located)
        # A glance is enough but for images that are nearly of one value.
        if not np.ptp(image.pixels[::16, ::16]) and not np.ptp(image.pixels):
            black = int(image.pixels.max()) == (2**image.bits - 1 if image.inverted else 0)
            raise ContentError(f"constant: every pixel is {'black' if black else 'alike'}")
        return image


@dataclass(frozen=True)
class RadiographReader:
    """From a locator of `Radiographs` to a PNG file of the whole image.

    Parameters
    ----------
    decode : RadiographDecoder
    """

    decode: RadiographDecoder = RadiographDecoder()

    def __call__(self, locator: str) -> Mapping[str, bytes]:
        """``{"image": PNG bytes}``: 0 is black, of 8 bits where that holds all bits stored.

        Raises
        ------
        ContentError
            The radiograph cannot be used.
        """
        image = self.decode(locator)
        kind = np.uint8 if image.bits <= 8 else np.uint16
        grey = np.rint(image.normalised() * np.float32(np.iinfo(kind).max))
        return {"image": grey_png(grey.astype(kind))}


@dataclass(frozen=True)
class Radiographs:
    """Radiographs in a folder: DICOM files, the BIMCV layout, or images with a manifest.

    Only headers are read at first. What leaves are acquisition values of a white list, finding,
    age and sex; patients and radiographs have pseudonyms, keyed by a secret in the key file.
    Files that are no projection image of one frame and one channel, or that nothing installed
    decodes, are recorded as rejected with the reason, by their place in the sorted folder.

    Parameters
    ----------
    folder : str
        The folder that holds the files; its subfolders count too.
    manifest : str, optional
        A CSV file of one row an image. Beside DICOM files or the BIMCV layout it adds to their
        headers, and goes before them. Only files that it names are used.
    layout : str
        "dicom", "bimcv" (sub-*/ses-*/mod-rx/*.png with JSON headers), "manifest" (PNG or JPEG
        files), or "auto", by what is there.
    file_column : str
        The manifest's column of file names: paths below the folder, or names alone.
    patient_column : str, optional
        Whose radiograph it is, in any form; it becomes a pseudonym.
    finding_column : str, optional
        What was found, the label; used where the manifest has the column, as the next three.
    view_column : str, optional
        The view position: AP, PA, LL …
    age_column : str, optional
        Age in years, or as DICOM writes it (045Y); above 89 it becomes 90.
    sex_column : str, optional
        M, F or O, or the words.
    device_column : str, optional
        The device, or what stands for it.
    row_spacing_column : str, optional
        Distance between rows, in mm at the detector.
    column_spacing_column : str, optional
        Distance between columns, in mm at the detector.
    spacing_column : str, optional
        One value for both distances.
    original_rows_column : str, optional
        Rows of the original, where the images were resized to `released_size` before release.
    original_columns_column : str, optional
        Columns of the original.
    released_size : int, optional
        Rows and columns that every image was resized to before release, e.g. 1024 for NIH
        ChestX-ray14; the pixel pitch is multiplied by original / released. Cropping afterwards
        changes nothing in it.
    bits_column : str, optional
        Bits stored of 16-bit files; without it, 16.
    keep : tuple of str
        Further columns of the manifest that leave as they are. Name none that tells who a person
        is.
    patient_per_image : bool
        Images of which it is not said whose they are count as of a patient each. Then images of
        one patient can be in several splits.
    voi : bool
        Apply the VOI LUT or window of DICOM headers.
    intent : str
        "presentation" or "processing": only files of that presentation intent; "any" = all.
    modalities : tuple of str
        The DICOM modalities that are used.
    assume_syntax : bool
        Read DICOM files without file meta information as uncompressed, little endian.
    key_file : str, optional
        The file of the pseudonyms' key, made where it is not there. Without it, the one of the
        user's configuration.
    license : str
        Licence of the images as the Hub spells it; empty = unknown.
    redistributable : bool
        Whether the images may be published.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    >>> for name in ("a.png", "b.png"):
    ...     _ = (folder / name).write_bytes(grey_png(pixels))
    >>> _ = (folder / "list.csv").write_text("image,patient,view\\na.png,7,PA\\nb.png,7,AP\\n")
    >>> source = Radiographs(str(folder), str(folder / "list.csv"), key_file=str(folder / "k.key"))
    >>> found = source.scan()
    >>> sorted(found.examples["view"].to_pylist())
    ['AP', 'PA']
    >>> len(set(found.examples["cluster_id"].to_pylist()))
    1
    >>> source.decoder()(found.examples["locator"][0].as_py()).normalised().shape
    (16, 16)
    """

    folder: str = field(metadata=_PRIVATE)
    manifest: str | None = field(default=None, metadata=_PRIVATE)
    layout: Literal["auto", "dicom", "bimcv", "manifest"] = "auto"
    file_column: str = "image"
    patient_column: str | None = "patient"
    finding_column: str | None = "finding"
    view_column: str | None = "view"
    age_column: str | None = "age"
    sex_column: str | None = "sex"
    device_column: str | None = None
    row_spacing_column: str | None = None
    column_spacing_column: str | None = None
    spacing_column: str | None = None
    original_rows_column: str | None = None
    original_columns_column: str | None = None
    released_size: int | None = None
    bits_column: str | None = None
    keep: tuple[str, ...] = ()
    patient_per_image: bool = False
    voi: bool = False
    intent: Literal["any", "presentation", "processing"] = "any"
    modalities: tuple[str, ...] = ("CR", "DX", "RG")
    assume_syntax: bool = False
    key_file: str | None = field(default=None, metadata=_PRIVATE)
    license: str = ""
    redistributable: bool = False

    def scan(self) -> Metadata:
        """Read all headers and the manifest, no pixels.

        Raises
        ------
        SourceError
            The folder or the manifest cannot be read, or no file can be used.
        ConfigurationError
            Options do not fit, a column that was named is missing, or nothing says whose the
            radiographs are.
        """
        self._check()
        listing = list_recursively(self.folder, (self.manifest, self.key_file))
        manifest = self._read_manifest()
        layout = layout_of(listing, manifest is not None) if self.layout == "auto" else self.layout
        wanted = Wanted(
            layout,
            tuple(m.strip().upper() for m in self.modalities),
            self.intent,
            self.assume_syntax,
            self.patient_per_image,
            layout != "manifest" or self.device_column is not None,
        )
        scanned = collect(listing, manifest, wanted)
        key = open_key(self.key_file)
        files = [listing.files[f.position] for f in scanned.found]
        digests = [f.digest for f in scanned.found]
        return Metadata(
            examples=examples_table(listing, scanned.found, self.keep, key),
            contexts=CONTEXTS.empty_table(),
            rejected=rejected_table(scanned.rejected),
            content={"image": Image()},
            fingerprint=keyed_fingerprint(
                key,
                [(f.name, f.bytes, d) for f, d in zip(files, digests, strict=True)],
                [_VERSION, layout, manifest.digest if manifest else "", self._options()],
            ),
            license=self.license,
            redistributable=self.redistributable,
            identity="pixels",
            counts=scanned.counts,
            notes={"title": "Radiographs"},
        )

    def reader(self) -> RadiographReader:
        """A function from a locator to ``{"image": PNG bytes}`` of the whole radiograph."""
        return RadiographReader(self.decoder())

    def decoder(self) -> RadiographDecoder:
        """A function from a locator to the `Radiograph`."""
        return RadiographDecoder(self.voi)

    def _check(self) -> None:
        for name, allowed in (
            ("layout", ("auto", "dicom", "bimcv", "manifest")),
            ("intent", ("any", "presentation", "processing")),
        ):
            one_of(name, getattr(self, name), allowed)
        if self.layout == "manifest" and self.manifest is None:
            raise ConfigurationError("layout='manifest' needs a manifest: name it with --manifest")
        if not self.modalities:
            raise ConfigurationError("modalities is empty; name at least one, e.g. DX")
        originals = (self.original_rows_column, self.original_columns_column)
        size = self.released_size
        if size is not None and (isinstance(size, bool) or size < 1):
            raise ConfigurationError(f"released_size is {size!r}; allowed: a whole number above 0")
        if (size is None) != (originals == (None, None)) or None in originals != (None, None):
            raise ConfigurationError(
                "released_size, original_rows_column and original_columns_column belong together: "
                "give all three or none"
            )
        pair = (self.row_spacing_column, self.column_spacing_column)
        if (pair[0] is None) != (pair[1] is None) or (pair[0] and self.spacing_column):
            raise ConfigurationError(
                "give spacing_column, or both row_spacing_column and column_spacing_column"
            )
        if size is not None and self.spacing_column is None and pair[0] is None:
            raise ConfigurationError(
                "released_size needs the original's pixel pitch: name its column with "
                "--spacing-column"
            )
        for name in self.keep:
            if name in RESERVED:
                raise ConfigurationError(
                    f"keep: the column {name!r} would take the place of one of the benchmark's "
                    "own; rename it in the manifest"
                )

    def _read_manifest(self) -> Manifest | None:
        if self.manifest is None:
            return None
        defaults = {f.name: f.default for f in fields(self)}
        roles = [f.name for f in fields(Names) if f.name not in ("keep", "optional")]
        given = {role: getattr(self, f"{role}_column") for role in roles}
        # A default name is used where it is there; a name that was given has to be there.
        optional = {r for r in roles if r != "file" and given[r] == defaults[f"{r}_column"]}
        names = Names(**given, keep=self.keep, optional=frozenset(optional))
        return read_manifest(self.manifest, names, self.released_size)

    def _options(self) -> list[object]:
        """What else decides on metadata and pixels; the layout and the key are apart."""
        apart = ("layout", "license", "redistributable")
        named = sorted(f.name for f in fields(self) if not f.metadata and f.name not in apart)
        return [facts("device_names"), *([name, getattr(self, name)] for name in named)]
