"""The house-keeping DAGs in a real Airflow: what no callback reported is found, and what waits is sent."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from lastmile.ledger import tables
from lastmile.ledger.ledger import Ledger
from lastmile.team.listing import list_incidents
from lastmile_airflow.sweep import sweep
from project import wait_until

if TYPE_CHECKING:
    from conftest import EmbeddedAirflow

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def open_headlines(airflow: "EmbeddedAirflow", pipeline: str) -> list[str]:
    return [
        one.incident.headline
        for one in list_incidents(airflow.ledger).open
        if one.incident.pipeline == pipeline
    ]


def forget(ledger: Ledger) -> None:
    """Leave the ledger as if no callback had ever come."""
    with ledger.begin() as connection:
        for table in (tables.threads, tables.outbox, tables.sightings, tables.incidents):
            connection.execute(table.delete())


def test_the_sweep_finds_once_what_no_callback_reported(
    airflow: "EmbeddedAirflow", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LASTMILE_ROOT", str(airflow.project.root))
    monkeypatch.setenv("LASTMILE_HOME", str(airflow.project.home))
    _, states = airflow.run("lost")
    assert states[""] == "failed"
    wait_until(lambda: open_headlines(airflow, "lost"), "the callback's incident")
    forget(airflow.ledger)

    later = datetime.now(UTC) + timedelta(minutes=5)
    assert sweep(airflow.rest, later).failures >= 1
    assert open_headlines(airflow, "lost") == ["The stage prepare ended without a word."]
    assert sweep(airflow.rest, later).failures == 0
    assert len(open_headlines(airflow, "lost")) == 1


@pytest.mark.parametrize("dag_id", ["sweep_incidents", "deliver_messages"])
def test_the_house_keeping_dags_run(airflow: "EmbeddedAirflow", dag_id: str) -> None:
    _, states = airflow.run(dag_id)
    assert set(states.values()) == {"success"}
