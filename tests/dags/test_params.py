"""The trigger form: types, ranges and explanations, and what it comes to."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError

from lastmile.errors import SettingsError
from lastmile_airflow.params import requested_by, run_options, run_params

if TYPE_CHECKING:
    from airflow.sdk import DAG


def test_the_form_has_these_fields_and_each_is_explained(model_dags: dict[str, "DAG"]) -> None:
    for dag in model_dags.values():
        assert list(dag.params) == ["workers", "force", "dry_run", "reason"]
        for name in dag.params:
            param = dag.params.get_param(name)
            assert param.schema["title"], name
            assert len(param.description or "") > 30, name


def test_the_defaults_are_valid_and_want_nothing_special() -> None:
    assert ParamsDict(run_params()).validate() == {
        "workers": None,
        "force": False,
        "dry_run": False,
        "reason": None,
    }


@pytest.mark.parametrize("workers", [1, 64, None])
def test_workers_in_the_range_are_taken(workers: int | None) -> None:
    params = ParamsDict(run_params())
    params.update({"workers": workers})
    assert params.validate()["workers"] == workers


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"workers": 0}, id="too few"),
        pytest.param({"workers": 65}, id="too many"),
        pytest.param({"workers": 1.5}, id="half a worker"),
        pytest.param({"workers": "2"}, id="a text"),
        pytest.param({"force": "yes"}, id="no boolean"),
        pytest.param({"reason": "x" * 501}, id="too long"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(given: dict[str, Any]) -> None:
    params = ParamsDict(run_params())
    with pytest.raises(ParamValidationError):
        params.update(given)


def test_the_form_becomes_the_options_of_the_run() -> None:
    run = SimpleNamespace(triggering_user_name="ada", run_type="manual")
    params = {"workers": 2, "force": True, "dry_run": True, "reason": "new data"}
    options = run_options(params, run)
    assert options.model_dump() == params | {"requested_by": "ada"}


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (SimpleNamespace(triggering_user_name="ada", run_type="manual"), "ada"),
        (SimpleNamespace(triggering_user_name=None, run_type="scheduled"), "schedule"),
        (SimpleNamespace(triggering_user_name=None, run_type="asset_triggered"), "asset"),
        (SimpleNamespace(triggering_user_name=None, run_type="backfill"), "backfill"),
    ],
)
def test_who_asked_for_a_run(run: SimpleNamespace, expected: str) -> None:
    assert requested_by(run) == expected


def test_an_option_that_cannot_be_is_wrong_input() -> None:
    run = SimpleNamespace(triggering_user_name="ada", run_type="manual")
    with pytest.raises(SettingsError, match="workers is 'many'"):
        run_options({"workers": "many"}, run)
