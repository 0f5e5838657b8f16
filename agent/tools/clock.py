"""Functions to begin with: what time it is, what day, and a timer. Name them in the settings to offer them to the model."""

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field

from agent.tools import Later


def current_time(time_zone: str = "") -> str:
    """Tell the present time of day. time_zone is a name such as Europe/Berlin; leave it out for the local time."""
    return _now(time_zone).strftime("%H:%M, %Z")


def current_date(time_zone: str = "") -> str:
    """Tell today's date and day of the week. time_zone is a name such as Asia/Tokyo; leave it out for the local date."""
    return _now(time_zone).strftime("%A, %d %B %Y")


def set_timer(seconds: Annotated[float, Field(gt=0, le=3600)], name: str = "") -> Later:
    """Set a timer; when it is over, the caller is told. seconds is how long it runs, name is what it is for, such as tea."""
    called = f"{name} timer" if name else "timer"
    return Later(f"The {called} is set to {seconds:g} seconds.", seconds, f"Your {called} is over.")


def _now(time_zone: str) -> datetime:
    """Raises ValueError for a time zone that nobody knows."""
    if not time_zone:
        return datetime.now().astimezone()
    try:
        return datetime.now(ZoneInfo(time_zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {time_zone!r}") from None
