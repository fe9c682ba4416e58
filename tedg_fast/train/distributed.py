"""The ranks of a data-parallel run: PyTorch's launcher starts them, torch.distributed joins them.

``World`` is a run in one process: its collectives give back what they are given, so that the
trainer reads the same for one process and for a thousand. ``Ranks`` does them over all processes.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from tedg_fast.errors import Failed
from tedg_fast.runs.config import ConfigError

COLLECTIVE_SECONDS = 120.0
"""After so long in one collective another rank counts as hung. More than a game worker that hangs
may take until it is replaced (60 s), for a rank that replaces one is late and not lost."""
REPORT_SECONDS = 2.0
"""How long a rank that lost another waits for the rest to say that they live."""

T = TypeVar("T")


class RankLost(Failed):
    """Another rank died, hangs or cannot be reached; the message is one line."""


class World:
    """A run in one process. ``rank`` of ``size``; ``local_size`` ranks share this machine."""

    rank, size, local_size = 0, 1, 1
    waited = 0.0
    """Seconds spent in collectives so far."""

    @property
    def leads(self) -> bool:
        """Whether this is the one rank that writes files and to the terminal."""
        return self.rank == 0

    def restarted(self) -> bool:
        """Whether the launcher started this run anew after a rank died."""
        return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0

    def device(self, name: str) -> str:
        """The device that this rank uses for ``--device name``."""
        return name

    def settled(self, threads: int = 1) -> contextlib.AbstractContextManager[None]:
        """A block in which this rank stays on a core of its own, where there is one for each rank
        and it computes in one of ``threads``.

        It binds this thread, and the threads that it starts, to that core. Otherwise two ranks
        could share a core while another one idles, and would be half as fast.
        """
        return contextlib.nullcontext()

    def first(self, make: Callable[[], T]) -> T:
        """What ``make`` gives on the first rank, which alone calls it. If it raises there, the
        other ranks exit with 2, or with the code of a ``SystemExit``."""
        return make()

    def gather(self, entry: T) -> list[T] | None:
        """Every rank's ``entry`` in rank order, on the first rank; None on the others."""
        return [entry]

    def stack(self, values: Tensor) -> Tensor:
        """Every rank's ``values`` (CPU, same shape and dtype on all) in rank order, [W, …]."""
        return values[None]

    def sums(self, *values: float) -> list[float]:
        """Sum of each value over all ranks, in float64."""
        return list(map(float, values))

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a floating-point tensor over all ranks."""
        return values

    def mean_and_std(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (of the population) of all ranks' values taken together."""
        return values.mean(), values.std(correction=0)

    def variances(self, *values: Tensor) -> list[float]:
        """Of each of ``values``, the variance of all ranks' values taken together."""
        return [part.var(correction=0).item() for part in values]

    def average_gradients(self, parameters: Sequence[Tensor], loss: Tensor) -> Tensor:
        """Replace each gradient by its mean over all ranks → mean of ``loss`` (0-dim)."""
        return loss


ALONE = World()


