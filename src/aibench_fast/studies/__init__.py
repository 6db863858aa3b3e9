"""Studies: several runs that answer one question, such as a sweep or a search.

The command line and Python call the same functions. They print nothing: an observer receives events
(`events`), and the functions return what was found.
"""
