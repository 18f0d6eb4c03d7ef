"""The draws of a stream: what `datasets` iterates, shares out between workers and resumes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from datasets.iterable_dataset import _BaseExamplesIterable
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import stream

from .cursors import SMALL, Cursor, Kept
from .groups import Blocks, Groups
from .rewards import Rewards
from .sampling import probabilities, upper_confidence

__all__ = ["Drawing", "Draws", "check_state"]

MAX_SHARDS = 5040

# How many draws share a stream of random numbers, and how many are made at a time.
_NUMBERS = 1024
_AT_ONCE = 32
_SMALL_AT_ONCE = 256

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Drawing:
    """What is drawn, and how: the same for every worker and epoch."""

    blocks: Blocks
    groups: Groups
    method: str
    temperature: float
    seed: int
    length: int
    limit: int
    identity: str

    @property
    def shards(self) -> int:
        """Into how many parts each group can be divided."""
        return min(*self.groups.sizes, MAX_SHARDS)


class Draws(_BaseExamplesIterable):  # type: ignore[misc]
    """Examples one by one; what `datasets` iterates, shares out between workers and resumes.

    Its state is the number of examples drawn from each group, and what was reported: from these
    the next draw and the next example of every group follow, so that nothing is drawn again.
    """

    _sleep_on_threads_shutdown = False

    def __init__(self, drawing: Drawing, rewards: Rewards) -> None:
        super().__init__()
        self.drawing = drawing
        self.rewards = rewards
        self.key: tuple[int, ...] = ()
        self.part = (0, drawing.shards)
        self.drawn = [0] * len(drawing.groups.names)
        # Shared by all that `datasets` copies from here, for it iterates over copies.
        self.latest = {"drawn": self.drawn}

    def _init_state_dict(self) -> dict[str, Any]:
        self.drawn = [0] * len(self.drawing.groups.names)
        state: dict[str, Any] = {
            "stream": self.drawing.identity,
            "drawn": self.drawn,
            "rewards": self.rewards.state if self._learns else {},
            "type": "Interleaved",
        }
        self._state_dict: dict[str, Any] | None = state
        return state

    @property
    def iter_arrow(self) -> Callable[[], Iterator[tuple[str, pa.Table]]] | None:
        """Several examples at a time, but where the next draw hangs on what is made of the last."""
        return None if self._learns else self._iter_arrow

    @property
    def _learns(self) -> bool:
        return self.drawing.method == "upper_confidence_bound"

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, table in self._tables(1):
            yield key, table.to_pylist()[0]

    def _iter_arrow(self) -> Iterator[tuple[str, pa.Table]]:
        return self._tables(_SMALL_AT_ONCE if self.drawing.blocks.row_bytes < SMALL else _AT_ONCE)

    def _tables(self, at_once: int) -> Iterator[tuple[str, pa.Table]]:
        """The examples, up to so many at a time."""
        drawn, choose, cursors = self._begun()
        length = self._length()
        start = sum(drawn)
        while length is None or start < length:
            stop = start + at_once - start % at_once
            if length is not None:
                stop = min(stop, length)
            chosen = choose(start, stop)
            found: list[pa.RecordBatch] = []
            for at, n in enumerate(np.bincount(chosen, minlength=len(cursors)).tolist()):
                if n:
                    found += cursors[at].examples(drawn[at], n)
                    drawn[at] += n
            yield f"{start}", _in_order(found, chosen)
            start = stop

    def _begun(self) -> tuple[list[int], Callable[[int, int], Codes], list[Cursor]]:
        """How many were drawn of each group, from which the next come, and each group's."""
        if self._state_dict is None:
            self._init_state_dict()
        assert self._state_dict is not None
        check_state(self._state_dict, self.drawing.identity)
        if self._learns and _in_worker():
            raise ConfigurationError(
                "rewards reported to the main process do not reach the workers of a DataLoader; "
                "use num_workers=0 with method='upper_confidence_bound'"
            )
        self.drawn = self.latest["drawn"] = self._state_dict["drawn"]
        first, last = self.part
        ident = f"{first}-{last} of {self.drawing.shards}|{self.key}"
        numbers = _Numbers(self.drawing.seed, ident)

        def choose(start: int, stop: int) -> Codes:
            ends = np.cumsum(self.probabilities(self.drawn))
            found = np.searchsorted(ends, numbers.between(start, stop), side="right")
            return np.minimum(found, len(ends) - 1)

        return self.drawn, choose, self._cursors(ident)

    def probabilities(self, drawn: Sequence[int]) -> NDArray[np.float64]:
        """Of the next draw, after so many of each group."""
        drawing = self.drawing
        if self._learns:
            return upper_confidence(self.rewards.means, drawn, drawing.temperature)
        return probabilities(drawing.groups.sizes, drawing.method, drawing.temperature)

    def _cursors(self, ident: str) -> list[Cursor]:
        drawing = self.drawing
        of_block = [
            np.unique(np.searchsorted(drawing.blocks.starts, rows, side="right") - 1)
            for rows in drawing.groups.rows
        ]
        shared = np.bincount(np.concatenate(of_block), minlength=len(drawing.blocks.sizes)) > 1
        kept = Kept(drawing.blocks, shared, drawing.limit)
        first, last = self.part
        n = drawing.shards
        return [
            Cursor(
                drawing.blocks,
                kept,
                rows[len(rows) * first // n : len(rows) * last // n],
                drawing.limit,
                drawing.seed,
                ident,
                name,
            )
            for name, rows in zip(drawing.groups.names, drawing.groups.rows, strict=True)
        ]

    def _length(self) -> int | None:
        """Examples to draw here; None: no end."""
        first, last = self.part
        n, total = self.drawing.shards, self.drawing.length
        return None if total == 0 else total * last // n - total * first // n

    def _keyed(self, value: int) -> Draws:
        made = copy(self)
        made.key = (*self.key, value)
        made._state_dict = None
        return made

    def shift_rngs(self, value: int) -> Draws:
        """Other random numbers: `datasets` asks for them by epoch and by worker."""
        return self._keyed(int(value))

    def shuffle_data_sources(self, generator: np.random.Generator) -> Draws:
        """Another order."""
        return self._keyed(int(np.random.default_rng(generator).integers(2**31)))

    def shard_data_sources(self, num_shards: int, index: int, contiguous: bool = True) -> Draws:
        """A part of every group."""
        first, last = self.part
        n = last - first
        made = copy(self)
        made.part = (first + n * index // num_shards, first + n * (index + 1) // num_shards)
        made._state_dict = None
        return made

    def reshard_data_sources(self) -> Draws:
        """The same: the parts are small already."""
        return self

    @property
    def num_shards(self) -> int:
        """How many workers can have a part of every group."""
        return self.part[1] - self.part[0]


def check_state(state: Any, identity: str) -> None:
    """Refuse the state of another stream."""
    if isinstance(state, Mapping):
        if "stream" in state and state["stream"] != identity:
            raise ConfigurationError(
                "the state is that of another stream: of other examples, groups, method, seed or "
                "length; make the stream as it was when the state was saved"
            )
        for value in state.values():
            if isinstance(value, Mapping):
                check_state(value, identity)


def _in_order(found: Sequence[pa.RecordBatch], chosen: Codes) -> pa.Table:
    """Examples that come group by group, in the order of the draws."""
    place = np.empty(len(chosen), np.int64)
    place[np.argsort(chosen, kind="stable")] = np.arange(len(chosen))
    if len(found) == len(chosen):
        return pa.Table.from_batches([found[i] for i in place.tolist()])
    return pa.Table.from_batches(found).combine_chunks().take(pa.array(place)).combine_chunks()


class _Numbers:
    """The uniform number of each draw, found without those before it."""

    def __init__(self, seed: int, ident: str) -> None:
        self._seed, self._ident = seed, ident
        self._at, self._some = -1, np.empty(0)

    def between(self, start: int, stop: int) -> NDArray[np.float64]:
        """Of some draws, all in one run of `_NUMBERS`."""
        at, place = divmod(start, _NUMBERS)
        if at != self._at:
            made = stream(self._seed, "interleave draws", f"{self._ident}|{at}")
            self._at, self._some = at, made.random(_NUMBERS)
        return self._some[place : place + stop - start]


def _in_worker() -> bool:
    if "torch" not in sys.modules:
        return False
    import torch.utils.data

    return torch.utils.data.get_worker_info() is not None
