#!/usr/bin/env python3
"""The daemon's figures, against the built-in sandbox: memory, wake-ups, start, writes, size.

    cargo build && cargo build --release --no-default-features && benches/figures.py [SECONDS]

The debug binary serves as the sandbox, the release binary is what is measured.
"""
import json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
SANDBOX = TOP / "target/debug/ecr-warden"
DAEMON = TOP / "target/release/ecr-warden"
SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 60

work = Path(tempfile.mkdtemp(prefix="ecr-warden-figures-"))
environment = dict(os.environ, AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="x")
for name in ("AWS_CA_BUNDLE", "HTTPS_PROXY", "https_proxy", "AWS_PROFILE"):
    environment.pop(name, None)

sandbox = subprocess.Popen(
    [SANDBOX, "sandbox", "--host", "localhost", "--token-life", "12h", "--ca-file", work / "ca.pem"],
    stdout=subprocess.PIPE, text=True)
addresses = json.loads(sandbox.stdout.readline())
port = addresses["registry"].rsplit(":", 1)[1]


def configure(registries, outputs=1):
    shutil.rmtree(work / "host", ignore_errors=True)
    (work / "host").mkdir()
    text = f"""[daemon]
state_directory = "{work}/host/state"
runtime_directory = "{work}/host/run"
log_format = "human"
[metrics]
listen = "127.0.0.1:9879"
[identity.default]
endpoint_url = "http://{addresses['aws']}"
ca_file = "{work}/ca.pem"
[[registry]]
name = "first"
hosts = ["localhost:{port}", "999999999999.dkr.ecr.eu-west-1.amazonaws.com"]
"""
    for number in range(registries - 1):
        text += f'[[registry]]\naccount = "{number:012d}"\nregion = "eu-west-1"\n'
    for number in range(outputs):
        text += f'[[output]]\nname = "o{number}"\nkind = "docker-config"\npath = "{work}/host/o{number}.json"\n'
    (work / "config.toml").write_text(text)


def start():
    """Starts the daemon; returns it and the seconds until READY=1."""
    path = work / "notify"
    path.unlink(missing_ok=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(path))
    notify.settimeout(60)
    began = time.perf_counter()
    daemon = subprocess.Popen(
        [DAEMON, "run", "--config", work / "config.toml"], stderr=open(work / "log", "a"),
        env=dict(environment, NOTIFY_SOCKET=str(path)))
    while b"READY=1" not in notify.recv(4096):
        pass
    took = time.perf_counter() - began
    return daemon, took


def stop(daemon):
    daemon.send_signal(signal.SIGTERM)
    daemon.wait()


def figure(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(re.search(r"\d+", line).group())


def switches(pid):
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += sum(int(line.split()[1]) for line in (task / "status").read_text().splitlines() if "ctxt_switches" in line)
    return total


def ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def calls():
    import urllib.request
    with urllib.request.urlopen(f"http://{addresses['aws']}/_sandbox/calls") as answer:
        return json.load(answer)


print(f"release binary                       {DAEMON.stat().st_size / 2**20:.1f} MiB")
for registries in (10, 1000):
    configure(registries)
    daemon, _ = start()
    time.sleep(5)
    anonymous, all_of_it = figure(daemon.pid, "RssAnon"), figure(daemon.pid, "VmRSS")
    print(f"resident, idle, {registries:4} registries      {all_of_it / 1024:.1f} MiB ({anonymous / 1024:.1f} MiB of it anonymous)")
    if registries == 10:
        before, cpu = switches(daemon.pid), ticks(daemon.pid)
        time.sleep(SECONDS)
        wakes, cpu = switches(daemon.pid) - before, ticks(daemon.pid) - cpu
        print(f"idle, {SECONDS} s                         {wakes / SECONDS:.2f} context switches/s, {cpu / os.sysconf('SC_CLK_TCK') / SECONDS * 100:.3f} % of a core")
    stop(daemon)

configure(10)
cold = []
for _ in range(10):
    shutil.rmtree(work / "host", ignore_errors=True)
    (work / "host").mkdir()
    daemon, took = start()
    cold.append(took)
    metrics = subprocess.run(["curl", "-s", "http://127.0.0.1:9879/metrics"], capture_output=True, text=True).stdout
    stop(daemon)
mint = float(re.search(r'api_request_duration_seconds_sum\{operation="GetAuthorizationToken",service="ecr"\} (\S+)', metrics).group(1))
print(f"cold start to READY                  {min(cold) * 1000:.0f} ms best, {sorted(cold)[5] * 1000:.0f} ms median (GetAuthorizationToken of the last: {mint * 1000:.0f} ms)")
warm = []
for _ in range(10):
    daemon, took = start()
    warm.append(took)
    stop(daemon)
print(f"start with kept tokens to READY      {min(warm) * 1000:.0f} ms best, {sorted(warm)[5] * 1000:.0f} ms median")

configure(1000, outputs=3)
before = calls().get("ecr:GetAuthorizationToken", 0)
for _ in range(3):
    daemon, _ = start()
    for _ in range(3):
        daemon.send_signal(signal.SIGHUP)
        time.sleep(0.3)
    metrics = subprocess.run(["curl", "-s", "http://127.0.0.1:9879/metrics"], capture_output=True, text=True).stdout
    stop(daemon)
    writes = sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("ecr_warden_output_writes_total"))
    took = re.findall(r'job_duration_seconds_sum\{name="output:o0"\} (\S+)', metrics)
    print(f"1,000 registries, 3 outputs          {writes:.0f} writes since the start, output:o0 {took} s in all its runs")
print(f"GetAuthorizationToken                {calls()['ecr:GetAuthorizationToken'] - before} for 3 starts and 9 reloads")

# One rotation of 1,000 registries in one file.
configure(1000)
daemon, _ = start()
time.sleep(1)


def spent():
    text = subprocess.run(["curl", "-s", "http://127.0.0.1:9879/metrics"], capture_output=True, text=True).stdout
    job = float(re.search(r'job_duration_seconds_sum\{name="output:o0"\} (\S+)', text).group(1))
    runs = float(re.search(r'job_duration_seconds_count\{name="output:o0"\} (\S+)', text).group(1))
    writes = sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("ecr_warden_output_writes_total"))
    return job, runs, writes


times = []
for _ in range(5):
    (work / "host/o0.json").write_text("{}")
    job, runs, writes = spent()
    os.utime(work / "config.toml")
    stop(daemon)
    daemon, _ = start()
    time.sleep(0.5)
    job, runs, writes = spent()
    times.append((job * 1000, writes))
print("1,000 entries set in one file        " + ", ".join(f"{ms:.1f} ms/{writes:.0f} write" for ms, writes in times))
stop(daemon)
sandbox.kill()
shutil.rmtree(work)
