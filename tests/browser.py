"""A headless Chromium driven by its DevTools protocol, through two pipes: no port, no driver, no package."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run", "--disable-extensions",
    "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--hide-scrollbars",
)  # fmt: skip


class Page:
    """One tab. `requests` are the addresses it asked for, `complaints` what it logged as errors."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._buffer, self._number, self._session = send, receive, b"", 0, None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, timeout: float = 120.0, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol and waits for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.wait(lambda: self.run("document.readyState === 'complete' && location.href !== 'about:blank'"))

    def run(self, script: str, timeout: float = 120.0) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self.call("Runtime.evaluate", timeout, expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def resize(self, width: int, height: int, ratio: float = 1.0) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=ratio, mobile=False)

    def drag(self, path: list[tuple[int, int]]) -> None:
        """Presses the mouse at the first point, moves it along the others, and lets go at the last."""
        for number, (x, y) in enumerate([*path, path[-1]]):
            kind = "mousePressed" if number == 0 else "mouseReleased" if number == len(path) else "mouseMoved"
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def wheel(self, x: int, y: int, pixels: int) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=pixels)

    def pinch(self, center: tuple[int, int], before: int, after: int) -> None:
        """Two fingers on a level, `before` pixels from `center` each and then `after`."""
        (x, y) = center
        for kind, apart in (("touchStart", before), ("touchMove", after), ("touchEnd", None)):
            points = [] if apart is None else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    def screenshot(self) -> bytes:
        """PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def wait(self, ready: Callable[[], Any], timeout: float = 120.0) -> Any:
        """What `ready` returns once it is true."""
        deadline = time.monotonic() + timeout
        while not (result := ready()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready after {timeout:g} s; the page logged {self.complaints}")
            time.sleep(0.05)
        return result

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._receive], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError("the browser does not answer")
            part = os.read(self._receive, 1 << 16)
            if not part:
                raise RuntimeError("the browser has gone")
            self._buffer += part
        text, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(text)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, event: str | None, details: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(details["exceptionDetails"].get("exception", details["exceptionDetails"])))
        elif event == "Log.entryAdded" and details["entry"]["level"] == "error":
            self.complaints.append(details["entry"]["text"])


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A page of a fresh browser, whose profile is kept in the folder `profile`."""
    if CHROMIUM is None:
        raise RuntimeError("no Chromium on this machine: apt-get install chromium")
    command_read, command_write = os.pipe()
    answer_read, answer_write = os.pipe()

    def descriptors() -> None:  # the browser reads commands from descriptor 3 and writes to 4
        read, write = os.dup(command_read), os.dup(answer_write)
        spare = (os.dup2(read, 60), os.dup2(write, 61))
        os.dup2(spare[0], 3), os.dup2(spare[1], 4)

    process = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}"], preexec_fn=descriptors, pass_fds=(3, 4),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    os.close(command_read), os.close(answer_write)
    try:
        yield Page(command_write, answer_read)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(command_write), os.close(answer_read)
