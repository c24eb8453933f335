"""The kinds of settings. Each describes its values in words, in Python, and as properties of a parameter."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

# The commands read settings, and start without troposphere, which only the generator needs.
if TYPE_CHECKING:
    from troposphere import Parameter, Ref

# The types of values in a TOML file, in words. A number with a decimal point is a number that no setting allows.
_TYPES_IN_WORDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    dict: "a table",
    list: "a list",
}


def describe_mismatch(expected: type, value: Any) -> str:
    """Return that a value has another type than the ``expected`` one; empty if it has that one."""
    expected_words, value_words = _TYPES_IN_WORDS[expected], _TYPES_IN_WORDS.get(type(value), "a date or time")
    return "" if expected_words == value_words else f"it must be {expected_words}, not {value_words}"


@dataclass(frozen=True)
class Setting(ABC):
    """A key of the settings file. Its name is that of the class attribute that holds it."""

    description: str
    default: Any = None
    name: str = ""
    parameter_type: ClassVar[str] = "String"
    # The type of its values in the file.
    value_type: ClassVar[type] = str

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "name", name)

    @property
    def parameter_name(self) -> str:
        return "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def ref(self) -> "Ref":
        from troposphere import Ref

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

    def describe_mistake(self, value: Any) -> str:
        """Return what a value that is not accepted must be, and what it must not."""
        mismatch = describe_mismatch(self.value_type, value)
        return f"{mismatch} ({self.allowed})" if mismatch else f"it must be {self.allowed}"

    def text(self, value: Any) -> str:
        """Return the value of the CloudFormation parameter."""
        return str(value)

    def parameter(self) -> "Parameter":
        from troposphere import Parameter

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
    value_type: ClassVar[type] = int

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

    value_type: ClassVar[type] = bool

    @property
    def allowed(self) -> str:
        return "true or false"

    def constraints(self) -> dict[str, Any]:
        return {"AllowedValues": ["true", "false"]}

    def accepts(self, value: Any) -> bool:
        return type(value) is bool

    def describe_mistake(self, value: Any) -> str:
        return describe_mismatch(self.value_type, value)

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
    value_type: ClassVar[type] = dict

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

    def describe_mistake(self, value: Any) -> str:
        if isinstance(value, dict):
            for code, amount in value.items():
                if mismatch := describe_mismatch(int, amount):
                    return f"{code}: {mismatch}"
        return super().describe_mistake(value)

    def text(self, value: Any) -> str:
        return ",".join(f"{code}={amount}" for code, amount in sorted(value.items()))
