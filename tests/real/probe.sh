# Test pulls through the engines themselves, and rehearsals of pushes: a real registry's images
# behind the sandbox's ECR, and the sandbox alone where ECR refuses. Every engine is left as it was.
# Sourced by run.
# shellcheck disable=SC2154
p=$work/probe; mkdir -p "$p/home" "$p/docker" "$p/containerd"
ecr=310987654321.dkr.ecr.eu-west-1.amazonaws.com
strict=410987654321.dkr.ecr.eu-west-1.amazonaws.com
bucket=prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com
# Engines trust loopback more than any registry, so these have addresses of another kind.
ip address add 10.99.0.4/32 dev lo; ip address add 10.99.0.5/32 dev lo
echo "10.99.0.4 $ecr $bucket" >>/etc/hosts; echo "10.99.0.5 $strict" >>/etc/hosts
export HOME=$p/home DOCKER_CONFIG=$p/docker
cat >"$p/images.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $p/images}, delete: {enabled: true}}
http: {addr: "127.0.0.1:5110", relativeurls: true}
YAML
docker-registry serve "$p/images.yml" >"$p/images.log" 2>&1 & images=$!
"$ECR_WARDEN_BIN" sandbox --aws 127.0.0.1:5020 --registry 10.99.0.4:443 --host "$ecr" --images 127.0.0.1:5110 --storage "$bucket" \
  --token-life 12h --ca-file "$p/ca.pem" >/dev/null & sandbox=$!
"$ECR_WARDEN_BIN" sandbox --aws 127.0.0.1:5021 --registry 10.99.0.5:443 --host "$strict" --token-life 12h --ca-file "$p/strict.pem" >/dev/null & refuser=$!
wait_for 10 curl -s http://127.0.0.1:5020/_sandbox/calls; wait_for 10 curl -s http://127.0.0.1:5021/_sandbox/calls; wait_for 10 curl -s http://127.0.0.1:5110/v2/
trust() { mkdir -p "/etc/docker/certs.d/$ecr" "/etc/docker/certs.d/$strict"; cp "$p/ca.pem" "/etc/docker/certs.d/$ecr/ca.crt"; cp "$p/strict.pem" "/etc/docker/certs.d/$strict/ca.crt"; }
trust

for name in main strict; do
  [ $name = main ] && port=5020 of=$ecr ca=$p/ca.pem || port=5021 of=$strict ca=$p/strict.pem
  cat >"$p/$name.toml" <<TOML
