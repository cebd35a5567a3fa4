"""An S3 server of this machine, and the environment that leads to it."""

import os
import urllib.request
from contextlib import contextmanager
from unittest.mock import patch

from moto.server import ThreadedMotoServer

KEYS = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
SECRET = "geheimgeheimgeheim"
BUCKET = "speech"


@contextmanager
def s3_server():
    """A server in this process with one empty bucket, named by the usual variables; gives its endpoint."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with environment(f"http://{host}:{port}") as endpoint:
            urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT"), timeout=60).close()
            yield endpoint
    finally:
        server.stop()


@contextmanager
def environment(endpoint, without=(), **others):
    """The usual variables for *endpoint* but those *without*, and *others*; none else of their kind."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ours = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "AKIDAKIDAKID", "AWS_SECRET_ACCESS_KEY": SECRET}
    given = {**ours, "AWS_REGION": "us-east-1", **others}
    with patch.dict(os.environ, rest | {name: given[name] for name in given if name not in without}, clear=True):
        yield endpoint
