"""The report in a real browser: Debian's Chromium, driven by Playwright, with no network."""

import os
import shutil
import time
from contextlib import suppress
from itertools import pairwise

import made
import pytest

from reglab.facade import Results
from reglab.report.page import page as page_of
from reglab.study.storage import disk
from reglab.study.storage.view import Status

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path (apt-get install chromium)"),
]

VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => { (window.violations ??= []).push(event.violatedDirective); });
"""
# The contrast of every text with what is behind it, and of which.
CONTRASTS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *:not(script):not(style):not(svg *)")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!text || !element.getClientRects().length) continue;
    const [low, high] = [light(rgb(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => a - b);
    const what = `${element.tagName} ${element.className} ${element.textContent.slice(0, 30)}`;
    found.push([(high + 0.05) / (low + 0.05), what]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    # As root, which is what containers are, Chromium has no sandbox.
    flags = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser):
    """Return a function that opens a page and, at the end, makes sure that it said, fetched and broke nothing."""
    contexts = []

    def open_(path, *, width=1280, scheme="light", **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        page = context.new_page()
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.add_init_script(VIOLATIONS)
        page.goto(path.as_uri())
        contexts.append((context, page, said, asked, path))
        return page

    yield open_
    for context, page, said, asked, path in contexts:
        assert said == []
        assert {url for url in asked if not url.startswith(("data:", "blob:"))} == {path.as_uri()}
        assert page.evaluate("window.violations ?? []") == []
        context.close()


@pytest.fixture(scope="module")
def path(results, tmp_path_factory):
    return results.report(tmp_path_factory.mktemp("report"))[0]


def until(page, expression, *, patience_s=20.0):
    """Wait for an expression to hold; Playwright's own way evaluates a string, which the page's policy forbids."""
    from playwright.sync_api import Error

    end = time.monotonic() + patience_s
    while True:
        with suppress(Error):  # the page is loading itself again
            if page.evaluate(expression):
                return
        assert time.monotonic() < end, expression
        time.sleep(0.05)


def all_drawn(page):
    """Open what is closed, and wait until every plot that can be seen is drawn."""
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    for plot in page.locator(".plot:visible").all():
        plot.scroll_into_view_if_needed()
    until(page, "[...document.querySelectorAll('.plot')].every((plot) => !plot.clientWidth || plot.dataset.drawn)")


def test_every_plot_is_drawn(opened, path):
    page = opened(path)
    all_drawn(page)
    drawn = page.evaluate("""[...document.querySelectorAll('.plot')].filter((plot) => plot.clientWidth)
        .map((plot) => [plot.id, plot.querySelectorAll('svg.main-svg path, svg.main-svg image').length])""")
    assert len(drawn) >= 20
    assert [name for name, marks in drawn if not marks] == []


def test_plots_far_down_wait_until_they_are_needed_and_are_there_then(opened, path):
    page = opened(path)
    assert page.locator("#confusion-0").get_attribute("data-drawn") is None
    page.locator("summary", has_text="Confusion matrices").click()
    until(page, "document.getElementById('confusion-0').dataset.drawn")


def test_cross_entropy_is_shown_in_place_of_accuracy(opened, path):
    page = opened(path)
    assert page.locator("#curve-accuracy-0").is_visible()
    page.get_by_role("radio", name="cross-entropy").check()
    assert not page.locator("#curve-accuracy-0").is_visible()
    page.locator("#curve-cross_entropy-0").scroll_into_view_if_needed()
    until(page, "document.getElementById('curve-cross_entropy-0').dataset.drawn")


def names(page):
    return page.locator("#main-table tbody th").evaluate_all("cells => cells.map((cell) => cell.dataset.sort)")


def test_tables_sort_by_click_and_by_keyboard_and_say_so(opened, path, results):
    page = opened(path)
    before = names(page)
    assert before == list(made.RECIPES)
    head = page.locator("#main-table thead th").nth(1)
    assert head.get_attribute("aria-sort") == "none"
    head.locator("button").click()
    by_accuracy = sorted(before, key=lambda name: -results.comparison.row(name).mean("accuracy"))
    assert (head.get_attribute("aria-sort"), names(page)) == ("descending", by_accuracy)
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert (head.get_attribute("aria-sort"), names(page)) == ("ascending", by_accuracy[::-1])
    recipe = page.locator("#main-table thead th").first
    recipe.locator("button").focus()
    page.keyboard.press("Space")
    assert (recipe.get_attribute("aria-sort"), names(page)) == ("ascending", sorted(before))
    assert head.get_attribute("aria-sort") == "none"


def test_what_is_empty_is_sorted_last_in_either_direction(opened, path):
    page = opened(path)
    button = page.locator("#main-table th button", has_text="vs none")
    for _ in range(2):
        button.click()
        assert names(page)[-1] == "none"


def test_everything_can_be_reached_by_keyboard_and_the_skip_link_comes_first(opened, path):
    page = opened(path)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "verdict"
    unnamed = page.evaluate("""[...document.querySelectorAll('button, a, summary, input, [tabindex="0"], .plot')]
        .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).length""")
    assert unnamed == 0


def test_headings_descend_by_one_and_there_is_one_first(opened, path):
    page = opened(path)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]))")
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_nothing_to_scroll_sideways_but_tables(opened, path, scheme):
    page = opened(path, width=360, scheme=scheme)
    all_drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = page.evaluate("""[...document.querySelectorAll('main *')].filter((e) => !e.closest('.scroll')
        && !e.closest('svg') && e.getBoundingClientRect().right > innerWidth + 1)
        .map((e) => e.tagName + e.className)""")
    assert wide == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_a_contrast_that_can_be_read(opened, path, scheme):
    page = opened(path, scheme=scheme)
    all_drawn(page)
    assert [each for each in page.evaluate(CONTRASTS) if each[0] < 4.5] == []


def background(page):
    return page.evaluate("getComputedStyle(document.querySelector('#forest .main-svg')).backgroundColor")


def test_plots_follow_the_colour_scheme_while_the_page_is_open(opened, path):
    page = opened(path)
    page.locator("#forest").scroll_into_view_if_needed()
    until(page, "document.getElementById('forest').dataset.drawn")
    assert background(page) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    until(page, "document.getElementById('forest').dataset.drawn.endsWith('true')")
    assert background(page) == page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_a_print_is_light_and_has_every_plot_and_all_that_was_closed(opened, path):
    page = opened(path, scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert background(page) == "rgb(255, 255, 255)"
    shown = page.evaluate("""[...document.querySelectorAll('.plot')].filter((plot) => !plot.closest('[hidden]'))
        .every((plot) => plot.dataset.drawn)""")
    assert shown
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    assert not page.locator(".contents").is_visible()
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0
    assert len(page.pdf()) > 50_000


def test_a_plot_can_be_saved(opened, path):
    page = opened(path)
    button = page.locator("[data-save=forest]")
    button.scroll_into_view_if_needed()
    until(page, "document.getElementById('forest').dataset.drawn")
    with page.expect_download() as download:
        button.click()
    assert download.value.suggested_filename == "forest.svg"


def test_hostile_names_do_nothing_and_are_read_as_they_are(opened, tmp_path):
    hostile = ["</script><script>window.hit = 1</script>", "<img src=x onerror='window.hit = 2'>",
               "<b>bold</b><a href='javascript:window.hit = 3'>x</a>", "a\x00\u202eb"]  # fmt: skip
    recipes = {name: f"l2(kernel={0.1**i:g})" if i else "none" for i, name in enumerate(hostile)}
    found = Results.load(made.study(tmp_path / "s", recipes, classes=hostile))
    page = opened(found.report()[0])
    all_drawn(page)
    for plot in ("forest", "classes", "gap"):
        page.locator(f"#{plot} .main-svg").first.hover(force=True)
    assert page.evaluate("window.hit") is None
    assert page.locator(".plot a").count() == 0
    texts = page.locator("#classes .ytick text").all_text_contents()
    assert texts[0] == hostile[1][:15] + "…" + hostile[1][-10:]
    assert "a␀\\u202eb" in page.locator("#main-table").inner_text()


def test_a_live_page_shows_progress_refreshes_keeps_its_place_and_can_be_paused(opened, results, tmp_path):
    running = [{"names": ["dropout"], "seed": 1, "worker": "w", "epoch": 3, "seconds": 5.0}]
    counts = {"finished": 10, "diverged": 0, "failed": 0, "running": 1, "planned": 9}
    status = Status(tmp_path, counts, running, [], 12, 90.0, True, None, "here", 0)
    path = tmp_path / "live.html"
    disk.write(path, page_of(results, made="first", status=status, refresh=3.0).encode())
    page = opened(path)
    assert page.locator("progress").get_attribute("value") == "10"
    page.locator("details").first.evaluate("details => { details.open = true; }")
    page.evaluate("scrollTo(0, 1500)")
    disk.write(path, page_of(results, made="second", status=status, refresh=1.0).encode())
    until(page, "document.querySelector('time').textContent === 'second'")
    # It goes on refreshing: what is asked has to outlive that.
    until(page, "Math.abs(scrollY - 1500) < 60 && document.querySelector('details').open")
    page.locator("#pause").click()
    disk.write(path, page_of(results, made="third").encode())
    page.wait_for_timeout(1500)
    assert page.locator("time").inner_text() == "second"
    page.locator("#pause").click()
    until(page, "document.querySelector('time').textContent === 'third'")
    assert page.locator("progress").count() == 0


def test_without_scripts_the_numbers_are_there_and_it_is_said(browser, path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert "scripts are switched off here" in page.locator("main header").inner_text()
    assert page.locator("#main-table tbody tr").count() == len(made.RECIPES)
    context.close()
