# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts beside this file; sourced, not run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
venv=$root/.venv
# A file that sees libtorch takes up to 2 GiB to compile.
jobs=$(awk -v cores="$(nproc)" '/^MemAvailable/ { n = int($2 / 2097152); print n < 1 ? 1 : n < cores ? n : cores }' /proc/meminfo)

# A precompiled header and ccache get along only with these.
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
export CCACHE_COMPILERCHECK=content
# Two checkouts of the same sources share what was compiled.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1

say() { printf '\n== %s\n' "$*"; }
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Prints the comment at the top of the calling script when asked for help.
help_if_asked() {
  local argument
  for argument in "$@"; do
    case $argument in -h | --help)
      sed -n '/^# SPDX/d; 2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
      exit 0
      ;;
    esac
  done
}

# Prints those packages of a list that are not installed.
missing_packages() {
  local package
  grep -v '^#' "$1" | while read -r package; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || echo "$package"
  done
}

# Installs the packages named, or says how to.
apt_install() {
  say "install $*"
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || die "not root, and these packages are missing; run:
  sudo apt-get update && sudo apt-get install --no-install-recommends $*"
    as_root=(sudo -n)
  fi
  "${as_root[@]}" apt-get update -qq || die "the package lists can't be read; is there a network?"
  # At run level 1 no package starts its service: nginx would listen to the world.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
    die "these packages can't be installed (is there a network?): $*"
}

# Installs the Debian packages that a list names, one a line.
install_packages() {
  command -v dpkg-query >/dev/null || die "this set-up knows Debian and Ubuntu only; elsewhere install what $1 names"
  local missing
  mapfile -t missing < <(missing_packages "$1")
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# The stamp of a set-up step: done when it was last done with the same files.
is_done() { [ -f "$venv/.stamp-$1" ] && [ "$(cat "$venv/.stamp-$1")" = "$2" ]; }
mark_done() { printf '%s' "$2" >"$venv/.stamp-$1"; }

# Installs requirements/NAME.txt into $venv, for each name given, unless it was installed as it is now.
install_requirements() {
  local file key
  for file in "$@"; do
    key=$(sha256sum "requirements/$file.txt" | cut -d' ' -f1)
    is_done "$file" "$key" && continue
    say "install requirements/$file.txt into ${venv#"$root/"}"
    "$venv/bin/python" -m pip install -q --no-deps --disable-pip-version-check -r "requirements/$file.txt" ||
      die "requirements/$file.txt can't be installed; is there a network?"
    if [ "$file" = base ]; then
      "$venv/bin/python" -W ignore -c 'import torch' ||
        die "torch is installed and can't be imported; a build for CPUs is meant, with the version of requirements/base.txt"
    fi
    mark_done "$file" "$key"
  done
}

torch_prefix() { "$venv/bin/python" -W ignore -c 'import torch; print(torch.utils.cmake_prefix_path)'; }

# Configures the preset: once, and again when the presets or the place of torch have changed.
configure() {
  local preset=$1 options=() key log=build/$1/configure.log
  if command -v ccache >/dev/null; then options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  case $preset in dev | release)
    # torch_prefix imports torch, which takes a second: not when nothing changed.
    if [ ! -f "build/$preset/torch_prefix" ]; then
      mkdir -p "build/$preset"
      torch_prefix >"build/$preset/torch_prefix" || die "torch is not in .venv; scripts/setup installs it"
    fi
    options+=("-DCMAKE_PREFIX_PATH=$(cat "build/$preset/torch_prefix")")
    ;;
  esac
  key=$(sha256sum CMakePresets.json | cut -d' ' -f1)" ${options[*]}"
  if [ -f "build/$preset/build.ninja" ] && [ "$(cat "build/$preset/configured" 2>/dev/null)" = "$key" ]; then return 0; fi
  mkdir -p "build/$preset"
  cmake --preset "$preset" "${options[@]}" >"$log" 2>&1 || {
    cat "$log" >&2
    die "the preset '$preset' can't be configured"
  }
  printf '%s' "$key" >"build/$preset/configured"
}

# Configures and builds the presets named.
build() {
  local preset
  for preset in "$@"; do
    say "build $preset"
    configure "$preset"
    ninja -C "build/$preset" -j "$jobs"
  done
}