class Ranks(World):
    """All processes that ``torchrun`` started, joined by its rendezvous.

    CPU tensors travel by gloo, CUDA tensors by NCCL. Every method must be called by all ranks in
    the same order. Raises ``RankLost`` after ``COLLECTIVE_SECONDS`` at the latest.
    """

    def __init__(self) -> None:
        # Has NCCL's waits end in an exception instead of an abort without a word.
        os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
        self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.local_rank = int(os.environ.get("LOCAL_RANK", 0))
        self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        with_nccl = torch.cuda.is_available() and dist.is_nccl_available()
        limit = timedelta(seconds=COLLECTIVE_SECONDS)
        with self._collective(), _patient_threads(), self.settled():
            store, _, _ = next(dist.rendezvous("env://", timeout=limit))
            self._store = fresh_store(store, self.rank, self.size, COLLECTIVE_SECONDS)
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if with_nccl else "gloo",
                store=self._store, rank=self.rank, world_size=self.size, timeout=limit,
            )  # fmt: skip

    def restarted(self) -> bool:
        # Launchers count the failures of their own machine only.
        return self.sums(super().restarted())[0] > 0

    def device(self, name: str) -> str:
        if name == "cpu":
            return name
        if name != "cuda":
            raise ConfigError(
                f"--device is {name!r}, but every rank takes a device of its own: give cuda"
            )
        if self.local_rank >= torch.cuda.device_count():
            raise ConfigError(
                f"rank {self.rank} is number {self.local_rank} on its machine, which has "
                f"{torch.cuda.device_count()} CUDA devices: start fewer by --nproc-per-node"
            )
        torch.cuda.set_device(self.local_rank)
        return f"cuda:{self.local_rank}"

    @contextlib.contextmanager
    def settled(self, threads: int = 1) -> Iterator[None]:
        cores = os.sched_getaffinity(0)
        if len(cores) == self.local_size and threads == 1:
            os.sched_setaffinity(0, {sorted(cores)[self.local_rank]})
        try:
            yield
        finally:
            os.sched_setaffinity(0, cores)

    def first(self, make: Callable[[], T]) -> T:
        outcome: list[Any] = [None, None]
        if self.leads:
            try:
                outcome = [make(), None]
            except BaseException as error:
                code = error.code or 0 if isinstance(error, SystemExit) else 2
                with contextlib.suppress(RankLost):
                    self._broadcast([None, code])
                    self.leave()
                raise
        outcome = self._broadcast(outcome)
        if outcome[1] is not None:
            self.leave()  # threads left running would abort the process, whatever its exit code
            raise SystemExit(outcome[1])
        return outcome[0]

    def gather(self, entry: T) -> list[T] | None:
        entries: list[T] | None = [entry] * self.size if self.leads else None
        with self._collective():
            dist.gather_object(entry, entries, dst=0)
        return entries

    def stack(self, values: Tensor) -> Tensor:
        parts = [torch.empty_like(values) for _ in range(self.size)]
        with self._collective():
            dist.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    def sums(self, *values: float) -> list[float]:
        sums = torch.tensor(values, dtype=torch.float64)
        with self._collective():
            dist.all_reduce(sums)
        return sums.tolist()

    def mean(self, values: Tensor) -> Tensor:
        return self._mean_in_place(values.clone())

    def mean_and_std(self, values: Tensor) -> tuple[Tensor, Tensor]:
        ((mean, variance),) = self._moments(values)
        return mean.to(values), variance.sqrt().to(values)

    def variances(self, *values: Tensor) -> list[float]:
        return self._moments(*values)[:, 1].tolist()

    def average_gradients(self, parameters: Sequence[Tensor], loss: Tensor) -> Tensor:
        # One buffer and one collective: the latency of many small ones would be the price.
        used = [parameter for parameter in parameters if parameter.grad is not None]
        gradients = [parameter.grad.flatten() for parameter in used if parameter.grad is not None]
        flat = torch.cat([*gradients, loss.reshape(1)])
        *averaged, mean_loss = self._mean_in_place(flat).split([*(p.numel() for p in used), 1])
        for parameter, average in zip(used, averaged):
            parameter.grad = average.view_as(parameter)
        return mean_loss.squeeze(0)

    def leave(self) -> None:
        """Part from the other ranks at the end of a run."""
        dist.destroy_process_group()

    def _moments(self, *values: Tensor) -> Tensor:
        """Mean and variance over all ranks, which hold equally many values, of each of ``values``
        [N] → [N, 2] in float64."""
        parts = [part.cpu().double() for part in values]
        own = torch.stack([torch.stack([part.mean(), part.var(correction=0)]) for part in parts])
        means, variances = self.stack(own).unbind(2)
        mean = means.mean(0)
        return torch.stack([mean, (variances + (means - mean).square()).mean(0)], 1)

    def _mean_in_place(self, values: Tensor) -> Tensor:
        with self._collective():
            dist.all_reduce(values)
        return values.div_(self.size)  # afterwards: gloo knows no mean

    def _broadcast(self, values: list[Any]) -> list[Any]:
        with self._collective():
            dist.broadcast_object_list(values, src=0)
        return values

    @contextlib.contextmanager
    def _collective(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        except RuntimeError as error:  # all that torch.distributed raises is one
            seconds = time.perf_counter() - began
            raise RankLost(
                f"rank {self.rank} of {self.size} lost {self._missing()} after {seconds:.0f} s "
                f"({str(error).splitlines()[0][:120]}); torchrun --max-restarts N goes on from "
                "the newest checkpoint by itself, --resume by hand"
            ) from None
        finally:
            self.waited += time.perf_counter() - began

    def _missing(self) -> str:
        """In words, the ranks that do not say in time that they lost another themselves."""
        try:
            self._store.set(f"tedg/lost/{self.rank}", "1")
            time.sleep(REPORT_SECONDS)
            names = [f"tedg/lost/{rank}" for rank in range(self.size)]
            silent = [str(k) for k, name in enumerate(names) if not self._store.check([name])]
        except (AttributeError, RuntimeError):  # the store is gone, or was never reached
            silent = []
        if not silent:
            return "the others"
        return f"rank{'s' if len(silent) > 1 else ''} {', '.join(silent)}"


@contextlib.contextmanager
def _patient_threads() -> Iterator[None]:
    """A block in which started threads get a policy that never displaces a running thread.

    While another thread sends, gloo's event thread tries again and again, without sleeping, to take
    the lock that the sender holds. When it displaced the sender from the core that they shared,
    each collective, however small, lasted until the scheduler's next tick: 4 ms instead of 0.2.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def fresh_store(store: dist.Store, rank: int, size: int, seconds: float) -> dist.Store:
    """A part of the launcher's ``store`` that all ``size`` ranks share and none wrote to before.

    torchrun keeps its store when it restarts ranks, with the addresses of the dead ones in it, and
    nothing in the environment tells one attempt from the next. So every other rank writes a random
    name into the store, and waits for the answer to that name. The first rank answers all names
    that it finds, those of dead ranks too, until as many ranks as are awaited have said that they
    read their answer, which is the prefix of the part to use. Raises ``RuntimeError`` after
    ``seconds``.
    """
    if rank > 0:
        name = uuid.uuid4().hex
        store.set(f"tedg/knock/{store.add('tedg/knocks', 1)}", name)
        token = store.get(f"tedg/answer/{name}").decode()
        store.add(token, 1)
        return dist.PrefixStore(token, store)
    token, answered = uuid.uuid4().hex, set[int]()
    deadline = time.monotonic() + seconds
    while (heard := store.add(token, 0)) < size - 1:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {heard + 1} of {size} ranks came within {seconds:.0f} s")
        for knock in set(range(1, store.add("tedg/knocks", 0) + 1)) - answered:
            if store.check([f"tedg/knock/{knock}"]):
                name = store.get(f"tedg/knock/{knock}").decode()
                store.set(f"tedg/answer/{name}", token)
                answered.add(knock)
        time.sleep(0.01)
    return dist.PrefixStore(token, store)


@contextlib.contextmanager
def joined() -> Iterator[World]:
    """The world that the launcher's environment variables tell of; ``ALONE`` without any.

    Raises ``ConfigError`` where they are incomplete.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield ALONE
        return
    lacking = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if lacking:
        raise ConfigError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']} but {' and '.join(lacking)} not set: start "
            "the ranks by torchrun, or unset WORLD_SIZE"
        )
    ranks = Ranks()
    yield ranks
    ranks.leave()  # after an error there may be nobody left to part from
