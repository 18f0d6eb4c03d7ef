"""Runs the shards of a plan: here, in several processes, or on a Dask cluster, through joblib."""

from __future__ import annotations

import logging
import multiprocessing
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import joblib

from shiftbench.errors import ConfigurationError, MissingExtraError, ShiftbenchError

__all__ = ["run"]

T = TypeVar("T")


def run(
    function: Callable[..., T],
    tasks: Iterable[tuple[Any, ...]],
    *,
    n_jobs: int | None = None,
    scheduler: str | None = None,
) -> Iterator[T]:
    """Results of ``function(*task)`` as they are ready, in no order.

    Parameters
    ----------
    function : callable
        Importable, so that another process finds it.
    tasks : iterable of tuple
        Arguments, each picklable; taken as they are needed.
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
        results = parallel(joblib.delayed(_DeafToControlC(function))(*task) for task in tasks)
        try:
            # Not `yield from`, which would close it, with a warning, before `finally` can.
            for result in results:  # noqa: UP028
                yield result
        except Exception as error:
            said = _LOST.get(type(error).__name__)
            if said is None or isinstance(error, ShiftbenchError):
                raise
            raise ShiftbenchError(f"{said}; what is written stays") from error
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that work was cancelled is what the error says
                results.close()


_KILLED = (
    "a worker process was killed (out of memory?); run the same command to go on, with fewer "
    "workers, or on a Dask cluster, which survives a lost worker"
)
_GONE = (
    "the connection to the Dask scheduler was lost; see that it runs, and run the same command to "
    "go on"
)
# By name, since these come from libraries that are not imported where they are not used.
_LOST = {
    "TerminatedWorkerError": _KILLED,
    "BrokenProcessPool": _KILLED,
    "KilledWorker": "several workers of the Dask cluster died on the same file (out of memory?); "
    "give them more memory and run the same command to go on",
    "FutureCancelledError": _GONE,
    "FuturesCancelledError": _GONE,
    "CancelledError": _GONE,
    "CommClosedError": _GONE,
    "PicklingError": "the source holds something that cannot be sent to another process; name "
    "files instead of objects in memory, or use n_jobs=1",
    "ModuleNotFoundError": "a worker lacks a module that this process has; install the same "
    "packages where the workers run",
}


class _DeafToControlC:
    """A task. Ctrl-C reaches every process of a terminal; the build's own one answers it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", "task")  # what Dask's dashboard shows

    def __call__(self, *task: Any) -> Any:
        in_worker = multiprocessing.current_process().name != "MainProcess"
        if in_worker and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return self.function(*task)


@contextmanager
def _backend(scheduler: str | None, n_jobs: int | None) -> Iterator[None]:
    if scheduler is None:
        yield
        return
    if not re.fullmatch(r"[a-z]+://.+", scheduler):
        raise ConfigurationError(
            f"the scheduler is {scheduler!r}; an address is needed, e.g. tcp://host:8786"
        )
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtraError("distributed", "dask") from None
    with _quiet("distributed", "distributed.client", "tornado.application"):
        try:
            client: Any = Client(scheduler, timeout=_PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
        except (OSError, ValueError, TimeoutError) as error:
            raise ShiftbenchError(
                f"no Dask scheduler answers at {scheduler!r} ({error}); start one with "
                "`dask scheduler` and name it as tcp://host:port"
            ) from error
        with client, joblib.parallel_config("dask", client=client, n_jobs=n_jobs or -1):
            if not client.scheduler_info(n_workers=1)["workers"]:
                warnings.warn(
                    f"the Dask scheduler at {scheduler} has no workers yet; the build waits for "
                    f"one, e.g. `dask worker {scheduler}`",
                    stacklevel=1,
                )
            yield


_PATIENCE = 10  # seconds


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Without the log lines with which libraries accompany the errors that they raise."""
    logs = [logging.getLogger(name) for name in names]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)
