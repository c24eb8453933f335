"""The services over HTTP, so that a command can be driven as a process of its own: AWS_ENDPOINT_URL is all it needs."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.deployer.aws import wire
from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import CloudFormation
from tests.deployer.aws.data_services import NO_QUEUE
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.settings import ACCOUNT, START

_model = cache(wire.model)
# The methods and paths of the operations of Lambda and AWS Backup, by their service models.
_REST = {
    "lambda": {
        r"GET .*/account-settings$": "GetAccountSettings",
        r"GET .*/functions/(?P<name>[^/]+)/concurrency$": "GetFunctionConcurrency",
        r"GET .*/tags/.+:function:(?P<name>[^:/]+)$": "ListTags",
    },
    "backup": {
        r"GET /backup-vaults/?$": "ListBackupVaults",
        r"GET /backup-vaults/(?P<name>[^/?]+)/recovery-points/?$": "ListRecoveryPointsByBackupVault",
        r"GET /backup-vaults/(?P<name>[^/?]+)/?$": "DescribeBackupVault",
        r"DELETE /backup-vaults/(?P<name>[^/?]+)/recovery-points/(?P<point>.+)$": "DeleteRecoveryPoint",
        r"DELETE /backup-vaults/(?P<name>[^/?]+)/?$": "DeleteBackupVault",
        r"GET /tags/.+:backup-vault:(?P<name>[^:/]+)": "ListTags",
    },
}


@contextmanager
def serving(cloudformation: CloudFormation, its_account: Account | None = None) -> Iterator[str]:
    """The URL, for the length of the block."""

    class Handler(_Handler):
        service = cloudformation
        account = its_account or Account()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    service: CloudFormation
    account: Account
    protocol_version = "HTTP/1.1"
    # Head and body are sent one after the other: the body would wait until the head is acknowledged, for 40 ms.
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002 - it is always the same day
        """The service's clock, which is that of its stacks."""
        return super().date_time_string(START.timestamp())

    @property
    def scope(self) -> str:
        """The service that the request is signed for.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
        """
        signed = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request", self.headers.get("Authorization", ""))
        return signed[1] if signed else ""

    def do_POST(self) -> None:
        body = self._body()
        target = self.headers.get("X-Amz-Target")
        if target and target.endswith(".DescribeAlarms"):
            return self._alarms(json.loads(body))
        if target:
            return self._of_services(target.rpartition(".")[2], json.loads(body or "{}"))
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        operation, service = form["Action"], self.scope
        shapes = _model(service).operation_model(operation)
        request = wire.arguments(shapes.input_shape, form) if shapes.input_shape else {}
        try:
            values = self._answer_query(service, operation, request)
        except Refused as refused:
            return self._answer(refused.http_status, wire.error(refused.code, str(refused)), "text/xml")
        except ConnectionAbortedError:
            return self._hang_up()
        except Exception as error:
            # A mistake of the test's: said at once, where a failure of the service would be retried.
            return self._answer(400, wire.error("MistakeInTheTest", repr(error)), "text/xml")
        return self._answer(200, wire.answer(operation, shapes.output_shape, values), "text/xml")

    def _answer_query(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request to a service of the query protocol: CloudFormation, STS, IAM or SNS."""
        if service == "cloudformation":
            return self.service.answer_request(operation, request)
        with self.service.lock:
            if service == "sts":
                self.service.called(operation, request)
                return {"Account": ACCOUNT, "Arn": self.account.caller, "UserId": "U"}
            self.service.called(f"{service}:{operation}", request)
            return self.account.answer(service, operation, request)

    def _of_services(self, operation: str, request: dict[str, Any]) -> None:
        """A service whose answers are JSON; and S3, where a bucket is there or not."""
        service = self.scope
        try:
            with self.service.lock:
                self.service.called(f"{service}:{operation}", request)
                answer = self._json_answer(service, operation, request)
        except Refused as refused:
            # SQS tells the code of its older protocol in a header.
            query = {"x-amzn-query-error": f"{refused.code};Sender"} if refused.code == NO_QUEUE else {}
            code = "com.amazonaws.sqs#QueueDoesNotExist" if query else refused.code
            body = json.dumps({"__type": code, "message": str(refused), "Code": code, "Message": str(refused)})
            headers = {"x-amzn-errortype": code, **query}
            return self._answer(refused.http_status, body, "application/x-amz-json-1.0", headers)
        except Exception as error:
            # A mistake of the test's: said at once, where a failure of the service would be retried.
            body = json.dumps({"__type": "MistakeInTheTest", "message": repr(error)})
            return self._answer(400, body, "application/x-amz-json-1.0")
        return self._answer(200, json.dumps(answer), "application/x-amz-json-1.0")

    def _json_answer(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Of what stacks have provisioned, as it is held; of anything else, as the test has set it."""
        held = self.service.data
        if operation == "DescribeLogGroups":
            others = self.account.answer(service, operation, {"limit": 50, **request})["logGroups"]
            return {"logGroups": [*held.answer(operation, request)["logGroups"], *others]}
        if operation == "ListBackupVaults":
            others = self.account.answer(service, operation, request)["BackupVaultList"]
            return _page_of_vaults([*held.answer(operation, request)["BackupVaultList"], *others], request)
        if operation == "ListAliases":
            others = self.account.answer(service, operation, request)["Aliases"]
            return {"Aliases": [*held.answer(operation, request)["Aliases"], *others], "Truncated": False}
        if held.holds(service, operation, request):
            return held.answer(operation, request)
        return self.account.answer(service, operation, request)

    def _alarms(self, request: dict[str, Any]) -> None:
        with self.service.lock:
            self.service.called("DescribeAlarms", request)
            states = self.service.alarms
            alarms = [{"AlarmName": n, "StateValue": states[n]} for n in request["AlarmNames"] if n in states]
        composite = [one for one in alarms if one["AlarmName"].startswith("alarm-payments-failing-")]
        answer = {"MetricAlarms": [one for one in alarms if one not in composite]}
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
        if "CompositeAlarm" in request.get("AlarmTypes", []):
            answer["CompositeAlarms"] = composite
        self._answer(200, json.dumps(answer), "application/x-amz-json-1.0")

    # S3, by paths: the bucket, then the key.

    def do_HEAD(self) -> None:
        if "/" not in self._key().rstrip("/"):
            return self._of_services("HeadBucket", {"name": self._key()})
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
        if self.scope in _REST:
            return self._rest()
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
        if self.scope in _REST:
            return self._rest()
        bucket = urlsplit(self.path).path.strip("/")
        prefix = dict(parse_qsl(urlsplit(self.path).query))["prefix"]
        with self.service.lock:
            self.service.called("ListObjectsV2", {"Bucket": bucket})
            keys = [key.removeprefix(f"{bucket}/") for key in sorted(self.service.objects)]
            keys = [key for key in keys if key.startswith(prefix)]
        contents = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in keys)
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        return self._answer(200, body, "application/xml")

    def _rest(self) -> None:
        url = urlsplit(self.path)
        line = f"{self.command} {unquote(url.path)}"
        for pattern, operation in _REST[self.scope].items():
            if match := re.match(pattern, line):
                return self._of_services(operation, dict(parse_qsl(url.query)) | match.groupdict())
        return self._answer(400, json.dumps({"__type": "MistakeInTheTest", "message": line}), "application/json")

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


def _page_of_vaults(vaults: list[dict[str, Any]], request: dict[str, Any]) -> dict[str, Any]:
    """A page of one vault: AWS may answer with fewer than MaxResults.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListBackupVaults.html
    """
    first = int(request.get("nextToken", 0))
    following = {"NextToken": str(first + 1)} if first + 1 < len(vaults) else {}
    return {"BackupVaultList": vaults[first : first + 1], **following}


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
