import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from lastmile.errors import (
    BusyError,
    DataError,
    LastmileError,
    PipelineFileError,
    ServiceUnavailableError,
    SettingsError,
    StoreError,
)
from lastmile_airflow.failures import translated


def translate(error: BaseException) -> None:
    with translated():
        raise error


@pytest.mark.parametrize("kind", [StoreError, BusyError, ServiceUnavailableError])
def test_what_may_pass_is_retried(kind: type[LastmileError]) -> None:
    with pytest.raises(AirflowException, match=r"^away$") as caught:
        translate(kind("away", "wait"))
    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("kind", [DataError, SettingsError, PipelineFileError, LastmileError])
def test_what_will_not_pass_fails_at_once(kind: type[LastmileError]) -> None:
    with pytest.raises(AirflowFailException, match=r"^wrong$"):
        translate(kind("wrong", "mend it"))


def test_headline_and_hint_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AirflowFailException):
        translate(DataError("rows.csv is empty.", "Put rows into it."))
    assert [record.getMessage() for record in caplog.records] == [
        "rows.csv is empty.",
        "What to do: Put rows into it.",
    ]


@pytest.mark.parametrize("error", [AirflowSkipException("no"), KeyError("bug")])
def test_other_exceptions_pass_untouched(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        translate(error)
    assert caught.value is error
