# Gateway and servers, feature writer, archiver, one-shots: all that needs no JVM.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE} AS packages
COPY infra/requirements/serving.txt /tmp/
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/serving.txt

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --home-dir /var/lib/firth firth && install -d -o firth /var/lib/firth
COPY --from=packages /opt/venv /opt/venv
COPY schemas /srv/firth/schemas
COPY domain /srv/firth/domain
COPY feature_repo /srv/firth/feature_repo
COPY infra /srv/firth/infra
COPY batch /srv/firth/batch
COPY speed /srv/firth/speed
COPY serving /srv/firth/serving
COPY clients /srv/firth/clients
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/srv/firth PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/tmp/numba
WORKDIR /srv/firth
USER firth
