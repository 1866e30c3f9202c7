#!/bin/sh
# Builds an image that holds nats-server, the libraries it is linked to, and nothing else: for the container backend of the
# tests on a machine that cannot pull one.
#
#   sh tests/support/container-image.sh [NATS_SERVER [IMAGE]]
#   KATA_TEST_NATS=container KATA_TEST_NATS_IMAGE=kata-nats TESTCONTAINERS_RYUK_DISABLED=true npx vitest run tests/dev/nats
#
# NATS_SERVER is the program (default: the one on the PATH), IMAGE the name (default: kata-nats). Where there is no Docker
# engine, Debian's will do: apt-get install docker.io, then `dockerd` as root. Ryuk, testcontainers' cleaner, is an
# image of its own, hence it is off.
set -eu
server=$(command -v "${1:-nats-server}") || { echo "no such program: ${1:-nats-server}" >&2; exit 1; }
image=${2:-kata-nats}
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

mkdir -p "$context/root/tmp"
cp "$server" "$context/root/nats-server"
# A static program has no libraries; ldd then fails, and that is fine.
for library in $(ldd "$server" 2>/dev/null | grep -o '/[^ ]*'); do
  mkdir -p "$context/root$(dirname "$library")"
  cp -L "$library" "$context/root$library"
done
printf 'FROM scratch\nCOPY root /\nENTRYPOINT ["/nats-server"]\n' > "$context/Dockerfile"
docker build -q -t "$image" "$context"
