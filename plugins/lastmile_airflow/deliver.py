"""Sends what waits in the outbox, with the accounts that Airflow's connections hold."""

import os

from lastmile_airflow.connections import connection_environment, team_connections
from lastmile_airflow.environment import airflow_settings
from lastmile_airflow.failures import translated


def deliver_waiting() -> dict[str, int]:
    """Deliver what is due; returns how many messages came to which end.

    Only in a task, whose process is its own: the accounts go into its environment.

    Raises:
        AirflowException: The ledger does not answer.
    """
    from lastmile.ledger.ledger import Ledger
    from lastmile.team.deliver import deliver_now

    with translated():
        os.environ.update(connection_environment(team_connections()))
        settings = airflow_settings()
        return deliver_now(Ledger(settings.ledger), settings).model_dump()
