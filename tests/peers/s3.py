"""Storage that speaks S3, of moto, for host/server's tests: a bucket, and keys for it.

It says in a line of JSON where it is, then does what the lines of its stdin ask for and ends with them. moto asks nobody who
he is in a signed address; here that is done, by what botocore signs. A program, not a test."""

import json
import logging
import os
import sys
import threading
from urllib.parse import parse_qsl, urlencode

import tools

BUCKET = "vtwasm-test"
KEY, SECRET = "AKIAVTWASMTEST", "a secret of the tests"


class Guard:
    """Lets pass what is signed by the keys, and this program's own requests."""

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        code = None if "HTTP_AUTHORIZATION" in environ else self.refused(environ)
        if code is None:
            return self.app(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("403 Forbidden", [("content-type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>it is refused</Message></Error>".encode()]

    def refused(self, environ):
        from botocore.auth import SigV4QueryAuth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        key, _, region, *_ = query.get("X-Amz-Credential", "////").split("/")
        if key != KEY:
            return "InvalidAccessKeyId"
        given = query.pop("X-Amz-Signature", "")
        host = environ["HTTP_HOST"]
        url = f"http://{host}{environ['REQUEST_URI'].partition('?')[0]}?{urlencode(query)}"
        request = AWSRequest(environ["REQUEST_METHOD"], url, headers={"host": host})
        request.context["timestamp"] = query["X-Amz-Date"]
        auth = SigV4QueryAuth(Credentials(KEY, SECRET), "s3", region, int(query["X-Amz-Expires"]))
        auth.payload = lambda _: "UNSIGNED-PAYLOAD"
        text = auth.string_to_sign(request, auth.canonical_request(request))
        return None if auth.signature(text, request) == given else "SignatureDoesNotMatch"


def main():
    sys.path.insert(0, str(tools.installed("moto")))
    import boto3
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Guard(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}
    bucket = boto3.resource("s3", endpoint_url=endpoint, region_name="us-east-1", **keys).create_bucket(Bucket=BUCKET)
    print(json.dumps({"endpoint": endpoint, "bucket": BUCKET, **keys}), flush=True)
    for line in sys.stdin:
        what, prefix = line.split()
        objects = list(bucket.objects.filter(Prefix=f"{prefix}/"))
        if what == "damage":
            for each in objects:
                data = each.get()["Body"].read()
                each.put(Body=data[:-1] + b"?")
        elif what == "remove":
            for each in objects:
                each.delete()
        uploads = [each for each in bucket.multipart_uploads.all() if each.object_key.startswith(f"{prefix}/")]
        print(json.dumps([len(objects), len(uploads)]), flush=True)
    os._exit(0)


main()
