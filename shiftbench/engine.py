"""Runs the shards of a plan: here, in several processes, or on a Dask cluster, through joblib."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import joblib

from shiftbench.errors import ConfigurationError, MissingExtraError, ShiftbenchError

__all__ = ["run"]

T = TypeVar("T")


def run(
    function: Callable[..., T],
    tasks: Sequence[tuple[Any, ...]],
    *,
    n_jobs: int | None = None,
    scheduler: str | None = None,
) -> Iterator[T]:
    """Results of ``function(*task)`` as they are ready, in no order.

    Parameters
    ----------
    function : callable
        Importable, so that another process finds it.
    tasks : sequence of tuple
        Arguments, each picklable.
    n_jobs : int, optional
        Processes; None takes the active ``joblib.parallel_config`` or else one.
    scheduler : str, optional
        Address of a Dask scheduler, e.g. ``tcp://host:8786`` (extra ``dask``). A job survives the
        loss of a worker there.

    Raises
    ------
    ShiftbenchError
        A local worker process was killed, or the scheduler cannot be reached.

    Examples
    --------
    >>> sorted(run(pow, [(2, 3), (3, 2)]))
    [8, 9]
    """
    if n_jobs is not None and (n_jobs == 0 or n_jobs < -1):
        raise ConfigurationError(f"n_jobs is {n_jobs}; allowed: 1, 2, … or -1 for all cores")
    with _backend(scheduler, n_jobs):
        parallel = joblib.Parallel(
            n_jobs=n_jobs if scheduler is None else -1,
            return_as="generator_unordered",
            batch_size=1,
        )
        results = parallel(joblib.delayed(function)(*task) for task in tasks)
        try:
            yield from results
        except Exception as error:
            if type(error).__name__ in (
                "TerminatedWorkerError",
                "KilledWorker",
                "BrokenProcessPool",
            ):
                raise ShiftbenchError(
                    "a worker process was killed (out of memory?); run the same command to go on "
                    "with fewer workers, or use a Dask cluster, which survives a lost worker"
                ) from error
            raise
        finally:
            results.close()


@contextmanager
def _backend(scheduler: str | None, n_jobs: int | None) -> Iterator[None]:
    if scheduler is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtraError("distributed", "dask") from None
    try:
        client: Any = Client(scheduler, timeout="20s", set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise ShiftbenchError(
            f"no Dask scheduler answers at {scheduler!r} ({error}); start one with "
            "`dask scheduler` and name it as tcp://host:port"
        ) from error
    with client, joblib.parallel_config("dask", client=client, n_jobs=n_jobs or -1):
        yield
