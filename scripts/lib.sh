# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts beside this file; sourced, not run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
venv=$root/.venv
jobs=$(nproc)

# A precompiled header and ccache get along only with these.
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
export CCACHE_COMPILERCHECK=content

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

# The stamp of a set-up step: done when it was last done with the same files.
is_done() { [ -f "$venv/.stamp-$1" ] && [ "$(cat "$venv/.stamp-$1")" = "$2" ]; }
mark_done() { printf '%s' "$2" >"$venv/.stamp-$1"; }

torch_prefix() { "$venv/bin/python" -c 'import torch; print(torch.utils.cmake_prefix_path)'; }

# Configures (once) and builds the presets named.
build() {
  local preset
  for preset in "$@"; do
    say "build $preset"
    local options=()
    if command -v ccache >/dev/null; then options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
    case $preset in dev | release) options+=("-DCMAKE_PREFIX_PATH=$(torch_prefix)") ;; esac
    if [ ! -f "build/$preset/build.ninja" ]; then
      mkdir -p "build/$preset"
      cmake --preset "$preset" "${options[@]}" >"build/$preset/configure.log" 2>&1 ||
        { cat "build/$preset/configure.log" >&2; die "the preset '$preset' can't be configured"; }
    fi
    ninja -C "build/$preset" -j "$jobs"
  done
}
