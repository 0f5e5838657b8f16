"""pipecat-ai's OpenAI realtime service, unmodified, in a pipeline: a typed turn, a spoken one that is interrupted by another, a function's call.

Runs with the packages of `pipecat.txt` before the project's own. Takes the server's address and the folder with what is said; prints
what the pipeline saw as one JSON object.
"""

import asyncio
import json
import sys
import wave
from pathlib import Path

from loguru import logger
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    InputAudioRawFrame,
    LLMMessagesAppendFrame,
    LLMRunFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.realtime import events
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner

RATE = 24_000
PATIENCE_SECONDS = 20

seen = {"errors": [], "texts": [], "audio": [], "cities": [], "events": []}


class Ear(FrameProcessor):
    """Where the answers arrive."""

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        match frame:
            case TTSAudioRawFrame():
                seen["audio"][-1] += len(frame.audio)
            case TTSTextFrame():
                seen["texts"][-1] += frame.text
            case ErrorFrame():
                seen["errors"].append(frame.error)
        await self.push_frame(frame, direction)


async def get_time(params):
    seen["cities"].append(params.arguments["city"])
    await params.result_callback("noon")


def listen():
    """Note the events as the service parses them."""
    parse = events.parse_server_event

    def noting(text):
        event = parse(text)
        seen["events"].append(event.model_dump(mode="json"))
        if event.type == "response.created":
            seen["texts"].append("")
            seen["audio"].append(0)
        return event

    events.parse_server_event = noting


async def until(kind, number):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while sum(event["type"] == kind for event in seen["events"]) < number:
            await asyncio.sleep(0.02)


async def until_spoken(answers):
    """Wait for the first sound of so many answers."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len({e["item_id"] for e in seen["events"] if e["type"] == "response.output_audio.delta"}) < answers:
            await asyncio.sleep(0.02)


async def main(server, speech):
    listen()
    address = server.replace("http", "ws") + "/v1/realtime"
    detection = events.TurnDetection(silence_duration_ms=500)
    audio = events.AudioConfiguration(input=events.AudioInput(turn_detection=detection))
    settings = OpenAIRealtimeLLMService.Settings(
        system_instruction="Be brief.", session_properties=events.SessionProperties(audio=audio)
    )
    llm = OpenAIRealtimeLLMService(api_key="none", base_url=address, settings=settings)
    llm.register_function("get_time", get_time)
    clock = FunctionSchema("get_time", "Tell the time.", {"city": {"type": "string"}}, ["city"])
    context = LLMContext([{"role": "user", "content": "What is two plus two?"}], ToolsSchema([clock]))
    user, assistant = LLMContextAggregatorPair(context)
    worker = PipelineWorker(Pipeline([user, llm, Ear(), assistant]))

    async def say(name):
        with wave.open(str(speech / f"{name}.wav")) as file:
            data = file.readframes(file.getnframes()) + bytes(2 * RATE)
        step = 2 * RATE // 50
        for at in range(0, len(data), step):
            await worker.queue_frame(InputAudioRawFrame(data[at : at + step], RATE, 1))

    async def talk():
        await worker.queue_frame(LLMRunFrame())
        await until("response.done", 1)
        await say("story")
        await until_spoken(2)
        await asyncio.sleep(0.5)  # the service counts what was played by the clock
        await say("sum")
        await until("conversation.item.truncated", 2)
        await until("response.done", 3)
        question = [{"role": "user", "content": "What time is it?"}]
        await llm.queue_frame(LLMMessagesAppendFrame(question, run_llm=True))
        await until("response.done", 5)
        await worker.queue_frame(EndFrame())

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(runner.run())
        tasks.create_task(talk())
    print(json.dumps(seen))


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
