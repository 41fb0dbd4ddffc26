"""What people see and do in Airflow's web UI, in a real browser."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from lastmile.run import StageName
from project import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from conftest import EmbeddedAirflow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH"),
]


@pytest.fixture(scope="module")
def page(airflow: "EmbeddedAirflow") -> Iterator["Page"]:
    """A browser that has logged in; a page that throws an error fails the test."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(20_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(airflow.address)
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", airflow.password)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{airflow.address}/")
        yield page
        browser.close()
        assert errors == []


def test_the_graph_shows_a_group_per_stage(airflow: "EmbeddedAirflow", page: "Page") -> None:
    page.goto(f"{airflow.address}/dags/flowers")
    page.get_by_label("Show Graph").click()
    for stage in StageName:
        page.locator(".react-flow__node").filter(has_text=stage).first.wait_for()
    page.locator(".react-flow__node").filter(has_text="announce_outcome").first.wait_for()


def test_the_page_of_a_dag_says_what_goes_in_and_comes_out(
    airflow: "EmbeddedAirflow", page: "Page"
) -> None:
    page.goto(f"{airflow.address}/dags/flowers")
    page.get_by_label("Dag Docs").click()
    for heading in ("What", "Inputs", "Outputs", "When it fails", "Owner"):
        page.get_by_role("heading", name=heading, exact=True).wait_for()


def test_a_run_is_started_from_the_form(airflow: "EmbeddedAirflow", page: "Page") -> None:
    page.goto(f"{airflow.address}/dags/flowers")
    page.get_by_label("Trigger Dag").click()
    form = page.get_by_role("dialog")
    form.get_by_text("How many workers train together.").wait_for()
    for field in ("Workers", "Force retraining", "Dry run", "Reason"):
        assert form.get_by_text(field, exact=False).first.is_visible(), field
    form.locator("#element_reason").fill("by hand, in spring")
    form.locator("[id='switch:element_dry_run']").click()
    before = {run["dag_run_id"] for run in airflow.rest.runs("flowers")}
    form.get_by_role("button", name="Trigger", exact=True).click()

    def started() -> list[str]:
        return [
            run["dag_run_id"]
            for run in airflow.rest.runs("flowers")
            if run["dag_run_id"] not in before
        ]

    [run_id] = wait_until(started, "the run of the form", 30)
    conf = airflow.rest.run("flowers", run_id)["conf"]
    assert conf["reason"] == "by hand, in spring"
    assert conf["dry_run"] is True
    states = airflow.finish("flowers", run_id)
    assert (states[""], states["package.package_release"]) == ("success", "skipped")
