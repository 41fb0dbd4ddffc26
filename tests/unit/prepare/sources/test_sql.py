import logging
import sqlite3

import pandas as pd
import pytest
import sqlalchemy as sa

from lastmile.errors import DataError, ServiceUnavailableError, SettingsError
from lastmile.prepare.sources.sql import SqlSource
from postgres import make_database, postgres_server  # noqa: F401 - fixtures


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
    pd.testing.assert_frame_equal(source().read(place).frame, expected)


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
    assert len(acquired.load().frame) == 2


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


WRITES = ["delete from t", "drop table t", "insert into t (id, w) values (3, 'c') returning id"]


@pytest.mark.parametrize("query", WRITES)
def test_a_query_that_writes_changes_nothing(url, place, query):
    with pytest.raises(DataError, match="refuses the query: attempt to write a readonly database"):
        source(query).read(place)
    assert len(source().read(place).frame) == 2


def test_a_statement_without_rows_is_no_select(url, place):
    with pytest.raises(DataError, match="gives no rows, it is no SELECT"):
        source("-- later").read(place)


@pytest.mark.parametrize("text", [":foo", "100%", "%s", "?"])
def test_the_query_is_sent_as_it_stands(url, place, text):
    assert source(f"select id from t where w <> '{text}' order by id").read(place).frame[
        "id"
    ].tolist() == [1, 2]


def test_a_parameter_that_nobody_gives_is_refused(url, place):
    with pytest.raises(DataError, match="refuses the query: Incorrect number of bindings"):
        source("select id from t where w = :foo").read(place)


def test_whole_numbers_beside_a_null_stay_what_they_are(url, place):
    """As float64, which pandas infers, both would be 9007199254740992."""
    frame = (
        source(
            "select 9007199254740992 as k union all select 9007199254740993 union all select null"
        )
        .read(place)
        .frame
    )
    assert frame["k"].tolist()[:2] == ["9007199254740992", "9007199254740993"]
    assert frame["k"].isna().tolist() == [False, False, True]


def test_whole_numbers_beside_fractions_stay_what_they_are(url, place):
    frame = source("select 9007199254740993 as k union all select 1.5").read(place).frame
    assert frame["k"].tolist() == ["9007199254740993", "1.5"]


def test_a_database_file_with_signs_of_a_url_in_its_name(place, monkeypatch, tmp_path):
    path = tmp_path / "a b?%23.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table t as select 7 as id")
    connection.close()
    url = sa.URL.create("sqlite", database=str(path)).render_as_string()
    monkeypatch.setenv("LASTMILE_CONNECTION_DB", url)
    assert source().read(place).frame["id"].tolist() == [7]


def test_a_database_given_as_a_file_uri_is_opened_for_reading(url, place, monkeypatch):
    path = sa.make_url(url).database
    monkeypatch.setenv("LASTMILE_CONNECTION_DB", f"sqlite:///file:{path}?uri=true&mode=rw")
    with pytest.raises(DataError, match="readonly"):
        source("drop table t").read(place)
    assert len(source().read(place).frame) == 2


@pytest.fixture
def postgres(postgres_server, monkeypatch):  # noqa: F811 - the fixture
    url = make_database(postgres_server, "raw_rows")
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.exec_driver_sql("create table t (id bigint, w text)")
        connection.exec_driver_sql(
            "insert into t values (9007199254740993, '100%%'), (null, ':foo')"
        )
    monkeypatch.setenv("LASTMILE_CONNECTION_DB", url)


def test_over_a_real_postgresql(postgres, place):
    for query in WRITES:
        with pytest.raises(DataError, match="in a read-only transaction"):
            source(query).read(place)
    frame = (
        source("select id, w from t where w like '%0%' or w = ':foo' order by id").read(place).frame
    )
    assert frame["id"].tolist()[0] == "9007199254740993"
    assert frame["w"].tolist() == ["100%", ":foo"]


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
