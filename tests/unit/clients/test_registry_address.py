"""Where a registry is, and who we are there."""

import pytest
from pydantic import SecretStr

from lastmile.clients.registry import Registry
from lastmile.clients.registry_address import RegistryAccount, RegistryAddress
from lastmile.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "url", "repository"),
    [
        ("registry.example.com", "https://registry.example.com", "toy"),
        (
            "registry.example.com:5000/team/models/",
            "https://registry.example.com:5000",
            "team/models/toy",
        ),
        ("127.0.0.1:5000/m", "http://127.0.0.1:5000", "m/toy"),
        ("localhost", "http://localhost", "toy"),
        ("[::1]:5000", "http://[::1]:5000", "toy"),
        ("http://registry.cluster.local:5000", "http://registry.cluster.local:5000", "toy"),
        ("https://127.0.0.1", "https://127.0.0.1", "toy"),
    ],
)
def test_an_address_is_read(text: str, url: str, repository: str) -> None:
    address = RegistryAddress.parse(text)
    assert address.url == url
    assert address.repository("toy") == repository


@pytest.mark.parametrize(
    "text",
    ["", "/models", "ftp://x", "x:port", "https://me:hunter2@x", "x/Models", "x/a//b", "x?y=z"],
)
def test_what_is_no_address_is_refused_without_repeating_a_password(text: str) -> None:
    with pytest.raises(SettingsError, match="LASTMILE_REGISTRY") as caught:
        RegistryAddress.parse(text)
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"


def test_an_account_shows_its_password_to_nobody() -> None:
    account = RegistryAccount.parse(SecretStr("https://me:hunter%402@registry.example.com"))
    assert (account.user, account.password.get_secret_value()) == ("me", "hunter@2")
    assert "hunter" not in repr(account)
    for text in ("https://registry.example.com", "https://me@x", "nonsense"):
        with pytest.raises(SettingsError, match="lacks user or password"):
            RegistryAccount.parse(SecretStr(text))


def test_a_password_does_not_leave_this_machine_in_clear() -> None:
    account = RegistryAccount(user="me", password=SecretStr("hunter2"))
    with pytest.raises(SettingsError, match="in clear"):
        Registry(RegistryAddress.parse("http://registry.example.com"), account)
    with Registry(RegistryAddress.parse("http://127.0.0.1:5000"), account):
        pass
