"""Load tests with locust, and the soak. See README.md for how to run them.

- `users/`: who comes; `client`: the blocking client that they have; `shapes/`: how many come when
- `deliveries`: whether all that was published came; `app`: what they talk to; `server`: its process
- `locustfile`: what locust loads; `budget`: what a run may not exceed; `__main__`: `make loadtest`
- `ceiling`: `make loadtest-ceiling`, what one process of the generator can do
- `soak`: `make soak`, a long mixed run; `slope`: whether something grows
"""
