# The CPU image by default; --build-arg TORCH=torch==2.13.0 takes the build for NVIDIA GPUs. Where pip's index has no CPU builds of torch,
# PIP_EXTRA_INDEX_URL names one that has; without it the default build is taken, which is larger and works as well.
FROM python:3.11.7-slim-bookworm

ARG TORCH=torch==2.13.0+cpu
ARG PIP_EXTRA_INDEX_URL
WORKDIR /parley

COPY constraints.txt pyproject.toml README.md LICENSE ./
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --disable-pip-version-check "$TORCH" \
    || pip install --no-cache-dir --disable-pip-version-check "${TORCH%+cpu}"

COPY agent agent
COPY agents agents
COPY models models
COPY web web
# Editable: the pages and the demo checkpoint are served from where they lie.
RUN pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt --editable '.[otel]' \
    && useradd --create-home --uid 1000 parley
USER 1000
# A volume takes its owner from here.
RUN mkdir -p /home/parley/.cache/huggingface

EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('PARLEY_PORT', 8080)}/healthz\", timeout=4)"]
ENTRYPOINT ["parley", "serve"]
