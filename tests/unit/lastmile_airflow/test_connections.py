from pathlib import Path

import pytest
from airflow.sdk import Connection

from lastmile.pipeline.load import read_pipeline
from lastmile_airflow.connections import (
    connection_environment,
    connection_url,
    source_connections,
)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param("sqlite:////data/loans.db", "sqlite:////data/loans.db", id="sqlite, absolute"),
        pytest.param("sqlite:///loans.db", "sqlite:///loans.db", id="sqlite, relative"),
        pytest.param(
            "postgres://ada:p%40ss@db:5433/loans?sslmode=require",
            "postgresql://ada:p%40ss@db:5433/loans?sslmode=require",
            id="postgres, with a port, an option and an odd password",
        ),
        pytest.param("mysql://ada@db/loans", "mysql://ada@db/loans", id="no password"),
    ],
)
def test_a_database_is_sqlalchemys_url(uri: str, expected: str) -> None:
    assert connection_url(Connection.from_uri(uri, conn_id="loans_db")) == expected


def test_a_sqlite_file_may_stand_in_the_host_as_airflows_form_has_it() -> None:
    given = Connection(conn_id="loans_db", conn_type="sqlite", host="/data/loans.db")
    assert connection_url(given) == "sqlite:////data/loans.db"


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            Connection.from_uri("https://ada%40x.org:to%2Fken@x.atlassian.net", conn_id="jira"),
            id="as a URL",
        ),
        pytest.param(
            Connection(
                conn_id="jira", conn_type="http", schema="https", host="x.atlassian.net",
                login="ada@x.org", password="to/ken",
            ),
            id="as the form has it",
        ),
        pytest.param(
            Connection(
                conn_id="jira", conn_type="jira", host="https://x.atlassian.net",
                login="ada@x.org", password="to/ken",
            ),
            id="with the scheme in the host",
        ),
    ],
)  # fmt: skip
def test_jira_is_account_token_and_host(given: Connection) -> None:
    assert connection_url(given) == "https://ada%40x.org:to%2Fken@x.atlassian.net"


def test_slack_needs_no_host() -> None:
    given = Connection(conn_id="slack", conn_type="slack", password="xoxb-1")
    assert connection_url(given) == "https://:xoxb-1@slack.com/api"


def test_another_slack_keeps_its_host_port_and_path() -> None:
    given = Connection.from_uri("http://:xoxb-1@127.0.0.1:99/api", conn_id="slack")
    assert connection_url(given) == "http://:xoxb-1@127.0.0.1:99/api"


def test_the_pipeline_file_names_its_connections(checkout: Path) -> None:
    pipeline = read_pipeline(checkout / "include" / "pipelines" / "toy.yaml")
    assert source_connections(pipeline) == ["loans_db"]


def test_what_airflow_has_goes_into_the_environment_and_the_rest_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LOANS_DB", "postgres://ada:secret@db/loans")
    assert connection_environment(["loans_db", "unknown_to_airflow"]) == {
        "LASTMILE_CONNECTION_LOANS_DB": "postgresql://ada:secret@db/loans"
    }
