"""Damaged inputs by the thousand: each made from a seed, a reader's name and a number alone, so that it can be made again."""

from __future__ import annotations

import io
import multiprocessing
import os
import resource
import shutil
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import torch

from hypernerf.types import InputError

from .readers import Reader
from .trees import Tree, damaged, read_tree, write_tree
from .watch import Watch

PATIENCE = 60  # seconds without a finished case after which the whole process is ended: it hangs where no signal reaches it
ADDRESS_SPACE = 8 << 30  # bytes beyond what the process has at its start


@dataclass(frozen=True)
class Outcome:
    """Of one case: read, or refused as documented; or, where there are `faults`, neither."""

    case: int
    answer: str  # the message of the refusal, or "read"
    faults: tuple[str, ...]
    seconds: float = 0.0
    megabytes: float = 0.0  # that the process grew by


class Bench:
    """Reads damaged copies of one reader's seed in a scratch folder, which is the working directory meanwhile."""

    def __init__(self, reader: Reader, scratch: Path, seed: int) -> None:
        self.reader, self.seed, self.watch = reader, seed, Watch()
        self.folder = scratch / "fuzz-case"
        self.folder.mkdir()
        reader.make(self.folder)
        self.tree = read_tree(self.folder)
        reader.read(self.folder)  # or the campaign would show nothing; and what is imported late is imported now
        for path in self.folder.iterdir():  # beside the case's folder, where links lead: as good as its own
            if path.is_dir():
                shutil.copytree(path, scratch / f"outside_{path.name}")
        for name, data in self.tree.items():
            (scratch / f"outside{os.path.splitext(name)[1]}").write_bytes(data)  # type: ignore[arg-type]
        shutil.rmtree(self.folder)

    def case(self, number: int) -> Tree:
        return damaged(self.tree, Random(f"{self.seed}/{self.reader.name}/{number}"), self.reader.given)

    def run(self, number: int) -> Outcome:
        write_tree(self.folder, self.case(number))
        answer, faults = "read", []
        try:
            with self.watch.over(self.folder), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                try:
                    self.reader.read(self.folder)
                except InputError as error:
                    answer = str(error)
                    if self.folder.name not in answer or not answer.isprintable():
                        faults.append(f"names no file, or cannot be shown: {answer[:200]!a}")
        except Exception as error:  # anything at all: that is what is looked for
            faults.append(_where(error))
        shutil.rmtree(self.folder)
        return Outcome(number, answer, (*faults, *self.watch.faults), self.watch.seconds, self.watch.filled)


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "hypernerf" in frame.filename or "scenes" in frame.filename] or frames
    return f"{type(error).__name__}: {str(error)[:200]!a} at {Path(own[-1].filename).name}:{own[-1].lineno}"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder in memory where that exists, left and removed afterwards; the working directory meanwhile."""
    memory, before = Path("/dev/shm"), Path.cwd()
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory if memory.is_dir() else None) as folder:
        os.chdir(folder)
        try:
            yield Path(folder).resolve()
        finally:
            os.chdir(before)


def run_reader(reader: Reader, seed: int, cases: Sequence[int]) -> Iterator[Outcome]:
    """The cases' outcomes, found in a process of its own; if it dies or hangs, that is a fault and the next one goes on.

    Raises:
        RuntimeError: the undamaged input cannot be read.
    """
    context = multiprocessing.get_context("fork")
    done = 0
    while done < len(cases):
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(reader, seed, cases[done:], theirs), daemon=True)
        process.start()
        theirs.close()
        ready = False
        try:
            while done < len(cases):
                if not any(mine.poll(1) for _ in range(PATIENCE)):
                    raise EOFError
                received = mine.recv()
                if ready:
                    done += 1
                    yield received
                ready = True
        except EOFError:
            process.kill()
            process.join()
            if not ready:
                raise RuntimeError(f"{reader.name}: its undamaged input cannot be read") from None
            done += 1
            yield Outcome(cases[done - 1], "", (f"ended its process (exit code {process.exitcode})",))
        process.join()


def _child(reader: Reader, seed: int, cases: Sequence[int], pipe: Connection) -> None:
    torch.set_num_threads(1)  # the parent's other threads do not live here: work handed to them would wait for ever
    Path("/proc/self/clear_refs").write_text("5")  # what the parent held at most is not what a case fills
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESS_SPACE, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with scratch_folder() as scratch:
        bench = Bench(reader, scratch, seed)
        pipe.send(None)
        for case in cases:
            pipe.send(bench.run(case))
