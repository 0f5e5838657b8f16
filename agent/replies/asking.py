"""What a response is to answer, and how it is wanted: by the session, and by what a client changes of that for one response.

Pure: takes the session, the conversation and the client's wishes, gives an `Ask`.
"""

from dataclasses import dataclass, field

from agent.conversation import Conversation, Message, Text, told
from agent.engine import DEFAULTS, Options, Truncation
from agent.realtime.objects import RetentionRatio, SessionObject
from agent.realtime.responses import (
    Response,
    ResponseAudio,
    ResponseAudioOutput,
    WantedAudio,
    WantedResponse,
)

AS_IN_SESSION = WantedResponse()


@dataclass(frozen=True)
class Ask:
    """One response that is wanted. Equal ones have the same answer."""

    messages: tuple[Message, ...] = ()
    """The whole conversation, instructions first."""
    response: Response = field(default_factory=Response)
    """As it will begin, but for its id."""
    options: Options = DEFAULTS
    words: str = ""
    """To be said as they are; no engine is asked."""
    speed: float = 1.0
    """How fast it is spoken, of what is usual."""

    @property
    def in_conversation(self) -> bool:
        """Whether the answer becomes part of the conversation."""
        return self.response.conversation_id is not None

    @property
    def spoken(self) -> bool:
        """Whether the answer is speech."""
        return self.response.output_modalities == ("audio",)


def ask(
    session: SessionObject,
    conversation: Conversation,
    mark: str,
    turn: Message | None = None,
    wanted: WantedResponse = AS_IN_SESSION,
    given: tuple[Message, ...] | None = None,
) -> Ask:
    """What the session wants of the conversation as it stands, with a turn that may be over; `mark` ends an answer that was cut.

    `given` is what is answered in the place of the conversation.
    """
    said = conversation.said if given is None else given
    turns = tuple(told(message, mark) for message in (*said, *((turn,) if turn else ())))
    instructions = session.instructions if wanted.instructions is None else wanted.instructions
    if not turns or all(turn.role == "system" for turn in turns) or turns[-1].role == "assistant":
        turns = *turns, Message("opening", "user", (Text(wanted.instructions or ""),))
    if instructions:
        turns = Message("instructions", "system", (Text(instructions),)), *turns
    longest = wanted.max_output_tokens or session.max_output_tokens
    tools = session.tools if wanted.tools is None else wanted.tools
    choice = wanted.tool_choice or (session.tool_choice if wanted.tools is None else "auto")
    return Ask(
        turns,
        Response(
            conversation_id=None if wanted.conversation == "none" else session.id,
            output_modalities=wanted.output_modalities or session.output_modalities,
            max_output_tokens=longest,
            audio=_audio(session, wanted.audio or WantedAudio()),
            metadata=wanted.metadata,
        ),
        Options(
            max_tokens=None if longest == "inf" else longest,
            truncation=_truncation(session),
            tools=tools,
            tool_choice=choice,
        ),
        speed=session.audio.output.speed,
    )


def _audio(session: SessionObject, wanted: WantedAudio) -> ResponseAudio:
    output = session.audio.output
    voice = wanted.output.voice or output.voice
    return ResponseAudio(
        output=ResponseAudioOutput(
            format=wanted.output.format or output.format, voice=voice if isinstance(voice, str | None) else voice.id
        )
    )


def _truncation(session: SessionObject) -> Truncation:
    match session.truncation:
        case "auto":
            return Truncation()
        case "disabled":
            return Truncation(None)
        case RetentionRatio(retention_ratio=ratio, token_limits=limits):
            return Truncation(ratio, limits.post_instructions if limits else None)
