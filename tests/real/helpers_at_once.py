#!/usr/bin/env python3
"""Credential helpers at once, while tokens rotate: no error, no torn answer.

    helpers_at_once.py HELPER HOST TOKENS [AT_ONCE]

Starts AT_ONCE (200) processes together, again and again, until their answers held TOKENS different
passwords. Each answer must be the protocol's JSON, whole, with a password that decodes to a token
of ECR's shape which had not expired when it was asked for.
"""
import base64, json, subprocess, sys, time

helper, host, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3])
at_once = int(sys.argv[4]) if len(sys.argv) > 4 else 200
seen, asked, bad, end = set(), 0, [], time.time() + 60
while len(seen) < tokens and time.time() < end:
    began = int(time.time())
    running = [
        subprocess.Popen([helper, "get"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(at_once)
    ]
    for one in running:
        one.stdin.write(host.encode())
        one.stdin.close()
    for one in running:
        out, err = one.stdout.read(), one.stderr.read()
        code = one.wait()
        one.stdout.close(), one.stderr.close()
        asked += 1
        try:
            assert code == 0 and not err, f"exit code {code}: {out[:200]} {err[:200]}"
            answer = json.loads(out)
            assert set(answer) == {"ServerURL", "Username", "Secret"}, set(answer)
            assert (answer["ServerURL"], answer["Username"]) == (host, "AWS"), answer["ServerURL"]
            token = json.loads(base64.b64decode(answer["Secret"], validate=True))
            assert token["expiration"] >= began, f"expired {began - token['expiration']} s before it was asked for"
            seen.add(token["payload"])
        except (AssertionError, ValueError, KeyError) as error:
            bad.append(repr(error))
print(f"{asked} helpers, {at_once} at once, {len(seen)} different tokens, {len(bad)} failures", *bad[:5], sep="\n")
sys.exit(bool(bad) or len(seen) < tokens)
