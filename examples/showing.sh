# What the examples' demos share: how they show and ask, and how they end. Sourced by them.
#
# The demo says `here` (the example's directory), `home` (the project's, made and removed here), and SOURCE_DATABASE; its processes are `program` and `load`.
# shellcheck shell=bash disable=SC2034

# Longer than the snapshot of any size that one would show; what is slower is broken.
SNAPSHOT_SECONDS_MAX=600
CATCH_UP_SECONDS_MAX=120

load='' program='' failures=0

# -- showing ----------------------------------------------------------------------------------------------------------------

tty=false
if [ -t 1 ]; then tty=true; fi
if $tty && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' blue=$'\e[36m' plain=$'\e[0m'
else
    bold='' dim='' red='' green='' blue='' plain=''
fi

heading() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '  %s\n' "$*"; }
right() { printf '  %s✓%s %s\n' "$green" "$plain" "$*"; }
wrong() { printf '  %s✗ %s%s\n' "$red" "$*" "$plain"; failures=$((failures + 1)); }
die() { printf '\n%sdemo: %s%s\n' "$red" "$*" "$plain" >&2; exit 1; }
# A command as one would type it, then what it prints.
shown() {
    printf '  %s$ millstream' "$blue"
    for argument in "$@"; do
        case $argument in *[[:space:]\(\)]*) printf ' "%s"' "$argument" ;; *) printf ' %s' "$argument" ;; esac
    done
    printf '%s\n' "$plain"
    millstream "$@" | sed 's/^/  /'
}
grouped() { sed -E ':a; s/\b([0-9]+)([0-9]{3})\b/\1,\2/; ta' <<<"$1"; }
now_ms() { local now=${EPOCHREALTIME/[^0-9]/}; echo $((now / 1000)); }
seconds() { printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100)); }

# -- asking -----------------------------------------------------------------------------------------------------------------

source_sql() { psql -XqAt -v ON_ERROR_STOP=1 -d "$SOURCE_DATABASE" "$@"; }
# The first column of the first row, of a query against the warehouse.
value() { millstream sql --format csv "$@" | sed -n 2p; }
# A member of a JSON text: the server at hand reads JSON as well as any tool, and is always there.
member() { source_sql <<<"SELECT \$json\$$1\$json\$::jsonb #>> '{$2}'"; }

# Rows of a query as the source gives them, and as the warehouse does, both in one canonical form.
source_rows() { source_sql <<<"SELECT md5(string_agg(r::text, '|' ORDER BY r::text)), count(*) FROM (SELECT to_jsonb(q) AS r FROM ($1) AS q) AS rows"; }
warehouse_rows() { json_rows "$(millstream sql --json "$@")"; }
json_rows() {
    source_sql <<<"SELECT md5(string_agg(r::text, '|' ORDER BY r::text)), count(*) FROM jsonb_array_elements(\$json\$$1\$json\$::jsonb) AS r"
}
# The body of an endpoint's answer; bash itself is the client, for no other need be there.
ask() {
    local line
    exec 8<>"/dev/tcp/${HTTP%:*}/${HTTP##*:}"
    printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$1" "$HTTP" >&8
    IFS= read -r line <&8
    case $line in *' 200 '*) ;; *) return 1 ;; esac
    while IFS= read -r line <&8 && [ "$line" != $'\r' ]; do :; done
    cat <&8
    exec 8>&-
}

# -- ending -----------------------------------------------------------------------------------------------------------------

stop_process() {
    local pid=$1 left=200
    kill -TERM "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null && [ $((left--)) -gt 0 ]; do sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

clean_up() {
    local status=$?
    trap - EXIT
    trap '' INT TERM
    if [ -n "$load" ]; then stop_process "$load"; fi
    if [ -n "$program" ]; then stop_process "$program"; fi
    cd "$here/../.."
    if [ "$status" -ne 0 ] && [ "$status" -ne 130 ] && [ -s "$home/up.log" ]; then
        printf '\nthe last lines of millstream up:\n' >&2
        tail -n 20 "$home/up.log" >&2
    fi
    rm -rf "$home" data/demo.lock
    rmdir data 2>/dev/null || true
    exit "$status"
}

# -- a project of its own ---------------------------------------------------------------------------------------------------

# A copy of the example's files that are named, in a directory that goes with the demo.
prepare_project() {
    mkdir -p data
    # Held by everything that this demo starts; a second demo in this checkout would share the directory.
    exec 9>data/demo.lock
    flock -n 9 || die "another demo is running in this checkout"
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    rm -rf "$home"
    mkdir -p "$home"
    local file
    for file in "$@"; do cp -r "$here/$file" "$home/"; done
    cd "$home"
    # Any free port: another project may be served at the usual one.
    export MILLSTREAM__SERVE__HTTP=127.0.0.1:0 MILLSTREAM__SERVE__POSTGRES=127.0.0.1:0
}

state() { millstream status --json 2>/dev/null || true; }

# Starts `millstream up` and waits until everything is copied and built; what it says is shown meanwhile.
start_program() {
    printf '  %s$ millstream up%s\n' "$blue" "$plain"
    local status deadline tail_pid
    millstream up >up.log 2>&1 &
    program=$!
    tail -n +1 -f up.log --pid="$program" 2>/dev/null | sed -u "s/^/  $dim│$plain /" &
    tail_pid=$!
    deadline=$((SECONDS + SNAPSHOT_SECONDS_MAX))
    until status=$(state) && [ -n "$status" ] && [ "$(member "$status" state)" = streaming ]; do
        kill -0 "$program" 2>/dev/null || die "millstream up has ended"
        [ "$SECONDS" -lt "$deadline" ] || die "no snapshot after $SNAPSHOT_SECONDS_MAX seconds"
        sleep 0.1
    done
    STREAMING_MS=$(now_ms) STATUS=$status
    sleep 0.2
    kill "$tail_pid" 2>/dev/null || true
    HTTP=$(grep -o 'http://[^/]*' up.log | head -n 1)
    HTTP=${HTTP#http://}
    POSTGRES=$(grep -o 'postgres://[^ :]*:[0-9]*/[a-z_]*' up.log | head -n 1)
    [ -n "$HTTP" ] || die "no address of the API was printed"
}

# Ends the demo if something of what it showed was not right.
must_be_right() {
    local complaints
    if complaints=$(grep '^error' up.log); then wrong "millstream up said: $complaints"; fi
    if [ "$failures" -gt 0 ]; then die "$failures of the things above are wrong"; fi
}