[daemon]
state_directory = "$p/$name"
runtime_directory = "$p/run"
[identity.default]
endpoint_url = "http://127.0.0.1:$port"
ca_file = "$ca"
[[registry]]
name = "primary"
hosts = ["$of"]
[[output]]
kind = "docker-config"
path = "$p/docker/config.json"
[[output]]
kind = "containers-auth"
path = "$p/auth.json"
TOML
done
refresh() { rm -rf "${p:?}/$1"; "$ECR_WARDEN_BIN" refresh --config "$p/$1.toml"; }
refuse() { curl -s -d "$1" http://127.0.0.1:5021/_sandbox/refusals >/dev/null; }

image=$ecr/app/canary:1
mkdir -p "$p/one" "$p/two"; head -c 3000000 /dev/urandom >"$p/one/random"; echo two >"$p/two/file"
tar -C "$p/one" -c . | docker import - layers:one >/dev/null
check "probe: refresh publishes for docker" refresh main
docker build -q -t "$image" - >/dev/null 2>"$p/said" <<<$'FROM layers:one\nCMD ["/x"]' || docker tag layers:one "$image"
check "probe: a canary image is pushed" docker push -q "$image"
docker rmi "$image" layers:one >/dev/null 2>&1
# What the parts before this one left.
mapfile -t earlier < <(docker image ls -q | sort -u); [ ${#earlier[@]} = 0 ] || docker rmi -f "${earlier[@]}" >/dev/null 2>&1
digest=$(docker image ls --digests -q 2>/dev/null | head -n 1)
[ -z "$digest" ] || not_ok "probe: the engine is empty before" "$(docker image ls)"

# --- what is asked of an engine, and what is left of it
state() { # everything that docker has: images with every name, containers
  docker image ls -a --no-trunc --digests --format '{{.ID}} {{.Repository}} {{.Tag}} {{.Digest}}' | sort; docker ps -a -q --no-trunc; }
by() { # CONFIG IMAGE ARGS...: asks, and keeps the answer as JSON and its exit code
  local config=$1 image=$2; shift 2
  "$ECR_WARDEN_BIN" probe "$image" --json --config "$p/$config.toml" "$@" >"$p/told" 2>"$p/err"; echo $? >"$p/code"; cat "$p/told" "$p/err"
}
docker_by() { by "$1" "$2" --engine docker --socket "$work/docker.sock" "${@:3}"; }
short() { jq -c '{reason, located, own: .views.own.reason, actions: [.actions[]?.state], engine: .trial.engine}' "$p/told"; cat "$p/err"; }
told() { # JQ VALUE
  local found; found=$(jq -r "$1" "$p/told"); [ "$found" = "$2" ] || { echo "$1 is $found instead of $2"; short; return 1; }; }
verdict() { [ "$(cat "$p/code")" = "$1" ] || { echo "exit code $(cat "$p/code")"; short; return 1; }; }
same() { diff <(state) "$p/before"; }

looked() { docker_by main "$image" && verdict 0 && told .verdict ok && told .reached manifest && told .views.manifest.verdict ok && told .views.pull.verdict not_asked; }
pulled() { docker_by main "$image" --depth full && verdict 0 && told .reached full && told .trial.engine.pull.done.fetched 1 && told .trial.engine.cleaned removed; }
state >"$p/before"
check "probe: docker is asked for the manifest" looked
check "probe: and has nothing of it afterwards" same
check "probe: docker pulls by digest, what came is compared, and removed" pulled
check "probe: and has nothing of it afterwards" same
twice() { pulled && pulled; }
check "probe: again and again" twice
check "probe: and has nothing of it afterwards" same

mine() { docker pull -q "$image"; }
check "probe: a user pulls the same image by its tag" mine
state >"$p/before"
there() { docker_by main "$image" --depth full && verdict 0 && told .reached manifest && told .trial.engine.pull was_there; }
check "probe: an image that was there before proves no more than its manifest" there
check "probe: and is left alone" same
docker create --name holder "$image" >/dev/null 2>&1; docker rmi -f "$image" >/dev/null 2>&1; state >"$p/before"
check "probe: one that only a container holds is as well" there
check "probe: and is left alone" same
docker rm holder >/dev/null; docker image prune -af >/dev/null 2>&1

# --- what runs here, by digest: would it start again?
mkdir -p "$p/live"; cp "$top/target/static/x86_64-unknown-linux-gnu/debug/ecr-warden" "$p/live/"
tar -C "$p/live" -c . | docker import -c 'ENTRYPOINT ["/ecr-warden", "sandbox", "--ca-file", "/ca.pem"]' - "$ecr/app/live:1" >/dev/null
docker push -q "$ecr/app/live:1" >/dev/null; docker tag "$ecr/app/live:1" built-here:1
running() { # CODE: what probe --running says of docker
  "$ECR_WARDEN_BIN" probe --running --engine docker --socket "$work/docker.sock" --json --config "$p/main.toml" >"$p/told" 2>"$p/err"; echo $? >"$p/code"; verdict "$1"; }
idle() { running 0 && told '.images | length' 0 && told .engines.docker.verdict ok; }
check "probe: where nothing runs there is nothing to fail" idle
for name in one two; do docker run -d --name $name --network none "$ecr/app/live:1" >"$p/said" 2>&1 || cat "$p/said"; done
live() { running 0 && told '.images | length' 1 && told '.images[0].containers' 2 && told '.images[0].image | test("app/live@sha256:")' true && told '.images[0].reached' first-byte; }
check "probe: what runs would start again, asked by its digest" live
tar -C "$p/two" -c . | docker import - "$ecr/app/live:1" >/dev/null
check "probe: also when its tag has moved on since" live
lost=$(jq -r '.images[0].image | split("@")[1]' "$p/told")
curl -s -X DELETE "http://127.0.0.1:5110/v2/app/live/manifests/$lost"
dead_end() { running 1 && told '.images[0].reason.code' image_missing; }
check "probe: what runs and is gone from the registry would not start again, and is named" dead_end
docker rm -f one two >/dev/null; docker image prune -af >/dev/null 2>&1

# --- what goes wrong with docker alone is found to be docker's
state >"$p/before"
rm "/etc/docker/certs.d/$ecr/ca.crt"
untrusted() { docker_by main "$image" --depth full && verdict 1 && told .reason.code tls_untrusted && told .views.own.verdict ok && told '.located | test("certs.d/'"$ecr"'")' true; }
check "probe: an authority that docker lacks is found to be docker's" untrusted
trust
mv "$DOCKER_CONFIG/config.json" "$p/aside"
nobody() { docker_by main "$image" && verdict 1 && told .reason.code credential_absent && told '.located | test("credential")' true; }
check "probe: no credential where docker's client looks is found to be its" nobody
printf '{"credHelpers":{"%s":"none-such"}}' "$ecr" >"$DOCKER_CONFIG/config.json"
helpless() { docker_by main "$image" && verdict 1 && told .reason.code helper_missing; }
check "probe: a helper that is not there is named, as docker's client would stop at it" helpless
mv "$p/aside" "$DOCKER_CONFIG/config.json"
curl -s -d '' http://127.0.0.1:5020/_sandbox/expire >/dev/null
dead() { docker_by main "$image" && verdict 1 && told .reason.code token_expired; }
check "probe: a token that died in docker's file is named, in ECR's words through docker's" dead
check "probe: refresh publishes for docker" refresh main
check "probe: docker is asked for the manifest again" looked
gone() { docker_by main "$ecr/app/canary:none" && verdict 1 && told .reason.code image_missing && told '.located | test("outside")' true; }
check "probe: a tag that is not there is nobody's fault" gone
small() { mount -o remount,size=1G "$work/docker-root"; docker_by main "$image" --depth full; mount -o remount,size=50% "$work/docker-root"; verdict 3 && told .reason.code engine_no_space; }
check "probe: with little space nothing is pulled, and nothing is claimed" small
check "probe: and docker is as it was" same
silent() { by main "$image" --engine docker --socket "$p/none.sock" && verdict 3 && told .reason.code engine_unreachable; }
check "probe: an engine that does not answer is not called broken" silent

# --- a docker with a proxy of its own, which is its unit's business and not the shell's
mkdir -p "$p/proxied"; mount -t tmpfs tmpfs "$p/proxied"
HTTPS_PROXY=http://user:secret@127.0.0.1:9 dockerd --iptables=false --ip6tables=false --bridge=none --data-root "$p/proxied" --exec-root "$p/exec" \
  --pidfile "$p/docker.pid" -H "unix://$p/docker.sock" >"$p/dockerd.log" 2>&1 & proxied=$!
wait_for 40 docker -H "unix://$p/docker.sock" info
behind() { by main "$image" --engine docker --socket "$p/docker.sock" && verdict 1 && told .reason.code proxy_refused && told .views.own.verdict ok \
  && told '.located | test("127.0.0.1:9")' true && ! grep -q secret "$p/told"; }
check "probe: a proxy that docker alone goes through is found, and its password not told" behind
kill $proxied; wait $proxied 2>/dev/null; umount "$p/proxied"

# --- ECR's refusals, through docker
check "probe: refresh publishes for the strict registry" refresh strict
refused() { # REFUSAL DEPTH CODE
  refuse "[\"$1\"]"; docker_by strict "$strict/app/web:1" --depth "$2"; refuse '[]'; verdict 1 && told .reason.code "$3"; }
check "probe: a denial by the repository's policy keeps its words through docker" refused BatchGetImage/resource manifest resource_policy_or_repository
check "probe: a denial of layers alone is told from one of manifests" refused GetDownloadUrlForLayer/identity full partial_grant
check "probe: a throttle is told from a denial" refused throttled manifest throttled
check "probe: storage that denies is no denial of the registry's" refused s3-denied full storage_denied
check "probe: and docker is as it was" same

# --- containerd, in a namespace of the probe's own
mount -t tmpfs tmpfs /etc/containerd; mkdir -p /etc/containerd "$p/containerd"; mount -t tmpfs tmpfs "$p/containerd"
cat >/etc/containerd/config.toml <<TOML
version = 2
root = "$p/containerd/root"
state = "$p/containerd/state"
[grpc]
address = "$p/containerd.sock"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "/etc/containerd/certs.d"
TOML
containerd() { env -u SSL_CERT_FILE "$@" containerd --config /etc/containerd/config.toml >"$p/containerd.log" 2>&1 & containerd=$!; wait_for 20 ctr -a "$p/containerd.sock" version; }
hosts=/etc/containerd/certs.d/$ecr; mkdir -p "$hosts"
cat "$work/trust.pem" "$p/ca.pem" >"$p/trust.pem"
cat >"$p/ctr.toml" <<TOML
[daemon]
state_directory = "$p/ctr"
runtime_directory = "$p/run"
[identity.default]
endpoint_url = "http://127.0.0.1:5020"
ca_file = "$p/ca.pem"
[[registry]]
name = "primary"
hosts = ["$ecr"]
[[output]]
kind = "containerd-hosts"
path = "/etc/containerd/certs.d"
TOML
containerd SSL_CERT_FILE="$p/trust.pem"
check "probe: refresh publishes for containerd" refresh ctr
ctr_by() { by ctr "$1" --engine containerd --socket "$p/containerd.sock" "${@:2}"; }
contents() { local space; for space in $(ctr -a "$p/containerd.sock" namespaces ls -q); do echo "$space"; for what in images content leases; do ctr -a "$p/containerd.sock" -n "$space" "$what" ls -q; done; ctr -a "$p/containerd.sock" -n "$space" snapshots ls | tail -n +2; done; }
contents >"$p/before"
ctr_looked() { ctr_by "$image" && verdict 0 && told .reached manifest && told .views.manifest.verdict ok && told .views.pull.verdict not_asked; }
ctr_pulled() { ctr_by "$image" --depth full && verdict 0 && told .reached full && told .trial.engine.cleaned removed; }
ctr_same() { diff <(contents) "$p/before"; }
check "probe: containerd is asked for the manifest by its own hosts.toml" ctr_looked
check "probe: and has nothing of it afterwards" ctr_same
check "probe: containerd pulls in a namespace of the probe's own" ctr_pulled
check "probe: and the namespace is gone with all that was in it" ctr_same
no_leak() { ! grep -rq "$(sed -n 's/.*Basic \([^"]*\)".*/\1/p' "$hosts/hosts.toml")" "$p/told" "$p/err"; }
check "probe: and the credential is told nowhere" no_leak
SSL_CERT_FILE=$p/trust.pem ctr -a "$p/containerd.sock" -n ecr-warden-probe content fetch --hosts-dir /etc/containerd/certs.d "$image" >/dev/null 2>&1
check "probe: what a probe left that was killed is cleaned up by the next" ctr_pulled
check "probe: and has nothing of it afterwards" ctr_same
SSL_CERT_FILE=$p/trust.pem ctr -a "$p/containerd.sock" -n workload images pull --hosts-dir /etc/containerd/certs.d "$image" >/dev/null 2>&1; contents >"$p/before"
shared() { ctr_by "$image" --depth full && verdict 0 && told .reached manifest && told .trial.engine.pull.done.fetched 0; }
tar -C "$p/live" -c . | docker import -c 'ENTRYPOINT ["/ecr-warden", "sandbox", "--ca-file", "/ca.pem"]' - "$ecr/app/live:2" >/dev/null
DOCKER_CONFIG=$p/pusher; "$ECR_WARDEN_BIN" token "$ecr" --config "$p/ctr.toml" | docker login --username AWS --password-stdin "$ecr" >/dev/null 2>&1
docker push -q "$ecr/app/live:2" >/dev/null; docker rmi "$ecr/app/live:2" >/dev/null; DOCKER_CONFIG=$p/docker
SSL_CERT_FILE=$p/trust.pem ctr -a "$p/containerd.sock" -n workload images pull --hosts-dir /etc/containerd/certs.d "$ecr/app/live:2" >/dev/null 2>&1
ctr -a "$p/containerd.sock" -n workload run -d --null-io "$ecr/app/live:2" idle >"$p/said" 2>&1 || cat "$p/said"
ctr_running() {
  "$ECR_WARDEN_BIN" probe --running --engine containerd --socket "$p/containerd.sock" --json --config "$p/ctr.toml" >"$p/told" 2>"$p/err"; echo $? >"$p/code"
  verdict 0 && told '.images | length' 1 && told '.images[0].image | test("app/live@sha256:")' true && told '.images[0].containers' 1; }
check "probe: what runs on containerd would start again" ctr_running
ctr -a "$p/containerd.sock" -n workload tasks kill -s KILL idle >/dev/null 2>&1; sleep 0.5; ctr -a "$p/containerd.sock" -n workload containers rm idle >/dev/null 2>&1
contents >"$p/before"
check "probe: what another namespace has already proves no more than its manifest" shared
check "probe: and is left to it" ctr_same
mv "$hosts/hosts.toml" "$p/aside"
ctr_nobody() { ctr_by "$image" && verdict 1 && told .reason.code credential_absent; }
check "probe: no credential for containerd is named" ctr_nobody
mv "$p/aside" "$hosts/hosts.toml"
ctr_gone() { ctr_by "$ecr/app/canary:none" && verdict 1 && told .reason.code image_missing && told '.located | test("outside")' true; }
check "probe: a tag that is not there is nobody's fault (containerd)" ctr_gone
curl -s -d '' http://127.0.0.1:5020/_sandbox/expire >/dev/null
ctr_dead() { ctr_by "$image" && verdict 1 && told .views.own.verdict ok && told '.located | test("credential")' true; }
check "probe: a token that died in hosts.toml is found to be the credential's fault" ctr_dead
kill $containerd; wait $containerd 2>/dev/null
containerd
ctr_untrusted() { ctr_by "$image" && verdict 1 && told .reason.code tls_untrusted && told .views.own.verdict ok && told '.located | test("containerd trusts")' true; }
check "probe: an authority that containerd's unit lacks is found to be containerd's" ctr_untrusted
kill $containerd; wait $containerd 2>/dev/null
containerd SSL_CERT_FILE="$p/trust.pem" HTTPS_PROXY=http://user:secret@127.0.0.1:9
ctr_behind() { ctr_by "$image" && verdict 1 && told .reason.code proxy_refused && told .trial.engine.proxy 127.0.0.1:9 && ! grep -q secret "$p/told"; }
check "probe: the proxy of containerd's unit is found, and its password not told" ctr_behind
check "probe: and has nothing of it afterwards" ctr_same
kill $containerd; wait $containerd 2>/dev/null; umount "$p/containerd" /etc/containerd
check "probe: refresh publishes for docker" refresh main

# --- podman, by its service
mkdir -p "$p/podman" "$p/xdg/containers" /etc/containers; cp "$p/auth.json" "$p/xdg/containers/auth.json"
[ -e /etc/containers/policy.json ] || { mount -t tmpfs tmpfs /etc/containers; echo '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json; }
podman() { env -u SSL_CERT_FILE XDG_RUNTIME_DIR="$p/xdg" podman --root "$p/podman/root" --runroot "$p/podman/run" --storage-driver vfs "$@"; }
serve() { env -u SSL_CERT_FILE "$@" podman --root "$p/podman/root" --runroot "$p/podman/run" --storage-driver vfs system service --time 0 "unix://$p/podman.sock" >"$p/podman.log" 2>&1 & service=$!; wait_for 20 curl -s --unix-socket "$p/podman.sock" http://podman/_ping; }
serve SSL_CERT_FILE="$p/trust.pem"
pod_by() { XDG_RUNTIME_DIR=$p/xdg by main "$1" --engine podman --socket "$p/podman.sock" "${@:2}"; }
pod_state() { podman images -a --no-trunc --digests --format '{{.ID}} {{.Repository}} {{.Tag}} {{.Digest}}' | sort; podman ps -aq --no-trunc; }
pod_same() { diff <(pod_state) "$p/before"; }
pod_state >"$p/before"
pod_pulled() { pod_by "$image" --depth full && verdict 0 && told .reached full && told .trial.engine.pull.done.fetched 1 && told .trial.engine.cleaned removed; }
check "probe: podman pulls by digest, what came is compared, and removed" pod_pulled
check "probe: and has nothing of it afterwards" pod_same
pod_looked() { pod_by "$image" && verdict 3 && told .reason.code engine_not_asked; }
check "probe: podman can't be asked for a manifest alone, and nothing is claimed" pod_looked
SSL_CERT_FILE=$p/trust.pem command podman --root "$p/podman/root" --runroot "$p/podman/run" --storage-driver vfs pull -q --authfile "$p/auth.json" "$image" >/dev/null 2>"$p/said"; pod_state >"$p/before"
pod_there() { pod_by "$image" --depth full && verdict 3 && told .trial.engine.pull was_there; }
check "probe: an image that was there before proves nothing of podman" pod_there
check "probe: and is left alone" pod_same
podman rmi -af >/dev/null 2>&1; pod_state >"$p/before"
pod_gone() { pod_by "$ecr/app/canary@sha256:$(printf '0%.0s' {1..64})" --depth full && verdict 1 && told .reason.code image_missing; }
check "probe: a digest that is not there is named (podman)" pod_gone
mv "$p/xdg/containers/auth.json" "$p/aside"; mv "$DOCKER_CONFIG/config.json" "$p/aside2"
pod_nobody() { pod_by "$image" --depth full && verdict 1 && told .reason.code credential_absent; }
check "probe: no credential where podman's client looks is named" pod_nobody
mv "$p/aside" "$p/xdg/containers/auth.json"; mv "$p/aside2" "$DOCKER_CONFIG/config.json"
# podman looks into docker's folder, too.
kill $service; wait $service 2>/dev/null; rm "/etc/docker/certs.d/$ecr/ca.crt"; serve
pod_untrusted() { pod_by "$image" --depth full && verdict 1 && told .reason.code tls_untrusted && told .views.own.verdict ok; }
check "probe: an authority that podman's service lacks is found to be its" pod_untrusted
check "probe: and has nothing of it afterwards" pod_same
kill $service; wait $service 2>/dev/null; trust

# --- pushes
push() { by main "$image" --push="$1" && verdict "$2" && [ "$(jq -r '[.actions[].state] | map(.[0:1]) | join("")' "$p/told")" = "$3" ]; }
stored() { find "$p/images" -type f ! -path '*/hashstates/*' | sort; }
stored >"$p/stored"
check "probe: a push is rehearsed up to completing bytes that are there" push complete 0 aaaaaan
check "probe: a manifest that must fail proves no permission" push manifest 3 aaaaaau
untouched() { diff <(stored) "$p/stored"; }
check "probe: and the registry has no byte more" untouched
check "probe: an image of our own is pushed, pulled and deleted" push image 0 aaaaaaa

# --- on a schedule, by the daemon
refresh main >/dev/null 2>&1
cat "$p/main.toml" - >"$p/daemon.toml" <<TOML
[metrics]
listen = "127.0.0.1:9876"
[[probe]]
name = "by-docker"
image = "$image"
engine = "docker"
socket = "$work/docker.sock"
depth = "full"
schedule = "10s"
[[probe]]
name = "push"
image = "$image"
push = "complete"
schedule = "10s"
TOML
state >"$p/before"
"$ECR_WARDEN_BIN" run --config "$p/daemon.toml" 2>>"$work/daemon.log" & daemon=$!
probe_of() { # PROBE JQ VALUE
  "$ECR_WARDEN_BIN" status --json --config "$p/daemon.toml" >"$p/told"; [ "$(jq -r ".probes[] | select(.name == \"$1\") | $2" "$p/told")" = "$3" ]; }
check "probe: the daemon has docker pull on a schedule" wait_for 30 probe_of by-docker .verdict ok
check "probe: and says how deep it came" probe_of by-docker .reached full
check "probe: the daemon rehearses a push on a schedule" wait_for 30 probe_of push .verdict ok
wait_for 20 same
check "probe: and docker is as it was" same
kill "$daemon"; wait "$daemon" 2>/dev/null

kill $images $sandbox $refuser 2>/dev/null; wait $images $sandbox $refuser 2>/dev/null
