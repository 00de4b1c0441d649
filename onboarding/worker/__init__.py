"""The worker: the only process that talks to Leaf.

Thin: it loads nothing and decides nothing, it calls the use cases. What workflows are given are
ids; what they leave behind stands in the rows.

process    the process: what runs in it side by side, and how it ends
workflows  what DBOS is told: queues, schedules, and what is done for each
upkeep     what is done again and again: the sweep, and the catch-up of each hour
machine    which processes of this machine still run
"""

from onboarding.worker.process import run

__all__ = ["run"]
