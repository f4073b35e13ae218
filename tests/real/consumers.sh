# Every consumer with its output: a real registry's images behind the sandbox's ECR, which expires
# tokens as ECR does (403, no challenge). Sourced by run.
# shellcheck disable=SC2154
ecr=210987654321.dkr.ecr.eu-west-1.amazonaws.com
bucket=prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com
echo "127.0.0.2 $ecr $bucket" >>/etc/hosts
c=$work/consumers; mkdir -p "$c/bin" "$c/home" "$c/outputs"
chmod 0711 "$work" "$c" "$c/bin" "$c/outputs"
image=$ecr/app/real:1
sock=$c/credentials.sock
cp "$(dirname "$ECR_WARDEN_BIN")/docker-credential-ecr-warden" "$c/bin/"
stray_env=$(env | sed -n 's/^\(XDG_[A-Z_]*\|REGISTRY_AUTH_FILE\|DOCKER_AUTH_CONFIG\)=.*/\1/p'); [ -z "$stray_env" ] || unset $stray_env
unset DOCKER_CONFIG
own_path=$PATH; export PATH=$c/bin:$PATH HOME=$c/home
export XDG_RUNTIME_DIR=$c/xdg ECR_WARDEN_SOCKET=$sock ECR_WARDEN_STATE=$c/state

# --- the registries: docker-registry has the images, the sandbox in front has ECR's manners
cat >"$c/images.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $c/images}}
http: {addr: "127.0.0.1:5100", relativeurls: true}
YAML
docker-registry serve "$c/images.yml" >"$c/images.log" 2>&1 & images=$!
"$ECR_WARDEN_BIN" sandbox --aws 127.0.0.1:5010 --registry 127.0.0.2:443 --host "$ecr" --images 127.0.0.1:5100 --storage "$bucket" \
  --token-life 12h --ca-file "$c/ca.pem" >/dev/null & sandbox=$!
wait_for 10 curl -s http://127.0.0.1:5010/_sandbox/calls; wait_for 10 curl -s http://127.0.0.1:5100/v2/
cat "$work/trust.pem" "$c/ca.pem" >"$c/trust.pem"; export SSL_CERT_FILE=$c/trust.pem
mkdir -p "/etc/docker/certs.d/$ecr"; cp "$c/ca.pem" "/etc/docker/certs.d/$ecr/ca.crt"

# --- containerd, its files in this namespace's /etc/containerd
mkdir -p /etc/containerd; mount -t tmpfs tmpfs /etc/containerd; mkdir -p "/etc/containerd/certs.d/$ecr"
cat >/etc/containerd/config.toml <<TOML
version = 2
root = "$c/containerd/root"
state = "$c/containerd/state"
[grpc]
address = "$c/containerd.sock"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "/etc/containerd/certs.d"
TOML
mkdir -p "$c/containerd"; mount -t tmpfs tmpfs "$c/containerd"
containerd --config /etc/containerd/config.toml >"$c/containerd.log" 2>&1 & containerd=$!
ctr() { command ctr -a "$c/containerd.sock" "$@"; }
cri() { python3 "$here/cri.py" "$c/containerd.sock" "$@"; }
wait_for 20 cri version || not_ok "containerd's CRI answers" "$(tail -n 3 "$c/containerd.log")" "$(cri version 2>&1 | tail -n 1)"

