"""What the API refuses, and a network that fails, as the page tells them."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, expect

from tests.service.web.screen import (
    choose,
    refuse,
    wait_for_result,
)

pytestmark = pytest.mark.browser


def test_a_refused_upload_is_told_and_the_page_goes_on(open_page, tmp_path, photo):
    wrong = tmp_path / "notes.jpg"
    wrong.write_text("<html><script>alert(1)</script>")
    page = open_page()
    choose(page, wrong)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Not an image that can be read")
    expect(alert).to_contain_text("notes.jpg: The upload is no image that is accepted here: send a JPEG, PNG")
    choose(page, photo)
    wait_for_result(page)
    expect(alert).to_be_hidden()


def test_a_busy_service_is_asked_again_after_the_time_it_names(open_page, photo):
    tries: list[int] = []

    def once_busy(route: Route) -> None:
        tries.append(1)
        if len(tries) == 1:
            refuse(429, "The queue is full.", {"Retry-After": "1"})(route)
        else:
            route.continue_()

    page = open_page(routes={"**/v1/predict*": once_busy})
    choose(page, photo)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The service is busy")
    expect(alert).to_contain_text("The queue is full.")
    expect(alert.get_by_role("button", name="Try again in 1 second.")).to_be_disabled()
    alert.get_by_role("button", name="Try again", exact=True).click()
    wait_for_result(page)


def test_a_service_that_does_not_answer_is_told(open_page, photo):
    page = open_page(routes={"**/healthz": lambda route: route.abort(), "**/v1/predict*": lambda route: route.abort()})
    choose(page, photo)
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    page.unroute("**/v1/predict*")
    page.get_by_role("button", name="Try again").click()
    wait_for_result(page)


def test_a_token_is_asked_for_once_and_kept_for_the_tab_only(open_page, photo):
    def guard(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer sesame":
            route.continue_()
        else:
            refuse(401, "Send the token.")(route)

    page = open_page(routes={"**/v1/**": guard})
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("That token was not accepted")
    dialog.get_by_label("Token").fill("sesame")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    choose(page, photo)
    wait_for_result(page)
    assert page.evaluate("sessionStorage.getItem('mirada-token')") == "sesame"
    assert "sesame" not in page.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")
