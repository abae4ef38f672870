#!/bin/sh
# Builds the images and says what each weighs: build.sh [NAME...], by default all. Variables:
#   ENGINE   podman (the default) or docker
#   TAG      of the images, by default the version of Pellucid
#   BASE     an image of Debian bookworm, in place of docker.io/library/debian:bookworm-slim
#   WHEELS   a folder with torch's CPU wheel, in place of PyTorch's index
#   CA       a bundle of certificate authorities, where a proxy has one of its own
set -eu
cd "$(dirname "$0")/../.."
engine=${ENGINE:-podman}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
tag=${TAG:-$version}
# In this order: the models are built by what is in `embedded`.
for name in ${*:-gateway preprocess explain triton embedded models}; do
    set -- --file "deploy/docker/$name.Dockerfile" --tag "pellucid/$name:$tag"
    set -- "$@" --build-arg "VERSION=$version"
    [ -z "${BASE:-}" ] || set -- "$@" --build-arg "BASE=$BASE"
    [ -z "${CA:-}" ] || set -- "$@" --secret "id=ca,src=$CA"
    case $name in
    explain | embedded)
        [ -z "${WHEELS:-}" ] ||
            set -- "$@" --volume "$WHEELS:/wheels:ro" --build-arg "TORCH=--find-links /wheels"
        ;;
    models) set -- "$@" --build-arg "EMBEDDED=pellucid/embedded:$version" ;;
    esac
    "$engine" build "$@" .
done
"$engine" images --filter "reference=pellucid/*:$tag" --format "{{.Repository}}:{{.Tag}} {{.Size}}"
