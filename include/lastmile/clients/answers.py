"""What it means for a sender that an outside system did not take a message."""

from lastmile.errors import ServiceUnavailableError


class NotTakenError(ServiceUnavailableError):
    """The system surely did not take it: too many requests, or it could not be reached at all."""

    def __init__(self, headline: str, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(headline, hint)
        self.retry_after = retry_after
        """Seconds that the system asks us to wait."""


class UnansweredError(ServiceUnavailableError):
    """It may have been taken or not: the answer never came, or was an error of the system's own.

    Look before trying again.
    """


class HalfDoneError(UnansweredError):
    """The words stand there; what was to follow them, as closing the ticket, has to be done again."""

    def __init__(self, headline: str, remote_id: str, retry_after: float | None = None) -> None:
        super().__init__(headline)
        self.remote_id = remote_id
        """The ticket or the thread."""
        self.retry_after = retry_after
        """Seconds that the system asks us to wait."""
