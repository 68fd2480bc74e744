"""What all shapes have: they take locust's options as the measure."""

from abc import abstractmethod

from locust import LoadTestShape

# New users in a second; locust warns of more.
MOST_AT_ONCE = 100


class Shape(LoadTestShape):
    """Users as a function of time, in parts of `--users` and `--run-time`."""

    abstract = True
    use_common_options = True

    @abstractmethod
    def part(self, passed: float) -> float:
        """Gives what part of the users there should be when this part of the time has passed."""

    def tick(self) -> tuple[int, float] | None:
        """Gives how many users there should be now, and how many may start in a second."""
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        assert options is not None
        passed = self.get_run_time() / options.run_time  # type: ignore[no-untyped-call]
        if passed >= 1:
            return None
        users: int = options.num_users
        return max(round(users * self.part(passed)), 1), min(users, MOST_AT_ONCE)
