"""The kinds of settings. Each describes its values in words, in Python, and as properties of a parameter."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from troposphere import Parameter, Ref


@dataclass(frozen=True)
class Setting(ABC):
    """A key of the settings file. Its name is that of the class attribute that holds it."""

    description: str
    default: Any = None
    name: str = ""
    parameter_type: ClassVar[str] = "String"

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "name", name)

    @property
    def parameter_name(self) -> str:
        return "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def ref(self) -> Ref:
        return Ref(self.parameter_name)

    @property
    @abstractmethod
    def allowed(self) -> str:
        """The accepted values in words."""

    def constraints(self) -> dict[str, Any]:
        """Return the accepted values as properties of a CloudFormation parameter."""
        return {}

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Whether the file may contain this value."""

    def text(self, value: Any) -> str:
        """Return the value of the CloudFormation parameter."""
        return str(value)

    def parameter(self) -> Parameter:
        default = {} if self.default is None else {"Default": self.text(self.default)}
        properties = default | self.constraints()
        return Parameter(self.parameter_name, Type=self.parameter_type, Description=self.description, **properties)


@dataclass(frozen=True)
class Number(Setting):
    """A whole number, from ``minimum`` to ``maximum`` or one of ``among``."""

    minimum: int = 0
    maximum: int = 1_000_000
    among: tuple[int, ...] = ()
    parameter_type: ClassVar[str] = "Number"

    @property
    def allowed(self) -> str:
        if self.among:
            return "one of " + ", ".join(map(str, self.among))
        return f"an integer from {self.minimum} to {self.maximum}"

    def constraints(self) -> dict[str, Any]:
        if self.among:
            return {"AllowedValues": list(self.among)}
        return {"MinValue": self.minimum, "MaxValue": self.maximum}

    def accepts(self, value: Any) -> bool:
        if type(value) is not int:
            return False
        return value in self.among if self.among else self.minimum <= value <= self.maximum


@dataclass(frozen=True)
class Flag(Setting):
    """On or off."""

    @property
    def allowed(self) -> str:
        return "true or false"

    def constraints(self) -> dict[str, Any]:
        return {"AllowedValues": ["true", "false"]}

    def accepts(self, value: Any) -> bool:
        return type(value) is bool

    def text(self, value: Any) -> str:
        return "true" if value else "false"


@dataclass(frozen=True)
class Choice(Setting):
    """One of a few words."""

    among: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        return ("one of " if len(self.among) > 1 else "") + ", ".join(f'"{word}"' for word in self.among)

    def constraints(self) -> dict[str, Any]:
        return {"AllowedValues": list(self.among)}

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.among


@dataclass(frozen=True)
class Text(Setting):
    """Text that matches a pattern, which may allow empty text."""

    pattern: str = ".*"
    wording: str = "text"

    @property
    def allowed(self) -> str:
        return self.wording

    def constraints(self) -> dict[str, Any]:
        return {"AllowedPattern": f"^({self.pattern})$", "ConstraintDescription": self.wording}

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None


@dataclass(frozen=True)
class Amounts(Setting):
    """An amount of money per currency, in major units: ``{ USD = 10000 }``; as a parameter ``USD=10000``."""

    longest: ClassVar[int] = 100

    @property
    def allowed(self) -> str:
        return (
            "a table of three-letter currency codes and whole amounts above 0, such as { USD = 10000 },"
            f" of at most {self.longest} characters as USD=10000,..."
        )

    def constraints(self) -> dict[str, Any]:
        entry = "[A-Z]{3}=[1-9][0-9]{0,8}"
        return {
            "AllowedPattern": f"^{entry}(,{entry})*$",
            # The description of a version contains two of these and has 256 characters.
            "MaxLength": self.longest,
            "ConstraintDescription": "such as USD=10000,EUR=9000",
        }

    def accepts(self, value: Any) -> bool:
        return (
            isinstance(value, dict)
            and bool(value)
            and all(re.fullmatch("[A-Z]{3}", code) for code in value)
            and all(type(amount) is int and 0 < amount < 10**9 for amount in value.values())
            and len(self.text(value)) <= self.longest
        )

    def text(self, value: Any) -> str:
        return ",".join(f"{code}={amount}" for code, amount in sorted(value.items()))
