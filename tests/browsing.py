"""Chromium as the tests of the page use it, and the page as a clerk does: with keys and eyes."""

import shutil

import pytest

from conftest import rows

pytest.importorskip("selenium.webdriver", reason="needs selenium (requirements-dev)")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys  # noqa: F401
from selenium.webdriver.support.ui import WebDriverWait

in_browser = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="needs Debian's chromium and chromium-driver",
)
SECONDS = 60  # after which what a page was to show will not come


def emulate(browser, width=1366, height=768, scale=1, language="en", scheme="light"):
    """What the clerk's machine is like: size of the window, zoom, language, light or dark."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    agent = {"userAgent": browser.execute_script("return navigator.userAgent")}
    agent["acceptLanguage"] = language
    browser.execute_cdp_cmd("Emulation.setUserAgentOverride", agent)


class Page:
    """The page in a browser, ready."""

    def __init__(self, browser):
        self.browser = browser
        self.wait()

    def wait(self):
        ready = "return document.body !== null && document.body.dataset.ready === 'true'"
        self.until(lambda: self.browser.execute_script(ready))

    def until(self, holds):
        WebDriverWait(self.browser, SECONDS, 0.02).until(lambda _: holds())

    def press(self, *keys):
        for key in keys:
            self.see()
            self.browser.switch_to.active_element.send_keys(key)
        self.settle()

    def settle(self):
        """Waits until what the keys ask for is done; whether all of it is on the screen, too."""
        return self.browser.execute_async_script("acting.then(() => arguments[0](sight.complete))")

    def see(self):
        """Waits until what is to be shown is on the screen, as who looks before he types."""
        self.until(self.settle)

    def key(self, key, code="", held="", repeat=False):
        """A key of a keyboard with any layout: what it gives, its place, and what is held with
        it, Control or Shift."""
        if not repeat:
            self.see()
        event = {"key": key, "code": code, "modifiers": {"": 0, "Control": 2, "Shift": 8}[held]}
        typed = {"text": key} if len(key) == 1 and held != "Control" else {}
        down = {"type": "keyDown", "autoRepeat": repeat, **event, **typed}
        self.browser.execute_cdp_cmd("Input.dispatchKeyEvent", down)
        self.browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", **event})
        self.settle()

    def undo(self):
        self.key("z", "KeyZ", "Control")

    def text(self, name):
        return self.browser.find_element(By.ID, name).text

    @property
    def number(self):
        return self.text("number").replace("\n", "").replace(" ", "")

    @property
    def selected(self):
        return self.browser.find_element(By.CSS_SELECTOR, ".box[aria-current]").get_attribute(
            "aria-label"
        )

    @property
    def cells(self):
        """Labels of the boxes read alike that are on the screen."""
        found = self.browser.find_elements(By.CSS_SELECTOR, ".cell")
        return [cell.get_attribute("aria-label") for cell in found]

    def reload(self):
        self.browser.refresh()
        self.wait()

    def download(self):
        target = self.browser.downloads / "vins.csv"
        target.unlink(missing_ok=True)
        self.browser.find_element(By.ID, "download").click()
        # Chromium keeps the name with an empty file until the whole one takes its place.
        self.until(lambda: target.exists() and target.stat().st_size)
        return rows(target)
