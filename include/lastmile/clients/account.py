"""Accounts with outside systems: the connection's URL that names one, and what looking at it found."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from lastmile.errors import SettingsError

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at in an account."""

    subject: str
    """What, in a word or two: `credentials`, `issue type`."""
    is_well: bool
    finding: str
    remedy: str = ""
    """What to do where it is not well."""


@dataclass(frozen=True)
class AccountUrl:
    """A connection's URL taken apart, percent-decoded. The secret shows in no representation."""

    address: str
    """Scheme, host, port and path, without a slash at its end."""
    user: str
    secret: SecretStr


def read_account_url(name: str, url: SecretStr, hint: str, needs_user: bool) -> AccountUrl:
    """Read `https://<user>:<secret>@<host>[/<path>]`.

    Args:
        name: The connection's.
        url: Its URL.
        hint: How it should look, for the error.
        needs_user: Whether a secret alone is too little.

    Raises:
        SettingsError: It has another form, or would send its secret in clear. Never repeats the URL.
    """
    try:
        parts = urlsplit(url.get_secret_value())
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not parts.password or (needs_user and not parts.username):
        lacks = "host, user or secret" if needs_user else "host or secret"
        raise SettingsError(f"The connection {name!r} lacks {lacks}.", hint)
    if parts.scheme != "https" and host not in _LOOPBACK:
        raise SettingsError(
            f"The connection {name!r} would send its secret to {host} in clear.", hint
        )
    place = f"[{host}]" if ":" in host else host
    return AccountUrl(
        address=f"{parts.scheme}://{place}{f':{port}' if port else ''}{parts.path.rstrip('/')}",
        user=unquote(parts.username or ""),
        secret=SecretStr(unquote(parts.password)),
    )
