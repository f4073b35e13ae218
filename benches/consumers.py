#!/usr/bin/env python3
"""What consumers wait for: the credential helper beside its peer and the floor, the socket's calls a
second, one rotation of many outputs. Needs root, and Debian's amazon-ecr-credential-helper.

    cargo build && cargo build --release --no-default-features && benches/consumers.py

The debug binary serves as the sandbox, the release binaries are what is measured. A network and a
mount namespace of its own give the peer an api.ecr of its own: the sandbox behind TLS.
"""
import json, os, re, shutil, signal, socket, ssl, statistics, subprocess, sys, tempfile, threading, time
import urllib.request
from datetime import datetime
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
SANDBOX = TOP / "target/debug/ecr-warden"
DAEMON = TOP / "target/release/ecr-warden"
HELPER = TOP / "target/release/docker-credential-ecr-warden"
PEER = shutil.which("docker-credential-ecr-login")
HOST = "210987654321.dkr.ecr.eu-west-1.amazonaws.com"
API = "api.ecr.eu-west-1.amazonaws.com"

if os.environ.get("INSIDE") != "1":
    os.environ["INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--net", "--propagation", "private", sys.executable, *sys.argv])

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
work = Path(tempfile.mkdtemp(prefix="ecr-warden-consumers-"))
for name in [name for name in os.environ if re.search("proxy|^AWS_|^XDG_", name, re.I)]:
    del os.environ[name]
(work / "hosts").write_text(Path("/etc/hosts").read_text() + f"127.0.0.1 {HOST} {API}\n")
subprocess.run(["mount", "--bind", work / "hosts", "/etc/hosts"], check=True)
environment = {
    "PATH": os.environ["PATH"], "HOME": str(work / "home"), "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_REGION": "eu-west-1", "ECR_WARDEN_SOCKET": str(work / "credentials.sock"), "SSL_CERT_FILE": str(work / "ca.pem")}
(work / "home").mkdir()
sandbox = subprocess.Popen(
    [SANDBOX, "sandbox", "--host", HOST, "--host", API, "--token-life", "12h", "--ca-file", work / "sandbox-ca.pem"],
    stdout=subprocess.PIPE, text=True)
addresses = json.loads(sandbox.stdout.readline())
port = addresses["registry"].rsplit(":", 1)[1]


def relay():
    """The sandbox's AWS under the name and the port that the peer asks."""
    openssl = lambda *argv: subprocess.run(["openssl", *argv], check=True, cwd=work, capture_output=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={API}",
            "-addext", f"subjectAltName=DNS:{API}", "-keyout", "key.pem", "-out", "tls.pem")
    (work / "ca.pem").write_text((work / "tls.pem").read_text() + (work / "sandbox-ca.pem").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(work / "tls.pem", work / "key.pem")
    listener = socket.create_server(("127.0.0.1", 443))

    def serve(client):
        name, number = addresses["aws"].rsplit(":", 1)
        with context.wrap_socket(client, server_side=True) as tls, socket.create_connection((name, int(number))) as there:
            def back():
                while data := there.recv(65536):
                    tls.sendall(data)
            threading.Thread(target=back, daemon=True).start()
            try:
                while data := tls.recv(65536):
                    there.sendall(data)
            except OSError:
                pass

    def forever():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=forever, daemon=True).start()


def configure(registries, outputs, more=""):
    shutil.rmtree(work / "host", ignore_errors=True)
    (work / "host").mkdir()
    text = f"""[daemon]
state_directory = "{work}/host/state"
runtime_directory = "{work}/host/run"
log_format = "human"
[metrics]
listen = "127.0.0.1:9879"
[refresh]
check = "1s"
[identity.default]
endpoint_url = "http://{addresses['aws']}"
ca_file = "{work}/ca.pem"
[[registry]]
name = "first"
hosts = ["localhost:{port}", "{HOST}"]
"""
    for number in range(registries - 1):
        text += f'[[registry]]\naccount = "{number:012d}"\nregion = "eu-west-1"\n'
    for number in range(outputs):
        text += f'[[output]]\nname = "o{number}"\nkind = "docker-config"\npath = "{work}/host/o{number}.json"\n'
    text += more
    (work / "config.toml").write_text(text)


def start(*prefix):
    path = work / "notify"
    path.unlink(missing_ok=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(path))
    notify.settimeout(60)
    log = open(work / "log", "w")
    daemon = subprocess.Popen(
        [*prefix, DAEMON, "run", "--config", work / "config.toml"], stderr=log, env=dict(environment, NOTIFY_SOCKET=str(path)))
    while b"READY=1" not in notify.recv(4096):
        pass
    return daemon


def stop(daemon):
    daemon.send_signal(signal.SIGTERM)
    daemon.wait()


