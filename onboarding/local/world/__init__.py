"""The demo world of `make run`: three partners, 2,000 growers, 90 days of history.

people     who they are: names, farms, addresses; nobody real
life       one grower, and what happened to them, as rows
story      the usual ways through those days
to_leaf    how a grower comes to where they stand, on the way to Leaf
at_leaf    and from there on
standings  where each of them stands today, and how many stand there
making     all of them, the same ones each time
opening    once, before anything runs
days       how they were on each day until today
desk       the staff, and what they did
bulk       what they did with many at once
webhooks   a server of a partner that was told of some of it
rows       into the database
residents  and into the simulated John Deere and Leaf, which must agree

It is made once, before anything runs, and never beside growers who are there already.
"""
