"""The performance gate: `python -m benchmarks.gate` fails if fixed work takes more instructions."""
