"""The page in a real browser: a click changes the slate before one's eyes, by mouse, by keyboard and on a phone."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 30_000
BLANK_BYTES = 30_000
"""A screenshot of an empty page of this size is smaller."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """An installed Chromium, else Playwright's own."""
    installed = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=installed, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the page wrote to its console as an error."""
    return []


@pytest.fixture
def page(browser: Browser, base_url: str, complaints: list[str]) -> Iterator[Page]:
    """The page, opened by a visitor that nobody knows."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    open_page(opened, base_url, complaints)
    yield opened
    opened.close()
    assert complaints == []


def open_page(page: Page, base_url: str, complaints: list[str]) -> None:
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{base_url}/?visitor=page-{uuid.uuid4().hex[:8]}")
    expect(page.locator("#model")).not_to_have_text("–")


def find(page: Page, title: str) -> None:
    page.get_by_label("Search titles").fill(title)
    expect(page.get_by_test_id("found").first).to_contain_text(title)


def shown(page: Page) -> list[str]:
    """The items of the slate, in order."""
    cards = page.get_by_test_id("card")
    return [cards.nth(place).get_attribute("data-item") or "" for place in range(cards.count())]


def test_a_click_changes_the_slate_and_is_measured(page: Page, tmp_path: Path) -> None:
    find(page, "film-03")
    page.get_by_role("button", name="Watch The film-03").first.click()
    expect(page.get_by_test_id("latency")).to_contain_text("ms")
    expect(page.get_by_test_id("visit").first).to_contain_text("The film-03")
    expect(page.locator("#announcement")).to_contain_text("Slate updated in")
    first = shown(page)
    assert "film-03" not in first
    find(page, "film-06")
    page.get_by_role("button", name="Watch The film-06").first.click()
    expect(page.get_by_test_id("visit").first).to_contain_text("The film-06")
    expect(page.get_by_test_id("visit")).to_have_count(2)
    assert shown(page) != first or not first
    assert "film-06" not in shown(page)
    expect(page.locator("#hops li")).to_have_count(3)
    picture = page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert len(picture) > BLANK_BYTES


def test_features_are_shown_as_the_store_has_them(page: Page) -> None:
    find(page, "film-09")
    page.get_by_role("button", name="Watch The film-09").first.click()
    expect(page.get_by_test_id("visit")).to_have_count(1)
    page.get_by_text("Rows as the store has them").click()
    page.get_by_text("visitor_session", exact=True).click()
    expect(page.locator("#rows")).to_contain_text('["film-09"]')
    expect(page.locator("#profile")).to_contain_text("play 1")


def test_everything_can_be_done_with_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the slate")).to_be_focused()
    page.get_by_label("Search titles").focus()
    page.keyboard.type("film-12")
    expect(page.get_by_test_id("found")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="The film-12").first).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Watch The film-12").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("visit").first).to_contain_text("watched")
    page.keyboard.press("Tab")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Rate The film-12 4 of 5").first).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_test_id("visit").first).to_contain_text("rated")


def test_every_control_has_a_name(page: Page) -> None:
    find(page, "film")
    buttons = page.get_by_role("button")
    assert buttons.count() > 10
    for place in range(buttons.count()):
        expect(buttons.nth(place)).to_have_accessible_name(re.compile(r"\w"))


def test_a_slate_that_must_not_be_personal_is_the_same_for_everybody(page: Page) -> None:
    find(page, "film-15")
    page.get_by_role("button", name="Watch The film-15").first.click()
    expect(page.get_by_test_id("visit")).to_have_count(1)
    page.get_by_label("personal").uncheck()
    expect(page.locator("#slate")).not_to_contain_text("because you")


def test_a_new_visitor_starts_from_nothing(page: Page) -> None:
    find(page, "film-18")
    page.get_by_role("button", name="Watch The film-18").first.click()
    expect(page.get_by_test_id("visit")).to_have_count(1)
    page.get_by_role("button", name="New visitor").click()
    expect(page.get_by_test_id("visit")).to_have_count(0)
    expect(page.locator("#session-note")).to_contain_text("No visits yet")


def test_a_new_visitor_names_a_genre_and_it_is_known_at_once(page: Page) -> None:
    genre = page.locator("#onboarding-categories .chip", has_text="drama")
    genre.click()
    page.get_by_role("button", name="Start with these").click()
    expect(page.locator("#onboarding")).to_be_hidden()
    expect(page.get_by_test_id("visit").first).to_contain_text("liked")
    expect(page.get_by_test_id("visit").first).to_contain_text("drama")


def test_what_was_begun_is_continued_in_a_row_of_the_page(page: Page) -> None:
    find(page, "film-21")
    page.get_by_role("button", name="Watch The film-21").first.click()
    expect(page.locator("[data-row=continue_watching]")).to_contain_text("The film-21")
    items = page.locator("#page-rows li").evaluate_all("all => all.map(each => each.dataset.item)")
    assert len(items) == len(set(items))


def test_a_narrow_phone_needs_no_sideways_scrolling(browser: Browser, base_url: str, complaints: list[str]) -> None:
    phone = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme="dark")
    open_page(phone, base_url, complaints)
    find(phone, "film-2")
    phone.get_by_role("button", name="Watch The film-2").first.click()
    expect(phone.get_by_test_id("visit")).to_have_count(1)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    phone.close()
    assert complaints == []
