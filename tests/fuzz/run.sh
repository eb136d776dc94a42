#!/bin/sh
# Builds the fuzz targets once and runs each for SECONDS (default 20). Prints `N passed, N failed` last; exits
# non-zero if one crashed. What was found new goes to a directory beside the build, the seeds stay small.
# Stable Rust: CRATES.md section 8 has the flags. CARGO_TARGET_DIR is respected.
set -eu
seconds=${1:-20}
cd "$(dirname "$0")"
triple=x86_64-unknown-linux-gnu
target_dir=${CARGO_TARGET_DIR:-$PWD/target}

RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1" \
    cargo build --release --target "$triple" --target-dir "$target_dir"

passed=0
failed=0
for source in targets/*.rs; do
    name=$(basename "$source" .rs)
    found=$target_dir/found/$name
    mkdir -p "$found"
    echo "== $name"
    if "$target_dir/$triple/release/$name" -max_total_time="$seconds" -max_len=4096 -timeout=30 \
        -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 -artifact_prefix="$found/../$name-" \
        "$found" "corpus/$name"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
