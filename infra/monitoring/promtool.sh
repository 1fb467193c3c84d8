#!/usr/bin/env bash
# promtool, with which the tests check the rules: one that is installed, else the one of Debian's package, unpacked into
# .firth/tools without installing a server. Instant when it is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
TOOL=.firth/tools/promtool
LOG=.firth/setup/promtool.log

if command -v promtool >/dev/null || [ -x "$TOOL" ]; then exit 0; fi
mkdir -p "$(dirname "$TOOL")" "$(dirname "$LOG")"
started=$SECONDS
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fetch() { (cd "$folder" && apt-get download prometheus && dpkg-deb --extract prometheus_*.deb unpacked); }
if command -v apt-get >/dev/null && { fetch || { apt-get update && fetch; }; } >"$LOG" 2>&1 </dev/null; then
    mv "$folder/unpacked/usr/bin/promtool" "$TOOL"
    echo "promtool: from the system's packages: $((SECONDS - started)) s"
    exit 0
fi
echo "promtool: none: install Prometheus (Debian: apt-get install prometheus; macOS: brew install prometheus), see $LOG" >&2
exit 1
