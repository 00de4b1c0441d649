"""When Leaf may be asked: one pace, and one word on whether it is down, for all workers together.

Every request takes a turn. Turns are spread evenly over the minute; a process leases those of the
next half second from a row of the database and shares them among its threads. Turns that are not
used in time are lost, not saved: no minute, wherever it begins, sees more than the limit.

Hand-overs come first, then checks that somebody waits for, then all others.

Leaf's 429 stops everybody for a while. So does a row of failures: then Leaf is down until one
request, which some worker tries after ever longer pauses, finds that it answers.

row      the row that all workers share
turns    a process's lease of turns, and who of its threads is next
closing  when nobody may ask
known    what all workers together know of Leaf
"""

from onboarding.connections.pace.known import Word, outage, standing, word
from onboarding.connections.pace.row import SERVICE
from onboarding.connections.pace.turns import NotNow, Rank, Turns

__all__ = ["SERVICE", "NotNow", "Rank", "Turns", "Word", "outage", "standing", "word"]
