"""No secret is stored or sent."""

import base64

import pytest

from lastmile.team.redact import known_secrets, redact

SECRET = "Zq9-hunter2_Kx"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{SECRET}"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\nMIIE{SECRET}\nabc\n-----END RSA PRIVATE KEY-----"
BASIC = base64.b64encode(f"user:{SECRET}".encode()).decode()

PLANTED = [
    f"postgresql+psycopg://loans:{SECRET}@db.example.org:5432/loans",
    f"https://:{SECRET}@slack.com/api",
    f"https://{SECRET}@github.com/a/b.git",
    f"redis://:p@ss/{SECRET}@cache:6379/0".replace("p@ss/", ""),
    f"mysql://u:a@{SECRET}@host/db",
    f"https://api.example.org/x?page=2&access_token={SECRET}&y=1",
    f"https://bucket.s3.amazonaws.com/k?X-Amz-Signature={SECRET}",
    f"host=db user=loans password={SECRET} dbname=x",
    f"Server=db;Uid=sa;Pwd={SECRET};",
    f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={SECRET}==;",
    f"Authorization: Bearer {SECRET}",
    f"Authorization: Basic {BASIC}",
    f"{{'Authorization': 'token {SECRET}', 'Accept': '*/*'}}",
    f'{{"authorization": "{SECRET}"}}',
    f"X-Api-Key: {SECRET}",
    f"Set-Cookie: session={SECRET}; Path=/",
    f"{{'password': '{SECRET}', 'user': 'x'}}",
    f'{{"client_secret": "{SECRET}"}}',
    f"AIRFLOW__CORE__FERNET_KEY={SECRET}",
    f"export DB_PASSWORD='{SECRET} with blanks'",
    f"token => {SECRET}",
    f"curl --token {SECRET} x",
    PEM,
    PEM.partition("-----END")[0],
    JWT,
]

TOKENS = [
    "ghp_" + "a1B2" * 9, "github_pat_" + "a1B2_" * 9, "glpat-" + "a1B2" * 5,
    "xoxb-" + "1234-" * 3 + "abcDEF", "xapp-1-A0-123-abcdef", "AKIA" + "ABCD2345" * 2,
    "ATATT3" + "xFfGF0" * 8, "AIza" + "Sy0_" * 9, "sk-proj-" + "a1B2" * 8, "hf_" + "abCD" * 8,
    "https://hooks.slack.com/services/T000/B000/XXXXXXXXXXXX",
]  # fmt: skip

HARMLESS = [
    "The column token_count has 3 tokens; secret ballots are fine.",
    "primary key: loan_id, sort key: updated_at",
    "http://127.0.0.1:8600/predict answered 503 at 02:00",
    "Mail risk@example.org about https://ci.example.org/job/3?page=2",
    "basic checks passed; bearer of bad news",
    "roc_auc=0.93, password column dropped",
    "loans@3fa94b1c02de1122",
]


@pytest.mark.parametrize("text", PLANTED)
def test_a_planted_secret_is_hidden(text: str) -> None:
    hidden = redact(f"before {text} after")
    assert SECRET not in hidden
    assert BASIC not in hidden
    assert "***" in hidden
    assert hidden.startswith("before ")


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_known_by_its_shape(token: str) -> None:
    hidden = redact(f"it says {token}.")
    assert token not in hidden
    assert "***" in hidden


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert redact(text) == text


def test_a_url_still_shows_where_it_leads() -> None:
    hidden = redact(f"postgresql://loans:{SECRET}@db.example.org:5432/loans refused")
    assert hidden == "postgresql://***@db.example.org:5432/loans refused"


def test_what_this_process_knows_is_hidden_in_any_form() -> None:
    environment = {
        "LASTMILE_CONNECTION_LOANS_DB": f"postgresql://loans:{SECRET}%2Fx@db/loans",
        "AIRFLOW__CORE__FERNET_KEY": "fernet-value-1",
        "LASTMILE_LEDGER_URL": "postgresql://postgres:postgres@db/x",
        "HOME": "/root",
        "PWD": "/home/ada/lastmile",
        "OLDPWD": "/home/ada/elsewhere",
        "SHORT_PASSWORD": "abc",
    }
    known = known_secrets(environment)
    assert redact(f"login as {SECRET}%2Fx or {SECRET}/x", known) == "login as *** or ***"
    assert redact("fernet-value-1", known) == "***"
    harmless = "postgres on /root, abc, file:///home/ada/lastmile/report.html"
    assert redact(harmless, known) == harmless


def test_a_connection_may_be_json() -> None:
    known = known_secrets(
        {
            "AIRFLOW_CONN_JIRA": '{"conn_type": "http", "host": "site.example.org",'
            ' "password": "json-s3cret", "extra": {"client_secret": "extra-s3cret", "timeout": 5}}',
            "AIRFLOW_CONN_DB": '{"extra": "{\\"api_key\\": \\"inner-s3cret\\"}", "login": null}',
            "AIRFLOW_CONN_ODD": "[1, 2, 3, 4, 5]",
        }
    )
    for secret in ("json-s3cret", "extra-s3cret", "inner-s3cret"):
        assert redact(f"it was {secret}", known) == "it was ***"
    assert redact("site.example.org", known) == "site.example.org"


def test_redaction_of_a_long_text_takes_no_time() -> None:
    import time

    for text in (
        "a" * 20_000,
        "password" * 2_500,
        "https://" * 2_500,
        "-----BEGIN X-----" * 1_000,
        "eyJ" * 7000,
    ):
        started = time.perf_counter()
        redact(text)
        assert time.perf_counter() - started < 0.5, text[:10]