# --- what an administrator has in these files
hosts_toml=/etc/containerd/certs.d/$ecr/hosts.toml
mkdir -p "$c/docker" "$c/xdg/containers" "$c/ecs" "$c/k8s" "$c/rootless/.config/containers"; chown -R nobody "$c/rootless"
printf '{\n\t"auths": {\n\t\t"kept.example": {\n\t\t\t"auth": "eDp5"\n\t\t}\n\t},\n\t"psFormat": "table"\n}\n' >"$c/docker/config.json"
printf '# the platform team'"'"'s\n[host."https://mirror.example"]\n  capabilities = ["pull"]\n' >/etc/containerd/hosts.before
cp /etc/containerd/hosts.before "$hosts_toml"
printf 'ECS_CLUSTER=blue\n# ours\nECS_ENGINE_AUTH_TYPE=docker\n' >"$c/ecs/ecs.config"
printf '{"auths":{"kept.example":{"auth":"eDp5"}}}\n' >"$c/xdg/containers/auth.json"
for file in docker/config.json ecs/ecs.config xdg/containers/auth.json; do mkdir -p "$c/before/$(dirname $file)"; cp "$c/$file" "$c/before/$file"; done
{ echo '{%- for one in registries %}'; echo 'user = "{{ one.username }}:{{ one.password }}"'; echo '{%- endfor %}'; } >"$c/curlrc.template"
cat >"$c/bin/log-in" <<'SH'
#!/bin/bash
# What a site might run after a change: a login for each registry, the password from standard input to standard input.
jq -r '.registries[] | "\(.host) \(.password)"' | while read -r host password; do
  printf '%s' "$password" | docker --config "$1" login --username AWS --password-stdin "$host" || exit 1
done
SH
chmod +x "$c/bin/log-in"

warden_configure() { # AWS_PORT MORE: the daemon's configuration
  cat >"$c/config.toml" <<TOML
[daemon]
state_directory = "$c/state"
runtime_directory = "$c/run"
log_format = "human"
[metrics]
listen = "127.0.0.1:9876"
[identity.default]
endpoint_url = "http://127.0.0.1:$1"
ca_file = "$c/ca.pem"
[[registry]]
name = "primary"
hosts = ["$ecr"]
$2
TOML
}
every_output=$(cat <<TOML
[[output]]
name = "docker"
kind = "docker-config"
path = "$c/docker/config.json"
[[output]]
name = "containerd"
kind = "containerd-hosts"
path = "/etc/containerd/certs.d"
[[output]]
name = "podman"
kind = "containers-auth"
path = "$c/xdg/containers/auth.json"
[[output]]
name = "rootless"
kind = "containers-auth"
path = "~/.config/containers/auth.json"
owner = "nobody"
[[output]]
name = "secret"
kind = "dockerconfigjson"
path = "$c/k8s/config.json"
[[output]]
name = "curl"
kind = "template"
path = "$c/outputs/curlrc"
template = "$c/curlrc.template"
[[output]]
name = "login"
kind = "command"
command = ["$c/bin/log-in", "$c/logged-in"]
timeout = "20s"
[[output]]
name = "ecs"
kind = "ecs-config"
path = "$c/ecs/ecs.config"
TOML
)
socket_output=$'\n[[output]]\nname = "helper"\nkind = "socket"\npath = "'$sock'"'
warden() { "$ECR_WARDEN_BIN" "$@" --config "$c/config.toml"; }
warden_start() { "$ECR_WARDEN_BIN" run --config "$c/config.toml" 2>>"$work/daemon.log" & daemon=$!; }
warden_says() { warden status --json >"$work/says" || true; grep -q "\"$1\"" "$work/says"; }
basic() { jq -r --arg host "$ecr" '.auths[$host].auth // empty' "$c/docker/config.json"; }
# nobody's home is /nonexistent on Debian: another one for this namespace.
sed "s|^\(nobody:.*\):[^:]*:\([^:]*\)$|\1:$c/rootless:\2|" /etc/passwd >"$c/passwd"; mount --bind "$c/passwd" /etc/passwd
as() { # USER GROUP COMMAND...: as another user, of that primary group alone
  setpriv --reuid="$1" --regid="$2" --clear-groups "${@:3}"
}

# --- one real image, pushed with a password that `token` minted without any daemon
warden_configure 5010 "$every_output$socket_output"
mkdir -p "$c/files/bin"; cp /bin/true "$c/files/bin/true"; head -c 300000 /dev/urandom >"$c/files/random"
tar -C "$c/files" -c . | docker import - "$image" >/dev/null
log_in() { warden token "$ecr" | docker --config "$c/pusher" login --username AWS --password-stdin "$ecr"; }
check "consumers: ecr-warden token HOST | docker login --username AWS --password-stdin HOST, no daemon needed" log_in
check "consumers: docker pushes a real image with that login" docker --config "$c/pusher" push -q "$image"
image_id=$(docker image inspect -f '{{.Id}}' "$image"); docker rmi "$image" >/dev/null 2>&1
wrong_login() { warden token no-such-registry >"$work/said" 2>&1; [ $? = 2 ] && grep -q no-such-registry "$work/said"; }
check "consumers: token names a registry that it does not know, and prints nothing else" wrong_login

