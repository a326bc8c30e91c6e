"""A headless Chromium that opens pages, controlled through two pipes, without a package, a port or a network."""

import contextlib
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.waiting import wait_until

_ANSWER_SECONDS = 120.0
_DEEP_TEXT = """
(function deep(node) {
  if (node.nodeType === 3) return node.textContent;
  if (["SCRIPT", "STYLE"].includes(node.nodeName)) return "";
  const inside = node.shadowRoot ? deep(node.shadowRoot) : "";
  return inside + " " + [...node.childNodes].map(deep).join(" ");
})(document.body)
"""


class Page:
    """A page of a browser."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._number, self._rest = 0, b""
        self._target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]

    def open(self, address: str) -> None:
        self._call("Page.navigate", session=self._session, url=address)

    def close(self) -> None:
        self._call("Target.closeTarget", targetId=self._target)

    def evaluate(self, script: str) -> Any:
        found = self._call("Runtime.evaluate", session=self._session, expression=script, returnByValue=True)
        return found["result"].get("value")

    def wait_for(self, script: str, seconds: float = 60.0) -> Any:
        """Wait until an expression is true, and return its value."""

        def describe() -> str:
            return f"{script}; the page shows: {' '.join(self.text().split())[:6000]}"

        return wait_until(lambda: self.evaluate(script), describe, seconds, every=0.2)

    def text(self) -> str:
        """Return all text of the page, including that of web components."""
        return self.evaluate(_DEEP_TEXT) or ""

    def wait_for_text(self, *texts: str) -> None:
        """Wait until the page shows all of these texts."""
        for text in texts:
            self.wait_for(f"({_DEEP_TEXT.strip()}).includes({json.dumps(text)})")

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                self._rest += self._read(method)
            line, _, self._rest = self._rest.partition(b"\0")
            answer = json.loads(line)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self, method: str) -> bytes:
        """Read a part of an answer; fail if the browser has ended or does not answer."""
        readable, _, _ = select.select([self._from], [], [], _ANSWER_SECONDS)
        part = os.read(self._from, 2**16) if readable else b""
        assert part, f"the browser did not answer {method}"
        return part


@contextlib.contextmanager
def start_browser(profile: str) -> Iterator[tuple[int, int]]:
    """Start a browser and yield its pipes; skip the test without Chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed")
    to_browser, from_browser = os.pipe(), os.pipe()
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    # The browser reads from descriptor 3 and writes to 4.
    shell = f"exec 3<&{to_browser[0]} 4>&{from_browser[1]}; exec {program} {' '.join(flags)} about:blank"
    process = subprocess.Popen(
        ["bash", "-c", shell],
        pass_fds=(to_browser[0], from_browser[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for end in (to_browser[0], from_browser[1]):
        os.close(end)
    try:
        yield to_browser[1], from_browser[0]
    finally:
        process.kill()
        process.wait()
        for end in (to_browser[1], from_browser[0]):
            os.close(end)
