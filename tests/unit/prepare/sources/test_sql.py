import logging

import pandas as pd
import pytest
import sqlalchemy as sa

from lastmile.errors import DataError, ServiceUnavailableError, SettingsError
from lastmile.prepare.sources.sql import SqlSource


@pytest.fixture
def url(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'db.sqlite'}"
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("create table t (id integer, v real, w)"))
        connection.execute(sa.text("insert into t values (1, 1.5, 'a'), (2, null, 7)"))
    monkeypatch.setenv("LASTMILE_CONNECTION_DB", url)
    return url


def source(query: str = "select * from t order by id") -> SqlSource:
    return SqlSource(connection="db", query=query)


def test_the_rows_of_a_query(url, place):
    expected = pd.DataFrame(
        {"id": [1, 2], "v": [1.5, None], "w": pd.Series(["a", "7"], dtype="str")}
    )
    pd.testing.assert_frame_equal(source().read(place), expected)


def test_the_digest_follows_the_rows(url, place):
    first = source().acquire(place)
    assert source("select * from t order by id asc").acquire(place).digest == first.digest
    assert source("select * from t order by id desc").acquire(place).digest != first.digest
    assert source("select id, v, w || '' as w from t order by id").acquire(place).digest == (
        first.digest
    )


def test_the_rows_are_read_once(url, place):
    acquired = source().acquire(place)
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("delete from t"))
    assert len(acquired.load()) == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select * from nowhere", "no such table: nowhere"),
        ("selekt 1", "syntax error"),
        ("select id, id from t", "more than one column called id"),
        ("select * from t where id > 9", "gave no rows"),
    ],
)
def test_a_wrong_query_is_refused(url, place, query, message):
    with pytest.raises(DataError, match=message):
        source(query).read(place)


def test_a_query_that_writes_changes_nothing(url, place):
    with pytest.raises(DataError, match="no SELECT"):
        source("delete from t").read(place)
    assert len(source().read(place)) == 2


def test_a_missing_database_file_is_not_made(place, monkeypatch, tmp_path):
    monkeypatch.setenv("LASTMILE_CONNECTION_DB", f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(DataError, match=r"no database file .*none.db"):
        source().read(place)
    assert not (tmp_path / "none.db").exists()


def test_a_locked_database_is_worth_a_retry(url, place, monkeypatch):
    monkeypatch.setenv("LASTMILE_CONNECTION_DB", f"{url}?timeout=0.05")
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as other:
        other.execute(sa.text("begin exclusive"))
        with pytest.raises(ServiceUnavailableError, match="locked"):
            source().read(place)
        other.rollback()


def test_an_unknown_connection_is_a_matter_of_settings(place):
    with pytest.raises(SettingsError, match="no connection named 'db'"):
        source().read(place)


@pytest.mark.parametrize("url", ["not a url", "nosuchdb://u:hunter2@h/d"])
def test_an_unusable_url_is_refused_without_the_password(place, monkeypatch, url, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("LASTMILE_CONNECTION_DB", url)
    with pytest.raises(SettingsError, match="connection 'db' cannot be used") as caught:
        source().read(place)
    assert "hunter2" not in f"{caught.value.headline}{caught.value.hint}{caplog.text}"
