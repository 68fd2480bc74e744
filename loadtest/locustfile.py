"""What locust loads, `locust -f loadtest/locustfile.py`: all users, and who judges them."""

from argparse import ArgumentParser
from typing import Any

from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtest.budget import Budget
from loadtest.users import *  # noqa: F403 - locust takes the users that it finds here


def add_options(parser: ArgumentParser, **_: Any) -> None:
    """Makes the budget options of locust's command line."""
    default = Budget()
    group = parser.add_argument_group("Budget")
    group.add_argument("--max-p99", type=float, default=default.p99, metavar="MS")
    group.add_argument("--max-failures", type=float, default=default.failures, metavar="RATIO")


def judge(environment: Environment, **_: Any) -> None:
    """Prints the verdict, and makes it the exit code; in a distributed run the master does."""
    if isinstance(environment.runner, WorkerRunner):
        return
    options, runner = environment.parsed_options, environment.runner
    assert options is not None
    budget = Budget(options.max_p99, options.max_failures)
    excesses = budget.excesses(environment.stats.entries.values())
    if runner is not None:
        excesses += [f"a user failed: {row['msg']}" for row in runner.exceptions.values()]
    environment.process_exit_code = 1 if excesses else 0
    print("\n".join(["over budget:", *excesses] if excesses else ["within the budget"]), flush=True)


events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]
events.quitting.add_listener(judge)  # type: ignore[no-untyped-call]
