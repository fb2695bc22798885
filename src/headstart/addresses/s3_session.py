"""The session in which an S3 is asked, which reads the dates of listings fast."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def s3_session(options: Mapping[str, Any]) -> Any:
    """A session of aiobotocore, with the options that s3fs would give it.

    A listing has a date for each object, and botocore takes two thirds of its time for them: it tries what they may be.
    """
    from aiobotocore.session import AioSession

    session = AioSession(**options)
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    return session


def _timestamp(text: str) -> datetime:
    """A date as S3 writes it, 2026-01-31T12:00:00.000Z; others as botocore reads them."""
    from botocore.utils import parse_timestamp

    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        parsed: datetime = parse_timestamp(text)
        return parsed
