"""Holds fakes of AWS services to the service models that botocore has.

A fake must not take a call or give an answer that the model of the service does not have. botocore checks the names and
types of members, those that are required, and the lowest numbers and lengths:
https://docs.aws.amazon.com/botocore/latest/reference/loaders.html
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.model import OperationModel, Shape, StructureShape
from botocore.validate import ParamValidator

from tests.asl import StatesError

# Errors of every service, which the models do not list. AccessDeniedException and the like are not among the answers of
# our fakes: https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html
_COMMON_ERRORS = {"ThrottlingException"}
_OF_EVERY_ERROR = {"Error", "ResponseMetadata"}
Fake = TypeVar("Fake", bound=type[Any])


class NotInTheModel(AssertionError):
    """A call or an answer of a fake is not as the service model says."""


class Operation:
    """An operation of a service. A form that has been checked is not checked again: the proofs make many calls."""

    def __init__(self, model: OperationModel) -> None:
        self._model = model
        self._checked_forms: set[Any] = set()

    def check_request(self, arguments: dict[str, Any]) -> None:
        self._check_form("request", arguments, self._model.input_shape)

    def check_answer(self, answer: dict[str, Any] | None) -> None:
        if answer is None and self._model.output_shape is not None:
            raise NotInTheModel(f"{self._model.name} has an answer")
        self._check_form("answer", answer or {}, self._model.output_shape)

    def check_error(self, error: ClientError) -> None:
        code = error.response["Error"]["Code"]
        if "awsQueryCompatible" in self._model.service_model.metadata:
            # Such a service answers with the code of its older protocol: AWS.SimpleQueueService.<name> in some errors.
            # https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#aws-protocols-awsquerycompatible-trait
            code = code.rpartition(".")[2]
        shapes = {self._read_code(shape): shape for shape in self._model.error_shapes}
        if code not in shapes:
            if code not in _COMMON_ERRORS:
                raise NotInTheModel(f"{self._model.name} has no error {code}, but {sorted(shapes)}")
            return
        details = {name: value for name, value in error.response.items() if name not in _OF_EVERY_ERROR}
        self._check_form(code, details, shapes[code])

    def check_workflow_error(self, error: StatesError) -> None:
        """Check the name of an error that Step Functions reports, or of a task that took too long.

        An error that the model does not list has the name of the service: tests/conformance/facts.yaml.
        """
        service = self._model.service_model.service_id
        shapes = {shape.name.removesuffix("Exception") for shape in self._model.error_shapes} | {f"Amazon{service}"}
        names = {f"{service}.{shape}Exception" for shape in shapes}
        if error.error not in names | {"States.Timeout"}:
            raise NotInTheModel(f"{self._model.name} has no error {error.error}, but {sorted(names)}")

    def _check_form(self, part: str, value: dict[str, Any], shape: Shape | None) -> None:
        form = (part, _describe_form(value))
        if form in self._checked_forms:
            return
        if shape is None:
            report = f"{sorted(value)} where nothing is expected" if value else ""
        else:
            report = ParamValidator().validate(value, shape).generate_report()
        if report:
            raise NotInTheModel(f"{self._model.name}, {part}: {report}")
        self._checked_forms.add(form)

    @staticmethod
    def _read_code(shape: StructureShape) -> str:
        return str(shape.error_code or shape.name)


@functools.cache
def load_operations(service: str) -> dict[str, Operation]:
    """Return the operations of a service by the names of a client's methods."""
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): Operation(model.operation_model(name)) for name in model.operation_names}


def follow_model(service: str, workflow_calls: Mapping[str, str] | None = None) -> Callable[[Fake], Fake]:
    """Check the methods of a fake client that are named like those of the real one, and raise ``NotInTheModel``.

    ``workflow_calls`` has methods that Step Functions calls, each with the method of the client that it stands for.
    """

    def decorate_class(fake: Fake) -> Fake:
        operations = load_operations(service)
        for name in [name for name in vars(fake) if name in operations]:
            setattr(fake, name, _check_calls(vars(fake)[name], operations[name]))
        for name, client_method in (workflow_calls or {}).items():
            setattr(fake, name, _check_workflow_calls(vars(fake)[name], operations[client_method]))
        return fake

    return decorate_class


def _check_calls(method: Callable[..., Any], operation: Operation) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, **arguments: Any) -> Any:
        operation.check_request(arguments)
        try:
            answer = method(self, **arguments)
        except ClientError as error:
            operation.check_error(error)
            raise
        operation.check_answer(answer)
        return answer

    return call


def _check_workflow_calls(method: Callable[..., Any], operation: Operation) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, arguments: dict[str, Any]) -> Any:
        operation.check_request(arguments)
        try:
            answer = method(self, arguments)
        except StatesError as error:
            operation.check_workflow_error(error)
            raise
        operation.check_answer(answer)
        return answer

    return call


def _describe_form(value: Any) -> Any:
    """Return the names and types in a value, and which texts and lists in it are empty."""
    if isinstance(value, dict):
        return tuple([(name, _describe_form(item)) for name, item in value.items()])
    if isinstance(value, list | tuple):
        return (list, *{_describe_form(item) for item in value})
    return (str, not value) if isinstance(value, str) else type(value)
