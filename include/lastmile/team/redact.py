"""Keeps secrets out of all that is stored or sent. The one place that does, used before both.

Two nets: the secrets that this process itself knows (its connections and password-like variables), and
the shapes that secrets have.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

from lastmile.settings import CONNECTION_PREFIX

HIDDEN = "***"
SHORTEST_SECRET = 8
"""A shorter known value is likely to be a word, and would hide half of a harmless text."""

_NO_SECRETS = frozenset({"PWD", "OLDPWD"})
"""Variables that look like a password's by their name, and hold where a shell stands."""

_NAME = (
    r"[\w.-]*(?:password|passwd|passphrase|pwd|secret|token|credentials?|api[_-]?key|access[_-]?key(?:_?id)?"
    r"|account[_-]?key|private[_-]?key|fernet[_-]?key|signing[_-]?key|signature|auth[_-]?key|sas)"
)
_KNOWN_TOKENS = (
    r"gh[pousr]_[A-Za-z0-9]{16,}", r"github_pat_\w{20,}", r"glpat-[\w-]{16,}",
    r"xox[a-z]-[\w-]{8,}", r"xapp-[\w-]{8,}", r"xoxe\.[\w.-]{8,}",
    r"AT(?:ATT|CTT)3[\w=+/-]{16,}", r"(?:AKIA|ASIA)[0-9A-Z]{16}", r"AIza[\w-]{30,}", r"ya29\.[\w.-]{16,}",
    r"sk-[\w-]{16,}", r"hf_[A-Za-z0-9]{16,}", r"npm_[A-Za-z0-9]{20,}", r"pypi-[\w-]{20,}",
    r"dapi[0-9a-f]{32}", r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?",
)  # fmt: skip

_SHAPES = (
    (re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL), HIDDEN),
    (
        re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]*(?:key|token|auth\w*))"
                   r"""(["']?\s*[:=]\s*)(?:"[^"\n]*"|'[^'\n]*'|[^\n"'}]+)"""),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?i)(\bhooks\.slack\.com/(?:services|workflows|triggers)/)[\w/-]+"), rf"\1{HIDDEN}"),
    # A URL's user and password: up to the last @ before the host ends.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#'\"<>]*@"), rf"\1{HIDDEN}@"),
    (re.compile(rf"(?i)([?&;]{_NAME}=)[^&\s'\"<>]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)([?&](?:sig|key|code|x-amz-(?:signature|credential|security-token))=)[^&\s'\"<>]+"),
     rf"\1{HIDDEN}"),
    (
        re.compile(rf"(?i)(\b{_NAME}(?:[\"']\s*)?\s*(?:=>|[:=])\s*)"
                   r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&)}\]"']+)"""),
        rf"\1{HIDDEN}",
    ),
    (re.compile(rf"(?i)(--{_NAME}\s+)[^\s-]\S*"), rf"\1{HIDDEN}"),
    (re.compile(r"\b(?:" + "|".join(_KNOWN_TOKENS) + r")"), HIDDEN),
)  # fmt: skip


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Return a text without secrets: `***` stands where one was.

    Args:
        text: Anything that a person or a program wrote.
        known: Secrets to hide wherever they stand, whatever they look like.
    """
    for secret in known:
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in _SHAPES:
        text = pattern.sub(replacement, text)
    return text


def known_secrets(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the secrets in an environment (this process's by default), the longest first."""
    found: set[str] = set()
    for name, value in (os.environ if environment is None else environment).items():
        if name.startswith((CONNECTION_PREFIX, "AIRFLOW_CONN_")):
            found |= {value, *_secrets_of_url(value), *_secrets_of_json(value)}
        elif "://" in value:
            found |= _secrets_of_url(value)
        elif re.fullmatch(_NAME, name, re.IGNORECASE) and name not in _NO_SECRETS:
            found.add(value)
    return tuple(sorted((s for s in found if len(s) >= SHORTEST_SECRET), key=len, reverse=True))


def _secrets_of_json(value: str) -> set[str]:
    """Airflow's connections may be JSON, and `extra` in them JSON again."""
    try:
        connection = json.loads(value)
    except ValueError:
        return set()
    if not isinstance(connection, dict):
        return set()
    found = {v for k, v in connection.items() if isinstance(v, str) and re.fullmatch(_NAME, k)}
    extra = connection.get("extra")
    return found | _secrets_of_json(extra if isinstance(extra, str) else json.dumps(extra))


def _secrets_of_url(url: str) -> set[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return set()
    if not parts.password or parts.password == parts.username:  # postgres:postgres is no secret
        return set()
    return {parts.password, unquote(parts.password)}
