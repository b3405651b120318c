"""The one thread that draws: pictures for every browser, and whatever else computes, so that torch is never entered twice."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from ..fields import SceneField
from ..types import InputError
from .picture import Picture, Subject, View, draw_picture
from .schedule import Drawn, Pace, Plan, next_picture

MOVING_SAMPLES, RESTING_SAMPLES, STILL_SAMPLES = 24, 48, 96  # points a ray


class SupersededError(Exception):
    """Raised within a task by `Painter.breathe`: a newer one of the same name waits, or all is over."""


class _AbandonedError(Exception):
    """A sharper picture is no longer the next thing to do."""


@dataclass
class _Seat:
    """A browser: where it looks from since when, and the size of the picture of this view that it has; 0: none."""

    view: View
    moved: float
    shown: int = 0
    served: float = 0.0


@dataclass(frozen=True)
class _Task:
    work: Callable[[], None]
    due: float


class Painter:
    """Draws what `show` was given for each browser that `look`s, the newest view first, coarse and then sharper.

    `look`, `leave`, `limit`, `do` and `close` may be called from any thread and return at once. Tasks given to `do` run on the
    painter's thread; `show`, `still` and `breathe` are for them. `deliver(browser, picture)` is called on that thread too, with
    None where there is nothing to show; `complain(text)` when a task fails.
    """

    def __init__(
        self,
        deliver: Callable[[int, Picture | None], None],
        complain: Callable[[str], None],
        limit: int = 512,
        pace: Pace = Pace(),
    ) -> None:
        self.draws = 0  # pictures drawn so far
        self._deliver, self._complain, self._limit, self._pace = deliver, complain, limit, pace
        self._changed = threading.Condition()
        self._seats: dict[int, _Seat] = {}
        self._tasks: dict[str, _Task] = {}
        self._running = ""  # name of the task under way
        self._busy = self._closed = False
        self._subject: Subject | None = None
        self._last: Drawn | None = None
        self._thread = threading.Thread(target=self._work, name="painter", daemon=True)
        self._thread.start()

    def look(self, browser: int, view: View) -> None:
        """A browser's newest view; one that is not new costs nothing."""
        with self._changed:
            seat = self._seats.get(browser)
            if seat is None or seat.view != view:
                self._seats[browser] = _Seat(view, time.monotonic(), served=seat.served if seat else 0.0)
                self._changed.notify()

    def leave(self, browser: int) -> None:
        with self._changed:
            self._seats.pop(browser, None)

    def view(self, browser: int) -> View | None:
        with self._changed:
            seat = self._seats.get(browser)
            return seat.view if seat else None

    def limit(self, size: int) -> None:
        """Pixels along the longer side of the sharpest pictures."""
        with self._changed:
            self._limit = size
            self._afresh()

    def do(self, name: str, work: Callable[[], None], after: float = 0.0) -> None:
        """Runs `work` in `after` seconds, in place of a task of the same name that has not begun, or has not ended."""
        with self._changed:
            self._tasks.pop(name, None)
            self._tasks[name] = _Task(work, time.monotonic() + after)
            self._changed.notify()

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do until someone asks for something."""
        with self._changed:
            return not (self._busy or self._tasks or self._plan()[1] != Plan())

    def close(self) -> None:
        """Ends the thread, after the chunk of rays it is at."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # on the painter's thread

    def show(self, field: SceneField | None) -> None:
        """Draws this field from now on; None: nothing."""
        subject = None if field is None else Subject.of(field)
        with self._changed:
            self._subject = subject
            self._afresh()
            browsers = list(self._seats)
        if subject is None:
            for browser in browsers:
                self._deliver(browser, None)

    def still(self, view: View, size: int) -> Picture | None:
        """A picture of finest quality; None where nothing is shown."""
        subject = self._subject
        return None if subject is None else draw_picture(subject, view, size, STILL_SAMPLES, self.breathe)

    def breathe(self) -> None:
        """To be called often by long tasks: draws a coarse picture if someone moved. Raises `SupersededError`."""
        with self._changed:
            if self._closed or self._running in self._tasks:
                raise SupersededError
            browser, plan = self._plan(first_only=True)
        if plan.size:
            self._draw(browser, plan.size)

    def _afresh(self) -> None:
        """What browsers have is of something else now."""
        now = time.monotonic()
        self._seats = {browser: _Seat(seat.view, now, served=seat.served) for browser, seat in self._seats.items()}
        self._changed.notify()

    def _work(self) -> None:
        while self._wait():
            with self._changed:
                now = time.monotonic()
                name = next((name for name, task in self._tasks.items() if task.due <= now), "")
                task = self._tasks.pop(name, None)
            if task is not None:
                self._run(name, task.work)
            with self._changed:  # a picture between any two tasks: a slider that is dragged shows what it does
                browser, plan = self._plan()
            if plan.size:
                self._draw(browser, plan.size)

    def _wait(self) -> bool:
        """Until there is something to do; False: to end."""
        with self._changed:
            self._busy = False
            while not self._closed:
                now = time.monotonic()
                plan = self._plan()[1]
                waits = [max(task.due - now, 0.0) for task in self._tasks.values()]
                if plan != Plan():
                    waits.append(plan.wait)
                if waits and min(waits) == 0:
                    self._busy = True
                    return True
                self._changed.wait(min(waits, default=None))
            return False

    def _run(self, name: str, work: Callable[[], None]) -> None:
        self._running = name
        try:
            work()
        except SupersededError:
            pass
        except InputError as error:
            self._complain(str(error))
        except Exception as error:
            self._report(error)
        finally:
            self._running = ""

    def _report(self, error: Exception) -> None:
        """The viewer goes on; what went wrong is for its programmer."""
        traceback.print_exception(error)
        self._complain(f"{type(error).__name__}: {error}")

    def _plan(self, first_only: bool = False) -> tuple[int, Plan]:
        """Who is to be served next and how: a browser without a picture of its view first, then the one that waited longest."""
        if self._subject is None:
            return 0, Plan()
        now, best = time.monotonic(), (0, Plan())
        for browser, seat in sorted(self._seats.items(), key=lambda item: (item[1].shown, item[1].served)):
            if first_only and seat.shown:
                continue
            plan = next_picture(now - seat.moved, seat.shown, self._limit, self._last, self._pace)
            if plan.size:
                return browser, plan
            if plan.wait and (best[1] == Plan() or plan.wait < best[1].wait):
                best = browser, plan
        return best

    def _draw(self, browser: int, size: int) -> None:
        with self._changed:
            seat, subject = self._seats.get(browser), self._subject
        if seat is None or subject is None:
            return
        first = seat.shown == 0
        samples = MOVING_SAMPLES if first else RESTING_SAMPLES
        started = time.monotonic()
        try:
            picture = draw_picture(subject, seat.view, size, samples, self._check_moving if first else self._check_resting)
        except _AbandonedError:
            return
        except Exception as error:
            self._report(error)
            seat.shown = self._limit  # this view is given up
            return
        self.draws += 1
        if browser in self._seats:
            self._deliver(browser, picture)
        ended = time.monotonic()
        if first:
            self._last = Drawn(size, ended - started)
        with self._changed:
            seat.shown, seat.served = size, ended  # of no effect where a newer view has taken the seat

    def _check_moving(self) -> None:
        if self._closed:
            raise _AbandonedError

    def _check_resting(self) -> None:
        """Sharper pictures give way to everything else."""
        with self._changed:
            now = time.monotonic()
            due = any(task.due <= now for task in self._tasks.values())
            if self._closed or due or not all(seat.shown for seat in self._seats.values()):
                raise _AbandonedError
