"""Takes the pictures of docs/pictures/ from a running `make demo`. Needs chromium on PATH."""

import json
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".lastmile"
PICTURES = ROOT / "docs" / "pictures"
PIPELINE = "medical_diagnosis"


def main() -> None:
    """Take all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 640})
        take_nights(page)
        take_form(page)
        take_report(page)
        browser.close()


def take_nights(page: Page) -> None:
    """A model's last runs, stage by stage."""
    airflow = f"http://127.0.0.1:{json.loads((HOME / 'airflow/airflow.json').read_text())['port']}"
    passwords = HOME / "airflow/simple_auth_manager_passwords.json.generated"
    page.goto(airflow)
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", json.loads(passwords.read_text())["admin"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{airflow}/")
    page.goto(f"{airflow}/dags/{PIPELINE}")
    page.get_by_text("Asset Events", exact=False).first.wait_for()
    page.wait_for_timeout(1500)  # the bars grow into place
    page.screenshot(path=PICTURES / "airflow.png")


def take_form(page: Page) -> None:
    """The trigger form."""
    page.set_viewport_size({"width": 1000, "height": 1150})
    page.get_by_label("Trigger Dag").click()
    page.get_by_text("How many workers train together.").wait_for()
    page.wait_for_timeout(800)
    page.get_by_role("dialog").screenshot(path=PICTURES / "trigger.png")


def take_report(page: Page) -> None:
    """The newest verdict's report."""
    reports = (HOME / "store" / "artefacts").glob("*/report.html")
    verdicts = [report for report in reports if (report.parent / "verdict.json").exists()]
    newest = max(verdicts, key=lambda report: report.stat().st_mtime)
    page.set_viewport_size({"width": 1180, "height": 1000})
    page.goto(newest.as_uri())
    page.screenshot(path=PICTURES / "verdict.png")


if __name__ == "__main__":
    main()
