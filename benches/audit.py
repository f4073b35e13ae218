#!/usr/bin/env python3
"""`audit scan` of a trail against the decompressor alone, `zcat | jq` and a Python tool, as ratios.

    cargo build --release --no-default-features && benches/audit.py [MEGABYTES]

Everything runs on one core (taskset), each three times but the slow ones once; the best counts.
"""
import os, re, resource, shutil, subprocess, sys, tempfile, time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
WARDEN = os.environ.get("ECR_WARDEN_BIN", TOP / "target/release/ecr-warden")
MEGABYTES = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
FOLDER = Path(os.environ.get("TRAIL", "")) if os.environ.get("TRAIL") else Path(tempfile.mkdtemp(prefix="ecr-warden-trail-"))
if not os.environ.get("TRAIL"):
    subprocess.run([TOP / "benches/trail.py", FOLDER, str(MEGABYTES)], check=True)
FILES = f"find {FOLDER} -name '*.json.gz' -print0 | sort -z"

# What such tools do: every record decoded, ECR's counted by principal, call and repository.
PYTHON = r"""
import collections, gzip, json, sys
counts = collections.Counter()
for path in sys.stdin.buffer.read().split(b"\0")[:-1]:
    with gzip.open(path) as file:
        for record in json.load(file)["Records"]:
            if record["eventSource"] == "ecr.amazonaws.com":
                counts[(record["userIdentity"].get("arn"), record["eventName"], (record.get("requestParameters") or {}).get("repositoryName"))] += 1
print(len(counts))
"""
JQ = r"""'.Records[] | select(.eventSource == "ecr.amazonaws.com") | [.userIdentity.arn, .eventName, .requestParameters.repositoryName] | @tsv'"""


def measure(command, times=3):
    """The best of so many runs: seconds of processor time, and the largest resident set in MiB."""
    best, rss = None, 0
    for _ in range(times):
        run = subprocess.run(["taskset", "-c", "0", "bash", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                             env=os.environ | {"TIMEFORMAT": "%U %S"})
        if run.returncode not in (0, 1):
            sys.exit(f"{command}: {run.returncode}\n{run.stderr}")
        user, system = map(float, re.findall(r"^([\d.]+) ([\d.]+)$", run.stderr, re.M)[-1])
        best = min(best or 1e9, user + system)
        rss = max(rss, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    return best, rss


ours, rss = measure(f"time {WARDEN} audit scan --json {FOLDER}")
rows = [("gzip -dc", *measure(f"time ({FILES} | xargs -0 gzip -dc)"))]
for name in ("pigz", "igzip"):
    if shutil.which(name):
        rows.append((f"{name} -dc", *measure(f"time ({FILES} | xargs -0 {name} -dc)")))
rows.append(("zcat | jq", *measure(f"time ({FILES} | xargs -0 zcat | jq -r {JQ} | sort | uniq -c)", 1)))
(FOLDER / "tool.py").write_text(PYTHON)
rows.append(("a Python tool", *measure(f"time ({FILES} | python3 {FOLDER}/tool.py)", 1)))
scan = subprocess.run([WARDEN, "audit", "scan", "--json", FOLDER], capture_output=True, text=True).stdout
records = int(re.search(r'"records": (\d+)', scan)[1]); size = int(re.search(r'"bytes": (\d+)', scan)[1])
print(f"audit scan: {ours:.2f} s for {size / 1e6:.0f} MB, {records} records: {records / ours:,.0f} events a second, {size / ours / 1e6:.0f} MB a second; peak {rss:.0f} MiB")
for name, seconds, _ in rows:
    print(f"{name}: {seconds:.2f} s; audit scan takes {ours / seconds:.2f} of that")
(FOLDER / "tool.py").unlink()
if not os.environ.get("TRAIL"):
    shutil.rmtree(FOLDER)
