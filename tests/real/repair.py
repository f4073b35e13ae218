#!/usr/bin/env python3
"""How long an entry that was taken out of a file stays away.

    repair.py FILE HOST TIMES PAUSE COMMAND...

Runs COMMAND (docker logout) TIMES times and looks at FILE without a pause meanwhile: a thread sees
the entry gone and there again. Prints milliseconds: from the first look without the entry to the
first with it.
"""
import json, subprocess, sys, threading, time

file, host, times, pause, command = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5:]


def there():
    try:
        with open(file) as text:
            return host in json.load(text).get("auths", {})
    except FileNotFoundError:
        return False


took = []
for _ in range(times):
    assert there(), "the entry is not there to begin with"
    gone, back = threading.Event(), threading.Event()
    began = ended = 0.0

    def look():
        global began, ended
        end = time.perf_counter() + 10
        while time.perf_counter() < end:
            if not gone.is_set():
                if not there():
                    began = time.perf_counter()
                    gone.set()
            elif there():
                ended = time.perf_counter()
                back.set()
                return
            time.sleep(0.0005)

    watcher = threading.Thread(target=look)
    watcher.start()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    watcher.join()
    if not gone.is_set():
        sys.exit("the command did not take the entry out")
    if not back.is_set():
        sys.exit("it was not put back within 10 s")
    took.append((ended - began) * 1000)
    time.sleep(pause)
print(" ".join(f"{ms:.0f}" for ms in took))
