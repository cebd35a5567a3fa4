#!/usr/bin/env bash
# The programs that tests call beside Python: installed where this user may, else named in one line before anything runs.
set -euo pipefail

missing=()
need() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || missing+=("$2"); } # program, Debian's package
need strace strace
need nsenter util-linux
need mount mount
need mkfs.ext4 e2fsprogs
need ss iproute2
need promtool prometheus
need chromium chromium
need ffmpeg ffmpeg
need systemd-analyze systemd
((${#missing[@]})) || exit 0

as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)
if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
  echo "make test needs these Debian packages, or the programs in them: ${missing[*]}" \
    "-> sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
echo "make test installs what its tests call: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
