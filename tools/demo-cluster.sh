# shellcheck shell=bash
# The cluster's part of tools/demo, which sources it: processes, a question, an event, a kill, the same answers, the end.

folder=$scratch/cluster
mkdir -p "$folder"

# start NAME COMMAND…: in the background; its process id goes to $started.
start() {
    local name=$1
    shift
    "$@" >"$folder/$name.log" 2>&1 </dev/null &
    started=$!
    members=("$started" ${members[@]+"${members[@]}"})
}

show() {
    heading "$1"
    shift
    "$@"
}

step="choosing ports"
log_port=$(free_port)
ports=()
while ((${#ports[@]} < 5)); do
    candidate=$(free_port)
    [[ " $log_port ${ports[*]-} " == *" $candidate "* ]] || ports+=("$candidate")
done
router_port=${port:-${ports[4]}}
cat >"$folder/cluster.yaml" <<TEXT
epoch: 1
shards:
  - name: a
    slots: 0-8191
    replicas: [127.0.0.1:${ports[0]}, 127.0.0.1:${ports[1]}]
  - name: b
    slots: 8192-16383
    replicas: [127.0.0.1:${ports[2]}, 127.0.0.1:${ports[3]}]
TEXT
show "cluster.yaml" cat "$folder/cluster.yaml"

step="starting Redis"
heading "redis-server, the log of events; 4 × annctl serve --slots … --cluster cluster.yaml --log redis://…; annctl route"
mkdir -p "$folder/redis"
start redis redis-server --port "$log_port" --bind 127.0.0.1 --dir "$folder/redis" --appendonly yes --save ''
wait_for_ping "$log_port" "$started" 30

step="starting the replicas"
replicas=()
for number in 0 1 2 3; do
    slots=0-8191
    ((number < 2)) || slots=8192-16383
    start "replica$number" "$annctl" serve indexes/debian --port "${ports[$number]}" --slots "$slots" \
        --cluster "$folder/cluster.yaml" --state "$folder/state$number" --log "redis://127.0.0.1:$log_port"
    replicas+=("$started")
done
for number in 0 1 2 3; do wait_for_ping "${ports[$number]}" "${replicas[$number]}" 60; done

step="starting the router"
start router "$annctl" route --config "$folder/cluster.yaml" --port "$router_port"
wait_for_ping "$router_port" "$started" 30
say "ready: router on 127.0.0.1:$router_port, replicas on ${ports[*]:0:4}"

step="asking through the router"
ask() { "$annctl" query --port "$router_port" "$@"; }
show "annctl query --port $router_port TOPK faiss 3" ask TOPK faiss 3
show "annctl query --port $router_port MTOPK 2 faiss redis 3 (users of two shards, one answer)" ask MTOPK 2 faiss redis 3

step="asking with a cluster client"
heading "redis-cli -c -p ${ports[0]} TOPK faiss 3 (any replica sends a cluster client to the right shard)"
redis-cli -c -p "${ports[0]}" TOPK faiss 3

step="telling the router events"
heading "1000 events of 100 new users through the router, each acknowledged when a replica has it on its disk"
for ((n = 0; n < 1000; n++)); do
    printf 'EVENT project-%d %s AT %d\r\n' $((n % 100)) "$( ((n % 2)) && printf python3-numpy || printf libc6)" $((1700000000000 + n))
done >"$folder/events"
printf 'QUIT\r\n' >>"$folder/events"
nc -w 20 127.0.0.1 "$router_port" <"$folder/events" | tr -d '\r' >"$folder/replies"
acknowledged=$(grep -c '^+OK$' "$folder/replies")
# The last OK is QUIT's.
acknowledged=$((acknowledged - 1))
say "$acknowledged of 1000 acknowledged"
((acknowledged == 1000))

step="killing a replica"
heading "kill -9 of a replica of shard a, and 400 events and questions at once, before anybody has noticed"
kill -KILL "${replicas[0]}"
wait "${replicas[0]}" 2>/dev/null || true
for ((n = 0; n < 200; n++)); do
    printf 'EVENT project-%d tzdata AT %d\r\nTOPK project-%d 3\r\n' $((n % 100)) $((1700000100000 + n)) $((n % 100))
done >"$folder/more"
printf 'QUIT\r\n' >>"$folder/more"
nc -w 20 127.0.0.1 "$router_port" <"$folder/more" | tr -d '\r' >"$folder/replies"
failed=$(grep -c '^-' "$folder/replies" || true)
say "400 commands, $failed failed"
((failed == 0))

step="looking for lost events"
heading "is anything lost?"
lost=0
for ((n = 0; n < 100; n++)); do
    # Project n has one of the two packages, by its number, and tzdata.
    seen=$(redis-cli -p "$router_port" SEEN "project-$n" | wc -l)
    ((seen == 2)) || lost=$((lost + 1))
done
say "100 users looked at, $lost with anything missing"
((lost == 0))
heading "annctl cluster status cluster.yaml"
"$annctl" cluster status "$folder/cluster.yaml" || say "(a replica is down, so this command fails)"

step="starting the replica again"
heading "the replica starts again, and takes the rest from the log"
start replica0-again "$annctl" serve indexes/debian --port "${ports[0]}" --slots 0-8191 \
    --cluster "$folder/cluster.yaml" --state "$folder/state0" --log "redis://127.0.0.1:$log_port"
wait_for_ping "${ports[0]}" "$started" 60
sleep 1
"$annctl" cluster check "$folder/cluster.yaml"
differ=0
for ((n = 0; n < 100; n++)); do
    one=$(redis-cli -p "${ports[0]}" TOPK "project-$n" 5 WITHSCORES)
    [[ $one == MOVED* || $one == "$(redis-cli -p "${ports[1]}" TOPK "project-$n" 5 WITHSCORES)" ]] || differ=$((differ + 1))
done
say "its answers and those of the replica beside it: $differ of 100 differ"
((differ == 0))

step="stopping"
say ""
say "All is stopped again."
