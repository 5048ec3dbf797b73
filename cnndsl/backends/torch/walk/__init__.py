"""The walk over a declaration: its lines as statements of a constructor and of `forward`.

What a line becomes is decided by its text; the instances give the values that an
operation's own rules are run on, and say which lines there are at all.
"""
