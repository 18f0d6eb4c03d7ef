"""Where the images of a table are: in it, in files beside it, or nowhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shiftbench.errors import ConfigurationError, ContentError, SourceError
from shiftbench.sources._files import FileReader, is_url, list_folder, need_some, outside
from shiftbench.sources._tables import Table, image_bytes, is_image, is_text

__all__ = ["CellReader", "Content"]


class Content:
    """Where each row's image is: in the table (``#row``), in a file, or nowhere.

    Parameters
    ----------
    table : Table
        The rows.
    name : str
        The image column; where the table has none, there is no content.
    images : str or None
        The folder that paths in the column are relative to.
    label : str
        What the table is called in records of what was rejected.
    """

    def __init__(self, table: Table, name: str, images: str | None, label: str, n: int) -> None:
        self.images = images
        self.label = label
        self.absent = self.others = 0
        self.column: str | None = name
        self.locators: list[str | None] = [None] * n
        self.names: list[str] = [""] * n
        self.files: dict[str, tuple[int, int]] = {}
        self.bad: dict[int, str] = {}
        self.digest = ""
        kind = table.schema.field(name).type if name in table.schema.names else None
        if kind is not None and pa.types.is_dictionary(kind):
            kind = kind.value_type
        if kind is None or (is_text(kind) and images is None):
            self.column = None
            return
        if not is_image(kind):
            raise ConfigurationError(
                f"{label}: the column {name!r} is of type {kind}; expected are images: their "
                "bytes, an Image of `datasets`, or their paths"
            )
        paths = self._stored_here(table, name)
        self._stored_in_files(paths)

    def _stored_here(self, table: Table, name: str) -> dict[int, str]:
        """Sizes and one hash of the images that stand in the table; the paths of the others."""
        digest = hashlib.sha256()
        paths: dict[int, str] = {}
        row = 0
        for part in table.batches(name):
            part = part.dictionary_decode() if pa.types.is_dictionary(part.type) else part
            data = image_bytes(part)
            named = part
            if pa.types.is_struct(part.type):
                has_path = part.type.get_field_index("path") >= 0
                named = pc.struct_field(part, "path") if has_path else pa.nulls(len(part))
            for i in range(len(part)):
                value = data[i].as_buffer() if data is not None and data[i].is_valid else None
                if value is not None:
                    locator = f"#{row + i}"
                    self.locators[row + i] = locator
                    self.files[locator] = (value.size, 0)
                    digest.update(b"%d:" % value.size)
                    digest.update(value)
                elif data is None or pa.types.is_struct(part.type):
                    path = named[i].as_py()
                    if path:
                        paths[row + i] = path
            row += len(part)
        self.digest = digest.hexdigest()
        return paths

    def _stored_in_files(self, paths: Mapping[int, str]) -> None:
        if not paths:
            return
        if self.images is not None:
            inside = {i: p for i, p in paths.items() if not outside(p)}
            folder = list_folder(self.images, inside.values())
            for i, path in paths.items():
                if i not in inside:
                    self.bad[i] = f"{path!r} leads out of the folder {self.images}"
                elif path in folder.files:
                    self.locators[i] = folder.locator(path)
                    self.files[folder.locator(path)] = folder.files[path]
                    self.names[i] = path
            need_some(sum(map(bool, self.names)), list(inside.values()), folder)
            self.others = folder.others(inside.values())
            return
        parents: dict[str, list[int]] = {}
        for i, path in paths.items():
            if is_url(path) or Path(path).is_absolute():
                parents.setdefault(path.rpartition("/")[0], []).append(i)
        for parent, rows in sorted(parents.items()):
            try:
                folder = list_folder(parent, ())
            except SourceError:
                continue
            for i in rows:
                name = paths[i].rpartition("/")[2]
                if name in folder.files:
                    self.locators[i] = folder.locator(name)
                    self.files[folder.locator(name)] = folder.files[name]
                    self.names[i] = name
        if not self.files:
            raise SourceError(
                f"{self.label}: none of the {len(paths)} image files that the column names could "
                f"be found, e.g. {next(iter(paths.values()))!r}; relative paths start from the "
                "folder that `images` names (images='.' is the current one), absolute ones are "
                "looked for as they are"
            )

    def there(self, row: int, rejected: list[tuple[str, str]]) -> bool:
        """Whether a row's image is there; the absent are counted, the unusable recorded."""
        if row in self.bad:
            rejected.append((f"{self.label}: row {row}", self.bad[row]))
            return False
        if self.column is not None and self.locators[row] is None:
            self.absent += 1
            return False
        return True

    def located(self, order: Sequence[int]) -> dict[str, pa.Array]:
        """The private columns of some rows."""
        locators = [self.locators[i] for i in order] if self.column else [None] * len(order)
        stats = [(None, 0) if x is None else self.files[x] for x in locators]
        return {
            "locator": pa.array(locators, pa.string()),
            "bytes": pa.array([s[0] for s in stats], pa.int64()),
            "modified": pa.array([s[1] for s in stats], pa.int64()),
        }

    def sizes_by_name(self, order: Sequence[int]) -> list[tuple[str, int]]:
        """Names and sizes of the image files of some rows."""
        found = []
        for i in order:
            locator = self.locators[i]
            if self.names[i] and locator is not None:
                found.append((self.names[i], self.files[locator][0]))
        return found


class CellReader:
    """Reads the image that a locator names; the table is opened at the first that stands in it."""

    def __init__(self, open_table: Callable[[], Table], column: str) -> None:
        self.open_table = open_table
        self.column = column
        self.table: Table | None = None
        self.file = FileReader()

    def __call__(self, locator: str) -> Mapping[str, Any]:
        """The content columns of one example.

        Raises
        ------
        ContentError
            The image is missing, unreadable or empty.
        """
        if not locator.startswith("#"):
            return self.file(locator)
        if self.table is None:
            self.table = self.open_table()
        row = int(locator[1:])
        try:
            value = self.table.cell(self.column, row)
        except (OSError, IndexError, pa.ArrowException) as e:
            raise ContentError(f"row {row}: the image cannot be read: {e}") from e
        data = value["bytes"] if isinstance(value, Mapping) else value
        if not data:
            raise ContentError(f"row {row}: the image is empty")
        return {"image": data}
