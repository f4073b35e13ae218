# The image of the Dockerfile, built and run with the real engine. Sourced by run.
# A debug build is enough to see that it runs without any library.
static=$top/target/static/x86_64-unknown-linux-gnu/debug/ecr-warden
mkdir -p "$work/context" "$work/fakehost/root/.docker" "$work/fakehost/etc"
cp "$static" "$work/context/ecr-warden"; cp "$(dirname "$static")/docker-credential-ecr-warden" "$work/context/"; cp "$work/trust.pem" "$work/context/ca-certificates.crt"; cp "$top/Dockerfile" "$work/context/"
check "the image is built" env DOCKER_BUILDKIT=0 docker build -q -t ecr-warden:test "$work/context"
mkdir -p "$work/container-config"
cat >"$work/container-config/config.toml" <<TOML
[daemon]
host_prefix = "/host"
log_format = "human"
[metrics]
listen = "off"
[identity.default]
endpoint_url = "http://127.0.0.1:5000"
[[registry]]
account = "123456789012"
region = "eu-west-1"
[[output]]
kind = "docker-config"
TOML
docker run -d --name warden --network host -e AWS_ACCESS_KEY_ID=a -e AWS_SECRET_ACCESS_KEY=b -v /etc/hosts:/etc/hosts:ro \
  -v "$work/container-config:/etc/ecr-warden:ro" -v "$work/fakehost:/host" ecr-warden:test >"$work/last" 2>&1
from_container() { grep -q "$host" "$work/fakehost/root/.docker/config.json"; }
if wait_for 20 from_container; then ok "in a scratch container it publishes on the host below /host"
else not_ok "in a scratch container it publishes on the host below /host" "$(tail -n 3 "$work/last")" "$(docker logs warden 2>&1 | tail -n 5)"; fi
check "and it resolved the registry's name and tried the token" bash -c "docker logs warden 2>&1 | grep -q 'new token' && ! docker logs warden 2>&1 | grep -q 'registry_unreachable\|name_unresolved\|tls_untrusted'"
out_of_the_image() { docker cp -q warden:/usr/bin/docker-credential-ecr-warden "$work/from-image" && "$work/from-image" version | grep -q '^docker-credential-ecr-warden'; }
check "the image has the credential helper for the host" out_of_the_image
docker rm -f warden >/dev/null 2>&1
