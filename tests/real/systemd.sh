# The daemon under a booted systemd. Sourced by run.
rm -rf "$work/state" "$work/docker"
machine=$work/machine
mkdir -p "$machine" "$work/upper" "$work/ovl"
mount -t tmpfs tmpfs "$work/ovl"; mkdir -p "$work/ovl/upper" "$work/ovl/work"
mount -t overlay overlay -o "lowerdir=$REAL_TREE,upperdir=$work/ovl/upper,workdir=$work/ovl/work" "$machine"
install -D -m 0755 "$ECR_WARDEN_BIN" "$machine/usr/bin/ecr-warden"
install -D -m 0644 "$top/systemd/ecr-warden.service" "$machine/etc/systemd/system/ecr-warden.service"
install -D -m 0644 "$work/trust.pem" "$machine/etc/trust.pem"
cp "$work/hosts" "$machine/etc/hosts"
install -m 0644 "$top"/systemd/ecr-warden-withdraw.{service,timer} "$machine/etc/systemd/system/"
mkdir -p "$machine/etc/systemd/system/"ecr-warden-withdraw.{service,timer}.d
printf '[Timer]\nOnBootSec=\nOnUnitActiveSec=\nOnActiveSec=1s\nOnUnitActiveSec=3s\nAccuracySec=100ms\n' >"$machine/etc/systemd/system/ecr-warden-withdraw.timer.d/soon.conf"
mkdir -p "$machine/etc/ecr-warden/config.d" "$machine/etc/systemd/system/ecr-warden.service.d" "$machine/root/.docker" "$machine/etc/systemd/system/multi-user.target.wants"
ln -sf ../ecr-warden.service "$machine/etc/systemd/system/multi-user.target.wants/"
cat >"$machine/etc/ecr-warden/config.d/10-test.toml" <<TOML
[identity.default]
endpoint_url = "http://127.0.0.1:5000"
[[registry]]
account = "123456789012"
region = "eu-west-1"
[[output]]
name = "docker"
kind = "docker-config"
TOML
cat >"$machine/etc/systemd/system/ecr-warden.service.d/test.conf" <<UNIT
[Unit]
Wants=
After=
[Service]
Environment=AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b SSL_CERT_FILE=/etc/trust.pem
WatchdogSec=4
UNIT
chroot "$machine" /usr/bin/ecr-warden setup systemd >"$machine/etc/systemd/system/ecr-warden.service.d/50-outputs.conf"
cp "$machine/etc/systemd/system/ecr-warden"{,-withdraw}.service.d/50-outputs.conf
systemd-nspawn --quiet --register=no --keep-unit -b -D "$machine" --machine=warden </dev/null >"$work/nspawn.log" 2>&1 &
nspawn=$!
inside() { nsenter -t "$leader" -m -p -u -i -r -w -- "$@"; }
leader_of() { leader=$(pgrep -P $nspawn | head -n 1); [ -n "$leader" ]; }
wait_for 10 leader_of
unit() { inside systemctl show -P "$1" ecr-warden.service; }
active() { [ "$(unit ActiveState)" = active ]; }
check "under systemd it reaches READY" wait_for 60 active
check "systemctl status tells what it does" wait_for 10 bash -c "nsenter -t $leader -m -p -u -i -r -w -- systemctl show -P StatusText ecr-warden.service | grep -q 'token_expiry_implausible'"
check "root's docker configuration is there" grep -q "$host" "$machine/root/.docker/config.json"
before=$(unit MainPID)
check "systemctl reload ends" timeout 20 nsenter -t "$leader" -m -p -u -i -r -w -- systemctl reload ecr-warden.service
wait_for 5 active
[ "$(unit MainPID)" = "$before" ] && ok "a reload keeps the process" || not_ok "a reload changed the process"

# An output that the sandbox of the service forbids.
cat >"$machine/etc/ecr-warden/config.d/20-forbidden.toml" <<TOML
[[output]]
name = "forbidden"
kind = "docker-config"
path = "/srv/forbidden/config.json"
TOML
inside systemctl reload ecr-warden.service
forbidden() { inside ecr-warden status --json >"$work/last" || true; grep -q '"output_sandboxed"' "$work/last"; }
check "a path that the service may not write to is named as that" wait_for 20 forbidden
rm "$machine/etc/ecr-warden/config.d/20-forbidden.toml"; inside systemctl reload ecr-warden.service

began=$(date +%s%N); inside systemctl stop ecr-warden.service; took=$((($(date +%s%N) - began) / 1000000))
[ $took -lt 1000 ] && ok "it stops in under a second ($took ms)" || not_ok "stopping took $took ms"

# The daemon is down and its last token dies: the timer's visit takes out what nobody can renew.
"$ECR_WARDEN_BIN" sandbox --aws 127.0.0.1:5013 --registry 127.0.0.1:5463 --host "$host" --token-life 8s --ca-file "$work/timer-ca.pem" >/dev/null & short=$!
config=$machine/etc/ecr-warden/config.d/10-test.toml
sed -i 's/:5000/:5013/' "$config"; printf '[refresh]\nverify = false\n' >>"$config"
rm -rf "$machine/var/lib/ecr-warden/tokens"; of_moto=$(cat "$machine/root/.docker/config.json")
inside systemctl start ecr-warden.service
published_short() { grep -q "$host" "$machine/root/.docker/config.json" && [ "$(cat "$machine/root/.docker/config.json")" != "$of_moto" ]; }
check "withdraw: the service has published a token that lives eight seconds" wait_for 20 published_short
inside systemctl stop ecr-warden.service
check "withdraw: a stopped service leaves what still works" grep -q "$host" "$machine/root/.docker/config.json"
inside systemctl start ecr-warden-withdraw.timer
died() { ! grep -q "$host" "$machine/root/.docker/config.json"; }
check "withdraw: the timer takes it out once it has died" wait_for 20 died
visits() { inside systemctl show -P Result ecr-warden-withdraw.service | grep -qx success; }
check "withdraw: and its visits end well" visits
inside systemctl stop ecr-warden-withdraw.timer
sed -i 's/:5013/:5000/' "$config"; sed -i '/^\[refresh\]/,$d' "$config"; kill $short

# One loop is stuck while timers still run: the watchdog is not fed and systemd starts it again.
printf '[Service]\nEnvironment=ECR_WARDEN_FAULT=block-loop:withdraw\n' >"$machine/etc/systemd/system/ecr-warden.service.d/fault.conf"
inside systemctl daemon-reload; inside systemctl start ecr-warden.service
watchdog() { [ "$(unit NRestarts)" -ge 1 ] && inside journalctl -u ecr-warden.service -o cat | grep -q 'Watchdog timeout'; }
check "one loop that is stuck has the watchdog start it again" wait_for 40 watchdog
check "and the log names the loop" bash -c "nsenter -t $leader -m -p -u -i -r -w -- journalctl -u ecr-warden.service -o verbose | grep -q 'LOOPS=withdraw'"
inside systemctl poweroff >/dev/null 2>&1; wait_for 10 bash -c "! kill -0 $nspawn" || kill -KILL $nspawn
umount "$machine" 2>/dev/null; umount "$work/ovl" 2>/dev/null
