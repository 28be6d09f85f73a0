"""The lessons in a real browser: JupyterLab in headless Chromium, as learners see it.

Each test opens a copy of a lesson, runs it and uses its lab. The pictures stay
in ``artifacts/`` to be looked at. The README's are made by the same tests:

    ADCACHE_PICTURES=docs .venv/bin/python -m pytest tests/test_browser.py
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tools import notebooks

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (  # a browser that talks to nobody but the page's own server
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SETTINGS = {  # no question about news, which a newcomer answers once
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    }
}
PICTURES = notebooks.ROOT / "artifacts"
PATIENCE_MS = 90_000  # the machine may be busy; nothing waits that long when it works
pytestmark = pytest.mark.timeout(300)

KERNEL_IS_IDLE = """() => {
  const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
  const kernel = context?.isReady && context.session?.kernel;
  return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
CODE_CELLS = """() => {
  const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
  return [...cells].filter(cell => cell.type === 'code').map(cell => ({
    id: cell.id, count: cell.executionCount,
    errors: cell.sharedModel.outputs.filter(o => o.output_type === 'error')
      .map(o => o.ename + ': ' + o.evalue)}));
}"""
CHANGE_THEME = """theme => window.jupyterapp.commands.execute(
  'apputils:change-theme', {theme: 'JupyterLab ' + theme})"""
SHOW_CELL = """index => {
  const content = window.jupyterapp.shell.currentWidget.content;
  content.activeCellIndex = index;
  return content.scrollToItem(index, 'start');
}"""


class Lesson(NamedTuple):
    """A lesson that has run in the browser; `strangers` are requests to elsewhere."""

    page: Any
    hook: str
    strangers: list[str]

    def part(self, name: str) -> Any:
        """Find a part of the lesson's lab by its hook."""
        return self.page.locator(f".e2e-{self.hook}-{name}")

    def says(self, text: str) -> None:
        """Wait until the lab's sentence holds `text`."""
        expect = pytest.importorskip("playwright.sync_api").expect
        expect(self.part("said")).to_contain_text(text, timeout=PATIENCE_MS)

    def take_pictures(self, name: str) -> None:
        """Photograph the lab on a light and on a dark page."""
        PICTURES.mkdir(exist_ok=True)
        for theme in "Dark", "Light":
            self.page.evaluate(CHANGE_THEME, theme)
            body = f"body[data-jp-theme-name='JupyterLab {theme}']"
            self.page.wait_for_selector(body, state="attached")
            self.page.wait_for_selector("#jupyterlab-splash", state="detached")
            self.page.mouse.move(0, 0)
            path = PICTURES / f"{name}_{theme.lower()}.png"
            self.part("lab").screenshot(path=path)
        chosen = os.environ.get("ADCACHE_PICTURES")  # the README's folder
        if chosen and name.endswith("_lab"):
            shutil.copy(path, Path(chosen) / f"{name}.png")


def missing(what: str) -> None:
    """Skip on a laptop, fail in CI: there the browser must be tested."""
    message = f"no browser test: {what} is missing"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium as the system has it, without a window."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright")
    if not found:
        missing("Chromium")
    with sync_playwright() as playwright:
        launch = playwright.chromium.launch
        chromium = launch(executable_path=found, args=list(QUIET))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """JupyterLab on copies of the lessons; yields its address and their folder."""
    home = tmp_path_factory.mktemp("jupyter")
    course, settings = home / "course", home / "settings"
    shutil.copytree(notebooks.ROOT / "notebooks", course)
    settings.mkdir()
    (settings / "overrides.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    env |= {"HOME": str(home), "ADCACHE_PROGRESS": os.devnull}
    env |= {
        f"JUPYTER_{name}_DIR": str(home / name)
        for name in ("CONFIG", "DATA", "RUNTIME")
    }
    command = [
        *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"),
        *("--ip=127.0.0.1", "--port=0", f"--ServerApp.root_dir={course}"),
        f"--LabApp.app_settings_dir={settings}",
        "--LabApp.expose_app_in_browser=True",
    ]
    server = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        yield address_of(server), course
    finally:
        server.terminate()
        server.wait(30)


def address_of(server: "subprocess.Popen[str]") -> str:
    """Read the server's log until it names its address; then let it run on."""
    log = []
    for line in server.stderr or ():
        log.append(line)
        if address := re.search(r"http://127\.0\.0\.1:\d+/lab\?token=\w+", line):
            threading.Thread(target=list, args=(server.stderr,), daemon=True).start()
            return address[0]
    raise AssertionError(f"JupyterLab did not start:\n{''.join(log)}")


@pytest.fixture
def open_lesson(
    browser: Any, jupyter: tuple[str, Path], request: pytest.FixtureRequest
) -> Iterator[Callable[[str, str], Lesson]]:
    """Open a lesson, wait for its kernel, run all of it, and find its lab."""
    address, course = jupyter
    base, token = re.fullmatch(r"(http://[^/]+)/lab\?(.*)", address).groups()  # type: ignore[union-attr]
    context = browser.new_context(
        viewport={"width": 1280, "height": 1000}, device_scale_factor=1.5
    )
    context.set_default_timeout(PATIENCE_MS)
    page, strangers = context.new_page(), []
    page.on(
        "request",
        lambda sent: (
            sent.url.startswith((base, "data:", "blob:")) or strangers.append(sent.url)
        ),
    )

    def open_and_run(stem: str, hook: str) -> Lesson:
        if not (course / f"{stem}.ipynb").exists():
            missing(f"notebooks/{stem}.ipynb")
        copy = f"{stem}-{secrets.token_hex(4)}.ipynb"  # its kernel is its own, too
        shutil.copy(course / f"{stem}.ipynb", course / copy)
        page.goto(f"{base}/lab/tree/{copy}?reset&{token}")
        page.wait_for_function(KERNEL_IS_IDLE)
        page.evaluate(RUN_ALL)
        cells = page.evaluate(CODE_CELLS)
        assert {cell["id"]: [] for cell in cells} == {
            cell["id"]: cell["errors"] for cell in cells
        }
        assert list(range(1, len(cells) + 1)) == [cell["count"] for cell in cells]
        return Lesson(page, hook, strangers)

    yield open_and_run
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"{request.node.name}.png")  # also of a failure
    context.close()


