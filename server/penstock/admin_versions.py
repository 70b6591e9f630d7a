"""The version of the configuration as an entity tag, so that nobody undoes what another
changed meanwhile: RFC 9110, sections 8.8.3 and 13.1.1."""

import re

from fastapi import HTTPException

_TAGS = re.compile(r'\s*(?:W/)?"[!#-~]*"\s*(?:,\s*(?:W/)?"[!#-~]*"\s*)*')


def etag(version: int) -> dict[str, str]:
    """The field of an answer that tells ``version``."""
    return {"etag": f'"{version}"'}


def require_version(if_match: str | None, version: int) -> None:
    """Go on when ``version`` is among those of If-Match, or there is none.

    Raises:
        HTTPException: 412, it is another by now, or 400, the field is malformed.
    """
    if if_match is None or if_match.strip() == "*":
        return
    if _TAGS.fullmatch(if_match) is None:
        raise HTTPException(400, f'If-Match is the ETag of an answer, like "{version}"')
    # A weak tag never matches, and a comma can not be part of ours.
    if f'"{version}"' not in [tag.strip() for tag in if_match.split(",")]:
        raise HTTPException(
            412, f"the configuration has version {version} by now: read it again"
        )
