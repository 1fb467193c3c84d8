# The Flink job: Python with apache-flink, a Java runtime, the Kafka connector and our few Java classes.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE} AS packages
RUN apt-get update && apt-get install --yes --no-install-recommends openjdk-17-jdk-headless maven gcc libc6-dev
COPY infra/requirements/speed.txt /tmp/
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/speed.txt
WORKDIR /build
COPY pom.xml .
RUN mvn --quiet --batch-mode -P flink dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/opt/firth/jars/flink
COPY speed/job/java java
RUN mkdir classes \
    && javac --release 17 -cp "/opt/venv/lib/python3.11/site-packages/pyflink/lib/*:/opt/firth/jars/flink/*" \
        -d classes $(find java -name '*.java') \
    && jar --create --file /opt/firth/jars/firth-flink.jar -C classes .

FROM ${PYTHON_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/firth firth && install -d -o firth /var/lib/firth
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /opt/firth/jars /opt/firth/jars
COPY schemas /srv/firth/schemas
COPY domain /srv/firth/domain
COPY infra /srv/firth/infra
COPY speed /srv/firth/speed
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/venv/lib/python3.11/site-packages:/srv/firth PYTHONUNBUFFERED=1
WORKDIR /srv/firth
USER firth
