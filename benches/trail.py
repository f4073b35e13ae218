#!/usr/bin/env python3
"""A trail like CloudTrail's, for measuring: benches/trail.py FOLDER MEGABYTES [SHARE_OF_ECR]

Files of about 4 MB uncompressed, events of a dozen services, ids and times as random as real ones.
The same arguments give the same files.
"""
import gzip, json, os, random, sys
from datetime import datetime, timedelta, timezone

folder, megabytes = sys.argv[1], int(sys.argv[2])
share = float(sys.argv[3]) if len(sys.argv) > 3 else 0.05
dice = random.Random(1)
OWNER, CALLER, REGION = "123456789012", "210987654321", "eu-west-1"
hosts = [f"i-{dice.getrandbits(68):017x}" for _ in range(200)]
names = [f"{a}/{b}" for a in ("app", "base", "team") for b in ("web", "api", "worker", "proxy", "cron")]
services = [("ec2", "DescribeInstances"), ("s3", "GetBucketAcl"), ("sts", "AssumeRole"), ("kms", "Decrypt"),
            ("logs", "CreateLogStream"), ("ssm", "UpdateInstanceInformation"), ("lambda", "GetFunction20150331v2"),
            ("dynamodb", "DescribeTable"), ("elasticloadbalancing", "DescribeTargetHealth"), ("iam", "GetRole"),
            ("autoscaling", "DescribeAutoScalingGroups"), ("secretsmanager", "GetSecretValue")]


def uuid():
    h = f"{dice.getrandbits(128):032x}"
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def event(time):
    ecr = dice.random() < share
    host = dice.choice(hosts)
    role = "host" if ecr else dice.choice(("host", "ops", "ci", "monitoring"))
    if ecr:
        service = "ecr"
        name = dice.choices(("BatchGetImage", "GetDownloadUrlForLayer", "GetAuthorizationToken", "PutImage"), (60, 30, 9, 1))[0]
        request = {"registryId": OWNER, "repositoryName": dice.choice(names)}
        if name == "BatchGetImage":
            request |= {"imageIds": [{"imageTag": str(dice.randrange(300))}], "acceptedMediaTypes": ["application/vnd.oci.image.index.v1+json"]}
        elif name == "GetDownloadUrlForLayer":
            request["layerDigest"] = f"sha256:{dice.getrandbits(256):064x}"
        elif name == "PutImage":
            request |= {"imageTag": str(dice.randrange(300)), "imageManifest": json.dumps({"layers": [
                {"digest": f"sha256:{dice.getrandbits(256):064x}", "size": dice.randrange(10**8)} for _ in range(12)]})}
        else:
            request = None
    else:
        service, name = dice.choice(services)
        request = {"filterSet": {}, "resource": f"arn:aws:{service}:{REGION}:{CALLER}:thing/{dice.getrandbits(64):x}",
                   "maxResults": dice.randrange(1000), "nextToken": f"{dice.getrandbits(256):x}"}
    record = {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole", "principalId": f"AROA{role.upper():A<17}:{host}",
            "arn": f"arn:aws:sts::{CALLER}:assumed-role/{role}/{host}", "accountId": CALLER,
            "accessKeyId": f"ASIA{dice.getrandbits(80):020X}"[:20],
            "sessionContext": {
                "sessionIssuer": {"type": "Role", "principalId": f"AROA{role.upper():A<17}",
                                  "arn": f"arn:aws:iam::{CALLER}:role/{role}", "accountId": CALLER, "userName": role},
                "attributes": {"creationDate": time, "mfaAuthenticated": "false"}, "ec2RoleDelivery": "2.0"}},
        "eventTime": time, "eventSource": f"{service}.amazonaws.com", "eventName": name, "awsRegion": REGION,
        "sourceIPAddress": "AWS Internal" if ecr else f"10.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(256)}",
        "userAgent": "AWS Internal" if ecr else "aws-sdk-go-v2/1.30.3 os/linux lang/go#1.22.5 md/GOOS#linux md/GOARCH#amd64",
        "requestParameters": request, "responseElements": None, "requestID": uuid(), "eventID": uuid(),
        "readOnly": True, "eventType": "AwsApiCall", "managementEvent": True, "recipientAccountId": CALLER,
        "eventCategory": "Management",
        "tlsDetails": {"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": f"{service}.{REGION}.amazonaws.com"},
    }
    if ecr and dice.random() < 0.001:
        record |= {"errorCode": "AccessDenied", "errorMessage": f"User: arn:aws:sts::{CALLER}:assumed-role/host/{host} is not authorized to perform: ecr:{name} on resource: arn:aws:ecr:{REGION}:{OWNER}:repository/app/web because no resource-based policy allows the ecr:{name} action"}
    return json.dumps(record, separators=(",", ":"))


start, written, number = datetime(2026, 11, 1, tzinfo=timezone.utc), 0, 0
while written < megabytes * 1_000_000:
    at = start + timedelta(minutes=5 * number)
    size, records = 0, []
    while size < 4_000_000:
        record = event((at + timedelta(seconds=dice.randrange(300))).strftime("%Y-%m-%dT%H:%M:%SZ"))
        records.append(record)
        size += len(record) + 1
    day = f"{folder}/AWSLogs/{CALLER}/CloudTrail/{REGION}/{at:%Y/%m/%d}"
    os.makedirs(day, exist_ok=True)
    name = f"{CALLER}_CloudTrail_{REGION}_{at:%Y%m%dT%H%M}Z_{dice.getrandbits(64):016x}.json.gz"
    with open(f"{day}/{name}", "wb") as file:
        file.write(gzip.compress(('{"Records":[' + ",".join(records) + "]}").encode(), 6, mtime=0))
    written, number = written + size, number + 1
print(f"{number} files, {written} bytes uncompressed, in {folder}")
