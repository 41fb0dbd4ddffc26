"""How much one request may ask for."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from lastmile.errors import SettingsError

PREFIX = "LASTMILE_SERVE_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Each is also an environment variable: `LASTMILE_SERVE_` and the field's name in capitals."""

    max_rows: int = 10_000
    """Records in one request."""
    max_body_bytes: int = 8 * 1024 * 1024
    """Bytes of a request's body, unpacked: ten thousand records of 30 named numbers fit."""
    max_arrival_seconds: int = 20
    """Seconds from a request's first byte to its last."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Limits":
        """Read the limits.

        Raises:
            SettingsError: A variable is no positive whole number.
        """
        environment = os.environ if environment is None else environment
        given: dict[str, int] = {}
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            if name in environment:
                text = environment[name]
                if not (text.isascii() and text.isdigit() and int(text) > 0):
                    raise SettingsError(
                        f"{name} is {text!r}, not a positive whole number.",
                        f"Set {name} to a number such as {field.default}, or unset it.",
                    )
                given[field.name] = int(text)
        return cls(**given)
