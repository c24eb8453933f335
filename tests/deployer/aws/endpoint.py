"""Serves the simulated services over HTTP, for commands that run in their own process with AWS_ENDPOINT_URL."""

import base64
import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.deployer.aws import faults, functions, wire
from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import CloudFormation
from tests.deployer.aws.data_services import NO_QUEUE
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.settings import ACCOUNT, START

_model = cache(wire.load_model)
# The methods and paths of the operations of Lambda and AWS Backup, by their service models.
_REST_OPERATIONS = {
    "lambda": {
        r"GET .*/account-settings$": "GetAccountSettings",
        r"POST .*/functions/(?P<name>[^/]+)/invocations$": "Invoke",
        r"GET .*/functions/(?P<name>[^/]+)/concurrency$": "GetFunctionConcurrency",
        r"GET .*/functions/(?P<name>[^/]+)/configuration$": "GetFunctionConfiguration",
        r"PUT .*/functions/(?P<name>[^/]+)/code$": "UpdateFunctionCode",
        r"GET .*/functions/(?P<name>[^/]+)/aliases/(?P<alias>[^/]+)$": "GetAlias",
        r"PUT .*/functions/(?P<name>[^/]+)/aliases/(?P<alias>[^/]+)$": "UpdateAlias",
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
def serve_account(cloudformation: CloudFormation, its_account: Account | None = None) -> Iterator[str]:
    """Yield the URL of a server that ends with the block."""

    class Handler(_Handler):
        service = cloudformation
        account = its_account or Account()

    with _Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone: an interrupted command leaves its requests."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    service: CloudFormation
    account: Account
    protocol_version = "HTTP/1.1"
    # Otherwise the body, which is sent after the headers, waits 40 ms for their acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002 - the date is fixed
        """Return the fixed date of the account."""
        return super().date_time_string(START.timestamp())

    @property
    def scope(self) -> str:
        """The service that the request is signed for.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
        """
        signed = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request", self.headers.get("Authorization", ""))
        return signed[1] if signed else ""

    def do_POST(self) -> None:
        body = self._read_body()
        if self.scope in _REST_OPERATIONS:
            return self._answer_rest(json.loads(body))
        target = self.headers.get("X-Amz-Target")
        if target and target.endswith(".DescribeAlarms"):
            return self._describe_alarms(json.loads(body))
        if target:
            return self._answer_service(target.rpartition(".")[2], json.loads(body or "{}"))
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        operation, service = form["Action"], self.scope
        shapes = _model(service).operation_model(operation)
        request = wire.parse_arguments(shapes.input_shape, form) if shapes.input_shape else {}
        try:
            values = self._answer_query(service, operation, request)
        except Refused as refused:
            return self._send_answer(refused.http_status, wire.render_error(refused.code, str(refused)), "text/xml")
        except ConnectionAbortedError:
            return self._hang_up()
        except Exception as error:
            # A mistake in the test is reported at once; an error of a service would be retried.
            return self._send_answer(400, wire.render_error("MistakeInTheTest", repr(error)), "text/xml")
        return self._send_answer(200, wire.render_answer(operation, shapes.output_shape, values), "text/xml")

    def _answer_query(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request to a service of the query protocol: CloudFormation, STS, IAM or SNS."""
        if service == "cloudformation":
            return self.service.answer_request(operation, request)
        with self.service.lock:
            if service == "sts":
                self.service.record_call(operation, request)
                return {"Account": ACCOUNT, "Arn": self.account.caller, "UserId": "U"}
            self.service.record_call(f"{service}:{operation}", request)
            return self.account.answer_request(service, operation, request)

    def _answer_service(self, operation: str, request: dict[str, Any]) -> None:
        """Answer a request to a service with JSON answers, or to S3 whether a bucket exists."""
        service = self.scope
        try:
            with self.service.lock:
                self.service.record_call(f"{service}:{operation}", request)
                answer = self._answer_json(service, operation, request)
        except Refused as refused:
            # SQS sends the error code of its older protocol in a header.
            query = {"x-amzn-query-error": f"{refused.code};Sender"} if refused.code == NO_QUEUE else {}
            code = "com.amazonaws.sqs#QueueDoesNotExist" if query else refused.code
            body = json.dumps({"__type": code, "message": str(refused), "Code": code, "Message": str(refused)})
            headers = {"x-amzn-errortype": code, **query}
            return self._send_answer(refused.http_status, body, "application/x-amz-json-1.0", headers)
        except ConnectionAbortedError:
            return self._hang_up()
        except Exception as error:
            # A mistake in the test is reported at once; an error of a service would be retried.
            body = json.dumps({"__type": "MistakeInTheTest", "message": repr(error)})
            return self._send_answer(400, body, "application/x-amz-json-1.0")
        return self._send_answer(200, json.dumps(answer), "application/x-amz-json-1.0")

    def _answer_json(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer for the resources that stacks have provisioned, and for those that the test has set."""
        data_services = self.service.data_services
        if operation == "DescribeLogGroups":
            account_items = self.account.answer_request(service, operation, {"limit": 50, **request})["logGroups"]
            return {"logGroups": [*data_services.answer_request(operation, request)["logGroups"], *account_items]}
        if service == "tagging":
            assert operation == "GetResources", operation
            account_items = {name: tags for name, tags in self.account.existing.items() if name.startswith("arn:")}
            return data_services.list_tagged(request, account_items)
        if operation == "ListBackupVaults":
            account_items = self.account.answer_request(service, operation, request)["BackupVaultList"]
            vaults = [*data_services.answer_request(operation, request)["BackupVaultList"], *account_items]
            return _page_of_vaults(vaults, request)
        if operation == "ListAliases":
            account_items = self.account.answer_request(service, operation, request)["Aliases"]
            return {"Aliases": [*data_services.answer_request(operation, request)["Aliases"], *account_items]}
        if service == "lambda" and operation in functions.OPERATIONS:
            return self.service.functions.answer_request(operation, request)
        if data_services.is_responsible(service, operation, request):
            return data_services.answer_request(operation, request)
        return self.account.answer_request(service, operation, request)

    def _describe_alarms(self, request: dict[str, Any]) -> None:
        with self.service.lock:
            try:
                self.service.record_call("DescribeAlarms", request)
            except Refused as refused:
                body = json.dumps({"__type": refused.code, "message": str(refused)})
                return self._send_answer(refused.http_status, body, "application/x-amz-json-1.0")
            except ConnectionAbortedError:
                return self._hang_up()
            states = self.service.alarms
            members = self.service.alarm_members
            alarms = [
                {"AlarmName": name, "StateValue": states[name], **members.get(name, {})}
                for name in request["AlarmNames"]
                if name in states
            ]
        composite = [alarm for alarm in alarms if alarm["AlarmName"].startswith("alarm-payments-failing-")]
        answer = {"MetricAlarms": [alarm for alarm in alarms if alarm not in composite]}
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
        if "CompositeAlarm" in request.get("AlarmTypes", []):
            answer["CompositeAlarms"] = composite
        return self._send_answer(200, json.dumps(answer), "application/x-amz-json-1.0")

    # S3: a path is the bucket and the key.

    def do_HEAD(self) -> None:
        if "/" not in self._read_key().rstrip("/"):
            return self._answer_service("HeadBucket", {"name": self._read_key()})
        with self.service.lock:
            try:
                self.service.record_call("HeadObject", {"Key": self._read_key()})
            except Refused as refused:
                # The answer to a HEAD request has no body, and so no code.
                return self._send_answer(refused.http_status, "")
            except ConnectionAbortedError:
                return self._hang_up()
            content = self.service.objects.get(self._read_key())
        if content is None:
            return self._send_answer(404, "")
        checksum = self.service.checksums.get(self._read_key()) or _compute_sha256(content.encode("latin-1"))
        return self._send_answer(200, "", headers={"x-amz-checksum-sha256": checksum})

    def do_PUT(self) -> None:
        body = self._read_body()
        if self.scope in _REST_OPERATIONS:
            return self._answer_rest(json.loads(body))
        with self.service.lock:
            try:
                self.service.record_call("PutObject", {"Key": self._read_key()})
            except Refused as refused:
                return self._refuse_object(refused)
            except ConnectionAbortedError:
                return self._hang_up()
            if self.headers.get("If-None-Match") != "*":
                return self._send_answer(403, "<Error><Code>AccessDenied</Code></Error>", "application/xml")
            if self._read_key() in self.service.objects:
                return self._send_answer(412, "<Error><Code>PreconditionFailed</Code></Error>", "application/xml")
            self.service.objects[self._read_key()] = _decode_chunks(body, self.headers).decode("latin-1")
        return self._send_answer(200, "")

    def _refuse_object(self, refused: Refused) -> None:
        error = f"<Error><Code>{refused.code}</Code><Message>{escape(str(refused))}</Message></Error>"
        self._send_answer(refused.http_status, error, "application/xml")

    def do_DELETE(self) -> None:
        if self.scope in _REST_OPERATIONS:
            return self._answer_rest()
        with self.service.lock:
            try:
                self.service.record_call("DeleteObject", {"Key": self._read_key()})
            except Refused as refused:
                return self._refuse_object(refused)
            except ConnectionAbortedError:
                return self._hang_up()
            self.service.retired.add(self._read_key())
            self.service.objects.pop(self._read_key(), None)
        return self._send_answer(204, "")

    def do_GET(self) -> None:
        if self.scope in _REST_OPERATIONS:
            return self._answer_rest()
        if "prefix=" not in urlsplit(self.path).query:
            return self._send_object()
        bucket = urlsplit(self.path).path.strip("/")
        prefix = dict(parse_qsl(urlsplit(self.path).query))["prefix"]
        with self.service.lock:
            try:
                self.service.record_call("ListObjectsV2", {"Bucket": bucket})
            except Refused as refused:
                return self._refuse_object(refused)
            except ConnectionAbortedError:
                return self._hang_up()
            keys = [key.removeprefix(f"{bucket}/") for key in sorted(self.service.objects)]
            keys = [key for key in keys if key.startswith(prefix)]
            written_at = {key: self.service.written_at.get(f"{bucket}/{key}", START).isoformat() for key in keys}
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{written_at[key]}</LastModified></Contents>"
            for key in keys
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        return self._send_answer(200, body, "application/xml")

    def _send_object(self) -> None:
        with self.service.lock:
            try:
                self.service.record_call("GetObject", {"Key": self._read_key()})
            except Refused as refused:
                return self._refuse_object(refused)
            content = self.service.objects.get(self._read_key())
        if content is None:
            return self._refuse_object(Refused("NoSuchKey", "The specified key does not exist.", 404))
        return self._send_answer(200, content.encode("latin-1").decode(), "application/octet-stream")

    def _answer_rest(self, body: dict[str, Any] | None = None) -> None:
        url = urlsplit(self.path)
        line = f"{self.command} {unquote(url.path)}"
        for pattern, operation in _REST_OPERATIONS[self.scope].items():
            if match := re.match(pattern, line):
                parts = dict(parse_qsl(url.query)) | match.groupdict()
                return self._answer_service(operation, parts | (body or {}))
        return self._send_answer(400, json.dumps({"__type": "MistakeInTheTest", "message": line}), "application/json")

    def _read_key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _read_body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send_answer(
        self, status: int, body: str, kind: str = "text/plain", headers: dict[str, str] | None = None
    ) -> None:
        if faults.is_answer_lost():
            self._hang_up()
            return
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
    """Return a page with one vault: AWS may return fewer than MaxResults.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListBackupVaults.html
    """
    first = int(request.get("nextToken", 0))
    following = {"NextToken": str(first + 1)} if first + 1 < len(vaults) else {}
    return {"BackupVaultList": vaults[first : first + 1], **following}


def _compute_sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _decode_chunks(body: bytes, headers: Any) -> bytes:
    """Return the content of signed chunks, each a length in hexadecimal and content, with a checksum at the end."""
    if "aws-chunked" not in headers.get("Content-Encoding", ""):
        return body
    content, remainder = b"", body
    while remainder:
        length, _, remainder = remainder.partition(b"\r\n")
        size = int(length.split(b";")[0], 16)
        if size == 0:
            return content
        content, remainder = content + remainder[:size], remainder[size + 2 :]
    return content
