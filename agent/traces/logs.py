"""How the log looks: lines for people, or one JSON object a line for machines, with a turn's marks as fields.

Takes the settings' choice once, when the process begins; times are UTC.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Literal

from agent.traces.trace import Trace

Style = Literal["text", "json"]


class JSONFormatter(logging.Formatter):
    """A record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """`time`, `level`, `logger`, `message`; `error` of an exception; `turn` where the line is about one."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        for value in record.args if isinstance(record.args, tuple) else ():
            if isinstance(value, Trace):
                fields["turn"] = {"call": value.call, "response": value.response, **value.as_json()}
        return json.dumps(fields, ensure_ascii=False)


def begin(style: Style) -> None:
    """Write the log to standard error from now on."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JSONFormatter() if style == "json" else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("aioice").setLevel(logging.WARNING)  # it tells every step of every connection
