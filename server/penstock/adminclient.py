"""Requests to the admin API of a running server, for the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import EventSource, SSEError

from penstock.errors import PenstockError

REQUEST_TIMEOUT_S = 10.0
TOKEN_BYTES_MAX = 4096

Told = tuple[str, dict[str, Any]]  # kind and data of an event


class AdminClient:
    """
    Args:
        url: of the admin API; without a scheme it is http.
        token_file: holds the admin token.

    Raises:
        PenstockError: the token can not be read.
    """

    def __init__(
        self,
        url: str,
        token_file: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = url if "://" in url else f"http://{url}"
        self._token_file = token_file
        self._headers = _authorization(token_file) if token_file else {}
        self._transport = transport

    def ask(
        self, method: str, path: str, body: object = None, **fields: str
    ) -> httpx.Response:
        """
        Raises:
            PenstockError: the server can not be reached or does not know the token.
        """
        with self._reached() as client:
            response = client.request(
                method, self._place(path), json=body, headers=fields
            )
        self._check_token(response)
        return response

    @contextmanager
    def events(self, path: str) -> Iterator[Iterator[Told]]:
        """What a stream of events tells until the server ends it.

        Raises:
            PenstockError: the server can not be reached or refuses.
        """
        with (
            self._reached() as client,
            client.stream("GET", self._place(path)) as response,
        ):
            if not response.is_success:
                response.read()
                self._check_token(response)
                self.understood(response)
            yield self._told(response)

    def _told(self, response: httpx.Response) -> Iterator[Told]:
        try:
            for event in EventSource(response).iter_sse():
                yield event.event, event.json()
        except (SSEError, ValueError):
            raise self.stranger(response) from None

    def _place(self, path: str) -> str:
        return self._url.rstrip("/") + path

    @contextmanager
    def _reached(self) -> Iterator[httpx.Client]:
        try:
            # Loopback by default: a proxy of the environment would not find the server.
            with httpx.Client(
                transport=self._transport,
                timeout=REQUEST_TIMEOUT_S,
                trust_env=False,
                headers=self._headers,
            ) as client:
                yield client
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PenstockError(
                f"{self._url} does not answer ({error}): is penstock running there? "
                "--admin names another URL"
            ) from None

    def _check_token(self, response: httpx.Response) -> None:
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise PenstockError(
                f"the admin API refuses the token in {self._token_file}"
                if self._token_file
                else "the admin API needs its token: --token-file FILE"
            )

    def stranger(self, response: httpx.Response) -> PenstockError:
        """The error for an answer that penstock does not give."""
        return PenstockError(
            f"{self._url} answers {response.status_code}, but not as penstock does"
        )

    def understood(self, response: httpx.Response) -> dict[str, Any]:
        """The object that it answers.

        Raises:
            PenstockError: it refuses, or is no penstock.
        """
        try:
            answer: Any = response.json()
            refusal = None if response.is_success else answer["detail"]
        except (ValueError, KeyError, TypeError):
            raise self.stranger(response) from None
        if refusal is not None:
            raise PenstockError(f"refused: {_reasons(refusal)}")
        if not isinstance(answer, dict):
            raise self.stranger(response)
        return answer


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


def _reasons(detail: Any) -> str:
    if not isinstance(detail, list):
        return str(detail)
    return "; ".join(
        _reason(problem) if isinstance(problem, dict) else str(problem)
        for problem in detail
    )


def _reason(problem: dict[str, Any]) -> str:
    """The API's own reasons name what they are about, its library's do not."""
    text = str(problem.get("msg", problem))
    where = problem.get("loc")
    if problem.get("type") == "value_error" or not isinstance(where, list) or not where:
        return text
    return f"{where[-1]}: {text}"
