"""Fetching by hub id, from a server of our own that answers as the hub does, in processes of their own."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.config import CheckpointError
from models.hub import locate
from tests.models import checkpoints

COMMIT = "0" * 40


class Hub(http.server.ThreadingHTTPServer):
    """The parts of the hub's HTTP interface that fetching a repository uses."""

    def __init__(self, repositories: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = repositories
        self.sent: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = self.path.split("?")[0].removeprefix("/api/models").strip("/")
        name = "/".join(path.split("/")[:2])
        if name.endswith("gated"):
            self.answer(403, {"X-Error-Code": "GatedRepo"})
        elif (folder := self.server.repositories.get(name)) is None:
            self.answer(401, {"X-Error-Code": "RepoNotFound"})
        elif f"{name}/revision/" in path:
            siblings = [{"rfilename": file.name} for file in folder.iterdir()]
            self.answer(200, {}, json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode())
        elif f"{name}/tree/" in path:
            files = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "0"} for f in folder.iterdir()]
            self.answer(200, {}, json.dumps(files).encode())
        elif f"{name}/resolve/" in path:
            content = (folder / path.rpartition("/")[2]).read_bytes()
            etag = hashlib.sha256(content).hexdigest()
            self.answer(200, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'}, content)
        else:
            self.answer(404, {})

    do_HEAD = do_GET  # noqa: N815 - the base class names it

    def answer(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.server.sent.append(self.path)
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder, towers = checkpoints.write(tmp_path, "v0_3")
    (folder / "pytorch_model.bin").write_bytes(b"not wanted")
    server = Hub({"fixie-ai/tiny": folder, checkpoints.AUDIO_ID: Path(towers[checkpoints.AUDIO_ID])})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def inspect(hub: Hub, name: str, home: Path, offline: str = "0") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HUB_OFFLINE": offline,
        "HF_HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "models", "inspect", name]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_checkpoint_and_its_tower_are_fetched_once_and_then_found_offline(hub: Hub, tmp_path: Path) -> None:
    fetched = inspect(hub, "fixie-ai/tiny", tmp_path / "home")
    assert fetched.returncode == 0, fetched.stderr
    assert "projector and language model inside; audio tower by id" in fetched.stdout
    assert sum("model-0000" in path for path in hub.sent) == 3
    assert not any(path.endswith(".bin") for path in hub.sent)
    hub.sent.clear()
    assert inspect(hub, "fixie-ai/tiny", tmp_path / "home", offline="1").stdout == fetched.stdout
    assert hub.sent == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a/gated", "a/gated is gated: accept its terms at huggingface.co and log in"),
        ("a/missing", "there is no repository a/missing on the hub, or it is private"),
    ],
)
def test_what_the_hub_refuses_is_told_in_one_line(hub: Hub, tmp_path: Path, name: str, message: str) -> None:
    refused = inspect(hub, name, tmp_path / "home")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert message in refused.stderr
    assert f"--tower {name}=FOLDER" in refused.stderr


@pytest.mark.parametrize(
    ("name", "towers", "message"),
    [
        ("./nowhere", {}, "nowhere is neither a folder nor a hub id"),
        ("nowhere", {}, "nowhere is neither a folder nor a hub id"),
        ("a/b/c", {}, "a/b/c is neither a folder nor a hub id"),
        ("a/b", {"a/b": "/nowhere"}, "/nowhere, given for a/b, is not a folder"),
        ("a/b", {}, r"a/b is not in the local cache.*--tower a/b=FOLDER"),
    ],
)
def test_what_is_not_there(name: str, towers: dict[str, str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        locate(name, towers)


def test_towers_come_before_folders(tmp_path: Path) -> None:
    assert locate(str(tmp_path), {str(tmp_path): tmp_path.parent}) == tmp_path.parent
    assert locate(tmp_path, {}) == tmp_path
