"""The conversation as a client knows it: from the events of a call, one line for each item. Pure.

So it can be told of every call, simulated, real or recorded, and compared with what the session itself remembers.
"""

from collections.abc import Iterable
from typing import Any

Event = dict[str, Any]

NAMES = {"user": "caller", "assistant": "agent", "system": "system"}


def history(events: Iterable[Event]) -> list[str]:
    """Who said what, as far as it was heard; an answer that was cut ends with a dash. What nobody heard is left out."""
    items: dict[str, Event] = {}
    owners: dict[str, str] = {}
    cut: set[str] = set()
    for event in events:
        match event:
            case {"type": "conversation.item.added" | "conversation.item.done", "item": item}:
                items[item["id"]] = item
            case {
                "type": "response.output_item.added",
                "item": {"type": "message", "id": item},
                "response_id": response,
            }:
                owners[response] = item
            case {"type": "response.output_item.done", "item": item}:
                items[item["id"]] = item
            case {"type": "parley.trace", "response_id": response, "heard": heard, "status": status, "marks": marks}:
                if item_id := owners.get(response):
                    items[item_id] = {**items[item_id], "content": [{"type": "output_audio", "transcript": heard}]}
                    cut |= {item_id} if "interrupted" in marks or status in {"cancelled", "failed"} else set()
            case {"type": "conversation.item.deleted", "item_id": item_id}:
                items.pop(item_id, None)
            case _:
                pass
    lines = (_line(item, cut=item_id in cut) for item_id, item in items.items())
    return [line for line in lines if line]


def _line(item: Event, *, cut: bool) -> str:
    match item["type"]:
        case "function_call":
            return f"agent calls {item['name']}({item['arguments']})"
        case "function_call_output":
            return f"tool: {item['output']}"
        case _:
            name = NAMES[item["role"]]
            text = "".join(part.get("text") or part.get("transcript") or "" for part in item["content"])
            if not text:
                return "" if name == "agent" else name
            return f"{name}: {text}{'—' if cut else ''}"
