#!/usr/bin/env python3
"""The kubelet's part in asking a credential provider.

    kubelet.py CONFIG BIN_DIR IMAGE VERSION

CONFIG is a CredentialProviderConfig. The provider whose matchImages match IMAGE is run as the
kubelet runs it: the binary of that name in BIN_DIR, its arguments, its environment added to the
kubelet's own (which has no HOME here), a CredentialProviderRequest of VERSION (v1, v1beta1) on
standard input. The response must have the published shape, echo the version and answer for IMAGE.
Prints USER:PASSWORD.
"""
import fnmatch, json, pathlib, re, subprocess, sys
import jsonschema, yaml

config, folder, image, version = sys.argv[1:]
config = yaml.safe_load(pathlib.Path(config).read_text())
assert (config["apiVersion"], config["kind"]) == ("kubelet.config.k8s.io/v1", "CredentialProviderConfig"), config
host = image.split("/")[0]


def matches(pattern):
    """One glob a label, as many labels; ports and paths are compared as they are."""
    ours, theirs = pattern.split("."), host.split(".")
    return len(ours) == len(theirs) and all(fnmatch.fnmatchcase(a, b) for a, b in zip(theirs, ours))


providers = [one for one in config["providers"] if any(map(matches, one["matchImages"]))]
assert len(providers) == 1, f"{len(providers)} providers match {host}"
provider = providers[0]
assert set(provider) <= {"name", "matchImages", "defaultCacheDuration", "apiVersion", "args", "env", "tokenAttributes"}, provider
assert re.fullmatch(r"([0-9.]+(ms|s|m|h))+", provider["defaultCacheDuration"]), provider["defaultCacheDuration"]
assert provider["apiVersion"] == "credentialprovider.kubelet.k8s.io/v1", provider["apiVersion"]
asked = {"kind": "CredentialProviderRequest", "apiVersion": f"credentialprovider.kubelet.k8s.io/{version}", "image": image}
if version == "v1":
    asked |= {"serviceAccountToken": "", "serviceAccountAnnotations": None}
environment = {"PATH": "/usr/bin:/bin"} | {one["name"]: one["value"] for one in provider.get("env", [])}
done = subprocess.run(
    [f"{folder}/{provider['name']}", *provider.get("args", [])], input=json.dumps(asked), env=environment,
    capture_output=True, text=True, timeout=60)
if done.returncode:
    sys.exit(f"exit code {done.returncode}: {done.stderr}")
response = json.loads(done.stdout)
schema = json.loads((pathlib.Path(__file__).parent / "kubelet-response.schema.json").read_text())
jsonschema.Draft202012Validator(schema).validate(response)
assert response["apiVersion"] == asked["apiVersion"], response["apiVersion"]
seconds = re.fullmatch(r"(\d+)s", response["cacheDuration"])
# From the true remaining life: these tokens live twelve hours, of which a quarter of one is for pulls.
assert seconds and 11 * 3600 < int(seconds[1]) <= 12 * 3600 - 900, response["cacheDuration"]
credential = response["auth"][host]
print(f"{credential['username']}:{credential['password']}")
