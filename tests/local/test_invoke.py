"""`invoke.sh` runs the sources in Lambda's runtime client, and says what came of it."""

import json
import os
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from scripts.common.errors import UserError
from scripts.deployer.cli import invoke as command
from scripts.local import choose_target, invoke
from scripts.local.invoke import invoke_function
from stacks import names

DEPLOYED = {
    "FunctionName": "lambda-payment-validation-local",
    "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:lambda-payment-validation-local",
    "Handler": "handlers.validation.handler",
    "Role": "arn:aws:iam::000000000000:role/role",
    "MemorySize": 256,
    "Timeout": 60,
    "Environment": {"Variables": {"TABLE": "of the function"}},
}
KEYS = SimpleNamespace(access_key="key of the emulator", secret_key="secret")


def make_target(**changes: Any) -> Any:
    def describe_function(**_: str) -> dict[str, Any]:
        if changes.get("Handler") == "":
            raise ClientError(
                {"Error": {"Code": "ResourceNotFoundException", "Message": ""}}, "GetFunctionConfiguration"
            )
        return {**DEPLOYED, **changes}

    session = SimpleNamespace(get_credentials=lambda: KEYS)
    client = SimpleNamespace(get_function_configuration=describe_function)
    return SimpleNamespace(
        client={"lambda": client}.__getitem__, session=session, region="us-east-1", endpoint_url="http://127.0.0.1:1"
    )


def write_handler(folder: Path, body: str) -> Path:
    (folder / "handlers").mkdir()
    source = f"import logging, os, sys, time\ndef handler(event, context):\n    {body}\n"
    (folder / "handlers" / "validation.py").write_text(source)
    return folder


def test_the_function_has_its_event_its_variables_and_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = (
        "logging.getLogger().warning('logged'); "
        "return [event, os.environ['TABLE'], os.environ['AWS_ACCESS_KEY_ID'], context.invoked_function_arn]"
    )
    answer = invoke_function(make_target(), "validation", b'{"a": 1}', write_handler(tmp_path, body))
    expected = [{"a": 1}, "of the function", "key of the emulator", DEPLOYED["FunctionArn"]]
    assert (json.loads(answer.payload), answer.is_error) == (expected, False)
    assert answer.seconds > 0
    error_text = capsys.readouterr().err
    assert json.loads(error_text.splitlines()[0])["message"] == "logged"
    assert not list(tmp_path.rglob("__pycache__"))


def test_packages_that_lambda_lacks_are_missing(tmp_path: Path) -> None:
    answer = invoke_function(make_target(), "validation", b"{}", write_handler(tmp_path, "import click"))
    assert answer.is_error
    assert json.loads(answer.payload)["errorType"] == "ModuleNotFoundError"


def test_a_source_that_cannot_be_imported_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "validation.py").write_text("def handler(:")
    answer = invoke_function(make_target(), "validation", b"{}", tmp_path)
    assert answer.is_error
    assert json.loads(answer.payload)["errorType"] == "Runtime.UserCodeSyntaxError"


@pytest.mark.parametrize(
    ("body", "changes", "words"),
    [
        ("os._exit(7)", {}, "validation ended with exit code 7 before it answered"),
        ("time.sleep(1000)", {"Timeout": 1}, "validation did not answer within its timeout of 1 s"),
        ("return 1", {"Layers": [{"Arn": "layer"}]}, "validation has a layer in local"),
        (
            "return 1",
            {"Handler": ""},
            "lambda-payment-validation-local does not exist; deploy it with ",
        ),
    ],
)
def test_no_answer_is_one_line(body: str, changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        invoke_function(make_target(**changes), "validation", b"{}", write_handler(tmp_path, body))


def test_wrong_arguments_and_events_are_refused_before_anything_is_reached(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text("{'a': 1}")
    result = CliRunner().invoke(command.main, ["validation", str(tmp_path / "event.json")])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "event.json: not JSON: " in result.stderr
    for arguments in (["billing", "-"], ["validation", str(tmp_path / "missing.json")]):
        assert CliRunner().invoke(command.main, arguments).exit_code == 1


@pytest.mark.parametrize(
    ("interrupted", "code", "message"),
    [
        ((choose_target, "reach_environment"), 130, "nothing was changed"),
        ((invoke, "invoke_function"), 1, "what the function has written stays"),
    ],
)
def test_an_interrupted_command_says_what_stays(
    interrupted: tuple[ModuleType, str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(choose_target, "reach_environment", lambda *_: make_target())
    monkeypatch.setattr(*interrupted, interrupt)
    (tmp_path / "event.json").write_text("{}")
    result = CliRunner().invoke(command.main, ["validation", str(tmp_path / "event.json")])
    assert (result.exit_code, result.stderr) == (code, f"invoke: interrupted; {message}\n")


def test_the_functions_of_the_command_are_those_of_the_platform() -> None:
    assert tuple(function.purpose for function in names.FUNCTIONS) == command.FUNCTION_NAMES


def test_an_interrupt_ends_the_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "process"
    body = f"open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"

    def interrupt(*_: Any) -> Any:
        while not (marker.exists() and marker.read_text()):
            time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(invoke, "_wait_for_answer", interrupt)
    with pytest.raises(KeyboardInterrupt):
        invoke_function(make_target(), "validation", b"{}", write_handler(tmp_path, body))
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)
