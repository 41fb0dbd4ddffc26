"""Where a container registry is, and who we are there. The password shows in no representation."""

import re
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from lastmile.errors import SettingsError
from lastmile.pipeline.base import Strict

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class RegistryAddress(Strict):
    """Where a registry is, and the prefix of our repositories in it."""

    scheme: str
    host: str
    """With its port."""
    prefix: str

    @classmethod
    def parse(cls, text: str) -> "RegistryAddress":
        """Read `[http[s]://]host[:port][/prefix]`. Without a scheme: https, but http on this machine.

        Raises:
            SettingsError: It has another form.
        """
        try:
            parts = urlsplit(text if "://" in text else f"//{text}")
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        prefix = parts.path.strip("/")
        if (
            not host
            or parts.scheme not in ("", "http", "https")
            or parts.username is not None
            or parts.query
            or not re.fullmatch(r"([a-z0-9._-]+(/[a-z0-9._-]+)*)?", prefix)
        ):
            raise SettingsError(
                f"LASTMILE_REGISTRY is {re.sub(r'//[^/]*@', '//…@', text)!r}, which is no registry.",
                "It should look like registry.example.com/models; name and password go into the "
                "connection `registry`.",
            )
        place = f"[{host}]" if ":" in host else host
        return cls(
            scheme=parts.scheme or ("http" if host in LOOPBACK else "https"),
            host=f"{place}:{port}" if port else place,
            prefix=prefix,
        )

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return urlsplit(self.url).hostname in LOOPBACK

    @property
    def url(self) -> str:
        """Where its interface begins."""
        return f"{self.scheme}://{self.host}"

    def repository(self, name: str) -> str:
        """Return the full name of one of our repositories, without the host."""
        return f"{self.prefix}/{name}" if self.prefix else name


class RegistryAccount(Strict):
    """Who we are there. The password shows in no representation."""

    user: str
    password: SecretStr

    @classmethod
    def parse(cls, url: SecretStr) -> "RegistryAccount":
        """Read a connection's URL, `https://user:password@registry.example.com`.

        Raises:
            SettingsError: It has another form. The headline does not repeat it.
        """
        try:
            parts = urlsplit(url.get_secret_value())
            user, password = parts.username, parts.password
        except ValueError:
            user = password = None
        if not user or not password:
            raise SettingsError(
                "The connection 'registry' lacks user or password.",
                "It should look like https://user:password@registry.example.com, percent-encoded.",
            )
        return cls(user=unquote(user), password=SecretStr(unquote(password)))
