"""``penstock limit``: one request to the admin API of a running server."""

from pathlib import Path
from typing import Any

import httpx

from penstock.clientids import check_client_id
from penstock.errors import PenstockError
from penstock.rates import format_rate, parse_rate

REQUEST_TIMEOUT_S = 10.0
TOKEN_BYTES_MAX = 4096


def set_limit(
    client_id: str,
    rate: str,
    admin_url: str,
    token_file: Path | None = None,
    transport: httpx.BaseTransport | None = None,
) -> str:
    """Change the limit; returns a line that says what holds now.

    Raises:
        PenstockError: the rate is wrong, the server can not be reached or refuses.
    """
    change = {"client_id": _client(client_id), "target_bps": _rate(rate)}
    if "://" not in admin_url:
        admin_url = f"http://{admin_url}"
    headers = _authorization(token_file) if token_file else {}
    try:
        # Loopback by default: a proxy of the environment would not find the server.
        with httpx.Client(
            transport=transport, timeout=REQUEST_TIMEOUT_S, trust_env=False
        ) as client:
            url = f"{admin_url.rstrip('/')}/config"
            response = client.post(url, json=change, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PenstockError(
            f"{admin_url} does not answer ({error}): is penstock running there? "
            "--admin names another URL"
        ) from None
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise PenstockError(
            f"the admin API refuses the token in {token_file}"
            if token_file
            else "the admin API needs its token: --token-file FILE"
        )
    return _explain(response, admin_url)


def _client(client_id: str) -> str:
    try:
        client_id.encode()
        return check_client_id(client_id)
    except UnicodeEncodeError:
        raise PenstockError("CLIENT is not UTF-8") from None
    except ValueError as error:
        raise PenstockError(str(error)) from None


def _rate(text: str) -> int:
    try:
        return parse_rate(text)
    except ValueError as error:
        raise PenstockError(str(error)) from None


def _authorization(token_file: Path) -> dict[str, str]:
    try:
        with token_file.open("rb") as stream:
            token = stream.read(TOKEN_BYTES_MAX).strip()
    except OSError as error:
        raise PenstockError(
            f"{token_file}: can not be read: {error.strerror}"
        ) from None
    if not token.isascii() or not token.decode("ascii").isprintable() or not token:
        raise PenstockError(f"{token_file}: holds no token of printable ASCII")
    return {"Authorization": f"Bearer {token.decode('ascii')}"}


def _explain(response: httpx.Response, admin_url: str) -> str:
    try:
        answer: Any = response.json()
        if response.is_success:
            rate = format_rate(answer["target_bps"])
            version = answer["config_version"]
            return f"{answer['client_id']}: {rate} (config version {version})"
        detail = answer["detail"]
    except (ValueError, KeyError, TypeError):
        raise PenstockError(
            f"{admin_url} answers {response.status_code}, but not as penstock does"
        ) from None
    raise PenstockError(f"refused: {_reasons(detail)}")


def _reasons(detail: Any) -> str:
    if not isinstance(detail, list):
        return str(detail)
    return "; ".join(
        str(problem.get("msg", problem)) if isinstance(problem, dict) else str(problem)
        for problem in detail
    )
