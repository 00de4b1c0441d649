"""The use cases: what can happen to a connection. No Flask in here.

    partnership    partners
    growers        who they are, and what is told of them; `enrolment` makes many at once
    invitations    the links that they get
    accepted       what is taken as a name, an address, a telephone number, a URL
    applications   as which application John Deere is asked
    open_link      links that growers ask for themselves
    consent        an attempt, from the click to the token
    organizations  asking John Deere what is shared, and where the grower chooses
    sharing        what John Deere and Leaf tell of it, in one list
    hand_over      the token's way to Leaf: when it is tried, and what comes of it
    delivery       one such try
    disconnect     the end of a connection: asked for, and done
    removal        what comes before Leaf deletes a credential
    tries          what both kinds of tries at Leaf have in common
    owed           what the workers owe a connection
    checks         asking Leaf how a connection is; `watch` does it many at a time
    health         what Leaf's answers mean, `selection` what it fetches
    pace           how fast Leaf may be asked, and whether it is down
    alerts         what Leaf says by itself, once it is told where to (`registration`)
    leaf_events    copies of Leaf's events, for staff; `timeline` shows them with ours
    mails          what growers are written to about
    attention      which connections wait for staff
    listing        the rows of the dashboard's table, in step with what is told of each (`standing`)
    spelling       words as a search compares them
    sweep          what was left lying is set going again
    rotation       stored secrets get the newest key
    workers        which processes live that do this work
    history        the events that all of them write
    announcing     what partners' programs are told of them
    embedding      links for frames in partners' portals, and the way back from there
    glance         whether what a frame shows is still so

A function that only touches rows takes a session, and its caller commits. A function that calls
John Deere or Leaf takes the `Database` and opens its own transactions, so that none is open
during a call.
"""

# Whoever writes a connection keeps its row in step: not only who thinks of it.
from onboarding.connections import listing

__all__ = ["listing"]
