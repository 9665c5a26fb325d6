"""Make the pictures of the documentation: a screenshot, and an animation of an event that changes the list.

`python -m service_tests.browser.record_page OUT [URL]` writes `page.png` and `page.gif` with the data of the demo at
URL, by default http://127.0.0.1:8000.
"""

import argparse
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from service_tests.browser.chromium import open_browser
from service_tests.browser.open_page import open_context

USER = "ada"
CHOSEN_ITEM = "lantern-coast-3"
WIDTH, HEIGHT = 1280, 860
FRAMES, FRAME_MS, HOLD_MS = 14, 60, 2200
COLORS = 48
SLOWER = "document.getAnimations().forEach(animation => { animation.playbackRate = 0.35; })"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the pictures")
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8000", help="address of a running demo")
    arguments = parser.parse_args()
    with open_browser() as browser:
        record_screenshot(browser, arguments.url, arguments.out / "page.png")
        record_animation(browser, arguments.url, arguments.out / "page.gif")


def record_screenshot(browser: Browser, url: str, path: Path) -> None:
    with open_context(browser, url, width=WIDTH) as opened:
        opened.open_user(USER)
        opened.page.wait_for_load_state("networkidle")
        opened.page.screenshot(path=path, clip={"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT})
    image = Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes")


def record_animation(browser: Browser, url: str, path: Path) -> None:
    """Choose an item that continues another series than the last one; the history is pasted, so nothing is stored."""
    history = "#h=lantern-coast-1&h=harbour-letters-1&h=lantern-coast-2&h=harbour-letters-2"
    with open_context(browser, url, width=900) as opened:
        opened.page.set_viewport_size({"width": 900, "height": 900})
        opened.open(f"?k=6{history}")
        opened.wait_for_answer()
        opened.page.wait_for_load_state("networkidle")
        opened.page.evaluate("document.querySelector('#paste').open = false")
        frames = [take_frame(opened.page)]
        durations = [HOLD_MS]
        button = opened.page.locator(f"#cards > [data-item='{CHOSEN_ITEM}']").get_by_role("button", name="Choose")
        button.focus()
        frames.append(take_frame(opened.page))
        durations.append(700)
        button.click()
        opened.page.wait_for_function(f"!document.querySelector('#cards > [data-item=\"{CHOSEN_ITEM}\"]')")
        opened.page.evaluate(SLOWER)
        for _ in range(FRAMES):
            frames.append(take_frame(opened.page))
            durations.append(FRAME_MS)
        opened.page.wait_for_function("document.getAnimations().every(animation => animation.playState !== 'running')")
        frames.append(take_frame(opened.page))
        durations.append(2 * HOLD_MS)
    palette = build_palette([frames[0], frames[len(frames) // 2], frames[-1]])
    images = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes, {len(images)} frames")


def build_palette(frames: list[Image.Image]) -> Image.Image:
    """One palette for all frames, so that colors do not flicker, from frames that have all colors."""
    width, height = frames[0].size
    stack = Image.new("RGB", (width, height * len(frames)))
    for place, frame in enumerate(frames):
        stack.paste(frame, (0, place * height))
    return stack.quantize(COLORS, dither=Image.Dither.NONE)


def take_frame(page: Page) -> Image.Image:
    return Image.open(io.BytesIO(page.screenshot(animations="allow"))).convert("RGB")


if __name__ == "__main__":
    main()
