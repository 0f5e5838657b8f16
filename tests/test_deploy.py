"""What runs the server elsewhere: the compose file as docker-compose reads it, and the dashboard's queries, asked of a real Prometheus."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from agent.caller.peer import call
from tests.serving import serving
from tests.test_server import QUESTION

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "parley.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def configured(tmp_path, **environment):
    """The compose file with everything filled in."""
    yaml = pytest.importorskip("yaml")
    result = subprocess.run(
        ["docker-compose", "--project-directory", str(ROOT), "-f", str(ROOT / "docker-compose.yml"), "config"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **environment},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return yaml.safe_load(result.stdout)["services"]


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
class TestCompose:
    """As Debian's docker-compose reads it."""

    def test_the_agent_runs_out_of_the_box_and_on_loopback(self, tmp_path):
        services = configured(tmp_path)
        assert [name for name, service in services.items() if "profiles" not in service] == ["agent"]
        assert services["agent"]["environment"]["PARLEY_HOST"] == "127.0.0.1"
        assert services["agent"]["environment"]["PARLEY_KEY"] is None, (
            "an empty key would be none, and yet taken for one"
        )

    def test_all_services_have_limits_pinned_images_and_health_checks(self, tmp_path):
        services = configured(tmp_path)
        assert services.keys() == {"agent", "agent-gpu", "turn", "vllm", "prometheus", "grafana"}
        for name, service in services.items():
            assert service["deploy"]["resources"]["limits"]["memory"], name
            assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name
            assert "build" in service or service["healthcheck"]["test"], name
        assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()

    def test_what_needs_a_gpu_asks_for_one(self, tmp_path):
        reserving = {
            name
            for name, service in configured(tmp_path).items()
            if "devices" in service["deploy"]["resources"].get("reservations", {})
        }
        assert reserving == {"agent-gpu", "vllm"}

    def test_the_key_reaches_agent_and_prometheus(self, tmp_path):
        services = configured(tmp_path, PARLEY_KEY="secret", PARLEY_KEY_FILE="/etc/parley/key")
        assert services["agent"]["environment"]["PARLEY_KEY"] == "secret"
        assert any("/etc/parley/key" in str(volume) for volume in services["prometheus"]["volumes"])


def test_files_that_are_mounted_are_there():
    for path in re.findall(r"\./deploy/[\w./-]+", (ROOT / "docker-compose.yml").read_text()):
        assert (ROOT / path).exists(), path


def test_nobody_is_let_into_the_turn_server_as_it_ships():
    lines = (DEPLOY / "turnserver.conf").read_text().splitlines()
    assert "use-auth-secret" in lines
    assert not any(line.startswith(("static-auth-secret", "no-auth", "user=")) for line in lines)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@asynccontextmanager
async def prometheus(folder, url):
    """Debian's Prometheus with the shipped configuration, every second; gives its address."""
    config = (DEPLOY / "prometheus.yml").read_text()
    config = config.replace("127.0.0.1:8080", url.removeprefix("http://")).replace(
        "scrape_interval: 5s", "scrape_interval: 1s"
    )
    (folder / "prometheus.yml").write_text(config)
    (folder / "key").write_text("secret")
    address = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--web.listen-address={address}",
        f"--storage.tsdb.path={folder / 'data'}",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        await process.wait()


async def ask(http, address, query):
    """The values of an instant query; none while Prometheus is not up."""
    query = query.replace("$__rate_interval", "1m")
    try:
        async with http.get(f"{address}/api/v1/query", params={"query": query}) as response:
            if response.status == 503:  # it is starting
                return []
            answer = await response.json()
    except aiohttp.ClientError:
        return []
    assert answer["status"] == "success", (query, answer)
    return [float(series["value"][1]) for series in answer["data"]["result"]]


@pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is not installed (apt-get install prometheus)"
)
async def test_every_query_of_the_dashboard_returns_data_and_the_same_as_the_latency_page(tmp_path):
    assert len(QUERIES) > 15
    async with serving(key="secret") as (_, url), prometheus(tmp_path, url) as address, aiohttp.ClientSession() as http:
        async with asyncio.timeout(60):
            while await ask(http, address, "up") != [1]:
                await asyncio.sleep(0.3)
        async with call(url, "secret") as caller:
            for _ in range(3):  # a rate needs growth between two looks
                await caller.ask(QUESTION, 20)
                await asyncio.sleep(1.3)
        headers = {"Authorization": "Bearer secret"}
        waits = [row["v2v_ms"] / 1000 for row in await (await http.get(f"{url}/traces", headers=headers)).json()]
        async with asyncio.timeout(20):
            while await ask(http, address, "sum(parley_voice_to_voice_seconds_count)") != [len(waits)]:
                await asyncio.sleep(0.2)
        [total] = await ask(http, address, "sum(parley_voice_to_voice_seconds_sum)")
        assert total == pytest.approx(sum(waits), abs=0.001)
        missing = {
            query: found for query in QUERIES if not (found := await ask(http, address, query)) or all(map(nan, found))
        }
    assert missing == {}


def nan(value):
    return value != value
