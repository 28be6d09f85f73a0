"""`make bench`: adcache beside the naive design, bare redis-py and its peers.

- `measure`: the clock, the rounds, the server's CPU. `proxy`: counts the trips.
- `jobs_*`: who does which job, and on what data. One file per group.
- `stampede`, `memory`, `imports`: figures that are no times of a call.
- `goals`: what must be reached. `report`: the tables. `__main__`: the program.
"""
