"""Serves the worker-facing API of DECODE OpenCloud from its own sources (PYTHONPATH), with what it needs around it.

Cognito and S3 are moto's; the user-facing API is the little one below. Usage: real_api.py local|s3 FOLDER [PORT]
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

storage, folder = sys.argv[1], Path(sys.argv[2]).resolve()
port = int(sys.argv[3]) if len(sys.argv) > 3 else 8000
MOTO, USERS = port + 1, port + 2
PASSWORD = "Correct#horse 1"

told: dict[int, list[dict]] = {}
deleted: set[int] = set()


class UserFacing(BaseHTTPRequestHandler):
    """PUT /_job_status as the API asks it; for a person: GET /<job>, what was told; DELETE /<job>."""

    def answer(self, status: int, body: object) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body, ensure_ascii=False, indent=1).encode() + b"\n")

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["job_id"] not in deleted:
            told.setdefault(body["job_id"], []).append({"at": time.time(), **body})
        self.answer(404 if body["job_id"] in deleted else 200, {})

    def do_GET(self) -> None:
        self.answer(200, told.get(int(self.path[1:]), []))

    def do_DELETE(self) -> None:
        deleted.add(int(self.path[1:]))
        self.answer(200, {})

    def log_message(self, *_: object) -> None:
        pass


for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    os.environ.setdefault(name, "local")
os.environ["AWS_DEFAULT_REGION"] = "eu-central-1"
os.environ.setdefault("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{MOTO}")

import boto3
import requests
import uvicorn
from moto.server import ThreadedMotoServer

ThreadedMotoServer("127.0.0.1", MOTO, verbose=False).start()
threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", USERS), UserFacing).serve_forever, daemon=True).start()

cognito = boto3.client("cognito-idp", endpoint_url=f"http://127.0.0.1:{MOTO}")
pool = cognito.create_user_pool(PoolName="accounts")["UserPool"]["Id"]
client = cognito.create_user_pool_client(UserPoolId=pool, ClientName="workers")["UserPoolClient"]["ClientId"]
cognito.create_group(UserPoolId=pool, GroupName="workers")
for user in ("worker", "other", "nobody"):
    mail = [{"Name": "email", "Value": f"{user}@example.com"}]
    cognito.admin_create_user(UserPoolId=pool, Username=user, UserAttributes=mail)
    cognito.admin_set_user_password(UserPoolId=pool, Username=user, Password=PASSWORD, Permanent=True)
    if user != "nobody":
        cognito.admin_add_user_to_group(UserPoolId=pool, Username=user, GroupName="workers")

ask = requests.get


def ask_locally(url: str, *args: object, **more: object) -> requests.Response:
    """The keys that tokens are signed with are moto's."""
    return ask(url.replace("https://cognito-idp.eu-central-1.amazonaws.com", f"http://127.0.0.1:{MOTO}"), *args, **more)


requests.get = ask_locally

files = folder / "files"
files.mkdir(parents=True, exist_ok=True)
os.environ |= {
    "FILESYSTEM": storage,
    "USER_DATA_ROOT_PATH": str(files),
    "QUEUE_DB_URL": f"sqlite:///{folder}/{storage}.db",
    "USERFACING_API_URL": f"http://127.0.0.1:{USERS}",
    "INTERNAL_API_KEY_SECRET": "inner",
    "COGNITO_REGION": "eu-central-1",
    "COGNITO_USER_POOL_ID": pool,
    "COGNITO_CLIENT_ID": client,
}
if storage == "s3":
    region = os.environ.setdefault("S3_REGION", "eu-central-1")
    os.environ["S3_BUCKET"] = "decode"
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    boto3.client("s3", region_name=region).create_bucket(Bucket="decode", **where)

uvicorn.run("workerfacing_api.main:workerfacing_app", host="127.0.0.1", port=port)
