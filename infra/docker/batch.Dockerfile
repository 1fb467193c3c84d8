# The daily run: everything of the main image, Spark with its Delta jars, and a Java runtime.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE} AS packages
RUN apt-get update && apt-get install --yes --no-install-recommends openjdk-17-jre-headless maven
COPY infra/requirements/training.txt /tmp/
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/training.txt
WORKDIR /build
COPY pom.xml .
RUN mvn --quiet --batch-mode -P spark dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/opt/firth/jars/spark

FROM ${PYTHON_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends openjdk-17-jre-headless procps \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/firth firth && install -d -o firth /var/lib/firth
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /opt/firth/jars /opt/firth/jars
COPY schemas /srv/firth/schemas
COPY domain /srv/firth/domain
COPY feature_repo /srv/firth/feature_repo
COPY infra /srv/firth/infra
COPY batch /srv/firth/batch
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/srv/firth PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/tmp/numba
WORKDIR /srv/firth
USER firth
