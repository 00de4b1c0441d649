"""Webhooks: what partners' programs are told, brought to their servers.

endpoints   where a partner wants to be told, and of what
addresses   which addresses we connect to
signed      the request: headers and signature of Standard Webhooks
answer      what came of a request
post        one request
outbox      which deliveries are due, and who tries them
results     how tries end, and what that means for the endpoint
courier     the worker's loop around them
log         what has been sent, for people
telling     the mail to a partner whose endpoint is paused

The messages themselves are written with the changes, in `connections.announcing`.
"""
