"""A function's call as a model writes it, `{"name": …, "parameters": {…}}`, read character by character.

The arguments are given as they come, in the model's own spelling; whether they are valid JSON is asked at their end.
"""

import json
from dataclasses import dataclass, field

LONGEST = 16 * 1024
"""Characters of a call; more is a model that has lost its way."""

_NAMES = {"name", "function"}
_ARGUMENTS = {"parameters", "arguments", "args"}
_OTHER = {"type", "id", "description"}
"""Keys that models add; what they hold is of no use."""


class NotACallError(ValueError):
    """The object is no call; the message says why, for the model to read."""


@dataclass
class CallReader:
    """One call; `push` text until it has ended."""

    text: str = ""
    """What was read of it."""
    name: str = ""
    """Empty until it is known."""
    arguments: str = ""
    """What was read of them."""
    begun: bool = False
    """A key of a call was read, or the text ended where one may follow."""
    ended: bool = False
    _depth: int = 0
    _string: bool = False
    _escaped: bool = False
    _key: str | None = None
    """The member whose value is being read."""
    _member: list[str] = field(default_factory=list)
    """The characters of the key or value that is being read."""

    def push(self, text: str) -> str:
        """Read text; returns what follows the call. Raises NotACallError."""
        for at, character in enumerate(text):
            self.text += character
            if len(self.text) > LONGEST:
                raise NotACallError(f"the call is longer than {LONGEST} characters")
            if self._string:
                self._in_string(character)
            else:
                self._structure(character)
            if self.ended:
                return text[at + 1 :]
        return ""

    def close(self) -> None:
        """The text is over: what is missing are closing braces at most. Raises NotACallError."""
        self.begun = self.begun or '"' in self.text
        if self._string or self._depth != 1 or not self.arguments:
            raise NotACallError("the call is cut off in the middle")
        self._end_member()
        self._end()

    @property
    def streamed(self) -> str:
        """As much of the arguments as will not change; they begin once the function is known."""
        return self.arguments if self.ended or (self.name and self.arguments.startswith("{")) else ""

    def _in_string(self, character: str) -> None:
        self._take(character)
        self._string = self._escaped or character != '"'
        self._escaped = character == "\\" and not self._escaped

    def _structure(self, character: str) -> None:
        """Read a character outside strings."""
        if character == "}" and self._depth == 1:
            self._end_member()
            self._end()
        elif character == "," and self._depth == 1:
            self._end_member()
        elif character == ":" and self._depth == 1 and self._key is None:
            self._begin_value()
        else:
            self._string = character == '"'
            self._depth += (character in "{[") - (character in "}]")
            if self._depth > 1 or (self._depth == 1 and len(self.text) > 1):
                self._take(character)
            elif self._depth < 1:
                raise NotACallError("the braces of the call do not match")

    def _take(self, character: str) -> None:
        outside = not self._string and self._depth == 1
        if outside and character.isspace():
            return
        if outside and self._key is None:
            raise NotACallError('a call is a JSON object with "name" and "parameters"')
        self._member.append(character)
        if self._key in _ARGUMENTS:
            self.arguments += character

    def _begin_value(self) -> None:
        key = self._value()
        if key not in _NAMES | _ARGUMENTS | _OTHER:
            raise NotACallError(f'{key!r} is none of "name" and "parameters"')
        self._key, self._member, self.begun = str(key), [], True

    def _end_member(self) -> None:
        """A value is complete."""
        if self._key is None and self._member:
            raise NotACallError('a call is a JSON object with "name" and "parameters"')
        if self._key in _NAMES:
            name = self._value()
            if not isinstance(name, str) or not name:
                raise NotACallError("the name of the function must be a string")
            self.name = name
        if self._key in _ARGUMENTS and not self.arguments.startswith("{"):
            value = self._value()  # some write the object as a string, or none
            self.arguments = value if isinstance(value, str) else "{}" if value is None else self.arguments
        self._key, self._member = None, []

    def _end(self) -> None:
        if not self.name:
            raise NotACallError('the call has no "name"')
        self.arguments, self.ended = self.arguments or "{}", True

    def _value(self) -> object:
        try:
            return json.loads("".join(self._member))
        except (ValueError, RecursionError) as error:
            raise NotACallError(f"the call is not valid JSON: {error}") from None
