"""`make demo` and `make stop`: raw data to a served model through Airflow, on this machine alone."""

import argparse
import logging
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from subprocess import run
from typing import TYPE_CHECKING, Any

from lastmile.errors import ExitCode, LastmileError, PermanentError, ServiceUnavailableError
from lastmile_airflow import closing, standalone
from lastmile_airflow.environment import airflow_settings
from lastmile_airflow.follow import Follower, error_lines
from lastmile_airflow.rest import FINAL, AirflowRest
from lastmile_airflow.screen import Screen

if TYPE_CHECKING:
    from lastmile.settings import Settings

PIPELINE = "medical_diagnosis"
HOUSEKEEPING = ("deliver_messages", "sweep_incidents")
REASON = "make demo"
PARSE_SECONDS = 60.0
INTERRUPTED = 130


def start(screen: Screen) -> ExitCode:
    """Bring up Airflow and the served models, run `medical_diagnosis`, show what came of it.

    Raises:
        LastmileError: Something could not be started.
    """
    began = time.monotonic()
    settings = airflow_settings()
    home = airflow_home(settings)
    screen.heading("Lastmile: from raw data to a served model")
    make_example_data(settings, screen)
    bring_up_models(settings, screen)
    airflow = standalone.start(home, demo_environment(settings), screen.progress)
    screen.line(f"Airflow answers at {airflow.address} after {time.monotonic() - began:.0f} s")
    rest = AirflowRest(airflow.address, standalone.USER, standalone.write_password(home))
    try:
        switch_on(rest, screen)
        run_id = running_run(rest) or rest.trigger(PIPELINE, {"reason": REASON})
        screen.heading(f"{PIPELINE}, run {run_id}")
        state = Follower(rest, screen, home / "logs", PIPELINE, run_id).follow()
        if state != "success":
            show_failure(rest, screen, run_id)
            return ExitCode.BUG
    finally:
        rest.close()
    closing.show(screen, PIPELINE, run_id)
    closing.show_airflow(screen, airflow.address, standalone.USER, standalone.write_password(home))
    screen.line(f"\nAll of it took {time.monotonic() - began:.0f} s. `make stop` ends it.")
    return ExitCode.DONE


def stop(screen: Screen) -> ExitCode:
    """End Airflow and the served models; what they have made stays."""
    from lastmile.cli.serve import names_running, take_down

    settings = airflow_settings()
    ended = standalone.stop(airflow_home(settings))
    running = names_running(settings)
    take_down([], settings)
    ended += [f"{name}'s server" for name in running]
    screen.line(f"Ended: {', '.join(ended)}." if ended else "Nothing was running.")
    return ExitCode.DONE


def airflow_home(settings: "Settings") -> Path:
    """Return AIRFLOW_HOME."""
    return settings.home_path / "airflow"


def demo_environment(settings: "Settings") -> dict[str, str]:
    """Return what the embedded Airflow's environment holds of ours; every path is absolute."""
    return {
        "LASTMILE_ROOT": str(settings.root.resolve()),
        "LASTMILE_HOME": str(settings.home_path),
        "LASTMILE_CONNECTION_LOANS_DB": f"sqlite:///{_examples(settings) / 'loans.db'}",
        "CREDIT_RISK_APPLICATIONS": str(_examples(settings) / "applications.csv"),
    }


def make_example_data(settings: "Settings", screen: Screen) -> None:
    """Make the data of credit_risk where it is not there yet.

    Raises:
        PermanentError: The generator failed.
    """
    folder = _examples(settings)
    database, applications = folder / "loans.db", folder / "applications.csv"
    if database.is_file() and applications.is_file():
        screen.line("The example data is there: reused")
        return
    screen.progress("making example data")
    folder.mkdir(parents=True, exist_ok=True)
    program = settings.pipelines_path / "credit_risk.py"
    done = run(
        [
            sys.executable, str(program), "--database", f"sqlite:///{database}",
            "--applications", str(applications),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise PermanentError(
            f"{program} failed:\n{done.stderr.strip()[-1000:]}", "Run it by hand to see more."
        )
    screen.line(f"Made example data in {folder}")


def bring_up_models(settings: "Settings", screen: Screen) -> None:
    """Bring models released earlier back into service, after a reboot say."""
    from lastmile.cli import text
    from lastmile.cli.serve import bring_up

    if (served := bring_up([], settings)).models:
        screen.line(text.served(served))


def switch_on(rest: AirflowRest, screen: Screen) -> None:
    """Switch on our DAGs once Airflow has parsed them.

    Raises:
        ServiceUnavailableError: It does not parse them.
    """
    wanted = {PIPELINE, *HOUSEKEEPING}
    deadline = time.monotonic() + PARSE_SECONDS
    while not wanted <= (known := {dag["dag_id"]: dag for dag in rest.dags()}).keys():
        if time.monotonic() > deadline:
            raise ServiceUnavailableError(
                f"Airflow has not parsed {', '.join(sorted(wanted - known.keys()))}.",
                "\n".join(_import_errors(rest)) or "See .lastmile/airflow/logs/dag-processor.log.",
            )
        screen.progress("Airflow reads the DAGs")
        time.sleep(0.3)
    off = [dag_id for dag_id, dag in known.items() if dag["is_paused"] and _is_ours(dag)]
    for dag_id in off:
        rest.unpause(dag_id)
    screen.line(f"Switched on: {', '.join(sorted(off))}" if off else "All DAGs are on already")


def running_run(rest: AirflowRest) -> str | None:
    """Return the run of ours that has not ended, of a `make demo` that was interrupted."""
    for found in rest.runs(PIPELINE):
        if found["state"] not in FINAL:
            return str(found["dag_run_id"])
    return None


def show_failure(rest: AirflowRest, screen: Screen, run_id: str) -> None:
    """Show why a run failed."""
    screen.heading("The run failed")
    for line in error_lines(rest, PIPELINE, run_id):
        screen.line(line)


def _examples(settings: "Settings") -> Path:
    return settings.home_path / "examples"


def _is_ours(dag: dict[str, Any]) -> bool:
    tags = {tag["name"] for tag in dag["tags"]}
    return bool(tags & {"model", "housekeeping"}) and "broken" not in tags


def _import_errors(rest: AirflowRest) -> Iterable[str]:
    return (str(error["stack_trace"]) for error in rest.import_errors())


def main() -> int:
    """Run `start` or `stop`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lastmile_airflow.demo", description=__doc__)
    parser.add_argument("what", choices=["start", "stop"])
    screen = Screen()
    # Airflow has set up its own, and would show the ledger's migrations between our lines.
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int({"start": start, "stop": stop}[parser.parse_args().what](screen))
    except KeyboardInterrupt:
        screen.line()
        screen.line("Interrupted. What runs in Airflow goes on: `make demo` looks at it again,")
        screen.line("`make stop` ends all of it.")
        return INTERRUPTED
    except LastmileError as error:
        screen.line(f"error: {error.headline}")
        if error.hint:
            screen.line(f"hint:  {error.hint}")
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
