"""Airflow's connections as a stage finds them: URLs in its environment, looked up when the task runs.

A connection that Airflow does not have is left to the environment, which may hold it already.
"""

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from lastmile.settings import CONNECTION_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lastmile.pipeline.definition import Pipeline

log = logging.getLogger(__name__)

_HOSTS = {"slack": "slack.com/api"}
"""Of the accounts that need not name one."""
API_CONNECTION = "airflow_api"
"""Airflow's own REST API, as the sweep asks it: `http://user:password@host:port`."""

_DRIVERS = {"postgres": "postgresql"}
"""Where SQLAlchemy's name differs from Airflow's connection type."""


def source_connections(pipeline: "Pipeline") -> list[str]:
    """Return the names of the connections that a pipeline's sources use."""
    return sorted({source.sql.connection for source in pipeline.data.sources if source.sql})


def team_connections() -> list[str]:
    """Return the names of the connections that hold the accounts of trackers and chats."""
    from lastmile.clients.kinds import CHATS, TRACKERS

    return [*TRACKERS, *CHATS]


def connection_environment(names: "Iterable[str]") -> dict[str, str]:
    """Return `LASTMILE_CONNECTION_<NAME>` for each connection that Airflow knows."""
    found: dict[str, str] = {}
    for name in names:
        try:
            connection = Connection.get(name)
        except AirflowNotFoundException:
            log.debug("Airflow has no connection %s; the environment may.", name)
            continue
        url = connection_url(connection)
        mask_secret(url)
        found[CONNECTION_PREFIX + name.upper()] = url
    return found


def connection_url(connection: Connection) -> str:
    """Return a connection as the URL that the stage reads.

    A tracker or chat: `https://<user>:<token>@<host>`, as Jira's `https://<email>:<token>@<host>` and
    Slack's `https://:<bot token>@slack.com/api`. Anything else is a database: SQLAlchemy's URL, where
    SQLite's file stands in the connection's host or schema.
    """
    if connection.conn_id in team_connections():
        return _web_url(connection, _HOSTS.get(connection.conn_id, ""))
    return _database_url(connection)


def _web_url(connection: Connection, default: str) -> str:
    # In the UI `schema` is http or https; in a connection given as a URL it is the path.
    web = ("http", "https")
    schema, kind = connection.schema or "", connection.conn_type or ""
    scheme = next((name for name in (schema, kind) if name in web), "https")
    path = "" if schema in web or not schema else f"/{schema}"
    port = f":{connection.port}" if connection.port else ""
    host = connection.host.removeprefix(f"{scheme}://") if connection.host else default
    return f"{scheme}://{_credentials(connection)}{host}{port}{path}"


def _database_url(connection: Connection) -> str:
    kind = connection.conn_type or "sqlite"
    driver = _DRIVERS.get(kind, kind)
    if driver == "sqlite":
        return f"sqlite:///{connection.host or connection.schema or ''}"
    port = f":{connection.port}" if connection.port else ""
    url = f"{driver}://{_credentials(connection)}{connection.host or ''}{port}"
    extra = {
        key: str(value)
        for key, value in connection.extra_dejson.items()
        if isinstance(value, (str, int, float)) and not key.startswith("__")
    }
    query = f"?{urlencode(extra)}" if extra else ""
    return f"{url}/{connection.schema or ''}{query}"


def _credentials(connection: Connection) -> str:
    if not connection.login and not connection.password:
        return ""
    password = f":{quote(connection.password, safe='')}" if connection.password else ""
    return f"{quote(connection.login or '', safe='')}{password}@"
