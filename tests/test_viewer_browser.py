# SPDX-License-Identifier: MIT
"""The page in a real browser: right samples, right reactions to the user, and no requests."""

from __future__ import annotations

import base64
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from bombs import BOMBS, file_of
from chromium import Browser, find_chromium
from conftest import without_residuals
from make_vectors import FOLDER, digest
from PIL import Image
from viewer_files import TWO_PLANES, random_file, two_planes_file

import sanrcodec
from sanrcodec.viewer.page import build_page

pytestmark = pytest.mark.slow

WITH_GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
WITHOUT_GL = ("--disable-gpu", "--disable-3d-apis")
# Options of the browser, and what the address asks for: the browser only imitates a graphics card,
# for which the page prefers threads. Last, what is left out of the page.
ALLOWED = " 'wasm-unsafe-eval'"
KINDS = {
    "WebGL2": (WITH_GL, "#renderer=webgl2", ""),
    "worker threads in WebAssembly": (WITHOUT_GL, "", ""),
    "worker threads in JavaScript": (WITHOUT_GL, "", ALLOWED),
}
VECTORS = sorted(FOLDER.glob("*.sanr"))
HEIGHT, WIDTH = 64, 96  # of two_planes_file

ARROWS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Page:
    """A page of the viewer in a browser."""

    def __init__(self, browser: Browser, folder: Path, fragment: str, left_out: str) -> None:
        self.browser, self.folder = browser, folder
        self.fragment, self.left_out = fragment, left_out

    def open(self, content: bytes, *, wait: bool = True) -> None:
        path = self.folder / "page.html"
        text = build_page(content, "lf.sanr")
        assert text.count(ALLOWED) == 1
        path.write_text(text.replace(self.left_out, "", 1), encoding="utf-8")
        self.browser.requests.clear()
        self.browser.console.clear()
        self.browser.navigate("about:blank")  # an address that only differs after # loads nothing
        self.browser.navigate(path.as_uri() + self.fragment)
        if wait:
            self.evaluate("sanrViewer.ready.then(() => true)")

    def evaluate(self, expression: str) -> Any:
        return self.browser.evaluate(expression)

    @property
    def renderer(self) -> str:
        """How views are made, in the words of the page."""
        about = self.evaluate("document.getElementById('about').textContent")
        return str(re.findall("views are made by (.*)", about)[0])

    def state(self) -> dict[str, Any]:
        """What is shown, once all of it is drawn."""
        state: dict[str, Any] = self.evaluate(
            "sanrViewer.viewer.idle.then(() => sanrViewer.viewer.state)"
        )
        return state

    def array(self, promise: str) -> npt.NDArray[np.uint32]:
        """The integers of a typed array in the page."""
        text = self.evaluate(
            f"({promise}).then((a) => btoa(Array.from(new Uint8Array(Uint32Array.from(a).buffer),"
            " (c) => String.fromCharCode(c)).join('')))"
        )
        return np.frombuffer(base64.b64decode(text), "<u4")

    def samples(self, v: float, u: float) -> npt.NDArray[np.uint32]:
        """Samples of a view, made the way in which the page makes what it shows."""
        return self.array(f"sanrViewer.viewer.samples({v}, {u})")

    def mean(self) -> npt.NDArray[np.float64]:
        """``[H, W, 3]``: the mean of views that is shown."""
        self.state()
        sums = self.array("sanrViewer.viewer.renderer.sums()").reshape(HEIGHT, WIDTH, 4)
        mean: npt.NDArray[np.float64] = sums[..., :3] / self.evaluate(
            "sanrViewer.viewer.renderer.nViews"
        )
        return mean

    def fit_pixels(self) -> tuple[int, int]:
        """Make the picture as large as its pixels are many; return where its corner is."""
        self.evaluate(
            "Object.assign(document.getElementById('stage').style,"
            f" {{flex: 'none', minHeight: 0, width: '{WIDTH}px', height: '{HEIGHT}px'}}); true"
        )
        self.wait_for(f"sanrViewer.viewer.canvas.getBoundingClientRect().width === {WIDTH}")
        box = self.evaluate("sanrViewer.viewer.canvas.getBoundingClientRect().toJSON()")
        return round(box["left"]), round(box["top"])

    def screen(self, left: int, top: int) -> npt.NDArray[np.uint8]:
        """What the screen shows of the picture, ``[H, W, 3]``."""
        self.state()
        # Two frames: one that draws the canvas, one that shows it.
        self.evaluate(
            "new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))"
        )
        picture = Image.open(io.BytesIO(self.browser.screenshot())).convert("RGB")
        return np.asarray(picture)[top : top + HEIGHT, left : left + WIDTH]

    def wait_for(self, condition: str) -> None:
        deadline = time.monotonic() + 30
        while not self.evaluate(condition):
            assert time.monotonic() < deadline, condition
            time.sleep(0.02)


