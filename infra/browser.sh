#!/usr/bin/env bash
# A Chromium for the test of the page: one that is installed, else the system's package, else Playwright's own.
set -euo pipefail
cd "$(dirname "$0")/.."
LOG=.firth/setup/browser.log

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then exit 0; fi
done
# Playwright keeps its own browsers outside PATH, and knows where.
playwright_has_one() {
    .venv/main/bin/python - <<'PY'
import pathlib, sys
from playwright.sync_api import sync_playwright

with sync_playwright() as playwright:
    sys.exit(not pathlib.Path(playwright.chromium.executable_path).exists())
PY
}
if playwright_has_one 2>/dev/null; then exit 0; fi

mkdir -p "$(dirname "$LOG")"
started=$SECONDS
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null \
    && { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium fonts-dejavu-core; } \
        >"$LOG" 2>&1 </dev/null; then
    echo "browser: Chromium from the system's packages: $((SECONDS - started)) s"
    exit 0
fi
if .venv/main/bin/python -m playwright install chromium >>"$LOG" 2>&1 </dev/null; then
    echo "browser: Chromium from Playwright: $((SECONDS - started)) s"
    exit 0
fi
echo "browser: no Chromium: install one (Debian: apt-get install chromium; macOS: brew install --cask google-chrome and put it on PATH), see $LOG" >&2
exit 1
