"""The page in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def page(browser: Any, serving: Callable[..., Any], fake_shop: Any) -> Iterator[httpx.Client]:
    """A server whose page the browser shows, and which must show no error in the end."""
    with serving(fake_shop) as client:
        browser.open(f"{client.base_url}")
        browser.until("document.querySelectorAll('#diverse .card').length === 10")
        yield client
        # The picture of i1 is broken, and its card does without.
        assert [problem for problem in browser.problems if "/i1/image" not in problem] == []


IDS = "[...document.querySelectorAll('#{} .card')].map(node => node.dataset.item)"
CHOSEN = "[...document.querySelectorAll('#history button')].map(node => node.dataset.item)"


def choose(browser: Any, user: str) -> None:
    browser.type("#user", user)
    browser.press("Enter")
    browser.until("document.querySelectorAll('#plain .card').length === 10")


def test_a_user_gets_two_lists_whose_differences_are_marked(browser: Any, page: httpx.Client) -> None:
    choose(browser, "u1")
    assert browser.js(CHOSEN) == ["i2", "i1", "i0"]
    plain, diverse = browser.js(IDS.format("plain")), browser.js(IDS.format("diverse"))
    answer = page.post("/api/recommend", json={"user_id": "u1"}).json()["items"]
    assert plain == [place["item"]["item_id"] for place in answer]
    new = browser.js("[...document.querySelectorAll('#diverse .card.new')].map(node => node.dataset.item)")
    gone = browser.js("[...document.querySelectorAll('#plain .card.gone')].map(node => node.dataset.item)")
    assert set(new) == set(diverse) - set(plain)
    assert set(gone) == set(plain) - set(diverse)
    assert f"{len(new)} new" in browser.js("document.querySelector('#status').textContent")
    assert browser.js("document.querySelectorAll('#links path').length") == len(set(plain) & set(diverse))
    # What is data stays text.
    assert "<b>x</b>" in browser.js("document.querySelector('.card .text').textContent")
    assert browser.js("document.querySelectorAll('main b').length") == 0


def test_a_history_is_clicked_together_and_taken_apart(browser: Any, page: httpx.Client) -> None:
    browser.type("#words", "thing 30")
    browser.until("document.querySelector('#find-status').textContent.startsWith('1 item')")
    browser.click("#found button")
    browser.until(f"{CHOSEN}.length === 1")
    assert browser.js(CHOSEN) == ["i30"]
    browser.until("document.querySelectorAll('#plain .card').length === 10")
    assert "i30" not in browser.js(IDS.format("plain"))
    # The address holds the view: whoever opens it sees the same.
    before, address = browser.js(IDS.format("diverse")), browser.js("location.href")
    browser.open(address)
    browser.until(f"{CHOSEN}.length === 1 && document.querySelectorAll('#plain .card').length === 10")
    assert browser.js(IDS.format("diverse")) == before
    browser.click("#history button")
    browser.until(f"{CHOSEN}.length === 0 && !document.querySelectorAll('#plain .card').length")
    assert "popular" in browser.js("document.querySelector('#history-hint').textContent")


def test_the_slider_and_the_switches_send_requests(browser: Any, page: httpx.Client, fake_shop: Any) -> None:
    choose(browser, "u2")
    asked: list[dict[str, Any]] = []
    whole = fake_shop.recommend_many
    fake_shop.recommend_many = lambda histories, **options: (
        asked.append(options) or whole(histories, **options)
    )
    browser.js("document.querySelector('#diversity').focus()")
    before = float(browser.js("document.querySelector('#diversity').value"))
    browser.press("ArrowRight")
    browser.until(f"location.hash.includes('diversity={round(before + 0.05, 2)}')")
    browser.until("!document.querySelector('#pair').classList.contains('busy')")
    assert {None} < {options["rerank"] and options["rerank"].stages[0].diversity for options in asked}
    browser.click("#modalities input[value=image]")
    browser.until("location.hash.includes('see=id%2Ctext')")
    browser.until("!document.querySelector('#pair').classList.contains('busy')")
    assert asked[-1]["modalities"] == {"id", "text"}
    for name in ("id", "text"):
        browser.click(f"#modalities input[value={name}]")
    # The last one stays on.
    assert browser.js("document.querySelectorAll('#modalities input:checked').length") == 1
    browser.js(
        "(() => { const node = document.querySelector('#rerank'); node.value = 'none';"
        "node.dispatchEvent(new Event('change')); })()"
    )
    browser.until("document.querySelector('#pair').classList.contains('single')")
    assert browser.js("document.querySelector('#strength').hidden")


def test_thumbs_feed_the_history_and_hide(browser: Any, page: httpx.Client) -> None:
    choose(browser, "u1")
    first = browser.js(IDS.format("diverse"))[0]
    browser.click("#diverse .card:nth-child(1) [aria-label^='Thumbs up']")
    browser.until(f"{CHOSEN}[0] === {first!r}")
    browser.until(f"!{IDS.format('diverse')}.includes({first!r})")
    hide = browser.js(IDS.format("diverse"))[0]
    browser.click("#diverse .card:nth-child(1) [aria-label^='Thumbs down']")
    browser.until(f"!{IDS.format('diverse')}.includes({hide!r}) && !{IDS.format('plain')}.includes({hide!r})")
    assert browser.js(f"{IDS.format('diverse')}.length") == 10
    assert 'crossrec_feedback_total{vote="down"} 1.0' in page.get("/metrics").text
    browser.click("#show-hidden")
    browser.until(f"{IDS.format('diverse')}.includes({hide!r})")


def test_an_explanation_is_shown_and_closed_by_a_key(browser: Any, page: httpx.Client) -> None:
    choose(browser, "u1")
    browser.js("document.querySelector('#diverse .card:nth-child(2) [aria-label^=Why]').focus()")
    browser.press("Enter")
    browser.until("document.querySelectorAll('#why .bar').length === 3")
    assert browser.js("document.querySelectorAll('#why .click').length") == 3
    assert browser.js("document.querySelector('#why mark').textContent") == "red"
    assert browser.js("document.querySelector('#why canvas').width") == 2
    assert browser.js("[...document.querySelectorAll('.mattered')].map(node => node.dataset.item)") == ["i0"]
    browser.press("Escape")
    browser.until("!document.querySelector('#why').open")
    assert browser.js("document.activeElement.getAttribute('aria-label').startsWith('Why')")


def test_an_explanation_that_comes_late_is_not_shown_under_another_name(
    browser: Any, page: httpx.Client, fake_shop: Any
) -> None:
    choose(browser, "u1")
    # The first answer is held back until the second is there.
    browser.js(
        "(() => { const whole = window.fetch; let held = null; window.fetch = (path, options) => {"
        "  if (path !== '/api/explain') return whole(path, options);"
        "  if (held === null) return new Promise(done => { held = done; window.late = () => "
        "    whole(path, options).then(answer => { done(answer); return 1; }); });"
        "  return whole(path, options); }; })()"
    )
    browser.js("document.querySelector('#diverse .card:nth-child(1) [aria-label^=Why]').click()")
    browser.press("Escape")
    browser.js("document.querySelector('#diverse .card:nth-child(2) [aria-label^=Why]').click()")
    browser.until("document.querySelectorAll('#why .bar').length === 3")
    browser.js("document.querySelector('#why .bar').dataset.seen = 'yes'")
    browser.js("window.late().then(() => new Promise(done => setTimeout(done, 300)))")
    assert browser.js("document.querySelector('#why .bar').dataset.seen") == "yes"


def test_an_item_is_added_by_upload(
    browser: Any, page: httpx.Client, picture: Callable[..., bytes], tmp_path: Path
) -> None:
    path = tmp_path / "new.png"
    path.write_bytes(picture("blue"))
    browser.click("#open-upload")
    browser.type("#new-id", "i3")
    browser.type("#new-title", "Brand new <i>thing</i>")
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector="#new-image")["nodeId"]
    browser.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)
    browser.until("document.querySelector('#new-preview').naturalWidth === 60")
    browser.click("#upload-form [type=submit]")
    browser.until("document.querySelector('#upload-error').textContent.includes('already')")
    browser.problems.clear()  # the refused id is an error on the console, too
    browser.js("document.querySelector('#new-id').value = 'mine'")
    browser.click("#upload-form [type=submit]")
    browser.until("!document.querySelector('#upload').open")
    browser.until("document.querySelector('#found .name')?.textContent === 'Brand new <i>thing</i>'")
    browser.until("document.querySelector('#found img')?.naturalWidth > 0")
    assert page.get("/api/items/mine").status_code == 200


def test_keys_reach_everything_and_everything_has_a_name(browser: Any, page: httpx.Client) -> None:
    browser.open(f"{page.base_url}#user=u1")
    browser.until("document.querySelectorAll('#plain .card').length === 10")
    browser.press("Tab")
    seen: list[str] = []
    for _ in range(200):
        seen.append(
            browser.js("document.activeElement.id || document.activeElement.getAttribute('aria-label')")
        )
        outline = browser.js("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", seen[-1]
        browser.press("Tab")
        if browser.js("document.activeElement === document.body"):
            break
    for wanted in ("open-upload", "user", "random-user", "rerank", "diversity", "k", "words"):
        assert wanted in seen
    assert sum(str(name).startswith("Thumbs up") for name in seen) == 20
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "textbox", "searchbox", "combobox", "slider", "checkbox", "link", "list", "dialog"}
    nameless = [
        node
        for node in nodes
        if not node["ignored"]
        and node["role"]["value"] in roles - {"list"}
        and not node.get("name", {}).get("value")
    ]
    assert not nameless


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_shows_one_list_at_a_time_and_nothing_sticks_out(
    browser: Any, page: httpx.Client, width: int
) -> None:
    browser.open(f"{page.base_url}#user=u1", width=width, height=844)
    browser.until("document.querySelectorAll('#plain .card').length === 10")
    shown = "[...document.querySelectorAll('.column')].filter(node => node.offsetWidth).map(n => n.className)"
    assert browser.js("document.documentElement.scrollWidth") <= width
    assert browser.js(shown) == ["column diverse"]
    browser.click("[data-view=plain][type=button]")
    assert browser.js(shown) == ["column plain"]
    small = browser.js(
        "[...document.querySelectorAll('button, select, input')].filter(node => node.offsetWidth"
        " && Math.max(node.offsetHeight, node.parentElement.offsetHeight) < 24).map(node => node.outerHTML)"
    )
    assert small == []
    browser.js("document.querySelector('#plain .card [aria-label^=Why]').click()")
    browser.until("document.querySelectorAll('#why .bar').length === 3")
    assert browser.js("document.querySelector('#why').scrollWidth") <= width


def test_the_api_page_shows_every_operation(browser: Any, page: httpx.Client) -> None:
    browser.open(f"{page.base_url}/docs", dark=True)
    browser.until("document.querySelectorAll('details').length > 5")
    operations = sum(len(methods) for methods in page.get("/openapi.json").json()["paths"].values())
    assert browser.js("document.querySelectorAll('details').length") == operations
    assert browser.js("document.querySelector('main').textContent.includes('undefined')") is False


def test_a_server_that_is_gone_is_said_to_be_gone(
    browser: Any, serving: Callable[..., Any], fake_shop: Any
) -> None:
    with serving(fake_shop) as client:
        browser.open(f"{client.base_url}")
        # Before the modules run, nobody listens to what is typed.
        browser.until("document.querySelectorAll('#diverse .card').length === 10")
        choose(browser, "u1")
    browser.click("#history button")
    browser.until("document.querySelector('#status').textContent.includes('reached')")
