"""Mail: its words, its two forms (HTML and text), and the way to the mail server.

To growers, and to partners whose webhooks are paused.

address    what MAIL_URL and MAIL_FROM say
letters    what each kind of mail says
layout     a letter as HTML and as text
message    a letter as a message with all its headers
smtp       the one place that speaks to the mail server

Which mail is owed to which grower, and when, stands in `connections.mails`; the one to partners in
`webhooks.telling`.
"""
