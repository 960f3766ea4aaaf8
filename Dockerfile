# One image for every process of a deployment: code server, run, webserver, daemon, and the commands.
# docs/deploy-kubernetes.md, "The image".
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
RUN python3 -m venv /opt/sigma-impressions
ENV PATH=/opt/sigma-impressions/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# What changes seldom comes first: another version of the program takes the packages from the builder's cache.
COPY deploy/requirements.txt deploy/requirements.txt
RUN pip install --no-deps --no-compile --require-hashes --requirement deploy/requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY sigma_impressions sigma_impressions
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && pip install --no-deps --no-compile dist/*.whl
# Here, since nothing can be compiled where the root file system is read-only. What cannot be are templates.
RUN python -m compileall -q -j 0 /opt/sigma-impressions/lib >/dev/null || true

FROM ${BASE} AS runtime
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /srv/sigma-impressions sigma \
    && install -d -o sigma -g sigma -m 700 /opt/dagster/dagster_home /srv/sigma-impressions
COPY --from=build /opt/sigma-impressions /opt/sigma-impressions
COPY --chown=sigma:sigma dagster_home/dagster.yaml /opt/dagster/dagster_home/dagster.yaml
COPY workspace.yaml /srv/sigma-impressions/workspace.yaml
# The project's folder holds the cache and what spills; a volume there keeps both out of the image's layers.
ENV PATH=/opt/sigma-impressions/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DAGSTER_HOME=/opt/dagster/dagster_home \
    SIGMA_IMPRESSIONS_PROJECT=/srv/sigma-impressions
WORKDIR /srv/sigma-impressions
# By its number: Kubernetes cannot tell of a name that it is not root's.
USER 10001
# No entry point, since Dagster's launcher and its chart give whole commands; no HEALTHCHECK, since a run, a daemon and
# three kinds of servers have nothing in common to ask: the chart has a probe for each.
CMD ["sigma-impressions", "--help"]

# `--target demo`: with the S3 server that `sigma-impressions demo` counts on.
FROM runtime AS demo
USER 0
COPY requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --no-deps --no-compile --require-hashes --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt
USER 10001

FROM runtime
