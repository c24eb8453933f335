"""Reports to people: on a terminal, a live tree of the stacks; elsewhere, such as in CI, a line for each event."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from scripts.common.terminal import create_console, make_line
from scripts.common.wording import join_names
from scripts.deployer.failure import Event, Failure
from scripts.deployer.plan.danger import Danger
from scripts.deployer.plan.model import Count, Plan
from scripts.deployer.plan.traffic import ALIAS

from ..deployment_options import ArtifactsResult
from ..finding import Finding
from . import findings as findings_report
from . import markdown, plan_text
from .hanging import INDENT, print_hanging, print_warning
from .progress import Progress, StackProgress
from .reporter import EventListener

# After so long without an event, the running resources are printed.
SILENCE_SECONDS = 30.0
# At most so many running resources are named in each stack of the tree.
_NAMED_RESOURCES = 3


class ConsoleReporter:
    """With ``as_markdown`` it prints nothing but the plan: as the comment on a pull request, and in full to stderr."""

    def __init__(
        self,
        console: Console,
        *,
        as_markdown: bool = False,
        full: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._markdown, self._full, self._clock = console, as_markdown, full, clock
        self._findings, self._has_plan = "", False

    def announce_step(self, title: str, detail: str = "") -> None:
        if self._markdown:
            return
        # A part of a list stands to the right of its title.
        indent = len(title) - len(title.lstrip()) + INDENT
        print_hanging(self._console, Text.assemble((title, "bold"), f" {detail}" if detail else ""), indent)

    def show_findings(self, findings: Sequence[Finding]) -> None:
        if not self._markdown:
            findings_report.print_findings(self._console, findings)
            return
        self._findings = findings_report.render_findings(findings)

    def show_plan(self, plan: Plan, *, number: int = 1, of: int = 1, lists_retained: bool = True) -> None:
        if of > 1:
            self.announce_step(f"Plan {number} of {of}:", plan.stack.name)
        if self._markdown:
            title, longest = f"Deployment of `{plan.stack.name}`", markdown.LONGEST_COMMENT // of
            comment = markdown.render_plan(plan, title, self._findings, longest)
            # One comment has all plans, with one marker and the findings once.
            self._print_raw(comment if not self._has_plan else f"\n{comment.removeprefix(markdown.MARKER).lstrip()}")
            self._findings, self._has_plan = "", True
            # A comment may hold only a part of the plan; the log has all of it.
            plan_text.print_plan(create_console(stderr=True, width=140), plan, full=True)
        else:
            plan_text.print_plan(self._console, plan, full=self._full, lists_retained=lists_retained)

    def show_total(self, stack_names: Sequence[str], total: Count, losses: Sequence[Danger]) -> None:
        if self._markdown:
            self._print_raw(markdown.render_total(stack_names, total))
        else:
            self.announce_step("Both stacks:", str(total).removeprefix("Plan: "))
            # Again, because the second plan begins far above.
            for danger in losses:
                print_warning(self._console, make_line(str(danger)), "red")

    @contextmanager
    def follow_events(self, plan: Plan | None, stack_name: str) -> Iterator[EventListener]:
        progress = Progress(plan, stack_name)
        if not self._console.is_terminal:
            yield _EventLines(self._console, progress, self._clock)
            return
        tree = _LiveTree(progress, self._clock)
        with Live(tree, console=self._console, refresh_per_second=8) as live:

            def update_tree(events: list[Event]) -> None:
                progress.add_events(events)
                for event in events:
                    if event.status.endswith("_FAILED"):
                        print_hanging(live.console, _event_line(event))
                # The thread that draws would keep to itself that the terminal is gone.
                live.refresh()

            yield update_tree

    def show_failure(self, failure: Failure) -> None:
        plan_text.print_failure(self._console, failure)

    def show_error(self, stack_name: str, message: str) -> None:
        if self._markdown and self._has_plan:
            self._print_raw(markdown.render_failure_after_plan(message))
        elif self._markdown:
            self._print_raw(markdown.render_error(f"Deployment of `{stack_name}`", message, self._findings))

    def show_result(
        self,
        result: str,
        *,
        stack_name: str,
        outputs: dict[str, str],
        message: str = "",
        artifacts: ArtifactsResult | None = None,
        outputs_command: str = "",
    ) -> None:
        if self._markdown:
            if result == "no changes":
                self._print_raw(markdown.render_no_changes(f"Deployment of `{stack_name}`"))
            return
        if outputs and outputs_command:
            print_hanging(self._console, Text(f"the outputs have not changed; {outputs_command} prints them"))
        elif outputs:
            self._console.print()
            plan_text.print_outputs(self._console, outputs)
            self._console.print()
        print_hanging(self._console, Text(f"{stack_name}: {message or result}"))
        if artifacts and artifacts.result == "kept":
            print_hanging(self._console, Text(artifacts.message))

    def _print_raw(self, text: str) -> None:
        self._console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True, end="")


class _EventLines:
    """Prints a line with the time for each event."""

    def __init__(self, console: Console, progress: Progress, clock: Callable[[], float]) -> None:
        self._console, self._progress, self._clock = console, progress, clock
        self._last_event_at = self._started_at = clock()

    def __call__(self, events: list[Event]) -> None:
        self._progress.add_events(events)
        for event in events:
            print_hanging(self._console, _event_line(event))
        polled_at = self._clock()
        if events:
            self._last_event_at = polled_at
        elif polled_at - self._last_event_at >= SILENCE_SECONDS:
            self._last_event_at = polled_at
            running = ", ".join(map(_describe_wait, self._progress.running_resources())) or "no events received"
            waited = _format_duration(polled_at - self._started_at)
            self._console.print(f"still in progress after {waited}: {running}", highlight=False, soft_wrap=True)


class _LiveTree:
    """A tree of the stacks with their counts and running resources, drawn several times a second."""

    def __init__(self, progress: Progress, clock: Callable[[], float]) -> None:
        self._progress, self._clock, self._started_at = progress, clock, clock()
        self._spinner = Spinner("dots")

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        root, *nested = self._progress.stacks.values()
        elapsed = _format_duration(self._clock() - self._started_at)
        tree = Tree(self._stack_row(root, self._progress.stack_name, elapsed))
        branches = {"": tree}
        for stack in sorted(nested, key=lambda stack: stack.path.count("/")):
            parent, _, name = stack.path.rpartition("/")
            branches[stack.path] = branches.get(parent, tree).add(self._stack_row(stack, name))
        yield tree

    def _stack_row(self, stack: StackProgress, name: str, elapsed: str = "") -> Table:
        sign: Text | Spinner = Text("·", style="dim")
        if stack.status.endswith("_IN_PROGRESS"):
            sign = self._spinner
        elif "ROLLBACK" in stack.status or stack.status.endswith("_FAILED"):
            sign = Text("✗", style="red")
        elif stack.status.endswith("_COMPLETE"):
            sign = Text("✓", style="green")
        row = Table.grid(padding=(0, 1))
        status = Text(stack.status or "waiting", style="dim")
        # An empty column would leave two spaces.
        cells = [cell for cell in (stack.describe_count(), status, elapsed) if cell]
        row.add_row(sign, Text(make_line(name), style="bold"), *cells)
        if running := [_describe_running(event) for event in stack.running.values()]:
            text = make_line(join_names(running, _NAMED_RESOURCES, "; "))
            row.add_row("", Text.assemble("  ", (text, "yellow")))
        return row


def _describe_wait(event: Event) -> str:
    """Return the resource, and what takes so long where its type does not tell."""
    is_shift = event.resource_type == ALIAS and event.status.startswith("UPDATE")
    return f"{event}, whose invocations move to another version" if is_shift else str(event)


def _describe_running(event: Event) -> str:
    seconds = (datetime.now(UTC) - event.at).total_seconds()
    # The clocks may differ: a negative or huge duration is left out.
    duration = f" {_format_duration(seconds)}" if 0 <= seconds < 24 * 60 * 60 else ""
    return event.path.rsplit("/", 1)[-1] + duration


def _format_duration(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _event_line(event: Event) -> Text:
    colour = "red" if "FAILED" in event.status or "ROLLBACK" in event.status else "green"
    colour = "yellow" if event.status.endswith("IN_PROGRESS") and colour == "green" else colour
    line = Text(f"{event.at:%H:%M:%S} ")
    line.append(f"{event.status:<28} ", style=colour)
    line.append(f"{make_line(event.path)} ").append(event.resource_type, style="dim")
    if event.reason and "FAILED" in event.status:
        line.append(f"  {make_line(event.reason)}", style="red")
    return line
