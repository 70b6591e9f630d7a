"""A headless Chromium, driven by Selenium."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

PROGRAMS = ("chromium", "chromedriver")
WIDTH, HEIGHT = 1200, 900


def lacking() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]


@contextmanager
def browser(profile: Path, *, dark: bool = False) -> Iterator[Chrome]:
    """Until the block ends; ``profile`` is an empty folder."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for word in (
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--hide-scrollbars",
        f"--window-size={WIDTH},{HEIGHT}",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(word)
    if dark:
        options.add_argument("--force-dark-mode")
    if os.geteuid() == 0:  # its sandbox is not for root
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()
