#!/usr/bin/env bash
# `make setup`: the two Python environments, the engines' jars and our own Flink classes, all from locked versions.
#
# Each step leaves a stamp that names what it was made from: a second run takes a moment, and an interrupted one
# goes on where it stopped. Everything lands in .venv/ and .firth/, both git-ignored.
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
LOCKS=infra/requirements
JARS=.firth/jars
LOGS=.firth/setup
UV=.venv/uv/bin/uv
export UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=180 PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# --- what the machine must have -------------------------------------------------------------------------------

find_python() {
    local name
    for name in "${PYTHON:-}" python3.11 python3 python; do
        if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            PYTHON=$("$name" -c 'import sys; print(sys.executable)')
            return
        fi
    done
    fail "Python 3.11 is missing: install it (Debian: apt-get install python3.11 python3.11-venv; macOS: brew install python@3.11) or set PYTHON=/path/to/python3.11"
}

# The JDK is the one in JAVA_HOME or, without it, the one on PATH; Cassandra 5.0 runs on no newer one than 17.
check_jdk() {
    local javac="${JAVA_HOME:+$JAVA_HOME/bin/}javac" found
    found=$("$javac" -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p' || true)
    [ "$found" = 17 ] && return
    fail "JDK 17 with javac is missing (found: ${found:-none}): install it (Debian: apt-get install openjdk-17-jdk-headless; macOS: brew install openjdk@17) or point JAVA_HOME to it"
}

check_machine() {
    find_python
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null \
        || fail "Python 3.11 lacks the venv module: install it (Debian: apt-get install python3.11-venv)"
    check_jdk
    command -v mvn >/dev/null \
        || fail "Maven is missing: install it (Debian: apt-get install maven; macOS: brew install maven)"
}

# --- steps and stamps -----------------------------------------------------------------------------------------

digest() { cat "$@" | "$PYTHON" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'; }
stamped() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# step TITLE STAMP WANTED COMMAND...: runs the command unless the stamp says that it was done from the same input.
# A failed command is tried once more, because most failures are a download that broke off; TRIES=1 does not.
step() {
    local title=$1 stamp=$2 wanted=$3 log tries=${TRIES:-2} try=1
    shift 3
    stamped "$stamp" "$wanted" && return
    log=$LOGS/${title// /-}.log
    local started=$SECONDS
    rm -f "$stamp"
    until "$@" >"$log" 2>&1; do
        if [ $try = "$tries" ]; then
            tail -n 20 "$log" >&2
            fail "$title failed: the lines above are the end of $log"
        fi
        try=$((try + 1))
        say "$title failed after $((SECONDS - started)) s, trying once more"
    done
    printf '%s\n' "$wanted" >"$stamp"
    say "$title: $((SECONDS - started)) s"
}

# --- the steps (chained with &&, because bash ignores `set -e` inside a tested command) ------------------------

make_uv() {
    "$PYTHON" -m venv --clear .venv/uv \
        && .venv/uv/bin/python -m pip install --quiet --require-hashes -r $LOCKS/uv.txt
}

# make_environment NAME LOCK: exactly the packages of the lock, and the project root on sys.path. An environment that
# was made for another root (its scripts name it) or whose Python is gone is made anew.
make_environment() {
    local folder=.venv/$1
    local path_file=$folder/lib/python3.11/site-packages/firth.pth
    { { "$folder/bin/python" -c '' && [ "$(cat "$path_file")" = "$ROOT" ]; } \
        || { $UV venv --quiet --clear --python "$PYTHON" "$folder" && printf '%s\n' "$ROOT" >"$path_file"; }; } \
        && $UV pip sync --quiet --require-hashes --python "$folder/bin/python" "$LOCKS/$2"
}

# fetch_jars PROFILE: a folder is put in place only when it is complete.
fetch_jars() {
    rm -rf "$JARS/$1.partial" "${JARS:?}/$1" \
        && mvn --quiet --batch-mode --update-snapshots -Dstyle.color=never -P "$1" dependency:copy-dependencies -DincludeScope=runtime \
            -DoutputDirectory="$ROOT/$JARS/$1.partial" \
        && mv "$JARS/$1.partial" "$JARS/$1"
}

environment_step() {
    step "Python environment $1" ".venv/$1.stamp" "$(digest <(echo "$ROOT $PYTHON") "$LOCKS/$2")" make_environment "$1" "$2"
}

environments() {
    environment_step main dev.txt
    environment_step speed speed-dev.txt
}

jars() {
    local profile wanted
    wanted=$(digest pom.xml)
    for profile in kafka cassandra flink spark; do
        step "jars of $profile" "$JARS/$profile.stamp" "$wanted" fetch_jars "$profile"
    done
}

compile_java() {
    local classes=$JARS/firth-flink.classes pyflink=$ROOT/.venv/speed/lib/python3.11/site-packages/pyflink
    rm -rf "$classes" \
        && mkdir -p "$classes" \
        && "${JAVA_HOME:+$JAVA_HOME/bin/}javac" --release 17 -Xlint:all,-classfile,-path,-processing,-serial -Werror \
            -cp "$pyflink/lib/*:$pyflink/opt/*:$ROOT/$JARS/flink/*" -d "$classes" "$@" \
        && "${JAVA_HOME:+$JAVA_HOME/bin/}jar" --create --file "$JARS/firth-flink.partial" -C "$classes" . \
        && mv "$JARS/firth-flink.partial" "$JARS/firth-flink.jar" \
        && rm -rf "$classes"
}

flink_classes() {
    local sources
    sources=$(find speed/job/java -name '*.java' 2>/dev/null | LC_ALL=C sort || true)
    [ -n "$sources" ] || return 0
    # shellcheck disable=SC2086  # One word for each file: no source file has a blank in its name.
    TRIES=1 step "Flink classes" "$JARS/firth-flink.stamp" "$(digest $sources pom.xml $LOCKS/speed.txt)" compile_java $sources
}

kernels() {
    local sources
    sources=$(find domain/recommenders -name '*.py' | LC_ALL=C sort)
    # shellcheck disable=SC2086  # One word for each file: no source file has a blank in its name.
    TRIES=1 step "kernels" .venv/kernels.stamp "$(digest $sources $LOCKS/serving.txt)" \
        .venv/main/bin/python -m domain.recommenders.lineup
}

# --- all of it ------------------------------------------------------------------------------------------------

check_machine
mkdir -p .venv $JARS $LOGS
if command -v flock >/dev/null; then
    exec 9>.venv/setup.lock
    flock 9
fi

started=$SECONDS
step "uv" .venv/uv.stamp "$(digest <(echo "$ROOT $PYTHON") $LOCKS/uv.txt)" make_uv

# Packages and jars come from different registries and use different resources: two lanes, each a process group
# (set -m), so that an interrupt ends a lane with its download.
set -m
environments &
python_lane=$!
jars &
jar_lane=$!
set +m
trap 'kill -- -$python_lane -$jar_lane 2>/dev/null || true; fail "interrupted; run it again to go on from here"' INT TERM HUP
outcome=0
wait $python_lane || outcome=1
wait $jar_lane || outcome=1
trap - INT TERM HUP
[ $outcome = 0 ] || fail "not complete; run \`make setup\` again to go on from here"

flink_classes
kernels
took=$((SECONDS - started))
[ $took -lt 5 ] || echo $took >$LOGS/seconds  # what the last set-up took that had work to do; `make smoke` reports it
say "ready after $took s"