@pytest.fixture(scope="module", params=KINDS)
def page(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """A browser with WebGL2, one without, and one that runs no WebAssembly either."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium is installed (SANR_CHROMIUM can name one)")
    folder = tmp_path_factory.mktemp("browser")
    options, *what = KINDS[request.param]
    browser = Browser(path, folder, *options)
    try:
        browser.size(1000, 700)
        page = Page(browser, folder, *what)
        page.open(VECTORS[0].read_bytes())
        if page.renderer != request.param:
            pytest.skip(f"this browser shows by {page.renderer}, not by {request.param}")
        yield page
    finally:
        browser.close()


@pytest.fixture
def planes(page: Page) -> Page:
    """The page with `two_planes_file`."""
    page.browser.size(1000, 700)
    page.open(two_planes_file())
    return page


def expected(content: bytes, v: float, u: float) -> npt.NDArray[Any]:
    """The view as the page shows it."""
    return sanrcodec.open(without_residuals(content)).view(v, u)


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_samples_are_those_of_the_vectors(page: Page, path: Path) -> None:
    frozen = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))[path.name]
    page.open(path.read_bytes())
    opened = sanrcodec.open(without_residuals(path.read_bytes()))
    for key in frozen["views"]:
        view = opened.view(*map(float, key.split(",")))
        assert digest(page.samples(*key.split(",")).astype(view.dtype)) == digest(view), key
    assert page.browser.console == []


@pytest.mark.parametrize("seed", range(1, 6))
def test_samples_of_random_files(page: Page, seed: int) -> None:
    """Corners of the format that no fit comes to, among them weights near the limit of 32 bits."""
    content = random_file(seed)
    opened = sanrcodec.open(without_residuals(content))
    page.open(content)
    for v, u in ((0, 0), (opened.grid[0] - 1, 0.40625 * (opened.grid[1] - 1))):
        np.testing.assert_array_equal(page.samples(v, u), opened.view(v, u).ravel())


def test_threads_are_preferred_to_an_imitated_card(page: Page) -> None:
    page.fragment, chosen = "", page.fragment
    page.open(VECTORS[0].read_bytes())
    assert page.renderer.startswith("worker threads")
    page.fragment = chosen


def test_the_page_asks_for_nothing(page: Page) -> None:
    page.open(VECTORS[0].read_bytes())
    page.evaluate("sanrViewer.viewer.set({aperture: 1, overlay: true})")
    assert page.browser.requests
    assert all(re.match("(file|blob):", url) for url in page.browser.requests)
    tried = page.evaluate("fetch('http://localhost:9/').then(() => 'let out', () => 'refused')")
    assert tried == "refused"
    assert any("Content Security Policy" in text for text in page.browser.console)


def test_the_screen_shows_the_view(planes: Page) -> None:
    left, top = planes.fit_pixels()
    content = two_planes_file()
    for v, u in ((2, 2), (0, 4), (3.5, 1.25)):
        planes.evaluate(f"sanrViewer.viewer.set({{v: {v}, u: {u}}})")
        np.testing.assert_array_equal(planes.screen(left, top), expected(content, v, u))


def test_a_drag_moves_the_viewpoint(planes: Page) -> None:
    left, top = planes.fit_pixels()
    x, y = left + WIDTH // 2, top + HEIGHT // 2
    planes.browser.mouse("mousePressed", x, y)
    # The width of the picture is as far as all columns: a quarter is one of the four steps.
    for part in (1, 2, 3, 4):
        dx, dy = WIDTH // 4 * part // 4, -HEIGHT // 4 * part // 4
        planes.browser.mouse("mouseMoved", x + dx, y + dy)
    planes.browser.mouse("mouseReleased", x + WIDTH // 4, y - HEIGHT // 4, buttons=0)
    state = planes.state()
    assert (state["v"], state["u"], state["aperture"]) == (1, 3, 0)
    view = expected(two_planes_file(), 1, 3)
    assert (view != expected(two_planes_file(), 2, 2)).mean() > 0.5
    np.testing.assert_array_equal(planes.screen(left, top), view)


def test_a_finger_moves_the_viewpoint_and_two_zoom(planes: Page) -> None:
    planes.browser.size(400, 800, mobile=True)
    planes.open(two_planes_file())
    box = planes.evaluate("sanrViewer.viewer.canvas.getBoundingClientRect().toJSON()")
    x, y = box["left"] + box["width"] / 2, box["top"] + box["height"] / 2
    planes.browser.touch("touchStart", (x, y))
    for part in range(1, 5):
        planes.browser.touch("touchMove", (x - box["width"] / 4 * part / 4, y))
    planes.browser.touch("touchEnd")
    state = planes.state()
    assert state["v"] == 2
    assert state["u"] == pytest.approx(1, abs=0.02)
    planes.browser.touch("touchStart", (x - 30, y), (x + 30, y))
    planes.browser.touch("touchMove", (x - 60, y), (x + 60, y))
    planes.browser.touch("touchEnd")
    wide = planes.evaluate("sanrViewer.viewer.canvas.getBoundingClientRect().width")
    assert wide == pytest.approx(2 * box["width"], rel=0.02)
    assert planes.state()["u"] == state["u"]
    planes.browser.size(1000, 700)


def test_a_slow_page_is_rough_only_while_it_moves(planes: Page) -> None:
    left, top = planes.fit_pixels()
    seen = planes.evaluate(
        """(async () => {
          const { viewer } = sanrViewer;
          const seen = [];
          viewer.nSlow = 99;
          viewer.addEventListener("drawn", () => seen.push(viewer.canvas.toDataURL()));
          await viewer.set({ v: 1, u: 3 });
          return seen;
        })()"""
    )
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))
        for url in seen
    ]
    view = expected(two_planes_file(), 1, 3)
    np.testing.assert_array_equal(pictures[-1], view)
    np.testing.assert_array_equal(planes.screen(left, top), view)
    if planes.renderer == "worker threads in JavaScript":
        assert len(pictures) == 1
        return
    rough, _ = pictures
    # Each pixel is in the middle of the four that it stands for, and as far from each of them.
    four = [view[y::2, x::2].astype(float) for y in (0, 1) for x in (0, 1)]
    errors = [np.abs(rough - one).mean() for one in four]
    assert max(errors) < 1.1 * min(errors)
    assert np.abs(rough - np.mean(four, axis=0)).mean() < 0.7 * min(errors)


def test_keys(planes: Page) -> None:
    planes.evaluate("document.getElementById('stage').focus(); true")
    for key, place in (("ArrowRight", (2, 3)), ("ArrowUp", (1, 3)), ("ArrowLeft", (1, 2))):
        planes.browser.key(key, ARROWS[key])
        state = planes.state()
        assert (state["v"], state["u"]) == place
    planes.browser.key("ArrowDown", 40, modifiers=8)  # with Shift
    assert planes.state()["v"] == 1.25
    for _ in range(9):
        planes.browser.key("ArrowDown", 40)
    assert planes.state()["v"] == 4
    planes.browser.key("d", 68)
    assert planes.state()["overlay"] is True
    planes.browser.key("+", 187)
    scale = planes.evaluate("sanrViewer.controls.zoom.scale")
    assert scale == 1.5
    planes.browser.key("0", 48)
    assert planes.evaluate("sanrViewer.controls.zoom.scale") == 1


def sharpness(picture: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Energy of the differences of neighbors, of the left and of the right part."""
    luma = picture.sum(axis=2)[8:-8]
    left, right = luma[:, 8 : WIDTH // 2 - 16], luma[:, WIDTH // 2 + 16 : -8]
    return float(np.square(np.diff(left)).mean()), float(np.square(np.diff(right)).mean())


def test_a_click_focuses_on_what_is_there(planes: Page) -> None:
    box = planes.evaluate("sanrViewer.viewer.canvas.getBoundingClientRect().toJSON()")
    plain = sharpness(planes.mean())
    y = box["top"] + box["height"] / 2
    for side, part, disparity in ((0, 0.1, TWO_PLANES[0]), (1, 0.9, TWO_PLANES[1])):
        x = box["left"] + part * box["width"]
        planes.browser.mouse("mousePressed", x, y)
        planes.browser.mouse("mouseReleased", x, y, buttons=0)
        state = planes.state()
        assert state["focus"] == pytest.approx(disparity, abs=40)
        assert state["aperture"] > 0
        place = HEIGHT // 2, int(part * WIDTH)
        seen = sanrcodec.open(two_planes_file()).disparity(2, 2)[place]
        told = "document.getElementById('focus-value').textContent"
        planes.wait_for(f"{told} === '{seen:.2f} px per view'")
        found = sharpness(planes.mean())
        # What is in focus stays as sharp as in one view; what is not loses most of it.
        assert found[side] > 0.6 * plain[side]
        assert found[1 - side] < 0.2 * plain[1 - side]


def test_the_focus_slider_does_the_same(planes: Page) -> None:
    planes.evaluate("sanrViewer.viewer.set({aperture: 2})")
    found = []
    for disparity in TWO_PLANES:
        planes.evaluate(
            "(() => { const f = document.getElementById('focus'); f.step = 1;"
            f" f.value = {disparity}; f.dispatchEvent(new Event('input')); return true; }})()"
        )
        found.append(sharpness(planes.mean()))
    assert found[0][0] > 4 * found[1][0]
    assert found[1][1] > 4 * found[0][1]


def test_depth_is_shown_as_colors(planes: Page) -> None:
    left, top = planes.fit_pixels()
    planes.evaluate("sanrViewer.viewer.set({overlay: true})")
    shown = planes.screen(left, top).astype(int)
    view = expected(two_planes_file(), 2, 2).astype(float)
    assert planes.evaluate("sanrViewer.viewer.range") == [max(TWO_PLANES), min(TWO_PLANES)]
    # Near, which is the smaller disparity, is the last color; 0.7 of it covers the picture.
    for columns, color in ((slice(4, 16), (253, 231, 37)), (slice(80, 92), (68, 1, 84))):
        mixed = 0.3 * view[:, columns] + 0.7 * np.array(color)
        assert np.abs(shown[:, columns] - mixed).max() <= 6


def test_the_turntable_turns(planes: Page) -> None:
    planes.evaluate("document.getElementById('turn').click(); true")
    seen = set()
    for _ in range(8):
        state = planes.evaluate("sanrViewer.viewer.state")
        assert state["turning"] is True
        # On the ellipse through the outer views.
        assert np.hypot(state["v"] - 2, state["u"] - 2) == pytest.approx(2, abs=1e-6) or not seen
        seen.add(round(state["u"], 3))
        time.sleep(0.1)
    planes.evaluate("document.getElementById('turn').click(); true")
    assert len(seen) > 3
    assert planes.state()["turning"] is False


def test_a_preview_comes_first(page: Page) -> None:
    page.open(two_planes_file(), wait=False)
    page.evaluate("sanrViewer.ready.then(() => true)")
    assert page.evaluate("document.body.dataset.status") == "ready"
    stages = page.evaluate(
        """(async () => {
          const { viewer } = sanrViewer;
          const seen = [];
          viewer.header = Object.freeze({ ...viewer.header });
          for (const type of ["preview", "ready"]) {
            viewer.addEventListener(type, () => seen.push([type, viewer.canvas.width]));
          }
          const large = { minPreviewPixels: 1 };
          const bytes = Uint8Array.from(
            atob(document.getElementById("file").textContent), (c) => c.charCodeAt(0));
          const table = JSON.parse(document.getElementById("default-weights").textContent);
          await viewer.open(bytes, table, large);
          return seen;
        })()"""
    )
    assert stages == [["preview", WIDTH // 4], ["ready", WIDTH]]


def damaged() -> dict[str, tuple[bytes, str]]:
    content = two_planes_file()
    flipped = bytearray(content)
    flipped[-20] ^= 1
    return {
        "cut": (content[:-3], "TruncatedError: "),
        "bit flipped": (bytes(flipped), "CorruptSectionError: "),
        "other file": (b"\x89PNG\r\n\x1a\n" + bytes(40), "NotSanrError: "),
        "other version": (content[:10] + b"\x63" + content[11:], "UnsupportedVersionError: "),
        "empty": (b"", "TruncatedError: "),
        # Of so few bytes that even its preview costs too much.
        "bomb": (file_of(BOMBS["most 2008"][0], 4), "LimitError: "),
    }


@pytest.mark.parametrize("label", damaged())
def test_a_damaged_file_shows_a_message(page: Page, label: str) -> None:
    content, message = damaged()[label]
    page.open(content, wait=False)
    page.wait_for("document.body.dataset.status === 'failed'")
    text = page.evaluate("document.getElementById('message').innerText")
    assert text.startswith(f"This light field cannot be shown. {message}")
    assert page.evaluate("document.getElementById('message').checkVisibility()")
    assert not page.evaluate("document.getElementById('panel').checkVisibility()")


@pytest.mark.parametrize(("width", "height"), [(360, 640), (1280, 800), (800, 360)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_window(page: Page, width: int, height: int, scheme: str) -> None:
    page.browser.color_scheme(scheme)
    page.browser.size(width, height, mobile=width < 800)
    page.open(two_planes_file())
    root = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert root == [width, height]
    box = page.evaluate("sanrViewer.viewer.canvas.getBoundingClientRect().toJSON()")
    assert box["width"] > width / 4
    assert box["right"] < width + 1
    assert box["bottom"] < height + 1
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", back)[:3])) > 3 * 128
    assert light == (scheme == "light")
    page.browser.size(1000, 700)


def test_everything_has_a_name(planes: Page) -> None:
    """What a screen reader says: no control without a name, and the viewpoint in words."""
    tree = planes.browser.call("Accessibility.getFullAXTree")["nodes"]
    controls = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if node.get("role", {}).get("value") in ("button", "slider", "application")
    ]
    assert len(controls) >= 10
    assert all(name.strip() for _, name in controls), controls
    planes.wait_for(
        "document.getElementById('stage').ariaLabel === 'View at row 2.00, column 2.00'"
    )
