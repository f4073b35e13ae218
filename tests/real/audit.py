#!/usr/bin/env python3
"""The audit against moto's CloudTrail, S3 and SQS: a trail's bucket by listing and by a queue, two
auditors on one queue of which one is killed, SNS's and CloudTrail's own notifications, a missing
permission's reason. Prints TAP-like lines; exit code 1 when one fails.

    AWS_ENDPOINT_URL=http://127.0.0.1:5000 tests/real/audit.py ECR_WARDEN FOLDER
"""
import datetime, gzip, json, os, pathlib, signal, subprocess, sys, time, uuid

import boto3

warden, folder = sys.argv[1], pathlib.Path(sys.argv[2])
os.environ.setdefault("AWS_ACCESS_KEY_ID", "AKIAREAL")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "real")
os.environ["AWS_DEFAULT_REGION"] = region = "eu-west-1"
account, endpoint = "210987654321", os.environ["AWS_ENDPOINT_URL"]
s3, sqs, trails = boto3.client("s3"), boto3.client("sqs"), boto3.client("cloudtrail")
now = datetime.datetime.now(datetime.timezone.utc)
failed, made = 0, 0


def check(name, fine, why=""):
    global failed
    failed += not fine
    print(f"{'ok' if fine else 'not ok'} - audit: {name}{'' if fine else f' ({why})'}", flush=True)


def events(count, name="BatchGetImage"):
    global made
    made += count
    return [{"eventID": f"e-{n:06}", "eventTime": f"{now:%Y-%m-%dT%H:%M:%SZ}", "eventSource": "ecr.amazonaws.com",
             "eventName": name, "awsRegion": region, "recipientAccountId": account, "eventType": "AwsApiCall",
             "userIdentity": {"type": "AssumedRole", "principalId": "AROA:i-0abc1234", "accountId": account},
             "requestParameters": {"registryId": "123456789012", "repositoryName": "app/web"}}
            for n in range(made - count, made)]


def deliver(bucket, records, kind="CloudTrail"):
    """Puts a log where CloudTrail would; its key."""
    name = f"{account}_{kind}_{region}_{now:%Y%m%dT%H%MZ}_{uuid.uuid4().hex[:16]}.json.gz"
    key = f"AWSLogs/{account}/{kind}/{region}/{now:%Y/%m/%d}/{name}"
    s3.put_object(Bucket=bucket, Key=key, Body=gzip.compress(json.dumps({"Records": records}).encode()))
    return key


def world(name):
    """A trail with its bucket, and a queue that is told of new objects."""
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
    trails.create_trail(Name=name, S3BucketName=name)
    trails.start_logging(Name=name)
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={
        "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]})
    return url


class Auditor:
    def __init__(self, name, audit):
        self.home = folder / name
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "config.toml").write_text(
            f'[daemon]\nstate_directory = "{self.home}/state"\nruntime_directory = "{self.home}/run"\nlog_format = "human"\n'
            f'[metrics]\nlisten = "off"\n[audit]\nsource = "s3"\nregion = "{region}"\njournal_events = "all"\ninterval = "1m"\n{audit}\n')
        self.start()

    def start(self):
        self.process = subprocess.Popen([warden, "run", "--config", self.home / "config.toml"],
                                        stderr=open(self.home / "log", "ab"))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def journal(self):
        path = self.home / "state/audit/journal.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def ids(self):
        return [line["event_id"] for line in self.journal() if line["kind"] == "event"]

    def status(self):
        run = subprocess.run([warden, "status", "--config", self.home / "config.toml"], capture_output=True, text=True)
        return run.stdout + run.stderr


def until(seconds, done):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.1)
    return False


# --- by listing
world("listed")
keys = [deliver("listed", events(20)) for _ in range(30)]
deliver("listed", [], "CloudTrail-Digest")
one = Auditor("listing", f'bucket = "listed"\nprefix = "AWSLogs/{account}/CloudTrail/{region}/"')
check("every event of the bucket's files is in the journal, once", until(30, lambda: len(one.ids()) == 600) and len(set(one.ids())) == 600, one.status())
one.kill()
deliver("listed", events(5))
one.start()
check("after a kill only the new file is read", until(30, lambda: len(one.ids()) == 605) and len(set(one.ids())) == 605, str(len(one.ids())))
check("status says until when all was looked at", "was looked at until" in one.status(), one.status())
one.kill()

# --- by a queue, shared by two
url = world("queued")
first = made
for _ in range(60):
    deliver("queued", events(30))
wanted = {f"e-{n:06}" for n in range(first, made)}
both = [Auditor("queue-1", f'queue = "{url}"\nbucket = "queued"'), Auditor("queue-2", f'queue = "{url}"')]
until(20, lambda: len(both[0].ids()) > 100 and len(both[1].ids()) > 100)
shares = [len(auditor.ids()) for auditor in both]
check("two auditors share a queue", min(shares) > 0, str(shares))
both[0].kill()
at_kill = len(both[0].ids())
# What the killed one held comes back after a minute, at the other's next look.
complete = until(150, lambda: set(both[0].ids()) | set(both[1].ids()) >= wanted)
check("one of them killed at work, every event is in one of the journals", complete, f"{at_kill} at the kill")
for auditor in both:
    check("and in each of them but once", len(auditor.ids()) == len(set(auditor.ids())))
left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"])["Attributes"]
check("the queue is empty then", until(5, lambda: set(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"][f"ApproximateNumberOfMessages{end}"] for end in ("", "NotVisible")) == {"0"}), str(left))
both[1].kill()

# --- what else a queue may say
key = deliver("listed", events(1, "SetRepositoryPolicy"))
own = json.dumps({"s3Bucket": "listed", "s3ObjectKey": [key]})
sqs.purge_queue(QueueUrl=url)
for body in (json.dumps({"Type": "Notification", "Message": own}), own, "hello",
             json.dumps({"s3Bucket": "listed", "s3ObjectKey": ["AWSLogs/gone.json.gz"]})):
    sqs.send_message(QueueUrl=url, MessageBody=body)
more = Auditor("more", f'queue = "{url}"')
kinds = lambda: sorted(line["kind"] for line in more.journal())
check("SNS's and CloudTrail's own words are understood, others and missing objects are told",
      until(20, lambda: kinds() == ["event", "finding", "trouble", "trouble"]), str(kinds()))
more.kill()

absent = Auditor("absent", f'bucket = "no-such-bucket"\nprefix = "AWSLogs/{account}/CloudTrail/{region}/"')
check("a bucket that is not there is a problem with AWS's words", until(20, lambda: "NoSuchBucket" in absent.status()), absent.status())
absent.kill()
sys.exit(failed > 0)
