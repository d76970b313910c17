"""A headless Chromium that shows one machine only, for tests and for the pictures of the documents.

Browser and driver are Debian's (`chromium`, `chromium-driver`), so that one fits the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PROGRAMS = ("chromium", "chromedriver")
_HOST = "127.0.0.1"
_FLAGS = (
    "--headless",
    "--no-sandbox",  # it is root's where the tests are
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    # Whatever a page or the browser itself asks of others fails, and is seen in `requests`.
    f"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {_HOST}",
)


def missing_programs() -> list[str]:
    """Those of PROGRAMS that this machine lacks."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for a module's tests: `open` forgets what was stored before."""
    missing = missing_programs()
    if missing:
        reason = f"no {' and no '.join(missing)} on the PATH: requirements/chromium.sh tells why"
        if os.environ.get("REQUIRE_CHROMIUM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with open_browser() as opened:
        yield opened


@contextlib.contextmanager
def open_browser(width: int = 1280, height: int = 900) -> Iterator[Browser]:
    """It ends, and its profile is gone, with the block."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        options = ChromeOptions()
        options.binary_location = shutil.which(PROGRAMS[0]) or ""
        for flag in (*_FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        driver = Chrome(options=options, service=Service(shutil.which(PROGRAMS[1])))
        try:
            opened = Browser(driver)
            opened.resize(width, height)
            yield opened
        finally:
            driver.quit()


class Browser:
    """What a person who has never opened MLflow sees."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self._requests: list[str] = []

    def open(self, link: str) -> None:
        """As in a fresh profile: nothing of what the site stored is left."""
        self.driver.get("about:blank")
        parts = urlsplit(link)
        self.driver.execute_cdp_cmd(
            "Storage.clearDataForOrigin",
            {"origin": f"{parts.scheme}://{parts.netloc}", "storageTypes": "all"},
        )
        self.driver.get(link)

    @property
    def text(self) -> str:
        """What can be read on the page."""
        return str(self.driver.execute_script("return document.body.innerText"))

    def wait_for(self, *texts: str, seconds: float = 60) -> str:
        """The page's text once it has them all. Raises AssertionError with what it has instead."""
        with contextlib.suppress(TimeoutException):
            WebDriverWait(self.driver, seconds, 0.1).until(
                lambda _: all(text in self.text for text in texts)
            )
        found = self.text
        missing = [text for text in texts if text not in found]
        assert not missing, f"no {missing} at {self.driver.current_url}:\n{found}"
        return found

    def wait_for_picture(self, seconds: float = 60) -> tuple[int, int]:
        """Width and height of the page's largest picture that is loaded and shown."""
        script = (
            "return Array.from(document.images).filter(i => i.complete && i.offsetParent)"
            ".map(i => [i.naturalWidth, i.naturalHeight]).filter(s => s[0] > 300)"
        )
        sizes = WebDriverWait(self.driver, seconds, 0.1).until(
            lambda driver: driver.execute_script(script)
        )
        return max((width, height) for width, height in sizes)

    def press(self, xpath: str) -> None:
        """Click on what is found so, if it is there."""
        for element in self.driver.find_elements(By.XPATH, xpath)[:1]:
            element.click()

    def resize(self, width: int, height: int) -> None:
        """The page's part of the window: its own size has the browser's bars in it."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def photograph(self) -> bytes:
        """What the window shows, as PNG."""
        return bytes(self.driver.get_screenshot_as_png())

    def requests_elsewhere(self) -> list[str]:
        """What pages asked of another machine since the browser began."""
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                self._requests.append(event["params"]["request"]["url"])
            elif event["method"] == "Network.webSocketCreated":
                self._requests.append(event["params"]["url"])
        return [
            url
            for url in self._requests
            if urlsplit(url).scheme in ("http", "https", "ws", "wss")
            and urlsplit(url).hostname != _HOST
        ]
