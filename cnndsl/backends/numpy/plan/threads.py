"""Both cores: jobs over a few threads, with NumPy's BLAS held to one thread in each.

NumPy releases the interpreter's lock in a product, a copy and a ufunc, so strips of one
step run side by side; the elementwise work between two products then runs on all cores
too, which it does not where BLAS alone is threaded.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from weakref import WeakSet

import numpy as np

Job = Callable[[], None]

SYMBOLS = ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_")
SYMBOLS_32 = ("scipy_openblas_{}_num_threads", "openblas_{}_num_threads")


@cache
def _blas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """How many threads NumPy's OpenBLAS uses, and how that is set; None where it is not."""
    package = Path(np.__file__).parent
    folders = (package.parent / "numpy.libs", package / ".dylibs", package / ".libs")
    for library in (p for f in folders if f.is_dir() for p in sorted(f.glob("*openblas*"))):
        try:
            loaded = ctypes.CDLL(str(library))
        except OSError:
            continue
        for symbol in (*SYMBOLS, *SYMBOLS_32):
            if hasattr(loaded, symbol.format("set")):
                return getattr(loaded, symbol.format("get")), getattr(
                    loaded, symbol.format("set")
                )
    return None


@dataclass(slots=True)
class _Products:
    """How many plans run now, and the threads that BLAS had before the first of them."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    runs: int = 0
    before: int = 0


_products = _Products()


@contextmanager
def single_threaded_products() -> Iterator[None]:
    """Each product in the thread that asks for it; as it was before, after the last run."""
    blas = _blas()
    if blas is None:
        yield
        return
    get, set_ = blas
    held = _products
    with held.lock:
        if not held.runs:
            held.before = get()
            set_(1)
        held.runs += 1
    try:
        yield
    finally:
        with held.lock:
            held.runs -= 1
            if not held.runs:
                set_(held.before)


def cores() -> int:
    """The cores that this process may use; 1 where BLAS cannot be held to one thread."""
    if _blas() is None:
        return 1
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available else os.cpu_count() or 1


class Pool:
    """Some threads that wait for jobs; the caller's own thread takes the first of them.

    They start with the first run that needs them, in each process anew: a fork copies no
    thread. Whoever runs more than one step holds the lock. A copy is another pool.
    """

    def __init__(self, threads: int) -> None:
        """Start nothing yet."""
        self.threads = threads
        self.renew()
        _pools.add(self)

    def renew(self) -> None:
        """As new: with no thread, and a lock that nobody holds."""
        self.lock = threading.Lock()
        self._without_workers()

    def _without_workers(self) -> None:
        self.workers: list[threading.Thread] = []
        self.tasks: SimpleQueue[Job | None] = SimpleQueue()
        self.done: SimpleQueue[BaseException | None] = SimpleQueue()

    def __reduce__(self) -> tuple[type[Pool], tuple[int]]:
        """Another pool of so many threads."""
        return Pool, (self.threads,)

    def run(self, jobs: list[Job]) -> None:
        """Run them all, and return when the last has ended."""
        while len(self.workers) < min(len(jobs), self.threads) - 1:
            queues = (self.tasks, self.done)
            self.workers.append(threading.Thread(target=_work, args=queues, daemon=True))
            self.workers[-1].start()
        try:
            for job in jobs[1:]:
                self.tasks.put(job)
            jobs[0]()
            faults = [self.done.get() for _ in jobs[1:]]
        except BaseException:
            # An interrupt comes anywhere: what has been begun is done before it goes on.
            self._end()
            raise
        for fault in faults:
            if fault is not None:
                raise fault

    def _end(self) -> None:
        """Let the threads go when they have done what waits."""
        workers, tasks = self.workers, self.tasks
        self._without_workers()
        for _ in workers:
            tasks.put(None)
        for worker in workers:
            worker.join()

    def __del__(self) -> None:
        """Let the threads go."""
        for _ in self.workers:
            self.tasks.put(None)


_pools: WeakSet[Pool] = WeakSet()


def _in_child() -> None:
    """In a forked process no other thread is there to give a lock back."""
    for pool in _pools:
        pool.renew()
    blas, runs, before = _blas(), _products.runs, _products.before
    _products.lock, _products.runs = threading.Lock(), 0
    if blas is not None and runs:
        blas[1](before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def _work(tasks: SimpleQueue[Any], done: SimpleQueue[BaseException | None]) -> None:
    # An exponential may overflow to the right answer; the setting is the thread's own.
    np.seterr(all="ignore")
    while (job := tasks.get()) is not None:
        try:
            job()
        except BaseException as fault:  # noqa: BLE001, RUF100 - it is raised by `run`
            done.put(fault)
        else:
            done.put(None)
        del job


@dataclass(frozen=True, slots=True)
class Team:
    """The threads of one step.

    The caller's thread begins at once, the others when they are awake; so it takes more,
    and `ahead` is that time as a share of what one thread would need for all.
    """

    size: int
    ahead: float = 0.0

    def shares(self, count: int, least: int = 1) -> list[tuple[int, int]]:
        """`count` things in runs, the first the longest.

        There are `size` runs, or fewer where they would have less than `least` on average.
        """
        parts = max(1, min(self.size, count // max(1, least)))
        late = count * (1 - self.ahead) / parts
        cuts = [0, *(count - round(late * (parts - part)) for part in range(1, parts + 1))]
        return [(a, b) for a, b in pairwise(cuts) if a < b]


def shares(count: int, parts: int) -> list[tuple[int, int]]:
    """`count` things in at most `parts` runs of nearly equal length."""
    parts = max(1, min(parts, count))
    cuts = [count * i // parts for i in range(parts + 1)]
    return [(a, b) for a, b in pairwise(cuts) if a < b]