def test_auction_lab_names_winner_and_price(
    open_lesson: Callable[[str, str], Lesson],
) -> None:
    """Lesson 06 runs; its lab holds an auction, then a thousand, on a click."""
    lab = open_lesson("06_real_time_bidding", "auction")
    lab.part("at").locator("select").select_option("First price")
    lab.part("run").click()

    lab.says("wins with")
    lab.says("Clearing price: 8.47 CPM, its own bid (first price)")

    lab.part("at").locator("select").select_option("Second price")
    lab.part("run").click()

    lab.says("Clearing price: 7.64 CPM, the second-best bid")
    lab.take_pictures("auction_lab")

    lab.part("run-many").click()

    lab.says("1000 auctions earned")
    lab.take_pictures("auction_revenue")
    assert "" == lab.part("error").inner_text().strip()
    assert [] == lab.strangers


def test_frequency_lab_serves_until_the_cap_refuses(
    open_lesson: Callable[[str, str], Lesson],
) -> None:
    """Lesson 07 runs; its lab serves ads up to the limit and then refuses."""
    lab = open_lesson("07_frequency_capping", "frequency")
    for left in "Now 2 ads are left", "Now 1 ad is left", "Served. The limit of 3":
        lab.part("serve").click()
        lab.says(left)
    lab.part("serve").click()
    lab.says("Refused. The limit of 3 is reached: none left, the next ad in 1 hour")

    names = "Fixed window of the clock (naive)"
    lab.part("algorithm").locator("select").select_option(names)
    lab.says("A new visitor")
    lab.part("burst").click()

    lab.says("6 of 6 ads served, up to 6 in 1 hour, above the limit of 3")
    lab.take_pictures("frequency_lab")
    assert "" == lab.part("error").inner_text().strip()
    assert [] == lab.strangers


def test_frequency_lab_works_by_keyboard_alone(
    open_lesson: Callable[[str, str], Lesson],
) -> None:
    """Tab walks through the lab, arrows set its controls, Space and Enter press."""
    lab = open_lesson("07_frequency_capping", "frequency")
    keys = lab.page.keyboard
    lab.part("algorithm").locator("select").focus()
    keys.press("Tab")
    for key, limit in ("ArrowRight", 4), ("ArrowRight", 5), ("ArrowLeft", 4):
        keys.press(key)
        lab.says(f"Now {limit} ads are left of {limit} in 1 hour")
    keys.press("Tab")  # the limit as a number
    keys.press("Tab")
    keys.press("ArrowDown")
    lab.says("Now 4 ads are left of 4 in 6 hours")
    keys.press("Tab")
    keys.press("Space")
    lab.says("Served. Now 3 ads are left of 4 in 6 hours")
    keys.press("Enter")
    lab.says("Served. Now 2 ads are left of 4 in 6 hours")
    keys.press("Tab")
    keys.press("Enter")

    lab.says("Time 10 minutes. The clock moved on. Now 2 ads are left of 4")
    assert [] == lab.strangers


def test_a_prediction_is_made_by_keyboard_alone(
    open_lesson: Callable[[str, str], Lesson],
) -> None:
    """Arrows choose, Tab and Enter ask; the feedback stands below, and only then."""
    lesson = open_lesson("07_frequency_capping", "frequency")
    page, first = lesson.page, lesson.page.locator(".predict").first
    said = first.locator(".predict-feedback")
    assert "" == said.inner_text().strip()
    first.locator("input[type=radio]").first.focus()
    page.keyboard.press("ArrowDown")
    for _ in range(2):  # past the last option, which is a stop of its own
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    said.get_by_text(re.compile(r"^(Right|Not quite) \(B\)\.")).wait_for()
    assert [] == lesson.strangers