# --- how each consumer pulls. A pull counts if the registry was asked with a credential for it.
asked() { curl -s http://127.0.0.1:5010/_sandbox/calls | jq '."registry:pull" // 0'; }
pulls() { # COMMAND...: it succeeds, and not out of something kept
  local before; before=$(asked)
  "$@" || return 1
  [ "$(asked)" -gt "$before" ] || { echo "nothing was asked of the registry"; return 1; }
}
fresh_docker() { docker rmi -f "$image" >/dev/null 2>&1; true; }
by_docker() { # CONFIG_FOLDER
  fresh_docker; docker --config "$1" pull -q "$image" && [ "$(docker image inspect -f '{{.Id}}' "$image")" = "$image_id" ]; }
by_ecs_agent() { # as the agent does: the file's data in X-Registry-Auth of Docker's API
  fresh_docker
  local header; header=$(sed -n 's/^ECS_ENGINE_AUTH_DATA=//p' "$c/ecs/ecs.config" \
    | jq -c --arg host "$ecr" '.[$host] // .["https://" + $host] | {username, password, serveraddress: $host}' | base64 -w0 | tr '+/' '-_')
  printf 'header = "X-Registry-Auth: %s"\n' "$header" >"$c/header"
  curl -s --unix-socket "$work/docker.sock" -K "$c/header" -X POST "http://docker/images/create?fromImage=$ecr/app/real&tag=1" >"$c/created"
  docker image inspect "$image" >/dev/null || { tail -n 1 "$c/created"; return 1; }
}
fresh_ctr() { ctr -n t images rm --sync "$image" >/dev/null 2>&1; true; }
by_ctr() { fresh_ctr; ctr -n t images pull --hosts-dir "${hosts_dir:-/etc/containerd/certs.d}" "$@" "$image" && ctr -n t images ls -q | grep -qx "$image"; }
by_cri() { cri remove "$image" 2>/dev/null; cri pull "$image" && cri status "$image"; }
by_cri_with() { # the credential on standard input, as a kubelet passes on what its provider said
  cri remove "$image" 2>/dev/null; CRI_AUTH=1 cri pull "$image" && cri status "$image"; }
podman() { command podman --root "$c/podman" --runroot "$c/podman-run" --storage-driver vfs "$@"; }
buildah() { command buildah --root "$c/buildah" --runroot "$c/buildah-run" --storage-driver vfs "$@"; }
by_podman() { podman rmi -f "$image" >/dev/null 2>&1; podman pull -q "$@" "$image"; }
by_buildah() { buildah rmi -f "$image" >/dev/null 2>&1; buildah pull -q "$image"; }
by_skopeo() { rm -rf "$c/copied"; skopeo copy -q "$@" "docker://$image" "dir:$c/copied" && [ -s "$c/copied/manifest.json" ]; }
by_rootless_skopeo() {
  rm -rf "$c/rootless/copied"
  as nobody nogroup env -u XDG_RUNTIME_DIR HOME="$c/rootless" skopeo copy -q "docker://$image" "dir:$c/rootless/copied"; }
by_podman_helper() { # no auth.json at all: the helper by registries.conf
  printf 'credential-helpers = ["ecr-warden"]\n' >"$c/registries.conf"
  podman rmi -f "$image" >/dev/null 2>&1
  env XDG_RUNTIME_DIR="$c/empty" CONTAINERS_REGISTRIES_CONF="$c/registries.conf" podman --root "$c/podman" --runroot "$c/podman-run" --storage-driver vfs pull -q "$image"; }
by_curl() { curl -sSf --cacert "$c/ca.pem" -K "$c/outputs/curlrc" -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
  "https://$ecr/v2/app/real/manifests/1" | jq -e '.layers | length > 0'; }
by_kubelet() { # VERSION: provider, then CRI with its answer, where hosts.toml says nothing
  warden setup kubelet >"$c/provider.yaml" && python3 "$here/kubelet.py" "$c/provider.yaml" "$c/bin" "$image" "$1" >"$c/said" || return 1
  mv "$hosts_toml" "$hosts_toml.aside"; by_cri_with <"$c/said"; local code=$?; mv "$hosts_toml.aside" "$hosts_toml"; return $code
}
everybody() { # WHEN: each consumer with what its output published
  check "consumers: docker pulls by docker-config ($1)" pulls by_docker "$c/docker"
  check "consumers: docker pulls with only the helper ($1)" pulls by_docker "$c/helper-only"
  check "consumers: docker pulls by dockerconfigjson ($1)" pulls by_docker "$c/k8s"
  check "consumers: docker pulls by the login that the command made ($1)" pulls by_docker "$c/logged-in"
  check "consumers: docker pulls by ecs-config, as the ECS agent asks it to ($1)" pulls by_ecs_agent
  check "consumers: ctr --hosts-dir pulls by containerd-hosts ($1)" pulls by_ctr
  check "consumers: CRI pulls by containerd-hosts ($1)" pulls by_cri
  check "consumers: podman pulls by containers-auth ($1)" pulls by_podman
  check "consumers: podman pulls with only the helper ($1)" pulls by_podman_helper
  check "consumers: buildah pulls by containers-auth ($1)" pulls by_buildah
  check "consumers: skopeo copies by containers-auth ($1)" pulls by_skopeo
  check "consumers: skopeo of another user copies by that user's auth.json ($1)" pulls by_rootless_skopeo
  check "consumers: curl gets the manifest by a template ($1)" pulls by_curl
  check "consumers: CRI pulls with the kubelet provider's v1 answer ($1)" pulls by_kubelet v1
}
state_of_output() { curl -s http://127.0.0.1:9876/metrics | sed -n "s/^ecr_warden_output_in_sync{output=\"$1\".*} //p"; }
everywhere() { # every output holds the token of now, as it reads them back itself
  local name; for name in docker containerd podman rootless secret curl login ecs helper; do [ "$(state_of_output $name)" = 1 ] || { echo "$name: $(state_of_output $name)"; return 1; }; done; }
changed() { [ -n "$(basic)" ] && [ "$(basic)" != "$1" ] && everywhere; }
dead() { # BASIC: what ECR says to an expired token: 403, and no challenge
  curl -s -D "$c/headers" -o "$c/body" --cacert "$c/ca.pem" -H "@-" "https://$ecr/v2/app/real/manifests/1" <<<"Authorization: Basic $1"
  grep -q '^HTTP/1.1 403' "$c/headers" && ! grep -qi '^www-authenticate' "$c/headers" && grep -q 'has expired' "$c/body"; }

# --- before and after rotations
warden_configure 5010 "[refresh]
check = \"1s\"
$every_output$socket_output"
warden_start
check "consumers: an output of every kind is published and read back" wait_for 30 everywhere
mkdir -p "$c/helper-only"; printf '{"psFormat":"table"}' >"$c/helper-only/config.json"; cp "$c/helper-only/config.json" "$c/helper-only.before"
set_up() { DOCKER_CONFIG=$c/helper-only warden setup docker "$@" && jq -e --arg host "$ecr" '.credHelpers[$host] == "ecr-warden" and (has("auths") | not)' "$c/helper-only/config.json"; }
check "consumers: setup docker has docker ask the helper" set_up
everybody "the first token"
check "consumers: CRI pulls with the kubelet provider's v1beta1 answer" pulls by_kubelet v1beta1
sneak() { ! as nobody nogroup cat "$c/docker/config.json" "$hosts_toml" "$c/k8s/config.json" "$c/outputs/curlrc" "$c/ecs/ecs.config" 2>/dev/null | grep -q .; }
check "consumers: nobody else can read what was published" sneak

first=$(basic)
kill "$daemon"; wait "$daemon" 2>/dev/null; rm -rf "$c/state/tokens"; warden_start
check "consumers: a rotation reaches every output" wait_for 30 changed "$first"
everybody "rotated, the old one alive"

second=$(basic)
curl -s -d '' http://127.0.0.1:5010/_sandbox/expire >/dev/null
check "consumers: the registry answers an expired token as ECR does: 403, no challenge" dead "$second"
check "consumers: an expired token is noticed and replaced everywhere, nobody asking for it" wait_for 30 changed "$second"
everybody "rotated, the old one expired"

# --- containerd's two entries: an expired header falls through to the caller's credential
third=$(basic)
kill "$daemon"; wait "$daemon" 2>/dev/null
curl -s -d '' http://127.0.0.1:5010/_sandbox/expire >/dev/null
check "consumers: the header in hosts.toml has expired" dead "$third"
# Of another state directory: what is kept here is what has just died.
warden_configure 5010 ""; sed -i 's|/state"$|/caller"|' "$c/config.toml"; caller=AWS:$(warden token "$ecr")
shut_out() { ! "$@" >"$work/said" 2>&1 && cat "$work/said" && grep -q '403 Forbidden' "$work/said"; }
check "consumers: ctr falls through an expired header to its caller's credential" pulls by_ctr --user "$caller"
check "consumers: ctr has nothing to fall through to without one" shut_out by_ctr
from_kubelet() { printf '%s\n' "$caller" | by_cri_with; }
check "consumers: CRI falls through an expired header to the kubelet's credential" pulls from_kubelet
# The control: the same header at the server itself, where nothing comes after it.
mkdir -p "$c/one/$ecr"; { echo "server = \"https://$ecr\""; echo '[header]'; grep 'Authorization' "$hosts_toml"; echo '[host]'; } >"$c/one/$ecr/hosts.toml"
shut_in() { hosts_dir=$c/one shut_out by_ctr --user "$caller"; }
check "consumers: the same header at the server itself would shut the caller out" shut_in
rm -r "$c/one"

# --- nothing is left behind
warden_configure 5010 "$every_output$socket_output"
same_json() { [ "$(jq -S . "$1")" = "$(jq -S . "$2")" ]; }
warden_start; wait_for 30 everywhere
check "consumers: withdraw leaves everything to a daemon that runs" test "$(warden withdraw --all >/dev/null 2>&1; echo $?)" = 2
latest=$(basic)
kill "$daemon"; wait "$daemon" 2>/dev/null
check "consumers: withdraw --all" warden withdraw --all
left() { # the credential in any form, and every file as its owner had it
  local password found; password=$(printf '%s' "$latest" | base64 -d | cut -d: -f2-)
  [ ${#latest} -gt 100 ] || return 1
  found=$(grep -rlF -e "$latest" -e "$password" "$c" /etc/containerd --exclude-dir=containerd --exclude-dir=logged-in --exclude-dir=state 2>/dev/null | grep -v -e "$c/said" -e "$c/header")
  [ -z "$found" ] || { echo "left in: $found"; return 1; }
  same_json "$c/docker/config.json" "$c/before/docker/config.json" || { diff "$c/docker/config.json" "$c/before/docker/config.json"; return 1; }
  same_json "$c/xdg/containers/auth.json" "$c/before/xdg/containers/auth.json" || { cat "$c/xdg/containers/auth.json"; return 1; }
  same_json "$c/helper-only/config.json" "$c/helper-only.before" || { cat "$c/helper-only/config.json"; return 1; }
  diff "$c/ecs/ecs.config" "$c/before/ecs/ecs.config" && diff "$hosts_toml" /etc/containerd/hosts.before || return 1
  # A file that had nothing else is left as `docker logout` leaves it: whoever made it, it is not ours to delete.
  [ "$(jq -c . "$c/rootless/.config/containers/auth.json")" = '{"auths":{}}' ] || { cat "$c/rootless/.config/containers/auth.json"; return 1; }
  for found in k8s/config.json outputs/curlrc state/helper.json; do [ ! -e "$c/$found" ] || { echo "still there: $found"; return 1; }; done
}
check "consumers: withdraw --all leaves nothing of ours, and others' as they had it" left

. "$here/helper.sh"

kill $images $sandbox $containerd 2>/dev/null; wait $images $sandbox $containerd 2>/dev/null
umount "$c/containerd" /etc/containerd /etc/passwd 2>/dev/null
