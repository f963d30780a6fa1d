# shellcheck shell=bash
# What tools/demo and tools/test share. Sourced, not run: it expects `set -euo pipefail` and defines functions only.

say() { printf '%s\n' "$*"; }
note() { printf '%s\n' "$*" >&2; }
heading() { printf '\n== %s\n' "$*"; }

# The process that with_progress waits for. Bash starts it with SIGINT ignored, so an exit trap has to stop it.
progress_pid=
stop_progress() {
    if [[ -n $progress_pid ]]; then kill -TERM "$progress_pid" 2>/dev/null || true; fi
}

# with_progress LABEL LOG COMMAND…: runs COMMAND with its output in LOG. On a terminal one line shows the time and
# the last step that the command reported; elsewhere a plain line comes every 30 s. On failure the errors are shown.
with_progress() {
    local label=$1 log=$2 pid started elapsed last=0 step status=0
    shift 2
    started=$SECONDS
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    progress_pid=$pid
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.5
        elapsed=$((SECONDS - started))
        if [[ -t 1 ]]; then
            step=$(tr '\r' '\n' <"$log" | tail -n 1 | cut -c 1-60 | tr -d '[:cntrl:]')
            printf '\r\033[K%s %d s  %s' "$label" "$elapsed" "$step"
        elif ((elapsed - last >= 30)); then
            last=$elapsed
            step=$(grep -o '^\[[0-9]*/[0-9]*\]' "$log" | tail -n 1 || true)
            printf '%s %d s %s\n' "$label" "$elapsed" "$step"
        fi
    done
    wait "$pid" || status=$?
    progress_pid=
    [[ ! -t 1 ]] || printf '\r\033[K'
    elapsed=$((SECONDS - started))
    if ((status != 0)); then
        note "$label: failed after $elapsed s (exit $status). What it printed last:"
        { grep -E 'error:|warning:|✘' "$log" || true; } | head -n 40 >&2
        tail -n 30 "$log" >&2
        note "(the whole log: $log)"
        return "$status"
    fi
    printf '%s: %d s\n' "$label" "$elapsed"
}

# A port on 127.0.0.1 where nobody listens now, out of those below the range that the kernel gives to clients.
free_port() {
    local port attempt
    for ((attempt = 0; attempt < 200; attempt++)); do
        port=$((20000 + RANDOM % 10000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return 0
        fi
    done
    note "no free port found on 127.0.0.1 between 20000 and 29999"
    return 1
}

# answers_ping PORT: whether a server there answers PING by a plain line, within 2 s.
answers_ping() {
    local line=
    {
        exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
        printf 'PING\r\n' >&3
        IFS= read -r -t 2 -u 3 line || true
        exec 3>&- 3<&-
    } 2>/dev/null
    [[ ${line%$'\r'} == +PONG ]]
}

# wait_for_ping PORT PID SECONDS: waits until the server answers; fails as soon as the process PID is gone.
wait_for_ping() {
    local port=$1 pid=$2 deadline=$((SECONDS + $3))
    until answers_ping "$port"; do
        if ! kill -0 "$pid" 2>/dev/null; then return 1; fi
        if ((SECONDS >= deadline)); then return 1; fi
        sleep 0.05
    done
}

# stop_process PID SECONDS: SIGTERM, then SIGKILL when it takes longer. Returns the process's exit status.
stop_process() {
    local pid=$1 deadline=$((SECONDS + $2)) status=0
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.05; done
    if kill -0 "$pid" 2>/dev/null; then
        note "process $pid did not stop within $2 s; killing it"
        kill -KILL "$pid" 2>/dev/null || true
    fi
    wait "$pid" 2>/dev/null || status=$?
    return "$status"
}