def process(argv, times):
    """Milliseconds of whole processes: the median, and the best."""
    question, null = os.open(work / "question", os.O_RDONLY), os.open("/dev/null", os.O_RDWR)
    took = []
    for _ in range(times):
        os.lseek(question, 0, os.SEEK_SET)
        began = time.perf_counter()
        child = os.posix_spawn(argv[0], argv, environment, file_actions=[
            (os.POSIX_SPAWN_DUP2, question, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)])
        _, status = os.waitpid(child, 0)
        took.append((time.perf_counter() - began) * 1000)
        assert status == 0, argv
    return statistics.median(took), min(took)


try:
    relay()
    socket_output = f'[[output]]\nname = "helper"\nkind = "socket"\npath = "{work}/credentials.sock"\n'

    # --- the helper, the whole process
    configure(1, 0, socket_output)
    daemon = start()
    (work / "question").write_text(HOST)
    answer = subprocess.run([HELPER, "get"], input=HOST, text=True, capture_output=True, env=environment)
    assert json.loads(answer.stdout)["Username"] == "AWS", answer
    floor, ours, rows = process(["/bin/true"], 400), process([str(HELPER), "get"], 400), []
    if PEER:
        cold = subprocess.run([PEER, "get"], input=HOST, text=True, capture_output=True, env=environment)
        assert json.loads(cold.stdout)["Username"] == "AWS", cold
        before = urllib.request.urlopen(f"http://{addresses['aws']}/_sandbox/calls").read()
        peer = process([PEER, "get"], 200)
        after = urllib.request.urlopen(f"http://{addresses['aws']}/_sandbox/calls").read()
        key = "ecr:GetAuthorizationToken"
        asked = json.loads(after)[key] - json.loads(before)[key]
        assert asked == 0, f"the peer's cache was not warm: {asked} calls"
        version = subprocess.run([PEER, "version"], text=True, capture_output=True).stdout.strip()
        rows.append(f"amazon-ecr-credential-helper {version}, warm    {peer[0]:.2f} ms median, {peer[1]:.2f} best: ours is 1/{peer[0] / ours[0]:.1f} of it")
    print(f"/bin/true                                    {floor[0]:.2f} ms median, {floor[1]:.2f} best")
    print(f"docker-credential-ecr-warden get             {ours[0]:.2f} ms median, {ours[1]:.2f} best: {ours[0] / floor[0]:.1f} times /bin/true")
    print(*rows, sep="\n")
    stop(daemon)

    # --- calls a second, the daemon on one core
    cores = sorted(os.sched_getaffinity(0))
    daemon = start("taskset", "-c", str(cores[0]))
    os.sched_setaffinity(0, cores[1:] or cores)
    question = json.dumps({"get": HOST}).encode() + b"\n"

    def ticks():
        fields = Path(f"/proc/{daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    for what, at_once in (("one connection each, as the helper asks", 1), ("64 connections open at a time", 64)):
        calls, began, cpu = 0, time.perf_counter(), ticks()
        while time.perf_counter() - began < 5:
            lines = []
            for _ in range(at_once):
                line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                line.connect(str(work / "credentials.sock"))
                line.sendall(question)
                lines.append(line)
            for line in lines:
                data = line.recv(65536)
                while not data.endswith(b"\n"):
                    data += line.recv(65536)
                assert data.startswith(b'{"credential"'), data[:80]
                line.close()
                calls += 1
        wall, cpu = time.perf_counter() - began, ticks() - cpu
        print(f"socket, {what:40} {calls / wall:,.0f} calls/s with this client; {calls / cpu:,.0f} for each second of the daemon's CPU")
    stop(daemon)
    os.sched_setaffinity(0, cores)

    # --- one rotation
    configure(100, 50)
    daemon = start()
    time.sleep(3)

    def writes():
        text = urllib.request.urlopen("http://127.0.0.1:9879/metrics").read().decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("ecr_warden_output_writes_total"))

    for _ in range(5):
        size, before = (work / "log").stat().st_size, writes()
        urllib.request.urlopen(f"http://{addresses['aws']}/_sandbox/expire", data=b"").read()
        time.sleep(4)
        lines = [line for line in (work / "log").read_text()[size:].splitlines() if "INFO" in line]
        at = lambda line: datetime.fromisoformat(line.split()[0].replace("Z", "+00:00")).timestamp()
        minted = [at(line) for line in lines if "token:default" in line]
        published = [at(line) for line in lines if 'job="output:o' in line and "published" in line]
        assert len(published) == 50, (len(published), lines[:3])
        print(f"50 outputs x 100 registries, one rotation    {(max(published) - max(minted)) * 1000:.0f} ms from the token to the last file, {writes() - before:.0f} writes")
    stop(daemon)
finally:
    sandbox.kill()
    shutil.rmtree(work)
