# The credential helper: while the daemon runs, while it does not, and who may ask. And the repair
# of a file that somebody changed. Sourced by consumers.sh.
# shellcheck disable=SC2154
helper=$c/bin/docker-credential-ecr-warden
says_back() { # EXIT_CODE TEXT COMMAND...: the helper's answer to the host on its standard input
  local code=$1 text=$2; shift 2
  printf '%s' "$ecr" | "$@" >"$work/said" 2>&1; local got=$?
  sed 's/"Secret":"[^"]*"/"Secret":"..."/' "$work/said"
  [ $got = "$code" ] && grep -q -- "$text" "$work/said"
}
gives='"Username":"AWS","Secret":"ey'

rm -rf "$c/state"
warden_configure 5010 "$socket_output"; warden_start
ready() { printf '%s' "$ecr" | "$helper" get | grep -q "$gives"; }
check "helper: it answers from the socket" wait_for 20 ready
check "helper: it works with an environment that holds nothing but the socket's place (no HOME)" says_back 0 "$gives" env -i ECR_WARDEN_SOCKET="$sock" "$helper" get
foreign() { printf 'another.example' | "$helper" get >"$work/said"; [ $? = 1 ] && [ "$(cat "$work/said")" = "credentials not found in native keychain" ]; }
check "helper: of another's registry it says the one text that docker goes on after" foreign
listed() { [ "$(printf unused | "$helper" list)" = "{\"$ecr\":\"AWS\"}" ]; }
check "helper: list names the registry and the user" listed

# --- who may ask is what the kernel says of the peer
check "helper: another user is refused" says_back 1 'helper_not_allowed\|Permission denied' as nobody nogroup "$helper" get
admit() { # KEY NAME: a configured user or group
  warden_configure 5010 "$socket_output"$'\n'"$1 = [\"$2\"]"; kill -HUP "$daemon"; }
admit users nobody
check "helper: a configured user is admitted after a reload" wait_for 10 says_back 0 "$gives" as nobody nogroup "$helper" get
check "helper: a user who is not configured is told why, and what to do" says_back 1 'user id .* is not one of output helper.s \[helper_not_allowed\]; add the user' as games games "$helper" get
admit groups games
check "helper: a configured group is admitted" wait_for 10 says_back 0 "$gives" as man games "$helper" get
check "helper: the user who is no longer configured is refused again" wait_for 10 says_back 1 'helper_not_allowed' as nobody nogroup "$helper" get

# --- the daemon is down
kept_for() { [ "$(stat -c %G:%a "$c/state/helper.json")" = "$1" ]; }
check "helper: what is kept is readable for the configured group alone" wait_for 10 kept_for games:640
check "helper: setup docker once more, after withdraw --all took it out" set_up
kill "$daemon"; wait "$daemon" 2>/dev/null
check "helper: without the daemon it answers from what was kept" says_back 0 "$gives" "$helper" get
check "helper: for a member of the group too" says_back 0 "$gives" as man games "$helper" get
check "helper: whoever may not read it is told in one line what to do" says_back 1 'does not answer at .*; start it' as nobody nogroup "$helper" get
one_line() { [ "$(wc -l <"$work/said")" = 1 ]; }
check "helper: and it is one line" one_line
check "helper: docker pulls while the daemon is down" pulls by_docker "$c/helper-only"

# --- two hundred at once while tokens live four seconds
"$ECR_WARDEN_BIN" sandbox --aws 127.0.0.1:5011 --registry 127.0.0.1:5461 --host "$ecr" --token-life 4s --ca-file "$c/short-ca.pem" >/dev/null & short=$!
rm -rf "$c/state"
warden_configure 5011 "$socket_output"$'\n[refresh]\nverify = false'; warden_start
wait_for 20 ready
check "helper: 200 at once while tokens rotate: no error, no torn answer" python3 "$here/helpers_at_once.py" "$helper" "$ecr" 4
sed 's/^/#   /' "$work/last"
kill "$daemon"; wait "$daemon" 2>/dev/null; sleep 4.5
check "helper: what was kept is not given out once it has expired" says_back 1 'expired at .*; start it: systemctl start ecr-warden' "$helper" get

# --- a daemon that was killed: the timer's `withdraw --expired` takes out what nobody can renew
rm -rf "$c/state" "$c/dead"
warden_configure 5011 "[refresh]
verify = false
[[output]]
name = \"docker\"
kind = \"docker-config\"
path = \"$c/dead/config.json\"
[[output]]
name = \"containerd\"
kind = \"containerd-hosts\"
path = \"/etc/containerd/certs.d\""
warden_start
both() { grep -q "$ecr" "$c/dead/config.json" && grep -q 'Authorization = "Basic ' "$hosts_toml"; }
check "withdraw: docker and containerd have the credential" wait_for 20 both
kill -KILL "$daemon"; wait "$daemon" 2>/dev/null
check "withdraw: a killed daemon's credentials are still there" both
check "withdraw: withdraw --expired" warden withdraw --expired
neither() { ! grep -q "$ecr" "$c/dead/config.json" 2>/dev/null && diff "$hosts_toml" /etc/containerd/hosts.before; }
check "withdraw: an expired header and entry are out, the administrator's lines stay" neither
kill $short; wait $short 2>/dev/null

# --- docker logout is repaired; a fight is named
rm -rf "$c/state" "$c/logout"
warden_configure 5010 "[[output]]
name = \"docker\"
kind = \"docker-config\"
path = \"$c/logout/config.json\""
warden_start
there() { grep -q "$ecr" "$c/logout/config.json"; }
wait_for 20 there; sleep 1
check "repair: what docker logout takes out is put back" python3 "$here/repair.py" "$c/logout/config.json" "$ecr" 4 0.5 docker --config "$c/logout" logout "$ecr"
echo "#   put back after $(cat "$work/last") ms (aim: 100 ms)"
repairs() { [ "$(curl -s http://127.0.0.1:9876/metrics | sed -n 's/^ecr_warden_output_repairs_total{output="docker"} //p')" = "$1" ]; }
check "repair: each is counted" repairs 4
fight() { docker --config "$c/logout" logout "$ecr" >/dev/null 2>&1; warden_says output_fight; }
check "repair: whoever goes on is named as a fight" wait_for 20 fight
ceasefire() { docker --config "$c/logout" logout "$ecr" >/dev/null 2>&1; sleep 3; ! there; }
check "repair: and is backed off from" ceasefire
kill "$daemon"; wait "$daemon" 2>/dev/null
