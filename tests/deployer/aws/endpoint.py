"""The services over HTTP, so that a command can be driven as a process of its own: AWS_ENDPOINT_URL is all it needs."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from botocore import xform_name

from tests.deployer.aws import wire
from tests.deployer.aws.cloudformation import ACCOUNT, CloudFormation, Refused
from tests.deployer.aws.data_services import NO_QUEUE

_model = cache(wire.model)


@contextmanager
def serving(cloudformation: CloudFormation) -> Iterator[str]:
    """The URL, for the length of the block."""

    class Handler(_Handler):
        service = cloudformation

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    service: CloudFormation
    protocol_version = "HTTP/1.1"
    # Head and body are sent one after the other: the body would wait until the head is acknowledged, for 40 ms.
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self._body()
        target = self.headers.get("X-Amz-Target")
        if target:
            answer = self._alarms if target.endswith(".DescribeAlarms") else self._data
            return answer(target.rpartition(".")[2], json.loads(body or "{}"))
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        operation = form["Action"]
        if operation == "GetCallerIdentity":
            identity = {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/somebody", "UserId": "U"}
            return self._ask("sts", operation, lambda **_: identity, form)
        return self._ask("cloudformation", operation, getattr(self.service, xform_name(operation), None), form)

    def _ask(self, service: str, operation: str, method: Any, form: dict[str, str]) -> None:
        shapes = _model(service).operation_model(operation)
        given = wire.arguments(shapes.input_shape, form) if shapes.input_shape else {}
        try:
            with self.service.lock:
                self.service.called(operation, given)
                if method is None:
                    raise Refused("InvalidAction", f"Could not find operation {operation}")
                values = method(**given) or {}
        except Refused as refused:
            return self._answer(refused.http_status, wire.error(refused.code, str(refused)), "text/xml")
        except ConnectionAbortedError:
            return self._hang_up()
        except Exception as error:
            # A mistake of the test's: said at once, where a failure of the service would be retried.
            return self._answer(400, wire.error("MistakeInTheTest", repr(error)), "text/xml")
        return self._answer(200, wire.answer(operation, shapes.output_shape, values), "text/xml")

    def _data(self, operation: str, given: dict[str, Any]) -> None:
        try:
            with self.service.lock:
                self.service.called(operation, given)
                answer = self.service.data.answer(operation, given)
        except Refused as refused:
            # SQS tells the code of its older protocol in a header.
            header = {"x-amzn-query-error": f"{refused.code};Sender"} if refused.code == NO_QUEUE else {}
            kind = "com.amazonaws.sqs#QueueDoesNotExist" if header else refused.code
            said = json.dumps({"__type": kind, "message": str(refused)})
            return self._answer(refused.http_status, said, "application/x-amz-json-1.1", header)
        except Exception as error:
            # A mistake of the test's: said at once, where a failure of the service would be retried.
            said = json.dumps({"__type": "MistakeInTheTest", "message": repr(error)})
            return self._answer(400, said, "application/x-amz-json-1.1")
        return self._answer(200, json.dumps(answer), "application/x-amz-json-1.1")

    def _backup(self) -> None:
        try:
            with self.service.lock:
                operation, answer = self.service.data.backup(self.command, urlsplit(self.path).path)
                self.service.called(operation, {})
        except Refused as refused:
            said = json.dumps({"Code": refused.code, "Message": str(refused)})
            return self._answer(refused.http_status, said, "application/json", {"x-amzn-ErrorType": refused.code})
        return self._answer(200, json.dumps(answer), "application/json")

    def _alarms(self, operation: str, given: dict[str, Any]) -> None:
        with self.service.lock:
            self.service.called(operation, given)
            states = self.service.alarms
            alarms = [{"AlarmName": n, "StateValue": states[n]} for n in given["AlarmNames"] if n in states]
        composite = [one for one in alarms if one["AlarmName"].startswith("alarm-payments-failing-")]
        answer = {"MetricAlarms": [one for one in alarms if one not in composite]}
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
        if "CompositeAlarm" in given.get("AlarmTypes", []):
            answer["CompositeAlarms"] = composite
        self._answer(200, json.dumps(answer), "application/x-amz-json-1.0")

    # S3, by paths: the bucket, then the key.

    def do_HEAD(self) -> None:
        with self.service.lock:
            self.service.called("HeadObject", {"Key": self._key()})
            found = self.service.objects.get(self._key())
        if found is None:
            return self._answer(404, "")
        checksum = self.service.checksums.get(self._key()) or _sha256(found.encode("latin-1"))
        return self._answer(200, "", headers={"x-amz-checksum-sha256": checksum})

    def do_PUT(self) -> None:
        body = self._body()
        operation = "PutObject"
        with self.service.lock:
            try:
                self.service.called(operation, {"Key": self._key()})
            except Refused as refused:
                said = f"<Error><Code>{refused.code}</Code><Message>{escape(str(refused))}</Message></Error>"
                return self._answer(refused.http_status, said, "application/xml")
            if self.headers.get("If-None-Match") != "*":
                return self._answer(403, "<Error><Code>AccessDenied</Code></Error>", "application/xml")
            if self._key() in self.service.objects:
                return self._answer(412, "<Error><Code>PreconditionFailed</Code></Error>", "application/xml")
            self.service.objects[self._key()] = _unchunked(body, self.headers).decode("latin-1")
        return self._answer(200, "")

    def do_DELETE(self) -> None:
        if self.path.startswith("/backup-vaults/"):
            return self._backup()
        with self.service.lock:
            try:
                self.service.called("DeleteObject", {"Key": self._key()})
            except Refused as refused:
                said = f"<Error><Code>{refused.code}</Code><Message>{escape(str(refused))}</Message></Error>"
                return self._answer(refused.http_status, said, "application/xml")
            self.service.retired.add(self._key())
            self.service.objects.pop(self._key(), None)
        return self._answer(204, "")

    def do_GET(self) -> None:
        if self.path.startswith(("/backup-vaults", "/tags/")):
            return self._backup()
        bucket = urlsplit(self.path).path.strip("/")
        prefix = dict(parse_qsl(urlsplit(self.path).query))["prefix"]
        with self.service.lock:
            self.service.called("ListObjectsV2", {"Bucket": bucket})
            keys = [key.removeprefix(f"{bucket}/") for key in sorted(self.service.objects)]
            keys = [key for key in keys if key.startswith(prefix)]
        contents = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in keys)
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        return self._answer(200, body, "application/xml")

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, body: str, kind: str = "text/plain", headers: dict[str, str] | None = None) -> None:
        content = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()


def _sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _unchunked(body: bytes, headers: Any) -> bytes:
    """The SDK sends objects in signed chunks: a length in hexadecimal, the content, and a checksum behind."""
    if "aws-chunked" not in headers.get("Content-Encoding", ""):
        return body
    content, rest = b"", body
    while rest:
        length, _, rest = rest.partition(b"\r\n")
        size = int(length.split(b";")[0], 16)
        if size == 0:
            return content
        content, rest = content + rest[:size], rest[size + 2 :]
    return content
