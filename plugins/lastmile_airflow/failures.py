"""The one place where our errors become Airflow's."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from lastmile.errors import LastmileError, TransientError

log = logging.getLogger(__name__)


@contextmanager
def translated() -> Iterator[None]:
    """Turn a `LastmileError` into the exception that makes Airflow do the right thing.

    A transient error becomes an `AirflowException`, which is retried; any other an
    `AirflowFailException`, which is not. What we did not foresee passes through and is retried.

    Raises:
        AirflowException: The fault may pass.
        AirflowFailException: It will not.
    """
    try:
        yield
    except LastmileError as error:
        log.error("%s", error.headline)
        if error.hint:
            log.error("What to do: %s", error.hint)
        retried = isinstance(error, TransientError)
        kind = AirflowException if retried else AirflowFailException
        raise kind(error.headline) from error
