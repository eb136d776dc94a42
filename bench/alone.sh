# A server alone on core 0, the tool on core 1, and mixes of a scenario: what bench/soak and bench/overload have in common. To be
# sourced by them, from their directory. SERVER is Stonechat's program (built with --release when it is not there), LOAD the
# tool's, CALIBRATION the seconds of each step on the way to saturation (10).
# shellcheck shell=bash
server=${SERVER:-../target/release/stonechat}
load=${LOAD:-target/release/stonechat-load}
[[ -x $server ]] || (cd .. && cargo build --locked --release)
[[ -x $load ]] || cargo build --locked --release
# Full within a minute, so that memory which grows behind that is something else.
cache="16 MiB"
directory=$(mktemp -d)
pid=
stop() {
    # What the server had to say of a run that failed.
    (($1 == 0)) || grep -E ' (WARN|ERROR) ' "$directory/log" | tail -n 20 >&2 || true
    [[ -z $pid ]] || kill "$pid" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$directory"
}
trap 'stop "$?"' EXIT

# Starts the server, and makes the accounts of scenario $1, with $2 users.
start() {
    local port try
    scenario=$1
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    cat >"$directory/stonechat.toml" <<END
[server]
workers = 1
[[host]]
name = "localhost"
[host.registration]
mode = "open"
per_address = 1_000_000
per_host = 1_000_000
[auth]
scram_iterations = 4_096
[store]
cache = "$cache"
[[listener]]
address = "127.0.0.1:$port"
kind = "c2s"
tls = "starttls"
[c2s]
rate_stanzas_per_s = 100_000
rate_stanzas_burst = 100_000
unproved_per_address = 1_000_000
END
    taskset --cpu-list 0 "$server" serve --config "$directory/stonechat.toml" --data "$directory/data" >"$directory/log" 2>&1 &
    pid=$!
    for ((try = 0; ; try++)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
        ((try < 300)) || { cat "$directory/log" >&2 && exit 1; }
        sleep 0.1
    done
    users=(--set "users.count=$2" --server "127.0.0.1:$port" --cores 1)
    "$load" register "$scenario" "${users[@]}"
    mkdir -p results
}

# The scenario with its rates times $1, for $2 seconds; the rest are options.
mix() {
    local factor=$1 time=$2 rate rates=()
    shift 2
    while read -r rate; do rates+=(--set "$rate"); done < <(python3 - "$scenario" "$factor" <<'END'
import sys, tomllib
day = tomllib.load(open(f"scenarios/{sys.argv[1]}.toml", "rb"))["day"]
for name in ("messages", "presence", "archive-reads", "leaves"):
    print(f"day.{name}={day[name] * float(sys.argv[2]):.1f}")
END
    )
    "$load" run "$scenario" "${users[@]}" "${rates[@]}" --set "time.measure=$time s" --watch "$pid" "$@"
}

# Of the run $1: the share of a core that the server took, the 99th percentile of messages in ms, the driver's share in percent, of
# what users were to do the share that was left out, and how many were refused or failed.
read_run() {
    python3 -c 'import json, sys
run = json.load(open(sys.argv[1]))
share = sum(server["cpu"] for server in run["server"]) / run["seconds"]
counts, faults = run["counts"], run["faults"]
print("%.3f %.1f %.0f %.3f %d" % (max(share, 1e-3), run["latency"]["messages"]["p99_ms"], run["driver_busy"],
    counts["left_out"] / max(counts["asked"], 1), sum(faults.values())))' "$1"
}

# With one digit behind the point, or with none.
calculate() { python3 -c "print(round($1, 1))"; }
whole() { python3 -c "print(round($1))"; }

# One step on the way to saturation: the mix times $1, with how it went in `share`, `p99`, `driver`, `left_out` and `faults`.
step() {
    rm -f "$directory/step.json"
    mix "$1" "${CALIBRATION:-10}" --set day.cuts=0 --set day.surge=1 --json "$directory/step.json" >"$directory/said" || true
    [[ -s $directory/step.json ]] || { cat "$directory/said" >&2 && exit 1; }
    read -r share p99 driver left_out faults < <(read_run "$directory/step.json")
    if [[ $p99 == 0.0 ]]; then
        cat "$directory/said" >&2
        echo "the mix times $1: not one message arrived: is this machine busy with something else?" >&2
        exit 1
    fi
    echo "the mix times $1: $(whole "$share * 100") % of the core, p99 $p99 ms, driver $driver % busy, $faults faults"
}

# By what the mix is to be multiplied so that the server needs the share $1 of its core, as `factor`. The more there is to do, the less
# each thing costs: what the first answer finds is asked again.
share_of_core() {
    factor=1
    for _ in 1 2 3; do
        step "$factor"
        factor=$(calculate "min($factor * $1 / $share, $factor * 10)")
    done
}

# Whether the last step was kept up with, when $1 is the level of the 99th percentile.
is_kept() {
    [[ $(calculate "$share >= 0.97 or $faults > 0 or $left_out > 0.05 or $p99 > max(5 * $1, 50)") == 0 ]]
}

# The most that the server keeps up with, as `factor`: the mix is raised from half of the core on, by a fifth each time, until the
# core is full, or something is refused or left out, or the 99th percentile leaves its level, twice; `steps` tells how it went.
saturation() {
    local level kept
    share_of_core 0.5
    step "$factor"
    if [[ $(calculate "$share < 0.35 or $faults > 0") == 1 ]]; then
        echo "at half of its core the server has $(whole "$share * 100") % and $faults faults: something else is at work on this machine" >&2
        exit 1
    fi
    level=$p99 kept=$factor steps="half of the core at $factor times the mix with p99 $level ms"
    while :; do
        # A fifth of less than a half is rounded to nothing.
        factor=$(calculate "max($kept * 1.2, $kept + 0.1)")
        step "$factor"
        # One step may have met with somebody else's work: what is not kept up with is tried again.
        is_kept "$level" || step "$factor"
        is_kept "$level" || break
        if ((driver >= 90)); then
            echo "the driver is full before the server: saturation cannot be found with it on one core" >&2
            exit 1
        fi
        kept=$factor
    done
    steps+="; $kept times it is kept up with, $factor times it is not ($(whole "$share * 100") % of the core, p99 $p99 ms, $faults faults)"
    factor=$kept
    echo "saturation: $steps"
}
