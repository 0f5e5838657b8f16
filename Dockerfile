# The CPU image by default; --build-arg TORCH=torch==2.13.0 takes the build for NVIDIA GPUs.
FROM python:3.11-slim-bookworm

ARG TORCH=torch==2.13.0+cpu
WORKDIR /parley

COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --disable-pip-version-check "$TORCH"

COPY agent agent
COPY models models
COPY agents agents
COPY web web
# Editable: the pages and the demo checkpoint are served from where they lie.
RUN pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt --editable . \
    && useradd --create-home parley
USER parley

EXPOSE 8080
HEALTHCHECK --interval=30s --start-period=30s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/')"]
ENTRYPOINT ["parley", "serve"]
