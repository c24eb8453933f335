"""Lets each sub-command of ``deploy.sh`` be an option of ``deploy``, too, and stand after the environment."""

import copy
import sys
from pathlib import Path
from typing import Any

import click

from scripts.common.paths import ROOT

from .common import ExitsWith1

# The parameters of how a change set is executed, which a saved plan includes.
EXECUTION = ("revert_drift", "express", "keep_failed", "skip_validation")
# Other parameters of a deployment, which a command that does not deploy would ignore.
_OF_DEPLOYMENTS = ("destroys", "wait", "adopt", "full")


class _FileName(click.Path):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse the name "-", which stands for standard input or output in other commands, and an empty one."""
        if str(value) in ("", "-"):
            self.fail(f"{str(value)!r} is not the name of a file", param, ctx)
        return super().convert(value, param, ctx)


FILE = _FileName(path_type=Path, dir_okay=False)


class CommandGroup(ExitsWith1, click.Group):
    """Runs the sub-command that comes first or follows the environment, and ``deploy`` without one."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        if not arguments or arguments[0] not in (*self.commands, *context.help_option_names):
            arguments = self._move_command_first(context, arguments)
        return super().parse_args(context, arguments)

    def find_nearest_command(self, *words: str) -> tuple[str, str]:
        """Return the word that is most like a command, with this command; empty texts if none is like any."""
        from difflib import SequenceMatcher, get_close_matches

        names = [word for word in words if "." not in word]  # the others are files
        pairs = [(word, command) for word in names for command in get_close_matches(word, self.commands, n=1)]
        return max(pairs, key=lambda pair: SequenceMatcher(None, *pair).ratio(), default=("", ""))

    def _move_command_first(self, context: click.Context, arguments: list[str]) -> list[str]:
        """Return ``plan dev`` for ``dev plan``, and ``deploy dev`` for ``dev``.

        Raises ``click.UsageError`` for more than an environment without a command.
        """
        options = [param for command in self.commands.values() for param in command.params if param.opts[0][0] == "-"]
        flags = {flag for option in options if getattr(option, "is_flag", False) for flag in option.opts}
        taking_values = {flag for option in options for flag in option.opts} - flags
        previous = ["", *arguments]
        positions = [
            index
            for index, argument in enumerate(arguments)
            if not argument.startswith("-") and previous[index] not in taking_values
        ]
        if len(positions) < 2:
            return ["deploy", *arguments]
        first, second = (arguments[position] for position in positions[:2])
        if second not in self.commands:
            raise click.UsageError(self._describe_missing_command(first, second), context)
        return [arguments[positions[1]], *arguments[: positions[1]], *arguments[positions[1] + 1 :]]

    def _describe_missing_command(self, first: str, second: str) -> str:
        """Return why two words are no command and an environment, in any order."""
        for word in (first, second):
            if (ROOT / "scripts" / f"{word}.sh").exists():
                return f"No such command {word!r}. Did you mean scripts/{word}.sh?"
        mistyped, command = self.find_nearest_command(first, second)
        if command:
            return f"No such command {mistyped!r}. Did you mean {command!r}?"
        return f"neither {first!r} nor {second!r} is a command"

    def _can_print_json(self) -> bool:
        return True

    def _print_json_error(self, message: str) -> None:
        """Print the record that ends the JSON Lines; wrong arguments may name no environment, and so no stack."""
        from scripts.deployer.report.json_reporter import JsonReporter

        JsonReporter(sys.stdout).show_error("", message)

    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """``deploy`` first, and the others as they are declared."""
        return sorted(self.commands, key=lambda name: name != "deploy")


class DeployCommand(click.Command):
    """Accepts the other sub-commands and their options as options of its own, and runs the chosen one instead."""

    def __init__(self, *arguments: Any, group: click.Group, **options: Any) -> None:
        super().__init__(*arguments, **options)
        declared = {parameter.name for parameter in self.params}
        names = {f"--{name}" for name in group.commands}
        # The sub-commands by the parameters that choose them, and by the parameters that only they have.
        self._aliases: dict[str, click.Command] = {}
        self._homes: dict[str, click.Command] = {}
        for command in group.commands.values():
            alias = f"alias_{command.name}".replace("-", "_")
            shape: dict[str, Any] = {"type": FILE} if "file" in _parameter_names(command) else {"is_flag": True}
            self.params.append(click.Option([f"--{command.name}", alias], hidden=True, **shape))
            self._aliases[alias] = command
            for option in command.params:
                is_new = option.name not in declared and option.opts[0] not in names
                if isinstance(option, click.Option) and option.name and is_new:
                    hidden = copy.copy(option)
                    hidden.hidden = True
                    self.params.append(hidden)
                    self._homes[option.name] = command

    def invoke(self, context: click.Context) -> Any:
        values = context.params
        alias = self._choose_alias(context)
        command = self._aliases.get(alias)
        self._check_options(context, command)
        if command is None:
            values_of_deploy = {
                name: value for name, value in values.items() if name not in {*self._aliases, *self._homes}
            }
            return context.invoke(self.callback, **values_of_deploy)  # type: ignore[arg-type] # it has one
        values["file"] = values[alias]
        # An import can be planned: `import` is an option of `plan`, too.
        values["imports_existing"] = values["alias_import"]
        return context.invoke(command, **{name: values[name] for name in _parameter_names(command)})

    def _choose_alias(self, context: click.Context) -> str:
        """Return the parameter of the chosen sub-command; empty for ``deploy``."""
        aliases = [alias for alias in self._aliases if context.params[alias]]
        if len(aliases) > 1 and aliases != ["alias_plan", "alias_import"]:
            options = " and ".join(f"--{self._aliases[alias].name}" for alias in aliases)
            context.fail(f"{options}: use only one of these")
        return aliases[0] if aliases else ""

    def _check_options(self, context: click.Context, command: click.Command | None) -> None:
        """Fail for an option that the sub-command does not have."""
        values = context.params
        for name in (*EXECUTION, *_OF_DEPLOYMENTS):
            if command and values[name] and name not in _parameter_names(command):
                context.fail(f"{_find_flag(self, name)} cannot be combined with --{command.name}")
        for name, home in self._homes.items():
            if values[name] and home is not command:
                context.fail(f"{_find_flag(home, name)} requires --{home.name}")


def _parameter_names(command: click.Command) -> list[str]:
    return [parameter.name for parameter in command.params if parameter.name]


def _find_flag(command: click.Command, name: str) -> str:
    return next(parameter.opts[0] for parameter in command.params if parameter.name == name)
