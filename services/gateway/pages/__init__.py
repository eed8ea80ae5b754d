"""
The web page: what a person sees. Plain HTML that works without JavaScript, on the same services as the API.

A group of views per module, each entered in `site.py`. A view asks the services as the API's routes do, with the same
context, permissions and deadlines; it is reached with the session cookie, which the API never reads.
"""
