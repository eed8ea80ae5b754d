"""A person's browser: the machine's Chromium, looked at with axe-core on every page, and photographed where asked."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP = {"width": 1280, "height": 800}
NARROW = {"width": 320, "height": 640}
PHONE = {"width": 390, "height": 780}
PATIENCE_MS = 8000
TRIES = 10


@contextmanager
def browser() -> Iterator[Browser]:
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    assert chromium, "the test of the page needs Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


class Visitor:
    """One person at one browser. Everything that the browser complains about is gathered in `complaints`."""

    def __init__(self, browser: Browser, url: str, *, script: bool = True, dark: bool = False) -> None:
        self.url = url
        self.context: BrowserContext = browser.new_context(
            viewport=DESKTOP, java_script_enabled=script, color_scheme="dark" if dark else "light"
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _listen(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:  # the status of a refusal
            self.complaints.append(message.text)

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def fill(self, **fields: str) -> None:
        for name, text in fields.items():
            self.page.locator(f"[name={name}]").fill(text)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def submit(self, name: str) -> None:
        """
        Press the button of a form with a password. A machine that is busy with other tests may not hash it in time:
        the page says then to send it again, and that it is done once.
        """
        with self.page.expect_navigation() as navigation:
            self.press(name)
        answer = navigation.value
        for _ in range(TRIES):
            if answer is None or answer.status != 503:
                return
            time.sleep(1)
            answer = self.page.reload()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).first.click()

    def heading(self, text: str) -> None:
        """Wait for the page with this heading."""
        self.page.get_by_role("heading", level=1, name=text).wait_for()

    def text(self, text: str) -> Locator:
        found = self.page.get_by_text(text).first
        found.wait_for()
        return found

    def look(self, name: str) -> None:
        """Axe finds nothing wrong with what is seen now, and it fits on the narrowest phone."""
        self._photograph(name)
        self.page.set_viewport_size(NARROW)
        width = self.page.evaluate("document.scrollingElement.scrollWidth")
        self.page.set_viewport_size(DESKTOP)
        assert width <= NARROW["width"], f"{name} is {width} pixels wide"
        found = Axe().run(self.page).response["violations"]
        assert not found, [(name, one["id"], [node["html"] for node in one["nodes"]]) for one in found]

    def _photograph(self, name: str) -> None:
        folder = os.environ.get("CHATNESS_SCREENSHOTS")
        if not folder:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)
        self.page.set_viewport_size(PHONE)
        self.page.screenshot(path=f"{folder}/{name}-phone.png", full_page=True)
        self.page.set_viewport_size(DESKTOP)
