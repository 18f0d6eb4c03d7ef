"""A `datasets` stream that draws its examples from groups by stated probabilities."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from typing import Any

import datasets

from shiftbench.errors import ConfigurationError
from shiftbench.store.location import Location
from shiftbench.store.manifest import SplitEntry

from .cursors import DRAWN_FROM
from .draws import Drawing, Draws, check_state
from .groups import read_blocks, read_groups
from .rewards import Rewards
from .sampling import default_temperature

__all__ = ["Interleaved", "interleave"]


class Interleaved(datasets.IterableDataset):  # type: ignore[misc]
    """A `datasets.IterableDataset` whose examples are drawn from groups; see `interleave`.

    What `datasets` makes of it (`map`, `with_format`, `take` …) is a plain `IterableDataset` that
    draws from the same groups: keep the stream itself at hand to report rewards.
    """

    @property
    def groups(self) -> dict[str, int]:
        """Examples of each group that is drawn from."""
        found = self._draws.drawing.groups
        return dict(zip(found.names, found.sizes, strict=True))

    @property
    def probabilities(self) -> dict[str, float]:
        """With which the next example comes from each group, in the iteration that began last."""
        draws = self._draws
        found = draws.probabilities(draws.latest["drawn"]).tolist()
        return dict(zip(draws.drawing.groups.names, found, strict=True))

    def report(self, group: str | Sequence[str], values: Any) -> None:
        """Tell what was learnt from examples, for the method "upper_confidence_bound".

        Parameters
        ----------
        group : str, or sequence of str
            As in the column `drawn_from`: one for all values, or one for each.
        values : float, or sequence of float
            E.g. advantages or losses; their size counts. What is reported stays for every later
            iteration, and is part of the state.

        Raises
        ------
        ConfigurationError
            An unknown group, not as many groups as values, or a method that learns nothing.
        """
        draws = self._draws
        if draws.drawing.method != "upper_confidence_bound":
            raise ConfigurationError(
                f"method {draws.drawing.method!r} learns nothing from rewards; make the stream "
                "with method='upper_confidence_bound'"
            )
        draws.rewards.report(group, values)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a stream made in the same way was, in its epoch.

        Of streams made from this one by `map` and the like, `datasets` leaves the epoch to
        `set_epoch`, and begins again where it is another one.

        Raises
        ------
        ConfigurationError
            The state is that of another stream.
        """
        check_state(state_dict, self._draws.drawing.identity)
        self.set_epoch(state_dict.get("epoch", 0))
        super().load_state_dict(state_dict)

    @property
    def _draws(self) -> Draws:
        found: Draws = self._ex_iterable
        return found


def interleave(
    folder: Location,
    entry: SplitEntry,
    where: str,
    *,
    by: str | Sequence[str] = "environment",
    method: str = "uniform",
    temperature: float | None = None,
    seed: int = 0,
    length: int | None = None,
    buffer_mb: float = 64.0,
    window: int = 300,
) -> Interleaved:
    """A stream that draws from the groups of a split; see `Benchmark.interleave`.

    Parameters
    ----------
    folder : Location
        Of the benchmark.
    entry : SplitEntry
        The split.
    where : str
        Its name, for messages.
    by, method, temperature, seed, length, buffer_mb, window
        As in `Benchmark.interleave`.

    Raises
    ------
    ConfigurationError
        Options that are not allowed or do not fit the split.
    """
    heat = default_temperature(method, temperature)
    if not buffer_mb > 0:
        raise ConfigurationError(f"buffer_mb is {buffer_mb}; allowed: numbers above 0")
    if length is not None and (isinstance(length, bool) or length < 0):
        raise ConfigurationError(
            f"length is {length}; allowed: 1 and above, 0 for a stream without an end, or None "
            "for as many examples as the split has"
        )
    if not entry.rows:
        raise ConfigurationError(f"{where} has no examples to draw from")
    blocks = read_blocks(folder, entry.files)
    schema = blocks.schema
    if DRAWN_FROM in schema.names:
        raise ConfigurationError(
            f"{where} has a column {DRAWN_FROM!r}, which is that of the stream's own"
        )
    groups = read_groups(blocks, _columns(by, method, schema.names, where), where)
    if len(groups.names) < 2:
        raise ConfigurationError(
            f"{where} has one group only ({groups.names[0]!r}); there is nothing to interleave"
        )
    if method == "group_balanced" and groups.empty:
        told = ", ".join(map(repr, groups.empty[:5])) + (" …" if len(groups.empty) > 5 else "")
        warnings.warn(
            f"{where}: {len(groups.empty)} groups have no example ({told}); the other "
            f"{len(groups.names)} are drawn from equally, and classes and environments are not",
            stacklevel=3,
        )
    n = entry.rows if length is None else length
    spec = [entry.digest, groups.names, method, heat, seed, n, float(buffer_mb), window]
    drawing = Drawing(
        blocks,
        groups,
        method,
        heat,
        seed,
        n,
        max(int(buffer_mb * 2**20), 1),
        hashlib.sha256(json.dumps(spec).encode()).hexdigest()[:16],
    )
    features = datasets.Features.from_arrow_schema(schema)
    features[DRAWN_FROM] = datasets.Value("string")
    return Interleaved(
        Draws(drawing, Rewards(groups.names, window)),
        info=datasets.DatasetInfo(features=features),
    )


def _columns(
    by: str | Sequence[str], method: str, there: Sequence[str], where: str
) -> tuple[str, ...]:
    columns = (by,) if isinstance(by, str) else tuple(by)
    if columns == ("group",) and "group" not in there:
        columns = ("label", "environment")
    if not columns:
        raise ConfigurationError("`by` names no column; name at least one")
    if method == "group_balanced" and "label" not in columns:
        if "label" not in there:
            raise ConfigurationError(
                f"{where} has no column 'label', which the groups of 'group_balanced' need"
            )
        columns = ("label", *columns)
    return columns
