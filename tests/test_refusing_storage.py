"""What object storage answers, told to a user by a real S3 server: whose fault it is, and what to do."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import boto3
import pytest

from metaner_core.command import told

SECRET = "wrong-secret-0123456789"


@pytest.fixture
def bucket(swift: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in swift.items():
        monkeypatch.setenv(name, value)
    client = boto3.Session().client("s3")
    name = f"there-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="in.jsonl", Body=json.dumps({"text": "Ana vive en Lima."}).encode())
    return name


@pytest.mark.parametrize(
    ("change", "uri", "remedy"),
    [
        ({"AWS_SECRET_ACCESS_KEY": SECRET}, "s3://{}/in.jsonl", "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": "nobody:here"}, "s3://{}/in.jsonl", "AWS_ACCESS_KEY_ID"),
        ({}, "s3://elsewhere/in.jsonl", "elsewhere"),
    ],
    ids=["secret", "key", "bucket"],
)
def test_a_storage_that_refuses_is_named_with_a_remedy_and_nothing_is_begun(
    change: dict[str, str],
    uri: str,
    remedy: str,
    bucket: str,
    tiny_bundle: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "jobs.bulk_tag", "--bundle", tiny_bundle, "--input", uri.format(bucket)]
    done = subprocess.run([*command, "--output", str(tmp_path / "out")], capture_output=True, text=True, timeout=180)
    assert done.returncode == 2, done.stdout + done.stderr
    said = done.stderr.strip()
    assert said.startswith("error: ")
    assert "\n" not in said
    assert remedy in said
    assert SECRET not in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("NETWORK_CONNECTION", "AWS_ENDPOINT_URL"),  # by a server that is none it takes two minutes of trying
        ("NO_SUCH_BUCKET", "there is no such bucket"),
        ("SIGNATURE_DOES_NOT_MATCH", "AWS_SECRET_ACCESS_KEY is not that of"),
        ("INVALID_ACCESS_KEY_ID", "a key that the storage knows"),
        ("SLOW_DOWN", "AWS_DEFAULT_REGION"),
    ],
)
def test_what_to_do_about_each_answer(code: str, remedy: str) -> None:
    found = told(OSError(f"When reading 'x' in bucket 'b': AWS Error {code} during GetObject operation: No body."))
    assert found.startswith("When reading 'x' in bucket 'b'")
    assert remedy in found
