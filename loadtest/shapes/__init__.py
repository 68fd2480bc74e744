"""How many users there are when; one file each, since locust takes the shape that a file has.

    locust -f loadtest/locustfile.py,loadtest/shapes/spike.py --users 500 --run-time 2m

``--users`` is the most there are, ``--run-time`` how long it takes.
"""
